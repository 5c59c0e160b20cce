/*
 * scorer.h - windows of chosen rows through the engine, each as an account of its own.
 */
#ifndef ADDER_SCORER_H
#define ADDER_SCORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataset.h"
#include "engine.h"
#include "reference.h"

typedef struct scorer scorer;
/* The reference is borrowed until scorer_close. NULL with one line in error. */
scorer *scorer_open(const reference *reference, size_t window_rows, char *error,
                    size_t error_bytes);
void scorer_close(scorer *scorer); /* NULL is allowed */

/* Window k is rows row[first[k]] .. row[first[k + 1] - 1] of the data, 1..window_rows of them. */
typedef struct {
    const dataset *data;
    size_t windows;
    const size_t *first; /* [windows + 1] */
    const uint32_t *row;
    const char *label; /* of a progress bar, or NULL */
} scorer_windows;
/* results [windows], alignments [rows] or NULL. False: the engine failed. */
bool scorer_run(scorer *scorer, const scorer_windows *windows, engine_result *results,
                float *alignments);

#endif

/*
 * sides.h - rows/s of an engine that is asked for decisions only, which side of a threshold each
 * window lies on, beside one that gives scores: windows of one class.
 *
 * The threshold is an operator's: of honest windows of ten classes one in a thousand scores above
 * it. And, hardest of all, the median of the very windows. Both engines get the same rows, and
 * every decision is compared.
 */
#ifndef ADDER_BENCH_SIDES_H
#define ADDER_BENCH_SIDES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    size_t dim, window_rows, observation_rows;
    size_t accounts;
    size_t threads; /* as in engine_options */
    double seconds; /* for a row */
} sides_plan;

typedef struct {
    const char *windows, *threshold_of; /* what they are */
    double threshold, median;           /* of the windows' scores */
    double scores_rows_per_s, sides_rows_per_s;
    size_t compared, different; /* decisions */
} sides_row;

enum { SIDES_ROWS = 3 };
/* False: one line in error. */
bool sides_measure(sides_row rows[SIDES_ROWS], const sides_plan *plan, char *error,
                   size_t error_bytes);

#endif

/*
 * sampling.h - windows drawn from a dataset, scored by the engine; and statistics of the scores.
 */
#ifndef ADDER_SAMPLING_H
#define ADDER_SAMPLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataset.h"
#include "reference.h"

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): seeded, so a command prints the same again. */
typedef struct {
    uint64_t state;
} sampling_random;
uint64_t sampling_next(sampling_random *random);
/* The first `count` entries of `rows` [all] become a uniform draw without replacement. */
void sampling_shuffle(sampling_random *random, uint32_t *rows, size_t all, size_t count);

typedef struct {
    const reference *reference;
    size_t window_rows; /* at most the dataset's rows */
    size_t windows;
    uint64_t seed;
    const char *label; /* of the progress bar */
} sampling_plan;
/* scores [windows]: each of a full window of distinct rows, drawn uniformly. */
bool sampling_scores(const sampling_plan *plan, const dataset *data, double *scores, char *error,
                     size_t error_bytes);

void sampling_sort(double *values, size_t count);
/* Of sorted values: the smallest that at most `share` of them lie above. */
double sampling_upper(const double *sorted, size_t count, double share);
double sampling_share_above(const double *sorted, size_t count, double threshold);
/* Probability that a value of `high` lies above one of `low`, ties half; both sorted. */
double sampling_auroc(const double *low, size_t low_count, const double *high, size_t high_count);

#endif

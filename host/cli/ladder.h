/*
 * ladder.h - mean and variance of d2_c over n honest rows of a class, for n on a ladder.
 */
#ifndef ADDER_LADDER_H
#define ADDER_LADDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataset.h"
#include "reference.h"

/* 1, 2, 3, 4, 6, 8, 12, 16, ..., W into rung [ENGINE_RUNGS_MAX]; returns how many. */
size_t ladder_rungs(size_t window_rows, double *rung);

/* Rows of each class together: those of class c from order[first[c]] on. */
typedef struct {
    size_t *first;   /* [classes + 1] */
    uint32_t *order; /* [rows] */
} ladder_classes;
bool ladder_classes_open(ladder_classes *classes, const dataset *data, size_t class_count);
void ladder_classes_close(ladder_classes *classes); /* zeroed is allowed */

/* Fills benign->window.mean and benign->variance, whose rungs are set. False with one line in
 * error. */
bool ladder_measure(reference_benign *benign, const reference *reference, const dataset *data,
                    uint64_t seed, char *error, size_t error_bytes);

#endif

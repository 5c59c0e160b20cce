/*
 * sweep.h - rows/s of the same batches into more and more accounts: only the size of what is kept
 * differs, and where in it a batch's accounts lie.
 *
 * All engines are open at once and take turns in every round, so that what slows the machine for a
 * while slows all of them. Memory is off.
 */
#ifndef ADDER_BENCH_SWEEP_H
#define ADDER_BENCH_SWEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "stream.h"
#include "synthetic.h"

enum { SWEEP_MAX = 4 };

typedef struct {
    size_t accounts;
    bool skipped; /* there is no memory for it */
    double rows_per_s;
} sweep_row;

/* Rows come with their numbers of accounts, from few to many; each is rounded up to groups of
 * data->shape.accounts, of which the data has at least as many. Each number is measured for
 * `seconds`. False: one line in error. */
bool sweep_measure(sweep_row *rows, size_t count, const synthetic *data,
                   const stream_options *options, double seconds, char *error, size_t error_bytes);

#endif

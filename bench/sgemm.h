/*
 * sgemm.h - the yardstick of the projection: the same matrix products and nothing else.
 *
 * A batch's rows, already centred and laid out by class, times their classes' factors: 2 dim rank
 * flops a row. Which way of using several threads is fastest depends on the shape and the machine,
 * so there are three and the best one counts.
 */
#ifndef ADDER_BENCH_SGEMM_H
#define ADDER_BENCH_SGEMM_H

#include <stddef.h>

#include "engine.h"

typedef enum {
    SGEMM_TILES,   /* threads of our own, one-threaded calls on 128 rows of a class */
    SGEMM_CLASSES, /* threads of our own, one-threaded calls on all rows of a class */
    SGEMM_BLAS,    /* OpenBLAS' threads, a call on all rows of a class after the other */
    SGEMM_WAYS,
} sgemm_way;

typedef struct sgemm sgemm;

/* Borrows the reference's factors; copies a batch of ENGINE_F32 rows. NULL: no memory. */
sgemm *sgemm_open(const engine_reference *reference, const engine_batch *batch, size_t threads);
void sgemm_close(sgemm *sgemm); /* NULL is allowed */

/* Seconds of one pass over the batch, the mean of as many as fit `seconds` (at least one). Leaves
 * OpenBLAS at one thread and its threads asleep. */
double sgemm_time(sgemm *sgemm, sgemm_way way, double seconds);

const char *sgemm_way_name(sgemm_way way);

#endif

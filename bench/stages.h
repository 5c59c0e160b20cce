/*
 * stages.h - what the CPU engine spends its time on, one thread: its stages run apart, batch after
 * batch of the same stream, beside the engine that runs them all.
 *
 * No clock is in the engine's own loops: the stages are called through kernels/'s internal headers
 * in the engine's order, a batch at a time, and what one call does together is taken apart by
 * running a part of it alone:
 *
 *     convert       project_batch less project: rows in order of class, elements to float, less the
 *                   class's mean, s and the alignment
 *     project       product_run alone on the batch's tiles, rows that lie in cache
 *     append        windows_append of every row
 *     gram          gathering the window's rows and window_score, less the next two: keys sorted by
 *                   class, Helmert rows, Gram matrices, closed forms of up to three rows
 *     eigenvalues   of the Gram matrices of order 3 and more: tridiagonal, and the sum of roots
 *     reduce        d2 and the sums over a window's classes, without benign tables
 *     rotations     memory_reserve and memory_add of every row
 *     memory score  memory_score: Gram matrix of the triangle, its eigenvalues, d2 and sums
 */
#ifndef ADDER_BENCH_STAGES_H
#define ADDER_BENCH_STAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "synthetic.h"

typedef enum {
    STAGES_CONVERT,
    STAGES_PROJECT,
    STAGES_APPEND,
    STAGES_GRAM,
    STAGES_EIGEN,
    STAGES_REDUCE,
    STAGES_ROTATE,
    STAGES_MEMORY_SCORE,
    STAGES_COUNT,
} stages_kind;

typedef struct {
    size_t window_rows;
    size_t memory_rank; /* 0: no memory's stages */
    double seconds;     /* of all rounds, about; warming up comes on top */
} stages_plan;

typedef struct {
    bool measured;
    size_t memory_rank;           /* in force */
    double stage[STAGES_COUNT];   /* seconds a window; medians */
    double engine, engine_memory; /* the engine on one thread, without and with memory */
} stages_result;

/* Takes the first group of the data's accounts. False: one line in error. */
bool stages_measure(stages_result *out, const synthetic *data, const stages_plan *plan, char *error,
                    size_t error_bytes);

#endif

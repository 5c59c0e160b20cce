/*
 * window_parts.h - parts of scoring windows that kernels/window.c does together, run apart on the
 * windows of one batch: eigenvalues of Gram matrices, and sums over classes.
 */
#ifndef ADDER_BENCH_WINDOW_PARTS_H
#define ADDER_BENCH_WINDOW_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "window.h"

/* Of how many windows there is room. */
typedef struct {
    size_t windows, window_rows, rank;
    const double *trace; /* [classes], borrowed */
} window_parts_shape;

typedef struct window_parts window_parts;
window_parts *window_parts_open(const window_parts_shape *shape); /* NULL: no memory */
void window_parts_close(window_parts *parts);                     /* NULL is allowed */

/* Takes one more window in, its rows from old to new. False: LAPACK failed. */
bool window_parts_put(window_parts *parts, const window_row *rows, size_t n);

/* Seconds a window, each once over the windows that were put. */
double window_parts_eigen(window_parts *parts);
double window_parts_reduce(window_parts *parts);

#endif

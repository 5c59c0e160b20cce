/*
 * root_sums.h - sums of square roots of eigenvalues as kernels/nuclear.c takes them of a Gram
 * matrix: the one place where the benchmarks call that kernel by itself.
 */
#ifndef ADDER_BENCH_ROOT_SUMS_H
#define ADDER_BENCH_ROOT_SUMS_H

#include <stddef.h>

typedef struct root_sums root_sums;
root_sums *root_sums_open(size_t order_max); /* NULL: no memory */
void root_sums_close(root_sums *sums);       /* NULL is allowed */

/* The sum of a matrix [order, order], both triangles, at *sum: there after root_sums_end at the
 * latest, since matrices of middling order are worked out side by side with those that
 * follow. No finite number where there is none. */
void root_sums_add(root_sums *sums, const double *matrix, size_t order, double *sum);
void root_sums_end(root_sums *sums);

#endif

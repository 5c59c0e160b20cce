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

/* Of `count` matrices [order, order], one after another, both triangles, used up; sum [count], no
 * finite number where there is none. */
void root_sums_of(root_sums *sums, double *matrix, size_t order, size_t count, double *sum);

#endif

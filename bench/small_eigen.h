/*
 * small_eigen.h - small symmetric matrices a second, sums of the square roots of their eigenvalues:
 * ours beside LAPACK's, in float64, one thread each.
 *
 * The matrices are Gram matrices of rows whose covariance falls off as that of real features does
 * (synthetic.c), all of them different. OpenBLAS is left at one thread.
 */
#ifndef ADDER_BENCH_SMALL_EIGEN_H
#define ADDER_BENCH_SMALL_EIGEN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    size_t order;
    double own_per_s;
    double dsyev_per_s, dsyevd_per_s; /* values only */
    double error_max;                 /* of our sums, relative to those of dsyev's eigenvalues */
} small_eigen;

/* Medians of rounds that time all three, `seconds` together. False: no memory, or LAPACK failed. */
bool small_eigen_time(small_eigen *out, size_t order, double seconds);

#endif

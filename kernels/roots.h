/*
 * roots.h - the sum of the square roots of a small symmetric matrix's eigenvalues, without them.
 *
 *     sqrt(x) = (2 / pi) integral over u of e^u x / (x + e^(2u))
 *
 * by the trapezoidal rule, whose error falls as e^(-pi^2 / step) (Trefethen and Weideman, SIAM
 * Review 56, 2014). Of a tridiagonal matrix, sum x / (x + t) is one recurrence over its rows, the
 * same for all nodes t at once, where an eigensolver's is one long chain of divisions for each
 * eigenvalue. Relative error of the sum at most 1.1e-8; but an eigenvalue near 5e-15 of the trace,
 * where the nodes end, is counted short by up to 1.5e-8 of the root of the trace, and a matrix may
 * have hundreds of them: roots_sum says by how much.
 */
#ifndef ADDER_ROOTS_H
#define ADDER_ROOTS_H

#include <stddef.h>

enum { ROOTS_NODES = 48 };

typedef struct {
    double shift[ROOTS_NODES]; /* t of a matrix of trace 1 */
    double weight[ROOTS_NODES];
} roots;
void roots_init(roots *roots);

/* Householder's reduction of a full symmetric matrix [order, order], which is used up;
 * `work` holds order. Meant for orders to about 64: it knows no blocks. */
void roots_tridiagonal(double *matrix, size_t order, double *diagonal, double *below, double *work);
/* Of the tridiagonal matrix with diagonal and below [order], whose last entry is none; no finite
 * number where the trace is none. *missed: what the sum is short of at most, for eigenvalues
 * from 1e-15 of the trace up; smaller ones are hardly more than what rounding makes of zero. */
double roots_sum(const roots *roots, const double *diagonal, const double *below, size_t order,
                 double *missed);

#endif

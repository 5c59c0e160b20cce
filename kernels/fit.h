/*
 * fit.h - from training embeddings, or from a mean and a covariance, to a class's factor.
 *
 * All in float64. Nothing here runs after a reference has been made.
 */
#ifndef ADDER_FIT_H
#define ADDER_FIT_H

#include <stddef.h>

/* LAPACK counts its 2 dim^2 words of workspace in 32 bits. */
enum { FIT_DIM_MAX = 32000 };

typedef enum {
    FIT_OK,
    FIT_NO_MEMORY,
    FIT_NOT_FINITE,
    FIT_NOT_SYMMETRIC, /* |S - S^T| beyond FIT_SYMMETRY_TOLERANCE of the largest entry */
    FIT_INDEFINITE,    /* an eigenvalue below -FIT_NEGATIVE_TOLERANCE of the largest */
    FIT_NO_CONVERGENCE,
} fit_status;

/* float32 statistics of real data are symmetric and at most 1e-6 below zero; these leave room. */
#define FIT_SYMMETRY_TOLERANCE 1e-5
#define FIT_NEGATIVE_TOLERANCE 1e-4

/* Rows that need not be in memory as float64: `read` writes rows first .. first + count - 1 as
 * [count, dim]. Every row is read twice. */
typedef struct {
    size_t rows; /* at least 1 */
    size_t dim;  /* 1..FIT_DIM_MAX */
    void (*read)(void *context, size_t first, size_t count, double *block);
    void *context;
} fit_source;

/* Mean [dim] and population covariance [dim, dim] of a source's rows. Two passes, so an offset of
 * the data costs nothing. FIT_NOT_FINITE when an element, or a sum of them, is not. */
fit_status fit_moments_of(const fit_source *source, double *mean, double *covariance);

/* The same of rows [count, dim] in memory, count >= 1. */
fit_status fit_moments(const double *rows, size_t count, size_t dim, double *mean,
                       double *covariance);

/* Factor of a covariance [dim, dim]: factor [dim, dim] row-major, S = F F^T, columns by falling
 * eigenvalue. *rank is the number of columns kept: eigenvalues at or below dim * DBL_EPSILON of the
 * largest are dropped and their columns zero. *trace is the sum of the eigenvalues kept. On failure
 * *detail is the offending figure (asymmetry over the largest entry, or smallest over largest
 * eigenvalue by magnitude; 0 for the rest). The covariance is overwritten. */
fit_status fit_factor(double *covariance, size_t dim, double *factor, size_t *rank, double *trace,
                      double *detail);

const char *fit_status_text(fit_status status);

#endif

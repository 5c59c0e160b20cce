/*
 * oracle.h - what the engines must compute, in float64 and as slowly as the paper writes it.
 *
 * Scores follow Mei et al., AAAI 2025 (arXiv 2503.12497):
 *
 *     d2_c = |m_c - m|^2 + tr S_c + tr S - 2 tr (S_c S)^(1/2),      score = sum_c (n_c / n) d2_c
 *
 * with m and S the mean and population covariance of the window's rows of class c. Nothing is
 * shared with kernels/ but the types of engine.h. Out of memory and failures of LAPACK end the
 * program: an oracle that guesses is none.
 */
#ifndef ADDER_TESTS_ORACLE_H
#define ADDER_TESTS_ORACLE_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"

typedef enum {
    /* Eigenvalues of R S R, R the symmetric root of S_c: the formula to the letter. An eigenvalue
     * that should be zero leaves sqrt(DBL_EPSILON), so about 1e-8 of the trace each. */
    ORACLE_LITERAL,
    /* Singular values of R Xc^T / sqrt(n), Xc the centred rows: the same figure without squaring.
     */
    ORACLE_SVD,
} oracle_method;

/* Mean and covariance of every class; roots are taken when first asked for. One thread. */
typedef struct oracle oracle;
oracle *oracle_open(size_t dim, size_t classes, const double *mean, const double *covariance);
/* ... of an engine's reference: its float32 entries as they are, S_c = F_c F_c^T. */
oracle *oracle_open_reference(const engine_reference *reference);
void oracle_close(oracle *oracle); /* NULL is allowed */

/* Score of a window of rows [count, dim]. */
double oracle_score(oracle *oracle, oracle_method method, const float *rows,
                    const uint32_t *classes, size_t count);
/* Score of a memory that holds these rows, row i with weight weights[i] >= 0; y is cut to its first
 * `rank` entries. */
double oracle_memory_score(const engine_reference *reference, size_t rank, const double *weights,
                           const float *rows, const uint32_t *classes, size_t count);
/* The other figures of engine.h, likewise from their formulas: of a window ... */
double oracle_excess(oracle *oracle, const engine_benign *benign, const float *rows,
                     const uint32_t *classes, size_t count);
double oracle_concentration(const uint32_t *classes, size_t count);
/* ... of a memory, see oracle_memory_score ... */
double oracle_memory_excess(const engine_reference *reference, const engine_benign *benign,
                            size_t rank, const double *weights, const float *rows,
                            const uint32_t *classes, size_t count);
/* ... and of a row of predicted class c. */
double oracle_alignment(const engine_reference *reference, size_t c, const float *row);
/* weights[i] of an account's rows right after the last, 2^(-(later rows) / half_life_rows), or 1
 * when that is 0; times 2^(-extra / half_life_rows). */
void oracle_weights(double half_life_rows, size_t extra, size_t count, double *weights);

#endif

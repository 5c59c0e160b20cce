/* oracle.c - the paper's formula in float64 on LAPACK; see oracle.h. Not for speed. */
#include "oracle.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct oracle {
    size_t dim;
    size_t classes;
    double *mean;       /* [classes, dim] */
    double *covariance; /* [classes, dim, dim] */
    double **root;      /* [classes] symmetric root [dim, dim], or NULL while nobody asked */
};

static void *must_have(size_t count, size_t bytes) {
    void *memory = calloc(count ? count : 1, bytes);
    if (!memory) {
        fprintf(stderr, "oracle: no memory for %zu times %zu bytes\n", count, bytes);
        abort();
    }
    return memory;
}

static void must_converge(int info, const char *routine) {
    if (info) {
        fprintf(stderr, "oracle: %s returned %d\n", routine, info);
        abort();
    }
}

/* Eigenvalues (rising) of a symmetric matrix, and its eigenvectors in the columns when job is 'V'.
 */
static void eigen(char job, size_t n, double *matrix, double *values) {
    must_converge(LAPACKE_dsyev(LAPACK_ROW_MAJOR, job, 'U', (int)n, matrix, (int)n, values),
                  "dsyev");
}

/* Sum of the singular values of a [rows, columns] matrix, which is overwritten. LAPACK reads it by
 * columns, so transposed, which has the same ones. */
static double nuclear(size_t rows, size_t columns, double *matrix) {
    size_t count = rows < columns ? rows : columns;
    double *values = must_have(count, sizeof *values);
    must_converge(LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', (int)columns, (int)rows, matrix,
                                 (int)columns, values, NULL, 1, NULL, 1),
                  "dgesdd");
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    free(values);
    return sum;
}

/* out [rows, columns] = left [rows, inner] right [inner, columns]. */
static void multiply(size_t rows, size_t inner, size_t columns, const double *left,
                     const double *right, double *out) {
    memset(out, 0, rows * columns * sizeof *out);
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < inner; k++) {
            double factor = left[i * inner + k];
            for (size_t j = 0; j < columns; j++) {
                out[i * columns + j] += factor * right[k * columns + j];
            }
        }
    }
}

static double trace(size_t n, const double *matrix) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += matrix[i * n + i];
    }
    return sum;
}

oracle *oracle_open(size_t dim, size_t classes, const double *mean, const double *covariance) {
    oracle *oracle = must_have(1, sizeof *oracle);
    /* Small calls are slower on two threads, and OpenBLAS's own are strangers to TSan. */
    openblas_set_num_threads(1);
    oracle->dim = dim;
    oracle->classes = classes;
    oracle->mean = must_have(classes * dim, sizeof *mean);
    oracle->covariance = must_have(classes * dim * dim, sizeof *covariance);
    oracle->root = must_have(classes, sizeof *oracle->root);
    memcpy(oracle->mean, mean, classes * dim * sizeof *mean);
    memcpy(oracle->covariance, covariance, classes * dim * dim * sizeof *covariance);
    return oracle;
}

oracle *oracle_open_reference(const engine_reference *reference) {
    size_t dim = reference->dim, rank = reference->rank;
    double *mean = must_have(reference->classes * dim, sizeof *mean);
    double *covariance = must_have(reference->classes * dim * dim, sizeof *covariance);
    double *factor = must_have(dim * rank, sizeof *factor);
    double *transposed = must_have(dim * rank, sizeof *transposed);
    for (size_t i = 0; i < reference->classes * dim; i++) {
        mean[i] = (double)reference->mean[i];
    }
    for (size_t c = 0; c < reference->classes; c++) {
        for (size_t i = 0; i < dim; i++) {
            for (size_t j = 0; j < rank; j++) {
                factor[i * rank + j] = (double)reference->factor[(c * dim + i) * rank + j];
                transposed[j * dim + i] = factor[i * rank + j];
            }
        }
        multiply(dim, rank, dim, factor, transposed, covariance + c * dim * dim);
    }
    oracle *oracle = oracle_open(dim, reference->classes, mean, covariance);
    free(mean);
    free(covariance);
    free(factor);
    free(transposed);
    return oracle;
}

void oracle_close(oracle *oracle) {
    if (!oracle) {
        return;
    }
    for (size_t c = 0; c < oracle->classes; c++) {
        free(oracle->root[c]);
    }
    free(oracle->root);
    free(oracle->covariance);
    free(oracle->mean);
    free(oracle);
}

/* R = V diag(sqrt(lambda)) V^T; rounding leaves eigenvalues just below zero, which are zero. */
static const double *symmetric_root(oracle *oracle, size_t c) {
    if (oracle->root[c]) {
        return oracle->root[c];
    }
    size_t dim = oracle->dim;
    double *vectors = must_have(dim * dim, sizeof *vectors);
    double *scaled = must_have(dim * dim, sizeof *scaled);
    double *values = must_have(dim, sizeof *values);
    memcpy(vectors, oracle->covariance + c * dim * dim, dim * dim * sizeof *vectors);
    eigen('V', dim, vectors, values);
    for (size_t i = 0; i < dim; i++) {
        for (size_t k = 0; k < dim; k++) {
            scaled[k * dim + i] = vectors[i * dim + k] * sqrt(fmax(values[k], 0.0));
        }
    }
    oracle->root[c] = must_have(dim * dim, sizeof **oracle->root);
    multiply(dim, dim, dim, vectors, scaled, oracle->root[c]);
    free(vectors);
    free(scaled);
    free(values);
    return oracle->root[c];
}

/* tr (S_c S)^(1/2) from the population covariance of centred rows [n, dim]. */
static double root_trace_literal(oracle *oracle, size_t c, const double *transposed,
                                 const double *centred, size_t n) {
    size_t dim = oracle->dim;
    const double *root = symmetric_root(oracle, c);
    double *covariance = must_have(dim * dim, sizeof *covariance);
    double *half = must_have(dim * dim, sizeof *half);
    double *values = must_have(dim, sizeof *values);
    multiply(dim, n, dim, transposed, centred, covariance);
    for (size_t i = 0; i < dim * dim; i++) {
        covariance[i] /= (double)n;
    }
    multiply(dim, dim, dim, root, covariance, half);
    multiply(dim, dim, dim, half, root, covariance);
    eigen('N', dim, covariance, values);
    double sum = 0.0;
    for (size_t i = 0; i < dim; i++) {
        sum += sqrt(fmax(values[i], 0.0));
    }
    free(covariance);
    free(half);
    free(values);
    return sum;
}

static double root_trace_svd(oracle *oracle, size_t c, const double *transposed, size_t n) {
    size_t dim = oracle->dim;
    double *product = must_have(dim * n, sizeof *product);
    multiply(dim, dim, n, symmetric_root(oracle, c), transposed, product);
    double sum = nuclear(dim, n, product) / sqrt((double)n);
    free(product);
    return sum;
}

/* d2_c of the rows of class c among `count`; *n is how many there are, and nothing else if none. */
static double distance(oracle *oracle, oracle_method method, size_t c, const float *rows,
                       const uint32_t *classes, size_t count, size_t *n) {
    size_t dim = oracle->dim;
    double *centred = must_have(count * dim, sizeof *centred);
    double *transposed = must_have(count * dim, sizeof *transposed);
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; classes[i] == c && j < dim; j++) {
            centred[*n * dim + j] = (double)rows[i * dim + j];
        }
        *n += classes[i] == c;
    }
    double from_mean = 0.0, spread = 0.0, root_trace = 0.0;
    for (size_t j = 0; *n && j < dim; j++) {
        double mean = 0.0;
        for (size_t i = 0; i < *n; i++) {
            mean += centred[i * dim + j] / (double)*n;
        }
        double apart = oracle->mean[c * dim + j] - mean;
        from_mean += apart * apart;
        for (size_t i = 0; i < *n; i++) {
            double off = centred[i * dim + j] - mean;
            centred[i * dim + j] = transposed[j * *n + i] = off;
            spread += off * off / (double)*n;
        }
    }
    if (*n > 1) {
        root_trace = method == ORACLE_SVD ? root_trace_svd(oracle, c, transposed, *n)
                                          : root_trace_literal(oracle, c, transposed, centred, *n);
    }
    free(centred);
    free(transposed);
    return from_mean + trace(dim, oracle->covariance + c * dim * dim) + spread - 2.0 * root_trace;
}

double oracle_score(oracle *oracle, oracle_method method, const float *rows,
                    const uint32_t *classes, size_t count) {
    double score = 0.0;
    for (size_t c = 0; c < oracle->classes; c++) {
        size_t n = 0;
        double d2 = distance(oracle, method, c, rows, classes, count, &n);
        score += n ? (double)n / (double)count * d2 : 0.0;
    }
    return score;
}

/* An entry of a table at n rows of class c, linear in 1/n between the rungs. */
static double table_at(const engine_benign *benign, const double *table, size_t c, double n) {
    const double *value = table + c * benign->rungs, *rung = benign->rung;
    size_t last = benign->rungs - 1;
    if (n <= rung[0] || n >= rung[last]) {
        return n <= rung[0] ? value[0] : value[last];
    }
    size_t k = 0;
    while (n > rung[k + 1]) {
        k++;
    }
    double from = 1.0 / rung[k], to = 1.0 / rung[k + 1];
    return value[k] + (1.0 / n - from) / (to - from) * (value[k + 1] - value[k]);
}

/* sqrt(n_c / n) (d2_c - b_c(n_c)) / v_c(n_c). */
static double class_excess(const engine_benign *benign, size_t c, double n_c, double n, double d2) {
    return sqrt(n_c / n) * (d2 - table_at(benign, benign->mean, c, n_c)) /
           table_at(benign, benign->deviation, c, n_c);
}

double oracle_excess(oracle *oracle, const engine_benign *benign, const float *rows,
                     const uint32_t *classes, size_t count) {
    double excess = 0.0;
    for (size_t c = 0; c < oracle->classes; c++) {
        size_t n = 0;
        double d2 = distance(oracle, ORACLE_SVD, c, rows, classes, count, &n);
        excess += n ? class_excess(benign, c, (double)n, (double)count, d2) : 0.0;
    }
    return excess;
}

double oracle_concentration(const uint32_t *classes, size_t count) {
    size_t pairs = 0, same = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            same += classes[i] == classes[j];
            pairs++;
        }
    }
    return pairs ? (double)same / (double)pairs : 1.0;
}

double oracle_alignment(const engine_reference *reference, size_t c, const float *row) {
    double product = 0.0, row_square = 0.0, mean_square = 0.0, apart = 0.0;
    for (size_t j = 0; j < reference->dim; j++) {
        double middle = 0.0, mean = (double)reference->mean[c * reference->dim + j];
        for (size_t k = 0; k < reference->classes; k++) {
            middle += (double)reference->mean[k * reference->dim + j] / (double)reference->classes;
        }
        double x = (double)row[j];
        product += (x - middle) * (mean - middle);
        row_square += (x - middle) * (x - middle);
        mean_square += (mean - middle) * (mean - middle);
        apart += (x - mean) * (x - mean);
    }
    /* 1 / classes is rounded: equal means leave some 1e-16 of themselves. */
    bool at_middle = row_square <= 1e-12 * (apart + mean_square);
    return reference->classes == 1 || at_middle ? 0.0 : product / sqrt(row_square * mean_square);
}

/* y = first `rank` entries of F_c^T (x - m_c); returns s = |x - m_c|^2. */
static double project(const engine_reference *reference, size_t c, size_t rank, const float *row,
                      double *y) {
    double s = 0.0;
    memset(y, 0, rank * sizeof *y);
    for (size_t i = 0; i < reference->dim; i++) {
        size_t at = c * reference->dim + i;
        double off = (double)row[i] - (double)reference->mean[at];
        s += off * off;
        for (size_t j = 0; j < rank; j++) {
            y[j] += off * (double)reference->factor[at * reference->rank + j];
        }
    }
    return s;
}

/* Nuclear norm of rows y [n, rank] about their weighted mean, each by the root of its weight. */
static double weighted_nuclear(double *y, const double *weights, double weight, size_t n,
                               size_t rank) {
    for (size_t j = 0; j < rank; j++) {
        double mean = 0.0;
        for (size_t i = 0; i < n; i++) {
            mean += weights[i] / weight * y[i * rank + j];
        }
        for (size_t i = 0; i < n; i++) {
            y[i * rank + j] = sqrt(weights[i]) * (y[i * rank + j] - mean);
        }
    }
    return nuclear(n, rank, y);
}

/* d2_c of the memory's rows of class c, whose weights add up to *weight, or nothing if that is 0.
 */
static double memory_distance(const engine_reference *reference, size_t rank, size_t c,
                              const double *weights, const float *rows, const uint32_t *classes,
                              size_t count, double *weight) {
    double *y = must_have(count * rank, sizeof *y);
    double *class_weights = must_have(count, sizeof *class_weights);
    double s = 0.0, d2 = 0.0;
    size_t n = 0;
    *weight = 0.0;
    for (size_t i = 0; i < count; i++) {
        if (classes[i] != c) {
            continue;
        }
        s += weights[i] * project(reference, c, rank, rows + i * reference->dim, y + n * rank);
        *weight += class_weights[n++] = weights[i];
    }
    if (*weight > 0.0) {
        double norm = weighted_nuclear(y, class_weights, *weight, n, rank);
        d2 = reference->trace[c] + s / *weight - 2.0 * norm / sqrt(*weight);
    }
    free(y);
    free(class_weights);
    return d2;
}

double oracle_memory_score(const engine_reference *reference, size_t rank, const double *weights,
                           const float *rows, const uint32_t *classes, size_t count) {
    double sum = 0.0, weight_all = 0.0, weight;
    rank = rank < reference->rank ? rank : reference->rank;
    for (size_t c = 0; c < reference->classes; c++) {
        double d2 = memory_distance(reference, rank, c, weights, rows, classes, count, &weight);
        sum += weight * d2;
        weight_all += weight;
    }
    return sum / weight_all;
}

double oracle_memory_excess(const engine_reference *reference, const engine_benign *benign,
                            size_t rank, const double *weights, const float *rows,
                            const uint32_t *classes, size_t count) {
    double excess = 0.0, weight_all = 0.0, weight;
    rank = rank < reference->rank ? rank : reference->rank;
    for (size_t i = 0; i < count; i++) {
        weight_all += weights[i];
    }
    for (size_t c = 0; c < reference->classes; c++) {
        double d2 = memory_distance(reference, rank, c, weights, rows, classes, count, &weight);
        excess += weight > 0.0 ? class_excess(benign, c, weight, weight_all, d2) : 0.0;
    }
    return excess;
}

void oracle_weights(double half_life_rows, size_t extra, size_t count, double *weights) {
    for (size_t i = 0; i < count; i++) {
        double age = (double)(count - 1 - i + extra);
        weights[i] = half_life_rows > 0.0 ? exp2(-age / half_life_rows) : 1.0;
    }
}

/* eigen_matrices.c - see eigen_matrices.h. */
#include "eigen_matrices.h"

#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JACOBI_SWEEPS_MAX = 60 };

const char *const matrix_kind_names[MATRIX_KINDS] = {
    "gram", "condition", "deficient", "equal", "dominant", "duplicates", "padded", "zero",
};

static void *must_have(size_t count, size_t bytes) {
    void *memory = calloc(count ? count : 1, bytes);
    if (memory == NULL) {
        fprintf(stderr, "no memory for %zu times %zu bytes\n", count, bytes);
        abort();
    }
    return memory;
}

/* In -1..1. */
static double uniform(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 23) - 1.0;
}

/* a = rows rows^T, exact where all products and sums are. */
static void gram(const double *rows, size_t order, size_t columns, double *a) {
    for (size_t at = 0; at < order * order; at++) {
        long double sum = 0.0L;
        for (size_t l = 0; l < columns; l++) {
            sum += (long double)rows[at / order * columns + l] * rows[at % order * columns + l];
        }
        a[at] = (double)sum;
    }
}

/* a = Q diag(values) Q^T, Q a product of two reflections I - 2 v v^T / v^T v. */
static void turn(const double *values, size_t order, unsigned *seed, double *a) {
    long double *work = must_have(order * order, sizeof *work), *v = must_have(order, sizeof *v);
    for (size_t i = 0; i < order; i++) {
        work[i * order + i] = values[i];
    }
    for (int times = 0; times < 2; times++) {
        long double length = 0.0L;
        for (size_t i = 0; i < order; i++) {
            v[i] = uniform(seed);
            length += v[i] * v[i];
        }
        for (int side = 0; side < 2; side++) {
            size_t along = side ? 1 : order, across = side ? order : 1;
            for (size_t i = 0; i < order; i++) {
                long double dot = 0.0L;
                for (size_t j = 0; j < order; j++) {
                    dot += work[i * across + j * along] * v[j];
                }
                for (size_t j = 0; j < order; j++) {
                    work[i * across + j * along] -= 2.0L * dot * v[j] / length;
                }
            }
        }
    }
    for (size_t at = 0; at < order * order; at++) {
        a[at] = (double)work[at / order >= at % order ? at : at % order * order + at / order];
    }
    free(v);
    free(work);
}

/* Entry (row i, column j) of rows that a Gram matrix is made of; `base` is row 0's. */
static double row_entry(matrix_kind kind, size_t variant, double base, unsigned *seed) {
    switch (kind) {
    case MATRIX_DEFICIENT:
        return (double)lround(4.0 * uniform(seed));
    case MATRIX_DUPLICATES:
        return (double)(float)(base * (1.0 + pow(10.0, -(double)variant) * uniform(seed)));
    default:
        return uniform(seed);
    }
}

static void make_gram(matrix_kind kind, size_t variant, size_t order, unsigned *seed, double *a) {
    size_t columns = kind == MATRIX_DEFICIENT ? order / (variant + 2) + 1 : 2 * order;
    double *rows = must_have(order * columns, sizeof *rows), *base = must_have(columns, 8);
    for (size_t j = 0; j < columns; j++) {
        base[j] = uniform(seed);
    }
    size_t filled = kind == MATRIX_PADDED ? order - (variant < order ? variant : 0) : order;
    for (size_t at = 0; at < filled * columns; at++) {
        rows[at] = row_entry(kind, variant, base[at % columns], seed);
    }
    gram(rows, order, columns, a);
    free(base);
    free(rows);
}

static void make_turned(matrix_kind kind, size_t variant, size_t order, unsigned *seed, double *a) {
    double *values = must_have(order, sizeof *values), least = pow(10.0, -(double)variant);
    for (size_t i = 0; i < order; i++) {
        double part = order > 1 ? (double)i / (double)(order - 1) : 0.0;
        values[i] = kind == MATRIX_EQUAL || i == 0 ? 1.0
                    : kind == MATRIX_CONDITION     ? pow(least, part)
                                                   : least;
    }
    turn(values, order, seed, a);
    free(values);
}

void matrix_make(matrix_kind kind, size_t variant, size_t order, double *a) {
    unsigned seed = (unsigned)(1 + order + 1000 * variant + 100000 * (size_t)kind);
    memset(a, 0, order * order * sizeof *a);
    if (kind == MATRIX_CONDITION || kind == MATRIX_EQUAL || kind == MATRIX_DOMINANT) {
        make_turned(kind, variant, order, &seed, a);
    } else if (kind != MATRIX_ZERO) {
        make_gram(kind, variant, order, &seed, a);
    }
}

double matrix_lapack(const double *a, size_t order) {
    double *copy = must_have(order * order, sizeof *copy), *values = must_have(order, 8), sum = 0.0;
    memcpy(copy, a, order * order * sizeof *copy);
    if (LAPACKE_dsyev(LAPACK_COL_MAJOR, 'N', 'L', (int)order, copy, (int)order, values) != 0) {
        abort();
    }
    for (size_t i = 0; i < order; i++) {
        sum += values[i] > 0.0 ? sqrt(values[i]) : 0.0;
    }
    free(values);
    free(copy);
    return sum;
}

/* Turns rows and columns p and q so that their entry becomes zero (Golub and Van Loan, section
 * 8.5). */
static void rotate(long double *a, size_t order, size_t p, size_t q) {
    long double apq = a[p * order + q];
    long double tau = (a[q * order + q] - a[p * order + p]) / (2.0L * apq);
    long double t = (tau >= 0.0L ? 1.0L : -1.0L) / (fabsl(tau) + sqrtl(1.0L + tau * tau));
    long double c = 1.0L / sqrtl(1.0L + t * t), s = t * c;
    for (int side = 0; side < 2; side++) {
        size_t along = side ? 1 : order, across = side ? order : 1;
        for (size_t i = 0; i < order; i++) {
            long double x = a[i * along + p * across], y = a[i * along + q * across];
            a[i * along + p * across] = c * x - s * y;
            a[i * along + q * across] = s * x + c * y;
        }
    }
}

/* One sweep; whether anything was left to turn. */
static bool sweep(long double *a, size_t order, long double small) {
    bool turned = false;
    for (size_t p = 0; p < order; p++) {
        for (size_t q = p + 1; q < order; q++) {
            if (fabsl(a[p * order + q]) > small) {
                rotate(a, order, p, q);
                turned = true;
            }
        }
    }
    return turned;
}

double matrix_truth(const double *a, size_t order) {
    long double *work = must_have(order * order, sizeof *work), trace = 0.0L, sum = 0.0L;
    for (size_t at = 0; at < order * order; at++) {
        work[at] = a[at];
        trace += at % (order + 1) == 0 ? work[at] : 0.0L;
    }
    int sweeps = 0;
    while (sweep(work, order, LDBL_EPSILON / 4.0L * trace) && sweeps < JACOBI_SWEEPS_MAX) {
        sweeps++;
    }
    for (size_t i = 0; i < order; i++) {
        long double value = work[i * (order + 1)];
        sum += value > 0.0L ? sqrtl(value) : 0.0L;
    }
    free(work);
    return (double)sum;
}

/*
 * nuclear.c - Helmert rows instead of centred ones: one row fewer, the same scatter, and the closed
 * forms of one and two Helmert rows are those of two and three rows of a class.
 */
#include "nuclear.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

#include "roots.h"
#include "score.h"
#include "vector.h"

/* Above SMALL_MAX LAPACK's blocked reduction is the faster one (measured: 60 to 100). */
enum {
    BLOCK_ROWS_MIN = 64,
    LAPACK_BLOCK = 64,
    SMALL_MAX = 64,
    LINE_FLOATS = 16,
    LANES = 8,
    WIDE_MIN = 64
};

/* Of the norm. A score that is next to nothing may be off by four times as much (engine.h), and the
 * norm counts twice. */
#define MISSED_MAX 1e-7

struct nuclear {
    size_t columns;
    size_t stride;     /* of block: columns in whole lanes, zero after the last */
    size_t block_rows; /* rows the buffer holds, but for three that may be read */
    size_t order_max;  /* largest eigenproblem */
    double *sum;       /* [columns] running sum of rows */
    double *block;     /* [block_rows + 3, stride] */
    double *gram;      /* [order_max, order_max] */
    double *diagonal;  /* [order_max] */
    double *below;     /* [order_max] */
    double *reflector; /* [order_max] scale factors that LAPACK gives and nobody needs */
    double *work;
    roots roots;
    lapack_int work_length;
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

nuclear *nuclear_open(size_t rows_max, size_t columns) {
    nuclear *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->columns = columns;
    s->stride = (columns + LANES - 1) / LANES * LANES;
    s->order_max = least(rows_max, columns);
    s->block_rows = least(rows_max, columns > BLOCK_ROWS_MIN ? columns : BLOCK_ROWS_MIN);
    s->work_length = (lapack_int)((LAPACK_BLOCK + 2) * s->order_max);
    s->sum = calloc(columns, sizeof *s->sum);
    s->block = calloc((s->block_rows + 3) * s->stride, sizeof *s->block);
    s->gram = calloc(s->order_max * s->order_max, sizeof *s->gram);
    s->diagonal = calloc(s->order_max, sizeof *s->diagonal);
    s->below = calloc(s->order_max, sizeof *s->below);
    s->reflector = calloc(s->order_max, sizeof *s->reflector);
    s->work = calloc((size_t)s->work_length, sizeof *s->work);
    if (!s->sum || !s->block || !s->gram || !s->diagonal || !s->below || !s->reflector ||
        !s->work) {
        nuclear_close(s);
        return NULL;
    }
    roots_init(&s->roots);
    return s;
}

void nuclear_close(nuclear *s) {
    if (s == NULL) {
        return;
    }
    free(s->work);
    free(s->reflector);
    free(s->below);
    free(s->diagonal);
    free(s->gram);
    free(s->block);
    free(s->sum);
    free(s);
}

VECTOR_CLONES static double dot(const double *a, const double *b, size_t n) {
    double lane[8] = {0};
    size_t j = 0;
    for (; j + 8 <= n; j += 8) {
        for (size_t l = 0; l < 8; l++) {
            lane[l] += a[j + l] * b[j + l];
        }
    }
    for (; j < n; j++) {
        lane[0] += a[j] * b[j];
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* The upper triangle of s->gram from its lower one. */
static void mirror(nuclear *s, size_t order) {
    for (size_t i = 0; i < order; i++) {
        for (size_t j = i + 1; j < order; j++) {
            s->gram[i * order + j] = s->gram[j * order + i];
        }
    }
}

/* By an eigensolver, of the tridiagonal matrix, which is used up. */
static bool sum_of_each_root(nuclear *s, size_t order, double *norm) {
    if (LAPACKE_dsterf_work((lapack_int)order, s->diagonal, s->below) != 0) {
        return false;
    }
    *norm = 0.0;
    for (size_t i = 0; i < order; i++) {
        *norm += s->diagonal[i] > 0.0 ? sqrt(s->diagonal[i]) : 0.0;
    }
    return true;
}

/* Sum of square roots of the eigenvalues of the matrix in s->gram, which is used up. */
static bool sum_of_roots(nuclear *s, size_t order, double *norm) {
    if (order > SMALL_MAX) {
        if (LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'U', (lapack_int)order, s->gram,
                                (lapack_int)order, s->diagonal, s->below, s->reflector, s->work,
                                s->work_length) != 0) {
            return false;
        }
    } else {
        roots_tridiagonal(s->gram, order, s->diagonal, s->below, s->work);
    }
    double missed;
    *norm = roots_sum(&s->roots, s->diagonal, s->below, order, &missed);
    if (missed > MISSED_MAX * *norm) {
        return sum_of_each_root(s, order, norm);
    }
    return isfinite(*norm);
}

typedef double lanes __attribute__((vector_size(64)));

/* Dot products of four rows with four others; the compiler makes of a `lanes` what registers there
 * are. Sums in eight lanes, whatever the processor. */
VECTOR_CLONES static void dots_4x4(const double *a, const double *b, size_t stride,
                                   double out[4][4]) {
    lanes sum[4][4] = {0};
    for (size_t k = 0; k < stride; k += LANES) {
        lanes left[4];
        lanes right[4];
        for (size_t i = 0; i < 4; i++) {
            memcpy(&left[i], a + i * stride + k, sizeof left[i]);
            memcpy(&right[i], b + i * stride + k, sizeof right[i]);
        }
        for (size_t i = 0; i < 4; i++) {
            for (size_t j = 0; j < 4; j++) {
                sum[i][j] += left[i] * right[j];
            }
        }
    }
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            lanes t = sum[i][j];
            out[i][j] = ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]));
        }
    }
}

/* Gram matrix of a few rows, both triangles. Up to three rows after the last are read. */
static void gram_of_few(nuclear *s, size_t rows) {
    for (size_t i = 0; i < rows; i += 4) {
        for (size_t j = 0; j <= i; j += 4) {
            double out[4][4];
            dots_4x4(s->block + i * s->stride, s->block + j * s->stride, s->stride, out);
            for (size_t a = i; a < rows && a < i + 4; a++) {
                for (size_t b = j; b < rows && b < j + 4; b++) {
                    s->gram[a * rows + b] = s->gram[b * rows + a] = out[a - i][b - j];
                }
            }
        }
    }
}

/* Of `rows` rows in s->block, all there at once: their norm where that is easy, and *order 0; else
 * the Gram matrix of the smaller side, and its order. */
static void form(nuclear *s, size_t rows, size_t *order, double *norm) {
    const double *x = s->block;
    size_t d = s->columns;
    *order = 0;
    if (rows == 0) {
        *norm = 0.0;
        return;
    }
    if (rows == 1) {
        *norm = sqrt(dot(x, x, d));
        return;
    }
    if (rows == 2) {
        const double *z = x + s->stride;
        *norm = score_nuclear_of_two(dot(x, x, d), dot(z, z, d), dot(x, z, d));
        return;
    }
    bool tall = rows > d;
    *order = tall ? d : rows;
    if (!tall && *order <= SMALL_MAX && d >= WIDE_MIN) {
        gram_of_few(s, rows);
    } else {
        cblas_dsyrk(CblasRowMajor, CblasLower, tall ? CblasTrans : CblasNoTrans, (int)*order,
                    (int)(tall ? rows : d), 1.0, x, (int)s->stride, 0.0, s->gram, (int)*order);
        mirror(s, *order);
    }
}

/* Helmert row k of the rows seen so far, whose sum `sum` is. Adds the row to the sum. Rows of a
 * long window lie apart and out of cache, so the one after this is called for meanwhile. */
VECTOR_CLONES static void helmert_row(double *restrict sum, const float *restrict row,
                                      const float *next, size_t k, size_t columns,
                                      double *restrict out) {
    double scale = score_helmert(k);
    double count = (double)k;
    for (size_t j = 0; j < columns; j += LINE_FLOATS) {
        __builtin_prefetch(next + j);
    }
    for (size_t j = 0; j < columns; j++) {
        double y = (double)row[j];
        out[j] = (sum[j] - count * y) * scale;
        sum[j] += y;
    }
}

/* The scatter matrix of the first d columns, a block of rows at a time. */
static void form_scatter(nuclear *s, const float *const *rows, size_t n, size_t d) {
    size_t held = 0;
    double keep = 0.0;
    for (size_t k = 1; k < n; k++) {
        helmert_row(s->sum, rows[k], rows[k + 1 < n ? k + 1 : k], k, d,
                    s->block + held * s->stride);
        held++;
        if (held == s->block_rows || k + 1 == n) {
            cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)d, (int)held, 1.0, s->block,
                        (int)s->stride, keep, s->gram, (int)d);
            keep = 1.0;
            held = 0;
        }
    }
    mirror(s, d);
}

static void start_sum(nuclear *s, const float *row, size_t d) {
    for (size_t j = 0; j < d; j++) {
        s->sum[j] = (double)row[j];
    }
}

bool nuclear_form(nuclear *s, const float *const *rows, size_t n, size_t *order, double *norm) {
    size_t d = s->columns;
    start_sum(s, rows[0], d);
    if (n - 1 > s->block_rows) {
        form_scatter(s, rows, n, d);
        *order = d;
        return true;
    }
    for (size_t k = 1; k < n; k++) {
        helmert_row(s->sum, rows[k], rows[k + 1 < n ? k + 1 : k], k, d,
                    s->block + (k - 1) * s->stride);
    }
    form(s, n - 1, order, norm);
    return *order > 0 || isfinite(*norm);
}

double *nuclear_gram(nuclear *s) {
    return s->gram;
}

bool nuclear_reduce(nuclear *s, size_t order, double *norm) {
    return order == 0 || sum_of_roots(s, order, norm);
}

bool nuclear_of_centred(nuclear *s, const float *const *rows, size_t n, double *norm) {
    size_t order;
    return nuclear_form(s, rows, n, &order, norm) && nuclear_reduce(s, order, norm);
}

bool nuclear_of_leading(nuclear *s, const float *const *rows, size_t n, size_t columns,
                        double *norm) {
    start_sum(s, rows[0], columns);
    form_scatter(s, rows, n, columns);
    return sum_of_roots(s, columns, norm);
}

/* Adds a row's differences from `origin`, and their squares. */
VECTOR_CLONES static void add_lengths(const float *restrict row, const float *restrict origin,
                                      const float *next, size_t columns, double *restrict sum,
                                      double *restrict square) {
    for (size_t j = 0; j < columns; j += LINE_FLOATS) {
        __builtin_prefetch(next + j);
    }
    for (size_t j = 0; j < columns; j++) {
        double y = (double)row[j] - (double)origin[j];
        sum[j] += y;
        square[j] += y * y;
    }
}

/* Differences from the first row, so that what all rows have in common does not cancel. */
void nuclear_lengths(nuclear *s, const float *const *rows, size_t n, double *length) {
    memset(s->sum, 0, s->columns * sizeof *s->sum);
    memset(length, 0, s->columns * sizeof *length);
    for (size_t i = 1; i < n; i++) {
        add_lengths(rows[i], rows[0], rows[i + 1 < n ? i + 1 : i], s->columns, s->sum, length);
    }
    for (size_t j = 0; j < s->columns; j++) {
        double square = length[j] - s->sum[j] * s->sum[j] / (double)n;
        length[j] = square < 0.0 ? 0.0 : sqrt(square); /* what is no number stays so */
    }
}

bool nuclear_of_triangle(nuclear *s, const float *packed, double *norm) {
    size_t d = s->columns;
    size_t rows = 0;
    for (size_t i = 0; i < d; i++) {
        double *out = s->block + i * s->stride;
        memset(out, 0, i * sizeof *out);
        for (size_t j = i; j < d; j++) {
            out[j] = (double)*packed++;
        }
        if (out[i] != 0.0) {
            rows = i + 1;
        }
    }
    size_t order;
    form(s, rows, &order, norm);
    return nuclear_reduce(s, order, norm);
}

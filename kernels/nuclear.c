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

#include "score.h"

enum { BLOCK_ROWS_MIN = 64, LAPACK_BLOCK = 64 };

struct nuclear {
    size_t columns;
    size_t block_rows; /* rows the buffer holds */
    size_t order_max;  /* largest eigenproblem */
    double *sum;       /* [columns] running sum of rows */
    double *block;     /* [block_rows, columns] */
    double *gram;      /* [order_max, order_max] */
    double *values;    /* [order_max] */
    double *work;
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
    s->order_max = least(rows_max, columns);
    s->block_rows = least(rows_max, columns > BLOCK_ROWS_MIN ? columns : BLOCK_ROWS_MIN);
    s->work_length = (lapack_int)((LAPACK_BLOCK + 2) * s->order_max);
    s->sum = calloc(columns, sizeof *s->sum);
    s->block = calloc(s->block_rows * columns, sizeof *s->block);
    s->gram = calloc(s->order_max * s->order_max, sizeof *s->gram);
    s->values = calloc(s->order_max, sizeof *s->values);
    s->work = calloc((size_t)s->work_length, sizeof *s->work);
    if (!s->sum || !s->block || !s->gram || !s->values || !s->work) {
        nuclear_close(s);
        return NULL;
    }
    return s;
}

void nuclear_close(nuclear *s) {
    if (s == NULL) {
        return;
    }
    free(s->work);
    free(s->values);
    free(s->gram);
    free(s->block);
    free(s->sum);
    free(s);
}

static double dot(const double *a, const double *b, size_t n) {
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

/* Sum of square roots of the eigenvalues of the matrix in s->gram. Its lower triangle by rows is
 * the upper one by columns, which is what LAPACK takes without a copy. */
static bool sum_of_roots(nuclear *s, size_t order, double *norm) {
    lapack_int failed = LAPACKE_dsyev_work(LAPACK_COL_MAJOR, 'N', 'U', (lapack_int)order, s->gram,
                                           (lapack_int)order, s->values, s->work, s->work_length);
    double sum = 0.0;
    for (size_t i = 0; i < order; i++) {
        sum += s->values[i] > 0.0 ? sqrt(s->values[i]) : 0.0;
    }
    *norm = sum;
    return failed == 0;
}

/* Of `rows` rows in s->block, all there at once. */
static bool norm_of_block(nuclear *s, size_t rows, double *norm) {
    const double *x = s->block;
    size_t d = s->columns;
    if (rows == 0) {
        *norm = 0.0;
        return true;
    }
    if (rows == 1) {
        *norm = sqrt(dot(x, x, d));
        return true;
    }
    if (rows == 2) {
        *norm = score_nuclear_of_two(dot(x, x, d), dot(x + d, x + d, d), dot(x, x + d, d));
        return true;
    }
    bool tall = rows > d;
    size_t order = tall ? d : rows;
    cblas_dsyrk(CblasRowMajor, CblasLower, tall ? CblasTrans : CblasNoTrans, (int)order,
                (int)(tall ? rows : d), 1.0, x, (int)d, 0.0, s->gram, (int)order);
    return sum_of_roots(s, order, norm);
}

/* Helmert row k of the rows seen so far, whose sum s->sum is. Adds the row to the sum. */
static void helmert_row(nuclear *s, const float *row, size_t k, double *out) {
    double scale = score_helmert(k);
    double count = (double)k;
    for (size_t j = 0; j < s->columns; j++) {
        double y = (double)row[j];
        out[j] = (s->sum[j] - count * y) * scale;
        s->sum[j] += y;
    }
}

/* More rows than fit the block: their scatter matrix, a block at a time. */
static bool norm_of_many(nuclear *s, const float *const *rows, size_t n, double *norm) {
    size_t d = s->columns;
    size_t held = 0;
    double keep = 0.0;
    for (size_t k = 1; k < n; k++) {
        helmert_row(s, rows[k], k, s->block + held * d);
        held++;
        if (held == s->block_rows || k + 1 == n) {
            cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)d, (int)held, 1.0, s->block,
                        (int)d, keep, s->gram, (int)d);
            keep = 1.0;
            held = 0;
        }
    }
    return sum_of_roots(s, d, norm);
}

bool nuclear_of_centred(nuclear *s, const float *const *rows, size_t n, double *norm) {
    size_t d = s->columns;
    for (size_t j = 0; j < d; j++) {
        s->sum[j] = (double)rows[0][j];
    }
    if (n - 1 > s->block_rows) {
        return norm_of_many(s, rows, n, norm);
    }
    for (size_t k = 1; k < n; k++) {
        helmert_row(s, rows[k], k, s->block + (k - 1) * d);
    }
    return norm_of_block(s, n - 1, norm);
}

bool nuclear_of_triangle(nuclear *s, const float *packed, double *norm) {
    size_t d = s->columns;
    size_t rows = 0;
    for (size_t i = 0; i < d; i++) {
        double *out = s->block + i * d;
        memset(out, 0, i * sizeof *out);
        for (size_t j = i; j < d; j++) {
            out[j] = (double)*packed++;
        }
        if (out[i] != 0.0) {
            rows = i + 1;
        }
    }
    return norm_of_block(s, rows, norm);
}

/*
 * small_eigen.c - see small_eigen.h. Each pass copies the matrices first, since all three ways use
 * theirs up, and the copy is in all three times.
 */
#include "small_eigen.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

#include "bench.h"
#include "root_sums.h"
#include "synthetic.h"

enum { MATRICES = 256, COLUMNS = 256, ROUNDS = 7, SEED = 1 };

typedef enum { OWN, DSYEV, DSYEVD, WAYS } way;

typedef struct {
    size_t order;
    double *fresh, *spent; /* [MATRICES, order, order] */
    double *value;         /* [order] */
    double *work;
    lapack_int work_length;
    root_sums *own;
    double *sum[WAYS]; /* [MATRICES] */
    bool failed;
} bench;

/* ---- opening ---- */

static bool make_matrices(bench *b) {
    size_t n = b->order;
    uint64_t state = SEED;
    float *gaussian = calloc(n * COLUMNS, sizeof *gaussian);
    double *row = calloc(n * COLUMNS, sizeof *row);
    bool allocated = gaussian != NULL && row != NULL;
    for (size_t m = 0; allocated && m < MATRICES; m++) {
        double *gram = b->fresh + m * n * n;
        synthetic_gaussians(&state, gaussian, n * COLUMNS);
        for (size_t i = 0; i < n * COLUMNS; i++) {
            row[i] = (double)gaussian[i] * sqrt(synthetic_eigenvalue(i % COLUMNS));
        }
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)n, COLUMNS, 1.0, row,
                    COLUMNS, row, COLUMNS, 0.0, gram, (int)n);
    }
    free(row);
    free(gaussian);
    return allocated;
}

static bool bench_open(bench *b) {
    size_t n = b->order;
    b->work_length = (lapack_int)(1 + 66 * n + 2 * n * n);
    b->fresh = calloc(MATRICES * n * n, sizeof *b->fresh);
    b->spent = calloc(MATRICES * n * n, sizeof *b->spent);
    b->value = calloc(n, sizeof *b->value);
    b->work = calloc((size_t)b->work_length, sizeof *b->work);
    b->own = root_sums_open(n);
    bool allocated = b->fresh && b->spent && b->value && b->work && b->own;
    for (way w = 0; w < WAYS; w++) {
        b->sum[w] = calloc(MATRICES, sizeof *b->sum[w]);
        allocated = allocated && b->sum[w] != NULL;
    }
    return allocated && make_matrices(b);
}

static void bench_close(bench *b) {
    for (way w = 0; w < WAYS; w++) {
        free(b->sum[w]);
    }
    root_sums_close(b->own);
    free(b->work);
    free(b->value);
    free(b->spent);
    free(b->fresh);
}

/* ---- passes ---- */

static bool lapack_values(bench *b, way w, double *matrix) {
    lapack_int n = (lapack_int)b->order, integers[1];
    if (w == DSYEV) {
        return LAPACKE_dsyev_work(LAPACK_COL_MAJOR, 'N', 'L', n, matrix, n, b->value, b->work,
                                  b->work_length) == 0;
    }
    return LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'N', 'L', n, matrix, n, b->value, b->work,
                               b->work_length, integers, 1) == 0;
}

static void lapack_pass(bench *b, way w) {
    for (size_t m = 0; m < MATRICES; m++) {
        double sum = 0.0;
        b->failed = !lapack_values(b, w, b->spent + m * b->order * b->order) || b->failed;
        for (size_t i = 0; i < b->order; i++) {
            sum += sqrt(b->value[i] > 0.0 ? b->value[i] : 0.0);
        }
        b->sum[w][m] = sum;
    }
}

static void pass(bench *b, way w) {
    memcpy(b->spent, b->fresh, MATRICES * b->order * b->order * sizeof *b->spent);
    if (w == OWN) {
        for (size_t m = 0; m < MATRICES; m++) {
            root_sums_add(b->own, b->spent + m * b->order * b->order, b->order, &b->sum[OWN][m]);
        }
        root_sums_end(b->own);
    } else {
        lapack_pass(b, w);
    }
}

/* Seconds of a pass. */
static double time_way(bench *b, way w, double seconds) {
    size_t passes = 0;
    double spent = 0.0;
    double start = bench_now();
    do {
        pass(b, w);
        passes++;
        spent = bench_now() - start;
    } while (spent < seconds);
    return spent / (double)passes;
}

static double largest_error(const bench *b) {
    double most = 0.0;
    for (size_t m = 0; m < MATRICES; m++) {
        double error = fabs(b->sum[OWN][m] / b->sum[DSYEV][m] - 1.0);
        most = error <= most ? most : error; /* one that is no number stays */
    }
    return most;
}

bool small_eigen_time(small_eigen *out, size_t order, double seconds) {
    bench b = {.order = order};
    double pass_s[WAYS][ROUNDS];
    double *per_s[WAYS] = {
        [OWN] = &out->own_per_s, [DSYEV] = &out->dsyev_per_s, [DSYEVD] = &out->dsyevd_per_s};
    *out = (small_eigen){.order = order};
    openblas_set_num_threads(1);
    bool opened = bench_open(&b);
    for (size_t round = 0; opened && round < ROUNDS; round++) {
        for (way w = 0; w < WAYS; w++) {
            pass_s[w][round] = time_way(&b, w, seconds / (WAYS * ROUNDS));
        }
    }
    for (way w = 0; opened && w < WAYS; w++) {
        *per_s[w] = MATRICES / bench_median(pass_s[w], ROUNDS);
    }
    out->error_max = opened ? largest_error(&b) : 0.0;
    bench_close(&b);
    return opened && !b.failed;
}

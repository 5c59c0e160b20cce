/*
 * ssyevd.c - see ssyevd.h. LAPACK uses its matrix up, so each call works on a copy that it makes:
 * dim^2 of its 4/3 dim^3 operations.
 */
#include "ssyevd.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cblas.h>
#include <lapacke.h>

#include "bench.h"
#include "pool.h"

/* See sgemm.c. */
#define SPIN_NS 60000000L

enum { DIFFERENT = 4 };

typedef struct {
    float *matrix; /* [dim, dim] used up */
    float *value;  /* [dim] */
    float *work;
} place;

struct ssyevd {
    size_t dim, threads;
    pool *pool;
    float *covariance; /* [DIFFERENT, dim, dim] */
    place *place;      /* [threads] */
    lapack_int work_length;
    atomic_bool failed;
};

/* Population covariance of `rows` rows of the stream, from row `first` on and round it. */
static bool make_covariance(const synthetic *data, size_t first, size_t rows, float *out) {
    const synthetic_shape *shape = &data->shape;
    size_t dim = shape->dim, all = shape->batches * shape->accounts * shape->observation_rows;
    float *x = malloc(rows * dim * sizeof *x);
    float *mean = calloc(dim, sizeof *mean);
    bool allocated = x != NULL && mean != NULL;
    for (size_t i = 0; allocated && i < rows; i++) {
        memcpy(x + i * dim, data->embeddings + (first + i) % all * dim, dim * sizeof *x);
        cblas_saxpy((int)dim, 1.0f / (float)rows, x + i * dim, 1, mean, 1);
    }
    for (size_t i = 0; allocated && i < rows; i++) {
        cblas_saxpy((int)dim, -1.0f, mean, 1, x + i * dim, 1);
    }
    if (allocated) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)dim, (int)dim, (int)rows,
                    1.0f / (float)rows, x, (int)dim, x, (int)dim, 0.0f, out, (int)dim);
    }
    free(mean);
    free(x);
    return allocated;
}

static bool place_open(place *p, size_t dim, lapack_int work_length) {
    p->matrix = calloc(dim * dim, sizeof *p->matrix);
    p->value = calloc(dim, sizeof *p->value);
    p->work = calloc((size_t)work_length, sizeof *p->work);
    return p->matrix && p->value && p->work;
}

static lapack_int work_length_of(size_t dim) {
    lapack_int n = (lapack_int)dim, integers[1];
    float length = 0.0f, none[1] = {0.0f};
    LAPACKE_ssyevd_work(LAPACK_COL_MAJOR, 'N', 'L', n, none, n, none, &length, -1, integers, -1);
    lapack_int least = 2 * n + 1;
    return (lapack_int)length > least ? (lapack_int)length : least;
}

ssyevd *ssyevd_open(const synthetic *data, size_t window_rows, size_t threads) {
    size_t dim = data->shape.dim;
    ssyevd *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    e->dim = dim;
    e->threads = threads;
    e->work_length = work_length_of(dim);
    e->pool = pool_open(threads);
    e->covariance = calloc(DIFFERENT * dim * dim, sizeof *e->covariance);
    e->place = calloc(threads, sizeof *e->place);
    bool opened = e->pool && e->covariance && e->place;
    for (size_t t = 0; opened && t < threads; t++) {
        opened = place_open(&e->place[t], dim, e->work_length);
    }
    for (size_t m = 0; opened && m < DIFFERENT; m++) {
        opened = make_covariance(data, m * window_rows, window_rows, e->covariance + m * dim * dim);
    }
    if (!opened) {
        ssyevd_close(e);
        return NULL;
    }
    return e;
}

void ssyevd_close(ssyevd *e) {
    if (e == NULL) {
        return;
    }
    for (size_t t = 0; e->place != NULL && t < e->threads; t++) {
        free(e->place[t].work);
        free(e->place[t].value);
        free(e->place[t].matrix);
    }
    free(e->place);
    free(e->covariance);
    pool_close(e->pool);
    free(e);
}

static void solve(void *context, size_t task, size_t thread) {
    ssyevd *e = context;
    place *p = &e->place[thread];
    size_t entries = e->dim * e->dim;
    lapack_int n = (lapack_int)e->dim, integers[1];
    memcpy(p->matrix, e->covariance + task % DIFFERENT * entries, entries * sizeof *p->matrix);
    if (LAPACKE_ssyevd_work(LAPACK_COL_MAJOR, 'N', 'L', n, p->matrix, n, p->value, p->work,
                            e->work_length, integers, 1) != 0) {
        atomic_store(&e->failed, true);
    }
}

/* Matrices done: as many as there are threads, or one. */
static size_t pass(ssyevd *e, ssyevd_way way, size_t number) {
    if (way == SSYEVD_SIDE) {
        pool_run(e->pool, e->threads, solve, e);
        return e->threads;
    }
    solve(e, number, 0);
    return 1;
}

double ssyevd_time(ssyevd *e, ssyevd_way way, double seconds) {
    size_t done = 0;
    openblas_set_num_threads(way == SSYEVD_ALL ? (int)e->threads : 1);
    double start = bench_now();
    done += pass(e, way, 0);
    double spent = bench_now() - start;
    if (spent < 0.5 * seconds) {
        done = 0;
        start = bench_now();
        do {
            done += pass(e, way, done);
            spent = bench_now() - start;
        } while (spent < seconds);
    }
    openblas_set_num_threads(1);
    if (way == SSYEVD_ALL && e->threads > 1) {
        nanosleep(&(struct timespec){.tv_nsec = SPIN_NS}, NULL);
    }
    return spent / (double)done;
}

bool ssyevd_failed(const ssyevd *e) {
    return atomic_load(&e->failed);
}

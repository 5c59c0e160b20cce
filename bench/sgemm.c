/*
 * sgemm.c - a batch as matrices, one a class, and their products by pool or by OpenBLAS.
 */
#include "sgemm.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cblas.h>

#include "bench.h"
#include "pool.h"

enum { TILE_ROWS = 128 };

/* OpenBLAS' threads spin for up to 2^26 clock ticks after a call and would take a core from what is
 * measured next. */
#define SPIN_NS 60000000L

typedef struct {
    size_t class_index;
    size_t first; /* row */
    size_t count;
} piece;

typedef struct {
    piece *piece; /* [pieces] */
    size_t pieces;
} cut;

struct sgemm {
    const engine_reference *reference;
    size_t threads;
    pool *pool;
    float *x; /* [rows, dim], by class */
    float *y; /* [rows, rank] */
    cut cut[SGEMM_WAYS];
    const cut *at_work;
};

/* Pieces of at most rows_max rows of a class; class_rows [classes]. */
static void cut_init(cut *cut, const size_t *class_rows, size_t classes, size_t rows_max) {
    size_t first = 0;
    for (size_t c = 0; c < classes; c++) {
        for (size_t done = 0; done < class_rows[c]; done += rows_max) {
            size_t left = class_rows[c] - done;
            cut->piece[cut->pieces++] = (piece){c, first + done, left < rows_max ? left : rows_max};
        }
        first += class_rows[c];
    }
}

/* Copies the rows to class order, less their means; class_rows and next have [classes] zeros. */
static void place_rows(sgemm *s, const engine_batch *batch, size_t *class_rows, size_t *next) {
    size_t dim = s->reference->dim;
    for (size_t i = 0; i < batch->rows; i++) {
        class_rows[batch->classes[i]]++;
    }
    for (size_t c = 1; c < s->reference->classes; c++) {
        next[c] = next[c - 1] + class_rows[c - 1];
    }
    for (size_t i = 0; i < batch->rows; i++) {
        uint32_t c = batch->classes[i];
        float *x = s->x + next[c]++ * dim;
        memcpy(x, batch->embeddings[i], dim * sizeof *x);
        cblas_saxpy((int)dim, -1.0f, s->reference->mean + c * dim, 1, x, 1);
    }
}

sgemm *sgemm_open(const engine_reference *reference, const engine_batch *batch, size_t threads) {
    size_t *class_rows = calloc(reference->classes, sizeof *class_rows);
    size_t *next = calloc(reference->classes, sizeof *next);
    sgemm *s = calloc(1, sizeof *s);
    if (s == NULL || class_rows == NULL || next == NULL) {
        goto fail;
    }
    s->reference = reference;
    s->threads = threads;
    s->pool = pool_open(threads);
    s->x = calloc(batch->rows * reference->dim, sizeof *s->x);
    s->y = calloc(batch->rows * reference->rank, sizeof *s->y);
    if (s->pool == NULL || s->x == NULL || s->y == NULL) {
        goto fail;
    }
    place_rows(s, batch, class_rows, next);
    for (size_t way = 0; way < SGEMM_WAYS; way++) {
        s->cut[way].piece = calloc(batch->rows, sizeof *s->cut[way].piece);
        if (s->cut[way].piece == NULL) {
            goto fail;
        }
        cut_init(&s->cut[way], class_rows, reference->classes,
                 way == SGEMM_TILES ? TILE_ROWS : batch->rows);
    }
    free(next);
    free(class_rows);
    return s;
fail:
    sgemm_close(s);
    free(next);
    free(class_rows);
    return NULL;
}

void sgemm_close(sgemm *s) {
    if (s == NULL) {
        return;
    }
    for (size_t way = 0; way < SGEMM_WAYS; way++) {
        free(s->cut[way].piece);
    }
    free(s->y);
    free(s->x);
    pool_close(s->pool);
    free(s);
}

static void multiply(void *context, size_t task, size_t thread) {
    sgemm *s = context;
    const piece *piece = &s->at_work->piece[task];
    size_t dim = s->reference->dim;
    size_t rank = s->reference->rank;
    (void)thread;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)piece->count, (int)rank, (int)dim,
                1.0f, s->x + piece->first * dim, (int)dim,
                s->reference->factor + piece->class_index * dim * rank, (int)rank, 0.0f,
                s->y + piece->first * rank, (int)rank);
}

static void pass(sgemm *s, sgemm_way way) {
    s->at_work = &s->cut[way];
    if (way != SGEMM_BLAS) {
        pool_run(s->pool, s->at_work->pieces, multiply, s);
        return;
    }
    for (size_t i = 0; i < s->at_work->pieces; i++) {
        multiply(s, i, 0);
    }
}

double sgemm_time(sgemm *s, sgemm_way way, double seconds) {
    size_t passes = 0;
    double spent = 0.0;
    openblas_set_num_threads(way == SGEMM_BLAS ? (int)s->threads : 1);
    pass(s, way); /* warm-up */
    double start = bench_now();
    do {
        pass(s, way);
        passes++;
        spent = bench_now() - start;
    } while (spent < seconds);
    openblas_set_num_threads(1);
    if (way == SGEMM_BLAS && s->threads > 1) {
        nanosleep(&(struct timespec){.tv_nsec = SPIN_NS}, NULL);
    }
    return spent / (double)passes;
}

const char *sgemm_way_name(sgemm_way way) {
    static const char *const name[] = {
        [SGEMM_TILES] = "tiles", [SGEMM_CLASSES] = "classes", [SGEMM_BLAS] = "openblas"};
    return name[way];
}

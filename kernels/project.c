/*
 * project.c - convert, centre and multiply, a tile of one class's rows at a time.
 */
#include "project.h"

#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "direction.h"
#include "grouping.h"
#include "score.h"

/* 128 centred rows of 512 floats are 256 KB: they stay in a core's second-level cache. */
enum { TILE_ROWS = 128, LANES = 8 };

typedef class_group tile; /* a piece of a group */

struct project {
    size_t dim, rank, classes, rows_max;
    float *mean;   /* [classes, dim] */
    float *factor; /* [classes, dim, rank] */
    directions directions;
    grouping grouping;
    tile *tile; /* [rows_max] */
    size_t tiles;
    float *s;       /* [rows_max] by place */
    float *y;       /* [rows_max, rank] by place */
    float *centred; /* [threads, TILE_ROWS, dim] */
    const engine_batch *batch;
    const unsigned char *dtype;
};

static void *copy_of(const void *data, size_t bytes) {
    void *copy = malloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, data, bytes);
}

project *project_open(const engine_reference *r, size_t rows_max, size_t threads) {
    project *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->dim = r->dim;
    p->rank = r->rank;
    p->classes = r->classes;
    p->rows_max = rows_max;
    p->mean = copy_of(r->mean, r->classes * r->dim * sizeof *p->mean);
    p->factor = copy_of(r->factor, r->classes * r->dim * r->rank * sizeof *p->factor);
    p->tile = calloc(rows_max, sizeof *p->tile);
    p->s = calloc(rows_max, sizeof *p->s);
    p->y = calloc(rows_max, r->rank * sizeof *p->y);
    p->centred = calloc(threads * TILE_ROWS, r->dim * sizeof *p->centred);
    if (!grouping_open(&p->grouping, rows_max, r->classes) || !directions_open(&p->directions, r) ||
        !p->mean || !p->factor || !p->tile || !p->s || !p->y || !p->centred) {
        project_close(p);
        return NULL;
    }
    return p;
}

void project_close(project *p) {
    if (p == NULL) {
        return;
    }
    free(p->centred);
    free(p->y);
    free(p->s);
    free(p->tile);
    grouping_close(&p->grouping);
    directions_close(&p->directions);
    free(p->factor);
    free(p->mean);
    free(p);
}

static void cut_tiles(project *p) {
    p->tiles = 0;
    for (size_t k = 0; k < p->grouping.groups; k++) {
        const class_group *g = &p->grouping.group[k];
        for (uint32_t done = 0; done < g->count; done += TILE_ROWS) {
            uint32_t left = g->count - done;
            p->tile[p->tiles++] =
                (tile){g->class_index, g->first + done, left < TILE_ROWS ? left : TILE_ROWS};
        }
    }
}

/* Elements of any type at any address to float. */
static void convert(float *out, const unsigned char *bytes, size_t dim, engine_dtype dtype) {
    if (dtype == ENGINE_F32) {
        memcpy(out, bytes, dim * sizeof *out);
        return;
    }
    for (size_t j = 0; j < dim; j++) {
        uint16_t half;
        memcpy(&half, bytes + j * sizeof half, sizeof half);
        out[j] = dtype == ENGINE_F16 ? score_from_f16(half) : score_from_bf16(half);
    }
}

static double sum_of_lanes(const double *lane) {
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

/* x <- x - mean; s is its squared length and t its product with the class's direction, summed in
 * float64 over eight lanes so that the compiler vectorises it without being allowed to reorder
 * sums. */
static void centre(float *x, const float *mean, const float *direction, size_t dim, double *s,
                   double *t) {
    double square[LANES] = {0}, along[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= dim; j += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            x[j + l] -= mean[j + l];
            square[l] += (double)x[j + l] * (double)x[j + l];
            along[l] += (double)x[j + l] * (double)direction[j + l];
        }
    }
    for (; j < dim; j++) {
        x[j] -= mean[j];
        square[0] += (double)x[j] * (double)x[j];
        along[0] += (double)x[j] * (double)direction[j];
    }
    *s = sum_of_lanes(square);
    *t = sum_of_lanes(along);
}

/* The tile's row i, into x. */
static void read_row(project *p, const tile *t, size_t i, float *x) {
    uint32_t row = p->grouping.row_at[t->first + i];
    size_t class_at = t->class_index * p->dim;
    double s, along;
    convert(x, p->batch->embeddings[row], p->dim, (engine_dtype)p->dtype[row]);
    centre(x, p->mean + class_at, p->directions.vector + class_at, p->dim, &s, &along);
    p->s[t->first + i] = (float)s;
    if (p->batch->alignments != NULL) {
        p->batch->alignments[row] = score_alignment(s, along, p->directions.square[t->class_index]);
    }
}

static void project_tile(void *context, size_t task, size_t thread) {
    project *p = context;
    const tile *t = &p->tile[task];
    const float *factor = p->factor + t->class_index * p->dim * p->rank;
    float *x = p->centred + thread * TILE_ROWS * p->dim;
    float *y = p->y + t->first * p->rank;
    for (size_t i = 0; i < t->count; i++) {
        read_row(p, t, i, x + i * p->dim);
    }
    int dim = (int)p->dim;
    int rank = (int)p->rank;
    if (t->count == 1) {
        cblas_sgemv(CblasRowMajor, CblasTrans, dim, rank, 1.0f, factor, rank, x, 1, 0.0f, y, 1);
    } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)t->count, rank, dim, 1.0f, x,
                    dim, factor, rank, 0.0f, y, rank);
    }
}

void project_batch(project *p, pool *pool, const engine_batch *batch, const unsigned char *dtype) {
    p->batch = batch;
    p->dtype = dtype;
    grouping_sort(&p->grouping, batch->classes, batch->rows);
    cut_tiles(p);
    pool_run(pool, p->tiles, project_tile, p);
}

float project_s(const project *p, size_t row) {
    return p->s[p->grouping.place[row]];
}

const float *project_y(const project *p, size_t row) {
    return p->y + p->grouping.place[row] * p->rank;
}

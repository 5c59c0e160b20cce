/*
 * project.c - convert, centre and multiply, a tile of one class's rows at a time.
 */
#include "project.h"

#include <stdlib.h>
#include <string.h>

#include "direction.h"
#include "grouping.h"
#include "product.h"
#include "score.h"
#include "vector.h"

enum { LANES = 8, LINE_BYTES = 64, ROWS_AHEAD = 4 };

typedef class_group tile; /* a piece of a group */

struct project {
    size_t dim, rank, classes, rows_max, threads;
    float *mean; /* [classes, dim] */
    product_kind kind;
    product_shape shape;
    float *panels; /* [classes, product_floats] */
    directions directions;
    grouping grouping;
    tile *tile; /* [rows_max] */
    size_t tiles;
    size_t stride;  /* dim and padding */
    float *s;       /* [rows_max] by place */
    float *y;       /* [rows_max, rank] by place */
    float *centred; /* [threads, PROJECT_TILE_ROWS, stride] */
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
    p->threads = threads;
    p->mean = copy_of(r->mean, r->classes * r->dim * sizeof *p->mean);
    p->kind = product_best();
    p->shape = (product_shape){r->dim, r->rank};
    p->stride = r->dim + PROJECT_PADDING;
    p->panels = malloc(r->classes * product_floats(p->shape) * sizeof *p->panels);
    p->tile = calloc(rows_max, sizeof *p->tile);
    p->s = calloc(rows_max, sizeof *p->s);
    p->y = calloc(rows_max, r->rank * sizeof *p->y);
    p->centred = calloc(threads * PROJECT_TILE_ROWS, p->stride * sizeof *p->centred);
    if (!grouping_open(&p->grouping, rows_max, r->classes) || !directions_open(&p->directions, r) ||
        !p->mean || !p->panels || !p->tile || !p->s || !p->y || !p->centred) {
        project_close(p);
        return NULL;
    }
    for (size_t c = 0; c < r->classes; c++) {
        product_lay_out(p->shape, r->factor + c * r->dim * r->rank,
                        p->panels + c * product_floats(p->shape));
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
    free(p->panels);
    free(p->mean);
    free(p);
}

size_t project_bytes(const project *p) {
    size_t statistics = p->classes * (2 * p->dim + product_floats(p->shape)) * sizeof(float);
    size_t row = (1 + p->rank) * sizeof(float) + 2 * sizeof(tile);
    return statistics + p->rows_max * row +
           p->threads * PROJECT_TILE_ROWS * p->stride * sizeof(float);
}

static void cut_tiles(project *p) {
    p->tiles = 0;
    for (size_t k = 0; k < p->grouping.groups; k++) {
        const class_group *g = &p->grouping.group[k];
        for (uint32_t done = 0; done < g->count; done += PROJECT_TILE_ROWS) {
            uint32_t left = g->count - done;
            p->tile[p->tiles++] = (tile){g->class_index, g->first + done,
                                         left < PROJECT_TILE_ROWS ? left : PROJECT_TILE_ROWS};
        }
    }
}

/* One element of any type at any address. */
static inline float element(const unsigned char *bytes, size_t j, engine_dtype dtype) {
    if (dtype == ENGINE_F32) {
        float value;
        memcpy(&value, bytes + j * sizeof value, sizeof value);
        return value;
    }
    uint16_t half;
    memcpy(&half, bytes + j * sizeof half, sizeof half);
    return dtype == ENGINE_F16 ? score_from_f16(half) : score_from_bf16(half);
}

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef double doubles __attribute__((vector_size(8 * LANES)));

/* LANES elements of any type at any address. */
static inline void elements(const unsigned char *bytes, size_t j, engine_dtype dtype, floats *out) {
    if (dtype == ENGINE_F32) {
        memcpy(out, bytes + j * sizeof(float), sizeof *out);
        return;
    }
    for (size_t l = 0; l < LANES; l++) {
        (*out)[l] = element(bytes, j + l, dtype);
    }
}

static double sum_of_lanes(const doubles *lane) {
    const doubles t = *lane;
    return ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]));
}

/* What a row is centred by, and what it is then worth: s is its squared length, t its product with
 * the class's direction. */
typedef struct {
    const float *mean, *direction; /* [dim] of the class */
    size_t dim;
    double s, t;
} centring;

/* x <- row - mean; sums in float64 in eight lanes, the same whatever the processor. */
static inline void centre(float *restrict x, const unsigned char *restrict row,
                          centring *restrict by, engine_dtype dtype) {
    const float *restrict mean = by->mean, *restrict direction = by->direction;
    doubles square = {0}, along = {0};
    size_t j = 0;
    for (; j + LANES <= by->dim; j += LANES) {
        floats apart, from, towards;
        elements(row, j, dtype, &apart);
        memcpy(&from, mean + j, sizeof from);
        memcpy(&towards, direction + j, sizeof towards);
        apart -= from;
        memcpy(x + j, &apart, sizeof apart);
        doubles wide = __builtin_convertvector(apart, doubles);
        square += wide * wide;
        along += wide * __builtin_convertvector(towards, doubles);
    }
    for (; j < by->dim; j++) {
        x[j] = element(row, j, dtype) - mean[j];
        square[0] += (double)x[j] * (double)x[j];
        along[0] += (double)x[j] * (double)direction[j];
    }
    by->s = sum_of_lanes(&square);
    by->t = sum_of_lanes(&along);
}

/* A loop for each type, so that none asks for it at every element. */
VECTOR_CLONES static void centre_any(float *x, const unsigned char *row, centring *by,
                                     engine_dtype dtype) {
    switch (dtype) {
    case ENGINE_F16:
        centre(x, row, by, ENGINE_F16);
        break;
    case ENGINE_BF16:
        centre(x, row, by, ENGINE_BF16);
        break;
    default:
        centre(x, row, by, ENGINE_F32);
    }
}

/* The tile's row i, into x. */
static void read_row(project *p, const tile *t, size_t i, float *x) {
    uint32_t row = p->grouping.row_at[t->first + i];
    size_t class_at = t->class_index * p->dim;
    centring by = {p->mean + class_at, p->directions.vector + class_at, p->dim, 0.0, 0.0};
    centre_any(x, p->batch->embeddings[row], &by, (engine_dtype)p->dtype[row]);
    p->s[t->first + i] = (float)by.s;
    if (p->batch->alignments != NULL) {
        p->batch->alignments[row] =
            score_alignment(by.s, by.t, p->directions.square[t->class_index]);
    }
}

/* A class's rows lie all over the batch, where no processor guesses that they come next. */
static void call_for(const project *p, const tile *t, size_t i) {
    if (i < t->count) {
        uint32_t row = p->grouping.row_at[t->first + i];
        size_t bytes = p->dim * (p->dtype[row] == ENGINE_F32 ? sizeof(float) : sizeof(uint16_t));
        for (size_t at = 0; at < bytes; at += LINE_BYTES) {
            __builtin_prefetch(p->batch->embeddings[row] + at);
        }
    }
}

static void project_tile(void *context, size_t task, size_t thread) {
    project *p = context;
    const tile *t = &p->tile[task];
    float *x = p->centred + thread * PROJECT_TILE_ROWS * p->stride;
    for (size_t i = 0; i < t->count; i++) {
        call_for(p, t, i + ROWS_AHEAD);
        read_row(p, t, i, x + i * p->stride);
    }
    product_run(&(product_task){.kind = p->kind,
                                .shape = p->shape,
                                .rows = t->count,
                                .stride = p->stride,
                                .x = x,
                                .panels = p->panels + t->class_index * product_floats(p->shape),
                                .y = p->y + t->first * p->rank});
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

/*
 * synthetic.c - random orthonormal directions once, signs per class, and rows by matrix product.
 */
#include "synthetic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

enum { BLOCK_ROWS = 256 };

/* Eigenvalues are EIGENVALUE_FIRST / (1 + (k / PLATEAU)^2): within a factor of two of the real
 * features' at dim 64, 256 and 512, traces of about 10. MEAN_SCALE puts classes as far apart. */
#define EIGENVALUE_FIRST 2.0
#define PLATEAU 3.0
#define MEAN_SCALE 0.5f
#define TAU 6.283185307179586f

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one word of state and good enough for data. */
static uint64_t next_word(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Box and Muller's pair from one word; the first half never gives log(0). */
void synthetic_gaussians(uint64_t *state, float *out, size_t count) {
    for (size_t i = 0; i < count; i += 2) {
        uint64_t word = next_word(state);
        float radius = sqrtf(-2.0f * logf(((float)(uint32_t)(word >> 40) + 1.0f) * 0x1p-24f));
        float angle = TAU * (float)(uint32_t)(word & 0xffffffu) * 0x1p-24f;
        out[i] = radius * cosf(angle);
        if (i + 1 < count) {
            out[i + 1] = radius * sinf(angle);
        }
    }
}

double synthetic_eigenvalue(size_t k) {
    return EIGENVALUE_FIRST / (1.0 + pow((double)k / PLATEAU, 2.0));
}

/* [dim, rank] with orthonormal columns; false when there is no memory for it. */
static bool directions(uint64_t *state, float *out, size_t dim, size_t rank) {
    float *tau = calloc(rank, sizeof *tau);
    bool made = tau != NULL;
    if (made) {
        synthetic_gaussians(state, out, dim * rank);
        made = LAPACKE_sgeqrf(LAPACK_ROW_MAJOR, (lapack_int)dim, (lapack_int)rank, out,
                              (lapack_int)rank, tau) == 0 &&
               LAPACKE_sorgqr(LAPACK_ROW_MAJOR, (lapack_int)dim, (lapack_int)rank, (lapack_int)rank,
                              out, (lapack_int)rank, tau) == 0;
    }
    free(tau);
    return made;
}

static bool copy_reference(synthetic *s, const engine_reference *from) {
    size_t means = from->classes * from->dim;
    memcpy(s->mean, from->mean, means * sizeof *s->mean);
    memcpy(s->factor, from->factor, means * from->rank * sizeof *s->factor);
    memcpy(s->trace, from->trace, from->classes * sizeof *s->trace);
    return true;
}

/* Flipping rows of an orthonormal basis leaves it one, so each class has its own at no cost. */
static bool fill_reference(synthetic *s, uint64_t *state) {
    size_t dim = s->shape.dim;
    size_t rank = s->shape.rank;
    float *basis = calloc(dim * rank, sizeof *basis);
    if (basis == NULL || !directions(state, basis, dim, rank)) {
        free(basis);
        return false;
    }
    double trace = 0.0;
    for (size_t k = 0; k < rank; k++) {
        double eigenvalue = synthetic_eigenvalue(k);
        trace += eigenvalue;
        cblas_sscal((int)dim, (float)sqrt(eigenvalue), basis + k, (int)rank);
    }
    synthetic_gaussians(state, s->mean, s->shape.classes * dim);
    cblas_sscal((int)(s->shape.classes * dim), MEAN_SCALE, s->mean, 1);
    for (size_t c = 0; c < s->shape.classes; c++) {
        s->trace[c] = trace;
        for (size_t i = 0; i < dim; i++) {
            float sign = next_word(state) & 1u ? 1.0f : -1.0f;
            float *row = s->factor + (c * dim + i) * rank;
            cblas_scopy((int)rank, basis + i * rank, 1, row, 1);
            cblas_sscal((int)rank, sign, row, 1);
        }
    }
    free(basis);
    return true;
}

/* Rows of one class that wait to be made. */
typedef struct {
    size_t class_index;
    size_t at[BLOCK_ROWS];
    size_t count;
    float *gaussian; /* [BLOCK_ROWS, rank] */
    float *made;     /* [BLOCK_ROWS, dim] */
} block;

static void fill_block(synthetic *s, block *b, uint64_t *state) {
    size_t dim = s->shape.dim;
    size_t rank = s->shape.rank;
    const float *mean = s->mean + b->class_index * dim;
    synthetic_gaussians(state, b->gaussian, b->count * rank);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)b->count, (int)dim, (int)rank, 1.0f,
                b->gaussian, (int)rank, s->factor + b->class_index * dim * rank, (int)rank, 0.0f,
                b->made, (int)dim);
    for (size_t i = 0; i < b->count; i++) {
        for (size_t j = 0; j < dim; j++) {
            s->embeddings[b->at[i] * dim + j] = b->made[i * dim + j] + mean[j];
        }
    }
    b->count = 0;
}

static void fill_class(synthetic *s, block *b, size_t rows, uint64_t *state) {
    for (size_t i = 0; i < rows; i++) {
        if (s->classes[i] == b->class_index) {
            b->at[b->count++] = i;
        }
        if (b->count == BLOCK_ROWS) {
            fill_block(s, b, state);
        }
    }
    if (b->count > 0) {
        fill_block(s, b, state);
    }
}

static bool fill_rows(synthetic *s, size_t rows, uint64_t *state) {
    block b = {.gaussian = calloc(BLOCK_ROWS * s->shape.rank, sizeof *b.gaussian),
               .made = calloc(BLOCK_ROWS * s->shape.dim, sizeof *b.made)};
    bool allocated = b.gaussian != NULL && b.made != NULL;
    for (size_t i = 0; allocated && i < rows; i++) {
        s->classes[i] = (uint32_t)(next_word(state) % s->shape.classes);
        s->row[i] = (const unsigned char *)(s->embeddings + i * s->shape.dim);
    }
    for (size_t c = 0; allocated && c < s->shape.classes; c++) {
        b.class_index = c;
        fill_class(s, &b, rows, state);
    }
    free(b.made);
    free(b.gaussian);
    return allocated;
}

size_t synthetic_bytes(const synthetic_shape *shape) {
    double rows =
        (double)shape->batches * (double)shape->accounts * (double)shape->observation_rows;
    double factor = (double)shape->classes * (double)shape->dim * (double)shape->rank;
    double bytes =
        (double)sizeof(float) * (factor + (rows + (double)shape->classes) * (double)shape->dim) +
        rows * (double)(sizeof(uint32_t) + sizeof(void *));
    return bytes < 0.5 * (double)SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

static void fill_observations(synthetic *s) {
    size_t accounts = s->shape.accounts, rows = s->shape.observation_rows;
    for (size_t a = 0; a < s->shape.groups_max * accounts; a++) {
        s->observation[a] = (engine_observation){.slot = (uint32_t)a,
                                                 .row_first = (uint32_t)(a % accounts * rows),
                                                 .row_count = (uint32_t)rows,
                                                 .dtype = ENGINE_F32};
    }
}

bool synthetic_init(synthetic *s, const synthetic_shape *shape) {
    size_t batch_rows = shape->accounts * shape->observation_rows;
    size_t rows = shape->batches * batch_rows;
    uint64_t state = shape->seed;
    *s = (synthetic){.shape = *shape, .groups = shape->groups_max};
    s->mean = calloc(shape->classes * shape->dim, sizeof *s->mean);
    s->factor = calloc(shape->classes * shape->dim * shape->rank, sizeof *s->factor);
    s->trace = calloc(shape->classes, sizeof *s->trace);
    s->embeddings = calloc(rows * shape->dim, sizeof *s->embeddings);
    s->classes = calloc(rows, sizeof *s->classes);
    s->row = calloc(rows, sizeof(const unsigned char *));
    s->observation = calloc(shape->groups_max * shape->accounts, sizeof *s->observation);
    s->results = calloc(shape->batches * shape->accounts, sizeof *s->results);
    if (!s->mean || !s->factor || !s->trace || !s->embeddings || !s->classes || !s->row ||
        !s->observation || !s->results ||
        !(shape->reference ? copy_reference(s, shape->reference) : fill_reference(s, &state)) ||
        !fill_rows(s, rows, &state)) {
        synthetic_fini(s);
        return false;
    }
    fill_observations(s);
    s->reference = (engine_reference){.dim = shape->dim,
                                      .classes = shape->classes,
                                      .rank = shape->rank,
                                      .mean = s->mean,
                                      .factor = s->factor,
                                      .trace = s->trace};
    return true;
}

void synthetic_fini(synthetic *s) {
    free(s->results);
    free(s->observation);
    free(s->row);
    free(s->classes);
    free(s->embeddings);
    free(s->trace);
    free(s->factor);
    free(s->mean);
    *s = (synthetic){0};
}

size_t synthetic_before(const synthetic *s, size_t step, size_t back) {
    size_t ring = s->shape.batches, turns = (back % ring) * (s->groups % ring) % ring;
    return (step % ring + ring - turns) % ring;
}

engine_batch synthetic_batch(const synthetic *s, size_t step) {
    size_t accounts = s->shape.accounts, rows = accounts * s->shape.observation_rows;
    size_t b = step % s->shape.batches;
    return (engine_batch){.rows = rows,
                          .embeddings = s->row + b * rows,
                          .classes = s->classes + b * rows,
                          .observations = accounts,
                          .observation = s->observation + step % s->groups * accounts,
                          .results = s->results + b * accounts};
}

engine_batch synthetic_request(const synthetic *s, size_t step, size_t account,
                               engine_observation *alone) {
    engine_batch batch = synthetic_batch(s, step);
    *alone = batch.observation[account];
    size_t first = alone->row_first;
    alone->row_first = 0;
    return (engine_batch){.rows = s->shape.observation_rows,
                          .embeddings = batch.embeddings + first,
                          .classes = batch.classes + first,
                          .observations = 1,
                          .observation = alone,
                          .results = batch.results + account};
}

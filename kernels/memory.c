/*
 * memory.c - the numbers in the blocks: decayed, added to, scored, moved. Nothing is allocated
 * after memory_open.
 */
#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "vector.h"

typedef struct {
    uint64_t tick; /* the account's row count when last decayed */
    double n;      /* weight of the rows, at `tick` */
    double s;      /* weighted sum of s, at `tick` */
    double d2;     /* of these accumulators; decay does not change it */
    bool d2_stale;
} sums;

struct memory {
    memory_options options;
    size_t triangle; /* floats of one R */
    blocks *blocks;
    sums *sums;          /* [blocks] */
    float *factor;       /* [blocks, triangle] */
    uint64_t *slot_tick; /* [slots] rows of the account so far */
};

static float *factor_of(const memory *m, uint32_t index) {
    return m->factor + (size_t)index * m->triangle;
}

memory *memory_open(const memory_options *options) {
    memory *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    m->options = *options;
    m->triangle = score_triangle(options->rank + 1);
    m->blocks = blocks_open(options->blocks, options->slots);
    m->sums = calloc(options->blocks, sizeof *m->sums);
    m->factor = calloc(options->blocks, m->triangle * sizeof *m->factor);
    m->slot_tick = calloc(options->slots, sizeof *m->slot_tick);
    if (!m->blocks || !m->sums || !m->factor || !m->slot_tick) {
        memory_close(m);
        return NULL;
    }
    return m;
}

void memory_close(memory *m) {
    if (m == NULL) {
        return;
    }
    free(m->slot_tick);
    free(m->factor);
    free(m->sums);
    blocks_close(m->blocks);
    free(m);
}

uint32_t memory_reserve(memory *m, uint32_t slot, uint32_t class_index) {
    bool fresh;
    uint32_t index = blocks_reserve(m->blocks, slot, class_index, &fresh);
    if (fresh) {
        m->sums[index] = (sums){.tick = m->slot_tick[slot]};
        memset(factor_of(m, index), 0, m->triangle * sizeof(float));
    }
    return index;
}

void memory_forget(memory *m, uint32_t slot) {
    blocks_forget(m->blocks, slot);
    m->slot_tick[slot] = 0;
}

/* ---- arithmetic ---- */

static double decay(const memory *m, uint64_t rows) {
    return score_decay(m->options.half_life_rows, rows);
}

/* R <- factor of keep^2 R^T R + v v^T; v, of `columns` entries, is used up. */
VECTOR_CLONES static void rotate_in(float *restrict r, float *restrict v, size_t columns,
                                    double keep) {
    for (size_t k = 0; k < columns; k++) {
        size_t length = columns - k;
        score_rotation turn = score_rotation_of(r[0], v[k], keep);
        for (size_t j = 0; turn.turns && j < length; j++) {
            float old = r[j];
            float row = v[k + j];
            r[j] = turn.ck * old + turn.s * row;
            v[k + j] = turn.c * row - turn.sk * old;
        }
        r += length;
    }
}

void memory_add(memory *m, uint32_t slot, uint32_t index, float s, const float *y) {
    sums *b = &m->sums[index];
    float row[1 + ENGINE_MEMORY_RANK_MAX];
    double keep = decay(m, ++m->slot_tick[slot] - b->tick);
    row[0] = 1.0f;
    memcpy(row + 1, y, m->options.rank * sizeof *y);
    rotate_in(factor_of(m, index), row, m->options.rank + 1, sqrt(keep));
    b->n = b->n * keep + 1.0;
    b->s = b->s * keep + (double)s;
    b->tick = m->slot_tick[slot];
    b->d2_stale = true;
}

static bool block_refresh(memory *m, uint32_t index, nuclear *scratch) {
    sums *b = &m->sums[index];
    double norm;
    /* The first row of R is sqrt(n) [1, mean y]; the triangle below it is the centred scatter's. */
    if (!nuclear_of_triangle(scratch, factor_of(m, index) + m->options.rank + 1, &norm)) {
        return false;
    }
    b->d2 = score_d2(m->options.trace[blocks_class(m->blocks, index)], b->s / b->n, norm, b->n);
    b->d2_stale = false;
    return true;
}

bool memory_score(memory *m, uint32_t slot, nuclear *scratch, score_total *total) {
    score_sums sums_of_all = {0};
    for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
         i = blocks_next(m->blocks, i)) {
        sums *b = &m->sums[i];
        if (b->n == 0.0) {
            continue; /* reserved for a row that is still to come */
        }
        if (b->d2_stale && !block_refresh(m, i, scratch)) {
            return false;
        }
        double n = b->n * decay(m, m->slot_tick[slot] - b->tick);
        score_add(&sums_of_all, &m->options.benign, blocks_class(m->blocks, i), n, b->d2);
    }
    *total = score_total_of(&sums_of_all);
    return true;
}

/* ---- moving ---- */

const blocks *memory_blocks(const memory *m) {
    return m->blocks;
}

memory_block memory_peek(const memory *m, uint32_t slot, uint32_t index) {
    const sums *b = &m->sums[index];
    return (memory_block){.class_index = blocks_class(m->blocks, index),
                          .age = m->slot_tick[slot] - b->tick,
                          .n = b->n,
                          .s = b->s,
                          .factor = factor_of(m, index)};
}

uint64_t memory_tick(const memory *m, uint32_t slot) {
    return m->slot_tick[slot];
}

void memory_set_tick(memory *m, uint32_t slot, uint64_t tick) {
    uint64_t later = tick - m->slot_tick[slot];
    for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
         i = blocks_next(m->blocks, i)) {
        m->sums[i].tick += later;
    }
    m->slot_tick[slot] = tick;
}

/* Decays a block to its account's present. */
static void settle(memory *m, uint32_t index, uint64_t tick) {
    sums *b = &m->sums[index];
    double keep = decay(m, tick - b->tick);
    float *r = factor_of(m, index);
    for (size_t j = 0; j < m->triangle; j++) {
        r[j] *= (float)sqrt(keep);
    }
    b->n *= keep;
    b->s *= keep;
    b->tick = tick;
}

/* Adds to a block of the same class, row by row of the factor. */
static void merge(memory *m, uint32_t index, const memory_block *from) {
    sums *b = &m->sums[index];
    double keep = decay(m, from->age);
    size_t columns = m->options.rank + 1;
    const unsigned char *factor = from->factor;
    float row[1 + ENGINE_MEMORY_RANK_MAX];
    for (size_t k = 0; k < columns; k++) {
        memset(row, 0, k * sizeof *row);
        memcpy(row + k, factor, (columns - k) * sizeof *row);
        factor += (columns - k) * sizeof *row;
        for (size_t j = k; j < columns; j++) {
            row[j] *= (float)sqrt(keep);
        }
        rotate_in(factor_of(m, index), row, columns, 1.0);
    }
    b->n += from->n * keep;
    b->s += from->s * keep;
}

void memory_put(memory *m, uint32_t slot, const memory_block *from) {
    bool had = memory_has(m, slot, from->class_index);
    uint32_t index = memory_reserve(m, slot, from->class_index);
    sums *b = &m->sums[index];
    if (had) {
        settle(m, index, m->slot_tick[slot]);
        merge(m, index, from);
    } else {
        memcpy(factor_of(m, index), from->factor, m->triangle * sizeof(float));
        b->n = from->n;
        b->s = from->s;
        b->tick = m->slot_tick[slot] - from->age;
    }
    b->d2_stale = true;
}

bool memory_has(const memory *m, uint32_t slot, uint32_t class_index) {
    return blocks_find(m->blocks, slot, class_index) != BLOCKS_NONE;
}

size_t memory_free(const memory *m) {
    return blocks_free(m->blocks);
}

size_t memory_triangle(const memory *m) {
    return m->triangle;
}

size_t memory_bytes_per_block(const memory *m) {
    return blocks_bytes_each() + sizeof(sums) + m->triangle * sizeof(float);
}

/*
 * memory.c - the numbers in the blocks: decayed, added to, scored, moved. Nothing is allocated
 * after memory_open.
 */
#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "engine.h"
#include "score.h"

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
    m->triangle = (options->rank + 1) * (options->rank + 2) / 2;
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
    double half_life = m->options.half_life_rows;
    return half_life > 0.0 ? exp2(-(double)rows / half_life) : 1.0;
}

/* R <- factor of keep^2 R^T R + v v^T; v, of `columns` entries, is used up. */
static void rotate_in(float *r, float *v, size_t columns, double keep) {
    for (size_t k = 0; k < columns; k++) {
        size_t length = columns - k;
        double a = keep * (double)r[0];
        double b = (double)v[k];
        double h = sqrt(a * a + b * b);
        if (h == 0.0) {
            r += length;
            continue;
        }
        float ck = (float)(a / h * keep);
        float c = (float)(a / h);
        float sk = (float)(b / h * keep);
        float s = (float)(b / h);
        for (size_t j = 0; j < length; j++) {
            float old = r[j];
            float row = v[k + j];
            r[j] = ck * old + s * row;
            v[k + j] = c * row - sk * old;
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

bool memory_score(memory *m, uint32_t slot, nuclear *scratch, double *score) {
    double sum = 0.0;
    double weight = 0.0;
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
        sum += n * b->d2;
        weight += n;
    }
    *score = weight > 0.0 ? sum / weight : 0.0;
    return true;
}

/* ---- export and import ---- */

/* Bytes of a slot: this header, then a record and its R for every block, in the slot's order. */
typedef struct {
    uint64_t tick;
    uint64_t blocks;
} memory_header;

typedef struct {
    uint64_t age; /* rows of the account since the block was decayed */
    double n;
    double s;
    uint64_t class_index;
} memory_record;

static size_t record_bytes(const memory *m) {
    return sizeof(memory_record) + m->triangle * sizeof(float);
}

size_t memory_export_bytes(const memory *m, uint32_t slot) {
    size_t blocks = 0;
    for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
         i = blocks_next(m->blocks, i)) {
        blocks++;
    }
    return sizeof(memory_header) + blocks * record_bytes(m);
}

void memory_export(const memory *m, uint32_t slot, unsigned char *bytes) {
    memory_header header = {.tick = m->slot_tick[slot]};
    unsigned char *at = bytes + sizeof header;
    for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
         i = blocks_next(m->blocks, i)) {
        const sums *b = &m->sums[i];
        memory_record record = {header.tick - b->tick, b->n, b->s, blocks_class(m->blocks, i)};
        memcpy(at, &record, sizeof record);
        memcpy(at + sizeof record, factor_of(m, i), m->triangle * sizeof(float));
        at += record_bytes(m);
        header.blocks++;
    }
    memcpy(bytes, &header, sizeof header);
}

static bool record_valid(const memory *m, const unsigned char *at, uint64_t tick) {
    memory_record record;
    memcpy(&record, at, sizeof record);
    if (record.age > tick || record.class_index >= m->options.classes || !isfinite(record.n) ||
        !isfinite(record.s) || record.n < 0.0 || record.s < 0.0) {
        return false;
    }
    for (size_t j = 0; j < m->triangle; j++) {
        float value;
        memcpy(&value, at + sizeof record + j * sizeof value, sizeof value);
        if (!isfinite(value)) {
            return false;
        }
    }
    return true;
}

bool memory_import_valid(const memory *m, const unsigned char *bytes, size_t used) {
    memory_header header;
    if (used < sizeof header) {
        return false;
    }
    memcpy(&header, bytes, sizeof header);
    size_t records = (used - sizeof header) / record_bytes(m);
    if (header.blocks != records || used != sizeof header + records * record_bytes(m) ||
        records > m->options.classes || header.tick > UINT64_MAX / 2) {
        return false;
    }
    for (size_t i = 0; i < records; i++) {
        if (!record_valid(m, bytes + sizeof header + i * record_bytes(m), header.tick)) {
            return false;
        }
    }
    return true;
}

/* Decays a block to its account's present. */
static void block_settle(memory *m, uint32_t index, uint64_t tick) {
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

/* Adds a record whose class the slot has a block for, row by row of its R. */
static void record_add(memory *m, uint32_t index, const memory_record *record,
                       const unsigned char *factor) {
    sums *b = &m->sums[index];
    double keep = decay(m, record->age);
    size_t columns = m->options.rank + 1;
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
    b->n += record->n * keep;
    b->s += record->s * keep;
}

static void record_import(memory *m, uint32_t slot, const unsigned char *at) {
    memory_record record;
    memcpy(&record, at, sizeof record);
    const unsigned char *factor = at + sizeof record;
    bool had = blocks_find(m->blocks, slot, (uint32_t)record.class_index) != BLOCKS_NONE;
    uint32_t index = memory_reserve(m, slot, (uint32_t)record.class_index);
    sums *b = &m->sums[index];
    if (had) {
        block_settle(m, index, m->slot_tick[slot]);
        record_add(m, index, &record, factor);
    } else {
        memcpy(factor_of(m, index), factor, m->triangle * sizeof(float));
        b->n = record.n;
        b->s = record.s;
        b->tick = m->slot_tick[slot] - record.age;
    }
    b->d2_stale = true;
}

/* Blocks that the slot would need on top of those it has. */
static size_t blocks_missing(const memory *m, uint32_t slot, const unsigned char *records,
                             size_t count) {
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        memory_record record;
        memcpy(&record, records + i * record_bytes(m), sizeof record);
        missing += blocks_find(m->blocks, slot, (uint32_t)record.class_index) == BLOCKS_NONE;
    }
    return missing;
}

bool memory_import(memory *m, uint32_t slot, const unsigned char *bytes, size_t used) {
    memory_header header;
    memcpy(&header, bytes, sizeof header);
    size_t records = (used - sizeof header) / record_bytes(m);
    if (blocks_missing(m, slot, bytes + sizeof header, records) > blocks_free(m->blocks)) {
        return false;
    }
    if (header.tick > m->slot_tick[slot]) {
        uint64_t later = header.tick - m->slot_tick[slot];
        for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
             i = blocks_next(m->blocks, i)) {
            m->sums[i].tick += later; /* its age stays what it was */
        }
        m->slot_tick[slot] = header.tick;
    }
    /* Last to first, since a new block becomes the slot's first: the order is that of the export.
     */
    for (size_t i = records; i-- > 0;) {
        record_import(m, slot, bytes + sizeof header + i * record_bytes(m));
    }
    return true;
}

size_t memory_free(const memory *m) {
    return blocks_free(m->blocks);
}

size_t memory_bytes_per_block(const memory *m) {
    return blocks_bytes_each() + sizeof(sums) + m->triangle * sizeof(float);
}

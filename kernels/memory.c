/*
 * memory.c - a pool of accumulator blocks, found through a fixed hash table, chained per slot and
 * in order of use. Nothing is allocated after memory_open.
 */
#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "score.h"

typedef struct {
    uint64_t tick; /* the account's row count when last decayed */
    double n;      /* weight of the rows, at `tick` */
    double s;      /* weighted sum of s, at `tick` */
    double d2;     /* of these accumulators; decay does not change it */
    bool d2_stale;
    uint32_t slot; /* MEMORY_NONE: free */
    uint32_t class_index;
    uint32_t hash_next;
    uint32_t slot_next;
    uint32_t older, newer; /* order of use; free blocks are the oldest */
} block;

struct memory {
    memory_options options;
    size_t triangle; /* floats of one R */
    block *block;    /* [blocks] */
    float *factor;   /* [blocks, triangle] */
    uint32_t *hash;  /* [hash_mask + 1] first block of a chain */
    size_t hash_mask;
    uint32_t *slot_first; /* [slots] */
    uint64_t *slot_tick;  /* [slots] rows of the account so far */
    uint32_t oldest, newest;
    size_t free_blocks;
};

static float *factor_of(const memory *m, uint32_t index) {
    return m->factor + (size_t)index * m->triangle;
}

static size_t bucket_of(const memory *m, uint32_t slot, uint32_t class_index) {
    /* Both numbers are our own, not a peer's, so a plain multiplicative hash will do. */
    uint64_t key = ((uint64_t)slot << 32 | class_index) * 0x9e3779b97f4a7c15u;
    return (size_t)(key >> 20) & m->hash_mask;
}

/* ---- the order of use ---- */

static void use_unlink(memory *m, uint32_t index) {
    block *b = &m->block[index];
    *(b->older == MEMORY_NONE ? &m->oldest : &m->block[b->older].newer) = b->newer;
    *(b->newer == MEMORY_NONE ? &m->newest : &m->block[b->newer].older) = b->older;
}

static void use_newest(memory *m, uint32_t index) {
    block *b = &m->block[index];
    b->older = m->newest;
    b->newer = MEMORY_NONE;
    *(m->newest == MEMORY_NONE ? &m->oldest : &m->block[m->newest].newer) = index;
    m->newest = index;
}

static void use_oldest(memory *m, uint32_t index) {
    block *b = &m->block[index];
    b->newer = m->oldest;
    b->older = MEMORY_NONE;
    *(m->oldest == MEMORY_NONE ? &m->newest : &m->block[m->oldest].older) = index;
    m->oldest = index;
}

/* ---- blocks ---- */

memory *memory_open(const memory_options *options) {
    memory *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    m->options = *options;
    m->triangle = (options->rank + 1) * (options->rank + 2) / 2;
    m->hash_mask = 1;
    while (m->hash_mask < options->blocks) {
        m->hash_mask *= 2;
    }
    m->hash_mask -= 1;
    m->block = calloc(options->blocks, sizeof *m->block);
    m->factor = calloc(options->blocks, m->triangle * sizeof *m->factor);
    m->hash = calloc(m->hash_mask + 1, sizeof *m->hash);
    m->slot_first = calloc(options->slots, sizeof *m->slot_first);
    m->slot_tick = calloc(options->slots, sizeof *m->slot_tick);
    if (!m->block || !m->factor || !m->hash || !m->slot_first || !m->slot_tick) {
        memory_close(m);
        return NULL;
    }
    memset(m->hash, 0xff, (m->hash_mask + 1) * sizeof *m->hash);
    memset(m->slot_first, 0xff, options->slots * sizeof *m->slot_first);
    m->oldest = m->newest = MEMORY_NONE;
    for (size_t i = 0; i < options->blocks; i++) {
        m->block[i].slot = MEMORY_NONE;
        use_newest(m, (uint32_t)i);
    }
    m->free_blocks = options->blocks;
    return m;
}

void memory_close(memory *m) {
    if (m == NULL) {
        return;
    }
    free(m->slot_tick);
    free(m->slot_first);
    free(m->hash);
    free(m->factor);
    free(m->block);
    free(m);
}

static uint32_t block_find(const memory *m, uint32_t slot, uint32_t class_index) {
    uint32_t index = m->hash[bucket_of(m, slot, class_index)];
    while (index != MEMORY_NONE &&
           (m->block[index].slot != slot || m->block[index].class_index != class_index)) {
        index = m->block[index].hash_next;
    }
    return index;
}

/* Takes a held block out of its chains; it becomes the oldest and free. */
static void block_release(memory *m, uint32_t index) {
    block *b = &m->block[index];
    uint32_t *link = &m->hash[bucket_of(m, b->slot, b->class_index)];
    while (*link != index) {
        link = &m->block[*link].hash_next;
    }
    *link = b->hash_next;
    link = &m->slot_first[b->slot];
    while (*link != index) {
        link = &m->block[*link].slot_next;
    }
    *link = b->slot_next;
    b->slot = MEMORY_NONE;
    use_unlink(m, index);
    use_oldest(m, index);
    m->free_blocks++;
}

static uint32_t block_take(memory *m, uint32_t slot, uint32_t class_index) {
    uint32_t index = m->oldest;
    block *b = &m->block[index];
    if (b->slot != MEMORY_NONE) {
        block_release(m, index);
    }
    m->free_blocks--;
    uint32_t *bucket = &m->hash[bucket_of(m, slot, class_index)];
    *b = (block){.tick = m->slot_tick[slot],
                 .slot = slot,
                 .class_index = class_index,
                 .hash_next = *bucket,
                 .slot_next = m->slot_first[slot],
                 .older = b->older,
                 .newer = b->newer};
    *bucket = index;
    m->slot_first[slot] = index;
    memset(factor_of(m, index), 0, m->triangle * sizeof(float));
    return index;
}

uint32_t memory_reserve(memory *m, uint32_t slot, uint32_t class_index) {
    uint32_t index = block_find(m, slot, class_index);
    if (index == MEMORY_NONE) {
        index = block_take(m, slot, class_index);
    }
    use_unlink(m, index);
    use_newest(m, index);
    return index;
}

void memory_forget(memory *m, uint32_t slot) {
    while (m->slot_first[slot] != MEMORY_NONE) {
        block_release(m, m->slot_first[slot]);
    }
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
    block *b = &m->block[index];
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
    block *b = &m->block[index];
    double norm;
    /* The first row of R is sqrt(n) [1, mean y]; the triangle below it is the centred scatter's. */
    if (!nuclear_of_triangle(scratch, factor_of(m, index) + m->options.rank + 1, &norm)) {
        return false;
    }
    b->d2 = score_d2(m->options.trace[b->class_index], b->s / b->n, norm, b->n);
    b->d2_stale = false;
    return true;
}

bool memory_score(memory *m, uint32_t slot, nuclear *scratch, double *score) {
    double sum = 0.0;
    double weight = 0.0;
    for (uint32_t i = m->slot_first[slot]; i != MEMORY_NONE; i = m->block[i].slot_next) {
        block *b = &m->block[i];
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
    for (uint32_t i = m->slot_first[slot]; i != MEMORY_NONE; i = m->block[i].slot_next) {
        blocks++;
    }
    return sizeof(memory_header) + blocks * record_bytes(m);
}

void memory_export(const memory *m, uint32_t slot, unsigned char *bytes) {
    memory_header header = {.tick = m->slot_tick[slot]};
    unsigned char *at = bytes + sizeof header;
    for (uint32_t i = m->slot_first[slot]; i != MEMORY_NONE; i = m->block[i].slot_next) {
        const block *b = &m->block[i];
        memory_record record = {header.tick - b->tick, b->n, b->s, b->class_index};
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
    block *b = &m->block[index];
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
    block *b = &m->block[index];
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
    bool had = block_find(m, slot, (uint32_t)record.class_index) != MEMORY_NONE;
    uint32_t index = memory_reserve(m, slot, (uint32_t)record.class_index);
    block *b = &m->block[index];
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
        missing += block_find(m, slot, (uint32_t)record.class_index) == MEMORY_NONE;
    }
    return missing;
}

bool memory_import(memory *m, uint32_t slot, const unsigned char *bytes, size_t used) {
    memory_header header;
    memcpy(&header, bytes, sizeof header);
    size_t records = (used - sizeof header) / record_bytes(m);
    if (blocks_missing(m, slot, bytes + sizeof header, records) > m->free_blocks) {
        return false;
    }
    if (header.tick > m->slot_tick[slot]) {
        uint64_t later = header.tick - m->slot_tick[slot];
        for (uint32_t i = m->slot_first[slot]; i != MEMORY_NONE; i = m->block[i].slot_next) {
            m->block[i].tick += later; /* its age stays what it was */
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

size_t memory_bytes_per_block(const memory *m) {
    return sizeof(block) + sizeof(uint32_t) + m->triangle * sizeof(float);
}

/*
 * memory.c - the numbers in the blocks: decayed, added to, scored, moved. Nothing is allocated
 * after memory_open.
 */
#include "memory.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "nuclear.h"
#include "packed.h"
#include "pages.h"
#include "vector.h"

enum {
    SIDE_BY_SIDE = 8,
    ROWS_AT_ONCE = 64,
    LANES = 16,
    ROW_FLOATS = 1 + ENGINE_MEMORY_RANK_MAX + LANES
};

/* In place of a d2, which is never below 0. */
#define D2_STALE (-1.0f)
#define D2_CLAIMED (-2.0f) /* stale, and somebody is going to look at it */

/* n and s are of double precision: in float32 n would stay at 2^24 while s grew, and what an engine
 * with another precision had exported would not go on bit for bit. */
typedef struct {
    double n; /* weight of the rows, at `tick` */
    double s; /* weighted sum of s, at `tick` */
    float d2; /* of these accumulators; decay does not change it */
    /* The account's row count, modulo 2^32, when last decayed. An age is a difference of two such
     * counts, right below 2^32 rows: no block gets so old, see settle_old. */
    uint32_t tick;
} sums;
static_assert(sizeof(sums) == 24, "of every class of every account");

/* A block that gets no row for so many is decayed to the present between its account's rows. */
#define AGE_MAX ((uint64_t)1 << 31)
/* Multiples of so many rows are when it is looked for such blocks; a batch has far fewer. */
#define AGE_CHECK_ROWS ((uint64_t)1 << 30)

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

/* The table of blocks was written when it was opened. */
void memory_populate(memory *m) {
    pages_populate(m->sums, m->options.blocks * sizeof *m->sums);
    pages_populate(m->factor, m->options.blocks * m->triangle * sizeof *m->factor);
    pages_populate(m->slot_tick, m->options.slots * sizeof *m->slot_tick);
}

uint32_t memory_reserve(memory *m, uint32_t slot, uint32_t class_index) {
    bool fresh;
    uint32_t index = blocks_reserve(m->blocks, slot, class_index, &fresh);
    if (fresh) {
        m->sums[index] = (sums){.tick = (uint32_t)m->slot_tick[slot]};
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

static uint32_t age_at(const sums *b, uint64_t tick) {
    return (uint32_t)tick - b->tick;
}

static void fade(memory *m, uint32_t index, double keep) {
    float *r = factor_of(m, index);
    float root = (float)sqrt(keep);
    for (size_t j = 0; j < m->triangle; j++) {
        r[j] *= root;
    }
    m->sums[index].n *= keep;
    m->sums[index].s *= keep;
}

/* Decays a block to its account's present. */
static void settle(memory *m, uint32_t index, uint64_t tick) {
    fade(m, index, decay(m, age_at(&m->sums[index], tick)));
    m->sums[index].tick = (uint32_t)tick;
}

/* Before a count of rows could be taken for 2^32 fewer. */
static void settle_old(memory *m, uint32_t slot) {
    for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
         i = blocks_next(m->blocks, i)) {
        if (age_at(&m->sums[i], m->slot_tick[slot]) >= AGE_MAX) {
            settle(m, i, m->slot_tick[slot]);
        }
    }
}

/* A row on its way into a triangle: R <- factor of keep^2 R^T R + v v^T; v is used up. */
typedef struct {
    float *r, *v;
    double keep;
} turning;

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t choice __attribute__((vector_size(4 * LANES)));

/* Turns `length` columns of r and v. Where there is room for whole vectors, what lies behind the
 * row is read and written back as it is: a loop over the few columns that are left over took
 * longer. */
static inline void turn_row(const score_rotation *turn, float *restrict r, float *restrict v,
                            size_t length, bool room) {
    const choice lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t j = 0; room && j < length; j += LANES) {
        floats old, row;
        memcpy(&old, r + j, sizeof old);
        memcpy(&row, v + j, sizeof row);
        floats turned = turn->ck * old + turn->s * row;
        floats rest = turn->c * row - turn->sk * old;
        choice within = lane < (int32_t)(length - j);
        turned = (floats)(((choice)turned & within) | ((choice)old & ~within));
        memcpy(r + j, &turned, sizeof turned);
        memcpy(v + j, &rest, sizeof rest);
    }
    for (size_t j = 0; !room && j < length; j++) {
        float old = r[j], row = v[j];
        r[j] = turn->ck * old + turn->s * row;
        v[j] = turn->c * row - turn->sk * old;
    }
}

/* Of `count` rows and as many different triangles. A rotation waits for the one before it, so those
 * of one row alone leave the processor idle. */
VECTOR_CLONES static void rotate_in(turning *at, size_t count, size_t columns) {
    size_t left = score_triangle(columns); /* floats from r to the triangle's end */
    for (size_t k = 0; k < columns; k++) {
        size_t length = columns - k;
        bool room = left >= (length + LANES - 1) / LANES * LANES;
        score_rotation turn[SIDE_BY_SIDE];
        for (size_t l = 0; l < count; l++) {
            turn[l] = score_rotation_of(at[l].r[0], at[l].v[k], at[l].keep);
        }
        for (size_t l = 0; l < count; l++) {
            if (turn[l].turns) {
                turn_row(&turn[l], at[l].r, at[l].v + k, length, room);
            }
            at[l].r += length;
        }
        left -= length;
    }
}

/* Rows of different blocks. */
typedef struct {
    uint32_t block[SIDE_BY_SIDE];
    turning at[SIDE_BY_SIDE];
    float v[SIDE_BY_SIDE][ROW_FLOATS];
    size_t count;
} side_by_side;

static bool holds(const side_by_side *all, uint32_t block) {
    bool found = false;
    for (size_t l = 0; l < all->count; l++) {
        found = found || all->block[l] == block;
    }
    return found;
}

static void put_beside(memory *m, side_by_side *all, const memory_row *row, uint64_t tick) {
    sums *b = &m->sums[row->block];
    double keep = decay(m, age_at(b, tick));
    float *v = all->v[all->count];
    v[0] = 1.0f;
    memcpy(v + 1, row->y, m->options.rank * sizeof *v);
    memset(v + 1 + m->options.rank, 0, LANES * sizeof *v); /* read as whole vectors */
    all->at[all->count] = (turning){factor_of(m, row->block), v, sqrt(keep)};
    all->block[all->count++] = row->block;
    b->n = b->n * keep + 1.0;
    b->s = b->s * keep + (double)row->s;
    b->tick = (uint32_t)tick;
    b->d2 = D2_STALE;
}

/* At most 64 rows, bits of `left`: of each class the first that is left, then the next, ... */
static void add_some(memory *m, const memory_row *rows, uint64_t left, uint64_t tick) {
    side_by_side all;
    while (left != 0) {
        all.count = 0;
        for (uint64_t seen = left; seen != 0 && all.count < SIDE_BY_SIDE; seen &= seen - 1) {
            unsigned i = (unsigned)__builtin_ctzll(seen);
            if (!holds(&all, rows[i].block)) {
                put_beside(m, &all, &rows[i], tick + i);
                left &= ~(1ull << i);
            }
        }
        rotate_in(all.at, all.count, m->options.rank + 1);
    }
}

void memory_add(memory *m, uint32_t slot, const memory_row *rows, size_t count) {
    for (size_t done = 0; done < count; done += ROWS_AT_ONCE) {
        size_t some = count - done < ROWS_AT_ONCE ? count - done : ROWS_AT_ONCE;
        add_some(m, rows + done, UINT64_MAX >> (ROWS_AT_ONCE - some),
                 m->slot_tick[slot] + done + 1);
    }
    uint64_t before = m->slot_tick[slot];
    m->slot_tick[slot] = before + count;
    if (before / AGE_CHECK_ROWS != (before + count) / AGE_CHECK_ROWS) {
        settle_old(m, slot);
    }
}

/* ---- looking ---- */

static_assert((int)MEMORY_LOOK_MAX == (int)PACKED_LANES,
              "blocks that are looked at fill the lanes");

/* One of the two. */
struct memory_scratch {
    packed *packed;
    nuclear *nuclear;
};

memory_scratch *memory_scratch_open(size_t rank) {
    memory_scratch *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) {
        return NULL;
    }
    if (rank <= PACKED_COLUMNS_MAX) {
        scratch->packed = packed_open(rank);
    } else {
        scratch->nuclear = nuclear_open(rank, rank);
    }
    if (scratch->packed == NULL && scratch->nuclear == NULL) {
        memory_scratch_close(scratch);
        return NULL;
    }
    return scratch;
}

void memory_scratch_close(memory_scratch *scratch) {
    if (scratch == NULL) {
        return;
    }
    packed_close(scratch->packed);
    nuclear_close(scratch->nuclear);
    free(scratch);
}

bool memory_claim(memory *m, uint32_t index) {
    sums *b = &m->sums[index];
    bool claimed = b->d2 == D2_STALE;
    b->d2 = claimed ? D2_CLAIMED : b->d2;
    return claimed;
}

static bool norms_of(memory_scratch *scratch, const float *const *triangle, size_t count,
                     double *norm) {
    bool finite = true;
    if (scratch->packed != NULL) {
        return packed_nuclear(scratch->packed, triangle, count, norm);
    }
    for (size_t i = 0; i < count; i++) {
        finite = nuclear_of_triangle(scratch->nuclear, triangle[i], &norm[i]) && finite;
    }
    return finite;
}

bool memory_look(memory *m, const uint32_t *block, size_t count, memory_scratch *scratch) {
    const float *triangle[MEMORY_LOOK_MAX] = {NULL};
    double norm[MEMORY_LOOK_MAX] = {0};
    for (size_t i = 0; i < count; i++) {
        /* The first row of R is sqrt(n) [1, mean y]; the triangle below it is the centred
         * scatter's. */
        triangle[i] = factor_of(m, block[i]) + m->options.rank + 1;
        m->sums[block[i]].d2 = D2_STALE;
    }
    if (!norms_of(scratch, triangle, count, norm)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        sums *b = &m->sums[block[i]];
        double trace = m->options.trace[blocks_class(m->blocks, block[i])];
        /* Imported sums may amount to more than a float holds. */
        b->d2 = (float)fmin(score_d2(trace, b->s / b->n, norm[i], b->n), (double)FLT_MAX);
    }
    return true;
}

/* What of the slot is stale still: rows that came by memory_put. */
static bool look_at_slot(memory *m, uint32_t slot, memory_scratch *scratch) {
    uint32_t stale[MEMORY_LOOK_MAX];
    size_t count = 0;
    for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
         i = blocks_next(m->blocks, i)) {
        if (m->sums[i].n > 0.0 && m->sums[i].d2 < 0.0f) {
            stale[count++] = i;
        }
        if (count == MEMORY_LOOK_MAX) {
            if (!memory_look(m, stale, count, scratch)) {
                return false;
            }
            count = 0;
        }
    }
    return count == 0 || memory_look(m, stale, count, scratch);
}

bool memory_score(memory *m, uint32_t slot, memory_scratch *scratch, score_total *total) {
    score_sums sums_of_all = {0};
    if (!look_at_slot(m, slot, scratch)) {
        return false;
    }
    for (uint32_t i = blocks_first(m->blocks, slot); i != BLOCKS_NONE;
         i = blocks_next(m->blocks, i)) {
        const sums *b = &m->sums[i];
        if (b->n == 0.0) {
            continue; /* reserved for a row that is still to come */
        }
        double n = b->n * decay(m, age_at(b, m->slot_tick[slot]));
        score_add(&sums_of_all, &m->options.benign, blocks_class(m->blocks, i), n, (double)b->d2);
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
                          .age = age_at(b, m->slot_tick[slot]),
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
        m->sums[i].tick += (uint32_t)later;
    }
    m->slot_tick[slot] = tick;
    settle_old(m, slot); /* it may have gone past a multiple at which it is looked for them */
}

/* Adds to a block of the same class, row by row of the factor. */
static void merge(memory *m, uint32_t index, const memory_block *from) {
    sums *b = &m->sums[index];
    double keep = decay(m, from->age);
    size_t columns = m->options.rank + 1;
    const unsigned char *factor = from->factor;
    float row[ROW_FLOATS];
    for (size_t k = 0; k < columns; k++) {
        memset(row, 0, sizeof row);
        memcpy(row + k, factor, (columns - k) * sizeof *row);
        factor += (columns - k) * sizeof *row;
        for (size_t j = k; j < columns; j++) {
            row[j] *= (float)sqrt(keep);
        }
        rotate_in(&(turning){factor_of(m, index), row, 1.0}, 1, columns);
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
        b->tick = (uint32_t)m->slot_tick[slot];
        if (from->age < AGE_MAX) {
            b->tick -= (uint32_t)from->age;
        } else {
            fade(m, index, decay(m, from->age));
        }
    }
    b->d2 = D2_STALE;
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

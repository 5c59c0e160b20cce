/*
 * memory.h - the long horizon: an account's exponentially forgetting covariance accumulators.
 *
 * Per (slot, class) one block from a pool: n, sum s, and what the sums of y and y y^T amount to for
 * the first q entries of y. Every row multiplies all of its account's accumulators by
 * 2^(-1 / half_life) before it is added; this is done lazily, when a block is next touched or has
 * not been for 2^31 to 2^32 rows.
 *
 * The sums of [1, y][1, y]^T are kept as their triangular factor R, R^T R = sum, (q + 1)(q + 2) / 2
 * floats: as many as the packed sums have. In float32 the sums themselves lose the covariance of
 * rows that hardly differ to cancellation (measured on a query repeated 200 times: up to 1.2e-3 of
 * the score); the factor's first
 * row is sqrt(n) [1, mean y] and the triangle below it is that of the centred scatter, so nothing
 * cancels.
 *
 * Float32 roundings of the factor add up with the rows it still weighs. On real features (dim 64,
 * rank 32) the score stays within 1e-4 of float64 up to 100,000 rows without forgetting, and is off
 * by 1.3e-3 at 1,000,000; with a half-life of 65,536 rows or less it stayed within 1.5e-5.
 *
 * Adding a row is q + 1 Givens rotations (Golub and Van Loan, Matrix Computations, 6.5.3);
 * two memories add up by rotating one's rows into the other.
 *
 * What a block is worth, its d2, is worked out when it is looked at: several blocks at once, of
 * whatever slots, since side by side they cost a third (packed.h).
 *
 * Threads: memory_add and memory_score by several, for different slots; memory_look by several, for
 * different blocks; all else by one at a time.
 */
#ifndef ADDER_MEMORY_H
#define ADDER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blocks.h"
#include "score.h"

typedef struct {
    size_t blocks; /* 1..UINT32_MAX - 1 */
    size_t slots;
    size_t rank; /* q >= 1 */
    size_t classes;
    double half_life_rows; /* 0 never forgets */
    const double *trace;   /* [classes], borrowed */
    engine_benign benign;  /* no rungs: none; borrowed */
} memory_options;

typedef struct memory memory;
memory *memory_open(const memory_options *options); /* NULL: no memory */
void memory_close(memory *memory);                  /* NULL is allowed */

/* The block of (slot, class), taken from the pool when there is none yet; where the pool is empty
 * the block that was used least recently goes, whoever holds it. Blocks reserved by the last
 * `blocks` calls are never taken, so a batch of at most `blocks` rows keeps what it reserved. */
uint32_t memory_reserve(memory *memory, uint32_t slot, uint32_t class_index);

/* A row of an account, and the block reserved for it. */
typedef struct {
    uint32_t block;
    float s;
    const float *y; /* [q or more] */
} memory_row;
/* More rows of the slot's account, in order. Those of different classes are worked off side by
 * side, which changes nothing: each block gets its own rows in their order. */
void memory_add(memory *memory, uint32_t slot, const memory_row *rows, size_t count);

/* What one thread needs to look at blocks of rank q. */
typedef struct memory_scratch memory_scratch;
memory_scratch *memory_scratch_open(size_t rank);   /* NULL: no memory */
void memory_scratch_close(memory_scratch *scratch); /* NULL is allowed */

/* True once for a block that was added to since it was last looked at. */
bool memory_claim(memory *memory, uint32_t block);
/* Works out the d2 of 1..MEMORY_LOOK_MAX blocks that have rows. False: one is no finite number. */
enum { MEMORY_LOOK_MAX = 8 };
bool memory_look(memory *memory, const uint32_t *block, size_t count, memory_scratch *scratch);
/* Score of the slot's memory now, sum_c (n_c / n) d2_c, and its excess; a concentration of weights
 * means nothing. Looks at what nobody has looked at yet. False: it is no finite number. */
bool memory_score(memory *memory, uint32_t slot, memory_scratch *scratch, score_total *total);

void memory_forget(memory *memory, uint32_t slot);

/* A block as it stands, for moving it elsewhere. */
typedef struct {
    uint32_t class_index;
    uint64_t age; /* rows of the account since the block was last added to or decayed */
    double n, s;  /* as of then */
    const void
        *factor; /* [(q + 1)(q + 2) / 2] floats, R packed by rows, at any address; borrowed */
} memory_block;
/* The slot's blocks are theirs to walk; blocks.h. */
const blocks *memory_blocks(const memory *memory);
memory_block memory_peek(const memory *memory, uint32_t slot, uint32_t block);
/* Rows of the account so far. */
uint64_t memory_tick(const memory *memory, uint32_t slot);
/* Moves the account's present to a tick that is not before it; no block gets older by that. */
void memory_set_tick(memory *memory, uint32_t slot, uint64_t tick);
/* Adds a block to the slot's of that class: exactly as it is where there is none yet (and it is not
 * older than 2^31 rows, else what it weighs now), else what both weigh now. There must be a free
 * block, and the age be at most the tick. */
void memory_put(memory *memory, uint32_t slot, const memory_block *block);

bool memory_has(const memory *memory, uint32_t slot, uint32_t class_index);
size_t memory_free(const memory *memory);     /* blocks that nobody holds */
size_t memory_triangle(const memory *memory); /* floats of a factor */
void memory_populate(memory *memory);         /* touches all of it; pages.h */
size_t memory_bytes_per_block(const memory *memory);

#endif

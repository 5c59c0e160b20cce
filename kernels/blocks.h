/*
 * blocks.h - which block of a fixed pool belongs to which (slot, class). Numbers only; what a block
 * holds is its user's.
 *
 * Nothing is allocated after blocks_open. Threads: one at a time; reading (find, first, next,
 * class) by several while none writes.
 */
#ifndef ADDER_BLOCKS_H
#define ADDER_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCKS_NONE UINT32_MAX

typedef struct blocks blocks;
blocks *blocks_open(size_t count, size_t slots); /* count 1..UINT32_MAX - 1; NULL: no memory */
void blocks_close(blocks *blocks);               /* NULL is allowed */

uint32_t blocks_find(const blocks *blocks, uint32_t slot, uint32_t class_index);
/* The block of (slot, class), which becomes the last to go; where there is none yet (*fresh), one
 * from the pool, and where the pool is empty the one that was reserved least recently, whoever
 * holds it. What the last `count` calls gave out is never taken. */
uint32_t blocks_reserve(blocks *blocks, uint32_t slot, uint32_t class_index, bool *fresh);
/* Gives all blocks of a slot back. */
void blocks_forget(blocks *blocks, uint32_t slot);

/* A slot's blocks, the newest first; BLOCKS_NONE at the end. */
uint32_t blocks_first(const blocks *blocks, uint32_t slot);
uint32_t blocks_next(const blocks *blocks, uint32_t index);
uint32_t blocks_previous(const blocks *blocks, uint32_t index);
/* Both visit all of them. */
uint32_t blocks_last(const blocks *blocks, uint32_t slot);
size_t blocks_held(const blocks *blocks, uint32_t slot);
uint32_t blocks_class(const blocks *blocks, uint32_t index);

size_t blocks_free(const blocks *blocks); /* how many nobody holds */
size_t blocks_held_of_all(const blocks *blocks);
/* The most steps that a find can take; visits the whole table. */
size_t blocks_longest_chain(const blocks *blocks);
size_t blocks_bytes_each(void);

#endif

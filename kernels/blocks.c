/*
 * blocks.c - a fixed hash table of chains, a chain per slot, and a list in the order of use.
 */
#include "blocks.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t slot; /* BLOCKS_NONE: free */
    uint32_t class_index;
    uint32_t hash_next;
    uint32_t slot_next, slot_previous; /* both ways: a slot may hold thousands */
    uint32_t older, newer;             /* order of use; free blocks are the oldest */
} block;

struct blocks {
    block *block;   /* [count] */
    uint32_t *hash; /* [count] first block of a chain: as many buckets as blocks */
    size_t count;
    uint32_t *slot_first; /* [slots] */
    uint32_t oldest, newest;
    size_t unheld;
};

static uint32_t *bucket_of(const blocks *b, uint32_t slot, uint32_t class_index) {
    /* Both numbers are our own, not a peer's, so multiplicative hashing will do; of the product
     * only the top bits depend on both. The bucket is to the count as they are to 2^32. */
    uint64_t product = ((uint64_t)slot << 32 | class_index) * 0x9e3779b97f4a7c15u;
    return &b->hash[(product >> 32) * b->count >> 32];
}

/* ---- the order of use ---- */

static void use_unlink(blocks *b, uint32_t index) {
    const block *at = &b->block[index];
    *(at->older == BLOCKS_NONE ? &b->oldest : &b->block[at->older].newer) = at->newer;
    *(at->newer == BLOCKS_NONE ? &b->newest : &b->block[at->newer].older) = at->older;
}

static void use_newest(blocks *b, uint32_t index) {
    block *at = &b->block[index];
    at->older = b->newest;
    at->newer = BLOCKS_NONE;
    *(b->newest == BLOCKS_NONE ? &b->oldest : &b->block[b->newest].newer) = index;
    b->newest = index;
}

static void use_oldest(blocks *b, uint32_t index) {
    block *at = &b->block[index];
    at->newer = b->oldest;
    at->older = BLOCKS_NONE;
    *(b->oldest == BLOCKS_NONE ? &b->newest : &b->block[b->oldest].older) = index;
    b->oldest = index;
}

/* ---- opening and closing ---- */

blocks *blocks_open(size_t count, size_t slots) {
    blocks *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->count = count;
    b->block = calloc(count, sizeof *b->block);
    b->hash = calloc(count, sizeof *b->hash);
    b->slot_first = calloc(slots, sizeof *b->slot_first);
    if (!b->block || !b->hash || !b->slot_first) {
        blocks_close(b);
        return NULL;
    }
    memset(b->hash, 0xff, count * sizeof *b->hash);
    memset(b->slot_first, 0xff, slots * sizeof *b->slot_first);
    b->oldest = b->newest = BLOCKS_NONE;
    for (size_t i = 0; i < count; i++) {
        b->block[i].slot = BLOCKS_NONE;
        use_newest(b, (uint32_t)i);
    }
    b->unheld = count;
    return b;
}

void blocks_close(blocks *b) {
    if (b == NULL) {
        return;
    }
    free(b->slot_first);
    free(b->hash);
    free(b->block);
    free(b);
}

/* ---- who holds what ---- */

uint32_t blocks_find(const blocks *b, uint32_t slot, uint32_t class_index) {
    uint32_t index = *bucket_of(b, slot, class_index);
    while (index != BLOCKS_NONE &&
           (b->block[index].slot != slot || b->block[index].class_index != class_index)) {
        index = b->block[index].hash_next;
    }
    return index;
}

/* Takes a held block out of its chains; it becomes the oldest and free. */
static void release(blocks *b, uint32_t index) {
    block *at = &b->block[index];
    uint32_t *link = bucket_of(b, at->slot, at->class_index);
    while (*link != index) {
        link = &b->block[*link].hash_next;
    }
    *link = at->hash_next;
    *(at->slot_previous == BLOCKS_NONE ? &b->slot_first[at->slot]
                                       : &b->block[at->slot_previous].slot_next) = at->slot_next;
    if (at->slot_next != BLOCKS_NONE) {
        b->block[at->slot_next].slot_previous = at->slot_previous;
    }
    at->slot = BLOCKS_NONE;
    use_unlink(b, index);
    use_oldest(b, index);
    b->unheld++;
}

static uint32_t take(blocks *b, uint32_t slot, uint32_t class_index) {
    uint32_t index = b->oldest;
    block *at = &b->block[index];
    if (at->slot != BLOCKS_NONE) {
        release(b, index);
    }
    uint32_t *bucket = bucket_of(b, slot, class_index);
    at->slot = slot;
    at->class_index = class_index;
    at->hash_next = *bucket;
    at->slot_next = b->slot_first[slot];
    at->slot_previous = BLOCKS_NONE;
    if (at->slot_next != BLOCKS_NONE) {
        b->block[at->slot_next].slot_previous = index;
    }
    *bucket = index;
    b->slot_first[slot] = index;
    b->unheld--;
    return index;
}

uint32_t blocks_reserve(blocks *b, uint32_t slot, uint32_t class_index, bool *fresh) {
    uint32_t index = blocks_find(b, slot, class_index);
    *fresh = index == BLOCKS_NONE;
    if (*fresh) {
        index = take(b, slot, class_index);
    }
    use_unlink(b, index);
    use_newest(b, index);
    return index;
}

void blocks_forget(blocks *b, uint32_t slot) {
    while (b->slot_first[slot] != BLOCKS_NONE) {
        release(b, b->slot_first[slot]);
    }
}

uint32_t blocks_first(const blocks *b, uint32_t slot) {
    return b->slot_first[slot];
}

uint32_t blocks_next(const blocks *b, uint32_t index) {
    return b->block[index].slot_next;
}

uint32_t blocks_previous(const blocks *b, uint32_t index) {
    return b->block[index].slot_previous;
}

uint32_t blocks_last(const blocks *b, uint32_t slot) {
    uint32_t last = BLOCKS_NONE;
    for (uint32_t at = b->slot_first[slot]; at != BLOCKS_NONE; at = b->block[at].slot_next) {
        last = at;
    }
    return last;
}

size_t blocks_held(const blocks *b, uint32_t slot) {
    size_t held = 0;
    for (uint32_t at = b->slot_first[slot]; at != BLOCKS_NONE; at = b->block[at].slot_next) {
        held++;
    }
    return held;
}

uint32_t blocks_class(const blocks *b, uint32_t index) {
    return b->block[index].class_index;
}

size_t blocks_free(const blocks *b) {
    return b->unheld;
}

size_t blocks_held_of_all(const blocks *b) {
    return b->count - b->unheld;
}

size_t blocks_longest_chain(const blocks *b) {
    size_t longest = 0;
    for (size_t i = 0; i < b->count; i++) {
        size_t length = 0;
        for (uint32_t at = b->hash[i]; at != BLOCKS_NONE; at = b->block[at].hash_next) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    return longest;
}

size_t blocks_bytes_each(void) {
    return sizeof(block) + sizeof(uint32_t);
}

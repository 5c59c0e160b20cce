/*
 * test_blocks.c - the pool of blocks against a plain array that is searched from end to end.
 */
#include <criterion/criterion.h>

#include <stdio.h>

#include "blocks.h"

enum { COUNT = 9, SLOTS = 5, CLASSES = 4, STEPS = 50000 };

typedef struct {
    bool held;
    uint32_t slot, class_index;
    uint64_t used;
} entry;

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* The entry of (slot, class), made in place of the one used longest ago when there is none. */
static bool reserve_plainly(entry *entries, uint32_t slot, uint32_t class_index, uint64_t step) {
    entry *oldest = &entries[0];
    for (size_t i = 0; i < COUNT; i++) {
        entry *e = &entries[i];
        if (e->held && e->slot == slot && e->class_index == class_index) {
            e->used = step;
            return false;
        }
        if (!e->held || (oldest->held && e->used < oldest->used)) {
            oldest = e;
        }
    }
    *oldest = (entry){true, slot, class_index, step};
    return true;
}

static void forget_plainly(entry *entries, uint32_t slot) {
    for (size_t i = 0; i < COUNT; i++) {
        entries[i].held = entries[i].held && entries[i].slot != slot;
    }
}

/* Every (slot, class) is held by both or by neither, and a slot's chain has just its blocks. */
static void compare(const blocks *b, const entry *entries) {
    size_t held = 0;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        size_t chained = 0;
        size_t expected = 0;
        for (uint32_t i = blocks_first(b, slot); i != BLOCKS_NONE; i = blocks_next(b, i)) {
            cr_assert_eq(blocks_find(b, slot, blocks_class(b, i)), i);
            cr_assert_leq(++chained, CLASSES);
        }
        for (size_t i = 0; i < COUNT; i++) {
            if (entries[i].held && entries[i].slot == slot) {
                expected++;
                cr_assert_neq(blocks_find(b, slot, entries[i].class_index), BLOCKS_NONE);
            }
        }
        cr_assert_eq(chained, expected);
        held += expected;
    }
    cr_assert_eq(blocks_free(b), COUNT - held);
}

Test(blocks, the_pool_does_what_a_plain_array_does) {
    blocks *b = blocks_open(COUNT, SLOTS);
    entry entries[COUNT] = {0};
    uint64_t random = 5;
    for (uint64_t step = 1; step <= STEPS; step++) {
        uint32_t slot = (uint32_t)(next_random(&random) % SLOTS);
        uint32_t class_index = (uint32_t)(next_random(&random) % CLASSES);
        bool fresh;
        if (next_random(&random) % 16 == 0) {
            blocks_forget(b, slot);
            forget_plainly(entries, slot);
        } else {
            uint32_t index = blocks_reserve(b, slot, class_index, &fresh);
            cr_assert_eq(fresh, reserve_plainly(entries, slot, class_index, step), "step %d",
                         (int)step);
            cr_assert_eq(blocks_find(b, slot, class_index), index);
        }
        compare(b, entries);
    }
    blocks_close(b);
}

Test(blocks, chains_stay_short_however_slots_and_classes_are_numbered) {
    static const struct {
        uint32_t slots, classes;
    } shape[] = {{16384, 10}, {16384, 1}, {1, 16384}, {100, 1000}, {4096, 16}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        size_t count = (size_t)shape[i].slots * shape[i].classes;
        blocks *b = blocks_open(count, shape[i].slots);
        bool fresh;
        for (uint32_t slot = 0; slot < shape[i].slots; slot++) {
            for (uint32_t c = 0; c < shape[i].classes; c++) {
                blocks_reserve(b, slot, c, &fresh);
            }
        }
        size_t longest = blocks_longest_chain(b);
        printf("%u slots, %u classes: longest chain %zu\n", shape[i].slots, shape[i].classes,
               longest);
        /* A perfectly random table of 160,000 in as many buckets has chains of 8 or 9. */
        cr_assert_leq(longest, 9);
        blocks_close(b);
    }
}

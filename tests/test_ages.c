/*
 * test_ages.c - memories of accounts with more rows than 32 bits count: a block's age is never
 * taken for 2^32 rows less.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>

#include "memory.h"

enum { RANK = 2, TRIANGLE = 6, CLASSES = 3, ROWS = 8 };
static const double trace[CLASSES] = {1.0, 1.0, 1.0};
static const float factor[TRIANGLE] = {2.0f, 1.0f, 0.5f, 1.5f, 0.25f, 1.25f};
#define TWO_TO(bits) ((uint64_t)1 << (bits))

static memory *open_memory(double half_life_rows) {
    memory *m = memory_open(&(memory_options){.blocks = CLASSES + ROWS,
                                              .slots = 2,
                                              .rank = RANK,
                                              .classes = CLASSES,
                                              .half_life_rows = half_life_rows,
                                              .trace = trace});
    cr_assert_not_null(m);
    return m;
}

/* Weighs 4 rows as of `age` rows ago. */
static void put(memory *m, uint32_t class_index, uint64_t age) {
    memory_put(m, 0,
               &(memory_block){
                   .class_index = class_index, .age = age, .n = 4.0, .s = 8.0, .factor = factor});
}

static void add(memory *m, uint32_t class_index, size_t count) {
    static const float y[RANK] = {1.0f, -1.0f};
    memory_row rows[ROWS];
    for (size_t i = 0; i < count; i++) {
        rows[i] = (memory_row){memory_reserve(m, 0, class_index), 3.0f, y};
    }
    memory_add(m, 0, rows, count);
}

static memory_block peek(const memory *m, uint32_t class_index) {
    uint32_t block = blocks_find(memory_blocks(m), 0, class_index);
    cr_assert_neq(block, BLOCKS_NONE);
    return memory_peek(m, 0, block);
}

/* What is left of `weight` now, in n and, by the same share, in s and the factor. */
static void expect_weight(const memory *m, uint32_t class_index, double half_life, double weight) {
    memory_block block = peek(m, class_index);
    double keep = exp2(-(double)block.age / half_life);
    const float *r = block.factor;
    cr_assert(fabs(block.n * keep / weight - 1.0) < 1e-12, "%.17g", block.n * keep);
    cr_assert(fabs(block.s * keep / (2.0 * weight) - 1.0) < 1e-12, "%.17g", block.s * keep);
    /* The factor is of float32. */
    for (size_t i = 0; i < TRIANGLE; i++) {
        double expected = (double)factor[i] * sqrt(weight / 4.0);
        cr_assert(fabs((double)r[i] * sqrt(keep) / expected - 1.0) < 1e-6, "%zu", i);
    }
}

Test(ages, a_block_of_up_to_2_to_the_31_rows_is_taken_as_it_is_and_an_older_one_as_it_weighs_now) {
    const uint64_t ages[] = {0,
                             5,
                             TWO_TO(31) - 1,
                             TWO_TO(31),
                             TWO_TO(32) - 1,
                             TWO_TO(32),
                             TWO_TO(32) + 5,
                             TWO_TO(34) + TWO_TO(31)};
    const double half_life = 4e9;
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        memory *m = open_memory(half_life);
        memory_set_tick(m, 0, TWO_TO(40) + 3);
        put(m, 1, ages[i]);
        memory_block block = peek(m, 1);
        if (ages[i] < TWO_TO(31)) {
            cr_assert(block.age == ages[i] && block.n == 4.0 && block.s == 8.0);
        } else {
            cr_assert_eq(block.age, 0);
        }
        expect_weight(m, 1, half_life, 4.0 * exp2(-(double)ages[i] / half_life));
        memory_close(m);
    }
}

Test(ages, a_count_of_rows_passes_2_to_the_32_unnoticed) {
    const double half_life = 3.0;
    memory *m = open_memory(half_life);
    memory_set_tick(m, 0, TWO_TO(32) - 4);
    put(m, 0, 2);
    add(m, 1, 7);
    cr_assert_eq(memory_tick(m, 0), TWO_TO(32) + 3);
    cr_assert_eq(peek(m, 0).age, 9);
    cr_assert_eq(peek(m, 1).age, 0);
    expect_weight(m, 0, half_life, 4.0 * exp2(-9.0 / half_life));
    add(m, 0, 1);
    memory_block block = peek(m, 0);
    double n = 4.0 * exp2(-10.0 / half_life) + 1.0;
    cr_assert(block.age == 0 && fabs(block.n / n - 1.0) < 1e-12, "%.17g", block.n);
    memory_close(m);
}

/* Wherever in the count the block was left. */
Test(ages, a_block_left_alone_is_decayed_before_its_age_is_beyond_32_bits) {
    const double half_life = 1e9;
    for (uint64_t quarter = 1; quarter <= 5; quarter++) {
        memory *m = open_memory(half_life);
        uint64_t age = TWO_TO(31) - 2;
        memory_set_tick(m, 0, TWO_TO(40) + quarter * TWO_TO(30) - 4);
        put(m, 0, age);
        put(m, 2, 0);
        add(m, 1, 3);
        cr_assert_eq(peek(m, 0).age, age + 3, "not yet");
        add(m, 1, 3);
        cr_assert_eq(peek(m, 0).age, 0);
        cr_assert_eq(peek(m, 2).age, 6, "it is young");
        expect_weight(m, 0, half_life, 4.0 * exp2(-(double)(age + 6) / half_life));
        add(m, 1, 2);
        cr_assert_eq(peek(m, 0).age, 2);
        memory_close(m);
    }
}

/* A tick that goes far ahead makes no block older, but may pass where old ones are looked for. */
Test(ages, a_moved_present_decays_old_blocks_too) {
    const double half_life = 1e9;
    memory *m = open_memory(half_life);
    memory_set_tick(m, 0, TWO_TO(40));
    put(m, 0, TWO_TO(31) - 2);
    put(m, 2, 7);
    add(m, 1, 3);
    memory_set_tick(m, 0, TWO_TO(41) + 12345);
    cr_assert_eq(peek(m, 0).age, 0);
    cr_assert_eq(peek(m, 2).age, 10);
    expect_weight(m, 0, half_life, 4.0 * exp2(-(double)(TWO_TO(31) + 1) / half_life));
    memory_close(m);
}

Test(ages, what_never_forgets_stays_as_it_is_however_old) {
    memory *m = open_memory(0.0);
    memory_set_tick(m, 0, TWO_TO(40) - 2);
    put(m, 0, TWO_TO(33));
    put(m, 2, TWO_TO(31) - 1);
    add(m, 1, 4);
    const uint32_t kept[] = {0, 2};
    for (size_t i = 0; i < 2; i++) {
        memory_block block = peek(m, kept[i]);
        const float *r = block.factor;
        cr_assert(block.n == 4.0 && block.s == 8.0);
        for (size_t k = 0; k < TRIANGLE; k++) {
            cr_assert_eq(r[k], factor[k]);
        }
    }
    memory_close(m);
}

Test(ages, sums_too_large_for_a_float_score_as_a_number) {
    memory *m = open_memory(0.0);
    memory_scratch *scratch = memory_scratch_open(RANK);
    score_total total;
    memory_put(m, 0, &(memory_block){.class_index = 0, .n = 1e-10, .s = 1e300, .factor = factor});
    cr_assert(memory_score(m, 0, scratch, &total));
    cr_assert(isfinite(total.score) && total.score > 1e38, "%g", total.score);
    memory_scratch_close(scratch);
    memory_close(m);
}

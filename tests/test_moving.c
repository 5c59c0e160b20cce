/* test_moving.c - slots as bytes: moving one, merging two, and bytes that must be refused. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"

/* Two halves added up differ from the whole only by the order of the additions. */
static const double merge_tolerance = 1e-5;

static engine_options memory_options(const char *name, size_t rank, double half_life_rows) {
    engine_options options = fixture_options(name, 16);
    options.memory_rank = rank;
    options.half_life_rows = half_life_rows;
    return options;
}

typedef struct {
    unsigned char *data;
    size_t used;
} parcel;

static parcel export_slot(engine *engine, uint32_t slot) {
    parcel parcel = {0};
    size_t needed = 0;
    cr_assert(engine_export(engine, slot, NULL, 0, &needed) == ENGINE_OK);
    cr_assert(needed > 0);
    parcel.data = calloc(needed, 1);
    cr_assert(parcel.data);
    engine_status status = engine_export(engine, slot, parcel.data, needed, &parcel.used);
    cr_assert(status == ENGINE_OK, "%s", engine_status_text(status));
    cr_assert(parcel.used == needed, "%zu of %zu bytes", parcel.used, needed);
    return parcel;
}

static void move(engine *from, uint32_t from_slot, engine *to, uint32_t to_slot) {
    parcel parcel = export_slot(from, from_slot);
    engine_status status = engine_import(to, to_slot, parcel.data, parcel.used);
    cr_assert(status == ENGINE_OK, "%s", engine_status_text(status));
    free(parcel.data);
}

/* Halves of which the later one fills the window, or leaves room in it for rows of the earlier. */
ENGINE_TEST(two_halves_merge_into_the_memory_of_the_whole) {
    const size_t counts[] = {1001, 601, 25, 9, 3};
    const size_t seconds[] = {500, 5, 16, 4, 1};
    hostile_random random = {8};
    fixture_worst memory = {0}, score = {0};
    reference *reference = fixture_reference(64);
    engine *engine = fixture_open(&reference->statistics, memory_options(name, 32, 0));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fixture_rows account = hostile_account_make(&random, 64, "benign_shift", counts[i]);
        for (uint32_t slot = 0; slot < 4; slot++) {
            cr_assert(engine_forget(engine, slot) == ENGINE_OK);
        }
        size_t last = counts[i] - 1, first = last - seconds[i];
        fixture_feeding feeding = {.rows = &account, .count = first, .observation_rows = 16};
        fixture_feed(engine, feeding, NULL);
        feeding.slot = 1;
        feeding.first = first;
        feeding.count = seconds[i];
        fixture_feed(engine, feeding, NULL);
        move(engine, 0, engine, 2);
        move(engine, 1, engine, 2);
        feeding = (fixture_feeding){
            .slot = 2, .rows = &account, .first = last, .count = 1, .observation_rows = 1};
        engine_result merged = fixture_feed(engine, feeding, NULL);
        feeding = (fixture_feeding){
            .slot = 3, .rows = &account, .count = counts[i], .observation_rows = 1};
        engine_result whole = fixture_feed(engine, feeding, NULL);
        cr_assert(merged.fill == whole.fill, "%zu rows: fill %u", counts[i], merged.fill);
        fixture_compare(&memory, merged.memory_score, whole.memory_score, "%zu rows", counts[i]);
        fixture_compare(&score, merged.score, whole.score, "%zu rows", counts[i]);
        fixture_rows_free(&account);
    }
    fixture_settle(&memory, merge_tolerance, "merged memories");
    fixture_settle(&score, merge_tolerance, "merged windows");
    engine_close(engine);
    reference_close(reference);
}

/* Each half's rows have aged within it alone, the shorter one's no more for the other's length. */
ENGINE_TEST(merging_halves_that_forget_adds_no_forgetting) {
    enum { FIRST = 300, SECOND = 120, ALL = FIRST + SECOND + 1, RANK = 16 };
    const double half_life = 100;
    hostile_random random = {15};
    fixture_worst worst = {0};
    reference *reference = fixture_reference(64);
    engine *engine = fixture_open(&reference->statistics, memory_options(name, RANK, half_life));
    fixture_rows account = hostile_account_make(&random, 64, "atk_tinyimagenet", ALL);
    double weights[ALL];
    oracle_weights(half_life, 1, FIRST, weights);
    oracle_weights(half_life, 1, SECOND, weights + FIRST);
    weights[ALL - 1] = 1.0;
    double want = oracle_memory_score(&reference->statistics, RANK, weights, account.embeddings,
                                      account.classes, ALL);
    fixture_feeding feeding = {.rows = &account, .count = FIRST, .observation_rows = 16};
    fixture_feed(engine, feeding, NULL);
    feeding.slot = 1;
    feeding.first = FIRST;
    feeding.count = SECOND;
    fixture_feed(engine, feeding, NULL);
    for (uint32_t order = 0; order < 2; order++) {
        move(engine, order, engine, 2 + order);
        move(engine, 1 - order, engine, 2 + order);
        feeding = (fixture_feeding){.slot = 2 + order,
                                    .rows = &account,
                                    .first = ALL - 1,
                                    .count = 1,
                                    .observation_rows = 1};
        double score = fixture_feed(engine, feeding, NULL).memory_score;
        fixture_compare(&worst, score, want, "%s half first", order ? "shorter" : "longer");
    }
    fixture_settle(&worst, merge_tolerance, "merged memories that forget");
    fixture_rows_free(&account);
    engine_close(engine);
    reference_close(reference);
}

ENGINE_TEST(a_moved_slot_goes_on_bit_for_bit) {
    const size_t counts[] = {0, 1, 15, 16, 17, 40, 333};
    const double half_lives[] = {0, 64};
    hostile_random random = {9};
    reference *reference = fixture_reference(64);
    for (size_t i = 0; i < sizeof counts / sizeof *counts * 2; i++) {
        size_t count = counts[i / 2];
        engine_options options = memory_options(name, 16, half_lives[i % 2]);
        engine *from = fixture_open(&reference->statistics, options);
        engine *to = fixture_open(&reference->statistics, options);
        fixture_rows account = hostile_account_make(&random, 64, "benign_test", count + 30);
        fixture_feeding feeding = {.rows = &account, .count = count, .observation_rows = 7};
        fixture_feed(from, feeding, NULL);
        move(from, 0, to, 3);
        for (size_t row = 0; row < 30; row++) {
            feeding = (fixture_feeding){
                .rows = &account, .first = count + row, .count = 1, .observation_rows = 1};
            engine_result stayed = fixture_feed(from, feeding, NULL);
            feeding.slot = 3;
            engine_result moved = fixture_feed(to, feeding, NULL);
            cr_assert(stayed.fill == moved.fill && stayed.score == moved.score &&
                          stayed.memory_score == moved.memory_score,
                      "%zu rows, then %zu: %.17g and %.17g, not %.17g and %.17g", count, row + 1,
                      moved.score, moved.memory_score, stayed.score, stayed.memory_score);
        }
        fixture_rows_free(&account);
        engine_close(from);
        engine_close(to);
    }
    reference_close(reference);
}

ENGINE_TEST(an_export_into_too_little_room_is_refused) {
    hostile_random random = {16};
    engine_reference reference = hostile_reference_make(&random, 8, 3);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 9);
    engine *engine = fixture_open(&reference, memory_options(name, 6, 0));
    fixture_feeding feeding = {.rows = &rows, .count = 9, .observation_rows = 9};
    fixture_feed(engine, feeding, NULL);
    parcel parcel = export_slot(engine, 0);
    for (size_t capacity = 1; capacity < parcel.used; capacity++) {
        /* An allocation of its own, so that a sanitizer sees a write beyond it. */
        unsigned char *small = malloc(capacity);
        size_t used = 0;
        cr_assert(small);
        engine_status status = engine_export(engine, 0, small, capacity, &used);
        cr_assert(status == ENGINE_BAD_ARGUMENT, "%zu: %s", capacity, engine_status_text(status));
        free(small);
    }
    free(parcel.data);
    engine_close(engine);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

/* Refusing bytes. */

typedef struct {
    engine *engine;
    const fixture_rows *rows;
    parcel before; /* of slot 1 */
} victim;

static void refuses_bytes(const victim *victim, const void *bytes, size_t used, const char *what,
                          size_t at) {
    engine_status status = engine_import(victim->engine, 1, bytes, used);
    cr_assert(status == ENGINE_BAD_ARGUMENT, "%s (%zu): %s", what, at, engine_status_text(status));
    parcel after = export_slot(victim->engine, 1);
    cr_assert(after.used == victim->before.used &&
                  memcmp(after.data, victim->before.data, after.used) == 0,
              "%s (%zu): the slot changed", what, at);
    free(after.data);
}

static void refuses_other_shapes(const victim *victim, const char *name) {
    const char *const whats[] = {"window", "memory rank", "dim", "classes"};
    hostile_random random = {10};
    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++) {
        engine_reference reference =
            hostile_reference_make(&random, i == 2 ? 9 : 8, i == 3 ? 4 : 3);
        fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 5);
        engine_options options = memory_options(name, i == 1 ? 5 : 6, 0);
        options.window_rows = i == 0 ? 17 : 16;
        engine *engine = fixture_open(&reference, options);
        fixture_feeding feeding = {.rows = &rows, .count = rows.rows, .observation_rows = 5};
        fixture_feed(engine, feeding, NULL);
        parcel parcel = export_slot(engine, 0);
        refuses_bytes(victim, parcel.data, parcel.used, whats[i], 0);
        free(parcel.data);
        engine_close(engine);
        fixture_rows_free(&rows);
        hostile_reference_free(&reference);
    }
}

ENGINE_TEST(torn_and_foreign_bytes_are_refused_and_change_nothing) {
    hostile_random random = {11};
    engine_reference reference = hostile_reference_make(&random, 8, 3);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 40);
    victim victim = {.engine = fixture_open(&reference, memory_options(name, 6, 0)), .rows = &rows};
    for (uint32_t slot = 0; slot < 2; slot++) {
        fixture_feeding feeding = {
            .slot = slot, .rows = &rows, .first = slot * 20, .count = 20, .observation_rows = 3};
        fixture_feed(victim.engine, feeding, NULL);
    }
    victim.before = export_slot(victim.engine, 1);
    parcel good = export_slot(victim.engine, 0);
    for (size_t used = 0; used < good.used; used++) {
        /* An allocation of its own, so that a sanitizer sees a read beyond it. */
        unsigned char *torn = malloc(used ? used : 1);
        cr_assert(torn);
        memcpy(torn, good.data, used);
        refuses_bytes(&victim, torn, used, "cut short", used);
        free(torn);
    }
    unsigned char *longer = calloc(good.used + 8, 1);
    cr_assert(longer);
    memcpy(longer, good.data, good.used);
    refuses_bytes(&victim, longer, good.used + 1, "one byte more", 0);
    refuses_bytes(&victim, longer, good.used + 8, "eight bytes more", 0);
    free(longer);
    for (size_t i = 0; i < good.used; i++) {
        good.data[i] = (unsigned char)hostile_random_below(&random, 256);
    }
    refuses_bytes(&victim, good.data, good.used, "noise", 0);
    refuses_other_shapes(&victim, name);
    free(good.data);
    free(victim.before.data);
    engine_close(victim.engine);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

ENGINE_TEST(an_import_without_a_free_block_is_refused) {
    enum { BLOCKS = 4 };
    hostile_random random = {13};
    engine_reference reference = hostile_reference_make(&random, 8, BLOCKS);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_SINGLES, BLOCKS);
    engine_options options = memory_options(name, 6, 0);
    options.memory_blocks = BLOCKS;
    options.batch_rows_max = BLOCKS;
    victim victim = {.engine = fixture_open(&reference, options), .rows = &rows};
    victim.before = export_slot(victim.engine, 1);
    fixture_feeding feeding = {.rows = &rows, .count = BLOCKS, .observation_rows = BLOCKS};
    fixture_feed(victim.engine, feeding, NULL);
    parcel full = export_slot(victim.engine, 0);
    refuses_bytes(&victim, full.data, full.used, "no free block", 0);
    cr_assert(engine_forget(victim.engine, 0) == ENGINE_OK);
    cr_assert(engine_import(victim.engine, 1, full.data, full.used) == ENGINE_OK, "room again");
    free(full.data);
    free(victim.before.data);
    engine_close(victim.engine);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

/* There is no checksum, so a changed figure may pass; it must do no harm beyond its slot. */
ENGINE_TEST(changed_bytes_harm_nothing_but_their_slot) {
    const unsigned char changes[] = {0x01, 0x41, 0x80, 0xff};
    hostile_random random = {14};
    engine_reference reference = hostile_reference_make(&random, 8, 3);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 20);
    engine *engine = fixture_open(&reference, memory_options(name, 6, 64));
    fixture_feeding feeding = {.rows = &rows, .count = 20, .observation_rows = 3};
    fixture_feed(engine, feeding, NULL);
    feeding.slot = 1;
    engine_result want = fixture_feed(engine, feeding, NULL);
    parcel good = export_slot(engine, 0);
    size_t taken = 0;
    /* A simulated device sees every 13th of the changes, so that all four come to all fields. */
    size_t step = fixture_simulated(name) ? 13 : 1;
    for (size_t at = 0; at < good.used * sizeof changes; at += step) {
        unsigned char change = changes[at % sizeof changes];
        good.data[at / sizeof changes] ^= change;
        feeding.slot = 2;
        cr_assert(engine_forget(engine, 2) == ENGINE_OK);
        engine_status status = engine_import(engine, 2, good.data, good.used);
        cr_assert(status == ENGINE_OK || status == ENGINE_BAD_ARGUMENT, "byte %zu: %s", at,
                  engine_status_text(status));
        taken += status == ENGINE_OK;
        fixture_feeding next = feeding;
        next.count = 1;
        fixture_feed(engine, next, NULL);
        cr_assert(engine_forget(engine, 2) == ENGINE_OK);
        engine_result got = fixture_feed(engine, feeding, NULL);
        cr_assert(got.score == want.score && got.memory_score == want.memory_score,
                  "byte %zu ^ %u: %.17g and %.17g, not %.17g and %.17g", at / sizeof changes,
                  change, got.score, got.memory_score, want.score, want.memory_score);
        good.data[at / sizeof changes] ^= change;
    }
    printf("of %zu changes of one byte %zu were taken\n", good.used * sizeof changes / step, taken);
    free(good.data);
    engine_close(engine);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

/* Finite, but what rows are rotated into it is not. Whole or not at all: no score of 0 instead. */
ENGINE_TEST(a_memory_that_overflows_is_an_error_and_no_score) {
    enum { LAST_BYTES = 64 };
    hostile_random random = {11};
    reference *reference = fixture_reference(64);
    engine *engine = fixture_open(&reference->statistics, memory_options(name, 16, 0));
    fixture_rows rows = hostile_account_make(&random, 64, "benign_shift", 1);
    fixture_feeding feeding = {.rows = &rows, .count = 1, .observation_rows = 1};
    fixture_feed(engine, feeding, NULL);
    parcel parcel = export_slot(engine, 0);
    for (size_t i = 0; i < LAST_BYTES; i += sizeof(float)) {
        memcpy(parcel.data + parcel.used - LAST_BYTES + i, &(float){FLT_MAX}, sizeof(float));
    }
    for (int twice = 0; twice < 2; twice++) {
        engine_status status = engine_import(engine, 1, parcel.data, parcel.used);
        cr_assert(status == ENGINE_OK, "%s", engine_status_text(status));
    }
    const unsigned char *embedding = (const unsigned char *)rows.embeddings;
    engine_observation observation = {.slot = 1, .row_count = 1};
    engine_result result;
    engine_batch batch = {.rows = 1,
                          .embeddings = &embedding,
                          .classes = rows.classes,
                          .observations = 1,
                          .observation = &observation,
                          .results = &result};
    cr_assert(engine_submit(engine, &batch) == ENGINE_OK);
    engine_status status = engine_collect(engine);
    cr_assert(status == ENGINE_INTERNAL, "%s, score %g", engine_status_text(status),
              result.memory_score);
    cr_assert(!engine_describe(engine).degraded);
    free(parcel.data);
    fixture_rows_free(&rows);
    engine_close(engine);
    reference_close(reference);
}

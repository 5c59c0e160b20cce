/* test_memory.c - long memories against a float64 replay of all rows, and a pool that runs out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"

/* What engine.h promises for a memory. */
static const double memory_tolerance = 1e-4;

/* An engine may keep float32 sums, rounded at every row: 6e-8 each, which over the few hundred rows
 * that still count walk to 4e-6 of tr S_c. */
static const double rounding = 4e-6;

static engine_options memory_options(const char *name, size_t rank, double half_life_rows) {
    engine_options options = fixture_options(name, 16);
    options.memory_rank = rank;
    options.half_life_rows = half_life_rows;
    return options;
}

/* Feeds the account up to 16 rows at a time and compares at points that lie ever further apart. */
static void compare_replay(const char *name, const engine_reference *reference,
                           const fixture_rows *account, const char *who, size_t rank,
                           double half_life_rows, fixture_worst *worst) {
    const size_t points[] = {1, 2, 3, 7, 40, 300, account->rows};
    engine *engine = fixture_open(reference, memory_options(name, rank, half_life_rows));
    double *weights = calloc(account->rows, sizeof *weights);
    cr_assert(weights);
    size_t done = 0;
    for (size_t i = 0; i < sizeof points / sizeof *points && done < account->rows; i++) {
        fixture_feeding feeding = {.rows = account,
                                   .first = done,
                                   .count = points[i] - done,
                                   .observation_rows = 16,
                                   .batch_observations = 10};
        double score = fixture_feed(engine, feeding, NULL).memory_score;
        done = points[i];
        oracle_weights(half_life_rows, 0, done, weights);
        double want = oracle_memory_score(reference, rank, weights, account->embeddings,
                                          account->classes, done);
        fixture_compare(worst, score, want, "dim %zu %s, rank %zu, half-life %g, %zu rows",
                        reference->dim, who, rank, half_life_rows, done);
    }
    free(weights);
    engine_close(engine);
}

static void real_accounts(const char *name, size_t dim) {
    const char *const sources[] = {"benign_test", "atk_jbda", "atk_noise_uniform"};
    const size_t ranks[] = {8, 32};
    const double half_lives[] = {64, 512, 0};
    hostile_random random = {dim};
    fixture_worst worst = {0};
    char claim[64];
    reference *reference = fixture_reference(dim);
    for (size_t s = 0; s < sizeof sources / sizeof *sources; s++) {
        fixture_rows account = hostile_account_make(&random, dim, sources[s], 2000);
        for (size_t q = 0; q < sizeof ranks / sizeof *ranks; q++) {
            for (size_t h = 0; h < sizeof half_lives / sizeof *half_lives; h++) {
                compare_replay(name, &reference->statistics, &account, sources[s], ranks[q],
                               half_lives[h], &worst);
            }
        }
        fixture_rows_free(&account);
    }
    snprintf(claim, sizeof claim, "memories of dim %zu", dim);
    fixture_settle(&worst, memory_tolerance, claim);
    reference_close(reference);
}

ENGINE_TEST(memories_of_dim_64_match_a_float64_replay_of_2000_rows) {
    real_accounts(name, 64);
}

ENGINE_TEST(memories_of_dim_256_match_a_float64_replay_of_2000_rows) {
    real_accounts(name, 256);
}

/* Where nothing is forgotten, roundings of float32 sums add up and small addends get lost. */
ENGINE_TEST(a_memory_that_never_forgets_stays_right_over_50000_rows) {
    hostile_random random = {17};
    fixture_worst worst = {0};
    reference *reference = fixture_reference(64);
    fixture_rows account = hostile_account_make(&random, 64, "benign_test", 50000);
    compare_replay(name, &reference->statistics, &account, "benign_test", 32, 0, &worst);
    fixture_settle(&worst, memory_tolerance, "50,000 rows");
    fixture_rows_free(&account);
    reference_close(reference);
}

/* The scatter of equal rows is zero, so whatever rounding leaves of it is the error. */
ENGINE_TEST(memories_of_a_repeated_query_match_the_replay) {
    const double half_lives[] = {64, 0};
    hostile_random random = {5};
    fixture_worst same = {0}, nearly = {0}, pair = {0};
    reference *reference = fixture_reference(64);
    for (size_t round = 0; round < 6; round++) {
        const char *source = round % 2 ? "atk_cifar100" : "benign_test";
        double half_life = half_lives[round / 2 % 2];
        fixture_rows account = hostile_account_make(&random, 64, source, 2000);
        for (size_t i = 1; i < account.rows; i++) {
            fixture_rows_copy(&account, i, &account, 0);
        }
        compare_replay(name, &reference->statistics, &account, source, 32, half_life, &same);
        for (size_t i = 64; i < account.rows * 64; i++) {
            account.embeddings[i] *= 1.0f + 1e-5f * (float)hostile_random_normal(&random);
        }
        compare_replay(name, &reference->statistics, &account, source, 32, half_life, &nearly);
        account.classes[1] = account.classes[0];
        size_t all = account.rows;
        account.rows = 2;
        compare_replay(name, &reference->statistics, &account, source, 32, half_life, &pair);
        account.rows = all;
        fixture_rows_free(&account);
    }
    fixture_settle(&same, memory_tolerance, "one query, 2000 times");
    fixture_settle(&nearly, memory_tolerance, "one query, nearly the same each time");
    fixture_settle(&pair, memory_tolerance, "two rows");
    reference_close(reference);
}

/* After enough rows a class weighs less than any float: then it must vanish, not divide by zero. */
ENGINE_TEST(a_short_half_life_forgets_classes_without_harm) {
    const double half_lives[] = {0.01, 0.5, 1, 3};
    hostile_random random = {6};
    fixture_worst worst = {0};
    engine_reference reference = hostile_reference_make(&random, 12, 4);
    for (size_t h = 0; h < sizeof half_lives / sizeof *half_lives; h++) {
        fixture_rows account = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 4000);
        for (size_t i = 10; i < account.rows; i++) {
            account.classes[i] = i < 3900 ? 0 : (uint32_t)(i % 4);
        }
        compare_replay(name, &reference, &account, "one class for long", 12, half_lives[h], &worst);
        fixture_rows_free(&account);
    }
    fixture_settle(&worst, memory_tolerance, "short half-lives");
    hostile_reference_free(&reference);
}

ENGINE_TEST(hostile_rows_of_random_references_match_the_replay) {
    const size_t shapes[][2] = {{1, 1}, {2, 3}, {8, 6}, {33, 6}, {96, 2}};
    hostile_random random = {7};
    fixture_worst worst = {0};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        engine_reference reference =
            hostile_reference_make(&random, shapes[shape][0], shapes[shape][1]);
        worst.least = rounding / memory_tolerance * hostile_least_trace(&reference);
        for (hostile_kind kind = 0; kind < HOSTILE_KINDS; kind++) {
            fixture_rows account = hostile_window_make(&random, &reference, kind, 500);
            compare_replay(name, &reference, &account, hostile_kind_names[kind], 16, 128, &worst);
            fixture_rows_free(&account);
        }
        hostile_reference_free(&reference);
    }
    fixture_settle(&worst, memory_tolerance, "hostile memories");
}

/* The pool. */

ENGINE_TEST(an_exhausted_pool_costs_memories_but_no_window) {
    enum { SLOTS = 50, BLOCKS = 8 };
    hostile_random random = {12};
    fixture_worst worst = {0};
    engine_reference reference = hostile_reference_make(&random, 8, 12);
    engine_options options = memory_options(name, 6, 64);
    options.slots_max = SLOTS;
    engine *roomy = fixture_open(&reference, options);
    options.memory_blocks = BLOCKS;
    options.batch_rows_max = BLOCKS;
    engine *tight = fixture_open(&reference, options);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 3000);
    for (size_t done = 0; done < rows.rows;) {
        size_t count = 1 + hostile_random_below(&random, BLOCKS);
        count = count < rows.rows - done ? count : rows.rows - done;
        fixture_feeding feeding = {.slot = (uint32_t)hostile_random_below(&random, SLOTS),
                                   .rows = &rows,
                                   .first = done,
                                   .count = count,
                                   .observation_rows = count};
        engine_result want = fixture_feed(roomy, feeding, NULL);
        engine_result got = fixture_feed(tight, feeding, NULL);
        cr_assert(isfinite(got.memory_score) && got.memory_score >= 0.0, "row %zu: %g", done,
                  got.memory_score);
        fixture_compare(&worst, got.score, want.score, "row %zu", done);
        done += count;
    }
    /* The windows are the same rows projected the same way. */
    fixture_settle(&worst, 0.0, "windows beside an exhausted pool");
    engine_close(roomy);
    engine_close(tight);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

ENGINE_TEST(batching_changes_nothing_while_the_pool_is_short_of_blocks) {
    enum { SLOTS = 20, ROWS = 1024, BATCH = 64 };
    static engine_observation observation[ROWS];
    static engine_result whole[ROWS], one[ROWS];
    static const unsigned char *embeddings[ROWS];
    hostile_random random = {21};
    fixture_worst worst = {0};
    engine_reference reference = hostile_reference_make(&random, 8, 12);
    engine_options options = memory_options(name, 6, 64);
    options.slots_max = SLOTS;
    options.memory_blocks = BATCH;
    options.batch_rows_max = BATCH;
    engine *grouped = fixture_open(&reference, options);
    engine *single = fixture_open(&reference, options);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        uint32_t slot = (uint32_t)hostile_random_below(&random, SLOTS);
        embeddings[i] = (const unsigned char *)(rows.embeddings + i * rows.dim);
        observation[i] = (engine_observation){slot, (uint32_t)(i % BATCH), 1, ENGINE_F32};
    }
    for (size_t first = 0; first < ROWS; first += BATCH) {
        fixture_run(grouped, &(engine_batch){.rows = BATCH,
                                             .embeddings = embeddings + first,
                                             .classes = rows.classes + first,
                                             .observations = BATCH,
                                             .observation = observation + first,
                                             .results = whole + first});
    }
    for (size_t i = 0; i < ROWS; i++) {
        engine_observation alone = {observation[i].slot, 0, 1, ENGINE_F32};
        fixture_run(single, &(engine_batch){.rows = 1,
                                            .embeddings = embeddings + i,
                                            .classes = rows.classes + i,
                                            .observations = 1,
                                            .observation = &alone,
                                            .results = one + i});
        fixture_compare(&worst, whole[i].memory_score, one[i].memory_score, "row %zu", i);
    }
    /* Float32 rounding of the projection, as in test_engine.c. */
    fixture_settle(&worst, 1e-6, "memories of a short pool, batched and one by one");
    engine_close(grouped);
    engine_close(single);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

/* An engine writes a batch's memories down in as many parts as it has room for; the last of them
 * may hold nothing but scores, when the rows went before. */
ENGINE_TEST(an_observation_whose_rows_were_in_the_part_before_is_scored) {
    enum { CLASSES = 50, ROWS_MAX = 40, EACH = 3, OBSERVATIONS = 13, ROWS = OBSERVATIONS * EACH };
    static engine_result whole[OBSERVATIONS], one[OBSERVATIONS];
    hostile_random random = {31};
    fixture_worst worst = {0};
    engine_reference reference = hostile_reference_make(&random, 8, CLASSES);
    engine_options options = memory_options(name, 6, 64);
    options.batch_rows_max = ROWS_MAX;
    engine *grouped = fixture_open(&reference, options);
    engine *single = fixture_open(&reference, options);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, CLASSES + ROWS);
    for (size_t i = 0; i < CLASSES; i++) {
        rows.classes[i] = (uint32_t)i;
    }
    fixture_feeding feeding = {.rows = &rows, .count = CLASSES, .observation_rows = 1};
    fixture_feed(grouped, feeding, NULL);
    fixture_feed(single, feeding, NULL);
    /* A score has 50 shares, and a part room for 16 a row of the largest batch: for 12 scores. */
    feeding.first = CLASSES;
    feeding.count = ROWS;
    feeding.observation_rows = EACH;
    fixture_feed(single, feeding, one);
    feeding.batch_observations = OBSERVATIONS;
    fixture_feed(grouped, feeding, whole);
    cr_assert(!engine_describe(grouped).degraded, "%s", engine_describe(grouped).note);
    for (size_t i = 0; i < OBSERVATIONS; i++) {
        fixture_compare(&worst, whole[i].memory_score, one[i].memory_score, "observation %zu", i);
    }
    /* Float32 rounding of the projection, as in test_engine.c. */
    fixture_settle(&worst, 1e-6, "memories in parts");
    engine_close(grouped);
    engine_close(single);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

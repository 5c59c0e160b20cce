/* test_golden.c - scores against float64: golden windows, one-class windows, and random ones. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"

/* What engine.h promises for every window. */
static const double score_tolerance = 1e-5;

/* s, y and what is made of them are float32 and off by 6e-8 each, about 4e-7 of tr S_c in all. */
static const double rounding = 4e-7;

/* Two float64 methods agreed to 6e-9 when the golden scores were made. */
static const double oracle_tolerance = 1e-8;

/* The literal formula loses about 1e-8 of the trace for each eigenvalue that should be zero, and a
 * window of one row of each of a few classes has up to dim of them. */
static const double literal_tolerance = 2e-6;

static void oracle_matches_golden(size_t dim, oracle_method method, size_t windows_max,
                                  double tolerance, const char *claim) {
    oracle *oracle = fixture_oracle(dim);
    fixture_golden golden = fixture_golden_load(dim);
    fixture_worst worst = {0};
    for (size_t i = 0; i < golden.windows && i < windows_max; i++) {
        const fixture_window *window = &golden.window[i];
        double score = oracle_score(oracle, method, window->rows.embeddings, window->rows.classes,
                                    window->rows.rows);
        fixture_compare(&worst, score, window->score, "%s", window->name);
    }
    fixture_settle(&worst, tolerance, claim);
    fixture_golden_free(&golden);
    oracle_close(oracle);
}

Test(oracle, both_methods_give_the_golden_scores) {
    oracle_matches_golden(64, ORACLE_SVD, SIZE_MAX, oracle_tolerance, "oracle by SVD, dim 64");
    oracle_matches_golden(64, ORACLE_LITERAL, SIZE_MAX, literal_tolerance,
                          "oracle to the letter, dim 64");
    oracle_matches_golden(256, ORACLE_SVD, 2, oracle_tolerance, "oracle by SVD, dim 256");
}

/* W + 3 other rows, which leave the end of the ring in its middle. */
static void fill_slot(engine *engine, uint32_t slot, const fixture_rows *others,
                      size_t window_rows) {
    for (size_t left = window_rows + 3; left > 0;) {
        size_t count = left < others->rows ? left : others->rows;
        fixture_feeding feeding = {
            .slot = slot, .rows = others, .count = count, .observation_rows = window_rows};
        fixture_feed(engine, feeding, NULL);
        left -= count;
    }
}

enum { SIMULATED_ROWS_MAX = 32 };

/* Whole, seven rows at a time and row by row, into an empty slot and after other rows. Large
 * windows not row by row where the device is simulated. */
static void feed_every_way(engine *engine, const fixture_golden *golden, size_t at, bool simulated,
                           fixture_worst *worst) {
    const fixture_window *window = &golden->window[at];
    size_t window_rows = window->rows.rows;
    const size_t ways[] = {window_rows, 7 < window_rows ? 7 : window_rows, 1};
    size_t count = sizeof ways / sizeof *ways - (simulated && window_rows > SIMULATED_ROWS_MAX);
    for (size_t way = 0; way < count; way++) {
        for (int filled = 0; filled < 2; filled++) {
            uint32_t slot = (uint32_t)way;
            cr_assert(engine_forget(engine, slot) == ENGINE_OK);
            if (filled) {
                fill_slot(engine, slot, &golden->window[(at + 1) % golden->windows].rows,
                          window_rows);
            }
            fixture_feeding feeding = {.slot = slot,
                                       .rows = &window->rows,
                                       .count = window_rows,
                                       .observation_rows = ways[way],
                                       .batch_observations = filled ? window_rows : 1};
            engine_result last = fixture_feed(engine, feeding, NULL);
            cr_assert(last.fill == window_rows, "%s: fill %u", window->name, last.fill);
            fixture_compare(worst, last.score, window->score, "%s, %zu at a time%s", window->name,
                            ways[way], filled ? ", after others" : "");
        }
    }
}

static void golden_windows(const char *name, size_t dim) {
    reference *reference = fixture_reference(dim);
    fixture_golden golden = fixture_golden_load(dim);
    fixture_worst worst = {0};
    char claim[64];
    bool done[ENGINE_WINDOW_MAX + 1] = {false};
    for (size_t i = 0; i < golden.windows; i++) {
        size_t window_rows = golden.window[i].rows.rows;
        if (done[window_rows]) {
            continue;
        }
        done[window_rows] = true;
        engine_options options = fixture_options(name, window_rows);
        engine *engine = fixture_open(&reference->statistics, options);
        for (size_t j = i; j < golden.windows; j++) {
            if (golden.window[j].rows.rows == window_rows) {
                feed_every_way(engine, &golden, j, fixture_simulated(name), &worst);
            }
        }
        engine_close(engine);
    }
    snprintf(claim, sizeof claim, "%s: golden windows of dim %zu", name, dim);
    fixture_settle(&worst, score_tolerance, claim);
    fixture_golden_free(&golden);
    reference_close(reference);
}

ENGINE_TEST(golden_windows_of_dim_64_are_scored_within_1e5) {
    golden_windows(name, 64);
}

ENGINE_TEST(golden_windows_of_dim_256_are_scored_within_1e5) {
    golden_windows(name, 256);
}

ENGINE_TEST(golden_windows_of_dim_512_are_scored_within_1e5) {
    golden_windows(name, 512);
}

typedef enum { DISTINCT, HALF_TWICE, NEARLY_TWICE, ALL_ONE, WAYS } repetition;
static const char *const repetition_names[WAYS] = {"distinct", "half of them twice",
                                                   "half of them nearly twice", "one row"};

/* `count` rows of one predicted class, picked without putting back. */
static fixture_rows pick_one_class(hostile_random *random, const fixture_rows *source, uint32_t c,
                                   size_t count, repetition repetition) {
    fixture_rows rows = fixture_rows_make(count, source->dim);
    size_t left = 0, at = 0;
    for (size_t i = 0; i < source->rows; i++) {
        left += source->classes[i] == c;
    }
    cr_assert(left >= count, "%zu rows of class %u", left, c);
    for (size_t i = 0; i < source->rows && at < count; i++) {
        if (source->classes[i] == c && hostile_random_below(random, left--) < count - at) {
            fixture_rows_copy(&rows, at++, source, i);
        }
    }
    for (size_t i = 0; i < count && repetition != DISTINCT; i++) {
        fixture_rows_copy(&rows, i, &rows, repetition == ALL_ONE ? 0 : i % (count / 2));
        for (size_t j = 0; repetition == NEARLY_TWICE && i >= count / 2 && j < rows.dim; j++) {
            rows.embeddings[i * rows.dim + j] *=
                1.0f + 1e-6f * (float)hostile_random_normal(random);
        }
    }
    return rows;
}

static void one_class_windows(const char *name, size_t dim, uint32_t c, fixture_worst *worst,
                              const reference *reference, oracle *oracle) {
    fixture_rows source = fixture_source(dim, "benign_test");
    hostile_random random = {dim + c};
    const size_t counts[] = {64, 128, 256};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        engine_options options = fixture_options(name, counts[i]);
        engine *engine = fixture_open(&reference->statistics, options);
        for (repetition r = DISTINCT; r < WAYS; r++) {
            fixture_rows rows = pick_one_class(&random, &source, c, counts[i], r);
            fixture_feeding feeding = {.slot = (uint32_t)r,
                                       .rows = &rows,
                                       .count = counts[i],
                                       .observation_rows = counts[i]};
            double score = fixture_feed(engine, feeding, NULL).score;
            double want =
                oracle_score(oracle, ORACLE_SVD, rows.embeddings, rows.classes, rows.rows);
            fixture_compare(worst, score, want, "dim %zu class %u, %zu rows, %s", dim, c, counts[i],
                            repetition_names[r]);
            fixture_rows_free(&rows);
        }
        engine_close(engine);
    }
    fixture_rows_free(&source);
}

ENGINE_TEST(one_class_windows_are_scored_within_1e5) {
    fixture_worst worst = {0};
    reference *small = fixture_reference(64), *large = fixture_reference(256);
    oracle *small_oracle = fixture_oracle(64), *large_oracle = fixture_oracle(256);
    for (uint32_t c = 0; c < small->statistics.classes; c += 3) {
        one_class_windows(name, 64, c, &worst, small, small_oracle);
    }
    /* Class 7 is the one that tests/data keeps 256 rows of at this dim. */
    one_class_windows(name, 256, 7, &worst, large, large_oracle);
    fixture_settle(&worst, score_tolerance, "one-class windows");
    oracle_close(small_oracle);
    oracle_close(large_oracle);
    reference_close(small);
    reference_close(large);
}

/* Random references of many shapes, every kind of window, lengths below and above dim. */
ENGINE_TEST(random_and_hostile_windows_are_scored_as_the_paper_writes) {
    const size_t shapes[][2] = {{1, 1},  {2, 3},  {3, 12}, {5, 2},  {8, 6},
                                {17, 7}, {24, 1}, {33, 6}, {64, 3}, {96, 2}};
    const size_t lengths[] = {1, 2, 3, 4, 7, 16, 40, 100};
    hostile_random random = {2503};
    fixture_worst worst[HOSTILE_KINDS] = {0};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        engine_reference reference =
            hostile_reference_make(&random, shapes[shape][0], shapes[shape][1]);
        oracle *oracle = oracle_open_reference(&reference);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            engine *engine = fixture_open(&reference, fixture_options(name, lengths[i]));
            for (hostile_kind kind = 0; kind < HOSTILE_KINDS; kind++) {
                fixture_rows rows = hostile_window_make(&random, &reference, kind, lengths[i]);
                fixture_feeding feeding = {
                    .rows = &rows, .count = lengths[i], .observation_rows = lengths[i]};
                double score = fixture_feed(engine, feeding, NULL).score;
                double want =
                    oracle_score(oracle, ORACLE_LITERAL, rows.embeddings, rows.classes, rows.rows);
                worst[kind].least = rounding / score_tolerance * hostile_least_trace(&reference);
                fixture_compare(&worst[kind], score, want, "dim %zu, %zu classes, %zu rows",
                                reference.dim, reference.classes, lengths[i]);
                fixture_rows_free(&rows);
            }
            engine_close(engine);
        }
        oracle_close(oracle);
        hostile_reference_free(&reference);
    }
    for (hostile_kind kind = 0; kind < HOSTILE_KINDS; kind++) {
        fixture_settle(&worst[kind], score_tolerance, hostile_kind_names[kind]);
    }
}

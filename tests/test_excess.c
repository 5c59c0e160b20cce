/* test_excess.c - excesses of windows and memories, and concentrations, against float64. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"

/* What engine.h promises of d2_c; see hostile_benign_bound for what that means of an excess. */
static const double window_tolerance = 1e-5;
static const double memory_tolerance = 1e-4;

/* Whole numbers of pairs, divided once in float64. */
static const double concentration_tolerance = 1e-15;

typedef struct {
    fixture_worst excess, concentration;
} worst_pair;

static void settle(const worst_pair *worst, const char *claim) {
    fixture_settle(&worst->excess, window_tolerance, claim);
    fixture_settle(&worst->concentration, concentration_tolerance, "  its concentrations");
}

static void compare_window(engine *engine, const engine_reference *reference, oracle *oracle,
                           const fixture_rows *rows, const char *what, worst_pair *worst) {
    fixture_feeding feeding = {.rows = rows, .count = rows->rows, .observation_rows = rows->rows};
    double bound = hostile_benign_bound(reference->benign, reference);
    cr_assert(engine_forget(engine, 0) == ENGINE_OK);
    engine_result got = fixture_feed(engine, feeding, NULL);
    double want =
        oracle_excess(oracle, reference->benign, rows->embeddings, rows->classes, rows->rows);
    fixture_compare(&worst->excess, got.excess + bound, want + bound,
                    "%s, dim %zu, %zu classes, %zu rows, %zu rungs", what, reference->dim,
                    reference->classes, rows->rows, reference->benign->rungs);
    fixture_compare(&worst->concentration, got.concentration,
                    oracle_concentration(rows->classes, rows->rows), "%s, %zu rows", what,
                    rows->rows);
}

ENGINE_TEST(golden_windows_exceed_as_the_formula_says) {
    hostile_random random = {64};
    worst_pair worst = {0};
    bool done[ENGINE_WINDOW_MAX + 1] = {false};
    reference *reference = fixture_reference(64);
    oracle *oracle = fixture_oracle(64);
    fixture_golden golden = fixture_golden_load(64);
    engine_benign benign = hostile_benign_make(&random, &reference->statistics, 12);
    engine_reference with = reference->statistics;
    with.benign = &benign;
    for (size_t i = 0; i < golden.windows; i++) {
        size_t window_rows = golden.window[i].rows.rows;
        if (done[window_rows]) {
            continue;
        }
        done[window_rows] = true;
        engine *engine = fixture_open(&with, fixture_options(name, window_rows));
        for (size_t j = i; j < golden.windows; j++) {
            if (golden.window[j].rows.rows == window_rows) {
                compare_window(engine, &with, oracle, &golden.window[j].rows, golden.window[j].name,
                               &worst);
            }
        }
        engine_close(engine);
    }
    settle(&worst, "excesses of golden windows");
    hostile_benign_free(&benign);
    fixture_golden_free(&golden);
    oracle_close(oracle);
    reference_close(reference);
}

ENGINE_TEST(random_and_hostile_windows_exceed_as_the_formula_says) {
    const size_t shapes[][2] = {{1, 1}, {2, 3}, {3, 12}, {8, 6}, {24, 1}, {33, 6}, {64, 3}};
    const size_t lengths[] = {1, 2, 3, 7, 16, 40, 100};
    hostile_random random = {91};
    worst_pair worst = {0};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        engine_reference reference =
            hostile_reference_make(&random, shapes[shape][0], shapes[shape][1]);
        oracle *oracle = oracle_open_reference(&reference);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            size_t rungs = i == 0 ? ENGINE_RUNGS_MAX : i == 1 ? 1 : 1 + i;
            engine_benign benign = hostile_benign_make(&random, &reference, rungs);
            reference.benign = &benign;
            engine *engine = fixture_open(&reference, fixture_options(name, lengths[i]));
            for (hostile_kind kind = 0; kind < HOSTILE_KINDS; kind++) {
                fixture_rows rows = hostile_window_make(&random, &reference, kind, lengths[i]);
                compare_window(engine, &reference, oracle, &rows, hostile_kind_names[kind], &worst);
                fixture_rows_free(&rows);
            }
            engine_close(engine);
            hostile_benign_free(&benign);
        }
        oracle_close(oracle);
        hostile_reference_free(&reference);
    }
    settle(&worst, "excesses of random and hostile windows");
}

/* ---- other tables ---- */

/* More than a few rows in one batch, and few: a device has a graph of its own for these, which
 * holds where the tables are. */
static void compare_feeds(engine *engine, const engine_reference *reference, oracle *oracle,
                          hostile_random *random, worst_pair *worst) {
    const size_t lengths[] = {3, 60};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        fixture_rows rows = hostile_window_make(random, reference, HOSTILE_FOREIGN, lengths[i]);
        compare_window(engine, reference, oracle, &rows, "after calibration", worst);
        fixture_rows_free(&rows);
    }
}

ENGINE_TEST(tables_are_exchanged_while_windows_stay_and_bad_ones_change_nothing) {
    hostile_random random = {94};
    worst_pair worst = {0};
    engine_reference reference = hostile_reference_make(&random, 24, 6);
    oracle *oracle = oracle_open_reference(&reference);
    engine_benign first = hostile_benign_make(&random, &reference, 5);
    engine_benign second = hostile_benign_make(&random, &reference, 5);
    engine_benign longer = hostile_benign_make(&random, &reference, 7);
    reference.benign = &first;
    engine *engine = fixture_open(&reference, fixture_options(name, 60));
    compare_feeds(engine, &reference, oracle, &random, &worst);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 10);
    fixture_feeding feeding = {.rows = &rows, .count = 9, .observation_rows = 9};
    cr_assert(engine_forget(engine, 0) == ENGINE_OK);
    fixture_feed(engine, feeding, NULL);
    cr_assert_eq(engine_calibrate(engine, &second), ENGINE_OK);
    feeding = (fixture_feeding){.rows = &rows, .first = 9, .count = 1, .observation_rows = 1};
    engine_result got = fixture_feed(engine, feeding, NULL);
    cr_assert_eq(got.fill, 10, "the window was forgotten");
    double bound = hostile_benign_bound(&second, &reference);
    fixture_compare(&worst.excess, got.excess + bound,
                    oracle_excess(oracle, &second, rows.embeddings, rows.classes, 10) + bound,
                    "a window that was begun under other tables");
    reference.benign = &second;
    compare_feeds(engine, &reference, oracle, &random, &worst);
    engine_benign falling = second;
    falling.rung = (const double[]){2.0, 1.0, 3.0, 4.0, 5.0};
    cr_assert_eq(engine_calibrate(engine, &falling), ENGINE_BAD_ARGUMENT, "rungs that fall");
    bool on_device = strcmp(engine_describe(engine).name, "cpu") != 0;
    cr_assert_eq(engine_calibrate(engine, &longer), on_device ? ENGINE_BAD_ARGUMENT : ENGINE_OK);
    cr_assert_eq(engine_calibrate(engine, NULL), on_device ? ENGINE_BAD_ARGUMENT : ENGINE_OK);
    engine_close(engine);
    settle(&worst, "excesses by other tables");
    hostile_benign_free(&first);
    hostile_benign_free(&second);
    hostile_benign_free(&longer);
    fixture_rows_free(&rows);
    oracle_close(oracle);
    hostile_reference_free(&reference);
}

/* ---- memories ---- */

/* Feeds the account and compares at points that lie ever further apart. */
static void compare_replay(const char *name, const engine_reference *reference,
                           const fixture_rows *account, double half_life_rows,
                           fixture_worst *worst) {
    const size_t points[] = {1, 2, 3, 7, 40, 300, account->rows}, rank = 16;
    engine_options options = fixture_options(name, 16);
    options.memory_rank = rank;
    options.half_life_rows = half_life_rows;
    engine *engine = fixture_open(reference, options);
    double *weights = calloc(account->rows, sizeof *weights);
    double bound = hostile_benign_bound(reference->memory_benign, reference);
    cr_assert(weights);
    for (size_t i = 0, done = 0; i < sizeof points / sizeof *points; i++) {
        fixture_feeding feeding = {.rows = account,
                                   .first = done,
                                   .count = points[i] - done,
                                   .observation_rows = 16,
                                   .batch_observations = 10};
        double excess = fixture_feed(engine, feeding, NULL).memory_excess;
        done = points[i];
        oracle_weights(half_life_rows, 0, done, weights);
        double want = oracle_memory_excess(reference, reference->memory_benign, rank, weights,
                                           account->embeddings, account->classes, done);
        fixture_compare(worst, excess + bound, want + bound,
                        "dim %zu, %zu classes, half-life %g, %zu rows", reference->dim,
                        reference->classes, half_life_rows, done);
    }
    free(weights);
    engine_close(engine);
}

/* With the shortest half-life a class weighs 1e-30 a row later, far below any rung. */
ENGINE_TEST(memories_exceed_as_a_float64_replay_says_whatever_has_been_forgotten) {
    const size_t shapes[][2] = {{3, 1}, {8, 6}, {33, 4}, {20, 30}};
    const double half_lives[] = {0, 256, 20, 1, 0.01};
    hostile_random random = {92};
    fixture_worst worst = {0};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        engine_reference reference =
            hostile_reference_make(&random, shapes[shape][0], shapes[shape][1]);
        engine_benign benign = hostile_benign_make(&random, &reference, 3 + 4 * shape);
        reference.memory_benign = &benign;
        for (size_t h = 0; h < sizeof half_lives / sizeof *half_lives; h++) {
            hostile_kind kind = h % 2 ? HOSTILE_FOREIGN : HOSTILE_HONEST;
            fixture_rows account = hostile_window_make(&random, &reference, kind, 600);
            for (size_t i = 10; i < 590; i++) { /* the other classes are forgotten meanwhile */
                account.classes[i] = h > 2 ? 0 : account.classes[i];
            }
            compare_replay(name, &reference, &account, half_lives[h], &worst);
            fixture_rows_free(&account);
        }
        hostile_benign_free(&benign);
        hostile_reference_free(&reference);
    }
    fixture_settle(&worst, memory_tolerance, "excesses of memories");
}

/* ---- without ---- */

/* What nothing is computed for must not be what an earlier batch left there. */
ENGINE_TEST(without_tables_or_memory_every_excess_is_zero) {
    hostile_random random = {93};
    engine_reference reference = hostile_reference_make(&random, 8, 3);
    engine_benign benign = hostile_benign_make(&random, &reference, 4);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 90);
    /* Each twice, since a device's buffers take turns. */
    const size_t counts[] = {40, 40, 90, 90, 60, 60, 7, 7};
    static engine_result results[90];
    for (int which = 0; which < 3; which++) {
        engine_options options = fixture_options(name, 4);
        reference.benign = which == 1 ? &benign : NULL;
        reference.memory_benign = which == 2 ? &benign : NULL;
        options.memory_rank = which == 2 ? 0 : 5;
        engine *engine = fixture_open(&reference, options);
        for (size_t b = 0; b < sizeof counts / sizeof *counts; b++) {
            fixture_feeding feeding = {
                .rows = &rows, .count = counts[b], .observation_rows = 1, .batch_observations = 90};
            fixture_feed(engine, feeding, results);
            for (size_t i = 0; i < feeding.count; i++) {
                cr_assert(which == 1 || results[i].excess == 0.0, "%g", results[i].excess);
                cr_assert(results[i].memory_excess == 0.0, "%g", results[i].memory_excess);
            }
        }
        engine_close(engine);
    }
    hostile_benign_free(&benign);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

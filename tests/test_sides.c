/*
 * test_sides.c - which side of a threshold a window's score lies on, told without the score.
 *
 * A threshold is put at and around every window's own score, where bounds are hardest put to it,
 * and far from it, where they must not be wrong either.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"
#include "window.h"

/* What two ways of computing one score may differ by, over the parts it is the difference of. */
static const double rounding = 2e-6;

/* The device scores all windows, so there is little to try on a simulated one. */
enum { SIMULATED_ROWS_MAX = 16, SIMULATED_TRIES = 2 };

typedef struct {
    size_t tries; /* thresholds a window */
    size_t asked, bounded;
} tally;

static tally tally_of(const char *name) {
    return (tally){.tries = fixture_simulated(name) ? SIMULATED_TRIES : SIZE_MAX};
}

static engine_result feed(engine *engine, const fixture_rows *rows, bool sides_only,
                          double threshold) {
    engine_result result;
    engine_observation observation = {.row_count = (uint32_t)rows->rows, .dtype = ENGINE_F32};
    const unsigned char **row = calloc(rows->rows, sizeof(const unsigned char *));
    cr_assert(row != NULL && engine_forget(engine, 0) == ENGINE_OK);
    for (size_t i = 0; i < rows->rows; i++) {
        row[i] = (const unsigned char *)(rows->embeddings + i * rows->dim);
    }
    fixture_run(engine, &(engine_batch){.rows = rows->rows,
                                        .embeddings = row,
                                        .classes = rows->classes,
                                        .observations = 1,
                                        .observation = &observation,
                                        .results = &result,
                                        .sides_only = sides_only,
                                        .threshold = threshold});
    free(row);
    return result;
}

/* Mean over the rows of tr S_c + |x - m_c|^2. */
static double parts_of(const engine_reference *r, const fixture_rows *rows) {
    double sum = 0.0;
    for (size_t i = 0; i < rows->rows; i++) {
        sum += r->trace[rows->classes[i]];
        for (size_t j = 0; j < r->dim; j++) {
            double x = (double)rows->embeddings[i * r->dim + j] -
                       (double)r->mean[rows->classes[i] * r->dim + j];
            sum += x * x;
        }
    }
    return sum / (double)rows->rows;
}

static void ask_around(engine *engine, const engine_reference *reference, const fixture_rows *rows,
                       const char *what, tally *tally) {
    static const double apart[] = {0.0, 1e-7, 1e-4, 0.01, 0.05, 0.2, 0.5, 0.9, 3.0};
    engine_result exact = feed(engine, rows, false, 0.0);
    double off = rounding * parts_of(reference, rows);
    for (size_t i = 0; i < 2 * sizeof apart / sizeof *apart && i < tally->tries; i++) {
        double threshold = exact.score * (1.0 + (i % 2 ? -apart[i / 2] : apart[i / 2]));
        engine_result got = feed(engine, rows, true, threshold);
        bool near = fabs(exact.score - threshold) <= off;
        cr_assert(near || (got.score > threshold) == (exact.score > threshold),
                  "%s: score %.9g, threshold %.9g: %.9g is on the other side", what, exact.score,
                  threshold, got.score);
        cr_assert(near || (exact.score > threshold ? got.score <= exact.score + off
                                                   : got.score >= exact.score - off),
                  "%s: score %.9g, threshold %.9g: %.9g is no bound", what, exact.score, threshold,
                  got.score);
        cr_assert(got.fill == exact.fill && got.concentration == exact.concentration);
        tally->asked++;
        tally->bounded += fabs(got.score - exact.score) > off;
    }
}

ENGINE_TEST(bounds_of_real_windows_are_on_the_side_of_their_scores) {
    static const char *const sources[] = {"benign_test", "atk_cifar100", "atk_noise_uniform"};
    static const size_t classes_kept[] = {1, 3, 10};
    hostile_random random = {7};
    tally tally = tally_of(name);
    size_t window_rows = fixture_simulated(name) ? SIMULATED_ROWS_MAX : 256;
    reference *reference = fixture_reference(64);
    engine *engine = fixture_open(&reference->statistics, fixture_options(name, window_rows));
    for (size_t s = 0; s < sizeof sources / sizeof *sources; s++) {
        fixture_rows source = fixture_source(64, sources[s]);
        fixture_rows rows = fixture_rows_make(window_rows, 64);
        for (size_t k = 0; k < sizeof classes_kept / sizeof *classes_kept; k++) {
            for (size_t i = 0; i < window_rows;) {
                size_t row = hostile_random_below(&random, source.rows);
                if ((source.classes[row] + 10 - source.classes[0]) % 10 < classes_kept[k]) {
                    fixture_rows_copy(&rows, i++, &source, row);
                }
            }
            ask_around(engine, &reference->statistics, &rows, sources[s], &tally);
        }
        fixture_rows_free(&rows);
        fixture_rows_free(&source);
    }
    printf("%s: %zu of %zu told by bounds\n", name, tally.bounded, tally.asked);
    /* Or bounds are not looked at, and all of this has shown nothing. The device scores all. */
    cr_assert(strcmp(name, "cpu") != 0 || tally.bounded > tally.asked / 3);
    engine_close(engine);
    reference_close(reference);
}

ENGINE_TEST(bounds_of_hostile_windows_are_on_the_side_of_their_scores) {
    const size_t shapes[][2] = {{1, 1}, {3, 12}, {33, 6}, {64, 3}, {96, 1}};
    const size_t lengths[] = {1, 3, 7, 40, 100, 150};
    hostile_random random = {93};
    tally tally = tally_of(name);
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        engine_reference reference =
            hostile_reference_make(&random, shapes[shape][0], shapes[shape][1]);
        engine *engine = fixture_open(&reference, fixture_options(name, 150));
        for (hostile_kind kind = 0; kind < HOSTILE_KINDS; kind++) {
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                if (fixture_simulated(name) && lengths[l] > SIMULATED_ROWS_MAX) {
                    continue;
                }
                fixture_rows rows = hostile_window_make(&random, &reference, kind, lengths[l]);
                ask_around(engine, &reference, &rows, hostile_kind_names[kind], &tally);
                fixture_rows_free(&rows);
            }
        }
        engine_close(engine);
        hostile_reference_free(&reference);
    }
    printf("%s: %zu of %zu told by bounds\n", name, tally.bounded, tally.asked);
}

ENGINE_TEST(a_threshold_that_is_no_number_is_refused) {
    reference *reference = fixture_reference(64);
    engine *engine = fixture_open(&reference->statistics, fixture_options(name, 16));
    const double thresholds[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        engine_batch batch = {.sides_only = true, .threshold = thresholds[i]};
        cr_assert(engine_submit(engine, &batch) == ENGINE_BAD_ARGUMENT);
    }
    engine_close(engine);
    reference_close(reference);
}

/* A factor near the end of float32 makes such rows. Their distance must not pass for none. */
Test(window, with_a_row_beyond_float32_has_neither_score_nor_side) {
    enum { ROWS = 100 };
    static const size_t lengths[] = {2, 3, 4, 63, 64, ROWS};
    static const float values[] = {INFINITY, NAN};
    const double trace = 1.0;
    const window_reference reference = {.trace = &trace};
    float y[ROWS];
    for (size_t k = 0; k < 6; k++) {
        for (size_t which = 0; which < 2 * lengths[k]; which++) {
            window_scratch scratch = {0};
            score_total total;
            cr_assert(window_scratch_open(&scratch, ROWS, 1));
            for (size_t i = 0; i < lengths[k]; i++) {
                y[i] = i == which / 2 ? values[which % 2] : (float)(i % 7);
                scratch.row[i] = (window_row){.s = 1.0f, .y = y + i};
            }
            cr_assert(!window_score(&scratch, lengths[k], &reference, &total));
            cr_assert(!window_side(&scratch, lengths[k], &reference, 0.5, &total),
                      "row %zu of %zu: score %g", which / 2, lengths[k], total.score);
            window_scratch_close(&scratch);
        }
    }
}

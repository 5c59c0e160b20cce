/*
 * test_compare.c - `adder-bench compare` as bench/compare/compare.py calls it: its scores, what it
 * prints, and what it says to bad input.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon_fixture.h"
#include "fixture.h"
#include "npy.h"

enum { PATH_BYTES = CHILD_PATH_BYTES * 2, WINDOWS_MAX = 64, TEXT_BYTES = 32, ERROR_BYTES = 1024 };

#define SOURCE(name) TEST_DATA "/d64/src/" name
#define BENIGN SOURCE("benign_test.emb.f16.npy"), "--classes", SOURCE("benign_test.pred.u8.npy")

/* The last argument is NULL. */
#define RUN(d, ...)                                                                                \
    child_run((d)->folder, (const char *const[]){ADDER_BENCH_PATH, "compare", "--engine", "cpu",   \
                                                 "--seconds", "0", __VA_ARGS__, NULL})

/* What engine.h promises for every window. */
static const double score_tolerance = 1e-5;

static void expect(child_result result, int status, const char *word) {
    cr_assert_eq(result.status, status, "%s: status %d: %s", word, result.status, result.err);
    cr_assert(strstr(result.err, word), "%s is not in: %s", word, result.err);
    cr_assert(child_one_line(result.err), "more than a line: %s", result.err);
    cr_assert_str_empty(result.out);
    child_result_free(&result);
}

/* The one JSON object that a run which went well has printed. */
static json_t *object_of(child_result result) {
    cr_assert_eq(result.status, 0, "status %d: %s", result.status, result.err);
    cr_assert(child_one_line(result.out), "%s", result.out);
    json_t *object = json_loads(result.out, 0, NULL);
    cr_assert(json_is_object(object), "%s", result.out);
    child_result_free(&result);
    return object;
}

static size_t size_in(const json_t *object, const char *key) {
    return (size_t)json_integer_value(json_object_get(object, key));
}

static void save(const char *path, npy_dtype dtype, size_t axes, const size_t *shape,
                 const void *data) {
    char error[ERROR_BYTES];
    cr_assert(npy_save(path, dtype, axes, shape, data, error, sizeof error), "%s", error);
}

/* Windows of one length, one after another. */
typedef struct {
    size_t window_rows;
    size_t windows;
    const fixture_window *window[WINDOWS_MAX];
} equal_windows;

static equal_windows windows_of(const fixture_golden *golden, size_t window_rows) {
    equal_windows equal = {.window_rows = window_rows};
    for (size_t i = 0; i < golden->windows; i++) {
        if (golden->window[i].rows.rows == window_rows) {
            cr_assert(equal.windows < WINDOWS_MAX);
            equal.window[equal.windows++] = &golden->window[i];
        }
    }
    return equal;
}

static void save_rows(const equal_windows *equal, const char *embeddings, const char *classes) {
    size_t dim = equal->window[0]->rows.dim;
    size_t shape[] = {equal->windows * equal->window_rows, dim};
    fixture_rows all = fixture_rows_make(shape[0], dim);
    for (size_t i = 0; i < shape[0]; i++) {
        const fixture_window *window = equal->window[i / equal->window_rows];
        fixture_rows_copy(&all, i, &window->rows, i % equal->window_rows);
    }
    save(embeddings, NPY_F32, 2, shape, all.embeddings);
    save(classes, NPY_U32, 1, shape, all.classes);
    fixture_rows_free(&all);
}

static void score_windows(const daemon_fixture *d, const equal_windows *equal,
                          fixture_worst *worst) {
    char embeddings[PATH_BYTES], classes[PATH_BYTES], scores[PATH_BYTES];
    char window[TEXT_BYTES], error[ERROR_BYTES];
    save_rows(equal, daemon_path(d, "rows.npy", embeddings),
              daemon_path(d, "classes.npy", classes));
    snprintf(window, sizeof window, "%zu", equal->window_rows);
    json_t *object =
        object_of(RUN(d, "--reference", d->reference, "--embeddings", embeddings, "--classes",
                      classes, "--window", window, "--threads", "1", "--batch-windows", "3",
                      "--accounts", "2", "--scores", daemon_path(d, "scores.npy", scores)));
    cr_assert_eq(size_in(object, "windows"), equal->windows);
    json_decref(object);

    npy written;
    cr_assert(npy_open(&written, scores, error, sizeof error), "%s", error);
    cr_assert(written.dtype == NPY_F64 && written.axes == 1 && written.count == equal->windows);
    for (size_t i = 0; i < equal->windows; i++) {
        fixture_compare(worst, npy_float(&written, i), equal->window[i]->score, "%s",
                        equal->window[i]->name);
    }
    npy_close(&written);
}

Test(compare, golden_windows_are_scored_within_1e5_in_batches_of_three_that_share_accounts) {
    daemon_fixture d;
    fixture_golden golden = fixture_golden_load(64);
    fixture_worst worst = {0};
    bool done[ENGINE_WINDOW_MAX + 1] = {false};
    daemon_open(&d, 64);
    for (size_t i = 0; i < golden.windows; i++) {
        size_t window_rows = golden.window[i].rows.rows;
        if (!done[window_rows]) {
            equal_windows equal = windows_of(&golden, window_rows);
            score_windows(&d, &equal, &worst);
            done[window_rows] = true;
        }
    }
    cr_assert_eq(worst.compared, golden.windows);
    fixture_settle(&worst, score_tolerance, "adder-bench compare: golden windows of dim 64");
    fixture_golden_free(&golden);
    daemon_close(&d);
}

Test(compare, it_prints_what_it_measured) {
    daemon_fixture d;
    daemon_open(&d, 64);
    json_t *object =
        object_of(RUN(&d, "--reference", d.reference, "--embeddings", BENIGN, "--window", "300"));
    cr_assert_eq(size_in(object, "windows"), 16); /* of 5,000 rows */
    cr_assert_eq(size_in(object, "rows_left_over"), 200);
    cr_assert_eq(size_in(object, "accounts"), 16);
    cr_assert_eq(size_in(object, "dim"), 64);
    cr_assert_str_eq(json_string_value(json_object_get(object, "engine")), "cpu");
    cr_assert_gt(json_number_value(json_object_get(object, "windows_per_s")), 0.0);
    cr_assert_gt(size_in(object, "baseline_rss_bytes"), 0);
    cr_assert_geq(size_in(object, "peak_rss_bytes"), size_in(object, "baseline_rss_bytes"));
    json_decref(object);
    daemon_close(&d);
}

Test(compare, bad_input_gets_one_line) {
    daemon_fixture d;
    daemon_open(&d, 64);
#define ROWS "--reference", d.reference, "--embeddings", BENIGN
    expect(RUN(&d, "--reference", d.reference), 2, "expected");
    expect(RUN(&d, ROWS, "--window", "0"), 2, "--window");
    expect(RUN(&d, ROWS, "--batch-windows", "1000000"), 2, "of a batch");
    expect(RUN(&d, ROWS, "--no-such-option"), 2, "no-such-option");
    expect(RUN(&d, ROWS, "more"), 2, "more");
    expect(RUN(&d, ROWS, "--engine", "abacus"), 1, "abacus");
    expect(RUN(&d, ROWS, "--window", "5001"), 1, "5001");
    expect(RUN(&d, ROWS, "--scores", "/no/such/folder/scores.npy"), 1, "/no/such/folder");
    expect(RUN(&d, "--reference", "/no/such", "--embeddings", BENIGN), 1, "/no/such");
    expect(RUN(&d, "--reference", d.reference, "--embeddings", BENIGN, "--classes",
               SOURCE("atk_jbda.emb.f16.npy")),
           1, "integers");
    expect(RUN(&d, "--reference", d.reference, "--embeddings",
               TEST_DATA "/d256/src/benign_test.emb.f16.npy", "--classes",
               TEST_DATA "/d256/src/benign_test.pred.u8.npy"),
           1, "dim 64");
    daemon_close(&d);
}

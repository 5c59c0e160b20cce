/*
 * test_reference.c - references made from statistics and from rows, saved and loaded; and what is
 * refused on the way in. Files that are spoilt by hand are in test_reference_hostile.c.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fit.h"
#include "npy.h"
#include "reference.h"
#include "reference_fixture.h"

#define REAL_MEAN TEST_DATA "/d64/ref_mean.f32.npy"
#define REAL_COVARIANCE TEST_DATA "/d64/ref_cov.f32.npy"

TestSuite(reference, .init = fixture_open, .fini = fixture_close);

static reference *make_real(size_t rank_max) {
    reference *made;
    reference_recipe recipe = {.model = "cifar", .made = "by a test", .rank_max = rank_max};
    cr_assert(reference_make_from_statistics(&made, REAL_MEAN, REAL_COVARIANCE, &recipe,
                                             fixture_error, FIXTURE_ERROR_BYTES),
              "%s", fixture_error);
    return made;
}

static double factor_product(const engine_reference *s, size_t class, size_t i, size_t j) {
    const float *factor = s->factor + class * s->dim * s->rank;
    double sum = 0;
    for (size_t k = 0; k < s->rank; k++) {
        sum += (double)factor[i * s->rank + k] * (double)factor[j * s->rank + k];
    }
    return sum;
}

/* |F F^T - S| over the largest entry of S. */
static double product_error(const engine_reference *s, size_t class, const double *covariance) {
    double worst = 0;
    double scale = 0;
    for (size_t i = 0; i < s->dim; i++) {
        for (size_t j = 0; j < s->dim; j++) {
            double want = covariance[i * s->dim + j];
            scale = fmax(scale, fabs(want));
            worst = fmax(worst, fabs(factor_product(s, class, i, j) - want));
        }
    }
    return worst / scale;
}

Test(reference, factors_of_the_real_statistics_give_their_covariances_back) {
    reference *made = make_real(0);
    const engine_reference *s = &made->statistics;
    npy mean;
    npy covariance;
    cr_assert(npy_open(&mean, REAL_MEAN, fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert(npy_open(&covariance, REAL_COVARIANCE, fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert(s->dim == 64 && s->classes == 10 && s->rank <= 64 && made->counts == NULL);
    cr_assert_eq(memcmp(s->mean, mean.data, mean.count * sizeof(float)), 0);

    static double matrix[64 * 64];
    double worst = 0;
    double worst_trace = 0;
    for (size_t c = 0; c < s->classes; c++) {
        npy_floats(&covariance, c * 64 * 64, (size_t)64 * 64, matrix);
        double trace = 0;
        for (size_t i = 0; i < 64; i++) {
            trace += matrix[i * 65];
        }
        worst = fmax(worst, product_error(s, c, matrix));
        worst_trace = fmax(worst_trace, fabs(s->trace[c] / trace - 1));
    }
    printf("real statistics: F F^T off by %.2g of the largest entry, trace by %.2g\n", worst,
           worst_trace);
    /* A float32 factor is off by 6e-8 an entry; rows of it multiply to at most the diagonal. */
    cr_assert_leq(worst, 5e-7, "%g", worst);
    /* What is lost are float32 statistics' eigenvalues below zero. */
    cr_assert_leq(worst_trace, 1e-6, "%g", worst_trace);
    npy_close(&mean);
    npy_close(&covariance);
    reference_close(made);
}

Test(reference, a_rank_limit_keeps_the_leading_columns_and_the_whole_trace) {
    reference *whole = make_real(0);
    reference *cut = make_real(7);
    cr_assert_eq(cut->statistics.rank, 7);
    for (size_t row = 0; row < cut->statistics.classes * cut->statistics.dim; row++) {
        const float *full = whole->statistics.factor + row * whole->statistics.rank;
        cr_assert_eq(memcmp(cut->statistics.factor + row * 7, full, 7 * sizeof(float)), 0);
    }
    cr_assert_eq(memcmp(cut->statistics.trace, whole->statistics.trace, 10 * sizeof(double)), 0);
    cr_assert(reference_save(cut, fixture_path("cut"), fixture_error, FIXTURE_ERROR_BYTES));
    reference_close(whole);
    reference_close(cut);
    cr_assert(reference_load(&cut, fixture_path("cut"), fixture_error, FIXTURE_ERROR_BYTES), "%s",
              fixture_error);
    reference_close(cut);
}

static void expect_equal(const reference *a, const reference *b) {
    const engine_reference *s = &a->statistics;
    const engine_reference *t = &b->statistics;
    cr_assert(s->dim == t->dim && s->classes == t->classes && s->rank == t->rank);
    cr_assert_eq(memcmp(s->mean, t->mean, s->classes * s->dim * sizeof(float)), 0);
    cr_assert_eq(memcmp(s->factor, t->factor, s->classes * s->dim * s->rank * sizeof(float)), 0);
    cr_assert_eq(memcmp(s->trace, t->trace, s->classes * sizeof(double)), 0);
    cr_assert_str_eq(a->model, b->model);
    cr_assert_str_eq(a->made, b->made);
    cr_assert_eq(a->window_rows, b->window_rows);
    cr_assert_eq(a->memory_rank, b->memory_rank);
    cr_assert(a->half_life_rows == b->half_life_rows);
    cr_assert_eq(a->counts == NULL, b->counts == NULL);
    if (a->counts != NULL) {
        cr_assert_eq(memcmp(a->counts, b->counts, s->classes * sizeof(size_t)), 0);
    }
    cr_assert_eq(a->thresholds, b->thresholds);
    for (size_t i = 0; i < a->thresholds; i++) {
        const reference_threshold *x = &a->threshold[i];
        const reference_threshold *y = &b->threshold[i];
        cr_assert(x->window_rows == y->window_rows && x->fpr == y->fpr &&
                  x->threshold == y->threshold && x->windows == y->windows && x->rows == y->rows);
    }
}

Test(reference, what_is_saved_loads_exactly) {
    reference *made = make_real(0);
    made->window_rows = 33;
    made->memory_rank = 5;
    made->half_life_rows = 1.0 / 3;
    made->counts = calloc(10, sizeof(size_t));
    for (size_t c = 0; c < 10; c++) {
        made->counts[c] = c << 40;
    }
    cr_assert(reference_set_threshold(made, (reference_threshold){16, 0.001, 22.38 / 3, 7, 99}));
    cr_assert(reference_set_threshold(made, (reference_threshold){64, 0.1, -1e-300, 1, 0}));
    reference *loaded;
    const char *directory = fixture_path("ref");
    cr_assert(reference_save(made, directory, fixture_error, FIXTURE_ERROR_BYTES), "%s",
              fixture_error);
    cr_assert(reference_load(&loaded, directory, fixture_error, FIXTURE_ERROR_BYTES), "%s",
              fixture_error);
    expect_equal(made, loaded);
    cr_assert_eq((uintptr_t)loaded->statistics.factor % 64, 0);
    reference_close(made);
    reference_close(loaded);
}

Test(reference, saving_takes_a_new_an_empty_or_a_reference_directory_and_no_other) {
    reference *first = make_real(0);
    reference *second = make_real(3);
    const char *directory = fixture_path("ref");
    reference *loaded;
    cr_assert_eq(mkdir(directory, 0700), 0);
    cr_assert(reference_save(first, directory, fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert(reference_save(second, directory, fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert_eq(fixture_entries("ref"), 4, "something was left beside the files");
    cr_assert(reference_load(&loaded, directory, fixture_error, FIXTURE_ERROR_BYTES));
    expect_equal(second, loaded);

    /* What a save leaves behind that was cut off between two renames. */
    cr_assert_eq(unlink(fixture_path("ref/reference.json")), 0);
    cr_assert(reference_save(second, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert_eq(fixture_entries("ref"), 4);

    cr_assert_eq(mkdir(fixture_path("other"), 0700), 0);
    cr_assert_eq(mkdir(fixture_path("other/mean.npy.old"), 0700), 0);
    cr_assert_not(reference_save(first, fixture_path("other"), fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("holds other files");
    cr_assert_eq(fixture_entries("other"), 1);
    cr_assert_not(
        reference_save(first, fixture_path("ref/mean.npy"), fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("mean.npy");
    cr_assert_not(
        reference_save(first, fixture_path("none/ref"), fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("cannot make the directory");
    reference_close(first);
    reference_close(second);
    reference_close(loaded);
}

Test(reference, a_save_that_fails_leaves_the_old_reference_or_no_directory) {
    reference *made = make_real(3);
    reference *loaded;
    made->half_life_rows = NAN;
    cr_assert_not(reference_save(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert_not(fixture_exists("ref"));
    made->half_life_rows = 1;
    memcpy(made->model, "bad\xff", 5);
    cr_assert_not(reference_save(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert_not(fixture_exists("ref"));
    memcpy(made->model, "good", 5);
    cr_assert(reference_save(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    made->window_rows = 0;
    cr_assert_not(reference_save(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("\"window\" is out of range");
    made->window_rows = 16;
    /* A directory in a file's place is found before anything is renamed. */
    cr_assert_eq(unlink(fixture_path("ref/trace.npy")), 0);
    cr_assert_eq(mkdir(fixture_path("ref/trace.npy"), 0700), 0);
    cr_assert_not(reference_save(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("trace.npy");
    cr_assert_eq(fixture_entries("ref"), 4);
    cr_assert(fixture_exists("ref/reference.json"));
    cr_assert_not(reference_load(&loaded, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    reference_close(made);
}

Test(reference, rewriting_the_json_changes_nothing_else_and_needs_one_to_be_there) {
    reference *made = make_real(0);
    reference *loaded;
    cr_assert_not(
        reference_save_calibration(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("no reference.json");
    cr_assert(reference_save(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert(reference_set_threshold(made, (reference_threshold){16, 0.01, 20.75, 100, 1600}));
    cr_assert(
        reference_save_calibration(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    cr_assert(reference_load(&loaded, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    expect_equal(made, loaded);
    cr_assert_eq(fixture_entries("ref"), 4);
    reference_close(made);
    reference_close(loaded);
}

Test(reference, thresholds_are_found_by_window_replaced_and_limited) {
    reference *made = make_real(1);
    cr_assert_null(reference_find_threshold(made, 1));
    for (size_t w = 1; w <= REFERENCE_THRESHOLDS_MAX; w++) {
        cr_assert(reference_set_threshold(made, (reference_threshold){.window_rows = w}));
    }
    cr_assert_not(reference_set_threshold(made, (reference_threshold){.window_rows = 1000}));
    cr_assert(reference_set_threshold(made, (reference_threshold){.window_rows = 9, .fpr = 0.5}));
    cr_assert_eq(made->thresholds, REFERENCE_THRESHOLDS_MAX);
    cr_assert(reference_find_threshold(made, 9)->fpr == 0.5);
    cr_assert_null(reference_find_threshold(made, 1000));
    reference_close(made);
}

static bool make_rows(const fixture_rows *rows, reference **made) {
    reference_recipe recipe = {0};
    fixture_save_rows(rows);
    return reference_make_from_rows(made, fixture_path("e.npy"), fixture_path("l.npy"), &recipe,
                                    fixture_error, FIXTURE_ERROR_BYTES);
}

Test(reference, from_rows_equals_from_the_statistics_of_these_rows) {
    fixture_rows rows = fixture_make_rows(300, 20, 3);
    size_t dim = rows.dim;
    double *class_rows = calloc(rows.count * dim, sizeof(double));
    double *mean = calloc(3 * dim, sizeof(double));
    double *covariance = calloc(3 * dim * dim, sizeof(double));
    size_t counts[3] = {0};
    for (size_t c = 0; c < 3; c++) {
        for (size_t i = 0; i < rows.count; i++) {
            if (rows.labels[i] == (int32_t)c) {
                for (size_t j = 0; j < dim; j++) {
                    class_rows[counts[c] * dim + j] = rows.embeddings[i * dim + j];
                }
                counts[c]++;
            }
        }
        fit_moments(class_rows, counts[c], dim, mean + c * dim, covariance + c * dim * dim);
    }
    fixture_save("m.npy", NPY_F64, (size_t[]){3, dim, 0}, mean);
    fixture_save("c.npy", NPY_F64, (size_t[]){3, dim, dim}, covariance);
    reference *a;
    reference *b;
    reference_recipe recipe = {0};
    cr_assert(make_rows(&rows, &a), "%s", fixture_error);
    cr_assert(reference_make_from_statistics(&b, fixture_path("m.npy"), fixture_path("c.npy"),
                                             &recipe, fixture_error, FIXTURE_ERROR_BYTES),
              "%s", fixture_error);
    cr_assert_eq(memcmp(a->counts, counts, sizeof(counts)), 0);
    cr_assert_str_eq(a->model, REFERENCE_MODEL_DEFAULT);
    free(a->counts);
    a->counts = NULL;
    expect_equal(a, b);
    reference_close(a);
    reference_close(b);
    free(class_rows);
    free(mean);
    free(covariance);
    fixture_free_rows(&rows);
}

Test(reference, classes_of_few_or_equal_rows_have_few_columns) {
    fixture_rows rows = fixture_make_rows(7, 20, 2);
    reference *made;
    cr_assert(make_rows(&rows, &made), "%s", fixture_error);
    cr_assert_eq(made->statistics.rank, 3, "4 and 3 rows span 3 and 2 directions, not %zu",
                 made->statistics.rank);
    reference_close(made);
    for (size_t i = 0; i < 7 * rows.dim; i++) {
        rows.embeddings[i] = 5;
    }
    cr_assert(make_rows(&rows, &made), "%s", fixture_error);
    cr_assert_eq(made->statistics.rank, 1);
    cr_assert(made->statistics.trace[0] == 0 && made->statistics.factor[0] == 0);
    cr_assert(reference_save(made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES));
    reference_close(made);
    cr_assert(reference_load(&made, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES), "%s",
              fixture_error);
    reference_close(made);
    fixture_free_rows(&rows);
}

static void expect_rows_refused(const fixture_rows *rows, const char *text) {
    reference *made = (reference *)rows;
    cr_assert_not(make_rows(rows, &made), "made; '%s' expected", text);
    cr_assert_null(made);
    fixture_expect_error(text);
}

Test(reference, rows_and_labels_that_do_not_fit_are_refused_by_row_or_class) {
    fixture_rows rows = fixture_make_rows(30, 4, 3);
    rows.embeddings[4 * 17 + 2] = NAN;
    expect_rows_refused(&rows, "e.npy: row 17, column 2 (class 2) is nan");
    rows.embeddings[4 * 17 + 2] = -INFINITY;
    expect_rows_refused(&rows, "row 17, column 2 (class 2) is -inf");
    rows.embeddings[4 * 17 + 2] = 1e9f;
    expect_rows_refused(&rows, "e.npy: class 2: mean[0, 2] is 1e+08");
    rows.embeddings[4 * 17 + 2] = 0;
    rows.labels[5] = -1;
    expect_rows_refused(&rows, "l.npy: row 5: label -1");
    rows.labels[5] = INT32_MAX;
    expect_rows_refused(&rows, "l.npy: row 5: label 2147483647");
    rows.labels[5] = 4;
    expect_rows_refused(&rows, "l.npy: class 3 has 0 rows");
    rows.labels[5] = 3;
    expect_rows_refused(&rows, "l.npy: class 3 has 1 row;");
    rows.labels[5] = 2;
    rows.labels_count = 29;
    expect_rows_refused(&rows, "l.npy: int32 (29,); integers (30,) expected");
    rows.labels_count = 30;
    rows.count = 0;
    rows.labels_count = 0;
    expect_rows_refused(&rows, "e.npy: no rows");
    fixture_free_rows(&rows);
}

static void expect_statistics_refused(fixture_statistics s, const char *text) {
    reference_recipe recipe = {.model = s.model};
    reference *made = (reference *)&recipe;
    fixture_save("m.npy", NPY_F32, s.mean_shape, s.mean);
    fixture_save("c.npy", NPY_F32, s.covariance_shape, s.covariance);
    cr_assert_not(reference_make_from_statistics(&made, fixture_path("m.npy"),
                                                 fixture_path("c.npy"), &recipe, fixture_error,
                                                 FIXTURE_ERROR_BYTES),
                  "made; '%s' expected", text);
    cr_assert_null(made);
    fixture_expect_error(text);
}

Test(reference, statistics_that_cannot_be_are_refused_by_class_with_the_figure) {
    float mean[6] = {0};
    float covariance[18] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    fixture_statistics s = {.mean = mean,
                            .covariance = covariance,
                            .mean_shape = {2, 3},
                            .covariance_shape = {2, 3, 3}};
    covariance[10] = 0.25f;
    expect_statistics_refused(s, "c.npy: class 1: the covariance is not symmetric: |S - S^T| is "
                                 "0.25 of the largest");
    covariance[10] = covariance[12] = 2;
    expect_statistics_refused(s,
                              "c.npy: class 1: the covariance has a negative eigenvalue: -0.333");
    covariance[10] = covariance[12] = 0;
    covariance[8] = NAN;
    expect_statistics_refused(s, "c.npy: class 0, row 2, column 2 is nan");
    covariance[8] = 1e30f;
    expect_statistics_refused(s, "c.npy: class 0: factor[2, 0] is 1e+15");
    covariance[8] = 1;
    mean[4] = INFINITY;
    expect_statistics_refused(s, "m.npy: class 1, column 1 is inf");
    mean[4] = 2e6f;
    expect_statistics_refused(s, "m.npy: class 1: mean[0, 1] is 2e+06");
    mean[4] = 0;
    s.model = "";
    expect_statistics_refused(s, "model name");
    s.model = "a\nb";
    expect_statistics_refused(s, "model name");
    s.model = "\xc2\x9b"
              "31m";
    expect_statistics_refused(s, "model name");
    s.model = "caf\xe9";
    expect_statistics_refused(s, "model name");
    s.model = NULL;
    memcpy(s.covariance_shape, (size_t[]){2, 9, 1}, sizeof(s.covariance_shape));
    expect_statistics_refused(s, "c.npy: shape (2, 9, 1); (2, 3, 3) expected");
    memcpy(s.covariance_shape, (size_t[]){6, 3, 0}, sizeof(s.covariance_shape));
    expect_statistics_refused(s, "c.npy: float32 (6, 3); floats (classes, dim, dim) expected");
}

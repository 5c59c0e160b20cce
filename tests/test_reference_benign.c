/*
 * test_reference_benign.c - what calibration puts into a reference: saved, loaded, and refused
 * where one member or one value is spoilt.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy.h"
#include "reference.h"
#include "reference_fixture.h"

enum { CLASSES = 2, RUNGS = 3, KINDS = 2, ALIGNMENTS = 6, EXCESSES = 10 };

#define FITTED "{\"format\": 1, \"model\": \"m\", \"dim\": 3, \"classes\": 2, \"rank\": 2"
#define NUMBERS                                                                                    \
    "\"window\": 16, \"queries\": 10000, \"rows\": 6, \"false_alarms\": 0.001, \"fpr\": 0.01, "    \
    "\"rows_per_class\": 3, \"tolerance\": 4, \"window_limit\": 7"
#define KIND "\"kinds\": 2"
#define LIMITS "\"limits\": {\"rows\": [1, 2, 3, 4, 5, 6], \"windows\": [1, 2, 3, 4, 5, 6]}"
#define LADDER "\"rungs\": [1, 2, 16]"
#define LISTS "\"alignments\": [3, 0, 1, 2]"
#define WINDOWS "\"excesses\": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"
#define WITH(benign) FITTED ", \"benign\": {" benign "}}"

static float mean[6] = {1, 2, 3, 4, 5, 6};
static float factor[12] = {1, 0, 0, 1, 0, 0, 2, 0, 0, 2, 0, 0};
static double trace[2] = {2, 8.5};
static double benign_mean[6] = {3, 2, 1, 6, 4, 2};
static double benign_var[6] = {4, 2, 1e-9, 9, 3, 1};
static float alignment[ALIGNMENTS] = {-0.5f, 0.25f, 0.25f, 1.0f, -1.0f, 0.0f};
static float excess[EXCESSES] = {-3, -2, -1, 0, 1, 2, 3, 4, 5, 60};

static void put_json(const char *json) {
    fixture_write("ref/reference.json", json, strlen(json));
}

static void put_benign(void) {
    fixture_save("ref/benign_mean.npy", NPY_F64, (size_t[]){CLASSES, RUNGS, 0}, benign_mean);
    fixture_save("ref/benign_var.npy", NPY_F64, (size_t[]){CLASSES, RUNGS, 0}, benign_var);
    fixture_save("ref/benign_alignment.npy", NPY_F32, (size_t[]){ALIGNMENTS, 0, 0}, alignment);
    fixture_save("ref/benign_excess.npy", NPY_F32, (size_t[]){EXCESSES, 0, 0}, excess);
}

static void put_reference(void) {
    fixture_open();
    cr_assert_eq(mkdir(fixture_path("ref"), 0700), 0);
    fixture_save("ref/mean.npy", NPY_F32, (size_t[]){2, 3, 0}, mean);
    fixture_save("ref/factor.npy", NPY_F32, (size_t[]){2, 3, 2}, factor);
    fixture_save("ref/trace.npy", NPY_F64, (size_t[]){2, 0, 0}, trace);
    put_json(WITH(NUMBERS ", " KIND ", " LIMITS ", " LADDER ", " LISTS ", " WINDOWS));
    put_benign();
}

TestSuite(benign, .init = put_reference, .fini = fixture_close);

static reference *load(const char *name) {
    reference *loaded;
    cr_assert(reference_load(&loaded, fixture_path(name), fixture_error, FIXTURE_ERROR_BYTES), "%s",
              fixture_error);
    return loaded;
}

static void expect_refused(const char *text) {
    reference *loaded = (reference *)&mean;
    cr_assert_not(reference_load(&loaded, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES),
                  "loaded; '%s' expected", text);
    cr_assert_null(loaded);
    fixture_expect_error(text);
}

static void expect_as_put(const reference *loaded) {
    const reference_benign *b = loaded->benign;
    cr_assert_not_null(b);
    cr_assert_eq(loaded->statistics.benign, &b->window);
    cr_assert(b->queries == 10000 && b->rows == 6 && b->false_alarms == 0.001 && b->fpr == 0.01);
    cr_assert(b->evidence.window_rows == 16 && b->evidence.kinds == KINDS);
    cr_assert(b->evidence.rows_per_class == 3 && b->evidence.tolerance_deviations == 4);
    cr_assert(b->evidence.window_limit == 7 && b->evidence.limit[EVIDENCE_WINDOWS][5] == 6);
    cr_assert(b->window.rungs == RUNGS && b->window.rung[2] == 16);
    cr_assert_eq(memcmp(b->window.mean, benign_mean, sizeof benign_mean), 0);
    cr_assert(b->window.deviation[0] == 2 && b->window.deviation[3] == 3);
    static const size_t first[] = {0, 3, 3, 4, 6};
    cr_assert_eq(memcmp(b->evidence.alignment.first, first, sizeof first), 0);
    cr_assert_eq(memcmp(b->evidence.alignment.value, alignment, sizeof alignment), 0);
    cr_assert_eq(b->evidence.excess.lists, KINDS * REFERENCE_ACCOUNT_KINDS);
    cr_assert_eq(memcmp(b->evidence.excess.value, excess, sizeof excess), 0);
}

Test(benign, what_calibration_made_loads_and_is_saved_exactly) {
    reference *loaded = load("ref");
    expect_as_put(loaded);
    cr_assert(reference_save(loaded, fixture_path("copy"), fixture_error, FIXTURE_ERROR_BYTES),
              "%s", fixture_error);
    reference *copy = load("copy");
    expect_as_put(copy);
    cr_assert(
        reference_save_calibration(copy, fixture_path("copy"), fixture_error, FIXTURE_ERROR_BYTES),
        "%s", fixture_error);
    reference *again = load("copy");
    expect_as_put(again);
    reference_close(again);
    reference_close(copy);
    reference_close(loaded);
}

Test(benign, a_reference_fitted_anew_has_none_and_leaves_no_file_of_it) {
    reference *loaded = load("ref");
    reference_benign_close(loaded->benign);
    loaded->benign = NULL;
    loaded->statistics.benign = NULL;
    cr_assert(reference_save(loaded, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES), "%s",
              fixture_error);
    reference *fitted = load("ref");
    cr_assert_null(fitted->benign);
    cr_assert_neq(access(fixture_path("ref/benign_mean.npy"), F_OK), 0);
    reference_close(fitted);
    reference_close(loaded);
}

Test(benign, members_that_are_missing_or_out_of_range_are_named) {
    static const struct {
        const char *benign;
        const char *text;
    } bad[] = {
        {KIND, "\"rungs\" is not an array"},
        {KIND ", " LADDER, "\"window\" is missing"},
        {NUMBERS ", " LIMITS ", " LADDER ", " LISTS ", " WINDOWS, "\"kinds\" is missing"},
        {"\"kinds\": 9, " LADDER, "\"kinds\" is out of range"},
        {NUMBERS ", " KIND ", " LADDER ", " LISTS ", " WINDOWS, "\"limits\" is not an object"},
        {NUMBERS ", " KIND ", \"limits\": {\"rows\": [1]}, " LADDER,
         "\"rows\" is not an array of 6"},
        {NUMBERS ", " KIND ", \"limits\": {\"rows\": [1, 2, 3, 0, 5, 6]}, " LADDER,
         "\"rows\", entry 3"},
        {NUMBERS ", " KIND ", " LIMITS ", \"rungs\": [1, 1, 2], " LISTS ", " WINDOWS,
         "more than the one before"},
        {NUMBERS ", " KIND ", " LIMITS ", " LADDER ", \"alignments\": [1, 2], " WINDOWS,
         "\"alignments\" is not an array of 4"},
        {NUMBERS ", " KIND ", " LIMITS ", " LADDER ", \"alignments\": [0, 0, 0, 0], " WINDOWS,
         "\"alignments\": 1.."},
        {NUMBERS ", " KIND ", " LIMITS ", " LADDER
                 ", \"alignments\": [9007199254740992, 9007199254740992, 1, 1], " WINDOWS,
         "\"alignments\": 1.."},
        {NUMBERS ", " KIND ", " LIMITS ", " LADDER ", \"alignments\": [3, 0, -1, 2], " WINDOWS,
         "\"alignments\", entry 2"},
        {NUMBERS ", " KIND ", " LIMITS ", " LADDER ", " LISTS, "\"excesses\" is not an array"},
        {NUMBERS ", " KIND ", " LIMITS ", " LADDER ", " LISTS
                 ", \"excesses\": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]",
         "\"excesses\", list 9"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[2048];
        snprintf(json, sizeof json, FITTED ", \"benign\": {%s}}", bad[i].benign);
        put_json(json);
        expect_refused(bad[i].text);
    }
    put_json(FITTED ", \"benign\": 3}");
    expect_refused("\"benign\" is not an object");
}

Test(benign, arrays_of_another_shape_are_refused_before_memory_is_taken) {
    put_json(WITH(NUMBERS ", " KIND ", " LIMITS ", " LADDER
                          ", \"alignments\": [3, 0, 1, 9007199254740000], " WINDOWS));
    expect_refused("benign_alignment.npy");
    put_json(WITH(NUMBERS ", " KIND ", " LIMITS ", \"rungs\": [1, 2], " LISTS ", " WINDOWS));
    expect_refused("benign_mean.npy");
}

Test(benign, a_file_that_is_missing_is_named) {
    unlink(fixture_path("ref/benign_excess.npy"));
    expect_refused("benign_excess.npy");
}

Test(benign, values_that_are_no_numbers_or_do_not_rise_are_named) {
    benign_mean[4] = NAN;
    put_benign();
    expect_refused("class 1: mean is nan");
    benign_mean[4] = 4;
    benign_var[1] = 0;
    put_benign();
    expect_refused("class 0: variance is 0");
    benign_var[1] = 2;
    alignment[1] = 0.5f;
    put_benign();
    expect_refused("list 0: alignment [2] is 0.25");
    alignment[1] = 0.25f;
    alignment[5] = 1.5f;
    put_benign();
    expect_refused("list 3: alignment [5] is 1.5");
    alignment[5] = 0.0f;
    excess[9] = INFINITY;
    put_benign();
    expect_refused("list 9: excess [9] is inf");
    excess[9] = 60;
    put_benign();
    reference_close(load("ref"));
}

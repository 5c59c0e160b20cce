/*
 * test_reference_hostile.c - reference directories spoilt one file, one member at a time: each is
 * refused with one line that names what is wrong.
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

#define JSON_HEAD "{\"format\": 1, \"model\": \"m\", \"dim\": 3, \"classes\": 2, \"rank\": 2"
#define JSON JSON_HEAD "}"

/* Two classes of dim 3 and rank 2; the factors' squares sum to 2 and 8. */
static float mean[6] = {1, 2, 3, 4, 5, 6};
static float factor[12] = {1, 0, 0, 1, 0, 0, 2, 0, 0, 2, 0, 0};
static double trace[2] = {2, 8.5};

static void put_json(const char *json) {
    fixture_write("ref/reference.json", json, strlen(json));
}

static void put_arrays(void) {
    fixture_save("ref/mean.npy", NPY_F32, (size_t[]){2, 3, 0}, mean);
    fixture_save("ref/factor.npy", NPY_F32, (size_t[]){2, 3, 2}, factor);
    fixture_save("ref/trace.npy", NPY_F64, (size_t[]){2, 0, 0}, trace);
}

static void put_reference(void) {
    fixture_open();
    cr_assert_eq(mkdir(fixture_path("ref"), 0700), 0);
    put_json(JSON);
    put_arrays();
}

TestSuite(hostile, .init = put_reference, .fini = fixture_close);

static void expect_loads(void) {
    reference *loaded;
    cr_assert(reference_load(&loaded, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES),
              "%s", fixture_error);
    reference_close(loaded);
}

static void expect_refused(const char *text) {
    reference *loaded = (reference *)&mean;
    cr_assert_not(reference_load(&loaded, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES),
                  "loaded; '%s' expected", text);
    cr_assert_null(loaded);
    fixture_expect_error(text);
}

static void expect_json_refused(const char *json, const char *text) {
    put_json(json);
    expect_refused(text);
}

Test(hostile, the_reference_that_is_spoilt_below_loads_with_its_defaults) {
    reference *loaded;
    cr_assert(reference_load(&loaded, fixture_path("ref"), fixture_error, FIXTURE_ERROR_BYTES),
              "%s", fixture_error);
    cr_assert_eq(loaded->window_rows, REFERENCE_WINDOW_DEFAULT);
    cr_assert_eq(loaded->memory_rank, REFERENCE_MEMORY_RANK_DEFAULT);
    cr_assert(loaded->half_life_rows == REFERENCE_HALF_LIFE_DEFAULT);
    cr_assert(loaded->counts == NULL && loaded->thresholds == 0);
    reference_close(loaded);
}

/* A FIFO without a writer must not be waited for. */
Test(hostile, a_missing_file_is_named, .timeout = 60) {
    static const char *const names[] = {"mean.npy", "factor.npy", "trace.npy", "reference.json"};
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof(name), "ref/%s", names[i]);
        cr_assert_eq(unlink(fixture_path(name)), 0);
        expect_refused(names[i]);
        cr_assert_eq(mkfifo(fixture_path(name), 0600), 0);
        expect_refused("not a regular file");
        cr_assert_eq(unlink(fixture_path(name)), 0);
        cr_assert_eq(mkdir(fixture_path(name), 0700), 0);
        expect_refused("not a regular file");
        cr_assert_eq(rmdir(fixture_path(name)), 0);
        put_json(JSON);
        put_arrays();
    }
    expect_loads();
}

Test(hostile, a_wrong_shape_or_dtype_is_named_with_both) {
    fixture_save("ref/mean.npy", NPY_F32, (size_t[]){3, 2, 0}, mean);
    expect_refused("mean.npy: float32 (3, 2); float32 (2, 3) expected");
    fixture_save("ref/mean.npy", NPY_F32, (size_t[]){6, 0, 0}, mean);
    expect_refused("mean.npy: float32 (6,); float32 (2, 3) expected");
    put_arrays();
    fixture_save("ref/factor.npy", NPY_F32, (size_t[]){2, 2, 3}, factor);
    expect_refused("factor.npy: float32 (2, 2, 3); float32 (2, 3, 2) expected");
    fixture_save("ref/factor.npy", NPY_I32, (size_t[]){2, 3, 2}, factor);
    expect_refused("factor.npy: int32 (2, 3, 2); float32 (2, 3, 2) expected");
    put_arrays();
    fixture_save("ref/trace.npy", NPY_F32, (size_t[]){2, 0, 0}, mean);
    expect_refused("trace.npy: float32 (2,); float64 (2,) expected");
}

Test(hostile, a_file_cut_anywhere_is_named) {
    static const char *const names[] = {"ref/mean.npy", "ref/factor.npy", "ref/trace.npy"};
    for (size_t i = 0; i < 3; i++) {
        struct stat facts;
        cr_assert_eq(stat(fixture_path(names[i]), &facts), 0);
        for (off_t cut = facts.st_size - 1; cut >= 0; cut -= 7) {
            cr_assert_eq(truncate(fixture_path(names[i]), cut), 0);
            expect_refused(names[i] + 4);
        }
        put_arrays();
    }
    for (off_t cut = (off_t)strlen(JSON) - 1; cut >= 0; cut--) {
        put_json(JSON);
        cr_assert_eq(truncate(fixture_path("ref/reference.json"), cut), 0);
        expect_refused("reference.json: not JSON");
    }
}

Test(hostile, values_that_are_not_finite_or_too_large_are_named_by_class) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1.1e6f, -2e6f};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        mean[4] = bad[i];
        put_arrays();
        expect_refused("mean.npy: class 1: mean[0, 1] is");
        mean[4] = 5;
        factor[9] = bad[i];
        put_arrays();
        expect_refused("factor.npy: class 1: factor[1, 1] is");
        factor[9] = 2;
    }
}

Test(hostile, a_trace_that_is_not_the_factors_is_named_by_class) {
    static const double bad[] = {NAN, INFINITY, -INFINITY, -1, 1.999, 0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        trace[0] = bad[i];
        put_arrays();
        expect_refused("trace.npy: class 0: trace is");
    }
    trace[0] = 2 * (1 - 0.9e-4); /* within the tolerance */
    put_arrays();
    expect_loads();
}

/* Where all columns are there, none was cut that could explain a larger trace. */
Test(hostile, a_trace_beyond_a_whole_factor_is_refused) {
    static const float whole[18] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    put_json("{\"format\": 1, \"model\": \"m\", \"dim\": 3, \"classes\": 2, \"rank\": 3}");
    fixture_save("ref/factor.npy", NPY_F32, (size_t[]){2, 3, 3}, whole);
    fixture_save("ref/trace.npy", NPY_F64, (size_t[]){2, 0, 0}, (double[]){3, 3.001});
    expect_refused("trace.npy: class 1: trace is 3.001; its |factor|^2 = 3 expected");
    fixture_save("ref/trace.npy", NPY_F64, (size_t[]){2, 0, 0}, (double[]){3, 3.0001});
    expect_loads();
}

Test(hostile, json_that_is_no_object_is_refused) {
    expect_json_refused("[]", "object expected");
    expect_json_refused("3", "not JSON");
    expect_json_refused("\"x\"", "not JSON");
    expect_json_refused("null", "not JSON");
    expect_json_refused(JSON "x", "not JSON");
    expect_json_refused("{\"format\": 1, \"format\": 1}", "duplicate");
    expect_json_refused("{\033[2J\n\n", "not JSON");
    cr_assert_null(strchr(fixture_error, '\033'));
}

#define SHAPED(dim, classes, rank)                                                                 \
    "{\"format\": 1, \"model\": \"m\", \"dim\": " dim ", \"classes\": " classes                    \
    ", \"rank\": " rank "}"

Test(hostile, sizes_of_wrong_type_or_range_are_named) {
    expect_json_refused("{\"format\": 2}", "\"format\" is out of range");
    expect_json_refused("{\"model\": \"m\"}", "\"format\" is missing");
    expect_json_refused(SHAPED("0", "2", "2"), "\"dim\" is out of range");
    expect_json_refused(SHAPED("-3", "2", "2"), "\"dim\" is out of range");
    expect_json_refused(SHAPED("\"3\"", "2", "2"), "\"dim\" is not an integer");
    expect_json_refused(SHAPED("3.0", "2", "2"), "\"dim\" is not an integer");
    expect_json_refused(SHAPED("65537", "2", "2"), "\"dim\" is out of range");
    expect_json_refused(SHAPED("9223372036854775808", "2", "2"), "not JSON");
    expect_json_refused(SHAPED("1e999", "2", "2"), "not JSON");
    expect_json_refused(SHAPED("NaN", "2", "2"), "not JSON");
    expect_json_refused(SHAPED("3", "1048577", "2"), "\"classes\" is out of range");
    expect_json_refused(SHAPED("3", "null", "2"), "\"classes\" is not an integer");
    expect_json_refused(SHAPED("3", "2", "4"), "\"rank\" is out of range");
    expect_json_refused(SHAPED("3", "2", "0"), "\"rank\" is out of range");
    expect_json_refused(SHAPED("4", "2", "2"), "mean.npy: float32 (2, 3); float32 (2, 4)");
    /* 2^52 floats are asked for here; the files are looked at before memory is. */
    expect_json_refused(SHAPED("65536", "1048576", "65536"), "mean.npy");
    expect_json_refused(JSON_HEAD ", \"window\": 0}", "\"window\" is out of range");
    expect_json_refused(JSON_HEAD ", \"window\": 65537}", "\"window\" is out of range");
    expect_json_refused(JSON_HEAD ", \"memory_rank\": 513}", "\"memory_rank\" is out of range");
    expect_json_refused(JSON_HEAD ", \"half_life\": -1}", "\"half_life\" is out of range");
    expect_json_refused(JSON_HEAD ", \"half_life\": 1e13}", "\"half_life\" is out of range");
    expect_json_refused(JSON_HEAD ", \"half_life\": true}", "\"half_life\" is not a number");
}

Test(hostile, texts_of_wrong_type_length_or_with_control_characters_are_named) {
    char json[1024];
    static const char *const bad[] = {"\"\"",          "3",         "\"a\\u0000b\"", "\"\\u001b\"",
                                      "\"\\u009b2J\"", "\"a\\nb\"", "\"\\u007f\"",   "[]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(json, sizeof(json),
                 "{\"format\": 1, \"dim\": 3, \"classes\": 2, \"rank\": 2, \"model\": %s}", bad[i]);
        put_json(json);
        expect_refused("reference.json");
    }
    snprintf(json, sizeof(json), JSON_HEAD ", \"made\": \"%0*d\"}", 512, 0);
    expect_json_refused(json, "\"made\"");
    snprintf(json, sizeof(json), JSON_HEAD ", \"made\": \"%0*d\"}", 511, 0);
    put_json(json);
    expect_loads();
    snprintf(json, sizeof(json),
             "{\"format\": 1, \"dim\": 3, \"classes\": 2, \"rank\": 2, "
             "\"model\": \"%0*d\"}",
             129, 0);
    expect_json_refused(json, "1..128 bytes");
    expect_json_refused(JSON_HEAD ", \"made\": \"\xff\"}", "not JSON");
}

Test(hostile, counts_of_wrong_type_number_or_range_are_named) {
    expect_json_refused(JSON_HEAD ", \"counts\": 3}", "\"counts\" is not an array of 2");
    expect_json_refused(JSON_HEAD ", \"counts\": [1]}", "\"counts\" is not an array of 2");
    expect_json_refused(JSON_HEAD ", \"counts\": [1, 2, 3]}", "\"counts\" is not an array of 2");
    expect_json_refused(JSON_HEAD ", \"counts\": [1, -2]}", "\"counts\", entry 1");
    expect_json_refused(JSON_HEAD ", \"counts\": [1.5, 2]}", "\"counts\", entry 0");
    expect_json_refused(JSON_HEAD ", \"counts\": [9007199254740993, 2]}", "\"counts\", entry 0");
}

#define ONE_THRESHOLD(window, fpr, threshold)                                                      \
    "{\"window\": " window ", \"fpr\": " fpr ", \"threshold\": " threshold                         \
    ", \"windows\": 5, \"rows\": 80}"

Test(hostile, thresholds_of_wrong_type_number_or_range_are_named) {
    static const char *const one = ONE_THRESHOLD("16", "0.01", "3");
    expect_json_refused(JSON_HEAD ", \"thresholds\": {}}", "\"thresholds\" is not an array");
    expect_json_refused(JSON_HEAD ", \"thresholds\": [3]}", "an array of objects");
    expect_json_refused(JSON_HEAD ", \"thresholds\": [{}]}", "\"window\" is missing");
    expect_json_refused(JSON_HEAD ", \"thresholds\": [" ONE_THRESHOLD("0", "0", "3") "]}",
                        "\"window\" is out of range");
    expect_json_refused(JSON_HEAD ", \"thresholds\": [" ONE_THRESHOLD("16", "1.5", "3") "]}",
                        "\"fpr\" is out of range");
    expect_json_refused(JSON_HEAD ", \"thresholds\": [" ONE_THRESHOLD("16", "0", "1e301") "]}",
                        "\"threshold\" is out of range");
    expect_json_refused(JSON_HEAD ", \"thresholds\": [" ONE_THRESHOLD("16", "0", "\"3\"") "]}",
                        "\"threshold\" is not a number");
    char json[16384];
    snprintf(json, sizeof(json), JSON_HEAD ", \"thresholds\": [%s, %s]}", one, one);
    expect_json_refused(json, "window 16 twice");
    size_t used = (size_t)snprintf(json, sizeof(json), JSON_HEAD ", \"thresholds\": [%s", one);
    for (int i = 0; i < REFERENCE_THRESHOLDS_MAX; i++) {
        used += (size_t)snprintf(json + used, sizeof(json) - used, ", 0");
    }
    snprintf(json + used, sizeof(json) - used, "]}");
    expect_json_refused(json, "at most 64");
    snprintf(json, sizeof(json), JSON_HEAD ", \"thresholds\": [%s]}", one);
    put_json(json);
    expect_loads();
}

/* A sparse file: its size alone must be enough. */
Test(hostile, json_beyond_its_limit_is_refused_unread) {
    cr_assert_eq(truncate(fixture_path("ref/reference.json"), REFERENCE_JSON_BYTES_MAX + 1), 0);
    expect_refused("more than 67108864 bytes");
}

Test(hostile, json_nested_without_end_is_refused) {
    static char json[100000];
    memset(json, '[', sizeof(json) - 1);
    expect_json_refused(json, "not JSON");
}

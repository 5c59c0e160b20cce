/* fixture.c - rows, references and engines for the tests; see fixture.h. */
#include "fixture.h"

#include <cblas.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"

enum { PATH_BYTES = 512, TEXT_BYTES = 256 };

static void *must_have(size_t count, size_t bytes) {
    void *memory = calloc(count ? count : 1, bytes);
    cr_assert(memory, "no memory for %zu times %zu bytes", count, bytes);
    return memory;
}

/* Rows. */

fixture_rows fixture_rows_make(size_t rows, size_t dim) {
    return (fixture_rows){.rows = rows,
                          .dim = dim,
                          .embeddings = must_have(rows * dim, sizeof(float)),
                          .classes = must_have(rows, sizeof(uint32_t))};
}

void fixture_rows_free(fixture_rows *rows) {
    free(rows->embeddings);
    free(rows->classes);
    *rows = (fixture_rows){0};
}

void fixture_rows_copy(fixture_rows *to, size_t at, const fixture_rows *from, size_t row) {
    memmove(to->embeddings + at * to->dim, from->embeddings + row * from->dim,
            to->dim * sizeof(float));
    to->classes[at] = from->classes[row];
}

/* Files. */

static npy open_array(size_t dim, const char *name) {
    char path[PATH_BYTES], error[TEXT_BYTES];
    npy array;
    snprintf(path, sizeof path, TEST_DATA "/d%zu/%s", dim, name);
    cr_assert(npy_open(&array, path, error, sizeof error), "%s", error);
    return array;
}

static double *read_doubles(size_t dim, const char *name) {
    npy array = open_array(dim, name);
    double *values = must_have(array.count, sizeof *values);
    for (size_t i = 0; i < array.count; i++) {
        values[i] = npy_float(&array, i);
    }
    npy_close(&array);
    return values;
}

fixture_rows fixture_source(size_t dim, const char *source) {
    char name[TEXT_BYTES];
    snprintf(name, sizeof name, "src/%s.emb.f16.npy", source);
    npy embeddings = open_array(dim, name);
    snprintf(name, sizeof name, "src/%s.pred.u8.npy", source);
    npy classes = open_array(dim, name);
    cr_assert(embeddings.axes == 2 && embeddings.shape[1] == dim &&
                  classes.count == embeddings.shape[0],
              "%s of dim %zu has another shape", source, dim);
    fixture_rows rows = fixture_rows_make(embeddings.shape[0], dim);
    for (size_t i = 0; i < embeddings.count; i++) {
        rows.embeddings[i] = (float)npy_float(&embeddings, i);
    }
    for (size_t i = 0; i < rows.rows; i++) {
        rows.classes[i] = (uint32_t)npy_integer(&classes, i);
    }
    npy_close(&embeddings);
    npy_close(&classes);
    return rows;
}

/* One thread a call: ctest runs several tests at once, and small LAPACK calls are slower on two. */
reference *fixture_reference(size_t dim) {
    char mean[PATH_BYTES], covariance[PATH_BYTES], error[TEXT_BYTES];
    reference *reference = NULL;
    openblas_set_num_threads(1);
    snprintf(mean, sizeof mean, TEST_DATA "/d%zu/ref_mean.f32.npy", dim);
    snprintf(covariance, sizeof covariance, TEST_DATA "/d%zu/ref_cov.f32.npy", dim);
    reference_recipe recipe = {.model = "test", .made = "from the statistics in tests/data"};
    bool made =
        reference_make_from_statistics(&reference, mean, covariance, &recipe, error, sizeof error);
    cr_assert(made, "%s", error);
    return reference;
}

oracle *fixture_oracle(size_t dim) {
    npy shape = open_array(dim, "ref_mean.f32.npy");
    size_t classes = shape.shape[0];
    npy_close(&shape);
    double *mean = read_doubles(dim, "ref_mean.f32.npy");
    double *covariance = read_doubles(dim, "ref_cov.f32.npy");
    oracle *oracle = oracle_open(dim, classes, mean, covariance);
    free(mean);
    free(covariance);
    return oracle;
}

/* Golden windows. */

enum { SOURCES_MAX = 8 };

/* Sources are read once, when a window first names them. */
typedef struct {
    size_t dim;
    size_t count;
    char name[SOURCES_MAX][TEXT_BYTES];
    fixture_rows rows[SOURCES_MAX];
} source_set;

static const fixture_rows *find_source(source_set *set, const char *name) {
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->name[i], name) == 0) {
            return &set->rows[i];
        }
    }
    cr_assert(set->count < SOURCES_MAX, "more than %d sources", SOURCES_MAX);
    snprintf(set->name[set->count], TEXT_BYTES, "%s", name);
    set->rows[set->count] = fixture_source(set->dim, name);
    return &set->rows[set->count++];
}

static void read_window(fixture_window *window, source_set *sources, const json_t *json) {
    size_t count = (size_t)json_integer_value(json_object_get(json, "W"));
    const json_t *predicted = json_object_get(json, "pred");
    const json_t *segment = NULL, *row = NULL;
    size_t s = 0, r = 0, at = 0;
    snprintf(window->name, sizeof window->name, "d%zu #%d W %zu %s", sources->dim,
             (int)json_integer_value(json_object_get(json, "id")), count,
             json_string_value(json_object_get(json, "kind")));
    window->score = json_number_value(json_object_get(json, "score"));
    window->rows = fixture_rows_make(count, sources->dim);
    json_array_foreach(json_object_get(json, "segments"), s, segment) {
        const fixture_rows *from =
            find_source(sources, json_string_value(json_object_get(segment, "source")));
        json_array_foreach(json_object_get(segment, "rows"), r, row) {
            size_t from_row = (size_t)json_integer_value(row);
            cr_assert(at < count && from_row < from->rows, "%s: rows beyond", window->name);
            fixture_rows_copy(&window->rows, at, from, from_row);
            json_int_t want = json_integer_value(json_array_get(predicted, at));
            cr_assert(window->rows.classes[at] == want, "%s: row %zu", window->name, at);
            at++;
        }
    }
    cr_assert(at == count, "%s: %zu rows came", window->name, at);
}

fixture_golden fixture_golden_load(size_t dim) {
    char path[PATH_BYTES];
    json_error_t error;
    snprintf(path, sizeof path, TEST_DATA "/d%zu/golden.json", dim);
    json_t *json = json_load_file(path, 0, &error);
    cr_assert(json, "%s: %s", path, error.text);
    const json_t *windows = json_object_get(json, "windows"), *window = NULL;
    fixture_golden golden = {.windows = json_array_size(windows)};
    cr_assert(golden.windows > 0, "%s has no windows", path);
    golden.window = must_have(golden.windows, sizeof *golden.window);
    source_set *sources = must_have(1, sizeof *sources);
    sources->dim = dim;
    size_t i = 0;
    json_array_foreach(windows, i, window) {
        read_window(&golden.window[i], sources, window);
    }
    for (i = 0; i < sources->count; i++) {
        fixture_rows_free(&sources->rows[i]);
    }
    free(sources);
    json_decref(json);
    return golden;
}

void fixture_golden_free(fixture_golden *golden) {
    for (size_t i = 0; i < golden->windows; i++) {
        fixture_rows_free(&golden->window[i].rows);
    }
    free(golden->window);
    *golden = (fixture_golden){0};
}

/* Engines. */

bool fixture_simulated(const char *name) {
#ifdef ADDER_STANDIN
    return strcmp(name, "cuda") == 0;
#else
    (void)name;
    return false;
#endif
}

engine_options fixture_options(const char *name, size_t window_rows) {
    return (engine_options){.name = name,
                            .window_rows = window_rows,
                            .memory_blocks = 4096,
                            .slots_max = 4,
                            .batch_rows_max = 4096,
                            .threads = 1};
}

engine *fixture_open(const engine_reference *reference, engine_options options) {
    char error[TEXT_BYTES] = "";
    engine *engine = NULL;
    engine_status status = engine_open(&engine, reference, &options, error, sizeof error);
#ifndef ADDER_STANDIN
    if (strncmp(error, "no cuda device answers", 22) == 0) {
        cr_skip_test("%s", error);
    }
#endif
    cr_assert(status == ENGINE_OK && engine, "%s: %s", engine_status_text(status), error);
    return engine;
}

void fixture_run(engine *engine, const engine_batch *batch) {
    engine_status status = engine_submit(engine, batch);
    cr_assert(status == ENGINE_OK, "submit: %s", engine_status_text(status));
    status = engine_collect(engine);
    cr_assert(status == ENGINE_OK, "collect: %s", engine_status_text(status));
}

engine_result fixture_feed(engine *engine, fixture_feeding feeding, engine_result *results) {
    size_t observations_max = feeding.batch_observations ? feeding.batch_observations : 1;
    const unsigned char **rows = must_have(feeding.count, sizeof *rows);
    engine_observation *observation = must_have(observations_max, sizeof *observation);
    engine_result *batch_results = must_have(observations_max, sizeof *batch_results);
    engine_result last = {0};
    for (size_t i = 0; i < feeding.count; i++) {
        rows[i] = (const unsigned char *)(feeding.rows->embeddings +
                                          (feeding.first + i) * feeding.rows->dim);
    }
    for (size_t done = 0; done < feeding.count;) {
        engine_batch batch = {.embeddings = rows + done,
                              .classes = feeding.rows->classes + feeding.first + done,
                              .observation = observation,
                              .results = batch_results,
                              .alignments = feeding.alignments ? feeding.alignments + done : NULL};
        while (batch.observations < observations_max && done + batch.rows < feeding.count) {
            size_t left = feeding.count - done - batch.rows;
            size_t take = left < feeding.observation_rows ? left : feeding.observation_rows;
            observation[batch.observations++] = (engine_observation){
                .slot = feeding.slot,
                .row_first = (uint32_t)batch.rows,
                .row_count = (uint32_t)take,
                .dtype = ENGINE_F32,
            };
            batch.rows += take;
        }
        fixture_run(engine, &batch);
        done += batch.rows;
        last = batch_results[batch.observations - 1];
        if (results) {
            memcpy(results, batch_results, batch.observations * sizeof *results);
            results += batch.observations;
        }
    }
    free(rows);
    free(observation);
    free(batch_results);
    return last;
}

/* Comparing. */

void fixture_compare(fixture_worst *worst, double got, double want, const char *where, ...) {
    double error = got == want ? 0.0 : fabs(got - want) / fmax(fabs(want), worst->least);
    worst->compared++;
    if (error <= worst->error && worst->where[0]) {
        return;
    }
    va_list arguments;
    va_start(arguments, where);
    vsnprintf(worst->where, sizeof worst->where, where, arguments);
    va_end(arguments);
    /* What is not a number is further off than any number. */
    worst->error = isfinite(error) ? error : HUGE_VAL;
    worst->got = got;
    worst->want = want;
}

void fixture_settle(const fixture_worst *worst, double tolerance, const char *claim) {
    cr_assert(worst->compared > 0, "%s: nothing was compared", claim);
    printf("%s: largest of %zu errors %.2e (%s: %.9g, expected %.9g), allowed %.0e\n", claim,
           worst->compared, worst->error, worst->where, worst->got, worst->want, tolerance);
    fflush(stdout);
    cr_assert(worst->error <= tolerance, "%s: error %.2e at %s: %.9g, expected %.9g", claim,
              worst->error, worst->where, worst->got, worst->want);
}

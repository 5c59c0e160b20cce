/*
 * compare.c - `adder-bench compare`: windows of a file through an engine, again and again.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "compare_options.h"
#include "dataset.h"
#include "engine.h"
#include "npy.h"
#include "reference.h"
#include "resident.h"

enum { ROUNDS = 5, ERROR_BYTES = 1024 };

typedef struct {
    const compare_options *options;
    reference *reference;
    dataset data;
    size_t windows, batch_windows, accounts;
    engine *engine;
    const unsigned char **row;       /* [rows] */
    uint32_t *class_index;           /* [rows] of stretches */
    engine_observation *observation; /* [windows] each a window, rows counted from its batch's */
    engine_result *result;           /* [windows] */
    engine_batch *batch;             /* [batches] borrowed by the engine until collected */
    size_t batches;
    size_t next_account;
    double *score; /* [windows] of the first pass */
    double rate[ROUNDS];
    size_t baseline_bytes; /* resident with reference and rows, before there is an engine */
    char error[ERROR_BYTES];
} comparison;

static bool fail(comparison *c, const char *what, const char *why) {
    snprintf(c->error, ERROR_BYTES, "%s%s", what, why);
    return false;
}

/* ---- opening ---- */

static bool sliding(const comparison *c) {
    return c->options->step_rows < c->options->window_rows;
}

static bool too_few(comparison *c, size_t expected) {
    snprintf(c->error, ERROR_BYTES, "%s: %zu rows; at least %zu expected", c->options->embeddings,
             c->data.rows, expected);
    return false;
}

static bool plan_windows(comparison *c) {
    const compare_options *o = c->options;
    c->windows = c->data.rows / o->window_rows;
    if (c->windows == 0) {
        return too_few(c, o->window_rows);
    }
    c->batch_windows = o->batch_windows < c->windows ? o->batch_windows : c->windows;
    c->batches = (c->windows - 1) / c->batch_windows + 1;
    c->accounts = o->accounts > 0 ? o->accounts : c->windows;
    return true;
}

/* A stretch that goes round must not have a row twice in a window. */
static bool plan_stretches(comparison *c) {
    const compare_options *o = c->options;
    c->accounts = c->batch_windows = o->batch_windows;
    c->batches = c->data.rows / c->accounts / o->step_rows;
    c->windows = c->batches * c->accounts;
    return c->batches * o->step_rows >= o->window_rows ||
           too_few(c, c->accounts * ((o->window_rows - 1) / o->step_rows + 1) * o->step_rows);
}

static bool load(comparison *c) {
    const compare_options *o = c->options;
    if (!reference_load(&c->reference, o->reference, c->error, ERROR_BYTES)) {
        return false;
    }
    dataset_files files = {.embeddings = o->embeddings,
                           .classes = o->classes,
                           .range = DATASET_ALL,
                           .dim = c->reference->statistics.dim,
                           .class_count = c->reference->statistics.classes};
    if (!dataset_load(&c->data, &files, c->error, ERROR_BYTES)) {
        return false;
    }
    if (!(sliding(c) ? plan_stretches(c) : plan_windows(c))) {
        return false;
    }
    c->baseline_bytes = resident_restart();
    return true;
}

/* Batch t has observation t of every account; the rows of one are together. */
static void cut_stretches(comparison *c) {
    size_t step = c->options->step_rows, accounts = c->accounts;
    size_t stretch = c->batches * step;
    for (size_t t = 0; t < c->batches; t++) {
        size_t first = t * accounts;
        for (size_t a = 0; a < accounts; a++) {
            for (size_t i = 0; i < step; i++) {
                size_t from = a * stretch + t * step + i, to = (first + a) * step + i;
                c->row[to] = (const unsigned char *)dataset_row(&c->data, from);
                c->class_index[to] = c->data.classes[from];
            }
            c->observation[first + a] = (engine_observation){.row_first = (uint32_t)(a * step),
                                                             .row_count = (uint32_t)step,
                                                             .dtype = ENGINE_F32};
        }
        c->batch[t] = (engine_batch){.rows = accounts * step,
                                     .embeddings = c->row + first * step,
                                     .classes = c->class_index + first * step,
                                     .observations = accounts,
                                     .observation = c->observation + first,
                                     .results = c->result + first};
    }
}

static void cut_windows(comparison *c) {
    size_t each = c->options->window_rows;
    for (size_t i = 0; i < c->windows * each; i++) {
        c->row[i] = (const unsigned char *)dataset_row(&c->data, i);
    }
    for (size_t i = 0; i < c->windows; i++) {
        c->observation[i] =
            (engine_observation){.row_first = (uint32_t)(i % c->batch_windows * each),
                                 .row_count = (uint32_t)each,
                                 .dtype = ENGINE_F32};
    }
    for (size_t b = 0; b < c->batches; b++) {
        size_t first = b * c->batch_windows;
        size_t left = c->windows - first;
        size_t count = left < c->batch_windows ? left : c->batch_windows;
        c->batch[b] = (engine_batch){.rows = count * each,
                                     .embeddings = c->row + first * each,
                                     .classes = c->data.classes + first * each,
                                     .observations = count,
                                     .observation = c->observation + first,
                                     .results = c->result + first};
    }
}

static bool open_all(comparison *c) {
    const compare_options *o = c->options;
    if (!load(c)) {
        return false;
    }
    c->row = calloc(c->data.rows, sizeof(const unsigned char *));
    c->observation = calloc(c->windows, sizeof *c->observation);
    c->result = calloc(c->windows, sizeof *c->result);
    c->batch = calloc(c->batches, sizeof *c->batch);
    c->score = calloc(c->windows, sizeof *c->score);
    c->class_index = calloc(c->data.rows, sizeof *c->class_index);
    if (!c->row || !c->class_index || !c->observation || !c->result || !c->batch || !c->score) {
        return fail(c, "out of memory for the windows", "");
    }
    if (sliding(c)) {
        cut_stretches(c);
    } else {
        cut_windows(c);
    }
    size_t rows = c->batch_windows * o->step_rows;
    engine_options options = {.name = o->engine,
                              .window_rows = o->window_rows,
                              .memory_blocks = rows,
                              .slots_max = c->accounts,
                              .batch_rows_max = rows,
                              .threads = o->threads};
    return engine_open(&c->engine, &c->reference->statistics, &options, c->error, ERROR_BYTES) ==
           ENGINE_OK;
}

static void close_all(comparison *c) {
    engine_close(c->engine);
    free(c->score);
    free(c->batch);
    free(c->result);
    free(c->observation);
    free(c->class_index);
    free(c->row);
    dataset_close(&c->data);
    reference_close(c->reference);
}

/* ---- measuring ---- */

/* A window fills its account's whole window, so that it is scored by itself whoever had the account
 * before. */
static engine_status push(comparison *c, size_t b) {
    size_t first = b * c->batch_windows;
    for (size_t i = first; i < first + c->batch[b].observations; i++) {
        c->observation[i].slot = (uint32_t)c->next_account;
        c->next_account = c->next_account + 1 < c->accounts ? c->next_account + 1 : 0;
    }
    engine_status status = engine_submit(c->engine, &c->batch[b]);
    if (status != ENGINE_BUSY) {
        return status;
    }
    status = engine_collect(c->engine);
    return status == ENGINE_OK ? engine_submit(c->engine, &c->batch[b]) : status;
}

/* All windows once; none are in flight before and after. */
static bool pass(comparison *c) {
    engine_status status = ENGINE_OK;
    for (size_t b = 0; status == ENGINE_OK && b < c->batches; b++) {
        status = push(c, b);
    }
    while (status == ENGINE_OK) {
        status = engine_collect(c->engine);
    }
    return status == ENGINE_EMPTY || fail(c, "the engine failed: ", engine_status_text(status));
}

/* Window t of account a is result t * accounts + a of stretches. */
static void keep_scores(comparison *c) {
    for (size_t i = 0; i < c->windows; i++) {
        size_t to = sliding(c) ? i % c->accounts * c->batches + i / c->accounts : i;
        c->score[to] = c->result[i].score;
    }
}

/* Until every account's pages have been touched, and stretches have gone round once. */
static bool warm_up(comparison *c) {
    if (!pass(c) || (sliding(c) && !pass(c))) {
        return false;
    }
    keep_scores(c);
    for (size_t done = c->windows; done < c->accounts; done += c->windows) {
        if (!pass(c)) {
            return false;
        }
    }
    return true;
}

static bool time_round(comparison *c, size_t round) {
    double seconds = (double)c->options->seconds / ROUNDS, spent = 0.0;
    double start = bench_now();
    size_t passes = 0;
    do {
        if (!pass(c)) {
            return false;
        }
        passes++;
        spent = bench_now() - start;
    } while (spent < seconds);
    c->rate[round] = (double)(passes * c->windows) / spent;
    return true;
}

static bool measure(comparison *c) {
    if (!warm_up(c)) {
        return false;
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        if (!time_round(c, round)) {
            return false;
        }
    }
    return !engine_describe(c->engine).degraded ||
           fail(c, "the engine failed: it lost its device", "");
}

static bool save_scores(comparison *c) {
    const char *path = c->options->scores;
    return path == NULL || npy_save(path, NPY_F64, 1, &c->windows, c->score, c->error, ERROR_BYTES);
}

static void print_result(comparison *c) {
    const engine_reference *s = &c->reference->statistics;
    engine_facts facts = engine_describe(c->engine);
    double median = bench_median(c->rate, ROUNDS); /* puts them in order */
    printf(
        "{\"windows\": %zu, \"window\": %zu, \"step\": %zu, \"rows_left_over\": %zu, \"dim\": %zu, "
        "\"classes\": %zu, \"rank\": %zu, \"accounts\": %zu, \"batch_windows\": %zu, "
        "\"engine\": \"%s\", \"threads\": %zu, \"rounds\": %d, \"windows_per_s\": %.6g, "
        "\"windows_per_s_least\": %.6g, \"windows_per_s_most\": %.6g, "
        "\"baseline_rss_bytes\": %zu, \"peak_rss_bytes\": %zu, \"build\": \"%s\"}\n",
        c->windows, c->options->window_rows, c->options->step_rows,
        c->data.rows - c->windows * c->options->step_rows, s->dim, s->classes, s->rank, c->accounts,
        c->batch_windows, facts.name, facts.threads, ROUNDS, median, c->rate[0],
        c->rate[ROUNDS - 1], c->baseline_bytes, resident_peak_bytes(), BENCH_BUILD);
}

int bench_compare(int argc, char **argv) {
    compare_options o;
    int status = compare_parse(argc, argv, &o);
    if (status != 0) {
        return status;
    }
    comparison c = {.options = &o};
    bool good = open_all(&c) && measure(&c) && save_scores(&c);
    if (good) {
        print_result(&c);
    } else {
        fprintf(stderr, COMPARE_NAME ": %s\n", c.error);
    }
    close_all(&c);
    return good ? 0 : BENCH_EXIT_FAILURE;
}

/*
 * sides.c - see sides.h.
 */
#include "sides.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "stream.h"
#include "synthetic.h"

enum { SEED = 20250312, ROUNDS = 5, UNIFORM_CLASSES = 10, SCORED_BATCHES = 10 };

#define FALSE_ALARM_PERCENT 0.1
/* A thief's rows: so much further from the mean than honest ones, as CIFAR-100 queries of one class
 * are at dim 256. */
#define HOSTILE_SCALE 2.0f

typedef struct {
    synthetic data;
    stream scores, sides;
    double *score; /* [SCORED_BATCHES * accounts], in order */
    size_t count;
    double spent[2][ROUNDS];
} windows;

static bool open_windows(windows *w, const sides_plan *plan, size_t classes, char *error,
                         size_t error_bytes) {
    size_t groups = 1;
    synthetic_shape shape = {.dim = plan->dim,
                             .rank = plan->dim,
                             .classes = classes,
                             .accounts = plan->accounts,
                             .groups_max = groups,
                             .observation_rows = plan->observation_rows,
                             .batches =
                                 stream_ring(plan->window_rows, plan->observation_rows, &groups, 1),
                             .seed = SEED};
    snprintf(error, error_bytes, "not enough memory for the rows");
    w->score = calloc(SCORED_BATCHES * plan->accounts, sizeof *w->score);
    return w->score != NULL && synthetic_bytes(&shape) < bench_memory_available() &&
           synthetic_init(&w->data, &shape);
}

static bool open_streams(windows *w, const sides_plan *plan, char *error, size_t error_bytes) {
    stream_options options = {
        .engine = "cpu", .window_rows = plan->window_rows, .threads = plan->threads};
    return stream_open(&w->scores, &w->data, &options, error, error_bytes) == ENGINE_OK &&
           stream_open(&w->sides, &w->data, &options, error, error_bytes) == ENGINE_OK;
}

static void close_windows(windows *w) {
    stream_close(&w->sides);
    stream_close(&w->scores);
    synthetic_fini(&w->data);
    free(w->score);
}

static void make_hostile(const windows *w) {
    const synthetic_shape *s = &w->data.shape;
    size_t rows = s->batches * s->accounts * s->observation_rows;
    for (size_t i = 0; i < rows; i++) {
        const float *mean = w->data.mean + w->data.classes[i] * s->dim;
        float *row = w->data.embeddings + i * s->dim;
        for (size_t j = 0; j < s->dim; j++) {
            row[j] = mean[j] + HOSTILE_SCALE * (row[j] - mean[j]);
        }
    }
}

/* The results of the step that was pushed last. */
static const engine_result *last_results(const stream *s) {
    return s->flight[(s->batches - 1) % STREAM_FLIGHTS_MAX].results;
}

static void score(windows *w) {
    size_t accounts = w->data.shape.accounts;
    for (size_t b = 0; b < SCORED_BATCHES; b++) {
        stream_push(&w->scores);
        stream_drain(&w->scores);
        for (size_t a = 0; a < accounts; a++) {
            w->score[w->count++] = last_results(&w->scores)[a].score;
        }
    }
}

/* Steps that both take, from the same windows on. */
static void compare(windows *w, double threshold, sides_row *row) {
    size_t accounts = w->data.shape.accounts;
    w->sides.sides_only = true;
    w->sides.threshold = threshold;
    for (size_t b = 0; b < SCORED_BATCHES; b++) {
        stream_push(&w->scores);
        stream_drain(&w->scores);
        for (size_t a = 0; a < accounts; a++) {
            w->score[a] = last_results(&w->scores)[a].score;
        }
        stream_push(&w->sides);
        stream_drain(&w->sides);
        for (size_t a = 0; a < accounts; a++) {
            bool above = last_results(&w->sides)[a].score > threshold;
            row->different += above != (w->score[a] > threshold);
            row->compared++;
        }
    }
}

static bool measure(windows *w, const sides_plan *plan, sides_row *row, char *error,
                    size_t error_bytes) {
    double batch_rows = (double)(plan->accounts * plan->observation_rows);
    for (size_t round = 0; round < ROUNDS; round++) {
        w->spent[0][round] = stream_time(&w->scores, plan->seconds / (2 * ROUNDS));
        w->spent[1][round] = stream_time(&w->sides, plan->seconds / (2 * ROUNDS));
    }
    row->scores_rows_per_s = batch_rows / bench_median(w->spent[0], ROUNDS);
    row->sides_rows_per_s = batch_rows / bench_median(w->spent[1], ROUNDS);
    snprintf(error, error_bytes, "the engine failed");
    return w->scores.status == ENGINE_OK && w->sides.status == ENGINE_OK;
}

/* What an operator's threshold would be. */
static bool find_threshold(const sides_plan *plan, double *threshold, char *error,
                           size_t error_bytes) {
    windows w = {0};
    bool opened = open_windows(&w, plan, UNIFORM_CLASSES, error, error_bytes) &&
                  stream_open(&w.scores, &w.data,
                              &(stream_options){.engine = "cpu",
                                                .window_rows = plan->window_rows,
                                                .threads = plan->threads},
                              error, error_bytes) == ENGINE_OK;
    if (opened) {
        score(&w);
        *threshold = bench_percentile(w.score, w.count, 100.0 - FALSE_ALARM_PERCENT);
    }
    close_windows(&w);
    return opened;
}

static bool measure_row(sides_row *row, const sides_plan *plan, bool hostile, char *error,
                        size_t error_bytes) {
    windows w = {0};
    bool good = open_windows(&w, plan, 1, error, error_bytes);
    if (good && hostile) {
        make_hostile(&w);
    }
    good = good && open_streams(&w, plan, error, error_bytes);
    if (good) {
        score(&w);
        row->median = bench_median(w.score, w.count);
        row->threshold = row->threshold > 0.0 ? row->threshold : row->median;
        for (size_t b = 0; b < SCORED_BATCHES; b++) { /* the same windows as the other's */
            stream_push(&w.sides);
            stream_drain(&w.sides);
        }
        compare(&w, row->threshold, row);
        good = measure(&w, plan, row, error, error_bytes);
    }
    close_windows(&w);
    return good;
}

bool sides_measure(sides_row rows[SIDES_ROWS], const sides_plan *plan, char *error,
                   size_t error_bytes) {
    double threshold;
    if (!find_threshold(plan, &threshold, error, error_bytes)) {
        return false;
    }
    static const char operators[] = "ten classes, 99.9 %";
    rows[0] = (sides_row){.windows = "honest", .threshold_of = operators, .threshold = threshold};
    rows[1] = (sides_row){.windows = "hostile", .threshold_of = operators, .threshold = threshold};
    rows[2] = (sides_row){.windows = "honest", .threshold_of = "these windows, median"};
    for (size_t i = 0; i < SIDES_ROWS; i++) {
        if (!measure_row(&rows[i], plan, i == 1, error, error_bytes)) {
            return false;
        }
    }
    return true;
}

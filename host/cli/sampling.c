/*
 * sampling.c - a window is an account of its own: its slot is forgotten once it has been scored.
 */
#include "sampling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "engine.h"

enum { BATCH_ROWS = 8192 };

typedef struct {
    engine *engine;
    size_t slots;
    uint32_t *order; /* [rows] */
    const unsigned char **embedding;
    uint32_t *class_index;
    engine_observation *observation;
    engine_result *result;
} sampler;

uint64_t sampling_next(sampling_random *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void sampling_shuffle(sampling_random *random, uint32_t *rows, size_t all, size_t count) {
    for (size_t i = 0; i < count && i + 1 < all; i++) {
        size_t pick = i + (size_t)(sampling_next(random) % (all - i));
        uint32_t moved = rows[i];
        rows[i] = rows[pick];
        rows[pick] = moved;
    }
}

static void sampler_close(sampler *s) {
    free(s->result);
    free(s->observation);
    free(s->class_index);
    free(s->embedding);
    free(s->order);
    engine_close(s->engine);
}

static bool sampler_open(sampler *s, const sampling_plan *plan, const dataset *data, char *error,
                         size_t error_bytes) {
    size_t rows = BATCH_ROWS > plan->window_rows ? BATCH_ROWS : plan->window_rows;
    s->slots = rows / plan->window_rows;
    s->order = calloc(data->rows, sizeof *s->order);
    s->embedding = calloc(rows, sizeof *s->embedding);
    s->class_index = calloc(rows, sizeof *s->class_index);
    s->observation = calloc(s->slots, sizeof *s->observation);
    s->result = calloc(s->slots, sizeof *s->result);
    if (!s->order || !s->embedding || !s->class_index || !s->observation || !s->result) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    for (size_t i = 0; i < data->rows; i++) {
        s->order[i] = (uint32_t)i;
    }
    return engine_open(&s->engine, &plan->reference->statistics,
                       &(engine_options){.name = "auto",
                                         .window_rows = plan->window_rows,
                                         .slots_max = s->slots,
                                         .batch_rows_max = rows},
                       error, error_bytes) == ENGINE_OK;
}

/* Draws and scores `count` windows, at most one a slot. */
static bool score_some(sampler *s, const sampling_plan *plan, const dataset *data,
                       sampling_random *random, size_t count) {
    size_t w = plan->window_rows;
    for (size_t k = 0; k < count; k++) {
        sampling_shuffle(random, s->order, data->rows, w);
        for (size_t i = 0; i < w; i++) {
            s->embedding[k * w + i] = (const unsigned char *)dataset_row(data, s->order[i]);
            s->class_index[k * w + i] = data->classes[s->order[i]];
        }
        engine_forget(s->engine, (uint32_t)k);
        s->observation[k] =
            (engine_observation){(uint32_t)k, (uint32_t)(k * w), (uint32_t)w, ENGINE_F32};
    }
    engine_batch batch = {.rows = count * w,
                          .embeddings = s->embedding,
                          .classes = s->class_index,
                          .observations = count,
                          .observation = s->observation,
                          .results = s->result};
    return engine_submit(s->engine, &batch) == ENGINE_OK && engine_collect(s->engine) == ENGINE_OK;
}

bool sampling_scores(const sampling_plan *plan, const dataset *data, double *scores, char *error,
                     size_t error_bytes) {
    sampler s = {0};
    sampling_random random = {plan->seed};
    if (data->rows < plan->window_rows) {
        snprintf(error, error_bytes, "a window of %zu rows cannot be drawn from %zu",
                 plan->window_rows, data->rows);
        return false;
    }
    bool fine = sampler_open(&s, plan, data, error, error_bytes);
    for (size_t done = 0; fine && done < plan->windows;) {
        size_t count = plan->windows - done < s.slots ? plan->windows - done : s.slots;
        fine = score_some(&s, plan, data, &random, count);
        if (!fine) {
            snprintf(error, error_bytes, "the engine failed");
        }
        for (size_t k = 0; fine && k < count; k++) {
            scores[done + k] = s.result[k].score;
        }
        done += count;
        cli_progress(plan->label, done, plan->windows);
    }
    sampler_close(&s);
    return fine;
}

static int value_order(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

void sampling_sort(double *values, size_t count) {
    qsort(values, count, sizeof *values, value_order);
}

double sampling_upper(const double *sorted, size_t count, double share) {
    size_t above = (size_t)floor(share * (double)count);
    return sorted[count - 1 - (above < count ? above : count - 1)];
}

/* How many of the sorted values are not above the limit. */
static size_t count_up_to(const double *sorted, size_t count, double limit) {
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] <= limit) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

double sampling_share_above(const double *sorted, size_t count, double threshold) {
    return (double)(count - count_up_to(sorted, count, threshold)) / (double)count;
}

double sampling_auroc(const double *low, size_t low_count, const double *high, size_t high_count) {
    double wins = 0.0;
    size_t below = 0; /* of `low`, strictly below high[i] */
    size_t up_to = 0; /* ... or equal */
    for (size_t i = 0; i < high_count; i++) {
        while (below < low_count && low[below] < high[i]) {
            below++;
        }
        while (up_to < low_count && low[up_to] <= high[i]) {
            up_to++;
        }
        wins += (double)below + 0.5 * (double)(up_to - below);
    }
    return wins / ((double)low_count * (double)high_count);
}

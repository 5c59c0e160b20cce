/*
 * stream.c - see stream.h.
 */
#include "stream.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum { MEMORY_BLOCKS_MAX = 1 << 20 };

/* A memory of the same few rows again and again has no rank, and eigenvalues come at another price.
 */
enum { RING_BATCHES_MIN = 17 };

/* Long against a window, so that forgetting costs what it costs in service. */
#define HALF_LIFE_ROWS 1000.0

static size_t common_divisor(size_t a, size_t b) {
    while (b > 0) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

size_t stream_ring(size_t window_rows, size_t observation_rows, const size_t *groups,
                   size_t count) {
    size_t ring = (window_rows + observation_rows - 1) / observation_rows + 1;
    ring = ring > RING_BATCHES_MIN ? ring : RING_BATCHES_MIN;
    for (size_t i = 0; i < count;) {
        bool coprime = common_divisor(ring, groups[i]) == 1;
        ring += coprime ? 0 : 1;
        i = coprime ? i + 1 : 0;
    }
    return ring;
}

static void note(stream *s, engine_status status) {
    if (s->status == ENGINE_OK) {
        s->status = status;
    }
}

/* The oldest batch is collected when the engine says that it has enough of them. */
static void push(stream *s, engine_batch pushed) {
    engine_batch *batch = &s->flight[s->batches % STREAM_FLIGHTS_MAX];
    *batch = pushed;
    batch->sides_only = s->sides_only;
    batch->threshold = s->threshold;
    engine_status status = engine_submit(s->engine, batch);
    if (status == ENGINE_BUSY) {
        note(s, engine_collect(s->engine));
        status = engine_submit(s->engine, batch);
    }
    note(s, status);
    s->batches++;
}

void stream_push(stream *s) {
    engine_batch batch = synthetic_batch(s->data, s->next);
    stream_skip(s);
    push(s, batch);
}

void stream_skip(stream *s) {
    s->next = (s->next + 1) % (s->data->shape.batches * s->data->groups);
}

void stream_drain(stream *s) {
    engine_status status;
    while ((status = engine_collect(s->engine)) == ENGINE_OK) {
    }
    if (status != ENGINE_EMPTY) {
        note(s, status);
    }
}

double stream_time(stream *s, double seconds) {
    size_t before = s->batches;
    double start = bench_now();
    do {
        stream_push(s);
    } while (bench_now() - start < seconds);
    stream_drain(s);
    return (bench_now() - start) / (double)(s->batches - before);
}

double stream_request(stream *s, size_t i) {
    size_t account = i % s->data->shape.accounts;
    engine_observation alone;
    engine_batch batch = synthetic_request(s->data, s->next, account, &alone);
    double start = bench_now();
    note(s, engine_submit(s->engine, &batch));
    note(s, engine_collect(s->engine));
    double spent = bench_now() - start;
    if (account + 1 == s->data->shape.accounts) {
        stream_skip(s);
    }
    return spent;
}

/* ---- opening ---- */

/* Appends the window of an account as one observation: what the batches before its group's first
 * would have left in it, the same state at a fraction of their cost. */
static void append_window(const stream *s, size_t account, size_t window_rows,
                          const unsigned char **row, uint32_t *classes,
                          engine_observation *observation, engine_batch *batch) {
    const synthetic_shape *shape = &s->data->shape;
    size_t group = account / shape->accounts, each = shape->observation_rows;
    observation[batch->observations++] = (engine_observation){.slot = (uint32_t)account,
                                                              .row_first = (uint32_t)batch->rows,
                                                              .row_count = (uint32_t)window_rows};
    for (size_t back = window_rows; back-- > 0; batch->rows++) {
        size_t b = synthetic_before(s->data, group, back / each + 1);
        size_t at =
            (b * shape->accounts + account % shape->accounts) * each + each - 1 - back % each;
        row[batch->rows] = s->data->row[at];
        classes[batch->rows] = s->data->classes[at];
    }
}

static engine_status fill_windows(stream *s, size_t window_rows, size_t batch_rows) {
    size_t group = batch_rows / window_rows;
    size_t accounts = s->data->groups * s->data->shape.accounts;
    const unsigned char **row = calloc(batch_rows, sizeof(const unsigned char *));
    uint32_t *classes = calloc(batch_rows, sizeof *classes);
    engine_observation *observation = calloc(group, sizeof *observation);
    engine_result *results = calloc(group, sizeof *results);
    bool allocated = row != NULL && classes != NULL && observation != NULL && results != NULL;
    for (size_t first = 0; allocated && first < accounts; first += group) {
        engine_batch batch = {
            .embeddings = row, .classes = classes, .observation = observation, .results = results};
        for (size_t a = first; a < accounts && a < first + group; a++) {
            append_window(s, a, window_rows, row, classes, observation, &batch);
        }
        push(s, batch);
        stream_drain(s); /* the next group is written to the same arrays */
    }
    free(results);
    free(observation);
    free(classes);
    free(row);
    return allocated ? ENGINE_OK : ENGINE_NO_MEMORY;
}

engine_status stream_open(stream *s, const synthetic *data, const stream_options *options,
                          char *error, size_t error_bytes) {
    const synthetic_shape *shape = &data->shape;
    size_t batch_rows = shape->accounts * shape->observation_rows;
    size_t rows_max = batch_rows > options->window_rows ? batch_rows : options->window_rows;
    size_t slots = data->groups * shape->accounts, blocks = slots * shape->classes;
    blocks = blocks < MEMORY_BLOCKS_MAX ? blocks : MEMORY_BLOCKS_MAX;
    engine_options o = {.name = options->engine,
                        .window_rows = options->window_rows,
                        .memory_rank = options->memory_rank,
                        .half_life_rows = HALF_LIFE_ROWS,
                        .memory_blocks = blocks > rows_max ? blocks : rows_max,
                        .slots_max = slots,
                        .batch_rows_max = rows_max,
                        .threads = options->threads,
                        .tf32 = options->tf32};
    *s = (stream){.data = data};
    engine_status status = engine_open(&s->engine, &data->reference, &o, error, error_bytes);
    if (status == ENGINE_OK) {
        status = fill_windows(s, options->window_rows, rows_max);
    }
    return status;
}

void stream_close(stream *s) {
    engine_close(s->engine);
    *s = (stream){0};
}

/*
 * engine_measure.c - an engine without memory, one with, the projection alone, sgemm alone.
 */
#include "engine_measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "bench.h"
#include "engine.h"
#include "pool.h"
#include "project.h"

enum { REQUESTS_MAX = 1 << 16, ROUND_REQUESTS_MIN = 100, MEMORY_BLOCKS_MAX = 1 << 20 };

/* How a round's time is shared out; SGEMM_PART is that of each way. */
#define STREAM_PART 0.30
#define MEMORY_PART 0.20
#define PROJECT_PART 0.18
#define SGEMM_PART 0.08
#define REQUEST_PART 0.08

/* A memory of the same few rows again and again has no rank, and eigenvalues come at another price.
 */
enum { RING_BATCHES_MIN = 17 };

/* Long against a window, so that forgetting costs what it costs in service. */
#define HALF_LIFE_ROWS 1000.0

/* An engine and where in the ring of batches its accounts are. */
typedef struct {
    engine *engine;
    const synthetic *data;
    size_t batches;
    size_t next;
    engine_status status; /* the first that was not ENGINE_OK */
} stream;

typedef struct {
    const synthetic *data;
    const measure_plan *plan;
    measure_result *result;
    stream plain;
    stream remembering; /* its engine is NULL without memory */
    sgemm *sgemm;
    project *project;
    pool *pool;
    unsigned char *dtype;              /* [batch rows] all ENGINE_F32 */
    double *request_s;                 /* [REQUESTS_MAX] */
    double plain_s[MEASURE_ROUNDS];    /* of a batch */
    double remember_s[MEASURE_ROUNDS]; /* of a batch */
    double project_s[MEASURE_ROUNDS];  /* of a batch */
    double sgemm_s[SGEMM_WAYS][MEASURE_ROUNDS];
    size_t requests;
} bench_state;

size_t measure_batches(size_t window_rows, size_t observation_rows) {
    size_t batches = (window_rows + observation_rows - 1) / observation_rows + 1;
    return batches > RING_BATCHES_MIN ? batches : RING_BATCHES_MIN;
}

/* ---- streams ---- */

static void note(stream *s, engine_status status) {
    if (s->status == ENGINE_OK) {
        s->status = status;
    }
}

/* As many batches in flight as the engine takes: the oldest is collected when it says so. */
static void push(stream *s, const engine_batch *batch) {
    engine_status status = engine_submit(s->engine, batch);
    if (status == ENGINE_BUSY) {
        note(s, engine_collect(s->engine));
        status = engine_submit(s->engine, batch);
    }
    note(s, status);
}

static void drain(stream *s) {
    engine_status status;
    while ((status = engine_collect(s->engine)) == ENGINE_OK) {
    }
    if (status != ENGINE_EMPTY) {
        note(s, status);
    }
}

static void push_next(stream *s) {
    engine_batch batch = synthetic_batch(s->data, s->next);
    s->next = (s->next + 1) % s->batches;
    push(s, &batch);
}

/* Fills a group of accounts' windows, a window an observation, with what the batches before the
 * last would have left in them: the same state at a fraction of their cost. */
static bool fill_windows(stream *s, size_t window_rows, size_t batch_rows) {
    const synthetic_shape *shape = &s->data->shape;
    const unsigned char **row = calloc(batch_rows, sizeof(const unsigned char *));
    uint32_t *classes = calloc(batch_rows, sizeof *classes);
    engine_observation *observation = calloc(shape->accounts, sizeof *observation);
    bool allocated = row != NULL && classes != NULL && observation != NULL;
    size_t group = batch_rows / window_rows;
    for (size_t first = 0; allocated && first < shape->accounts; first += group) {
        engine_batch batch = {.embeddings = row,
                              .classes = classes,
                              .observation = observation,
                              .results = s->data->results};
        for (size_t a = first; a < shape->accounts && a < first + group; a++) {
            observation[batch.observations++] =
                (engine_observation){.slot = (uint32_t)a,
                                     .row_first = (uint32_t)batch.rows,
                                     .row_count = (uint32_t)window_rows};
            for (size_t back = window_rows; back-- > 0; batch.rows++) {
                size_t b = s->batches - 2 - back / shape->observation_rows;
                size_t in_observation =
                    shape->observation_rows - 1 - back % shape->observation_rows;
                size_t at = (b * shape->accounts + a) * shape->observation_rows + in_observation;
                row[batch.rows] = s->data->row[at];
                classes[batch.rows] = s->data->classes[at];
            }
        }
        push(s, &batch);
        drain(s); /* the next group is written to the same arrays */
    }
    s->next = s->batches - 1;
    free(observation);
    free(classes);
    free(row);
    return allocated;
}

static bool stream_open(bench_state *state, stream *s, size_t memory_rank) {
    const synthetic_shape *shape = &state->data->shape;
    const measure_plan *plan = state->plan;
    size_t batch_rows = shape->accounts * shape->observation_rows;
    size_t rows_max = batch_rows > plan->window_rows ? batch_rows : plan->window_rows;
    size_t blocks = shape->accounts * shape->classes;
    blocks = blocks < MEMORY_BLOCKS_MAX ? blocks : MEMORY_BLOCKS_MAX;
    engine_options options = {.name = plan->engine,
                              .window_rows = plan->window_rows,
                              .memory_rank = memory_rank,
                              .half_life_rows = HALF_LIFE_ROWS,
                              .memory_blocks = blocks > rows_max ? blocks : rows_max,
                              .slots_max = shape->accounts,
                              .batch_rows_max = rows_max,
                              .threads = plan->threads};
    *s = (stream){.data = state->data,
                  .batches = measure_batches(plan->window_rows, shape->observation_rows)};
    engine_status status = engine_open(&s->engine, &state->data->reference, &options,
                                       state->result->error, MEASURE_ERROR_BYTES);
    state->result->refused = status == ENGINE_BAD_ARGUMENT;
    return status == ENGINE_OK && fill_windows(s, plan->window_rows, rows_max);
}

/* Seconds of a batch, the mean of as many as fit `seconds` (at least one). */
static double stream_time(stream *s, double seconds) {
    size_t batches = 0;
    double spent = 0.0;
    double start = bench_now();
    do {
        push_next(s);
        batches++;
        spent = bench_now() - start;
    } while (spent < seconds);
    drain(s);
    return (bench_now() - start) / (double)batches;
}

/* Requests of one observation, account after account, each waited for. */
static void time_requests(bench_state *state, double seconds) {
    stream *s = &state->plain;
    size_t accounts = s->data->shape.accounts;
    double start = bench_now();
    double before = start;
    for (size_t i = 0;
         state->requests < REQUESTS_MAX && (i < ROUND_REQUESTS_MIN || before - start < seconds);
         i++) {
        engine_observation alone;
        engine_batch batch = synthetic_request(s->data, s->next, i % accounts, &alone);
        before = bench_now();
        note(s, engine_submit(s->engine, &batch));
        note(s, engine_collect(s->engine));
        state->request_s[state->requests++] = bench_now() - before;
        if ((i + 1) % accounts == 0) {
            s->next = (s->next + 1) % s->batches;
        }
    }
    s->next = (s->next + 1) % s->batches;
}

/* ---- the projection alone ---- */

/* One batch again and again, as sgemm has it: both find their rows in the same cache. */
static double project_time(bench_state *state, double seconds) {
    engine_batch batch = synthetic_batch(state->data, 0);
    size_t passes = 0;
    double spent = 0.0;
    project_batch(state->project, state->pool, &batch, state->dtype); /* warm-up */
    double start = bench_now();
    do {
        project_batch(state->project, state->pool, &batch, state->dtype);
        passes++;
        spent = bench_now() - start;
    } while (spent < seconds);
    return spent / (double)passes;
}

static bool yardsticks_open(bench_state *state, size_t threads) {
    const synthetic *data = state->data;
    engine_batch batch = synthetic_batch(data, 0);
    state->sgemm = sgemm_open(&data->reference, &batch, threads);
    state->project = project_open(&data->reference, batch.rows, threads);
    state->pool = pool_open(threads);
    state->dtype = calloc(batch.rows, sizeof *state->dtype);
    return state->sgemm && state->project && state->pool && state->dtype;
}

/* ---- rounds ---- */

static void measure_round(bench_state *state, size_t round, double seconds) {
    state->plain_s[round] = stream_time(&state->plain, STREAM_PART * seconds);
    if (state->remembering.engine != NULL) {
        state->remember_s[round] = stream_time(&state->remembering, MEMORY_PART * seconds);
    }
    time_requests(state, REQUEST_PART * seconds);
    if (state->sgemm != NULL) {
        state->project_s[round] = project_time(state, PROJECT_PART * seconds);
        for (sgemm_way way = 0; way < SGEMM_WAYS; way++) {
            state->sgemm_s[way][round] = sgemm_time(state->sgemm, way, SGEMM_PART * seconds);
        }
    }
}

static void summarise(bench_state *state) {
    measure_result *result = state->result;
    const synthetic_shape *shape = &state->data->shape;
    double rows = (double)(shape->accounts * shape->observation_rows);
    double flops = rows * 2.0 * (double)shape->dim * (double)shape->rank;
    result->rows_per_s = rows / bench_median(state->plain_s, MEASURE_ROUNDS);
    if (state->remembering.engine != NULL) {
        result->memory_rows_per_s = rows / bench_median(state->remember_s, MEASURE_ROUNDS);
    }
    result->requests = state->requests;
    result->request_p50_us = 1e6 * bench_percentile(state->request_s, state->requests, 50.0);
    result->request_p99_us = 1e6 * bench_percentile(state->request_s, state->requests, 99.0);
    if (state->sgemm == NULL) {
        return;
    }
    result->project_flops_per_s = flops / bench_median(state->project_s, MEASURE_ROUNDS);
    for (sgemm_way way = 0; way < SGEMM_WAYS; way++) {
        double rate = flops / bench_median(state->sgemm_s[way], MEASURE_ROUNDS);
        if (rate > result->sgemm_flops_per_s) {
            result->sgemm_flops_per_s = rate;
            result->sgemm_way = way;
        }
    }
}

static void state_close(bench_state *state) {
    free(state->request_s);
    free(state->dtype);
    pool_close(state->pool);
    project_close(state->project);
    sgemm_close(state->sgemm);
    engine_close(state->remembering.engine);
    engine_close(state->plain.engine);
}

static bool state_open(bench_state *state) {
    /* What fails below without a line of its own had no memory; engine_open writes over this. */
    snprintf(state->result->error, MEASURE_ERROR_BYTES, "out of memory");
    if (!stream_open(state, &state->plain, 0) ||
        (state->plan->memory_rank > 0 &&
         !stream_open(state, &state->remembering, state->plan->memory_rank))) {
        return false;
    }
    engine_facts facts = engine_describe(state->plain.engine);
    snprintf(state->result->engine, MEASURE_NAME_BYTES, "%s", facts.name);
    state->result->threads = facts.threads;
    state->request_s = calloc(REQUESTS_MAX, sizeof *state->request_s);
    bool here = strcmp(facts.name, "cpu") == 0;
    return state->request_s != NULL && (!here || yardsticks_open(state, facts.threads));
}

static bool measure(bench_state *state) {
    stream_time(&state->plain, 0.0); /* warm-up */
    for (size_t b = 0; state->remembering.engine != NULL && b < state->remembering.batches; b++) {
        push_next(&state->remembering); /* a memory grows dearer until it has seen enough rows */
    }
    for (size_t round = 0; round < MEASURE_ROUNDS; round++) {
        measure_round(state, round, state->plan->seconds / MEASURE_ROUNDS);
    }
    engine_status status =
        state->plain.status != ENGINE_OK ? state->plain.status : state->remembering.status;
    if (status != ENGINE_OK) {
        snprintf(state->result->error, MEASURE_ERROR_BYTES, "the engine failed: %s",
                 engine_status_text(status));
        return false;
    }
    summarise(state);
    return true;
}

bool measure_run(const synthetic *data, const measure_plan *plan, measure_result *result) {
    bench_state state = {.data = data, .plan = plan, .result = result};
    *result = (measure_result){0};
    bool good = state_open(&state) && measure(&state);
    state_close(&state);
    return good;
}

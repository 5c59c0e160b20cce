/*
 * engine_measure.c - an engine without memory, one with, and the yardsticks of where it works: the
 * projection alone and sgemm alone, or the device's copies and products.
 */
#include "engine_measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "device.h"
#include "engine.h"
#include "pool.h"
#include "project.h"

/* A memory is warm after an observation of every account from every batch of the ring; on this
 * processor, more of them than REMEMBERED_MAX take too long. */
enum { REQUESTS_MAX = 1 << 16, REMEMBERED_MAX = 1 << 15 };

/* How a round's time is shared out; SGEMM_PART, SSYEVD_PART and DEVICE_PART are those of each way.
 */
#define STREAM_PART 0.30
#define MEMORY_PART 0.18
#define PROJECT_PART 0.15
#define SGEMM_PART 0.07
#define SSYEVD_PART 0.03
#define DEVICE_PART 0.10
#define REQUEST_PART 0.07

typedef struct {
    const synthetic *data;
    const measure_plan *plan;
    measure_result *result;
    stream plain;
    stream remembering; /* not open without memory */
    sgemm *sgemm;
    ssyevd *ssyevd;
    device *device;
    bool device_failed; /* in a round; the result says why */
    project *project;
    pool *pool;
    unsigned char *dtype; /* [batch rows] all ENGINE_F32 */
    double *request_s;    /* [REQUESTS_MAX] */
    size_t requests;
    /* Seconds of a batch. */
    double plain_s[MEASURE_ROUNDS];
    double compute_s[MEASURE_ROUNDS]; /* the device's part of plain_s */
    double remember_s[MEASURE_ROUNDS];
    double project_s[MEASURE_ROUNDS];
    double sgemm_s[SGEMM_WAYS][MEASURE_ROUNDS];
    double ssyevd_s[SSYEVD_WAYS][MEASURE_ROUNDS];
    size_t ssyevd_rounds; /* fewer than all where one call takes long */
    double ssyevd_spent;
    double device_s[DEVICE_YARDSTICKS][MEASURE_ROUNDS];
} bench_state;

/* ---- opening ---- */

static engine_status processor_open(bench_state *state, size_t threads) {
    const synthetic *data = state->data;
    engine_batch batch = synthetic_batch(data, 0);
    state->sgemm = sgemm_open(&data->reference, &batch, threads);
    state->project = project_open(&data->reference, batch.rows, threads);
    state->ssyevd = ssyevd_open(data, state->plan->stream.window_rows, threads);
    state->pool = pool_open(threads);
    state->dtype = calloc(batch.rows, sizeof *state->dtype);
    bool opened = state->sgemm && state->ssyevd && state->project && state->pool && state->dtype;
    return opened ? ENGINE_OK : ENGINE_NO_MEMORY;
}

static engine_status accelerator_open(bench_state *state) {
    engine_batch batch = synthetic_batch(state->data, 0);
    return device_open(&state->device, &state->data->reference, &batch, state->plan->copy_bytes,
                       state->result->error, MEASURE_ERROR_BYTES);
}

/* A device holds one engine more easily than two: without the second there is no memory's figure.
 */
static engine_status remembering_open(bench_state *state) {
    measure_result *result = state->result;
    engine_status status = stream_open(&state->remembering, state->data, &state->plan->stream,
                                       result->error, MEASURE_ERROR_BYTES);
    if (status == ENGINE_OK) {
        result->memory_rank = engine_describe(state->remembering.engine).memory_rank;
    } else {
        stream_close(&state->remembering);
    }
    return status == ENGINE_NO_MEMORY ? ENGINE_OK : status;
}

static engine_status streams_open(bench_state *state) {
    measure_result *result = state->result;
    stream_options plain = state->plan->stream;
    plain.memory_rank = 0;
    engine_status status =
        stream_open(&state->plain, state->data, &plain, result->error, MEASURE_ERROR_BYTES);
    if (status != ENGINE_OK) {
        return status;
    }
    engine_facts facts = engine_describe(state->plain.engine);
    snprintf(result->engine, MEASURE_NAME_BYTES, "%s", facts.name);
    result->threads = facts.threads;
    state->request_s = calloc(REQUESTS_MAX, sizeof *state->request_s);
    if (state->request_s == NULL) {
        return ENGINE_NO_MEMORY;
    }
    size_t remembered =
        state->data->shape.batches * state->data->groups * state->data->shape.accounts;
    bool too_many = strcmp(result->engine, "cpu") == 0 && remembered > REMEMBERED_MAX;
    return state->plan->stream.memory_rank > 0 && !too_many ? remembering_open(state) : ENGINE_OK;
}

static engine_status state_open(bench_state *state) {
    /* What fails below without a line of its own had no memory; others write over this. */
    snprintf(state->result->error, MEASURE_ERROR_BYTES, "out of memory");
    if (state->plan->yardsticks_only) {
        return accelerator_open(state);
    }
    engine_status status = streams_open(state);
    if (status == ENGINE_OK && strcmp(state->result->engine, "cpu") == 0) {
        status = processor_open(state, state->result->threads);
    } else if (status == ENGINE_OK && strcmp(state->result->engine, "cuda") == 0) {
        status = accelerator_open(state);
        status = status == ENGINE_NO_MEMORY ? ENGINE_OK : status; /* then without them */
    }
    return status;
}

static void state_close(bench_state *state) {
    free(state->request_s);
    free(state->dtype);
    pool_close(state->pool);
    project_close(state->project);
    device_close(state->device);
    ssyevd_close(state->ssyevd);
    sgemm_close(state->sgemm);
    stream_close(&state->remembering);
    stream_close(&state->plain);
}

/* ---- rounds ---- */

static void time_stream(bench_state *state, size_t round, double seconds) {
    stream *s = &state->plain;
    size_t batches = s->batches;
    double computed = engine_describe(s->engine).compute_s;
    state->plain_s[round] = stream_time(s, seconds);
    computed = engine_describe(s->engine).compute_s - computed;
    state->compute_s[round] = computed / (double)(s->batches - batches);
}

/* Account after account, each waited for. */
static void time_requests(bench_state *state, double seconds) {
    double spent = 0.0;
    for (size_t i = 0;
         state->requests < REQUESTS_MAX && (i < state->plan->requests_min || spent < seconds);
         i++) {
        double one = stream_request(&state->plain, i);
        state->request_s[state->requests++] = one;
        spent += one;
    }
    stream_skip(&state->plain);
}

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

/* In the first round whatever it takes, after that while twice its share of the time lasts, for
 * OpenBLAS' threads also take time to fall asleep. */
static void time_ssyevd(bench_state *state, size_t round, double seconds) {
    if (state->ssyevd_spent > 2.0 * (double)(SSYEVD_WAYS * round) * seconds) {
        return;
    }
    double start = bench_now();
    for (ssyevd_way way = 0; way < SSYEVD_WAYS; way++) {
        state->ssyevd_s[way][state->ssyevd_rounds] = ssyevd_time(state->ssyevd, way, seconds);
    }
    state->ssyevd_spent += bench_now() - start;
    state->ssyevd_rounds++;
}

static void time_device(bench_state *state, size_t round, double seconds) {
    for (device_yardstick what = 0; what < DEVICE_YARDSTICKS; what++) {
        engine_status status =
            device_time(state->device, what, seconds, &state->device_s[what][round],
                        state->result->error, MEASURE_ERROR_BYTES);
        state->device_failed = state->device_failed || status != ENGINE_OK;
    }
}

static void measure_round(bench_state *state, size_t round, double seconds) {
    if (state->plain.engine != NULL) {
        time_stream(state, round, STREAM_PART * seconds);
    }
    if (state->remembering.engine != NULL) {
        state->remember_s[round] = stream_time(&state->remembering, MEMORY_PART * seconds);
    }
    if (state->plain.engine != NULL) {
        time_requests(state, REQUEST_PART * seconds);
    }
    if (state->sgemm != NULL) {
        state->project_s[round] = project_time(state, PROJECT_PART * seconds);
    }
    for (sgemm_way way = 0; state->sgemm != NULL && way < SGEMM_WAYS; way++) {
        state->sgemm_s[way][round] = sgemm_time(state->sgemm, way, SGEMM_PART * seconds);
    }
    if (state->ssyevd != NULL) {
        time_ssyevd(state, round, SSYEVD_PART * seconds);
    }
    if (state->device != NULL) {
        time_device(state, round, DEVICE_PART * seconds);
    }
}

/* ---- results ---- */

/* Of so much work a batch; 0 where nothing was timed. */
static double rate(double work, double *seconds) {
    double median = bench_median(seconds, MEASURE_ROUNDS);
    return median > 0.0 ? work / median : 0.0;
}

static void summarise_device(bench_state *state) {
    measure_result *result = state->result;
    double *into[DEVICE_YARDSTICKS] = {[DEVICE_UPLOAD] = &result->upload_bytes_per_s,
                                       [DEVICE_COPY] = &result->copy_bytes_per_s,
                                       [DEVICE_PRODUCT] = &result->product_flops_per_s};
    for (device_yardstick what = 0; what < DEVICE_YARDSTICKS; what++) {
        *into[what] = rate(device_work(state->device, what), state->device_s[what]);
    }
}

static void summarise_ssyevd(bench_state *state) {
    for (ssyevd_way way = 0; way < SSYEVD_WAYS; way++) {
        state->result->ssyevd_per_s[way] =
            1.0 / bench_median(state->ssyevd_s[way], state->ssyevd_rounds);
    }
}

static void summarise(bench_state *state) {
    measure_result *result = state->result;
    const synthetic_shape *shape = &state->data->shape;
    double rows = (double)(shape->accounts * shape->observation_rows);
    double flops = rows * 2.0 * (double)shape->dim * (double)shape->rank;
    result->rows_per_s = rate(rows, state->plain_s);
    result->compute_rows_per_s = rate(rows, state->compute_s);
    result->memory_rows_per_s = rate(rows, state->remember_s);
    result->requests = state->requests;
    if (state->requests > 0) {
        result->request_p50_us = 1e6 * bench_percentile(state->request_s, state->requests, 50.0);
        result->request_p99_us = 1e6 * bench_percentile(state->request_s, state->requests, 99.0);
    }
    if (state->device != NULL) {
        summarise_device(state);
    }
    if (state->ssyevd != NULL) {
        summarise_ssyevd(state);
    }
    result->project_flops_per_s = rate(flops, state->project_s);
    for (sgemm_way way = 0; way < SGEMM_WAYS; way++) {
        double sgemm = rate(flops, state->sgemm_s[way]);
        if (sgemm > result->sgemm_flops_per_s) {
            result->sgemm_flops_per_s = sgemm;
            result->sgemm_way = way;
        }
    }
}

static void warm_up(bench_state *state) {
    if (state->plain.engine != NULL) {
        stream_time(&state->plain, 0.0);
    }
    if (state->remembering.engine == NULL) {
        return;
    }
    size_t turns = state->data->shape.batches * state->data->groups;
    for (size_t b = 0; b < turns; b++) {
        stream_push(&state->remembering); /* dearer until a memory has seen enough rows */
    }
    stream_drain(&state->remembering);
}

/* Whether all batches were this engine's work. */
static bool stream_good(bench_state *state, const stream *s) {
    bool degraded = s->engine != NULL && engine_describe(s->engine).degraded;
    if (s->status != ENGINE_OK || degraded) {
        snprintf(state->result->error, MEASURE_ERROR_BYTES, "the engine failed: %s",
                 degraded ? "it lost its device" : engine_status_text(s->status));
    }
    return s->status == ENGINE_OK && !degraded;
}

static engine_status measure(bench_state *state) {
    warm_up(state);
    for (size_t round = 0; round < MEASURE_ROUNDS; round++) {
        measure_round(state, round, state->plan->seconds / MEASURE_ROUNDS);
    }
    if (state->device_failed || !stream_good(state, &state->plain) ||
        !stream_good(state, &state->remembering)) {
        return ENGINE_INTERNAL;
    }
    if (state->ssyevd != NULL && ssyevd_failed(state->ssyevd)) {
        snprintf(state->result->error, MEASURE_ERROR_BYTES, "ssyevd failed");
        return ENGINE_INTERNAL;
    }
    summarise(state);
    return ENGINE_OK;
}

bool measure_run(const synthetic *data, const measure_plan *plan, measure_result *result) {
    bench_state state = {.data = data, .plan = plan, .result = result};
    *result = (measure_result){0};
    result->status = state_open(&state);
    if (result->status == ENGINE_OK) {
        result->status = measure(&state);
    }
    state_close(&state);
    return result->status == ENGINE_OK;
}

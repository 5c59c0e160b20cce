/*
 * engine_cpu.c - the CPU engine: the order in which a batch is worked off, and nothing else.
 *
 *     project all rows (by class) -> score every observation's window (by observation)
 *       -> reserve memory blocks (one thread, row order)
 *       -> of every slot its next observation, a wave: rings and memories (by slot), the blocks
 *          added to (eight at a time), scores of memories (by slot); until none is left
 */
#include "engine_ops.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cblas.h>

#include "memory.h"
#include "parcel.h"
#include "pool.h"
#include "project.h"
#include "window.h"

#define NO_OBSERVATION UINT32_MAX

/* Below this many rows waking the other threads costs more than they save. */
enum { PARALLEL_ROWS_MIN = 64 };

typedef struct {
    size_t classes, dim, rank, window_rows, memory_rank, threads;
    double *trace;
    engine_benign benign;
    pool *pool;   /* all threads */
    pool *caller; /* the calling thread alone, for small batches */
    project *project;
    windows *windows;
    memory *memory;                  /* NULL: off */
    window_scratch *scratch;         /* [threads] */
    memory_scratch **memory_scratch; /* [threads] */
    memory_row **remembered;         /* [threads], of W each: rows of an observation */
    float *import_row;               /* [rank] */
    /* The batch at work. */
    const engine_batch *batch;
    unsigned char *dtype; /* [batch_rows_max] */
    uint32_t *block;      /* [batch_rows_max] the row's memory block */
    uint32_t *earlier;    /* [batch_rows_max] the slot's observation before this one */
    uint32_t *later;      /* [batch_rows_max] ... and after it */
    uint32_t *wave;       /* [batch_rows_max] observations of different slots, ready to be
                           * remembered: at first those that are their slots' first */
    size_t wave_size;
    uint32_t *stale; /* [batch_rows_max] blocks that the wave has added to */
    size_t stales;
    uint32_t *last_of_slot; /* [slots_max] NO_OBSERVATION between batches */
    atomic_bool failed;
    bool waiting; /* a batch is done and not collected */
} cpu;

static void cpu_close(void *state) {
    cpu *e = state;
    if (e == NULL) {
        return;
    }
    for (size_t t = 0; t < e->threads; t++) {
        if (e->scratch != NULL) {
            window_scratch_close(&e->scratch[t]);
        }
        if (e->memory_scratch != NULL) {
            memory_scratch_close(e->memory_scratch[t]);
        }
        if (e->remembered != NULL) {
            free(e->remembered[t]);
        }
    }
    free(e->last_of_slot);
    free(e->stale);
    free(e->wave);
    free(e->later);
    free(e->earlier);
    free(e->block);
    free(e->dtype);
    free(e->import_row);
    free(e->memory_scratch);
    free(e->remembered);
    free(e->scratch);
    memory_close(e->memory);
    windows_close(e->windows);
    project_close(e->project);
    pool_close(e->caller);
    pool_close(e->pool);
    free(e->trace);
    free(e);
}

static bool open_threads(cpu *e) {
    e->pool = pool_open(e->threads);
    e->caller = pool_open(1);
    e->scratch = calloc(e->threads, sizeof *e->scratch);
    e->memory_scratch = calloc(e->threads, sizeof(memory_scratch *));
    e->remembered = calloc(e->threads, sizeof(memory_row *));
    if (!e->pool || !e->caller || !e->scratch || !e->memory_scratch || !e->remembered) {
        return false;
    }
    for (size_t t = 0; t < e->threads; t++) {
        e->remembered[t] = calloc(e->window_rows, sizeof(memory_row));
        if (e->remembered[t] == NULL ||
            !window_scratch_open(&e->scratch[t], e->window_rows, e->rank)) {
            return false;
        }
        if (e->memory_rank > 0) {
            e->memory_scratch[t] = memory_scratch_open(e->memory_rank);
            if (e->memory_scratch[t] == NULL) {
                return false;
            }
        }
    }
    return true;
}

static bool open_state(cpu *e, const engine_reference *r, const engine_options *o) {
    size_t rows = o->batch_rows_max;
    e->trace = malloc(r->classes * sizeof *e->trace);
    e->project = project_open(r, rows, e->threads);
    e->windows = windows_open(o->slots_max, o->window_rows, r->rank);
    e->import_row = calloc(r->rank, sizeof *e->import_row);
    e->dtype = calloc(rows, sizeof *e->dtype);
    e->block = calloc(rows, sizeof *e->block);
    e->earlier = calloc(rows, sizeof *e->earlier);
    e->later = calloc(rows, sizeof *e->later);
    e->wave = calloc(rows, sizeof *e->wave);
    e->stale = calloc(rows, sizeof *e->stale);
    e->last_of_slot = malloc(o->slots_max * sizeof *e->last_of_slot);
    if (!e->trace || !e->project || !e->windows || !e->import_row || !e->dtype || !e->block ||
        !e->earlier || !e->later || !e->wave || !e->stale || !e->last_of_slot) {
        return false;
    }
    memcpy(e->trace, r->trace, r->classes * sizeof *e->trace);
    e->benign = engine_benign_of(r->benign);
    memset(e->last_of_slot, 0xff, o->slots_max * sizeof *e->last_of_slot);
    if (e->memory_rank > 0) {
        e->memory = memory_open(&(memory_options){.blocks = o->memory_blocks,
                                                  .slots = o->slots_max,
                                                  .rank = e->memory_rank,
                                                  .classes = r->classes,
                                                  .half_life_rows = o->half_life_rows,
                                                  .trace = e->trace,
                                                  .benign = engine_benign_of(r->memory_benign)});
    }
    if (o->populate) {
        windows_populate(e->windows);
    }
    if (o->populate && e->memory != NULL) {
        memory_populate(e->memory);
    }
    return e->memory_rank == 0 || e->memory != NULL;
}

static engine_status cpu_open(void **state, const engine_reference *r, const engine_options *o,
                              char *error, size_t error_bytes) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu *e = calloc(1, sizeof *e);
    if (e == NULL) {
        goto fail;
    }
    e->classes = r->classes;
    e->dim = r->dim;
    e->rank = r->rank;
    e->window_rows = o->window_rows;
    e->memory_rank = o->memory_rank < r->rank ? o->memory_rank : r->rank;
    e->threads = o->threads > 0 ? o->threads : cores > 0 ? (size_t)cores : 1;
    if (e->threads > ENGINE_THREADS_MAX) {
        e->threads = ENGINE_THREADS_MAX;
    }
    /* The engine's own threads each call BLAS; threads inside a call would only contend. */
    openblas_set_num_threads(1);
    if (!open_threads(e) || !open_state(e, r, o)) {
        goto fail;
    }
    *state = e;
    return ENGINE_OK;
fail:
    cpu_close(e);
    snprintf(error, error_bytes, "out of memory for %zu accounts of %zu rows of %zu floats",
             o->slots_max, o->window_rows, r->rank);
    return ENGINE_NO_MEMORY;
}

/* Chains the observations of each slot in their order. */
static void plan(cpu *e) {
    const engine_batch *batch = e->batch;
    e->wave_size = 0;
    for (size_t o = 0; o < batch->observations; o++) {
        const engine_observation *observation = &batch->observation[o];
        uint32_t *last = &e->last_of_slot[observation->slot];
        e->earlier[o] = *last;
        e->later[o] = NO_OBSERVATION;
        if (*last == NO_OBSERVATION) {
            e->wave[e->wave_size++] = (uint32_t)o;
        } else {
            e->later[*last] = (uint32_t)o;
        }
        *last = (uint32_t)o;
        for (uint32_t i = 0; i < observation->row_count; i++) {
            e->dtype[observation->row_first + i] = (unsigned char)observation->dtype;
        }
    }
    for (size_t o = 0; o < batch->observations; o++) {
        e->last_of_slot[batch->observation[o].slot] = NO_OBSERVATION;
    }
}

static void reserve_blocks(cpu *e, const engine_observation *observation) {
    for (uint32_t i = 0; i < observation->row_count; i++) {
        uint32_t row = observation->row_first + i;
        e->block[row] = memory_reserve(e->memory, observation->slot, e->batch->classes[row]);
    }
}

static window_row row_of(const cpu *e, size_t row) {
    return (window_row){e->batch->classes[row], project_s(e->project, row),
                        project_y(e->project, row)};
}

/* The window after observation o, oldest first: rows of this batch, then of the slot's ring. */
static size_t gather_window(const cpu *e, size_t o, window_row *rows) {
    uint32_t slot = e->batch->observation[o].slot;
    size_t free_rows = e->window_rows; /* filled from the end */
    for (uint32_t at = (uint32_t)o; at != NO_OBSERVATION && free_rows > 0; at = e->earlier[at]) {
        const engine_observation *observation = &e->batch->observation[at];
        for (uint32_t i = observation->row_count; i-- > 0 && free_rows > 0;) {
            rows[--free_rows] = row_of(e, observation->row_first + i);
        }
    }
    size_t stored = windows_fill(e->windows, slot);
    for (size_t back = 0; back < stored && free_rows > 0; back++) {
        rows[--free_rows] = windows_peek(e->windows, slot, back);
    }
    size_t fill = e->window_rows - free_rows;
    memmove(rows, rows + free_rows, fill * sizeof *rows);
    return fill;
}

static void score_task(void *context, size_t o, size_t thread) {
    cpu *e = context;
    window_scratch *scratch = &e->scratch[thread];
    engine_result *result = &e->batch->results[o];
    size_t fill = gather_window(e, o, scratch->row);
    window_reference reference = {e->trace, e->benign};
    score_total total = {0};
    bool scored = e->batch->sides_only
                      ? window_side(scratch, fill, &reference, e->batch->threshold, &total)
                      : window_score(scratch, fill, &reference, &total);
    if (!scored) {
        atomic_store(&e->failed, true);
    }
    *result = (engine_result){.score = total.score,
                              .excess = total.excess,
                              .concentration = total.concentration,
                              .fill = (uint32_t)fill};
}

/* Puts the observation's rows into ring and memory. */
static void append_task(void *context, size_t task, size_t thread) {
    cpu *e = context;
    const engine_observation *observation = &e->batch->observation[e->wave[task]];
    memory_row *remembered = e->remembered[thread];
    for (uint32_t i = 0; i < observation->row_count; i++) {
        uint32_t row = observation->row_first + i;
        window_row projected = row_of(e, row);
        windows_append(e->windows, observation->slot, projected);
        remembered[i] = (memory_row){e->block[row], projected.s, projected.y};
    }
    if (e->memory != NULL) {
        memory_add(e->memory, observation->slot, remembered, observation->row_count);
    }
}

static void look_task(void *context, size_t task, size_t thread) {
    cpu *e = context;
    size_t first = task * MEMORY_LOOK_MAX, left = e->stales - first;
    if (!memory_look(e->memory, e->stale + first, left < MEMORY_LOOK_MAX ? left : MEMORY_LOOK_MAX,
                     e->memory_scratch[thread])) {
        atomic_store(&e->failed, true);
    }
}

static void score_memory_task(void *context, size_t task, size_t thread) {
    cpu *e = context;
    uint32_t o = e->wave[task];
    engine_result *result = &e->batch->results[o];
    score_total total = {0};
    if (!memory_score(e->memory, e->batch->observation[o].slot, e->memory_scratch[thread],
                      &total)) {
        atomic_store(&e->failed, true);
    }
    result->memory_score = total.score;
    result->memory_excess = total.excess;
}

static void claim_stale(cpu *e) {
    e->stales = 0;
    for (size_t i = 0; i < e->wave_size; i++) {
        const engine_observation *observation = &e->batch->observation[e->wave[i]];
        for (uint32_t j = 0; j < observation->row_count; j++) {
            uint32_t block = e->block[observation->row_first + j];
            if (memory_claim(e->memory, block)) {
                e->stale[e->stales++] = block;
            }
        }
    }
}

/* Remembers and scores the wave. The blocks that all of it has added to are looked at together. */
static void remember_wave(cpu *e, pool *pool) {
    pool_run(pool, e->wave_size, append_task, e);
    if (e->memory != NULL) {
        claim_stale(e);
        pool_run(pool, (e->stales + MEMORY_LOOK_MAX - 1) / MEMORY_LOOK_MAX, look_task, e);
        pool_run(pool, e->wave_size, score_memory_task, e);
    }
}

static void next_wave(cpu *e) {
    size_t size = 0;
    for (size_t i = 0; i < e->wave_size; i++) {
        uint32_t later = e->later[e->wave[i]];
        if (later != NO_OBSERVATION) {
            e->wave[size++] = later;
        }
    }
    e->wave_size = size;
}

/* Whether the pool may run out in this batch: rows that have no block yet, each counted for one. */
static bool blocks_scarce(const cpu *e) {
    const engine_batch *batch = e->batch;
    size_t left = memory_free(e->memory);
    if (left >= batch->rows) {
        return false;
    }
    for (size_t o = 0; o < batch->observations; o++) {
        const engine_observation *observation = &batch->observation[o];
        for (uint32_t i = 0; i < observation->row_count; i++) {
            uint32_t class_index = batch->classes[observation->row_first + i];
            if (!memory_has(e->memory, observation->slot, class_index) && left-- == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Where blocks are scarce, one that one observation takes may be another's: then observations come
 * one after another, so that batching changes nothing. */
static void remember_all(cpu *e, pool *pool) {
    const engine_batch *batch = e->batch;
    bool scarce = e->memory != NULL && blocks_scarce(e);
    for (size_t o = 0; o < batch->observations; o++) {
        if (e->memory != NULL) {
            reserve_blocks(e, &batch->observation[o]);
        }
        if (scarce) {
            e->wave[0] = (uint32_t)o;
            e->wave_size = 1;
            remember_wave(e, e->caller);
        }
    }
    for (; !scarce && e->wave_size > 0; next_wave(e)) {
        remember_wave(e, pool);
    }
}

static engine_status cpu_submit(void *state, const engine_batch *batch) {
    cpu *e = state;
    if (e->waiting) {
        return ENGINE_BUSY;
    }
    pool *pool = batch->rows < PARALLEL_ROWS_MIN ? e->caller : e->pool;
    e->batch = batch;
    atomic_store(&e->failed, false);
    plan(e);
    project_batch(e->project, pool, batch, e->dtype);
    pool_run(pool, batch->observations, score_task, e);
    if (!atomic_load(&e->failed)) {
        remember_all(e, pool);
    }
    e->waiting = true;
    return ENGINE_OK;
}

static engine_status cpu_collect(void *state) {
    cpu *e = state;
    if (!e->waiting) {
        return ENGINE_EMPTY;
    }
    e->waiting = false;
    return atomic_load(&e->failed) ? ENGINE_INTERNAL : ENGINE_OK;
}

static engine_status cpu_forget(void *state, uint32_t slot) {
    cpu *e = state;
    windows_forget(e->windows, slot);
    if (e->memory != NULL) {
        memory_forget(e->memory, slot);
    }
    return ENGINE_OK;
}

static parcel_store store_of(const cpu *e) {
    return (parcel_store){.dim = e->dim,
                          .classes = e->classes,
                          .rank = e->rank,
                          .window_rows = e->window_rows,
                          .memory_rank = e->memory_rank,
                          .windows = e->windows,
                          .memory = e->memory,
                          .row = e->import_row};
}

static engine_status cpu_export(void *state, uint32_t slot, void *bytes, size_t capacity,
                                size_t *used) {
    parcel_store store = store_of(state);
    *used = parcel_bytes(&store, slot);
    if (capacity == 0) {
        return ENGINE_OK;
    }
    if (capacity < *used) {
        return ENGINE_BAD_ARGUMENT;
    }
    parcel_write(&store, slot, bytes);
    return ENGINE_OK;
}

static engine_status cpu_import(void *state, uint32_t slot, const void *bytes, size_t used) {
    parcel_store store = store_of(state);
    return parcel_read(&store, slot, bytes, used) ? ENGINE_OK : ENGINE_BAD_ARGUMENT;
}

static engine_status cpu_calibrate(void *state, const engine_benign *benign) {
    cpu *e = state;
    e->benign = engine_benign_of(benign);
    return ENGINE_OK;
}

static engine_facts cpu_describe(const void *state) {
    const cpu *e = state;
    return (engine_facts){
        .name = "cpu",
        .bytes_per_slot = windows_bytes_per_slot(e->windows),
        .bytes_per_block = e->memory != NULL ? memory_bytes_per_block(e->memory) : 0,
        .bytes_fixed = project_bytes(e->project),
        .blocks_held = e->memory != NULL ? blocks_held_of_all(memory_blocks(e->memory)) : 0,
        .memory_rank = e->memory_rank,
        .threads = e->threads,
        .in_flight_max = 1,
    };
}

const engine_ops engine_cpu_ops = {
    .name = "cpu",
    .open = cpu_open,
    .submit = cpu_submit,
    .collect = cpu_collect,
    .forget = cpu_forget,
    .export_slot = cpu_export,
    .import_slot = cpu_import,
    .calibrate = cpu_calibrate,
    .describe = cpu_describe,
    .close = cpu_close,
};

/*
 * stages.c - see stages.h. A step is a batch through all stages, in the engine's order; every other
 * step leaves the memories' scores out, so that what they cost is a difference.
 */
#include "stages.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "grouping.h"
#include "memory.h"
#include "pool.h"
#include "product.h"
#include "project.h"
#include "stream.h"
#include "window.h"
#include "window_parts.h"

enum { ROUNDS = 7 };

#define HALF_LIFE_ROWS 1000.0 /* as stream.c has it */

/* What is timed, by itself or together. */
typedef enum {
    TIME_PROJECT_BATCH,
    TIME_PRODUCT,
    TIME_SCORE,
    TIME_EIGEN,
    TIME_REDUCE,
    TIME_APPEND,
    TIME_ADD,
    TIME_ADD_AND_SCORE,
    TIME_ENGINE,
    TIME_ENGINE_MEMORY,
    TIMES,
} timed;

/* The batch's products alone. */
typedef struct {
    grouping grouping;
    product_task task;
    float *x;      /* [PROJECT_TILE_ROWS, stride] */
    float *panels; /* [classes, product_floats] */
    float *y;      /* [rows, rank] */
} products;

typedef struct {
    synthetic data; /* borrowed, with one group */
    const stages_plan *plan;
    size_t memory_rank;
    size_t step;
    stream plain, remembering; /* the engine itself; remembering: not open without memory */
    pool *caller;
    project *project;
    products products;
    windows *windows;
    window_scratch scratch;
    window_parts *parts;
    memory *memory; /* NULL: off */
    memory_scratch *memory_scratch;
    memory_row *remembered; /* [rows of an observation] */
    uint32_t *stale;        /* [rows] */
    unsigned char *dtype;   /* [rows] all ENGINE_F32 */
    float *alignments;      /* [rows] */
    bool failed;
    double round_s[TIMES][ROUNDS]; /* a window */
    double spent[TIMES];           /* of the round so far */
    size_t batches[TIMES];
} bench;

/* ---- opening ---- */

static bool products_open(products *p, const engine_reference *r, size_t rows) {
    product_shape shape = {r->dim, r->rank};
    size_t stride = r->dim + PROJECT_PADDING, factor = product_floats(shape);
    p->task = (product_task){.kind = product_best(), .shape = shape, .stride = stride};
    p->x = calloc(PROJECT_TILE_ROWS * stride, sizeof *p->x);
    p->panels = calloc(r->classes * factor, sizeof *p->panels);
    p->y = calloc(rows * r->rank, sizeof *p->y);
    if (!grouping_open(&p->grouping, rows, r->classes) || !p->x || !p->panels || !p->y) {
        return false;
    }
    uint64_t seed = 1;
    synthetic_gaussians(&seed, p->x, PROJECT_TILE_ROWS * stride);
    for (size_t c = 0; c < r->classes; c++) {
        product_lay_out(shape, r->factor + c * r->dim * r->rank, p->panels + c * factor);
    }
    return true;
}

static void products_close(products *p) {
    grouping_close(&p->grouping);
    free(p->y);
    free(p->panels);
    free(p->x);
}

static bool open_memory(bench *b) {
    const synthetic_shape *shape = &b->data.shape;
    const engine_reference *r = &b->data.reference;
    if (b->memory_rank == 0) {
        return true;
    }
    size_t rows = shape->accounts * shape->observation_rows;
    size_t blocks = shape->accounts * shape->classes;
    b->memory = memory_open(&(memory_options){.blocks = blocks > rows ? blocks : rows,
                                              .slots = shape->accounts,
                                              .rank = b->memory_rank,
                                              .classes = shape->classes,
                                              .half_life_rows = HALF_LIFE_ROWS,
                                              .trace = r->trace});
    b->memory_scratch = memory_scratch_open(b->memory_rank);
    b->remembered = calloc(shape->observation_rows, sizeof *b->remembered);
    b->stale = calloc(rows, sizeof *b->stale);
    return b->memory && b->memory_scratch && b->remembered && b->stale;
}

static bool open_stages(bench *b) {
    const synthetic_shape *shape = &b->data.shape;
    const engine_reference *r = &b->data.reference;
    size_t rows = shape->accounts * shape->observation_rows, w = b->plan->window_rows;
    b->caller = pool_open(1);
    b->project = project_open(r, rows, 1);
    b->windows = windows_open(shape->accounts, w, r->rank);
    b->parts = window_parts_open(&(window_parts_shape){shape->accounts, w, r->rank, r->trace});
    b->dtype = calloc(rows, sizeof *b->dtype);
    b->alignments = calloc(rows, sizeof *b->alignments);
    return window_scratch_open(&b->scratch, w, r->rank) && b->caller && b->project && b->windows &&
           b->parts && b->dtype && b->alignments && products_open(&b->products, r, rows) &&
           open_memory(b);
}

static bool open_engines(bench *b, char *error, size_t error_bytes) {
    stream_options options = {.engine = "cpu", .window_rows = b->plan->window_rows, .threads = 1};
    if (stream_open(&b->plain, &b->data, &options, error, error_bytes) != ENGINE_OK) {
        return false;
    }
    options.memory_rank = b->memory_rank;
    return b->memory_rank == 0 ||
           stream_open(&b->remembering, &b->data, &options, error, error_bytes) == ENGINE_OK;
}

static void bench_close(bench *b) {
    stream_close(&b->remembering);
    stream_close(&b->plain);
    free(b->stale);
    free(b->remembered);
    memory_scratch_close(b->memory_scratch);
    memory_close(b->memory);
    free(b->alignments);
    free(b->dtype);
    window_parts_close(b->parts);
    window_scratch_close(&b->scratch);
    windows_close(b->windows);
    products_close(&b->products);
    project_close(b->project);
    pool_close(b->caller);
}

/* ---- the stages ---- */

static engine_batch next_batch(bench *b) {
    engine_batch batch = synthetic_batch(&b->data, b->step++);
    batch.alignments = b->alignments; /* as the daemon asks for them */
    return batch;
}

static window_row row_of(const bench *b, const engine_batch *batch, size_t row) {
    return (window_row){batch->classes[row], project_s(b->project, row),
                        project_y(b->project, row)};
}

/* The window after the observation, oldest first, as engine_cpu.c gathers it. */
static size_t gather(bench *b, const engine_batch *batch, const engine_observation *o) {
    size_t w = b->plan->window_rows, stored = windows_fill(b->windows, o->slot);
    size_t older = w - o->row_count < stored ? w - o->row_count : stored;
    for (size_t i = 0; i < older; i++) {
        b->scratch.row[i] = windows_peek(b->windows, o->slot, older - 1 - i);
    }
    for (size_t i = 0; i < o->row_count; i++) {
        b->scratch.row[older + i] = row_of(b, batch, o->row_first + i);
    }
    return older + o->row_count;
}

static void score_all(bench *b, const engine_batch *batch) {
    window_reference reference = {.trace = b->data.reference.trace};
    for (size_t o = 0; o < batch->observations; o++) {
        score_total total = {0};
        size_t n = gather(b, batch, &batch->observation[o]);
        b->failed = !window_score(&b->scratch, n, &reference, &total) || b->failed;
        batch->results[o].score = total.score;
    }
}

static void append_all(bench *b, const engine_batch *batch) {
    for (size_t o = 0; o < batch->observations; o++) {
        const engine_observation *observation = &batch->observation[o];
        for (size_t i = 0; i < observation->row_count; i++) {
            windows_append(b->windows, observation->slot,
                           row_of(b, batch, observation->row_first + i));
        }
    }
}

static void look(bench *b, const engine_batch *batch) {
    size_t stale = 0;
    for (size_t o = 0; o < batch->observations; o++) {
        const engine_observation *observation = &batch->observation[o];
        for (size_t i = 0; i < observation->row_count; i++) {
            uint32_t class_index = batch->classes[observation->row_first + i];
            uint32_t block = memory_reserve(b->memory, observation->slot, class_index);
            if (memory_claim(b->memory, block)) {
                b->stale[stale++] = block;
            }
        }
    }
    for (size_t i = 0; i < stale; i += MEMORY_LOOK_MAX) {
        size_t some = stale - i < MEMORY_LOOK_MAX ? stale - i : MEMORY_LOOK_MAX;
        b->failed = !memory_look(b->memory, b->stale + i, some, b->memory_scratch) || b->failed;
    }
}

static void score_memories(bench *b, const engine_batch *batch) {
    look(b, batch);
    for (size_t o = 0; o < batch->observations; o++) {
        score_total total = {0};
        uint32_t slot = batch->observation[o].slot;
        b->failed = !memory_score(b->memory, slot, b->memory_scratch, &total) || b->failed;
        batch->results[o].memory_score = total.score;
    }
}

static void remember_all(bench *b, const engine_batch *batch, bool score) {
    for (size_t o = 0; o < batch->observations; o++) {
        const engine_observation *observation = &batch->observation[o];
        for (size_t i = 0; i < observation->row_count; i++) {
            window_row row = row_of(b, batch, observation->row_first + i);
            uint32_t block = memory_reserve(b->memory, observation->slot, row.class_index);
            b->remembered[i] = (memory_row){block, row.s, row.y};
        }
        memory_add(b->memory, observation->slot, b->remembered, observation->row_count);
    }
    if (score) {
        score_memories(b, batch);
    }
}

/* Tiles as project.c cuts them, each of rows that lie in cache as its centred ones do. */
static void multiply_all(bench *b) {
    products *p = &b->products;
    size_t rank = p->task.shape.rank, factor = product_floats(p->task.shape);
    for (size_t k = 0; k < p->grouping.groups; k++) {
        const class_group *g = &p->grouping.group[k];
        for (size_t done = 0; done < g->count; done += PROJECT_TILE_ROWS) {
            product_task task = p->task;
            task.rows = g->count - done < PROJECT_TILE_ROWS ? g->count - done : PROJECT_TILE_ROWS;
            task.x = p->x;
            task.panels = p->panels + g->class_index * factor;
            task.y = p->y + (g->first + done) * rank;
            product_run(&task);
        }
    }
}

/* ---- timing ---- */

static void add_time(bench *b, timed what, double seconds) {
    b->spent[what] += seconds;
    b->batches[what]++;
}

/* Ends a stretch that is timed; the next begins where it ended. */
static void lap(bench *b, timed what, double *since) {
    double now = bench_now();
    add_time(b, what, now - *since);
    *since = now;
}

static void run_step(bench *b) {
    engine_batch batch = next_batch(b);
    bool score = b->step % 2 == 0;
    grouping_sort(&b->products.grouping, batch.classes, batch.rows);
    double since = bench_now();
    project_batch(b->project, b->caller, &batch, b->dtype);
    lap(b, TIME_PROJECT_BATCH, &since);
    score_all(b, &batch);
    lap(b, TIME_SCORE, &since);
    append_all(b, &batch);
    lap(b, TIME_APPEND, &since);
    if (b->memory != NULL) {
        remember_all(b, &batch, score);
        lap(b, score ? TIME_ADD_AND_SCORE : TIME_ADD, &since);
    }
    multiply_all(b);
    lap(b, TIME_PRODUCT, &since);
    if (b->memory != NULL && !score) {
        score_memories(b, &batch); /* or it would be done in the next step's time */
    }
}

static void run_engine(bench *b, stream *s, timed what) {
    engine_batch batch = synthetic_batch(&b->data, s->next);
    batch.alignments = b->alignments;
    stream_skip(s);
    double start = bench_now();
    bool submitted = engine_submit(s->engine, &batch) == ENGINE_OK;
    b->failed = !submitted || engine_collect(s->engine) != ENGINE_OK || b->failed;
    add_time(b, what, bench_now() - start);
}

static void run_parts(bench *b) {
    double windows = (double)b->data.shape.accounts;
    add_time(b, TIME_EIGEN, windows * window_parts_eigen(b->parts));
    add_time(b, TIME_REDUCE, windows * window_parts_reduce(b->parts));
}

/* Everything in turn, an even number of steps. */
static void run_round(bench *b, size_t round, double seconds) {
    for (timed what = 0; what < TIMES; what++) {
        b->spent[what] = 0.0;
        b->batches[what] = 0;
    }
    double start = bench_now();
    do {
        for (size_t i = 0; i < 2; i++) {
            run_step(b);
            run_engine(b, &b->plain, TIME_ENGINE);
            if (b->memory != NULL) {
                run_engine(b, &b->remembering, TIME_ENGINE_MEMORY);
            }
            run_parts(b);
        }
    } while (bench_now() - start < seconds);
    for (timed what = 0; what < TIMES; what++) {
        size_t batches = b->batches[what] > 0 ? b->batches[what] : 1;
        b->round_s[what][round] = b->spent[what] / (double)(batches * b->data.shape.accounts);
    }
}

/* Fills windows and memories: once round the ring; then the windows of one batch are taken apart.
 */
static void warm_up(bench *b) {
    for (size_t i = 0; i < b->data.shape.batches; i++) {
        engine_batch batch = next_batch(b);
        project_batch(b->project, b->caller, &batch, b->dtype);
        for (size_t o = 0; i + 1 == b->data.shape.batches && o < batch.observations; o++) {
            size_t n = gather(b, &batch, &batch.observation[o]);
            b->failed = !window_parts_put(b->parts, b->scratch.row, n) || b->failed;
        }
        append_all(b, &batch);
        if (b->memory != NULL) {
            remember_all(b, &batch, i + 1 == b->data.shape.batches);
            stream_push(&b->remembering);
        }
    }
    if (b->memory != NULL) {
        stream_drain(&b->remembering);
    }
}

static void summarise(bench *b, stages_result *out) {
    double s[TIMES];
    for (timed what = 0; what < TIMES; what++) {
        s[what] = bench_median(b->round_s[what], ROUNDS);
    }
    out->stage[STAGES_CONVERT] = s[TIME_PROJECT_BATCH] - s[TIME_PRODUCT];
    out->stage[STAGES_PROJECT] = s[TIME_PRODUCT];
    out->stage[STAGES_APPEND] = s[TIME_APPEND];
    out->stage[STAGES_GRAM] = s[TIME_SCORE] - s[TIME_EIGEN] - s[TIME_REDUCE];
    out->stage[STAGES_EIGEN] = s[TIME_EIGEN];
    out->stage[STAGES_REDUCE] = s[TIME_REDUCE];
    out->stage[STAGES_ROTATE] = s[TIME_ADD];
    out->stage[STAGES_MEMORY_SCORE] = s[TIME_ADD_AND_SCORE] - s[TIME_ADD];
    out->engine = s[TIME_ENGINE];
    out->engine_memory = s[TIME_ENGINE_MEMORY];
    out->memory_rank = b->memory_rank;
    out->measured = true;
}

/* Two engines, and two copies of the factors beside: each lays them out. */
static bool memory_enough(const bench *b) {
    const engine_reference *r = &b->data.reference;
    double factors = 4.0 * (double)(r->classes * r->dim) * (double)r->rank * sizeof(float);
    return factors < 0.8 * (double)bench_memory_available();
}

bool stages_measure(stages_result *out, const synthetic *data, const stages_plan *plan, char *error,
                    size_t error_bytes) {
    bench b = {.data = *data, .plan = plan};
    b.data.groups = 1;
    b.memory_rank =
        plan->memory_rank < data->reference.rank ? plan->memory_rank : data->reference.rank;
    *out = (stages_result){0};
    snprintf(error, error_bytes, "not enough memory for the stages apart");
    bool opened = memory_enough(&b) && open_stages(&b) && open_engines(&b, error, error_bytes);
    if (opened) {
        warm_up(&b);
    }
    for (size_t round = 0; opened && round < ROUNDS; round++) {
        run_round(&b, round, plan->seconds / ROUNDS);
    }
    if (opened && b.failed) {
        snprintf(error, error_bytes, "a stage by itself failed");
    } else if (opened) {
        summarise(&b, out);
    }
    bench_close(&b);
    return out->measured;
}

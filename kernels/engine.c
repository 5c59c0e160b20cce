/*
 * engine.c - chooses an engine, checks every argument once, so that the engines need not, and
 * replaces one that has lost its device by the CPU's.
 */
#include "engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_ops.h"

enum { FLIGHTS_MAX = 4, NOTE_BYTES = 320 };

static const engine_ops *const table[] = {
#ifdef ADDER_CUDA
    &engine_cuda_ops, /* first: what auto would rather have */
#endif
    &engine_cpu_ops,
};
enum { ENGINES = sizeof table / sizeof *table };

/* A batch between submit and collect. */
typedef struct {
    const engine_batch *batch;
    bool done; /* worked off by the engine that took over */
    engine_status status;
} flight;

struct engine {
    const engine_ops *ops;
    void *state; /* NULL: lost, and nothing could take over */
    engine_reference reference;
    engine_options options;
    flight flight[FLIGHTS_MAX]; /* the oldest first */
    size_t flights;
    bool degraded;
    char note[NOTE_BYTES];
};

/* The first that answers, or the one of that name, which must. */
static const engine_ops *choose(const char *name, char *note, char *error, size_t error_bytes) {
    bool any = strcmp(name, "auto") == 0;
    char why[NOTE_BYTES / 2] = "";
    note[0] = '\0';
    for (size_t i = 0; i < ENGINES; i++) {
        if (!any && strcmp(name, table[i]->name) != 0) {
            continue;
        }
        if (table[i]->answers == NULL || table[i]->answers(why, sizeof why)) {
            return table[i];
        }
        snprintf(note, NOTE_BYTES, "no %s device answers: %s", table[i]->name, why);
        if (!any) {
            snprintf(error, error_bytes, "%s", note);
            return NULL;
        }
    }
    snprintf(error, error_bytes, "engine must be auto, cpu%s, not '%.32s'",
             ENGINES > 1 ? " or cuda" : " (cuda is not in this build)", name);
    return NULL;
}

/* Writes the first thing wrong with a number; true when nothing is. */
static bool in_range(const char *what, size_t value, size_t least, size_t most, char *error,
                     size_t error_bytes) {
    if (value >= least && value <= most) {
        return true;
    }
    snprintf(error, error_bytes, "%s must be %zu to %zu, not %zu", what, least, most, value);
    return false;
}

static bool shape_valid(const engine_reference *r, const engine_options *o, char *error,
                        size_t error_bytes) {
    return in_range("dim", r->dim, 1, ENGINE_DIM_MAX, error, error_bytes) &&
           in_range("classes", r->classes, 1, ENGINE_CLASSES_MAX, error, error_bytes) &&
           in_range("rank", r->rank, 1, r->dim, error, error_bytes) &&
           in_range("window", o->window_rows, 1, ENGINE_WINDOW_MAX, error, error_bytes) &&
           in_range("memory rank", o->memory_rank, 0, ENGINE_MEMORY_RANK_MAX, error, error_bytes) &&
           in_range("slots", o->slots_max, 1, ENGINE_SLOTS_MAX, error, error_bytes) &&
           in_range("batch rows", o->batch_rows_max, 1, ENGINE_BATCH_ROWS_MAX, error,
                    error_bytes) &&
           in_range("threads", o->threads, 0, ENGINE_THREADS_MAX, error, error_bytes) &&
           (o->memory_rank == 0 || in_range("memory blocks", o->memory_blocks, o->batch_rows_max,
                                            UINT32_MAX - 1, error, error_bytes));
}

static bool all_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static bool reference_valid(const engine_reference *r, char *error, size_t error_bytes) {
    bool finite = all_finite(r->mean, r->classes * r->dim) &&
                  all_finite(r->factor, r->classes * r->dim * r->rank);
    for (size_t c = 0; c < r->classes; c++) {
        finite = finite && isfinite(r->trace[c]) && r->trace[c] >= 0.0;
    }
    if (!finite) {
        snprintf(error, error_bytes, "the reference holds a value that is not finite");
    }
    return finite;
}

/* b_c and v_c are divided by and subtracted at every row: nothing is checked there any more. */
static bool table_valid(const char *whose, const engine_benign *b, size_t classes, char *error,
                        size_t error_bytes) {
    if (b == NULL) {
        return true;
    }
    if (b->rungs < 1 || b->rungs > ENGINE_RUNGS_MAX) {
        snprintf(error, error_bytes, "the %s benign table must have 1 to %d rungs, not %zu", whose,
                 ENGINE_RUNGS_MAX, b->rungs);
        return false;
    }
    for (size_t i = 0; i < b->rungs; i++) {
        if (!isfinite(b->rung[i]) || b->rung[i] <= (i == 0 ? 0.0 : b->rung[i - 1])) {
            snprintf(error, error_bytes,
                     "the %s benign table's rungs must rise from above 0; rung %zu is %g", whose, i,
                     b->rung[i]);
            return false;
        }
    }
    for (size_t i = 0; i < classes * b->rungs; i++) {
        if (!isfinite(b->mean[i]) || !isfinite(b->deviation[i]) || b->deviation[i] <= 0.0) {
            snprintf(error, error_bytes,
                     "the %s benign table of class %zu must have a finite mean and a deviation "
                     "above 0 at rung %zu, not %g and %g",
                     whose, i / b->rungs, i % b->rungs, b->mean[i], b->deviation[i]);
            return false;
        }
    }
    return true;
}

engine_status engine_open(engine **out, const engine_reference *reference,
                          const engine_options *options, char *error, size_t error_bytes) {
    *out = NULL;
    if (!shape_valid(reference, options, error, error_bytes)) {
        return ENGINE_BAD_ARGUMENT;
    }
    if (!isfinite(options->half_life_rows) || options->half_life_rows < 0.0) {
        snprintf(error, error_bytes, "half-life must be a number of rows, 0 or more");
        return ENGINE_BAD_ARGUMENT;
    }
    if (!reference_valid(reference, error, error_bytes) ||
        !table_valid("window's", reference->benign, reference->classes, error, error_bytes) ||
        !table_valid("memory's", reference->memory_benign, reference->classes, error,
                     error_bytes)) {
        return ENGINE_BAD_ARGUMENT;
    }
    engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return ENGINE_NO_MEMORY;
    }
    e->reference = *reference;
    e->options = *options;
    e->options.name = NULL; /* the caller's, not kept */
    e->ops = choose(options->name, e->note, error, error_bytes);
    engine_status status = e->ops == NULL
                               ? ENGINE_BAD_ARGUMENT
                               : e->ops->open(&e->state, reference, options, error, error_bytes);
    if (status != ENGINE_OK) {
        free(e);
        return status;
    }
    *out = e;
    return ENGINE_OK;
}

void engine_close(engine *e) {
    if (e == NULL) {
        return;
    }
    if (e->state != NULL) {
        e->ops->close(e->state);
    }
    free(e);
}

/* ---- when a device is lost ---- */

/* Without an engine the answer is the failure. */
static void work_off(const engine *e, flight *f) {
    f->done = true;
    f->status = e->state == NULL ? ENGINE_INTERNAL : e->ops->submit(e->state, f->batch);
    if (f->status == ENGINE_OK) {
        f->status = e->ops->collect(e->state);
    }
}

/* In the engine that took over: each batch with empty slots, whoever had them before. */
static void work_off_all(engine *e) {
    for (size_t i = 0; i < e->flights; i++) {
        const engine_batch *batch = e->flight[i].batch;
        for (size_t o = 0; e->state != NULL && o < batch->observations; o++) {
            e->ops->forget(e->state, batch->observation[o].slot);
        }
        work_off(e, &e->flight[i]);
    }
}

/* The CPU engine takes over with empty windows, if the device is what made the call fail. */
static bool took_over(engine *e, engine_status status) {
    if (status == ENGINE_OK || e->ops->lost == NULL) {
        return false;
    }
    const char *why = e->ops->lost(e->state);
    if (why == NULL) {
        return false;
    }
    char error[NOTE_BYTES / 2];
    snprintf(e->note, sizeof e->note, "%s lost: %s", e->ops->name, why);
    e->ops->close(e->state);
    e->state = NULL;
    e->ops = &engine_cpu_ops;
    e->degraded = true;
    bool opened =
        e->ops->open(&e->state, &e->reference, &e->options, error, sizeof error) == ENGINE_OK;
    size_t used = strlen(e->note);
    snprintf(e->note + used, sizeof e->note - used, "; %s%s",
             opened ? "the cpu engine goes on with empty windows" : "cpu: ", opened ? "" : error);
    if (!opened) {
        e->state = NULL;
    }
    work_off_all(e);
    return true;
}

static bool batch_valid(const engine *e, const engine_batch *batch) {
    if (batch->rows > e->options.batch_rows_max || batch->observations > batch->rows) {
        return false;
    }
    if (batch->sides_only && !isfinite(batch->threshold)) {
        return false;
    }
    size_t next = 0;
    for (size_t i = 0; i < batch->observations; i++) {
        const engine_observation *o = &batch->observation[i];
        if (o->row_first != next || o->row_count == 0 || o->row_count > e->options.window_rows ||
            o->slot >= e->options.slots_max || (unsigned)o->dtype > ENGINE_BF16) {
            return false;
        }
        next += o->row_count;
    }
    for (size_t i = 0; i < batch->rows; i++) {
        if (batch->classes[i] >= e->reference.classes) {
            return false;
        }
    }
    return next == batch->rows;
}

engine_status engine_submit(engine *e, const engine_batch *batch) {
    if (!batch_valid(e, batch)) {
        return ENGINE_BAD_ARGUMENT;
    }
    if (e->state == NULL) {
        return ENGINE_INTERNAL;
    }
    if (e->flights == FLIGHTS_MAX) {
        return ENGINE_BUSY;
    }
    engine_status status = e->degraded ? ENGINE_OK : e->ops->submit(e->state, batch);
    if (status == ENGINE_BUSY) {
        return status;
    }
    e->flight[e->flights++] = (flight){.batch = batch};
    if (status != ENGINE_OK && !took_over(e, status)) {
        e->flights--; /* refused */
        return status;
    }
    flight *newest = &e->flight[e->flights - 1];
    if (e->degraded && !newest->done) {
        work_off(e, newest); /* the CPU engine has room for one, and older ones may be here still */
    }
    return ENGINE_OK;
}

engine_status engine_collect(engine *e) {
    if (e->flights == 0) {
        return ENGINE_EMPTY;
    }
    flight *oldest = &e->flight[0];
    if (!oldest->done) {
        engine_status status = e->ops->collect(e->state);
        if (!took_over(e, status)) {
            oldest->status = status;
        }
    }
    engine_status status = oldest->status;
    memmove(oldest, oldest + 1, --e->flights * sizeof *oldest);
    return status;
}

engine_status engine_forget(engine *e, uint32_t slot) {
    if (slot >= e->options.slots_max) {
        return ENGINE_BAD_ARGUMENT;
    }
    return e->state == NULL ? ENGINE_INTERNAL : e->ops->forget(e->state, slot);
}

engine_status engine_export(engine *e, uint32_t slot, void *bytes, size_t capacity, size_t *used) {
    if (slot >= e->options.slots_max) {
        return ENGINE_BAD_ARGUMENT;
    }
    if (e->state == NULL) {
        return ENGINE_INTERNAL;
    }
    engine_status status = e->ops->export_slot(e->state, slot, bytes, capacity, used);
    return took_over(e, status) ? ENGINE_INTERNAL : status;
}

engine_status engine_import(engine *e, uint32_t slot, const void *bytes, size_t used) {
    if (slot >= e->options.slots_max) {
        return ENGINE_BAD_ARGUMENT;
    }
    if (e->state == NULL) {
        return ENGINE_INTERNAL;
    }
    engine_status status = e->ops->import_slot(e->state, slot, bytes, used);
    return took_over(e, status) ? ENGINE_INTERNAL : status;
}

engine_status engine_calibrate(engine *e, const engine_benign *benign) {
    char error[NOTE_BYTES];
    if (!table_valid("window's", benign, e->reference.classes, error, sizeof error)) {
        return ENGINE_BAD_ARGUMENT;
    }
    if (e->state == NULL) {
        return ENGINE_INTERNAL;
    }
    engine_status status = e->ops->calibrate(e->state, benign);
    if (status == ENGINE_BAD_ARGUMENT) {
        return status;
    }
    e->reference.benign = benign; /* for an engine that takes over */
    return took_over(e, status) ? ENGINE_OK : status;
}

engine_facts engine_describe(const engine *e) {
    engine_facts facts = {.name = e->ops->name};
    if (e->state != NULL) {
        facts = e->ops->describe(e->state);
    }
    facts.degraded = e->degraded;
    facts.note = e->note;
    return facts;
}

const char *engine_status_text(engine_status status) {
    static const char *const text[] = {
        [ENGINE_OK] = "ok",
        [ENGINE_BAD_ARGUMENT] = "bad argument",
        [ENGINE_NO_MEMORY] = "out of memory",
        [ENGINE_BUSY] = "busy",
        [ENGINE_EMPTY] = "nothing in flight",
        [ENGINE_INTERNAL] = "internal error",
    };
    return text[status];
}

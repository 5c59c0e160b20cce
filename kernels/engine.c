/*
 * engine.c - chooses an engine and checks every argument once, so that the engines need not.
 */
#include "engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_ops.h"

static const engine_ops *const table[] = {
    &engine_cpu_ops,
};

struct engine {
    const engine_ops *ops;
    void *state;
    size_t classes;
    size_t window_rows;
    size_t slots_max;
    size_t batch_rows_max;
};

static const engine_ops *choose(const char *name) {
    size_t count = sizeof table / sizeof *table;
    if (strcmp(name, "auto") == 0) {
        return &engine_cpu_ops;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, table[i]->name) == 0) {
            return table[i];
        }
    }
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
    if (!reference_valid(reference, error, error_bytes)) {
        return ENGINE_BAD_ARGUMENT;
    }
    const engine_ops *ops = choose(options->name);
    if (ops == NULL) {
        snprintf(error, error_bytes,
                 "engine must be auto or cpu (cuda is not in this build), not '%.32s'",
                 options->name);
        return ENGINE_BAD_ARGUMENT;
    }
    engine *e = calloc(1, sizeof *e);
    if (e == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return ENGINE_NO_MEMORY;
    }
    *e = (engine){.ops = ops,
                  .classes = reference->classes,
                  .window_rows = options->window_rows,
                  .slots_max = options->slots_max,
                  .batch_rows_max = options->batch_rows_max};
    engine_status status = ops->open(&e->state, reference, options, error, error_bytes);
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
    e->ops->close(e->state);
    free(e);
}

static bool batch_valid(const engine *e, const engine_batch *batch) {
    if (batch->rows > e->batch_rows_max || batch->observations > batch->rows) {
        return false;
    }
    size_t next = 0;
    for (size_t i = 0; i < batch->observations; i++) {
        const engine_observation *o = &batch->observation[i];
        if (o->row_first != next || o->row_count == 0 || o->row_count > e->window_rows ||
            o->slot >= e->slots_max || (unsigned)o->dtype > ENGINE_BF16) {
            return false;
        }
        next += o->row_count;
    }
    for (size_t i = 0; i < batch->rows; i++) {
        if (batch->classes[i] >= e->classes) {
            return false;
        }
    }
    return next == batch->rows;
}

engine_status engine_submit(engine *e, const engine_batch *batch) {
    if (!batch_valid(e, batch)) {
        return ENGINE_BAD_ARGUMENT;
    }
    return e->ops->submit(e->state, batch);
}

engine_status engine_collect(engine *e) {
    return e->ops->collect(e->state);
}

engine_status engine_forget(engine *e, uint32_t slot) {
    return slot < e->slots_max ? e->ops->forget(e->state, slot) : ENGINE_BAD_ARGUMENT;
}

engine_status engine_export(engine *e, uint32_t slot, void *bytes, size_t capacity, size_t *used) {
    if (slot >= e->slots_max) {
        return ENGINE_BAD_ARGUMENT;
    }
    return e->ops->export_slot(e->state, slot, bytes, capacity, used);
}

engine_status engine_import(engine *e, uint32_t slot, const void *bytes, size_t used) {
    if (slot >= e->slots_max) {
        return ENGINE_BAD_ARGUMENT;
    }
    return e->ops->import_slot(e->state, slot, bytes, used);
}

engine_facts engine_describe(const engine *e) {
    return e->ops->describe(e->state);
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

/*
 * scorer.c - see scorer.h. A slot is forgotten before it holds the next window.
 */
#include "scorer.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

enum { BATCH_ROWS = 8192 };

struct scorer {
    engine *engine;
    size_t rows_max;
    const unsigned char **embedding; /* [rows_max] */
    uint32_t *class_index;           /* [rows_max] */
    engine_observation *observation; /* [rows_max] */
};

scorer *scorer_open(const reference *reference, size_t window_rows, char *error,
                    size_t error_bytes) {
    scorer *s = calloc(1, sizeof *s);
    if (s == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    s->rows_max = BATCH_ROWS > window_rows ? BATCH_ROWS : window_rows;
    s->embedding = calloc(s->rows_max, sizeof *s->embedding);
    s->class_index = calloc(s->rows_max, sizeof *s->class_index);
    s->observation = calloc(s->rows_max, sizeof *s->observation);
    if (!s->embedding || !s->class_index || !s->observation) {
        snprintf(error, error_bytes, "out of memory");
        scorer_close(s);
        return NULL;
    }
    if (engine_open(&s->engine, &reference->statistics,
                    &(engine_options){.name = "auto",
                                      .window_rows = window_rows,
                                      .slots_max = s->rows_max,
                                      .batch_rows_max = s->rows_max},
                    error, error_bytes) != ENGINE_OK) {
        scorer_close(s);
        return NULL;
    }
    return s;
}

void scorer_close(scorer *s) {
    if (s != NULL) {
        engine_close(s->engine);
        free(s->observation);
        free(s->class_index);
        free(s->embedding);
        free(s);
    }
}

/* As many windows from `done` on as a batch holds; returns how many. */
static size_t put_windows(scorer *s, const scorer_windows *w, size_t done) {
    size_t rows = 0;
    size_t count = 0;
    for (; done + count < w->windows; count++) {
        size_t first = w->first[done + count];
        size_t n = w->first[done + count + 1] - first;
        if (n > s->rows_max - rows) {
            break;
        }
        for (size_t i = 0; i < n; i++) {
            uint32_t row = w->row[first + i];
            s->embedding[rows + i] = (const unsigned char *)dataset_row(w->data, row);
            s->class_index[rows + i] = w->data->classes[row];
        }
        s->observation[count] =
            (engine_observation){(uint32_t)count, (uint32_t)rows, (uint32_t)n, ENGINE_F32};
        rows += n;
    }
    return count;
}

static bool run_some(scorer *s, size_t windows, engine_result *results, float *alignments) {
    const engine_observation *last = &s->observation[windows - 1];
    engine_batch batch = {.rows = last->row_first + last->row_count,
                          .embeddings = s->embedding,
                          .classes = s->class_index,
                          .observations = windows,
                          .observation = s->observation,
                          .results = results,
                          .alignments = alignments};
    for (size_t k = 0; k < windows; k++) {
        if (engine_forget(s->engine, (uint32_t)k) != ENGINE_OK) {
            return false;
        }
    }
    return engine_submit(s->engine, &batch) == ENGINE_OK && engine_collect(s->engine) == ENGINE_OK;
}

bool scorer_run(scorer *s, const scorer_windows *w, engine_result *results, float *alignments) {
    for (size_t done = 0; done < w->windows;) {
        size_t count = put_windows(s, w, done);
        float *here = alignments == NULL ? NULL : alignments + w->first[done];
        if (!run_some(s, count, results + done, here)) {
            return false;
        }
        done += count;
        if (w->label != NULL) {
            cli_progress(w->label, done, w->windows);
        }
    }
    return true;
}

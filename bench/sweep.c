/*
 * sweep.c - see sweep.h.
 */
#include "sweep.h"

#include <assert.h>
#include <stdio.h>

#include "bench.h"

enum { ROUNDS = 7 };

typedef struct {
    synthetic data[SWEEP_MAX]; /* the same one, with as many groups as the row asks for */
    stream stream[SWEEP_MAX];
    double batch_s[SWEEP_MAX][ROUNDS];
} sweeping;

/* Windows alone; what an engine takes beside is small against it. */
static double state_bytes(const synthetic *data, size_t accounts, size_t window_rows) {
    return (double)accounts * (double)window_rows *
           (double)(sizeof(uint32_t) + (data->shape.rank + 1) * sizeof(float));
}

static bool open_all(sweeping *s, sweep_row *rows, size_t count, const synthetic *data,
                     const stream_options *options, char *error, size_t error_bytes) {
    for (size_t i = 0; i < count; i++) {
        size_t each = data->shape.accounts;
        s->data[i] = *data;
        s->data[i].groups = (rows[i].accounts - 1) / each + 1;
        rows[i].accounts = s->data[i].groups * each;
        assert(s->data[i].groups <= data->shape.groups_max);
        rows[i].skipped = state_bytes(data, rows[i].accounts, options->window_rows) >
                          0.8 * (double)bench_memory_available();
        if (!rows[i].skipped &&
            stream_open(&s->stream[i], &s->data[i], options, error, error_bytes) != ENGINE_OK) {
            return false;
        }
    }
    return true;
}

static bool measure(sweeping *s, const sweep_row *rows, size_t count, double seconds) {
    bool good = true;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            if (!rows[i].skipped) {
                s->batch_s[i][round] = stream_time(&s->stream[i], seconds / ROUNDS);
                good = good && s->stream[i].status == ENGINE_OK;
            }
        }
    }
    return good;
}

bool sweep_measure(sweep_row *rows, size_t count, const synthetic *data,
                   const stream_options *options, double seconds, char *error, size_t error_bytes) {
    sweeping s = {0};
    double batch_rows = (double)(data->shape.accounts * data->shape.observation_rows);
    stream_options plain = *options;
    plain.memory_rank = 0;
    assert(count <= SWEEP_MAX);
    snprintf(error, error_bytes, "out of memory");
    bool measured = open_all(&s, rows, count, data, &plain, error, error_bytes);
    if (measured && !measure(&s, rows, count, seconds)) {
        snprintf(error, error_bytes, "the engine failed");
        measured = false;
    }
    for (size_t i = 0; i < count; i++) {
        if (measured && !rows[i].skipped) {
            rows[i].rows_per_s = batch_rows / bench_median(s.batch_s[i], ROUNDS);
        }
        stream_close(&s.stream[i]);
    }
    return measured;
}

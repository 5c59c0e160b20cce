/*
 * engine_measure.h - one configuration of `adder-bench engine`, measured in rounds.
 *
 * A round measures everything once, one after another, and the figures are medians over the rounds:
 * what slows the machine for a while slows both sides of a ratio. Windows are full before anything
 * is timed.
 */
#ifndef ADDER_BENCH_ENGINE_MEASURE_H
#define ADDER_BENCH_ENGINE_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

#include "sgemm.h"
#include "ssyevd.h"
#include "stream.h"
#include "synthetic.h"

enum { MEASURE_ROUNDS = 7, MEASURE_NAME_BYTES = 16, MEASURE_ERROR_BYTES = 512 };

typedef struct {
    stream_options stream; /* its memory_rank is of the second engine; 0: there is none */
    double seconds;        /* for all rounds together, about */
    size_t requests_min;   /* of a round */
    size_t copy_bytes;     /* of the device's copy, if there is a device */
    bool yardsticks_only;  /* of the device; no engine is opened */
} measure_plan;

typedef struct {
    char engine[MEASURE_NAME_BYTES]; /* the one that was chosen */
    size_t threads;
    size_t memory_rank;       /* q in force; 0 without memory */
    double rows_per_s;        /* without memory; an observation every observation_rows */
    double memory_rows_per_s; /* with it; 0 when there is none */
    double request_p50_us;    /* one observation in a batch by itself, without memory */
    double request_p99_us;
    size_t requests;
    /* Only of an engine that works on this processor; 0 otherwise. */
    double sgemm_flops_per_s;
    sgemm_way sgemm_way; /* the fastest one, which the rate is of */
    double project_flops_per_s;
    double ssyevd_per_s[SSYEVD_WAYS];
    /* Only of one on a device: its yardsticks, and rows over what it spent computing. */
    double upload_bytes_per_s;
    double copy_bytes_per_s;
    double product_flops_per_s;
    double compute_rows_per_s;
    /* Of a run that failed: one line, and what the engine or the device answered. */
    char error[MEASURE_ERROR_BYTES];
    engine_status status;
} measure_result;

/* False: result->error says why; ENGINE_NO_MEMORY is of this configuration only. */
bool measure_run(const synthetic *data, const measure_plan *plan, measure_result *result);

#endif

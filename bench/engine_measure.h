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
#include "synthetic.h"

enum { MEASURE_ROUNDS = 7, MEASURE_NAME_BYTES = 16, MEASURE_ERROR_BYTES = 512 };

typedef struct {
    const char *engine;
    size_t window_rows;
    size_t memory_rank; /* of the second engine; 0: there is none */
    size_t threads;     /* as in engine_options */
    double seconds;     /* for all rounds together, about */
} measure_plan;

typedef struct {
    char engine[MEASURE_NAME_BYTES]; /* the one that was chosen */
    size_t threads;
    double rows_per_s;        /* without memory; an observation every observation_rows */
    double memory_rows_per_s; /* with it; 0 when there is none */
    double request_p50_us;    /* one observation in a batch by itself, without memory */
    double request_p99_us;
    size_t requests;
    /* Only of an engine that works on this processor; 0 otherwise. */
    double sgemm_flops_per_s;
    sgemm_way sgemm_way; /* the fastest one, which the rate is of */
    double project_flops_per_s;
    /* Of a run that failed: one line, and whether the engine refused what it was asked to be. */
    char error[MEASURE_ERROR_BYTES];
    bool refused;
} measure_result;

/* Batches of the ring: so many that no row is twice in a window, and a memory has its rank. */
size_t measure_batches(size_t window_rows, size_t observation_rows);

/* Uses the first measure_batches() batches of data. False: result->error says why. */
bool measure_run(const synthetic *data, const measure_plan *plan, measure_result *result);

#endif

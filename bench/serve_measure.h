/*
 * serve_measure.h - one number of rows a request of `adder-bench serve`, measured in rounds.
 *
 * A round measures everything once, one after another, and ratios are medians of those within a
 * round: what slows the machine for a while slows both sides.
 */
#ifndef ADDER_BENCH_SERVE_MEASURE_H
#define ADDER_BENCH_SERVE_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

#include "house.h"
#include "load.h"
#include "stream.h"

enum { SERVE_ROUNDS = 5 };

typedef struct {
    const load_rows *rows;
    const char *adder_url, *echo_url;
    house *echo;
    size_t window_rows;
    stream *engine; /* the engine alone, on batches of all callers' rows */
    size_t callers;
    double requests_per_s; /* of the open loop; 0: half of the peak */
    double seconds;        /* for everything together, about */
} serve_plan;

/* Percentiles, in microseconds, and rates: medians over the rounds. */
typedef struct {
    double p50_us, p90_us, p99_us, p999_us;
    double requests_per_s;
} serve_figures;

typedef struct {
    size_t request_rows, reply_bytes;
    serve_figures echo_one, adder_one;   /* one caller */
    serve_figures echo_many, adder_many; /* all of them */
    double engine_rows_per_s;
    double p50_over_echo;    /* of one caller */
    double rows_over_lesser; /* Adder's rows a second over the lesser of echo's and engine's */
    double rows_over_turns;  /* over what both could do in turns on the cores that they share */
    size_t overloaded;
    double open_requests_per_s; /* asked for, and ... */
    load_result open;           /* ... what came of it */
} serve_result;

/* False: one line in error. */
bool serve_measure(const serve_plan *plan, serve_result *result, char *error, size_t error_bytes);

#endif

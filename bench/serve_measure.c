/*
 * serve_measure.c - see serve_measure.h.
 */
#include "serve_measure.h"

#include "bench.h"

/* How the time is shared out: five things in every round, then the open loop. */
#define PART (0.7 / (5 * SERVE_ROUNDS))
#define OPEN_PART 0.3
#define OPEN_LOAD 0.5

enum { ECHO_ONE, ADDER_ONE, ECHO_MANY, ADDER_MANY, LOADS };
enum { PERCENTILES = 4 };
static const double percentile[PERCENTILES] = {50.0, 90.0, 99.0, 99.9};

typedef struct {
    const serve_plan *plan;
    serve_result *result;
    double us[LOADS][PERCENTILES][SERVE_ROUNDS];
    double requests_per_s[LOADS][SERVE_ROUNDS];
    double engine_rows_per_s[SERVE_ROUNDS];
    double p50_over_echo[SERVE_ROUNDS];
    double rows_over_lesser[SERVE_ROUNDS];
    double rows_over_turns[SERVE_ROUNDS];
} rounds;

static bool run_load(const rounds *r, bool echo, size_t callers, double seconds,
                     load_result *result, char *error, size_t error_bytes) {
    const serve_plan *p = r->plan;
    load_options options = {.url = echo ? p->echo_url : p->adder_url,
                            .rows = p->rows,
                            .callers = callers,
                            .seconds = seconds,
                            .echo = echo};
    return load_run(&options, result, error, error_bytes);
}

static bool time_load(rounds *r, size_t which, size_t round, char *error, size_t error_bytes) {
    bool echo = which == ECHO_ONE || which == ECHO_MANY;
    bool one = which == ECHO_ONE || which == ADDER_ONE;
    load_result result;
    if (!run_load(r, echo, one ? 1 : r->plan->callers, PART * r->plan->seconds, &result, error,
                  error_bytes)) {
        return false;
    }
    for (size_t i = 0; i < PERCENTILES; i++) {
        r->us[which][i][round] = 1e6 * histogram_percentile(&result.latency, percentile[i]);
    }
    r->requests_per_s[which][round] = (double)result.answered / result.seconds;
    r->result->overloaded += result.overloaded;
    return true;
}

static bool time_round(rounds *r, size_t round, char *error, size_t error_bytes) {
    for (size_t which = 0; which < LOADS; which++) {
        if (!time_load(r, which, round, error, error_bytes)) {
            return false;
        }
    }
    const synthetic *data = r->plan->engine->data;
    double batch_rows = (double)(data->shape.accounts * data->shape.observation_rows);
    r->engine_rows_per_s[round] =
        batch_rows / stream_time(r->plan->engine, PART * r->plan->seconds);
    double rows = (double)r->plan->rows->rows;
    double echo = rows * r->requests_per_s[ECHO_MANY][round];
    double engine = r->engine_rows_per_s[round];
    double adder = rows * r->requests_per_s[ADDER_MANY][round];
    r->rows_over_lesser[round] = adder / (echo < engine ? echo : engine);
    r->rows_over_turns[round] = adder * (1.0 / echo + 1.0 / engine);
    r->p50_over_echo[round] = r->us[ADDER_ONE][0][round] / r->us[ECHO_ONE][0][round];
    return true;
}

static serve_figures figures_of(rounds *r, size_t which) {
    return (serve_figures){
        .p50_us = bench_median(r->us[which][0], SERVE_ROUNDS),
        .p90_us = bench_median(r->us[which][1], SERVE_ROUNDS),
        .p99_us = bench_median(r->us[which][2], SERVE_ROUNDS),
        .p999_us = bench_median(r->us[which][3], SERVE_ROUNDS),
        .requests_per_s = bench_median(r->requests_per_s[which], SERVE_ROUNDS),
    };
}

static void sum_up(rounds *r) {
    serve_result *result = r->result;
    result->echo_one = figures_of(r, ECHO_ONE);
    result->adder_one = figures_of(r, ADDER_ONE);
    result->echo_many = figures_of(r, ECHO_MANY);
    result->adder_many = figures_of(r, ADDER_MANY);
    result->engine_rows_per_s = bench_median(r->engine_rows_per_s, SERVE_ROUNDS);
    result->p50_over_echo = bench_median(r->p50_over_echo, SERVE_ROUNDS);
    result->rows_over_lesser = bench_median(r->rows_over_lesser, SERVE_ROUNDS);
    result->rows_over_turns = bench_median(r->rows_over_turns, SERVE_ROUNDS);
}

static bool time_open(rounds *r, char *error, size_t error_bytes) {
    const serve_plan *p = r->plan;
    serve_result *result = r->result;
    result->open_requests_per_s =
        p->requests_per_s > 0.0 ? p->requests_per_s : OPEN_LOAD * result->adder_many.requests_per_s;
    load_options options = {.url = p->adder_url,
                            .rows = p->rows,
                            .callers = p->callers,
                            .requests_per_s = result->open_requests_per_s,
                            .seconds = OPEN_PART * p->seconds};
    return load_run(&options, &result->open, error, error_bytes);
}

/* Every account has a full window, and the echo knows how long a reply is. */
static bool warm_up(rounds *r, size_t window_rows, char *error, size_t error_bytes) {
    const load_rows *rows = r->plan->rows;
    load_options options = {.url = r->plan->adder_url,
                            .rows = rows,
                            .callers = r->plan->callers,
                            .seconds = 1e9,
                            .requests_max = rows->accounts_count * window_rows / rows->rows + 1};
    load_result result;
    if (!load_run(&options, &result, error, error_bytes)) {
        return false;
    }
    r->result->reply_bytes = result.reply_bytes;
    house_set_reply_bytes(r->plan->echo, result.reply_bytes);
    return true;
}

bool serve_measure(const serve_plan *plan, serve_result *result, char *error, size_t error_bytes) {
    rounds r = {.plan = plan, .result = result};
    *result = (serve_result){.request_rows = plan->rows->rows};
    if (!warm_up(&r, plan->window_rows, error, error_bytes)) {
        return false;
    }
    for (size_t round = 0; round < SERVE_ROUNDS; round++) {
        if (!time_round(&r, round, error, error_bytes)) {
            return false;
        }
    }
    sum_up(&r);
    return time_open(&r, error, error_bytes);
}

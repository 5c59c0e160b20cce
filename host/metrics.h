/*
 * metrics.h - what the daemon has done, counted where it happens, in Prometheus's text format.
 *
 * Counters and histograms are atomics that any thread adds to, relaxed and without locks: each is
 * right by itself, and two read in one go may be a request apart. What can be asked for at any time
 * (gauges) is not kept here but given to metrics_text. Those that count take NULL for metrics: then
 * nothing is counted and no clock is read.
 *
 * Accounts are never a label: their names are other people's, and their number has no bound.
 */
#ifndef ADDER_METRICS_H
#define ADDER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

typedef struct metrics metrics;

/* The way of a request; a batch's share of engine and decide is counted once a batch. */
typedef enum {
    METRICS_WAIT,   /* from a request's receipt to its place in a batch */
    METRICS_ENGINE, /* from a batch's submission to its collection */
    METRICS_DECIDE, /* from there to the last row's decision */
    METRICS_ENCODE, /* of a score's reply, poison drawn */
    METRICS_STAGES,
} metrics_stage;

enum {
    METRICS_OPS = WIRE_EXPLAIN + 1,
    METRICS_DECISIONS = WIRE_LABEL_ONLY + 1,
    METRICS_BUCKETS_MAX = 24,
};

/* What is known of a model at the moment of writing; texts are borrowed. */
typedef struct {
    char name[WIRE_MODEL_BYTES_MAX + 1]; /* its service may be gone by then */
    wire_mode mode;
    wire_action action;
    size_t accounts, accounts_max;
    uint64_t rows; /* scored since the service was opened */
    uint64_t evictions;
    size_t account_bytes, block_bytes;
    size_t bytes_held; /* of accounts and records */
    size_t queue_requests, queue_rows;
    uint64_t queue_takes; /* for the watchdog, as queue_busy: see queue_pulse */
    bool queue_busy;
    bool degraded;
} metrics_model_now;

typedef struct {
    bool serving; /* else the rest is not known yet and left out */
    const char *version;
    const char *engine;
    size_t in_flight;
    size_t connections_refused;
    size_t reloads, reloads_failed;
    size_t models;
    metrics_model_now model[WIRE_MODELS_MAX];
} metrics_now;

metrics *metrics_open(void); /* NULL: no memory */
void metrics_close(metrics *metrics);

/* What is counted of a model: its own since the process began, also when it is served no more and
 * then again. Lives as long as metrics. NULL: nothing is counted, or METRICS_MODELS_MAX names have
 * come. One caller at a time. */
enum { METRICS_MODELS_MAX = 4 * WIRE_MODELS_MAX };
typedef struct metrics_model metrics_model;
metrics_model *metrics_model_of(metrics *metrics, const char *name);

/* A clock for the durations below; 0 where nothing is counted. */
uint64_t metrics_clock_ns(const metrics *metrics);

/* ---- from any thread ---- */

/* A request has come; of what could not be decoded (code) the op is not known. */
void metrics_received(metrics *metrics, wire_code code, wire_op op);
void metrics_stage_took(metrics *metrics, metrics_stage stage, uint64_t took_ns);
/* A stage that ends now. */
void metrics_stage_since(metrics *metrics, metrics_stage stage, uint64_t start_ns);
void metrics_batch(metrics *metrics, size_t rows);
/* Rows that have been scored; poisoned: those decided so get poison in their reply. */
typedef struct {
    wire_mode mode;
    wire_action action;
    const uint8_t *decisions; /* [rows] */
    size_t rows;
    bool poisoned;
} metrics_decisions;
void metrics_decided(metrics_model *model, const metrics_decisions *decisions);
/* Of rows that have been scored: what decides, evidence or scores, which is malicious above limit.
 * Counted in parts of it; with a limit that is not above 0, not at all. */
void metrics_levels(metrics *metrics, const float *values, size_t rows, double limit);
/* A reply has been encoded since encode_ns. Of scores, and only of those that were carried out,
 * count the time of encoding and the time since received_ns. */
void metrics_replied(metrics *metrics, wire_code code, wire_op op, uint64_t received_ns,
                     uint64_t encode_ns);

/* A histogram: in[i] is what lies above bound[i - 1] and not above bound[i]; in[bounds] is above
 * all. Seconds, rows, or parts of a limit. */
typedef struct {
    size_t bounds;
    double bound[METRICS_BUCKETS_MAX]; /* rising; the last is infinite */
    uint64_t in[METRICS_BUCKETS_MAX];
    double sum;
} metrics_distribution;

/* All that is counted, as of now, of all models together. */
typedef struct {
    uint64_t clock_ns; /* monotonic, of this reading */
    double started_s;  /* since 1970 */
    uint64_t resident_bytes;
    uint64_t rows, poisoned;
    uint64_t received[METRICS_OPS + 1]; /* by op; the last: not understood */
    uint64_t refused[WIRE_CODES];
    uint64_t decided[METRICS_DECISIONS];
    metrics_distribution stage[METRICS_STAGES];
    metrics_distribution request, batch, level;
} metrics_totals;
void metrics_read(const metrics *metrics, metrics_totals *totals);
const char *metrics_op_name(size_t op); /* 0..METRICS_OPS */
const char *metrics_decision_name(size_t decision);
const char *metrics_stage_name(metrics_stage stage);
/* Where a level is counted in metrics_totals.level. */
size_t metrics_level_bucket(double level);
metrics_distribution metrics_level_bounds(void); /* with nothing counted in them */

/* Text format 0.0.4; the caller frees. NULL: no memory. */
char *metrics_text(const metrics *metrics, const metrics_now *now, size_t *bytes);

#endif

/*
 * stream.h - an engine under load: batch after batch of a ring, as many in flight as it takes.
 */
#ifndef ADDER_BENCH_STREAM_H
#define ADDER_BENCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "engine.h"
#include "synthetic.h"

/* More than any engine has in flight. */
enum { STREAM_FLIGHTS_MAX = 8 };

typedef struct {
    const char *engine;
    size_t window_rows;
    size_t memory_rank;
    size_t threads; /* as in engine_options */
    bool tf32;
} stream_options;

/* An engine and where in the ring its accounts are. */
typedef struct {
    engine *engine; /* NULL: not open */
    const synthetic *data;
    size_t next;                             /* step */
    size_t batches;                          /* pushed so far */
    engine_batch flight[STREAM_FLIGHTS_MAX]; /* borrowed by the engine, in turn */
    bool sides_only; /* of the batches that are pushed; as in engine_batch */
    double threshold;
    engine_status status; /* the first that was not ENGINE_OK */
} stream;

/* Batches that a ring needs: so many that no row is twice in a window, and a memory has its rank;
 * with no divisor in common with any of groups [count]. */
size_t stream_ring(size_t window_rows, size_t observation_rows, const size_t *groups, size_t count);

/* Opens the engine and fills all windows. On failure there is a line of text in `error`. */
engine_status stream_open(stream *s, const synthetic *data, const stream_options *options,
                          char *error, size_t error_bytes);
void stream_close(stream *s); /* zeroed is allowed */

void stream_push(stream *s);
/* Waits for all that is in flight. */
void stream_drain(stream *s);
/* Seconds of a batch, the mean of as many as fit `seconds` (at least one); none are in flight
 * before and after. */
double stream_time(stream *s, double seconds);

/* Seconds of request i of those in the step, one observation in a batch by itself; after that of
 * the step's last account the next step's are due, as they are after stream_skip. */
double stream_request(stream *s, size_t i);
void stream_skip(stream *s);

#endif

/*
 * load.h - many callers at once over NNG, as inference workers are: each has a connection of its
 * own and one request out at a time, encoded anew as a client does.
 *
 * Closed loop: each asks again as soon as it is answered, which finds the peak. Open loop: request
 * i is due at i / rate, whatever became of those before it; a latency is counted from when the
 * request was due, so that what waits because the daemon (or this program) lags behind is counted
 * in full, and nothing is left out ("coordinated omission", G. Tene).
 */
#ifndef ADDER_BENCH_LOAD_H
#define ADDER_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/* What is asked: request k has the rows k * rows, ... of a ring; each account has account_rows of
 * them, and accounts take turns. */
typedef struct {
    size_t dim;
    size_t rows;                 /* of a request */
    size_t account_rows;         /* of an account in a request */
    size_t ring_rows;            /* a multiple of rows */
    const float *embeddings;     /* [ring_rows, dim] */
    const uint32_t *classes;     /* [ring_rows] */
    const char *const *accounts; /* [accounts_count] */
    size_t accounts_count;
} load_rows;

typedef struct {
    const char *url;
    const load_rows *rows;
    size_t callers;
    double requests_per_s; /* 0: closed loop */
    double seconds;
    size_t requests_max; /* ends the load earlier; 0: it does not */
    bool echo;           /* replies are the null echo's: their bytes mean nothing */
} load_options;

typedef struct {
    double seconds;
    size_t answered;
    size_t overloaded; /* refused as that */
    size_t reply_bytes;
    histogram latency; /* of what was answered */
} load_result;

/* False: one line in error, for the first request that was refused otherwise, or not answered. */
bool load_run(const load_options *options, load_result *result, char *error, size_t error_bytes);

#endif

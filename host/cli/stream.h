/*
 * stream.h - sends an account's queries to the daemon and keeps count of what comes back.
 */
#ifndef ADDER_STREAM_H
#define ADDER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "adder.h"

/* How an account fared. */
typedef struct {
    size_t queries;
    size_t poisoned;      /* queries that were answered with poison */
    size_t first_flagged; /* number of the query, from 1; 0: never */
    double score_last;
    double score_max;
    double excess_sum; /* over all rows; 0 without tables */
    double score_sum;  /* over queries in full windows, `scored` of them */
    size_t scored;
} stream_tally;

/* Latencies of requests in milliseconds. */
typedef struct {
    double *ms;
    size_t count;
    size_t capacity;
} stream_clock;
bool stream_clock_open(stream_clock *clock, size_t capacity);
void stream_clock_close(stream_clock *clock); /* zeroed is allowed */
/* The given share of latencies lies at or below this; sorts them. */
double stream_clock_quantile(stream_clock *clock, double share);
double stream_now_ms(void);

typedef struct {
    adder_client *client;
    const char *account;
    size_t dim;
    size_t window_rows; /* a fill below it is not counted in score_sum */
    stream_clock *clock;
} stream;

enum { STREAM_ROWS_MAX = 1024 };
/* Sends `rows` (1..STREAM_ROWS_MAX) queries as one request, asking for poison. */
adder_status stream_send(const stream *stream, size_t rows, const float *embeddings,
                         const uint32_t *classes, stream_tally *tally, adder_error *error);

#endif

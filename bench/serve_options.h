/*
 * serve_options.h - the command line of `adder-bench serve`.
 */
#ifndef ADDER_BENCH_SERVE_OPTIONS_H
#define ADDER_BENCH_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "bench.h"

#define SERVE_BENCH_NAME "adder-bench serve"

typedef enum { SERVE_IPC, SERVE_TCP, SERVE_INPROC } serve_transport;

typedef struct {
    const char *connect;   /* a running daemon; NULL: one that is started */
    const char *reference; /* of the one that is started; NULL: a made-up one */
    serve_transport transport;
    bench_list rows; /* of a request */
    size_t dim, classes;
    size_t window_rows;      /* 0: not given */
    bench_list memory_ranks; /* each of a house of its own */
    size_t accounts, account_rows, callers, threads;
    size_t requests_per_s; /* of the open loop; 0: by what the closed loop's peak was */
    size_t seconds;        /* 0: not given */
    bool quick;
} serve_options;

/* An exit status; 0 when `options` is complete and can be run. */
int serve_options_parse(int argc, char **argv, serve_options *options);

const char *serve_transport_name(serve_transport transport);

#endif

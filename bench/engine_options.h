/*
 * engine_options.h - the command line of `adder-bench engine`.
 */
#ifndef ADDER_BENCH_ENGINE_OPTIONS_H
#define ADDER_BENCH_ENGINE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "bench.h"

#define ENGINE_BENCH_NAME "adder-bench engine"

/* What is measured; bits. */
enum {
    OPTIONS_RATES = 1,    /* the table of configurations */
    OPTIONS_STAGES = 2,   /* the CPU engine's stages, of each of them */
    OPTIONS_ACCOUNTS = 4, /* rows/s of more and more accounts */
    OPTIONS_EIGEN = 8,    /* small eigenproblems beside LAPACK's */
    OPTIONS_BYTES = 16,   /* what an account holds */
    OPTIONS_SIDES = 32,   /* decisions without scores */
    OPTIONS_ALL = 63,
};

typedef struct {
    unsigned parts; /* OPTIONS_... */
    const char *engine;
    bench_list dim, window_rows, classes;
    bench_list accounts; /* one a configuration; see options_accounts */
    size_t rank;         /* 0: that of the dim */
    size_t memory_rank;
    size_t threads;
    size_t observation_rows;
    size_t seconds;  /* 0: not given */
    bool quick;      /* small and short */
    bool tf32;       /* let a device project in it */
    bool yardsticks; /* of the device, and no engine */
} bench_options;

/* An exit status; 0 when `options` is complete and can be run. */
int options_parse(int argc, char **argv, bench_options *options);

/* Whether it is a device that is measured. */
bool options_device(const bench_options *options);
/* Accounts in a batch: all there are, if they are few. */
size_t options_accounts(const bench_options *options);

#endif

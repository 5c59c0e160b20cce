/*
 * compare_options.h - the command line of `adder-bench compare`.
 */
#ifndef ADDER_BENCH_COMPARE_OPTIONS_H
#define ADDER_BENCH_COMPARE_OPTIONS_H

#include <stddef.h>

#define COMPARE_NAME "adder-bench compare"

typedef struct {
    const char *reference;
    const char *embeddings;
    const char *classes;
    const char *scores; /* NULL: not written */
    const char *engine;
    size_t window_rows;
    size_t step_rows; /* between two windows of an account; the window's rows: they share none */
    size_t batch_windows;
    size_t accounts; /* 0: one for each window */
    size_t threads;  /* 0: all cores */
    size_t seconds;  /* for all rounds together; 0: a pass each */
} compare_options;

/* An exit status; 0 when `options` is complete and can be run. */
int compare_parse(int argc, char **argv, compare_options *options);

#endif

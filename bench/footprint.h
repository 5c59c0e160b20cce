/*
 * footprint.h - bytes that the daemon holds for an account which has asked about every class, its
 * window full: by what its parts say of themselves, and by how much the process grows.
 */
#ifndef ADDER_BENCH_FOOTPRINT_H
#define ADDER_BENCH_FOOTPRINT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    size_t dim, classes, window_rows; /* rank is dim; window_rows at least classes */
    size_t memory_rank;
    size_t accounts; /* N, at least 4 window_rows: a service of N and one of 2 N are filled */
} footprint_shape;

typedef struct {
    const char *what;
    size_t bytes, count; /* an account has `count` of them */
} footprint_line;

enum { FOOTPRINT_LINES = 6 };

typedef struct {
    footprint_line line[FOOTPRINT_LINES];
    size_t sum;
    /* What the resident set of 2 N accounts has more than that of N, over N: whatever does not
     * depend on the number of accounts is taken off. 0: it cannot be read here. */
    double resident;
} footprint;

/* False: one line in error. Forks, so it must come before this process uses NNG. */
bool footprint_measure(footprint *out, const footprint_shape *shape, char *error,
                       size_t error_bytes);

#endif

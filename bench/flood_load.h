/*
 * flood_load.h - requests that are due at a fixed rate, from a few threads, each a client of its
 * own, with a new account in every row or with accounts that are known; and a good client
 * meanwhile, whose latencies count from when a request was due, so that none are left out.
 */
#ifndef ADDER_BENCH_FLOOD_LOAD_H
#define ADDER_BENCH_FLOOD_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "dataset.h"
#include "histogram.h"

enum { FLOOD_CALLERS = 2, FLOOD_ERROR_BYTES = 320 };

typedef struct {
    const char *url;
    const dataset *honest;
    /* The others; no accounts: the good client is alone. */
    size_t accounts;     /* that are asked about, one after another */
    size_t names;        /* of which so many are different, the first ... */
    size_t name_first;   /* ... of this number */
    size_t request_rows; /* an account each */
    double accounts_per_s;
    /* The good client's, as long as the others take or so many seconds. */
    size_t good_rows;
    double good_per_s;
    double seconds;
    int daemon; /* whose memory is looked at */
} flood_plan;

typedef struct {
    histogram good; /* latencies */
    double seconds;
    double behind_s;       /* by which the others' last request was late */
    size_t resident_bytes; /* the daemon's at most */
} flood_result;

/* The daemon's memory now; 0 where the system does not say. */
size_t flood_resident_bytes(int process);
/* False: one line in error. */
bool flood_run(const flood_plan *plan, flood_result *result, char *error);

#endif

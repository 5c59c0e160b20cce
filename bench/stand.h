/*
 * stand.h - the daemon that `adder-bench overload` and `adder-bench peers` press, and the requests,
 * encoded once, that they press it with.
 */
#ifndef ADDER_BENCH_STAND_H
#define ADDER_BENCH_STAND_H

#include <stdbool.h>
#include <stddef.h>

#include "house.h"
#include "storm.h"
#include "synthetic.h"

enum { STAND_ACCOUNTS = 64, STAND_ERROR_BYTES = 512, STAND_URL_BYTES = 128 };

/* A second server, at another address. */
typedef enum {
    STAND_ALONE,   /* none */
    STAND_WATCHED, /* the same daemon, of which all is counted */
    STAND_ECHO,    /* a null echo */
} stand_beside;

typedef struct {
    const char *name; /* of the subcommand */
    size_t dim, classes, window_rows, rows, threads;
    size_t seconds, times, connections;
    bool tcp;
    bool quick;
    stand_beside beside;
} stand_options;

typedef struct {
    stand_options options;
    synthetic data;
    reference made_up;
    house *house, *beside;
    char url[STAND_URL_BYTES], beside_url[STAND_URL_BYTES];
    storm_message message[STAND_ACCOUNTS]; /* of an account each */
    char error[STAND_ERROR_BYTES];         /* one line, of who returns false */
} stand;

/* 0, or the exit status of a wrong usage. Options that are not given stay as they are. */
int stand_parse(stand_options *options, const char *doc, int argc, char **argv);
/* Opens the daemon, with room for so many connections, fills every account's window, and runs it:
 * the exit status, after one line on stderr if it failed. */
int stand_run(const stand_options *options, size_t connections_max, bool (*run)(stand *s));

#endif

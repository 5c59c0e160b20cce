/*
 * compare_options.c - see compare_options.h. What went wrong is one line, without argp's hint after
 * it.
 */
#include "compare_options.h"

#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "bench.h"
#include "engine.h"

#define NAME COMPARE_NAME

enum {
    WINDOW_ROWS = 16,
    BATCH_WINDOWS = 256,
    BATCH_ROWS = 1 << 16,
    SECONDS = 3,
    SECONDS_MAX = 3600
};

enum { KEY_STEP = 256 };

static const struct argp_option options[] = {
    {"reference", 'r', "DIRECTORY", 0, "As adder fit makes it", 1},
    {"embeddings", 'x', "FILE", 0, "Rows, .npy [rows, dim]", 1},
    {"classes", 'c', "FILE", 0, "Their predicted classes, .npy [rows]", 1},
    {"scores", 'o', "FILE", 0, "Where the windows' scores go, .npy [windows] of float64", 1},
    {"window", 'w', "W", 0, "Rows in a window (16)", 2},
    {"step", KEY_STEP, "R", 0,
     "Cut the rows into as many stretches as --batch-windows, an account each, and score its last "
     "W "
     "rows after every R of them, round and round (windows that share no row)",
     2},
    {"batch-windows", 'b', "N", 0,
     "Windows in a call of the engine (256, or as many as have 65536 rows together)", 2},
    {"accounts", 'a', "N", 0, "Accounts that the windows go round (one for each window)", 2},
    {"engine", 'e', "NAME", 0, "auto, cpu or cuda (auto)", 3},
    {"threads", 't', "N", 0, "Threads of the engine; 0: all cores (0)", 3},
    {"seconds", 's', "S", 0, "Seconds to measure; 0: a few passes (3)", 3},
    {0},
};

static bool parse_size(bench_range range, const char *text, size_t *value) {
    range.name = NAME;
    return bench_parse(&range, text, value);
}

static bool parse_number(int key, const char *text, compare_options *o) {
    switch (key) {
    case 'w':
        return parse_size((bench_range){.option = "window", .least = 1, .most = ENGINE_WINDOW_MAX},
                          text, &o->window_rows);
    case KEY_STEP:
        return parse_size((bench_range){.option = "step", .least = 1, .most = ENGINE_WINDOW_MAX},
                          text, &o->step_rows);
    case 'b':
        return parse_size(
            (bench_range){.option = "batch-windows", .least = 1, .most = ENGINE_BATCH_ROWS_MAX},
            text, &o->batch_windows);
    case 'a':
        return parse_size((bench_range){.option = "accounts", .least = 1, .most = ENGINE_SLOTS_MAX},
                          text, &o->accounts);
    case 't':
        return parse_size((bench_range){.option = "threads", .most = ENGINE_THREADS_MAX}, text,
                          &o->threads);
    case 's':
        return parse_size((bench_range){.option = "seconds", .most = SECONDS_MAX}, text,
                          &o->seconds);
    default:
        return false;
    }
}

static void set_defaults(compare_options *o) {
    o->step_rows = o->step_rows > 0 ? o->step_rows : o->window_rows;
    if (o->batch_windows == 0) {
        size_t most = BATCH_ROWS / o->window_rows; /* the largest window has as many rows */
        o->batch_windows = most < BATCH_WINDOWS ? most : BATCH_WINDOWS;
    }
}

/* What no single option can tell; one line, and false, when it cannot be. */
static bool usage_valid(const compare_options *o) {
    if (o->reference == NULL || o->embeddings == NULL || o->classes == NULL) {
        fprintf(stderr, NAME ": --reference, --embeddings and --classes expected\n");
        return false;
    }
    if (o->step_rows > o->window_rows || (o->step_rows < o->window_rows && o->accounts > 0)) {
        fprintf(stderr,
                NAME ": --step %zu of a window of %zu; at most the window expected, and without "
                     "--accounts\n",
                o->step_rows, o->window_rows);
        return false;
    }
    if (o->batch_windows > ENGINE_BATCH_ROWS_MAX / o->window_rows) {
        fprintf(stderr, NAME ": %zu windows of %zu rows are more than the %d of a batch\n",
                o->batch_windows, o->window_rows, ENGINE_BATCH_ROWS_MAX);
        return false;
    }
    return true;
}

/* The option that is a text, or NULL. */
static const char **text_of(int key, compare_options *o) {
    switch (key) {
    case 'r':
        return &o->reference;
    case 'x':
        return &o->embeddings;
    case 'c':
        return &o->classes;
    case 'o':
        return &o->scores;
    case 'e':
        return &o->engine;
    default:
        return NULL;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state) {
    compare_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL;
        return 0;
    case ARGP_KEY_ARG:
        fprintf(stderr, NAME ": unexpected argument '%s'\n", argument);
        return EINVAL;
    case ARGP_KEY_END:
        set_defaults(o);
        return usage_valid(o) ? 0 : EINVAL;
    default:
        break;
    }
    if (argument == NULL) {
        return ARGP_ERR_UNKNOWN;
    }
    const char **text = text_of(key, o);
    if (text != NULL) {
        *text = argument;
        return 0;
    }
    return parse_number(key, argument, o) ? 0 : EINVAL;
}

int compare_parse(int argc, char **argv, compare_options *o) {
    static char name[] = NAME;
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Scores windows of a file, each of an account of its own, again and again, and "
               "prints one JSON object: Adder's side of bench/compare/compare.py.",
    };
    *o = (compare_options){.engine = "auto", .window_rows = WINDOW_ROWS, .seconds = SECONDS};
    argv[0] = name; /* what getopt puts before its messages */
    return argp_parse(&argp, argc, argv, 0, NULL, o) == 0 ? 0 : BENCH_EXIT_USAGE;
}

/*
 * compare_options.c - see compare_options.h.
 */
#include "compare_options.h"

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

static bool parse_size(const char *option, size_t least, size_t most, const char *text,
                       size_t *value) {
    return bench_parse(&(bench_range){NAME, option, least, most}, text, value);
}

static bool take_text(const char *text, const char **to) {
    *to = text;
    return true;
}

static bool take_option(int key, const char *text, void *to) {
    compare_options *o = to;
    switch (key) {
    case 'r':
        return take_text(text, &o->reference);
    case 'x':
        return take_text(text, &o->embeddings);
    case 'c':
        return take_text(text, &o->classes);
    case 'o':
        return take_text(text, &o->scores);
    case 'e':
        return take_text(text, &o->engine);
    case 'w':
        return parse_size("window", 1, ENGINE_WINDOW_MAX, text, &o->window_rows);
    case KEY_STEP:
        return parse_size("step", 1, ENGINE_WINDOW_MAX, text, &o->step_rows);
    case 'b':
        return parse_size("batch-windows", 1, ENGINE_BATCH_ROWS_MAX, text, &o->batch_windows);
    case 'a':
        return parse_size("accounts", 1, ENGINE_SLOTS_MAX, text, &o->accounts);
    case 't':
        return parse_size("threads", 0, ENGINE_THREADS_MAX, text, &o->threads);
    case 's':
        return parse_size("seconds", 0, SECONDS_MAX, text, &o->seconds);
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

static bool complete(void *to) {
    set_defaults(to);
    return usage_valid(to);
}

int compare_parse(int argc, char **argv, compare_options *o) {
    static const bench_usage usage = {
        .name = NAME,
        .options = options,
        .doc = "Scores windows of a file, each of an account of its own, again and again, and "
               "prints one JSON object: Adder's side of bench/compare/compare.py.",
        .take = take_option,
        .complete = complete,
    };
    *o = (compare_options){.engine = "auto", .window_rows = WINDOW_ROWS, .seconds = SECONDS};
    return bench_parse_arguments(&usage, argc, argv, o);
}

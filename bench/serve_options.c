/*
 * serve_options.c - see serve_options.h.
 */
#include "serve_options.h"

#include <stdio.h>
#include <string.h>

#include "engine.h"

#define NAME SERVE_BENCH_NAME

enum {
    CLASSES_MAX = 10000,
    ACCOUNTS_MAX = 10000000,
    SECONDS_MAX = 3600,
    RATE_MAX = 10000000,
    CALLERS_MAX = 256,
    ROWS_MAX = 8192,
    DIM = 256,
    CLASSES = 10,
    ACCOUNTS = 1000,
    ACCOUNT_ROWS = 16,
    CALLERS = 8,
};

enum { KEY_ACCOUNT_ROWS = 256, KEY_MEMORY_RANK, KEY_QUICK, KEY_RATE, KEY_REFERENCE };

static const struct argp_option options[] = {
    {"connect", 'C', "URL", 0,
     "A running daemon, which then knows the accounts \"adder-bench ...\" until it forgets them; "
     "without it one is started",
     1},
    {"transport", 't', "NAME", 0, "ipc, tcp or inproc, of the one that is started (ipc)", 1},
    {"reference", KEY_REFERENCE, "DIR", 0, "What it serves (a made-up reference)", 1},
    {"dim", 'd', "D", 0, "Floats in an embedding of the made-up reference (256)", 2},
    {"classes", 'c', "C", 0, "Its classes (10)", 2},
    {"window", 'w', "W", 0, "Rows in a window (16, or the reference's)", 2},
    {"memory-rank", KEY_MEMORY_RANK, "LIST", 0,
     "Of the memories; 0: none; numbers with commas between (32,0)", 2},
    {"rows", 'r', "LIST", 0, "Rows of a request; numbers with commas between (16,256)", 3},
    {"rows-per-account", KEY_ACCOUNT_ROWS, "R", 0, "Rows of an account in a request (16)", 3},
    {"accounts", 'a', "N", 0, "Accounts that take turns (1000)", 3},
    {"callers", 'n', "N", 0, "At once, each with a connection of its own (8)", 3},
    {"rate", KEY_RATE, "N", 0, "Requests a second in the open loop (half of the peak)", 3},
    {"threads", 'T', "N", 0, "Of the engine; 0: all cores (0)", 4},
    {"seconds", 's', "S", 0, "To measure each number of rows (30)", 4},
    {"quick", KEY_QUICK, NULL, 0, "Small and short, to see that it works", 4},
    {0},
};

static bool parse_transport(const char *text, serve_transport *transport) {
    for (serve_transport t = SERVE_IPC; t <= SERVE_INPROC; t++) {
        if (strcmp(text, serve_transport_name(t)) == 0) {
            *transport = t;
            return true;
        }
    }
    fprintf(stderr, NAME ": --transport is '%s'; ipc, tcp or inproc expected\n", text);
    return false;
}

static bool parse_size(const char *option, size_t least, size_t most, const char *text,
                       size_t *value) {
    return bench_parse(&(bench_range){NAME, option, least, most}, text, value);
}

static bool take_option(int key, const char *text, void *to) {
    serve_options *o = to;
    switch (key) {
    case 'C':
        o->connect = text;
        return true;
    case KEY_REFERENCE:
        o->reference = text;
        return true;
    case KEY_QUICK:
        o->quick = true;
        return true;
    case 't':
        return parse_transport(text, &o->transport);
    case 'd':
        return parse_size("dim", 1, ENGINE_DIM_MAX, text, &o->dim);
    case 'c':
        return parse_size("classes", 1, CLASSES_MAX, text, &o->classes);
    case 'w':
        return parse_size("window", 1, ENGINE_WINDOW_MAX, text, &o->window_rows);
    case KEY_MEMORY_RANK:
        return bench_parse_list(&(bench_range){NAME, "memory-rank", 0, ENGINE_MEMORY_RANK_MAX},
                                text, &o->memory_ranks);
    case 'r':
        return bench_parse_list(&(bench_range){NAME, "rows", 1, ROWS_MAX}, text, &o->rows);
    case KEY_ACCOUNT_ROWS:
        return parse_size("rows-per-account", 1, ROWS_MAX, text, &o->account_rows);
    case 'a':
        return parse_size("accounts", 1, ACCOUNTS_MAX, text, &o->accounts);
    case 'n':
        return parse_size("callers", 1, CALLERS_MAX, text, &o->callers);
    case KEY_RATE:
        return parse_size("rate", 1, RATE_MAX, text, &o->requests_per_s);
    case 'T':
        return parse_size("threads", 0, ENGINE_THREADS_MAX, text, &o->threads);
    case 's':
        return parse_size("seconds", 1, SECONDS_MAX, text, &o->seconds);
    default:
        return false;
    }
}

static void set_defaults(serve_options *o) {
    if (o->rows.count == 0) {
        o->rows = o->quick ? (bench_list){{16}, 1} : (bench_list){{16, 256}, 2};
    }
    if (o->memory_ranks.count == 0) {
        o->memory_ranks = (bench_list){{32, 0}, 2};
    }
    o->accounts = o->accounts > 0 ? o->accounts : o->quick ? CALLERS : ACCOUNTS;
    o->dim = o->dim > 0 ? o->dim : o->quick ? ACCOUNT_ROWS : DIM;
}

/* A request's rows are whole accounts' turns, or a part of one's. */
static bool usage_valid(const serve_options *o) {
    for (size_t i = 0; i < o->rows.count; i++) {
        if (o->rows.value[i] > o->account_rows && o->rows.value[i] % o->account_rows != 0) {
            fprintf(stderr, NAME ": requests of %zu rows are no whole number of accounts' %zu\n",
                    o->rows.value[i], o->account_rows);
            return false;
        }
        if (o->rows.value[i] / o->account_rows > o->accounts) {
            fprintf(stderr, NAME ": %zu rows of %zu an account are more than %zu accounts\n",
                    o->rows.value[i], o->account_rows, o->accounts);
            return false;
        }
    }
    return true;
}

static bool complete(void *to) {
    set_defaults(to);
    return usage_valid(to);
}

int serve_options_parse(int argc, char **argv, serve_options *o) {
    static const bench_usage usage = {
        .name = NAME,
        .options = options,
        .doc = "Puts load on Adder over NNG, and in the same run on a null echo that takes the "
               "same bytes and gives as many back: one caller at a time, then as many as "
               "--callers, each asking again as soon as it is answered; then an open loop at a "
               "fixed rate, whose latencies count from when a request was due.",
        .take = take_option,
        .complete = complete,
    };
    *o = (serve_options){.classes = CLASSES, .account_rows = ACCOUNT_ROWS, .callers = CALLERS};
    return bench_parse_arguments(&usage, argc, argv, o);
}

const char *serve_transport_name(serve_transport transport) {
    static const char *const name[] = {
        [SERVE_IPC] = "ipc", [SERVE_TCP] = "tcp", [SERVE_INPROC] = "inproc"};
    return name[transport];
}

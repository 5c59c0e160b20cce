/*
 * engine_options.c - see engine_options.h.
 */
#include "engine_options.h"

#include <stdio.h>
#include <string.h>

#include "engine.h"

#define NAME ENGINE_BENCH_NAME

enum { CLASSES_MAX = 10000, ACCOUNTS_MAX = 10000000, SECONDS_MAX = 3600 };
enum { MEMORY_RANK = 32, OBSERVATION_ROWS = 16, BATCH_ACCOUNTS_MAX = 1000 };

enum {
    KEY_QUICK = 256,
    KEY_MEMORY_RANK,
    KEY_ROWS,
    KEY_TF32,
    KEY_YARDSTICKS,
    KEY_RATES, /* from here on in the order of the parts' bits */
    KEY_STAGES,
    KEY_SWEEP,
    KEY_EIGEN,
    KEY_BYTES,
    KEY_SIDES,
};

static const struct argp_option options[] = {
    {"engine", 'e', "NAME", 0, "auto, cpu or cuda (auto)", 1},
    {"tf32", KEY_TF32, NULL, 0, "Let a CUDA engine project in TF32", 1},
    {"dim", 'd', "LIST", 0, "Floats in an embedding (256,512; of cuda 256,512,2048)", 2},
    {"window", 'w', "LIST", 0, "Rows in a window (16,256)", 2},
    {"classes", 'c', "LIST", 0, "Classes of the model (10,100; of cuda 10,100,1000)", 2},
    {"rank", 'r', "R", 0, "Columns of a factor (as many as the dim)", 2},
    {"accounts", 'a', "LIST", 0,
     "Accounts; up to 1000 have an observation in a batch, more take turns, rounded up to whole "
     "batches (256; of cuda 1000,10000,100000)",
     3},
    {"rows-per-account", KEY_ROWS, "R", 0, "Rows in an observation (16)", 3},
    {"memory-rank", KEY_MEMORY_RANK, "Q", 0,
     "Rank of the memory of a second engine; 0: no such engine (32)", 3},
    {"threads", 't', "N", 0, "Threads of the engine and of sgemm; 0: all cores (0)", 4},
    {"seconds", 's', "S", 0, "Seconds to measure each configuration (4; of cuda 3)", 4},
    {"quick", KEY_QUICK, NULL, 0, "Small and short, to see that it works", 4},
    {"yardsticks", KEY_YARDSTICKS, NULL, 0,
     "No engine: only what a CUDA device copies, multiplies and diagonalises", 4},
    {NULL, 0, NULL, 0,
     "Parts, of which others are left out then; of a CUDA device only --rates:", 5},
    {"rates", KEY_RATES, NULL, 0, "Rows and windows a second, beside sgemm and ssyevd", 6},
    {"stages", KEY_STAGES, NULL, 0, "What the engine's stages take on one thread", 6},
    {"sweep", KEY_SWEEP, NULL, 0,
     "The first configuration with 100 to 100000 accounts (left out where --accounts is a list)",
     6},
    {"eigen", KEY_EIGEN, NULL, 0, "Small eigenproblems, beside LAPACK's", 6},
    {"bytes", KEY_BYTES, NULL, 0, "What an account holds: dim 256, 10 classes, window 16", 6},
    {"sides", KEY_SIDES, NULL, 0, "Decisions without scores: dim 256, window 256, one class", 6},
    {0},
};

static bool parse_list(const char *option, const char *text, size_t most, bench_list *list) {
    return bench_parse_list(&(bench_range){NAME, option, 1, most}, text, list);
}

static bool parse_size(const char *option, size_t least, size_t most, const char *text,
                       size_t *value) {
    return bench_parse(&(bench_range){NAME, option, least, most}, text, value);
}

size_t options_accounts(const bench_options *o) {
    size_t least = BATCH_ACCOUNTS_MAX;
    for (size_t i = 0; i < o->accounts.count; i++) {
        least = o->accounts.value[i] < least ? o->accounts.value[i] : least;
    }
    return least;
}

bool options_device(const bench_options *o) {
    return o->yardsticks || strcmp(o->engine, "cuda") == 0;
}

/* What no single option can tell; one line, and false, when it cannot be. */
static bool usage_valid(const bench_options *o) {
    if (options_accounts(o) > ENGINE_BATCH_ROWS_MAX / o->observation_rows) {
        fprintf(stderr, NAME ": %zu accounts of %zu rows are more than the %d of a batch\n",
                options_accounts(o), o->observation_rows, ENGINE_BATCH_ROWS_MAX);
        return false;
    }
    if (options_device(o) && o->parts != OPTIONS_RATES) {
        fprintf(stderr, NAME ": of a CUDA device there are only --rates\n");
        return false;
    }
    for (size_t i = 0; i < o->window_rows.count; i++) {
        if (o->window_rows.value[i] < o->observation_rows) {
            fprintf(stderr, NAME ": an observation of %zu rows does not fit a window of %zu\n",
                    o->observation_rows, o->window_rows.value[i]);
            return false;
        }
    }
    for (size_t i = 0; i < o->dim.count; i++) {
        if (o->rank > o->dim.value[i]) {
            fprintf(stderr, NAME ": rank %zu is more than dim %zu\n", o->rank, o->dim.value[i]);
            return false;
        }
    }
    return true;
}

static void set_list(bench_list *list, bench_list value) {
    *list = list->count == 0 ? value : *list;
}

/* What is not given, by the other options, wherever they stand. Quick on a device is quick enough
 * for the one that the tests make of a CPU. */
static void set_defaults(bench_options *o) {
    bool device = options_device(o), swept = o->accounts.count > 1;
    if (o->parts == 0) {
        o->parts = device ? OPTIONS_RATES : OPTIONS_ALL;
        o->parts &= swept ? ~(unsigned)OPTIONS_ACCOUNTS : OPTIONS_ALL;
    }
    if (o->quick) {
        set_list(&o->dim, device ? (bench_list){{16}, 1} : (bench_list){{64}, 1});
        set_list(&o->window_rows, device ? (bench_list){{16}, 1} : (bench_list){{16, 32}, 2});
        set_list(&o->classes, (bench_list){{10}, 1});
        set_list(&o->accounts, device ? (bench_list){{4, 8}, 2} : (bench_list){{32}, 1});
    } else if (device) {
        set_list(&o->dim, (bench_list){{256, 512, 2048}, 3});
        set_list(&o->classes, (bench_list){{10, 100, 1000}, 3});
        set_list(&o->accounts, (bench_list){{1000, 10000, 100000}, 3});
    }
    set_list(&o->dim, (bench_list){{256, 512}, 2});
    set_list(&o->window_rows, (bench_list){{16, 256}, 2});
    set_list(&o->classes, (bench_list){{10, 100}, 2});
    set_list(&o->accounts, (bench_list){{256}, 1});
}

static bool take_option(int key, const char *text, void *to) {
    bench_options *o = to;
    switch (key) {
    case 'e':
        o->engine = text;
        return true;
    case KEY_QUICK:
        o->quick = true;
        return true;
    case KEY_TF32:
        o->tf32 = true;
        return true;
    case KEY_YARDSTICKS:
        o->yardsticks = true;
        return true;
    case 'd':
        return parse_list("dim", text, ENGINE_DIM_MAX, &o->dim);
    case 'w':
        return parse_list("window", text, ENGINE_WINDOW_MAX, &o->window_rows);
    case 'c':
        return parse_list("classes", text, CLASSES_MAX, &o->classes);
    case 'r':
        return parse_size("rank", 1, ENGINE_DIM_MAX, text, &o->rank);
    case 'a':
        return parse_list("accounts", text, ACCOUNTS_MAX, &o->accounts);
    case KEY_ROWS:
        return parse_size("rows-per-account", 1, ENGINE_WINDOW_MAX, text, &o->observation_rows);
    case KEY_MEMORY_RANK:
        return parse_size("memory-rank", 0, ENGINE_MEMORY_RANK_MAX, text, &o->memory_rank);
    case 't':
        return parse_size("threads", 0, ENGINE_THREADS_MAX, text, &o->threads);
    case 's':
        return parse_size("seconds", 1, SECONDS_MAX, text, &o->seconds);
    case KEY_RATES:
    case KEY_STAGES:
    case KEY_SWEEP:
    case KEY_EIGEN:
    case KEY_BYTES:
    case KEY_SIDES:
        o->parts |= 1u << (key - KEY_RATES);
        return true;
    default:
        return false;
    }
}

static bool complete(void *to) {
    set_defaults(to);
    return usage_valid(to);
}

int options_parse(int argc, char **argv, bench_options *o) {
    static const bench_usage usage = {
        .name = NAME,
        .options = options,
        .doc = "Streams synthetic rows of many accounts through an engine, and compares it with "
               "the matrix products it cannot do without, on a CUDA device also with its copies. "
               "Lists are numbers with commas between; each combination is a row of the table.",
        .take = take_option,
        .complete = complete,
    };
    *o = (bench_options){
        .engine = "auto", .memory_rank = MEMORY_RANK, .observation_rows = OBSERVATION_ROWS};
    return bench_parse_arguments(&usage, argc, argv, o);
}

/*
 * engine.c - `adder-bench engine`: its options, its configurations and its tables.
 */
#include "engine.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "engine_measure.h"
#include "synthetic.h"

#define NAME "adder-bench engine"

enum {
    CLASSES_MAX = 10000,
    SECONDS_MAX = 3600,
    SEED = 20250312,
    CONFIGURATIONS_MAX = BENCH_LIST_MAX * BENCH_LIST_MAX * BENCH_LIST_MAX,
};

/* Seconds for each configuration: eight of them and their data stay below 90. */
#define FULL_SECONDS 6.0
#define QUICK_SECONDS 0.35
enum { FULL_ACCOUNTS = 256, QUICK_ACCOUNTS = 32, MEMORY_RANK = 32, OBSERVATION_ROWS = 16 };

typedef struct {
    const char *engine;
    bench_list dim, window_rows, classes;
    size_t accounts; /* 0: not given */
    size_t rank;     /* 0: that of the dim */
    size_t memory_rank;
    size_t threads;
    size_t observation_rows;
    size_t seconds; /* 0: not given */
    bool quick;
} bench_options;

typedef struct {
    size_t dim, window_rows, classes, rank, observation_rows;
    measure_result result;
} configuration;

/* ---- options ---- */

enum { KEY_QUICK = 256, KEY_MEMORY_RANK, KEY_ROWS };

static const struct argp_option options[] = {
    {"engine", 'e', "NAME", 0, "auto, cpu or cuda (auto)", 1},
    {"dim", 'd', "LIST", 0, "Floats in an embedding (256,512)", 2},
    {"window", 'w', "LIST", 0, "Rows in a window (16,256)", 2},
    {"classes", 'c', "LIST", 0, "Classes of the model (10,100)", 2},
    {"rank", 'r', "R", 0, "Columns of a factor (as many as the dim)", 2},
    {"accounts", 'a', "N", 0, "Accounts, each with one observation a batch (256)", 3},
    {"rows-per-account", KEY_ROWS, "R", 0, "Rows in an observation (16)", 3},
    {"memory-rank", KEY_MEMORY_RANK, "Q", 0,
     "Rank of the memory in the second table; 0: no such table (32)", 3},
    {"threads", 't', "N", 0, "Threads of the engine and of sgemm; 0: all cores (0)", 4},
    {"seconds", 's', "S", 0, "Seconds to measure each configuration (6)", 4},
    {"quick", KEY_QUICK, NULL, 0, "Small and short, to see that it works", 4},
    {0},
};

static bool parse_list(const char *option, const char *text, size_t most, bench_list *list) {
    return bench_parse_list(&(bench_range){NAME, option, 1, most}, text, list);
}

static bool parse_size(bench_range range, const char *text, size_t *value) {
    range.name = NAME;
    return bench_parse(&range, text, value);
}

/* What no single option can tell; one line, and false, when it cannot be. */
static bool usage_valid(const bench_options *o) {
    if (o->accounts > ENGINE_BATCH_ROWS_MAX / o->observation_rows) {
        fprintf(stderr, NAME ": %zu accounts of %zu rows are more than the %d of a batch\n",
                o->accounts, o->observation_rows, ENGINE_BATCH_ROWS_MAX);
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

/* --quick changes what is not given, wherever it stands. */
static void set_defaults(bench_options *o) {
    if (o->dim.count == 0) {
        o->dim = o->quick ? (bench_list){{64}, 1} : (bench_list){{256, 512}, 2};
    }
    if (o->window_rows.count == 0) {
        o->window_rows = o->quick ? (bench_list){{16, 32}, 2} : (bench_list){{16, 256}, 2};
    }
    if (o->classes.count == 0) {
        o->classes = o->quick ? (bench_list){{10}, 1} : (bench_list){{10, 100}, 2};
    }
    if (o->accounts == 0) {
        o->accounts = o->quick ? QUICK_ACCOUNTS : FULL_ACCOUNTS;
    }
}

static bool parse_key(int key, const char *text, bench_options *o) {
    switch (key) {
    case 'd':
        return parse_list("dim", text, ENGINE_DIM_MAX, &o->dim);
    case 'w':
        return parse_list("window", text, ENGINE_WINDOW_MAX, &o->window_rows);
    case 'c':
        return parse_list("classes", text, CLASSES_MAX, &o->classes);
    case 'r':
        return parse_size((bench_range){.option = "rank", .least = 1, .most = ENGINE_DIM_MAX}, text,
                          &o->rank);
    case 'a':
        return parse_size((bench_range){.option = "accounts", .least = 1, .most = ENGINE_SLOTS_MAX},
                          text, &o->accounts);
    case KEY_ROWS:
        return parse_size(
            (bench_range){.option = "rows-per-account", .least = 1, .most = ENGINE_WINDOW_MAX},
            text, &o->observation_rows);
    case KEY_MEMORY_RANK:
        return parse_size((bench_range){.option = "memory-rank", .most = ENGINE_MEMORY_RANK_MAX},
                          text, &o->memory_rank);
    case 't':
        return parse_size((bench_range){.option = "threads", .most = ENGINE_THREADS_MAX}, text,
                          &o->threads);
    case 's':
        return parse_size((bench_range){.option = "seconds", .least = 1, .most = SECONDS_MAX}, text,
                          &o->seconds);
    default:
        return false;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state) {
    bench_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL; /* what went wrong is one line, without argp's hint after it */
        return 0;
    case ARGP_KEY_ARG:
        fprintf(stderr, NAME ": unexpected argument '%s'\n", argument);
        return EINVAL;
    case ARGP_KEY_END:
        set_defaults(o);
        return usage_valid(o) ? 0 : EINVAL;
    case 'e':
        o->engine = argument;
        return 0;
    case KEY_QUICK:
        o->quick = true;
        return 0;
    case ARGP_KEY_NO_ARGS:
    case ARGP_KEY_SUCCESS:
    case ARGP_KEY_ERROR:
    case ARGP_KEY_FINI:
        return 0;
    default:
        if (argument == NULL) {
            return ARGP_ERR_UNKNOWN;
        }
        return parse_key(key, argument, o) ? 0 : EINVAL;
    }
}

/* ---- tables ---- */

static void print_head(const bench_options *o, const measure_result *first) {
    printf("run      engine %s, %zu threads; %zu accounts, %zu rows an observation, %zu rows a "
           "batch\n",
           first->engine, first->threads, o->accounts, o->observation_rows,
           o->accounts * o->observation_rows);
    printf("         medians of %d rounds; windows/s: observations scored against full windows;\n"
           "         request: one observation in a batch by itself; of sgemm: 2 dim rank flops a "
           "row over\n         the rate of sgemm alone on the batch's matrices, by its fastest "
           "way\n\n",
           MEASURE_ROUNDS);
    printf("%5s %5s %7s %5s %12s %12s %9s %9s %9s %-8s %9s %9s\n", "", "", "", "", "", "",
           "request", "request", "sgemm", "sgemm", "of sgemm:", "of sgemm:");
    printf("%5s %5s %7s %5s %12s %12s %9s %9s %9s %-8s %9s %9s\n", "dim", "W", "classes", "rank",
           "rows/s", "windows/s", "p50 us", "p99 us", "GFLOP/s", "by", "project", "engine");
}

static void print_row(const configuration *c) {
    const measure_result *r = &c->result;
    printf("%5zu %5zu %7zu %5zu %12.0f %12.0f %9.1f %9.1f", c->dim, c->window_rows, c->classes,
           c->rank, r->rows_per_s, r->rows_per_s / (double)c->observation_rows, r->request_p50_us,
           r->request_p99_us);
    if (r->sgemm_flops_per_s > 0.0) {
        double engine_flops_per_s = r->rows_per_s * 2.0 * (double)c->dim * (double)c->rank;
        printf(" %9.1f %-8s %9.3f %9.3f\n", 1e-9 * r->sgemm_flops_per_s,
               sgemm_way_name(r->sgemm_way), r->project_flops_per_s / r->sgemm_flops_per_s,
               engine_flops_per_s / r->sgemm_flops_per_s);
    } else {
        printf(" %9s %-8s %9s %9s\n", "-", "-", "-", "-");
    }
    fflush(stdout);
}

static void print_memory(const bench_options *o, const configuration *all, size_t count) {
    printf("\nmemory, microseconds a window\n");
    printf("%5s %5s %7s %5s %9s %9s %9s\n", "dim", "W", "classes", "q", "off", "on", "on/off");
    for (size_t i = 0; i < count; i++) {
        const configuration *c = &all[i];
        double rows = 1e6 * (double)c->observation_rows;
        printf("%5zu %5zu %7zu %5zu %9.2f %9.2f %9.2f\n", c->dim, c->window_rows, c->classes,
               o->memory_rank < c->rank ? o->memory_rank : c->rank, rows / c->result.rows_per_s,
               rows / c->result.memory_rows_per_s,
               c->result.rows_per_s / c->result.memory_rows_per_s);
    }
}

/* ---- runs ---- */

static size_t largest(const bench_list *list) {
    size_t most = 0;
    for (size_t i = 0; i < list->count; i++) {
        most = list->value[i] > most ? list->value[i] : most;
    }
    return most;
}

static int run_one(const bench_options *o, const synthetic *data, const measure_plan *plan,
                   configuration *c, bool first) {
    if (!measure_run(data, plan, &c->result)) {
        fprintf(stderr, NAME ": %s\n", c->result.error);
        return c->result.refused ? BENCH_EXIT_USAGE : BENCH_EXIT_FAILURE;
    }
    if (first) {
        print_head(o, &c->result);
    }
    print_row(c);
    return 0;
}

/* All windows of one dim and number of classes, on the same data; an exit status. */
static int run_windows(const bench_options *o, configuration *all, size_t *count) {
    configuration next = all[*count];
    synthetic_shape shape = {.dim = next.dim,
                             .rank = next.rank,
                             .classes = next.classes,
                             .accounts = o->accounts,
                             .observation_rows = o->observation_rows,
                             .batches =
                                 measure_batches(largest(&o->window_rows), o->observation_rows),
                             .seed = SEED};
    measure_plan plan = {.engine = o->engine,
                         .memory_rank = o->memory_rank,
                         .threads = o->threads,
                         .seconds = o->seconds > 0 ? (double)o->seconds
                                    : o->quick     ? QUICK_SECONDS
                                                   : FULL_SECONDS};
    synthetic data;
    int status = 0;
    if (!synthetic_init(&data, &shape)) {
        fprintf(stderr, NAME ": out of memory for the rows of dim %zu, %zu classes\n", shape.dim,
                shape.classes);
        return BENCH_EXIT_FAILURE;
    }
    for (size_t w = 0; status == 0 && w < o->window_rows.count; w++) {
        next.window_rows = plan.window_rows = o->window_rows.value[w];
        status = run_one(o, &data, &plan, &next, *count == 0);
        if (status == 0) {
            all[(*count)++] = next;
        }
    }
    synthetic_fini(&data);
    return status;
}

static int run_all(const bench_options *o) {
    size_t count = 0;
    int status = 0;
    configuration *all = calloc(CONFIGURATIONS_MAX + 1, sizeof *all);
    if (all == NULL) {
        fprintf(stderr, NAME ": out of memory\n");
        return BENCH_EXIT_FAILURE;
    }
    for (size_t d = 0; status == 0 && d < o->dim.count; d++) {
        size_t dim = o->dim.value[d];
        for (size_t c = 0; status == 0 && c < o->classes.count; c++) {
            all[count] = (configuration){.dim = dim,
                                         .rank = o->rank > 0 ? o->rank : dim,
                                         .classes = o->classes.value[c],
                                         .observation_rows = o->observation_rows};
            status = run_windows(o, all, &count);
        }
    }
    if (status == 0 && o->memory_rank > 0) {
        print_memory(o, all, count);
    }
    free(all);
    return status;
}

int bench_engine(int argc, char **argv) {
    static char name[] = NAME;
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Streams synthetic rows of many accounts through an engine, and compares it with "
               "the matrix products it cannot do without. Lists are numbers with commas between; "
               "each combination is a row of the table.",
    };
    bench_options o = {
        .engine = "auto", .memory_rank = MEMORY_RANK, .observation_rows = OBSERVATION_ROWS};
    argv[0] = name; /* what getopt puts before its messages */
    if (argp_parse(&argp, argc, argv, 0, NULL, &o) != 0) {
        return BENCH_EXIT_USAGE;
    }
    bench_print_machine();
    return run_all(&o);
}

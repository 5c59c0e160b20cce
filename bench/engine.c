/*
 * engine.c - `adder-bench engine`: its configurations, one after the other.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "device.h"
#include "engine_measure.h"
#include "engine_options.h"
#include "engine_table.h"
#include "footprint.h"
#include "parts_table.h"
#include "sides.h"
#include "small_eigen.h"
#include "stages.h"
#include "stream.h"
#include "sweep.h"
#include "synthetic.h"

#define NAME ENGINE_BENCH_NAME

enum {
    SEED = 20250312,
    CONFIGURATIONS_MAX = BENCH_LIST_MAX * BENCH_LIST_MAX * BENCH_LIST_MAX * BENCH_LIST_MAX,
};

/* Seconds for each configuration: eight of them with their data and all the other parts stay below
 * 120; of a device there are more. The parts are of these, for each configuration, number of
 * accounts and order; EIGEN_PART is that of each way too. */
#define FULL_SECONDS 4.0
#define DEVICE_SECONDS 3.0
#define QUICK_SECONDS 0.35
#define EIGEN_PART 0.03
#define STAGES_PART 0.3
#define SWEEP_PART 0.3
#define SMALL_EIGEN_PART 0.1
#define SIDES_PART 0.5

/* An account of which the bytes are counted, and how many of them fill a service. */
enum { BYTES_DIM = 256, BYTES_CLASSES = 10, BYTES_WINDOW = 16, BYTES_MEMORY_RANK = 32 };
enum { BYTES_ACCOUNTS = 2048, QUICK_BYTES_DIM = 32, QUICK_BYTES_ACCOUNTS = 128 };

/* Windows of one class, of which only the side of a threshold is wanted. */
enum { SIDES_DIM = 256, SIDES_WINDOW = 256, SIDES_OBSERVATION = 16, SIDES_ACCOUNTS = 32 };
enum { QUICK_SIDES_DIM = 64, QUICK_SIDES_ACCOUNTS = 8 };

/* Of the device's yardsticks: more than its caches hold, and enough matrices to fill it. */
enum { COPY_BYTES = 1 << 28, EIGEN_BYTES = 1 << 26, QUICK_EIGEN_BYTES = 1 << 14 };

/* Requests of a round, seven rounds: for a 99th percentile that is not the slowest but one. */
enum { FULL_REQUESTS = 100, QUICK_REQUESTS = 10 };

typedef struct {
    const bench_options *options;
    measure_plan plan;
    table_row *row;    /* [CONFIGURATIONS_MAX] */
    table_row *staged; /* [CONFIGURATIONS_MAX] without results, with stages */
    size_t rows, measured, stages;
} bench_run;

static size_t largest(const bench_list *list) {
    size_t most = 0;
    for (size_t i = 0; i < list->count; i++) {
        most = list->value[i] > most ? list->value[i] : most;
    }
    return most;
}

/* Turns that so many accounts take. */
static size_t groups_of(size_t accounts, size_t batch_accounts) {
    return (accounts - 1) / batch_accounts + 1;
}

static void print_row(const bench_run *run, const table_row *row) {
    if (run->plan.yardsticks_only) {
        table_print_device_row(row);
        return;
    }
    if (!row->skipped && run->measured == 0) {
        table_print_head(row);
    }
    table_print_row(row);
}

/* One configuration; an exit status. What there is no memory for is passed over. */
static int run_one(bench_run *run, const synthetic *data, const table_row *shape) {
    table_row *row = &run->row[run->rows++];
    *row = *shape;
    run->plan.stream.window_rows = row->window_rows;
    if (!measure_run(data, &run->plan, &row->result)) {
        engine_status status = row->result.status;
        row->skipped = status == ENGINE_NO_MEMORY;
        if (!row->skipped) {
            fprintf(stderr, NAME ": %s\n", row->result.error);
            return status == ENGINE_BAD_ARGUMENT ? BENCH_EXIT_USAGE : BENCH_EXIT_FAILURE;
        }
    }
    print_row(run, row);
    run->measured += row->skipped ? 0 : 1;
    return 0;
}

/* The CPU engine's, once for all numbers of accounts. */
static int run_stages(bench_run *run, const synthetic *data, const table_row *shape) {
    char error[MEASURE_ERROR_BYTES];
    table_row *row = &run->staged[run->stages++];
    *row = *shape;
    row->accounts = row->batch_accounts;
    stages_plan plan = {.window_rows = row->window_rows,
                        .memory_rank = run->options->memory_rank,
                        .seconds = STAGES_PART * run->plan.seconds};
    if (!stages_measure(&row->stages, data, &plan, error, sizeof error)) {
        fprintf(stderr, NAME ": %s\n", error);
        return BENCH_EXIT_FAILURE;
    }
    return 0;
}

static bool any_on_device(const bench_run *run) {
    bool any = false;
    for (size_t i = 0; i < run->rows; i++) {
        any = any || table_on_device(&run->row[i]);
    }
    return any;
}

/* All windows and numbers of accounts on the same data; the yardsticks alone have neither. */
static int run_data(bench_run *run, synthetic *data, const table_row *shape) {
    const bench_options *o = run->options;
    table_row next = *shape;
    bool rates = (o->parts & OPTIONS_RATES) != 0;
    int status = 0;
    for (size_t w = 0; status == 0 && w < o->window_rows.count; w++) {
        next.window_rows = o->window_rows.value[w];
        for (size_t a = 0; rates && status == 0 && a < o->accounts.count; a++) {
            data->groups = groups_of(o->accounts.value[a], next.batch_accounts);
            next.accounts = data->groups * next.batch_accounts;
            status = run_one(run, data, &next);
            if (run->plan.yardsticks_only) {
                return status;
            }
        }
        if (status == 0 && (o->parts & OPTIONS_STAGES) != 0 && !any_on_device(run)) {
            status = run_stages(run, data, &next);
        }
    }
    return status;
}

static synthetic_shape data_shape(const bench_options *o, const table_row *next) {
    size_t groups[BENCH_LIST_MAX];
    for (size_t a = 0; a < o->accounts.count; a++) {
        groups[a] = groups_of(o->accounts.value[a], next->batch_accounts);
    }
    size_t ring =
        stream_ring(largest(&o->window_rows), next->observation_rows, groups, o->accounts.count);
    return (synthetic_shape){.dim = next->dim,
                             .rank = next->rank,
                             .classes = next->classes,
                             .accounts = next->batch_accounts,
                             .groups_max = groups_of(largest(&o->accounts), next->batch_accounts),
                             .observation_rows = next->observation_rows,
                             .batches = o->yardsticks ? 1 : ring,
                             .seed = SEED};
}

/* That of the data of a dim and number of classes, which the largest configuration needs. */
static table_row shape_of(const bench_options *o, size_t dim, size_t classes) {
    return (table_row){.dim = dim,
                       .window_rows = largest(&o->window_rows),
                       .classes = classes,
                       .rank = o->rank > 0 ? o->rank : dim,
                       .accounts = largest(&o->accounts),
                       .batch_accounts = options_accounts(o),
                       .observation_rows = o->observation_rows};
}

/* All configurations of one dim and number of classes, if this machine's memory holds their data.
 */
static int run_shape(bench_run *run, size_t dim, size_t classes) {
    const bench_options *o = run->options;
    table_row next = shape_of(o, dim, classes);
    synthetic_shape shape = data_shape(o, &next);
    size_t bytes = synthetic_bytes(&shape), available = bench_memory_available();
    if (bytes > available) {
        next.skipped = true;
        snprintf(next.result.error, MEASURE_ERROR_BYTES,
                 "rows and factors take %.1f GB of the host's memory, %.1f are free",
                 1e-9 * (double)bytes, 1e-9 * (double)available);
        print_row(run, &next);
        return 0;
    }
    synthetic data;
    if (!synthetic_init(&data, &shape)) {
        fprintf(stderr, NAME ": out of memory for the rows of dim %zu, %zu classes\n", dim,
                classes);
        return BENCH_EXIT_FAILURE;
    }
    int status = run_data(run, &data, &next);
    synthetic_fini(&data);
    return status;
}

/* Where the warp's kernel and cuSOLVER cross. */
static int run_eigen(const bench_run *run) {
    static const size_t orders[] = {4, 8, 15, 16, 24, 32, 64, 128, 256};
    size_t bytes = run->options->quick ? QUICK_EIGEN_BYTES : EIGEN_BYTES;
    table_print_eigen_head();
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        device_eigen row;
        char error[MEASURE_ERROR_BYTES];
        if (device_eigen_time(&row, orders[i], bytes, EIGEN_PART * run->plan.seconds, error,
                              sizeof error) != ENGINE_OK) {
            fprintf(stderr, NAME ": %s\n", error);
            return BENCH_EXIT_FAILURE;
        }
        table_print_eigen_row(&row);
    }
    return 0;
}

/* Dims and numbers of classes, each with data of its own. */
static int run_shapes(bench_run *run) {
    const bench_options *o = run->options;
    int status = 0;
    for (size_t d = 0; status == 0 && d < o->dim.count; d++) {
        for (size_t c = 0; status == 0 && c < o->classes.count; c++) {
            status = run_shape(run, o->dim.value[d], o->classes.value[c]);
        }
    }
    if (status == 0 && run->measured + run->stages == 0) {
        fprintf(stderr, NAME ": there is not enough memory for any of these\n");
        return BENCH_EXIT_FAILURE;
    }
    return status;
}

static int run_rates(bench_run *run) {
    const bench_options *o = run->options;
    if (o->yardsticks) {
        table_print_device_head();
    }
    int status = run_shapes(run);
    if (status != 0) {
        return status;
    }
    table_print_memory(run->row, run->rows);
    parts_print_ssyevd(run->row, run->rows);
    parts_print_accounts(run->row, run->rows);
    parts_print_stages(run->staged, run->stages);
    fflush(stdout);
    return o->yardsticks || any_on_device(run) ? run_eigen(run) : 0;
}

/* The first configuration again, with more and more accounts. */
static int run_sweep(const bench_run *run) {
    static const size_t full[SWEEP_MAX] = {100, 1000, 10000, 100000};
    static const size_t quick[SWEEP_MAX] = {8, 16, 32, 64};
    bench_options o = *run->options;
    const size_t *accounts = o.quick ? quick : full;
    sweep_row rows[SWEEP_MAX] = {{0}};
    char error[MEASURE_ERROR_BYTES];
    o.accounts.count = SWEEP_MAX;
    for (size_t i = 0; i < SWEEP_MAX; i++) {
        o.accounts.value[i] = rows[i].accounts = accounts[i];
    }
    o.window_rows.count = 1;
    table_row shape = shape_of(&o, o.dim.value[0], o.classes.value[0]);
    synthetic_shape data_is = data_shape(&o, &shape);
    stream_options options = run->plan.stream;
    options.window_rows = o.window_rows.value[0];
    synthetic data = {0};
    snprintf(error, sizeof error, "not enough memory for the rows");
    bool measured = synthetic_bytes(&data_is) < bench_memory_available() &&
                    synthetic_init(&data, &data_is) &&
                    sweep_measure(rows, SWEEP_MAX, &data, &options, SWEEP_PART * run->plan.seconds,
                                  error, sizeof error);
    synthetic_fini(&data);
    if (!measured) {
        fprintf(stderr, NAME ": more accounts: %s\n", error);
        return BENCH_EXIT_FAILURE;
    }
    parts_print_sweep(&shape, rows, SWEEP_MAX);
    return 0;
}

static int run_small_eigen(const bench_run *run) {
    static const size_t orders[] = {2, 3, 4, 8, 15, 16, 24, 32};
    parts_print_eigen_head();
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        small_eigen row;
        if (!small_eigen_time(&row, orders[i], SMALL_EIGEN_PART * run->plan.seconds)) {
            fprintf(stderr, NAME ": eigenproblems of order %zu failed\n", orders[i]);
            return BENCH_EXIT_FAILURE;
        }
        parts_print_eigen_row(&row);
    }
    return 0;
}

static int run_bytes(const bench_run *run) {
    bool quick = run->options->quick;
    char error[MEASURE_ERROR_BYTES];
    footprint held;
    footprint_shape shape = {.dim = quick ? QUICK_BYTES_DIM : BYTES_DIM,
                             .classes = BYTES_CLASSES,
                             .window_rows = BYTES_WINDOW,
                             .memory_rank = BYTES_MEMORY_RANK,
                             .accounts = quick ? QUICK_BYTES_ACCOUNTS : BYTES_ACCOUNTS};
    if (!footprint_measure(&held, &shape, error, sizeof error)) {
        fprintf(stderr, NAME ": bytes of an account: %s\n", error);
        return BENCH_EXIT_FAILURE;
    }
    parts_print_bytes(&held, &shape);
    return 0;
}

static int run_sides(const bench_run *run) {
    bool quick = run->options->quick;
    char error[MEASURE_ERROR_BYTES];
    sides_row rows[SIDES_ROWS];
    sides_plan plan = {.dim = quick ? QUICK_SIDES_DIM : SIDES_DIM,
                       .window_rows = quick ? QUICK_SIDES_DIM : SIDES_WINDOW,
                       .observation_rows = SIDES_OBSERVATION,
                       .accounts = quick ? QUICK_SIDES_ACCOUNTS : SIDES_ACCOUNTS,
                       .threads = run->options->threads,
                       .seconds = SIDES_PART * run->plan.seconds};
    if (!sides_measure(rows, &plan, error, sizeof error)) {
        fprintf(stderr, NAME ": decisions only: %s\n", error);
        return BENCH_EXIT_FAILURE;
    }
    parts_print_sides(rows, &plan);
    return 0;
}

static int run_all(bench_run *run) {
    unsigned parts = run->options->parts;
    int status = 0;
    if ((parts & (OPTIONS_RATES | OPTIONS_STAGES)) != 0) {
        status = run_rates(run);
    }
    if (status == 0 && (parts & OPTIONS_ACCOUNTS) != 0) {
        status = run_sweep(run);
    }
    if (status == 0 && (parts & OPTIONS_EIGEN) != 0) {
        status = run_small_eigen(run);
    }
    if (status == 0 && (parts & OPTIONS_BYTES) != 0) {
        status = run_bytes(run);
    }
    return status == 0 && (parts & OPTIONS_SIDES) != 0 ? run_sides(run) : status;
}

static double plan_seconds(const bench_options *o) {
    if (o->seconds > 0) {
        return (double)o->seconds;
    }
    return o->quick ? QUICK_SECONDS : options_device(o) ? DEVICE_SECONDS : FULL_SECONDS;
}

int bench_engine(int argc, char **argv) {
    bench_options o;
    int status = options_parse(argc, argv, &o);
    if (status != 0) {
        return status;
    }
    bench_run run = {.options = &o,
                     .plan = {.stream = {.engine = o.engine,
                                         .memory_rank = o.memory_rank,
                                         .threads = o.threads,
                                         .tf32 = o.tf32},
                              .seconds = plan_seconds(&o),
                              .requests_min = o.quick ? QUICK_REQUESTS : FULL_REQUESTS,
                              .copy_bytes = o.quick ? 0 : COPY_BYTES,
                              .yardsticks_only = o.yardsticks},
                     .row = calloc(CONFIGURATIONS_MAX, sizeof *run.row),
                     .staged = calloc(CONFIGURATIONS_MAX, sizeof *run.staged)};
    if (run.row == NULL || run.staged == NULL) {
        fprintf(stderr, NAME ": out of memory\n");
        status = BENCH_EXIT_FAILURE;
    } else {
        bench_print_machine();
        status = run_all(&run);
    }
    free(run.staged);
    free(run.row);
    return status;
}

/*
 * parts_table.c - see parts_table.h.
 */
#include "parts_table.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

/* What is to be reached. */
enum { SMALL_ORDER_MAX = 8, HELD_BYTES_MAX = 40000 };
#define SIDES_GOAL 5.0
#define SMALL_GOAL 5.0
#define LARGER_GOAL 2.5
#define ACCOUNTS_GOAL 0.8

static void print_shape(const table_row *row) {
    printf("%5zu %5zu %7zu %5zu %8zu", row->dim, row->window_rows, row->classes, row->rank,
           row->accounts);
}

static void print_shape_head(void) {
    printf("%5s %5s %7s %5s %8s", "dim", "W", "classes", "rank", "accounts");
}

/* ---- ssyevd ---- */

static void print_ssyevd_row(const table_row *row) {
    const measure_result *r = &row->result;
    const double *per_s = r->ssyevd_per_s;
    double windows_per_s = r->rows_per_s / (double)row->observation_rows;
    bool all = per_s[SSYEVD_ALL] > per_s[SSYEVD_ONE];
    double best = all ? per_s[SSYEVD_ALL] : per_s[SSYEVD_ONE];
    print_shape(row);
    printf(" %12.0f %10.1f %8zu %10.0f %12.1f %10.0f\n", windows_per_s, best,
           all ? r->threads : (size_t)1, windows_per_s / best, per_s[SSYEVD_SIDE],
           windows_per_s / per_s[SSYEVD_SIDE]);
}

void parts_print_ssyevd(const table_row *rows, size_t count) {
    bool headed = false;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].skipped || rows[i].result.ssyevd_per_s[SSYEVD_ONE] <= 0.0) {
            continue;
        }
        if (!headed) {
            printf("\nbeside LAPACK's ssyevd, values only, of one dim x dim float32 covariance a "
                   "window: at its\nbest number of threads, 1 or all; and as many one-threaded "
                   "calls side by side\n");
            print_shape_head();
            printf(" %12s %10s %8s %10s %12s %10s\n", "windows/s", "ssyevd/s", "threads", "times",
                   "side by side", "times");
            headed = true;
        }
        print_ssyevd_row(&rows[i]);
    }
}

/* ---- stages ---- */

typedef struct {
    stages_kind first, last;
} stage_range;

static const stage_range window_stages = {STAGES_CONVERT, STAGES_REDUCE};
static const stage_range memory_stages = {STAGES_ROTATE, STAGES_MEMORY_SCORE};

static double sum_of(const stages_result *r, stage_range range) {
    double sum = 0.0;
    for (stages_kind kind = range.first; kind <= range.last; kind++) {
        sum += r->stage[kind];
    }
    return sum;
}

/* Microseconds, then shares of the engine's. */
static void print_stage_rows(const table_row *row, stage_range range, double sum, double engine) {
    const stages_result *r = &row->stages;
    print_shape(row);
    for (stages_kind kind = range.first; kind <= range.last; kind++) {
        printf(" %11.2f", 1e6 * r->stage[kind]);
    }
    printf(" %9.2f %9.2f\n%34s", 1e6 * sum, 1e6 * engine, "share");
    for (stages_kind kind = range.first; kind <= range.last; kind++) {
        printf(" %11.3f", r->stage[kind] / engine);
    }
    printf(" %9.3f\n", sum / engine);
}

static void print_window_stages(const table_row *rows, size_t count) {
    printf("\nstages, microseconds a window, one thread; share: of the engine's own time on one "
           "thread, memory\noff. convert: rows in order of class, to float32, centred, s, "
           "alignment; project: the products;\ngram: gathering, sorting, Helmert rows, Gram "
           "matrices, closed forms of up to three rows of a class;\neigen: tridiagonal and sums "
           "of roots from order 3; reduce: d2 and sums, without benign tables\n");
    print_shape_head();
    printf(" %11s %11s %11s %11s %11s %11s %9s %9s\n", "convert", "project", "append", "gram",
           "eigen", "reduce", "sum", "engine");
    for (size_t i = 0; i < count; i++) {
        if (rows[i].stages.measured) {
            print_stage_rows(&rows[i], window_stages, sum_of(&rows[i].stages, window_stages),
                             rows[i].stages.engine);
        }
    }
}

static void print_memory_stages(const table_row *rows, size_t count) {
    printf(
        "\n... with memory on, what it adds; sum: with those above. rotations: the blocks and "
        "the rows into\nthem; score: the triangle's Gram matrix, its eigenvalues, d2 and sums\n");
    print_shape_head();
    printf(" %11s %11s %9s %9s\n", "rotations", "score", "sum", "engine");
    for (size_t i = 0; i < count; i++) {
        const stages_result *r = &rows[i].stages;
        if (r->measured && r->memory_rank > 0) {
            print_stage_rows(&rows[i], memory_stages,
                             sum_of(r, window_stages) + sum_of(r, memory_stages), r->engine_memory);
        }
    }
}

void parts_print_stages(const table_row *rows, size_t count) {
    bool any = false, memory = false;
    for (size_t i = 0; i < count; i++) {
        any = any || rows[i].stages.measured;
        memory = memory || (rows[i].stages.measured && rows[i].stages.memory_rank > 0);
    }
    if (any) {
        print_window_stages(rows, count);
    }
    if (memory) {
        print_memory_stages(rows, count);
    }
}

/* ---- accounts ---- */

static bool same_but_accounts(const table_row *a, const table_row *b) {
    return !a->skipped && !b->skipped && a->dim == b->dim && a->window_rows == b->window_rows &&
           a->classes == b->classes;
}

/* Of the rows like row i, that with the fewest accounts, and the most. */
static void find_ends(const table_row *rows, size_t count, size_t i, size_t ends[2]) {
    ends[0] = ends[1] = i;
    for (size_t j = 0; j < count; j++) {
        if (same_but_accounts(&rows[i], &rows[j])) {
            ends[0] = rows[j].accounts < rows[ends[0]].accounts ? j : ends[0];
            ends[1] = rows[j].accounts > rows[ends[1]].accounts ? j : ends[1];
        }
    }
}

static void print_accounts_head(size_t batch_accounts) {
    printf("\nrows/s by accounts, %zu of them in a batch, memory off\n", batch_accounts);
    print_shape_head();
    printf(" %12s %12s\n", "rows/s", "over fewest");
}

static void print_accounts_row(const table_row *row, double fewest, bool last) {
    double share = row->result.rows_per_s / fewest;
    print_shape(row);
    printf(" %12.0f %12.3f", row->result.rows_per_s, share);
    if (last) {
        printf("  goal %.1f: %s", ACCOUNTS_GOAL, share >= ACCOUNTS_GOAL ? "reached" : "missed");
    }
    printf("\n");
}

void parts_print_accounts(const table_row *rows, size_t count) {
    bool headed = false;
    for (size_t i = 0; i < count; i++) {
        size_t ends[2];
        find_ends(rows, count, i, ends);
        if (rows[i].skipped || ends[0] == ends[1]) {
            continue;
        }
        if (!headed) {
            print_accounts_head(rows[i].batch_accounts);
            headed = true;
        }
        print_accounts_row(&rows[i], rows[ends[0]].result.rows_per_s, i == ends[1]);
    }
}

void parts_print_sweep(const table_row *shape, const sweep_row *rows, size_t count) {
    print_accounts_head(shape->batch_accounts);
    for (size_t i = 0; i < count; i++) {
        table_row row = *shape;
        row.accounts = rows[i].accounts;
        row.result.rows_per_s = rows[i].rows_per_s;
        if (rows[i].skipped) {
            print_shape(&row);
            printf(" skipped: not enough memory\n");
        } else {
            print_accounts_row(&row, rows[0].rows_per_s, i + 1 == count);
        }
    }
    fflush(stdout);
}

/* ---- small eigenproblems ---- */

void parts_print_eigen_head(void) {
    printf("\nsums of roots of small float64 matrices a second, one thread, beside LAPACK's "
           "values only\n");
    printf("%5s %12s %12s %12s %9s %6s %9s\n", "order", "own", "dsyev", "dsyevd", "times", "goal",
           "error");
}

void parts_print_eigen_row(const small_eigen *row) {
    double lapack = row->dsyev_per_s > row->dsyevd_per_s ? row->dsyev_per_s : row->dsyevd_per_s;
    printf("%5zu %12.0f %12.0f %12.0f %9.2f %6.1f %9.1e\n", row->order, row->own_per_s,
           row->dsyev_per_s, row->dsyevd_per_s, row->own_per_s / lapack,
           row->order <= SMALL_ORDER_MAX ? SMALL_GOAL : LARGER_GOAL, row->error_max);
    fflush(stdout);
}

/* ---- bytes ---- */

void parts_print_bytes(const footprint *held, const footprint_shape *shape) {
    printf("\nbytes an account holds, dim and rank %zu, window %zu, all of %zu classes asked "
           "about, memory rank %zu\n",
           shape->dim, shape->window_rows, shape->classes, shape->memory_rank);
    for (size_t i = 0; i < FOOTPRINT_LINES; i++) {
        const footprint_line *line = &held->line[i];
        printf("  %-28s %8zu x %2zu = %8zu\n", line->what, line->bytes, line->count,
               line->bytes * line->count);
    }
    printf("  %-42s %8zu  goal %d: %s\n", "sum", held->sum, HELD_BYTES_MAX,
           held->sum <= HELD_BYTES_MAX ? "reached" : "missed");
    if (held->resident > 0.0) {
        printf("  %-42s %8.0f  (of a service filled with %zu accounts more)\n", "resident set",
               held->resident, shape->accounts);
    } else {
        printf("  %-42s %8s\n", "resident set", "-");
    }
}

/* ---- decisions only ---- */

void parts_print_sides(const sides_row *rows, const sides_plan *plan) {
    printf("\ndecisions only, rows/s: dim %zu, windows of %zu rows of one class, %zu accounts, "
           "memory off;\nmedian: of the windows' scores; different: decisions that are not those "
           "of the scores\n",
           plan->dim, plan->window_rows, plan->accounts);
    printf("%-8s %-22s %10s %10s %12s %12s %9s %6s %10s\n", "windows", "threshold of", "threshold",
           "median", "with scores", "without", "times", "goal", "different");
    for (size_t i = 0; i < SIDES_ROWS; i++) {
        const sides_row *row = &rows[i];
        printf("%-8s %-22s %10.4g %10.4g %12.0f %12.0f %9.2f %6.1f %4zu/%zu\n", row->windows,
               row->threshold_of, row->threshold, row->median, row->scores_rows_per_s,
               row->sides_rows_per_s, row->sides_rows_per_s / row->scores_rows_per_s, SIDES_GOAL,
               row->different, row->compared);
    }
    fflush(stdout);
}

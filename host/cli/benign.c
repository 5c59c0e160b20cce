/*
 * benign.c - see benign.h.
 */
#include "benign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alarms.h"
#include "cli.h"
#include "drawer.h"
#include "ladder.h"
#include "mixture.h"
#include "sampling.h"
#include "scorer.h"

/* Windows of a kind of account; at W = 256 fewer, since they share their rows anyway. */
enum { WINDOWS_MAX = 4000, WINDOWS_MIN = 500, WINDOW_ROWS_MAX = 1 << 18 };

static bool no_memory(char *error, size_t error_bytes) {
    snprintf(error, error_bytes, "out of memory");
    return false;
}

static size_t windows_of(const benign_plan *plan) {
    size_t windows = WINDOW_ROWS_MAX / plan->window_rows;
    return windows > WINDOWS_MAX ? WINDOWS_MAX : windows < WINDOWS_MIN ? WINDOWS_MIN : windows;
}

static int float_order(const void *left, const void *right) {
    float a = *(const float *)left;
    float b = *(const float *)right;
    return (a > b) - (a < b);
}

static void sort_lists(const evidence_honest *honest) {
    for (size_t i = 0; i < honest->lists; i++) {
        qsort((float *)honest->value + honest->first[i], honest->first[i + 1] - honest->first[i],
              sizeof(float), float_order);
    }
}

/* ---- rows ---- */

/* Every row as a window of its own. */
static bool align_rows(scorer *scorer, const dataset *data, float *alignments) {
    size_t *first = calloc(data->rows + 1, sizeof *first);
    uint32_t *row = calloc(data->rows, sizeof *row);
    engine_result *results = calloc(data->rows, sizeof *results);
    bool fine = first != NULL && row != NULL && results != NULL;
    for (size_t i = 0; fine && i < data->rows; i++) {
        first[i + 1] = i + 1;
        row[i] = (uint32_t)i;
    }
    scorer_windows windows = {.data = data, .windows = data->rows, .first = first, .row = row};
    fine = fine && scorer_run(scorer, &windows, results, alignments);
    free(results);
    free(row);
    free(first);
    return fine;
}

/* The values of one kind of data, class by class. */
static bool list_alignments(scorer *scorer, const dataset *data, const size_t *first,
                            size_t classes, float *values) {
    ladder_classes by_class = {0};
    float *alignments = calloc(data->rows, sizeof *alignments);
    bool fine = alignments != NULL && ladder_classes_open(&by_class, data, classes) &&
                align_rows(scorer, data, alignments);
    for (size_t i = 0; fine && i < data->rows; i++) {
        values[first[0] + i] = alignments[by_class.order[i]];
    }
    ladder_classes_close(&by_class);
    free(alignments);
    return fine;
}

/* ---- windows ---- */

/* The window of a new account of a kind; shorter where its classes have no more. Returns how many
 * rows. */
static size_t draw_window(drawer *d, sampling_random *random, mixture_kind kind, size_t rows_max,
                          uint32_t *rows) {
    size_t taken = 0;
    drawer_new_account(d, random, kind);
    drawer_new_window(d);
    for (size_t row; taken < rows_max && (row = drawer_take(d, random)) != SIZE_MAX;) {
        rows[taken++] = (uint32_t)row;
    }
    return taken;
}

typedef struct {
    const dataset *data;
    mixture_kind kind;
    size_t windows;
    size_t window_rows;
    sampling_random *random;
} excess_plan;

/* Excesses of windows of one kind of account. */
static bool list_excesses(scorer *scorer, drawer *d, const excess_plan *plan, float *values) {
    size_t windows = plan->windows;
    size_t *first = calloc(windows + 1, sizeof *first);
    uint32_t *row = calloc(windows * plan->window_rows, sizeof *row);
    engine_result *results = calloc(windows, sizeof *results);
    bool fine = first != NULL && row != NULL && results != NULL;
    for (size_t k = 0; fine && k < windows; k++) {
        first[k + 1] =
            first[k] + draw_window(d, plan->random, plan->kind, plan->window_rows, row + first[k]);
    }
    scorer_windows chosen = {.data = plan->data, .windows = windows, .first = first, .row = row};
    fine = fine && scorer_run(scorer, &chosen, results, NULL);
    for (size_t k = 0; fine && k < windows; k++) {
        values[k] = (float)results[k].excess;
    }
    free(results);
    free(row);
    free(first);
    return fine;
}

/* ---- together ---- */

static reference_benign *benign_open(const benign_plan *plan, size_t classes) {
    double rung[ENGINE_RUNGS_MAX];
    size_t rungs = ladder_rungs(plan->window_rows, rung);
    reference_benign *b = reference_benign_new(classes, plan->kinds, rungs);
    if (b == NULL) {
        return NULL;
    }
    evidence_options *e = &b->evidence;
    memcpy((double *)b->window.rung, rung, rungs * sizeof *rung);
    size_t *first = (size_t *)e->alignment.first;
    for (size_t k = 0; k < plan->kinds; k++) {
        b->rows += plan->data[k].rows;
        for (size_t i = 0; i < plan->data[k].rows; i++) {
            first[k * classes + plan->data[k].classes[i] + 1]++;
        }
    }
    for (size_t i = 0; i < e->alignment.lists; i++) {
        first[i + 1] += first[i];
    }
    for (size_t i = 0; i <= e->excess.lists; i++) {
        ((size_t *)e->excess.first)[i] = i * windows_of(plan);
    }
    size_t present = 0;
    for (size_t c = 0; c < classes; c++) {
        present += first[c + 1] > first[c];
    }
    e->window_rows = plan->window_rows;
    e->rows_per_class = (double)plan->data[0].rows / (double)(present > 0 ? present : 1);
    e->tolerance_deviations = plan->tolerance;
    b->false_alarms = plan->false_alarms;
    b->queries = plan->queries;
    b->fpr = plan->fpr;
    if (!reference_benign_allocate(b)) {
        reference_benign_close(b);
        return NULL;
    }
    return b;
}

/* The lists of all kinds of data; excesses by the ladder that the reference has by now. */
static bool fill_lists(const benign_plan *plan, reference *reference) {
    evidence_options *e = &reference->benign->evidence;
    char error[CLI_ERROR_BYTES];
    scorer *scorer = scorer_open(reference, plan->window_rows, error, sizeof error);
    bool fine = scorer != NULL;
    for (size_t k = 0; fine && k < plan->kinds; k++) {
        const dataset *data = &plan->data[k];
        sampling_random random = {plan->seed + k};
        drawer d = {0};
        fine = list_alignments(scorer, data, e->alignment.first + k * e->classes, e->classes,
                               (float *)e->alignment.value) &&
               drawer_open(&d, &(drawer_rows){.class_of = data->classes,
                                              .rows = data->rows,
                                              .classes = e->classes});
        for (size_t i = 0; fine && i < REFERENCE_ACCOUNT_KINDS; i++) {
            size_t list = k * REFERENCE_ACCOUNT_KINDS + i;
            excess_plan excesses = {.data = data,
                                    .kind = (mixture_kind)i,
                                    .windows = windows_of(plan),
                                    .window_rows = plan->window_rows,
                                    .random = &random};
            fine = list_excesses(scorer, &d, &excesses,
                                 (float *)e->excess.value + e->excess.first[list]);
            cli_progress("scoring honest accounts' windows", list + 1, e->excess.lists);
        }
        drawer_close(&d);
    }
    scorer_close(scorer);
    sort_lists(&e->alignment);
    sort_lists(&e->excess);
    return fine;
}

bool benign_measure(const benign_plan *plan, reference *reference, char *error,
                    size_t error_bytes) {
    reference_benign *b = benign_open(plan, reference->statistics.classes);
    if (b == NULL) {
        return no_memory(error, error_bytes);
    }
    if (!ladder_measure(b, reference, &plan->data[0], plan->seed, error, error_bytes) ||
        !reference_set_benign(reference, b, error, error_bytes)) {
        reference_benign_close(b);
        return false;
    }
    if (!fill_lists(plan, reference)) {
        snprintf(error, error_bytes, "the engine failed, or no memory");
        return false;
    }
    alarms_plan alarms = {.share = plan->false_alarms,
                          .queries = plan->queries,
                          .fpr = plan->fpr,
                          .accounts = plan->accounts,
                          .seed = plan->seed,
                          .label = "simulating honest accounts"};
    return alarms_limits(&b->evidence, &alarms) || no_memory(error, error_bytes);
}

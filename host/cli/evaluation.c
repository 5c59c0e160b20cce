/*
 * evaluation.c - see evaluation.h.
 */
#include "evaluation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "sampling.h"

enum {
    CALIBRATION_WINDOWS = 50000,
    UNMIXED_QUERIES = 512,
    SHIFTED_QUERIES = 1000,
    GROUPS_OF_ATTACK_MAX = 4 + EVALUATION_MIXES,
};

const double evaluation_mix[EVALUATION_MIXES] = {0.5, 0.25, 0.1, 0.05};
/* Long enough for what is asked of the mix. */
static const size_t mix_queries[EVALUATION_MIXES] = {512, 1024, 4096, 4096};

static bool no_memory(char *error, size_t error_bytes) {
    snprintf(error, error_bytes, "out of memory");
    return false;
}

/* ---- sources ---- */

static bool ranges_are_disjoint(const evaluation *e, char *error, size_t error_bytes) {
    for (size_t i = 0; i < e->corpus.sources; i++) {
        const corpus_source *s = &e->corpus.source[i];
        size_t end = s->range.first + (s->rows - 1) * s->range.step + 1;
        if (s->kind == CORPUS_HONEST &&
            corpus_ranges_overlap(s->range, e->plan->calibration_rows, end)) {
            snprintf(error, error_bytes,
                     "--calibration-rows and --benign-rows: expected no row of %s in both",
                     s->pair.name);
            return false;
        }
    }
    return true;
}

static bool load_sources(evaluation *e, char *error, size_t error_bytes) {
    const evaluation_plan *plan = e->plan;
    const reference *r = e->reference;
    bool fine = corpus_add(&e->corpus, r, plan->benign, CORPUS_HONEST, plan->benign_rows, error,
                           error_bytes);
    if (plan->shifted != NULL) {
        fine = fine && corpus_add(&e->corpus, r, plan->shifted, CORPUS_SHIFTED, plan->shifted_rows,
                                  error, error_bytes);
    }
    fine = fine &&
           corpus_add(&e->corpus, r, plan->attack, CORPUS_ATTACK, DATASET_ALL, error, error_bytes);
    e->sources = e->corpus.sources;
    if (fine && plan->has_calibration) {
        fine = ranges_are_disjoint(e, error, error_bytes) &&
               corpus_add(&e->corpus, r, plan->benign, CORPUS_CALIBRATION, plan->calibration_rows,
                          error, error_bytes);
    }
    return fine;
}

/* ---- windows ---- */

/* Windows of distinct rows of a source, drawn uniformly and judged. */
static bool draw_windows(const evaluation *e, const corpus_source *source, size_t count,
                         double *const values[PANEL_DETECTORS]) {
    size_t w = e->panel.window_rows;
    sampling_random random = {e->plan->seed};
    uint32_t *order = calloc(source->rows, sizeof *order);
    uint32_t *row = calloc(count * w, sizeof *row);
    size_t *first = calloc(count + 1, sizeof *first);
    bool fine = order && row && first;
    for (size_t i = 0; fine && i < source->rows; i++) {
        order[i] = (uint32_t)(source->first + i);
    }
    for (size_t k = 0; fine && k < count; k++) {
        sampling_shuffle(&random, order, source->rows, w);
        memcpy(row + k * w, order, w * sizeof *row);
        first[k + 1] = first[k] + w;
    }
    scorer_windows windows = {.data = &e->corpus.data,
                              .windows = count,
                              .first = first,
                              .row = row,
                              .label = source->pair.name};
    fine = fine && panel_windows(&e->panel, &windows, values, NULL);
    free(first);
    free(row);
    free(order);
    return fine;
}

static bool values_open(double *values[PANEL_DETECTORS], size_t count) {
    bool fine = true;
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        values[d] = calloc(count, sizeof(double));
        fine = fine && values[d] != NULL;
    }
    return fine;
}

static void values_close(double *values[PANEL_DETECTORS]) {
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        free(values[d]);
    }
}

/* Sorts what are numbers; the rest is left as it is, to be NAN in all. */
static void sort_values(double *const values[PANEL_DETECTORS], size_t count) {
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        bool numbers = true;
        for (size_t i = 0; i < count; i++) {
            numbers = numbers && !isnan(values[d][i]);
        }
        if (numbers) {
            sampling_sort(values[d], count);
        } else {
            values[d][0] = NAN;
        }
    }
}

static bool panel_sources(evaluation *e, char *error, size_t error_bytes) {
    size_t windows = e->plan->windows;
    e->windows = calloc(e->sources, sizeof *e->windows);
    if (e->windows == NULL || !values_open(e->honest, e->sources * windows)) {
        return no_memory(error, error_bytes);
    }
    for (size_t i = 0; i < e->sources; i++) {
        evaluation_windows *s = &e->windows[i];
        s->source = &e->corpus.source[i];
        if (!values_open(s->values, windows) || !draw_windows(e, s->source, windows, s->values)) {
            snprintf(error, error_bytes, "the engine failed, or no memory");
            return false;
        }
        if (s->source->kind == CORPUS_HONEST) {
            for (size_t d = 0; d < PANEL_DETECTORS; d++) {
                memcpy(e->honest[d] + e->honest_count, s->values[d], windows * sizeof(double));
            }
            e->honest_count += windows;
        }
        sort_values(s->values, windows);
    }
    sort_values(e->honest, e->honest_count);
    return true;
}

/* Thresholds that the reference does not have, off honest rows that are not tested. */
static bool find_thresholds(evaluation *e, char *error, size_t error_bytes) {
    size_t sources = e->corpus.sources - e->sources;
    double *values[PANEL_DETECTORS] = {0};
    if (sources == 0) {
        return true;
    }
    size_t each = CALIBRATION_WINDOWS / sources;
    bool fine = values_open(values, sources * each);
    for (size_t i = 0; fine && i < sources; i++) {
        double *here[PANEL_DETECTORS];
        for (size_t d = 0; d < PANEL_DETECTORS; d++) {
            here[d] = values[d] + i * each;
        }
        fine = draw_windows(e, &e->corpus.source[e->sources + i], each, here);
    }
    if (fine) {
        sort_values(values, sources * each);
    } else {
        snprintf(error, error_bytes, "the engine failed, or no memory");
    }
    for (size_t d = 0; fine && d < PANEL_DETECTORS; d++) {
        if (isnan(e->panel.threshold[d]) && !isnan(values[d][0])) {
            e->panel.threshold[d] = sampling_upper(values[d], sources * each, e->fpr);
        }
    }
    values_close(values);
    return fine;
}

/* ---- accounts ---- */

static bool run_group(evaluation *e, evaluation_role role, const corpus_source *source,
                      simulate_recipe recipe) {
    evaluation_accounts *a = &e->accounts[e->groups++];
    *a = (evaluation_accounts){.role = role, .source = source};
    char label[DATASET_NAME_MAX + 80];
    char what[64];
    recipe.accounts = e->plan->accounts;
    recipe.seed = e->plan->seed + 1000 * e->groups;
    a->cell.recipe = recipe;
    evaluation_describe(a, what, sizeof what);
    snprintf(label, sizeof label, "%s: %s", source->pair.name, what);
    recipe.label = label;
    bool fine = simulate_run(&a->cell, &e->panel, &recipe, e->reference->statistics.classes);
    a->cell.recipe.label = NULL;
    return fine;
}

static bool is_in_order(const evaluation_plan *plan, const char *name) {
    bool found = strstr(name, "jbda") != NULL;
    for (size_t i = 0; i < plan->in_order_count; i++) {
        found = found || strcmp(plan->in_order[i], name) == 0;
    }
    return found;
}

static bool run_honest(evaluation *e, const corpus_source *s) {
    bool shifted = s->kind == CORPUS_SHIFTED;
    bool fine = true;
    for (size_t kind = 0; fine && kind <= MIXTURE_ALL; kind++) {
        fine =
            run_group(e, shifted ? EVALUATION_SHIFTED : EVALUATION_HONEST, s,
                      (simulate_recipe){.honest = s,
                                        .kind = (mixture_kind)kind,
                                        .queries = shifted ? SHIFTED_QUERIES : e->plan->queries});
    }
    return fine;
}

static bool run_attack(evaluation *e, const corpus_source *s) {
    simulate_recipe pure = {
        .hostile = s, .hostile_share = 1.0, .kind = MIXTURE_ALL, .queries = UNMIXED_QUERIES};
    simulate_recipe sorted = pure;
    sorted.kind_by_window = true;
    sorted.kind = MIXTURE_ONE;
    bool fine =
        run_group(e, EVALUATION_UNMIXED, s, pure) && run_group(e, EVALUATION_ONE_CLASS, s, sorted);
    sorted.kind = MIXTURE_TWO;
    fine = fine && run_group(e, EVALUATION_TWO_CLASSES, s, sorted);
    for (size_t m = 0; fine && m < EVALUATION_MIXES; m++) {
        simulate_recipe mixed = pure;
        mixed.honest = &e->corpus.source[0]; /* honest sources come first */
        mixed.hostile_share = evaluation_mix[m];
        mixed.queries = mix_queries[m];
        fine = run_group(e, EVALUATION_MIXED, s, mixed);
    }
    if (fine && is_in_order(e->plan, s->pair.name)) {
        pure.in_order = true;
        fine = run_group(e, EVALUATION_IN_ORDER, s, pure);
    }
    return fine;
}

static bool run_accounts(evaluation *e, char *error, size_t error_bytes) {
    e->accounts = calloc(e->sources * GROUPS_OF_ATTACK_MAX, sizeof *e->accounts);
    if (e->accounts == NULL) {
        return no_memory(error, error_bytes);
    }
    for (size_t i = 0; i < e->sources; i++) {
        const corpus_source *s = &e->corpus.source[i];
        if (!(s->kind == CORPUS_ATTACK ? run_attack(e, s) : run_honest(e, s))) {
            snprintf(error, error_bytes, "the engine failed, or no memory");
            return false;
        }
    }
    return true;
}

void evaluation_describe(const evaluation_accounts *a, char *text, size_t text_bytes) {
    static const char *const kinds[] = {"one class", "two classes", "three classes",
                                        "Dirichlet mix", "all classes"};
    switch (a->role) {
    case EVALUATION_HONEST:
    case EVALUATION_SHIFTED:
        snprintf(text, text_bytes, "%s, %s", a->role == EVALUATION_HONEST ? "honest" : "shifted",
                 kinds[a->cell.recipe.kind]);
        break;
    case EVALUATION_UNMIXED:
        snprintf(text, text_bytes, "unmixed");
        break;
    case EVALUATION_ONE_CLASS:
        snprintf(text, text_bytes, "one class a window");
        break;
    case EVALUATION_TWO_CLASSES:
        snprintf(text, text_bytes, "two classes a window");
        break;
    case EVALUATION_MIXED:
        snprintf(text, text_bytes, "%g %% hostile", 100.0 * a->cell.recipe.hostile_share);
        break;
    case EVALUATION_IN_ORDER:
        snprintf(text, text_bytes, "in file order");
        break;
    }
}

/* ---- together ---- */

static bool windows_fit(const evaluation *e, char *error, size_t error_bytes) {
    for (size_t i = 0; i < e->corpus.sources; i++) {
        const corpus_source *s = &e->corpus.source[i];
        if (s->rows < e->plan->window_rows) {
            snprintf(error, error_bytes, "%s: a window of %zu rows cannot be drawn from %zu",
                     s->pair.name, e->plan->window_rows, s->rows);
            return false;
        }
    }
    return true;
}

static bool open_panel(evaluation *e, char *error, size_t error_bytes) {
    const reference_threshold *raw = reference_find_threshold(e->reference, e->plan->window_rows);
    e->panel = (panel){.corpus = &e->corpus, .window_rows = e->plan->window_rows};
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        e->panel.threshold[d] = NAN;
    }
    e->fpr = raw->fpr;
    e->panel.threshold[PANEL_RAW] = raw->threshold;
    e->scorer = scorer_open(e->reference, e->plan->window_rows, error, error_bytes);
    e->panel.scorer = e->scorer;
    if (e->scorer == NULL) {
        return false;
    }
    return panel_open(&e->panel, e->reference) || no_memory(error, error_bytes);
}

bool evaluation_run(evaluation *e, const evaluation_plan *plan, const reference *reference,
                    char *error, size_t error_bytes) {
    *e = (evaluation){.plan = plan, .reference = reference};
    return load_sources(e, error, error_bytes) && windows_fit(e, error, error_bytes) &&
           open_panel(e, error, error_bytes) &&
           corpus_measure(&e->corpus, reference, e->scorer, error, error_bytes) &&
           find_thresholds(e, error, error_bytes) && panel_sources(e, error, error_bytes) &&
           (e->panel.rules == NULL || run_accounts(e, error, error_bytes));
}

void evaluation_close(evaluation *e) {
    for (size_t i = 0; i < e->groups; i++) {
        simulate_close(&e->accounts[i].cell);
    }
    free(e->accounts);
    for (size_t i = 0; e->windows != NULL && i < e->sources; i++) {
        values_close(e->windows[i].values);
    }
    free(e->windows);
    values_close(e->honest);
    panel_close(&e->panel);
    scorer_close(e->scorer);
    corpus_close(&e->corpus);
    *e = (evaluation){0};
}

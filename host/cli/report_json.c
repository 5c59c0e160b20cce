/*
 * report_json.c - see report.h. jansson passes a part that had no memory on as NULL, which is seen
 * when the whole is put together.
 */
#include "report.h"

#include <math.h>
#include <string.h>

#include "interval.h"
#include "sampling.h"

enum { ROC_POINTS = 41, BINS = 120 };

json_t *report_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

double report_real(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *report_text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? value : "";
}

static json_t *share_of(size_t hits, size_t of) {
    interval i = interval_wilson(hits, of);
    return json_pack("{s:f, s:f, s:f}", "share", i.share, "low", i.low, "high", i.high);
}

/* Puts it in; one failure spoils the whole. */
static void put(json_t **into, const char *key, json_t *value) {
    if (*into != NULL && json_object_set_new(*into, key, value) != 0) {
        json_decref(*into);
        *into = NULL;
    } else if (*into == NULL) {
        json_decref(value);
    }
}

static void add(json_t **into, json_t *value) {
    if (*into != NULL && json_array_append_new(*into, value) != 0) {
        json_decref(*into);
        *into = NULL;
    } else if (*into == NULL) {
        json_decref(value);
    }
}

/* ---- windows ---- */

/* Sorted values. */
typedef struct {
    const double *value;
    size_t count;
} sample;

/* Share of hostile values caught by share of honest ones above, which falls from 1 to 1e-4. */
static json_t *roc_of(sample honest, sample hostile) {
    json_t *fpr = json_array();
    json_t *tpr = json_array();
    for (size_t i = 0; i < ROC_POINTS; i++) {
        double rate = pow(10.0, -4.0 * (double)i / (ROC_POINTS - 1));
        double threshold = sampling_upper(honest.value, honest.count, rate);
        double caught = sampling_share_above(hostile.value, hostile.count, threshold);
        add(&fpr, json_real(rate));
        add(&tpr, json_real(rate >= 1.0 ? 1.0 : caught));
    }
    return json_pack("{s:o, s:o}", "fpr", fpr, "tpr", tpr);
}

static json_t *windows_by(const evaluation *e, const evaluation_windows *w, size_t d) {
    size_t count = e->plan->windows;
    double threshold = e->panel.threshold[d];
    const double *values = w->values[d];
    json_t *entry = json_object();
    if (isnan(threshold)) {
        put(&entry, "above", json_null());
    } else {
        double above = sampling_share_above(values, count, threshold);
        put(&entry, "above", share_of((size_t)lround(above * (double)count), count));
    }
    if (w->source->kind != CORPUS_HONEST && !isnan(e->honest[d][0])) {
        put(&entry, "auroc",
            json_real(sampling_auroc(e->honest[d], e->honest_count, values, count)));
        put(&entry, "roc",
            roc_of((sample){e->honest[d], e->honest_count}, (sample){values, count}));
    }
    return entry;
}

static json_t *source_of(const evaluation *e, const evaluation_windows *w) {
    size_t count = e->plan->windows;
    const double *raw = w->values[PANEL_RAW];
    bool hostile = w->source->kind == CORPUS_ATTACK;
    json_t *by = json_object();
    json_t *entry =
        json_pack("{s:s, s:b, s:b, s:I, s:f, s:f, s:f, s:f}", "name", w->source->pair.name,
                  "hostile", hostile, "shifted", w->source->kind == CORPUS_SHIFTED, "windows",
                  (json_int_t)count, "low", sampling_upper(raw, count, 0.99), "median",
                  sampling_upper(raw, count, 0.5), "high", sampling_upper(raw, count, 0.01),
                  "above", sampling_share_above(raw, count, e->panel.threshold[PANEL_RAW]));
    if (hostile) {
        put(&entry, "auroc",
            json_real(sampling_auroc(e->honest[PANEL_RAW], e->honest_count, raw, count)));
    }
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        if (!isnan(w->values[d][0])) {
            put(&by, panel_name[d], windows_by(e, w, d));
        }
    }
    put(&entry, "detectors", by);
    return entry;
}

/* ---- accounts ---- */

/* Of all honest accounts of all classes the best at a horizon, sorted; returns how many. */
static size_t gather_honest(const evaluation *e, size_t d, size_t h, double *values) {
    size_t accounts = e->plan->accounts;
    size_t count = 0;
    for (size_t g = 0; g < e->groups; g++) {
        const evaluation_accounts *a = &e->accounts[g];
        if (a->role == EVALUATION_HONEST && a->cell.recipe.kind == MIXTURE_ALL &&
            !isnan(a->cell.best[d][h * accounts])) {
            memcpy(values + count, a->cell.best[d] + h * accounts, accounts * sizeof *values);
            count += accounts;
        }
    }
    sampling_sort(values, count);
    return count;
}

static json_t *horizon_by(const evaluation *e, const evaluation_accounts *a, size_t d, size_t h,
                          size_t queries) {
    size_t accounts = e->plan->accounts;
    json_t *entry = json_object();
    put(&entry, "flagged",
        isnan(e->panel.threshold[d])
            ? json_null()
            : share_of(simulate_flagged(&a->cell, (panel_detector)d, queries), accounts));
    double *honest = calloc((e->groups + 1) * accounts, sizeof *honest);
    if (honest == NULL) {
        json_decref(entry);
        return NULL;
    }
    double *of_honest = honest + accounts;
    size_t count = gather_honest(e, d, h, of_honest);
    if (a->role != EVALUATION_HONEST && count > 0) {
        memcpy(honest, a->cell.best[d] + h * accounts, accounts * sizeof *honest);
        sampling_sort(honest, accounts);
        put(&entry, "auroc", json_real(sampling_auroc(of_honest, count, honest, accounts)));
        if (a->role == EVALUATION_UNMIXED || a->role == EVALUATION_MIXED) {
            put(&entry, "roc", roc_of((sample){of_honest, count}, (sample){honest, accounts}));
        }
    }
    free(honest);
    return entry;
}

static json_t *horizons_of(const evaluation *e, const evaluation_accounts *a) {
    json_t *all = json_array();
    for (size_t h = 0; h < SIMULATE_HORIZONS; h++) {
        size_t queries = h == 0                       ? e->plan->window_rows
                         : h == SIMULATE_HORIZONS - 1 ? a->cell.recipe.queries
                                                      : simulate_horizon[h];
        json_t *by = json_object();
        bool any = false;
        for (size_t d = 0; d < PANEL_DETECTORS; d++) {
            if (!isnan(a->cell.best[d][h * e->plan->accounts])) {
                put(&by, panel_name[d], horizon_by(e, a, d, h, queries));
                any = true;
            }
        }
        json_t *entry = json_pack("{s:I, s:o}", "queries", (json_int_t)queries, "detectors", by);
        if (any) {
            add(&all, entry);
        } else {
            json_decref(entry);
        }
    }
    return all;
}

/* Share of accounts flagged after n queries, at window's ends that lie further and further apart.
 */
static json_t *curve_of(const evaluation *e, const evaluation_accounts *a) {
    size_t w = e->plan->window_rows;
    json_t *curve = json_object();
    json_t *queries = json_array();
    json_t *by[PANEL_DETECTORS];
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        by[d] = json_array();
    }
    for (size_t k = 1; k * w <= a->cell.recipe.queries; k += k / 4 + 1) {
        add(&queries, json_integer((json_int_t)(k * w)));
        for (size_t d = 0; d < PANEL_DETECTORS; d++) {
            double share = (double)simulate_flagged(&a->cell, (panel_detector)d, k * w) /
                           (double)e->plan->accounts;
            add(&by[d], report_number(isnan(e->panel.threshold[d]) ? (double)NAN : share));
        }
    }
    put(&curve, "queries", queries);
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        put(&curve, panel_name[d], by[d]);
    }
    return curve;
}

static json_t *accounts_of(const evaluation *e, const evaluation_accounts *a) {
    static const char *const roles[] = {"honest",      "shifted", "unmixed", "one_class",
                                        "two_classes", "mixed",   "in_order"};
    char kind[64];
    evaluation_describe(a, kind, sizeof kind);
    json_t *above = json_object();
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        put(&above, panel_name[d],
            isnan(e->panel.threshold[d]) || d == PANEL_EVIDENCE
                ? json_null()
                : share_of(a->cell.above[d], a->cell.windows));
    }
    const simulate_recipe *r = &a->cell.recipe;
    double hostile = r->hostile == NULL ? 0.0 : r->hostile_share;
    return json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:o, s:o, s:o}", "source",
                     a->source->pair.name, "role", roles[a->role], "kind", kind, "hostile_share",
                     hostile, "accounts", (json_int_t)r->accounts, "queries",
                     (json_int_t)r->queries, "windows_above", above, "horizons", horizons_of(e, a),
                     "curve", curve_of(e, a));
}

/* ---- limits scaled ---- */

/* The share flagged by limits times `factor`, at a horizon, of the group of a role (and of a share
 * of hostile rows) in which it is lowest, or highest. */
static double extreme_flagged(const evaluation *e, evaluation_role role, double hostile, size_t h,
                              double factor, bool highest) {
    size_t accounts = e->plan->accounts;
    double found = NAN;
    for (size_t g = 0; g < e->groups; g++) {
        const evaluation_accounts *a = &e->accounts[g];
        const double *best = a->cell.best[PANEL_EVIDENCE] + h * accounts;
        if (a->role != role || isnan(best[0]) ||
            (role == EVALUATION_MIXED && a->cell.recipe.hostile_share != hostile)) {
            continue;
        }
        size_t flagged = 0;
        for (size_t i = 0; i < accounts; i++) {
            flagged += best[i] > factor;
        }
        double share = (double)flagged / (double)accounts;
        found = isnan(found) || (highest ? share > found : share < found) ? share : found;
    }
    return found;
}

static json_t *trade_off(const evaluation *e) {
    enum { H64 = 2, H512 = 4, ALL = SIMULATE_HORIZONS - 1, STEPS = 13 };
    json_t *columns[5];
    json_t *all = json_object();
    static const char *const names[] = {"factor", "honest", "shifted", "unmixed_64",
                                        "half_hostile_512"};
    for (size_t i = 0; i < 5; i++) {
        columns[i] = json_array();
    }
    for (size_t i = 0; i < STEPS; i++) {
        double factor = 0.5 * pow(2.0, (double)i / 4.0);
        add(&columns[0], json_real(factor));
        add(&columns[1],
            report_number(extreme_flagged(e, EVALUATION_HONEST, 0, ALL, factor, true)));
        add(&columns[2],
            report_number(extreme_flagged(e, EVALUATION_SHIFTED, 0, ALL, factor, true)));
        add(&columns[3],
            report_number(extreme_flagged(e, EVALUATION_UNMIXED, 0, H64, factor, false)));
        add(&columns[4],
            report_number(extreme_flagged(e, EVALUATION_MIXED, 0.5, H512, factor, false)));
    }
    for (size_t i = 0; i < 5; i++) {
        put(&all, names[i], columns[i]);
    }
    return all;
}

/* ---- together ---- */

json_t *report_json(const evaluation *e) {
    json_t *sources = json_array();
    json_t *accounts = json_array();
    json_t *thresholds = json_object();
    for (size_t i = 0; i < e->sources; i++) {
        add(&sources, source_of(e, &e->windows[i]));
    }
    for (size_t i = 0; i < e->groups; i++) {
        add(&accounts, accounts_of(e, &e->accounts[i]));
    }
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        put(&thresholds, panel_name[d], report_number(e->panel.threshold[d]));
    }
    json_t *report =
        json_pack("{s:s, s:I, s:f, s:f, s:o, s:o}", "model", e->reference->model, "window",
                  (json_int_t)e->plan->window_rows, "threshold", e->panel.threshold[PANEL_RAW],
                  "fpr", e->fpr, "thresholds", thresholds, "sources", sources);
    if (e->groups == 0) {
        json_decref(accounts);
        return report;
    }
    const reference_benign *b = e->reference->benign;
    put(&report, "window_fpr", json_real(b->fpr));
    put(&report, "false_alarms", json_real(b->false_alarms));
    put(&report, "false_alarms_queries", json_integer((json_int_t)b->queries));
    put(&report, "accounts", accounts);
    put(&report, "trade_off", trade_off(e));
    put(&report, "goals", report_goals(e));
    return report;
}

void report_histogram(const evaluation *e, FILE *out) {
    size_t windows = e->plan->windows;
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t i = 0; i < e->sources; i++) {
        low = fmin(low, e->windows[i].values[PANEL_RAW][0]);
        high = fmax(high, e->windows[i].values[PANEL_RAW][windows - 1]);
    }
    low = fmax(low, 1e-6) * 0.98;
    double step = pow(high * 1.02 / low, 1.0 / BINS);
    fprintf(out, "score");
    for (size_t i = 0; i < e->sources; i++) {
        fprintf(out, "\t%s", e->windows[i].source->pair.name);
    }
    for (size_t bin = 0; bin < BINS; bin++) {
        double from = low * pow(step, (double)bin);
        fprintf(out, "\n%.6g", from * sqrt(step));
        for (size_t i = 0; i < e->sources; i++) {
            const double *scores = e->windows[i].values[PANEL_RAW];
            fprintf(out, "\t%.6g",
                    sampling_share_above(scores, windows, from) -
                        sampling_share_above(scores, windows, from * step));
        }
    }
    fprintf(out, "\n");
}

/*
 * panel.c - see panel.h.
 */
#include "panel.h"

#include <math.h>
#include <stdlib.h>

/* Limits are opened so many times higher and levels read that much lower: a sum is held back at
 * twice its limit, and what an operator would see with higher limits is to be seen. */
#define HEADROOM 8.0

const char *const panel_name[PANEL_DETECTORS] = {"raw_add", "evidence",    "window",
                                                 "excess",  "mahalanobis", "energy"};

bool panel_open(panel *j, const reference *reference) {
    j->classes = calloc(j->window_rows, sizeof *j->classes);
    j->alignments = calloc(j->window_rows, sizeof *j->alignments);
    if (j->classes == NULL || j->alignments == NULL) {
        return false;
    }
    const reference_benign *benign = reference->benign;
    if (benign == NULL || benign->evidence.window_rows != j->window_rows) {
        return true;
    }
    evidence_options options = benign->evidence;
    for (size_t c = 0; c < EVIDENCE_CHANNELS; c++) {
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            options.limit[c][k] *= HEADROOM;
        }
    }
    j->threshold[PANEL_EVIDENCE] = 1.0;
    j->threshold[PANEL_WINDOW] = options.window_limit;
    j->rules = evidence_open(&options);
    return j->rules != NULL;
}

void panel_close(panel *j) {
    evidence_close(j->rules);
    free(j->alignments);
    free(j->classes);
    *j = (panel){0};
}

static double mean_of(const double *value, const uint32_t *row, size_t rows) {
    double sum = 0.0;
    for (size_t i = 0; i < rows; i++) {
        sum += value[row[i]];
    }
    return sum / (double)rows;
}

/* The observation of a window, until the next. */
static evidence_observation observe(const panel *j, const uint32_t *row, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        j->classes[i] = j->corpus->data.classes[row[i]];
        j->alignments[i] = (float)j->corpus->alignment[row[i]];
    }
    return (evidence_observation){
        .rows = rows, .classes = j->classes, .alignments = j->alignments, .fill = rows};
}

static void fill_window(const panel *j, const scorer_windows *w, size_t k,
                        const engine_result *result, double *const values[PANEL_DETECTORS]) {
    const uint32_t *row = w->row + w->first[k];
    size_t rows = w->first[k + 1] - w->first[k];
    values[PANEL_RAW][k] = result->score;
    values[PANEL_EVIDENCE][k] = NAN;
    values[PANEL_WINDOW][k] = NAN;
    values[PANEL_EXCESS][k] = j->rules != NULL ? result->excess : (double)NAN;
    values[PANEL_MAHALANOBIS][k] = mean_of(j->corpus->mahalanobis, row, rows);
    values[PANEL_ENERGY][k] = mean_of(j->corpus->energy, row, rows);
    if (j->rules != NULL) {
        evidence_observation o = observe(j, row, rows);
        values[PANEL_WINDOW][k] = evidence_window(j->rules, &o);
    }
}

bool panel_windows(const panel *j, const scorer_windows *w, double *const values[PANEL_DETECTORS],
                   double *concentration) {
    engine_result *results = calloc(w->windows, sizeof *results);
    bool fine = results != NULL && scorer_run(j->scorer, w, results, NULL);
    for (size_t k = 0; fine && k < w->windows; k++) {
        fill_window(j, w, k, &results[k], values);
        if (concentration != NULL) {
            concentration[k] = results[k].concentration;
        }
    }
    free(results);
    return fine;
}

double panel_account(const panel *j, evidence *e, const uint32_t *row, size_t rows, double excess,
                     double concentration) {
    if (j->rules == NULL) {
        return NAN;
    }
    evidence_observation o = observe(j, row, rows);
    o.excess = excess;
    o.concentration = concentration;
    evidence_observe(j->rules, e, &o);
    double of_rows = evidence_level(j->rules, e, EVIDENCE_ROWS);
    double of_windows = evidence_level(j->rules, e, EVIDENCE_WINDOWS);
    return HEADROOM * (of_rows > of_windows ? of_rows : of_windows);
}

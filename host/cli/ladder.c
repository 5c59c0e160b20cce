/*
 * ladder.c - see ladder.h. Means are measured in traces of the class and variances in their
 * squares, so that classes can be compared.
 */
#include "ladder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sampling.h"
#include "scorer.h"

enum { DRAWS_MIN = 32, DRAWS_MAX = 256, ROWS_MAX = 1 << 24 };
/* A class's own variance counts as its rows, that of all classes as so many. */
#define PRIOR_ROWS 8.0
/* Of the squared trace: honest rows that are all alike have none. */
#define VARIANCE_MIN 1e-12
#define TRACE_MIN 1e-20

typedef struct {
    const reference *reference;
    const dataset *data;
    scorer *scorer;
    ladder_classes classes;
    sampling_random random;
    size_t class_count;
    size_t rungs;
    const double *rung;
    double *mean;          /* [classes, rungs] */
    double *variance;      /* [classes, rungs] */
    double *pooled;        /* [rungs] mean over classes */
    double *pooled_spread; /* [rungs] likewise, of variances */
    size_t draws;
    size_t *first; /* [windows + 1] */
    uint32_t *row;
    engine_result *result;
} climb;

size_t ladder_rungs(size_t window_rows, double *rung) {
    size_t count = 0;
    for (size_t n = 1, step = 1; n < window_rows; n += step) {
        rung[count++] = (double)n;
        /* 1 2 3 4 6 8 12 16 24 32 ...: powers of two and what lies between. */
        if (n >= 4 && (n & (n - 1)) == 0) {
            step = n / 2;
        }
    }
    rung[count++] = (double)window_rows;
    return count;
}

bool ladder_classes_open(ladder_classes *classes, const dataset *data, size_t class_count) {
    classes->first = calloc(class_count + 1, sizeof *classes->first);
    classes->order = calloc(data->rows, sizeof *classes->order);
    size_t *next = calloc(class_count, sizeof *next);
    bool fine = classes->first != NULL && classes->order != NULL && next != NULL;
    for (size_t i = 0; fine && i < data->rows; i++) {
        classes->first[data->classes[i] + 1]++;
    }
    for (size_t c = 0; fine && c < class_count; c++) {
        classes->first[c + 1] += classes->first[c];
        next[c] = classes->first[c];
    }
    for (size_t i = 0; fine && i < data->rows; i++) {
        classes->order[next[data->classes[i]]++] = (uint32_t)i;
    }
    free(next);
    return fine;
}

void ladder_classes_close(ladder_classes *classes) {
    free(classes->order);
    free(classes->first);
    *classes = (ladder_classes){0};
}

static size_t class_rows(const climb *l, size_t c) {
    return l->classes.first[c + 1] - l->classes.first[c];
}

static double unit_of(const climb *l, size_t c) {
    double trace = l->reference->statistics.trace[c];
    return trace > TRACE_MIN ? trace : TRACE_MIN;
}

static bool is_measured(const climb *l, size_t c, size_t rung) {
    return 2.0 * l->rung[rung] <= (double)class_rows(l, c);
}

/* One rung of one class: all of its rows one by one, or draws of more. */
static bool measure_rung(climb *l, size_t c, size_t rung) {
    size_t all = class_rows(l, c);
    size_t n = (size_t)l->rung[rung];
    size_t windows = n == 1 ? (all < l->draws ? all : l->draws) : l->draws;
    uint32_t *rows = l->classes.order + l->classes.first[c];
    for (size_t k = 0; k < windows; k++) {
        if (n > 1 || k == 0) {
            sampling_shuffle(&l->random, rows, all, n == 1 ? windows : n);
        }
        l->first[k] = k * n;
        for (size_t i = 0; i < n; i++) {
            l->row[k * n + i] = n == 1 ? rows[k] : rows[i];
        }
    }
    l->first[windows] = windows * n;
    scorer_windows chosen = {.data = l->data, .windows = windows, .first = l->first, .row = l->row};
    if (!scorer_run(l->scorer, &chosen, l->result, NULL)) {
        return false;
    }
    double sum = 0.0;
    for (size_t k = 0; k < windows; k++) {
        sum += l->result[k].score;
    }
    double mean = sum / (double)windows;
    double squares = 0.0;
    for (size_t k = 0; k < windows; k++) {
        squares += (l->result[k].score - mean) * (l->result[k].score - mean);
    }
    double part = (double)n / (double)all;
    double lost = n == 1 ? 0.0 : part; /* rows one by one are no draws that overlap */
    double unit = unit_of(l, c);
    l->mean[c * l->rungs + rung] = mean / unit;
    l->variance[c * l->rungs + rung] =
        squares / (double)(windows - 1) * (1.0 + part) / (1.0 - lost) / (unit * unit);
    return true;
}

/* Over the classes that have the rung; beyond them on from the rungs before. */
static void pool_rung(climb *l, size_t rung) {
    double mean = 0.0;
    double variance = 0.0;
    size_t count = 0;
    for (size_t c = 0; c < l->class_count; c++) {
        if (is_measured(l, c, rung)) {
            mean += l->mean[c * l->rungs + rung];
            variance += l->variance[c * l->rungs + rung];
            count++;
        }
    }
    if (count > 0) {
        l->pooled[rung] = mean / (double)count;
        l->pooled_spread[rung] = variance / (double)count;
        return;
    }
    double before = l->rung[rung - 1];
    l->pooled_spread[rung] = l->pooled_spread[rung - 1] * before / l->rung[rung];
    l->pooled[rung] = l->pooled[rung - 1];
    if (rung >= 2) {
        double slope =
            (l->pooled[rung - 2] - l->pooled[rung - 1]) / (1.0 / l->rung[rung - 2] - 1.0 / before);
        double next = l->pooled[rung - 1] + slope * (1.0 / l->rung[rung] - 1.0 / before);
        l->pooled[rung] = next > 0.0 ? next : 0.0;
    }
}

/* What the class lacks it takes from the others, in proportion to the last rung that it has. */
static void complete_class(climb *l, size_t c) {
    double *mean = l->mean + c * l->rungs;
    double *variance = l->variance + c * l->rungs;
    double rows = (double)class_rows(l, c);
    double of_mean = 1.0;
    for (size_t r = 0; r < l->rungs; r++) {
        if (is_measured(l, c, r)) {
            of_mean = l->pooled[r] > 0.0 ? mean[r] / l->pooled[r] : 1.0;
        } else {
            mean[r] = of_mean * l->pooled[r];
        }
    }
    double of_variance = 1.0;
    for (size_t r = 0; r < l->rungs; r++) {
        if (is_measured(l, c, r)) {
            variance[r] =
                (rows * variance[r] + PRIOR_ROWS * l->pooled_spread[r]) / (rows + PRIOR_ROWS);
            of_variance = l->pooled_spread[r] > 0.0 ? variance[r] / l->pooled_spread[r] : 1.0;
        } else {
            variance[r] = of_variance * l->pooled_spread[r];
        }
    }
    double unit = unit_of(l, c);
    for (size_t r = 0; r < l->rungs; r++) {
        mean[r] *= unit;
        variance[r] = (variance[r] > VARIANCE_MIN ? variance[r] : VARIANCE_MIN) * unit * unit;
    }
}

static bool climb_open(climb *l, char *error, size_t error_bytes) {
    double rows = 0.0;
    for (size_t c = 0; c < l->class_count; c++) {
        for (size_t r = 0; r < l->rungs; r++) {
            rows += is_measured(l, c, r) ? l->rung[r] : 0.0;
        }
    }
    double draws = rows > 0.0 ? ROWS_MAX / rows : 0.0;
    l->draws = draws > DRAWS_MAX ? DRAWS_MAX : draws < DRAWS_MIN ? DRAWS_MIN : (size_t)draws;
    size_t longest = (size_t)l->rung[l->rungs - 1];
    l->first = calloc(l->draws + 1, sizeof *l->first);
    l->row = calloc(l->draws * longest, sizeof *l->row);
    l->result = calloc(l->draws, sizeof *l->result);
    l->pooled = calloc(2 * l->rungs, sizeof *l->pooled);
    if (!l->first || !l->row || !l->result || !l->pooled) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    l->pooled_spread = l->pooled + l->rungs;
    l->scorer = scorer_open(l->reference, longest, error, error_bytes);
    return l->scorer != NULL;
}

static void climb_close(climb *l) {
    scorer_close(l->scorer);
    free(l->pooled);
    free(l->result);
    free(l->row);
    free(l->first);
    ladder_classes_close(&l->classes);
}

static bool climb_up(climb *l, char *error, size_t error_bytes) {
    bool any = false;
    for (size_t c = 0; c < l->class_count; c++) {
        any = any || is_measured(l, c, 0);
        for (size_t r = 0; r < l->rungs && is_measured(l, c, r); r++) {
            if (!measure_rung(l, c, r)) {
                snprintf(error, error_bytes, "the engine failed");
                return false;
            }
        }
    }
    if (!any) {
        snprintf(error, error_bytes, "no class has two honest rows to measure a spread of");
        return false;
    }
    for (size_t r = 0; r < l->rungs; r++) {
        pool_rung(l, r);
    }
    for (size_t c = 0; c < l->class_count; c++) {
        complete_class(l, c);
    }
    return true;
}

bool ladder_measure(reference_benign *benign, const reference *reference, const dataset *data,
                    uint64_t seed, char *error, size_t error_bytes) {
    climb l = {.reference = reference,
               .data = data,
               .random = {seed},
               .class_count = reference->statistics.classes,
               .rungs = benign->window.rungs,
               .rung = benign->window.rung,
               .mean = (double *)benign->window.mean,
               .variance = benign->variance};
    if (!ladder_classes_open(&l.classes, data, l.class_count)) {
        snprintf(error, error_bytes, "out of memory");
        ladder_classes_close(&l.classes);
        return false;
    }
    bool fine = climb_open(&l, error, error_bytes) && climb_up(&l, error, error_bytes);
    climb_close(&l);
    return fine;
}

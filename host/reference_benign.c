/*
 * reference_benign.c - what calibration put into a reference: its memory, its member of
 * reference.json, and the check of its arrays.
 */
#include "reference_parts.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "members.h"

#define LIMIT_MIN 1e-9
#define LIMIT_MAX 1e30
#define EXCESS_MAX 1e30
#define TOLERANCE_MAX 1e6
/* A variance below this would make deviations of rounding errors. */
#define VARIANCE_MIN 1e-60
#define VARIANCE_MAX 1e60

static const char *const channel_name[EVIDENCE_CHANNELS] = {"rows", "windows"};

static size_t total(const evidence_honest *honest) {
    return honest->first[honest->lists];
}

reference_benign *reference_benign_new(size_t classes, size_t kinds, size_t rungs) {
    reference_benign *new = calloc(1, sizeof *new);
    if (new == NULL) {
        return NULL;
    }
    evidence_options *e = &new->evidence;
    e->classes = classes;
    e->kinds = kinds;
    e->alignment.lists = kinds * classes;
    e->excess.lists = kinds * REFERENCE_ACCOUNT_KINDS;
    e->alignment.first = calloc(e->alignment.lists + 1, sizeof(size_t));
    e->excess.first = calloc(e->excess.lists + 1, sizeof(size_t));
    new->window.rungs = rungs;
    new->window.rung = calloc(rungs, sizeof(double));
    if (e->alignment.first == NULL || e->excess.first == NULL || new->window.rung == NULL) {
        reference_benign_close(new);
        return NULL;
    }
    return new;
}

bool reference_benign_allocate(reference_benign *benign) {
    evidence_options *e = &benign->evidence;
    size_t cells = e->classes * benign->window.rungs;
    benign->window.mean = calloc(cells, sizeof(double));
    benign->window.deviation = calloc(cells, sizeof(double));
    benign->variance = calloc(cells, sizeof(double));
    e->alignment.value = calloc(total(&e->alignment), sizeof(float));
    e->excess.value = calloc(total(&e->excess), sizeof(float));
    return benign->window.mean && benign->window.deviation && benign->variance &&
           e->alignment.value && e->excess.value;
}

void reference_benign_close(reference_benign *benign) {
    if (benign != NULL) {
        free((void *)benign->evidence.excess.value);
        free((void *)benign->evidence.excess.first);
        free((void *)benign->evidence.alignment.value);
        free((void *)benign->evidence.alignment.first);
        free((void *)benign->window.deviation);
        free((void *)benign->window.mean);
        free((void *)benign->window.rung);
        free(benign->variance);
        free(benign);
    }
}

/* ---- the arrays ---- */

typedef struct {
    const char *path;
    const char *what;
    float max; /* in magnitude */
} list_origin;

static bool check_lists(const evidence_honest *honest, list_origin origin, char *error,
                        size_t error_bytes) {
    for (size_t list = 0; list < honest->lists; list++) {
        for (size_t i = honest->first[list]; i < honest->first[list + 1]; i++) {
            float value = honest->value[i];
            bool falls = i > honest->first[list] && value < honest->value[i - 1];
            if (!(fabsf(value) <= origin.max) || falls) {
                return reference_fail(error, error_bytes,
                                      "%s: list %zu: %s [%zu] is %g; rising and at most %g in "
                                      "magnitude expected",
                                      origin.path, list, origin.what, i, (double)value,
                                      (double)origin.max);
            }
        }
    }
    return true;
}

bool reference_benign_check(reference_benign *benign, char *const paths[REFERENCE_BENIGN_ARRAYS],
                            char *error, size_t error_bytes) {
    const evidence_options *e = &benign->evidence;
    double *deviation = (double *)benign->window.deviation;
    for (size_t i = 0; i < e->classes * benign->window.rungs; i++) {
        double mean = benign->window.mean[i];
        double variance = benign->variance[i];
        size_t class = i / benign->window.rungs;
        if (!(mean >= 0.0 && mean <= VARIANCE_MAX)) {
            return reference_fail(error, error_bytes,
                                  "%s: class %zu: mean is %g; from 0 to %g expected", paths[0],
                                  class, mean, VARIANCE_MAX);
        }
        if (!(variance >= VARIANCE_MIN && variance <= VARIANCE_MAX)) {
            return reference_fail(error, error_bytes,
                                  "%s: class %zu: variance is %g; from %g to %g expected", paths[1],
                                  class, variance, VARIANCE_MIN, VARIANCE_MAX);
        }
        deviation[i] = sqrt(variance);
    }
    return check_lists(&e->alignment, (list_origin){paths[2], "alignment", 1.0f}, error,
                       error_bytes) &&
           check_lists(&e->excess, (list_origin){paths[3], "excess", (float)EXCESS_MAX}, error,
                       error_bytes);
}

/* ---- the member of reference.json ---- */

/* Counts of lists become where each begins. False: no values at all, or too many. */
static bool sum_up(size_t *first, size_t lists) {
    size_t sum = 0;
    for (size_t i = 0; i <= lists; i++) {
        size_t count = i < lists ? first[i] : 0;
        first[i] = sum;
        sum += count;
        if (sum > MEMBERS_COUNT_MAX) {
            return false;
        }
    }
    return sum > 0;
}

static bool get_lists(const members *in, const json_t *object, const char *key,
                      const evidence_honest *honest) {
    size_t *first = (size_t *)honest->first;
    return members_counts(in, object, key, first, honest->lists) &&
           (sum_up(first, honest->lists) || members_fail(in, "%s: \"%s\": 1..%zu values expected",
                                                         in->path, key, MEMBERS_COUNT_MAX));
}

/* A kind of account without a window would have no p-values to simulate. */
static bool check_excesses(const members *in, const evidence_honest *honest) {
    for (size_t i = 0; i < honest->lists; i++) {
        if (honest->first[i] == honest->first[i + 1]) {
            return members_fail(in, "%s: \"excesses\", list %zu: 1 or more expected", in->path, i);
        }
    }
    return true;
}

static bool get_rungs(const members *in, const json_t *object, const engine_benign *window) {
    double *rung = (double *)window->rung;
    members_of_numbers all = {"rungs", 1, ENGINE_WINDOW_MAX, rung, window->rungs};
    if (!members_numbers(in, object, all)) {
        return false;
    }
    for (size_t i = 1; i < window->rungs; i++) {
        if (!(rung[i] > rung[i - 1])) {
            return members_fail(in, "%s: \"rungs\", entry %zu: more than the one before expected",
                                in->path, i);
        }
    }
    return true;
}

static bool get_numbers(const members *in, const json_t *object, reference_benign *b) {
    evidence_options *e = &b->evidence;
    const members_of_size sizes[] = {
        {.key = "window", .min = 1, .max = ENGINE_WINDOW_MAX, .to = &e->window_rows},
        {.key = "queries", .min = 1, .max = MEMBERS_COUNT_MAX, .to = &b->queries},
        {.key = "rows", .min = 1, .max = MEMBERS_COUNT_MAX, .to = &b->rows},
    };
    const members_of_number numbers[] = {
        {.key = "false_alarms", .max = 1, .to = &b->false_alarms},
        {.key = "fpr", .max = 1, .to = &b->fpr},
        {.key = "rows_per_class", .min = 1e-9, .max = 1e15, .to = &e->rows_per_class},
        {.key = "tolerance", .max = TOLERANCE_MAX, .to = &e->tolerance_deviations},
        {.key = "window_limit", .min = LIMIT_MIN, .max = LIMIT_MAX, .to = &e->window_limit},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!members_size(in, object, sizes[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!members_number(in, object, numbers[i])) {
            return false;
        }
    }
    return true;
}

static bool get_limits(const members *in, const json_t *object, evidence_options *e) {
    const json_t *limits = json_object_get(object, "limits");
    if (!json_is_object(limits)) {
        return members_fail(in, "%s: \"limits\" is not an object", in->path);
    }
    for (size_t i = 0; i < EVIDENCE_CHANNELS; i++) {
        members_of_numbers all = {channel_name[i], LIMIT_MIN, LIMIT_MAX, e->limit[i],
                                  EVIDENCE_SHARES};
        if (!members_numbers(in, limits, all)) {
            return false;
        }
    }
    return true;
}

bool reference_benign_decode(const members *in, const json_t *root, reference *reference) {
    const json_t *object = json_object_get(root, "benign");
    if (object == NULL) {
        return true;
    }
    size_t kinds;
    members_of_size kind = {.key = "kinds", .min = 1, .max = EVIDENCE_KINDS_MAX, .to = &kinds};
    size_t rungs = json_array_size(json_object_get(object, "rungs"));
    if (!json_is_object(object)) {
        return members_fail(in, "%s: \"benign\" is not an object", in->path);
    }
    if (rungs < 1 || rungs > ENGINE_RUNGS_MAX) {
        return members_fail(in, "%s: \"rungs\" is not an array of 1..%d numbers", in->path,
                            (int)ENGINE_RUNGS_MAX);
    }
    if (!members_size(in, object, kind)) {
        return false;
    }
    reference_benign *b = reference_benign_new(reference->statistics.classes, kinds, rungs);
    reference->benign = b;
    if (b == NULL) {
        return members_fail(in, "%s: out of memory", in->path);
    }
    return get_numbers(in, object, b) && get_rungs(in, object, &b->window) &&
           get_limits(in, object, &b->evidence) &&
           get_lists(in, object, "alignments", &b->evidence.alignment) &&
           get_lists(in, object, "excesses", &b->evidence.excess) &&
           check_excesses(in, &b->evidence.excess);
}

static json_t *counts_of(const evidence_honest *honest) {
    json_t *array = json_array();
    for (size_t i = 0; i < honest->lists; i++) {
        size_t count = honest->first[i + 1] - honest->first[i];
        if (json_array_append_new(array, json_integer((json_int_t)count)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

bool reference_benign_encode(const reference *reference, json_t *root) {
    const reference_benign *b = reference->benign;
    if (b == NULL) {
        return true;
    }
    const evidence_options *e = &b->evidence;
    json_t *limits = json_pack("{s:o, s:o}", channel_name[EVIDENCE_ROWS],
                               members_array(e->limit[EVIDENCE_ROWS], EVIDENCE_SHARES),
                               channel_name[EVIDENCE_WINDOWS],
                               members_array(e->limit[EVIDENCE_WINDOWS], EVIDENCE_SHARES));
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o}", "window",
                  (json_int_t)e->window_rows, "kinds", (json_int_t)e->kinds, "queries",
                  (json_int_t)b->queries, "rows", (json_int_t)b->rows, "false_alarms",
                  b->false_alarms, "fpr", b->fpr, "rows_per_class", e->rows_per_class, "tolerance",
                  e->tolerance_deviations, "window_limit", e->window_limit, "limits", limits,
                  "rungs", members_array(b->window.rung, b->window.rungs), "alignments",
                  counts_of(&e->alignment), "excesses", counts_of(&e->excess));
    return json_object_set_new(root, "benign", object) == 0;
}

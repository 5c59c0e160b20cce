/* remote.c - see remote.h. */
#include "remote.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "visible.h"

enum { HTTP_NOT_FOUND = 404 };

/* The members of one object; `failed` names the first that is not as expected. */
typedef struct {
    const json_t *object;
    const char *failed;
} reading;

static void fail(reading *r, const char *name) {
    r->failed = r->failed != NULL ? r->failed : name;
}

static uint64_t count_of(reading *r, const char *name) {
    const json_t *value = json_object_get(r->object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        fail(r, name);
        return 0;
    }
    return (uint64_t)json_integer_value(value);
}

static double real_of(reading *r, const char *name) {
    const json_t *value = json_object_get(r->object, name);
    if (value != NULL && !json_is_null(value) && !json_is_number(value)) {
        fail(r, name);
    }
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static bool truth_of(reading *r, const char *name) {
    const json_t *value = json_object_get(r->object, name);
    if (!json_is_boolean(value)) {
        fail(r, name);
    }
    return json_is_true(value);
}

static void text_of(reading *r, const char *name, char *text, size_t bytes) {
    const char *value = json_string_value(json_object_get(r->object, name));
    if (value == NULL || strlen(value) >= bytes || !visible_is_plain(value)) {
        fail(r, name);
        value = "";
    }
    snprintf(text, bytes, "%s", value);
}

/* Which of `count` words it is; null is the first where that is NULL. */
static unsigned word_of(reading *r, const char *name, const char *const words[], unsigned count) {
    const char *value = json_string_value(json_object_get(r->object, name));
    if (value == NULL && words[0] == NULL) {
        return 0;
    }
    for (unsigned i = 0; value != NULL && i < count; i++) {
        if (words[i] != NULL && strcmp(value, words[i]) == 0) {
            return i;
        }
    }
    fail(r, name);
    return 0;
}

static adder_verdict verdict_of(reading *r) {
    static const char *const words[] = {"clean", "flagged", "undecided"};
    return (adder_verdict)word_of(r, "verdict", words, 3);
}

static bool finish(const reading *r, char *error, size_t error_bytes) {
    if (r->failed != NULL) {
        snprintf(error, error_bytes, "the answer's %s is missing, or not as expected", r->failed);
    }
    return r->failed == NULL;
}

/* ---- info ---- */

static adder_model model_of(reading *r, const json_t *object) {
    static const char *const modes[] = {"enforce", "shadow", "off"};
    static const char *const actions[] = {"poison", "label_only", "flag"};
    static const char *const outputs[] = {"soft", "hard"};
    reading of = {object, r->failed};
    adder_model m = {
        .dim = count_of(&of, "dim"),
        .classes = count_of(&of, "classes"),
        .rank = count_of(&of, "rank"),
        .window = count_of(&of, "window_rows"),
        .memory_rank = count_of(&of, "memory_rank"),
        .min_fill = count_of(&of, "min_fill"),
        .half_life_rows = real_of(&of, "half_life_rows"),
        .threshold = real_of(&of, "threshold"),
        .decisions_only = truth_of(&of, "decisions_only"),
        .hard_label = word_of(&of, "output", outputs, 2) == 1,
        .mode = (adder_mode)word_of(&of, "mode", modes, 3),
        .action = (adder_action)word_of(&of, "action", actions, 3),
        .has_tables = truth_of(&of, "has_tables"),
        .evidence_threshold = truth_of(&of, "has_evidence") ? 1.0 : 0.0,
        .false_alarms = real_of(&of, "false_alarms"),
    };
    m.has_threshold = !isnan(m.threshold);
    text_of(&of, "name", m.name, sizeof m.name);
    r->failed = of.failed;
    return m;
}

static void read_info(reading *r, adder_info *info) {
    reading limits = {json_object_get(r->object, "limits"), NULL};
    const json_t *models = json_object_get(r->object, "models");
    *info = (adder_info){.degraded = truth_of(r, "degraded"),
                         .rows_max = count_of(&limits, "rows"),
                         .message_bytes_max = count_of(&limits, "message_bytes"),
                         .accounts_max = count_of(&limits, "accounts"),
                         .accounts = count_of(r, "accounts"),
                         .rows = count_of(r, "rows"),
                         .requests = count_of(r, "requests"),
                         .uptime_s = real_of(r, "uptime_s"),
                         .models = json_array_size(models)};
    text_of(r, "version", info->version, sizeof info->version);
    text_of(r, "engine", info->engine, sizeof info->engine);
    r->failed = r->failed != NULL ? r->failed : limits.failed;
    if (info->models > ADDER_MODELS_MAX) {
        fail(r, "models");
        info->models = 0;
    }
    for (size_t i = 0; i < info->models; i++) {
        info->model[i] = model_of(r, json_array_get(models, i));
    }
}

bool remote_info(fetch *fetch, adder_info *info, char *error, size_t error_bytes) {
    static const fetch_parameter none[] = {{NULL, NULL}};
    long status;
    json_t *document = fetch_get(fetch, "/api/info", none, &status, error, error_bytes);
    if (document == NULL) {
        return false;
    }
    reading r = {document, NULL};
    bool ready = truth_of(&r, "ready");
    const char *reason = json_string_value(json_object_get(document, "reason"));
    if (r.failed == NULL && !ready && json_object_get(document, "engine") == NULL) {
        snprintf(error, error_bytes, "the daemon is not ready: %s",
                 reason != NULL && visible_is_plain(reason) ? reason : "it does not say why");
        json_decref(document);
        return false;
    }
    read_info(&r, info);
    bool good = finish(&r, error, error_bytes);
    json_decref(document);
    return good;
}

/* ---- explain ---- */

static void read_classes(reading *r, adder_explanation *e) {
    const json_t *classes = json_object_get(r->object, "classes");
    e->classes = json_array_size(classes);
    if (e->classes > ADDER_EXPLAIN_CLASSES_MAX) {
        fail(r, "classes");
        e->classes = 0;
    }
    for (size_t i = 0; i < e->classes; i++) {
        reading of = {json_array_get(classes, i), r->failed};
        e->by_class[i] = (adder_explained_class){
            .class_id = count_of(&of, "class"),
            .n = count_of(&of, "rows"),
            .contribution = real_of(&of, "contribution"),
            .d2 = real_of(&of, "distance"),
            .mean_part = real_of(&of, "mean_part"),
            .covariance_part = real_of(&of, "covariance_part"),
            .benign_mean = real_of(&of, "honest_mean"),
            .benign_sd = real_of(&of, "honest_deviation"),
            .excess = real_of(&of, "excess"),
        };
        r->failed = of.failed;
    }
}

static void read_history(reading *r, adder_explanation *e) {
    const json_t *history = json_object_get(r->object, "history");
    e->windows = json_array_size(history);
    if (e->windows > ADDER_EXPLAIN_HISTORY_MAX) {
        fail(r, "history");
        e->windows = 0;
    }
    for (size_t i = 0; i < e->windows; i++) {
        reading of = {json_array_get(history, i), r->failed};
        e->history[i] = (adder_explained_window){
            .query = count_of(&of, "query"),
            .score = real_of(&of, "score"),
            .excess = real_of(&of, "excess"),
            .evidence = real_of(&of, "evidence"),
            .verdict = verdict_of(&of),
        };
        r->failed = of.failed;
    }
}

static void read_explanation(reading *r, adder_explanation *e) {
    static const char *const reasons[] = {NULL,    "queries", "windows", "memory",
                                          "group", "denied",  "allowed"};
    *e = (adder_explanation){
        .is_group = truth_of(r, "is_group"),
        .verdict = verdict_of(r),
        .reason = (adder_reason)word_of(r, "reason", reasons, 7),
        .score = real_of(r, "score"),
        .excess = real_of(r, "excess"),
        .memory_score = real_of(r, "memory_score"),
        .memory_excess = real_of(r, "memory_excess"),
        .fill = count_of(r, "fill"),
        .window = count_of(r, "window_rows"),
        .queries = count_of(r, "queries"),
        .first_flagged_at = count_of(r, "first_flagged_at"),
        .flagged_at = count_of(r, "flagged_at"),
        .clean_run = count_of(r, "clean_run"),
        .release_after = count_of(r, "release_after"),
        .evidence = real_of(r, "evidence"),
        .evidence_rows = real_of(r, "evidence_queries"),
        .evidence_window = real_of(r, "evidence_windows"),
        .evidence_memory = real_of(r, "evidence_memory"),
        .threshold = 1.0,
        .window_threshold = real_of(r, "threshold"),
    };
    read_classes(r, e);
    read_history(r, e);
}

bool remote_explain(fetch *fetch, const remote_question *question, adder_explanation **explanation,
                    char *error, size_t error_bytes) {
    const fetch_parameter parameters[] = {
        {question->is_group ? "group" : "account", question->name},
        {"model", question->model},
        {NULL, NULL}};
    long status;
    *explanation = NULL;
    json_t *document = fetch_get(fetch, "/api/explain", parameters, &status, error, error_bytes);
    if (document == NULL) {
        static const char unknown[] = "no such "; /* account, or group; a model or a path is not */
        return status == HTTP_NOT_FOUND && strncmp(error, unknown, sizeof unknown - 1) == 0;
    }
    reading r = {document, NULL};
    adder_explanation *e = calloc(1, sizeof *e);
    if (e != NULL) {
        read_explanation(&r, e);
    } else {
        r.failed = "length, for which there is no memory,";
    }
    json_decref(document);
    if (!finish(&r, error, error_bytes)) {
        free(e);
        return false;
    }
    *explanation = e;
    return true;
}

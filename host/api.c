/*
 * api.c - see api.h: which document is asked for, and those on the daemon as a whole.
 */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_parts.h"

enum { REAL_DIGITS = 12 };
enum {
    HTTP_OK = 200,
    HTTP_BAD = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_INTERNAL = 500,
    HTTP_NOT_NOW = 503
};
#define NS_PER_MS 1e6

struct api {
    api_options options;
    wire_hello hello; /* as of this request */
    /* The last survey, and of whom. */
    survey survey;
    char surveyed[WIRE_MODEL_BYTES_MAX + 1]; /* "": there is none */
    uint64_t surveyed_ns;
};

api *api_open(const api_options *options) {
    api *a = calloc(1, sizeof *a);
    if (a != NULL) {
        a->options = *options;
    }
    return a;
}

void api_close(api *a) {
    free(a);
}

/* ---- answers ---- */

/* Owns the document, and ends it with a line's end. */
static api_answer answer_with(unsigned status, json_t *document) {
    enum { FLAGS = JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS) };
    size_t bytes = document != NULL ? json_dumpb(document, NULL, 0, FLAGS) : 0;
    char *text = bytes > 0 ? malloc(bytes + 2) : NULL;
    if (text != NULL) {
        json_dumpb(document, text, bytes, FLAGS);
        memcpy(text + bytes, "\n", 2);
    }
    json_decref(document);
    return (api_answer){status, text};
}

api_answer api_error(unsigned status, const char *line) {
    return answer_with(status, json_pack("{s:s}", "error", line));
}

json_t *api_real(double value) {
    json_t *real = json_real(value); /* NULL of what is not finite */
    return real != NULL ? real : json_null();
}

/* ---- info ---- */

static json_t *model_of(const wire_model *m) {
    static const char *const modes[] = {"enforce", "shadow", "off"};
    static const char *const actions[] = {"poison", "label_only", "flag"};
    bool evidence = m->evidence_threshold > 0.0;
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:s, s:s, s:s, s:o, s:b, s:I, s:b, s:b, s:o}", /**/
        "name", m->name, "dim", (json_int_t)m->dim, "classes", (json_int_t)m->classes, "rank",
        (json_int_t)m->rank, "window_rows", (json_int_t)m->window, "memory_rank",
        (json_int_t)m->memory_rank, "half_life_rows", api_real(m->half_life), "mode",
        modes[m->mode], "action", actions[m->action], "output", m->hard_label ? "hard" : "soft",
        "threshold", m->has_threshold ? api_real(m->threshold) : json_null(), "decisions_only",
        m->decisions_only, "min_fill", (json_int_t)m->min_fill, "has_tables", m->has_tables,
        "has_evidence", evidence, "false_alarms",
        evidence ? api_real(m->false_alarms) : json_null());
}

static json_t *models_of(const wire_hello *hello) {
    json_t *models = json_array();
    for (size_t i = 0; i < hello->models; i++) {
        json_array_append_new(models, model_of(&hello->model[i]));
    }
    return models;
}

static api_answer get_info(api *a, const query *q) {
    (void)q;
    const wire_hello *h = &a->hello;
    bool known = a->options.hello(a->options.host, &a->hello);
    const char *reason = a->options.unready(a->options.host);
    if (!known) {
        return answer_with(HTTP_OK, json_pack("{s:b, s:s?, s:[]}", "ready", reason == NULL,
                                              "reason", reason, "models"));
    }
    json_t *limits =
        json_pack("{s:I, s:I, s:I}", "rows", (json_int_t)h->rows_max, "message_bytes",
                  (json_int_t)h->message_bytes_max, "accounts", (json_int_t)h->accounts_max);
    return answer_with(HTTP_OK,
                       json_pack("{s:b, s:s?, s:s, s:s, s:b, s:o, s:I, s:I, s:I, s:o, s:o}",
                                 "ready", reason == NULL, "reason", reason, "version", h->version,
                                 "engine", h->engine, "degraded", h->degraded, "uptime_s",
                                 api_real(h->uptime_s), "accounts", (json_int_t)h->accounts, "rows",
                                 (json_int_t)h->rows, "requests", (json_int_t)h->requests, "limits",
                                 limits, "models", models_of(h)));
}

/* ---- live ---- */

json_t *api_distribution(const metrics_distribution *d) {
    json_t *bounds = json_array(), *counts = json_array();
    for (size_t i = 0; i <= d->bounds; i++) {
        if (i < d->bounds) {
            json_array_append_new(bounds, json_real(d->bound[i]));
        }
        json_array_append_new(counts, json_integer((json_int_t)d->in[i]));
    }
    return json_pack("{s:o, s:o, s:o}", "bounds", bounds, "counts", counts, "sum",
                     api_real(d->sum));
}

/* Numbers by their names. */
static json_t *numbers(const uint64_t *value, size_t first, size_t count,
                       const char *(*name)(size_t)) {
    json_t *object = json_object();
    for (size_t i = first; i < count; i++) {
        json_object_set_new(object, name(i), json_integer((json_int_t)value[i]));
    }
    return object;
}

static const char *code_name(size_t code) {
    return wire_code_name((wire_code)code);
}

static json_t *gauges_of(const metrics_now *now) {
    if (!now->serving) {
        return json_null();
    }
    metrics_model_now all = {0};
    for (size_t i = 0; i < now->models; i++) {
        const metrics_model_now *model = &now->model[i];
        all.degraded |= model->degraded;
        all.accounts += model->accounts;
        all.accounts_max += model->accounts_max;
        all.evictions += model->evictions;
        all.queue_requests += model->queue_requests;
        all.queue_rows += model->queue_rows;
    }
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "degraded", all.degraded,
                     "accounts", (json_int_t)all.accounts, "accounts_max",
                     (json_int_t)all.accounts_max, "evictions", (json_int_t)all.evictions,
                     "queue_requests", (json_int_t)all.queue_requests, "queue_rows",
                     (json_int_t)all.queue_rows, "in_flight", (json_int_t)now->in_flight,
                     "connections_refused", (json_int_t)now->connections_refused);
}

static api_answer get_live(api *a, const query *q) {
    (void)q;
    metrics_totals t;
    metrics_now now = {0};
    const char *reason = a->options.unready(a->options.host);
    metrics_read(a->options.metrics, &t);
    a->options.look(a->options.host, &now);
    json_t *stages = json_object();
    for (size_t i = 0; i < METRICS_STAGES; i++) {
        json_object_set_new(stages, metrics_stage_name((metrics_stage)i),
                            api_distribution(&t.stage[i]));
    }
    return answer_with(
        HTTP_OK,
        json_pack("{s:b, s:s?, s:f, s:f, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                  "ready", reason == NULL, "reason", reason, "clock_ms",
                  (double)t.clock_ns / NS_PER_MS, "started_s", t.started_s, "resident_bytes",
                  (json_int_t)t.resident_bytes, "rows", (json_int_t)t.rows, "poisoned_rows",
                  (json_int_t)t.poisoned, "requests",
                  numbers(t.received, 0, METRICS_OPS + 1, metrics_op_name), "refusals",
                  numbers(t.refused, WIRE_OK + 1, WIRE_CODES, code_name), "decisions",
                  numbers(t.decided, 0, METRICS_DECISIONS, metrics_decision_name),
                  "request_seconds", api_distribution(&t.request), "stage_seconds", stages,
                  "batch_rows", api_distribution(&t.batch), "row_levels",
                  api_distribution(&t.level), "now", gauges_of(&now)));
}

/* ---- about accounts of a model ---- */

/* The model that is meant: the one that is named, or the only one. NULL, with an answer in *no. */
static const wire_model *model_meant(api *a, const query *q, api_answer *no) {
    if (!a->options.hello(a->options.host, &a->hello)) {
        const char *reason = a->options.unready(a->options.host);
        *no = api_error(HTTP_NOT_NOW, reason != NULL ? reason : "loading");
        return NULL;
    }
    if (q->model.length == 0 && a->hello.models == 1) {
        return &a->hello.model[0];
    }
    for (size_t i = 0; q->model.length > 0 && i < a->hello.models; i++) {
        if (strcmp(a->hello.model[i].name, q->model.bytes) == 0) {
            return &a->hello.model[i];
        }
    }
    *no = q->model.length > 0
              ? api_error(HTTP_NOT_FOUND, "model: expected one that is served; see /api/info")
              : api_error(HTTP_BAD, "model: expected, since several are served; see /api/info");
    return NULL;
}

/* Owns the document, which is of that model. */
static api_answer answer_of(const wire_model *model, json_t *document) {
    json_object_set_new(document, "model", json_string(model->name));
    return answer_with(HTTP_OK, document);
}

/* For survey_visit. */
typedef struct {
    const api *api;
    const char *model;
} visited;

static bool visit_model(void *host, service_visitor visitor, void *context) {
    const visited *v = host;
    return v->api->options.visit(v->api->options.host, v->model, visitor, context);
}

static double age_ms(const api *a) {
    return (double)(metrics_clock_ns(a->options.metrics) - a->surveyed_ns) / NS_PER_MS;
}

/* However many ask, the accounts are walked through at most once every API_SURVEY_MS. */
static bool refresh(api *a, const char *model) {
    visited v = {a, model};
    if (strcmp(a->surveyed, model) == 0 && age_ms(a) < API_SURVEY_MS) {
        return true;
    }
    a->surveyed[0] = '\0';
    if (!survey_take(&a->survey, visit_model, &v)) {
        return false;
    }
    snprintf(a->surveyed, sizeof a->surveyed, "%s", model);
    a->surveyed_ns = metrics_clock_ns(a->options.metrics);
    return true;
}

static api_answer get_accounts(api *a, const query *q) {
    api_answer no;
    const wire_model *model = model_meant(a, q, &no);
    if (model == NULL) {
        return no;
    }
    if (!refresh(a, model->name)) {
        return api_error(HTTP_NOT_NOW, "the model has just gone");
    }
    size_t limit = q->limit > 0 ? q->limit : API_LIMIT_DEFAULT;
    return answer_of(model, api_accounts(&a->survey, limit, age_ms(a)));
}

typedef struct {
    accounts_name name;
    bool known, failed;
    wire_explanation explanation;
} explaining;

static void explain_visit(void *context, const snapshot_state *state) {
    explaining *e = context;
    uint32_t slot = accounts_find(state->accounts, e->name);
    if (slot != ACCOUNTS_NONE) {
        e->known = true;
        e->failed = !explain_slot(&state->explain, slot, &e->explanation);
    } else {
        accounts_key key = accounts_key_of(state->accounts, e->name);
        e->known = explain_absent(&state->explain, &key, &e->explanation);
    }
    e->explanation.is_group = e->name.is_group;
}

static api_answer get_explain(api *a, const query *q) {
    api_answer no;
    explaining e = {0};
    bool is_group = q->group.length > 0;
    const query_text *name = is_group ? &q->group : &q->account;
    if ((q->account.length > 0) == is_group) {
        return api_error(HTTP_BAD, "account or group: expected one of the two");
    }
    const wire_model *model = model_meant(a, q, &no);
    if (model == NULL) {
        return no;
    }
    e.name = (accounts_name){name->bytes, name->length, is_group};
    if (!a->options.visit(a->options.host, model->name, explain_visit, &e)) {
        return api_error(HTTP_NOT_NOW, "the model has just gone");
    }
    if (!e.known) {
        return api_error(HTTP_NOT_FOUND, is_group ? "no such group" : "no such account");
    }
    return e.failed ? api_error(HTTP_INTERNAL, "explain: no memory, or the engine failed")
                    : answer_of(model, api_explanation(name, &e.explanation));
}

/* ---- which ---- */

api_answer api_get(api *a, const char *path, const query *q) {
    static const struct {
        const char *path;
        api_answer (*get)(api *api, const query *query);
        bool takes_model, takes_limit, takes_name;
    } documents[] = {
        {"/api/info", get_info, false, false, false},
        {"/api/live", get_live, false, false, false},
        {"/api/accounts", get_accounts, true, true, false},
        {"/api/explain", get_explain, true, false, true},
    };
    size_t count = sizeof documents / sizeof *documents, at = 0;
    while (at < count && strcmp(path, documents[at].path) != 0) {
        at++;
    }
    if (at == count) {
        return api_error(HTTP_NOT_FOUND,
                         "not found: /api/info, /api/live, /api/accounts, /api/explain");
    }
    if (q->failed) {
        return api_error(HTTP_BAD, q->error);
    }
    if ((q->model.length > 0 && !documents[at].takes_model) ||
        (q->limit > 0 && !documents[at].takes_limit) ||
        (q->account.length + q->group.length > 0 && !documents[at].takes_name)) {
        return api_error(HTTP_BAD, "a parameter that this document does not take");
    }
    return documents[at].get(a, q);
}

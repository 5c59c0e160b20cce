/*
 * api_accounts.c - a survey and an explanation as JSON.
 */
#include "api_parts.h"

#include <assert.h>
#include <math.h>

static_assert((int)QUERY_LIMIT_MAX == (int)SURVEY_TOP_MAX, "as many as may be asked for are kept");

json_t *api_verdict(uint64_t verdict) {
    static const char *const texts[] = {"clean", "flagged", "undecided"};
    return json_string(texts[verdict]);
}

json_t *api_reason(uint64_t reason) {
    static const char *const texts[] = {NULL,    "queries", "windows", "memory",
                                        "group", "denied",  "allowed"};
    return reason == WIRE_NO_REASON ? json_null() : json_string(texts[reason]);
}

/* ---- accounts ---- */

static json_t *account_of(const survey_account *a, bool evidence) {
    const judge_standing *s = &a->standing;
    return json_pack(
        "{s:o, s:b, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", /**/
        "name", json_stringn(a->name, a->name_bytes), "is_group", a->is_group, "verdict",
        api_verdict(s->verdict), "reason", api_reason(s->reason), "queries", (json_int_t)s->queries,
        "flagged_at", s->flagged_at > 0 ? json_integer((json_int_t)s->flagged_at) : json_null(),
        "level", api_real(s->level), "evidence", evidence ? api_real(s->level) : json_null(),
        "score", api_real(s->score), "excess", api_real(s->excess));
}

/* The bounds are those in which rows' levels are counted, so that the two can be laid over each
 * other. */
static json_t *levels_of(const survey *s) {
    metrics_distribution d = metrics_level_bounds();
    if (!(s->limit > 0.0)) {
        return json_null();
    }
    for (size_t i = 0; i <= d.bounds; i++) {
        d.in[i] = s->level_in[i];
    }
    json_t *levels = api_distribution(&d);
    json_object_del(levels, "sum");
    return levels;
}

json_t *api_accounts(const survey *s, size_t limit, double age_ms) {
    json_t *top = json_array();
    for (size_t i = 0; i < s->top && i < limit; i++) {
        json_array_append_new(top, account_of(&s->account[s->order[i]], s->has_evidence));
    }
    json_t *cost = json_pack("{s:I, s:o, s:o}", "visits", (json_int_t)s->visits, "held_ms_max",
                             api_real(s->held_ms_max), "took_ms", api_real(s->took_ms));
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", /**/
                     "by", s->has_evidence ? "evidence" : "score", "limit",
                     s->limit > 0.0 ? api_real(s->limit) : json_null(), "accounts",
                     (json_int_t)s->accounts, "groups", (json_int_t)s->groups, "flagged",
                     (json_int_t)s->flagged, "undecided", (json_int_t)s->undecided, "levels",
                     levels_of(s), "riskiest", top, "age_ms", api_real(age_ms), "cost", cost);
}

/* ---- one account ---- */

static json_t *class_of(const wire_explained_class *c) {
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "class",
                     (json_int_t)c->class_id, "rows", (json_int_t)c->n, "contribution",
                     api_real(c->contribution), "distance", api_real(c->d2), "mean_part",
                     api_real(c->mean_part), "covariance_part", api_real(c->covariance_part),
                     "honest_mean", api_real(c->benign_mean), "honest_deviation",
                     api_real(c->benign_sd), "excess", api_real(c->excess));
}

static json_t *window_of(const wire_explained_window *w) {
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "query", (json_int_t)w->query, "score",
                     api_real(w->score), "excess", api_real(w->excess), "evidence",
                     api_real(w->evidence), "verdict", api_verdict(w->verdict));
}

/* What is there of the account as a whole. */
static json_t *facts_of(const query_text *name, const wire_explanation *e) {
    return json_pack("{s:o, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", /**/
                     "name", json_stringn(name->bytes, name->length), "is_group", e->is_group,
                     "verdict", api_verdict(e->verdict), "reason", api_reason(e->reason), "queries",
                     (json_int_t)e->queries, "fill", (json_int_t)e->fill, "window_rows",
                     (json_int_t)e->window, "first_flagged_at", (json_int_t)e->first_flagged_at,
                     "flagged_at", (json_int_t)e->flagged_at, "clean_run", (json_int_t)e->clean_run,
                     "release_after", (json_int_t)e->release_after);
}

json_t *api_explanation(const query_text *name, const wire_explanation *e) {
    json_t *classes = json_array(), *history = json_array(), *document = facts_of(name, e);
    for (size_t i = 0; i < e->classes; i++) {
        json_array_append_new(classes, class_of(&e->by_class[i]));
    }
    for (size_t i = 0; i < e->windows; i++) {
        json_array_append_new(history, window_of(&e->history[i]));
    }
    json_t *measured = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", /**/
        "score", api_real(e->score), "threshold", api_real(e->window_threshold), "excess",
        api_real(e->excess), "memory_score", api_real(e->memory_score), "memory_excess",
        api_real(e->memory_excess), "evidence", api_real(e->evidence), "evidence_queries",
        api_real(e->evidence_rows), "evidence_windows", api_real(e->evidence_window),
        "evidence_memory", api_real(e->evidence_memory), "classes", classes, "history", history);
    json_object_update_new(document, measured);
    return document;
}

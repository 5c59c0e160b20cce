/*
 * test_api.c - the JSON API without HTTP: what a query may say, what a survey of a service's
 * accounts finds, and that the documents hold whatever names there are.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "api.h"
#include "survey.h"

enum { PLACES = 3 * SURVEY_SLOTS_EACH, WINDOW = 4 };

/* ---- queries ---- */

static bool takes(const char *name, const char *value) {
    query q = {0};
    bool taken = query_take(&q, name, value);
    cr_assert_eq(taken, !q.failed);
    cr_assert(taken || (q.error[0] != '\0' && strchr(q.error, '\n') == NULL));
    return taken;
}

Test(query, a_name_is_decoded_to_its_bytes) {
    query q = {0};
    cr_assert(query_take(&q, "account", "%3Cb%3E%20a+%e2%82%ac%25"));
    cr_assert_str_eq(q.account.bytes, "<b> a+\xe2\x82\xac%");
    cr_assert_eq(q.account.length, 10);
    cr_assert(query_take(&q, "model", "m") && query_take(&q, "limit", "100"));
    cr_assert_eq(q.limit, 100);
}

Test(query, what_is_no_name_is_refused) {
    static const char *const bad[] = {
        "",    "%",      "%4",  "%4g", "%g4",       "%00",          "a%00b", "%ff",
        "%c3", "%c0%80", "%+1", "% 1", "%ed%a0%80", "%f5%80%80%80", "\xff",  "\xc3("};
    char longest[WIRE_ACCOUNT_BYTES_MAX + 2];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(!takes("account", bad[i]), "%s", bad[i]);
        cr_assert(!takes("model", bad[i]), "%s", bad[i]);
    }
    cr_assert(!takes("group", NULL));
    memset(longest, 'a', sizeof longest);
    longest[WIRE_ACCOUNT_BYTES_MAX + 1] = '\0';
    cr_assert(!takes("account", longest));
    longest[WIRE_ACCOUNT_BYTES_MAX] = '\0';
    cr_assert(takes("account", longest));
}

Test(query, limits_are_bounded_and_nothing_comes_twice) {
    static const char *const bad[] = {
        "", "0", "101", "1000", "-1", "+1", " 1", "1 ", "1e1", "0x1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(!takes("limit", bad[i]), "%s", bad[i]);
    }
    cr_assert(takes("limit", "1"));
    cr_assert(!takes("Limit", "1") && !takes("", "1") && !takes("token", "x"));
    static const char *const names[] = {"account", "group", "model", "limit"};
    for (size_t i = 0; i < 4; i++) {
        query q = {0};
        cr_assert(query_take(&q, names[i], "1"));
        cr_assert(!query_take(&q, names[i], "1"), "%s", names[i]);
        cr_assert(!query_take(&q, i == 0 ? "group" : "account", "1"), "it goes on after an error");
    }
}

/* ---- a service's accounts without the service ---- */

typedef struct {
    accounts *accounts;
    judge *judge;
    batch *batch;
    metrics *metrics;
    api *api;
    bool loading, gone;
    size_t visits;
    size_t models;
} stage;

static bool stage_visit(void *host, const char *model, service_visitor visitor, void *context) {
    stage *s = host;
    cr_assert(strcmp(model, "one") == 0 || strcmp(model, "two") == 0);
    s->visits++;
    if (!s->gone) {
        visitor(context, &(snapshot_state){.accounts = s->accounts,
                                           .judge = s->judge,
                                           .accounts_max = PLACES,
                                           .explain = {.judge = s->judge}});
    }
    return !s->gone;
}

static bool visit_plainly(void *host, service_visitor visitor, void *context) {
    return stage_visit(host, "one", visitor, context);
}

static const char *stage_unready(void *host) {
    return ((stage *)host)->loading ? "loading" : NULL;
}

static void stage_look(void *host, metrics_now *now) {
    now->serving = !((stage *)host)->loading;
}

static bool stage_hello(void *host, wire_hello *hello) {
    stage *s = host;
    *hello = (wire_hello){.version = "1", .engine = "cpu", .models = s->models};
    snprintf(hello->model[0].name, sizeof hello->model[0].name, "one");
    snprintf(hello->model[1].name, sizeof hello->model[1].name, "two");
    return !s->loading;
}

static void stage_open(stage *s, double threshold) {
    *s = (stage){.models = 1};
    s->accounts = accounts_open(PLACES);
    s->judge = judge_open(&(judge_options){.terms.policy = {.mode = WIRE_ENFORCE,
                                                            .has_threshold = true,
                                                            .threshold = threshold,
                                                            .fill_min = 1},
                                           .accounts = s->accounts,
                                           .slots_max = PLACES,
                                           .window_rows = WINDOW,
                                           .observations_max = 1});
    s->batch = batch_open(&(batch_options){
        .rows_max = 1, .places_max = 1, .slots_max = PLACES, .window_rows = WINDOW});
    s->metrics = metrics_open();
    s->api = api_open(&(api_options){.metrics = s->metrics,
                                     .host = s,
                                     .unready = stage_unready,
                                     .look = stage_look,
                                     .hello = stage_hello,
                                     .visit = stage_visit});
    cr_assert(s->accounts && s->judge && s->batch && s->metrics && s->api);
}

static void stage_close(stage *s) {
    api_close(s->api);
    metrics_close(s->metrics);
    batch_close(s->batch);
    judge_close(s->judge);
    accounts_close(s->accounts);
}

/* One row of that account has come, and its window scored so. */
static void score(stage *s, const char *name, bool is_group, double score) {
    static const unsigned char bytes[4];
    const wire_text text = {name, strlen(name)};
    bool fresh;
    accounts_begin(s->accounts);
    uint32_t slot =
        accounts_touch(s->accounts, (accounts_name){name, text.length, is_group}, &fresh);
    wire_request request = {
        .op = WIRE_SCORE, .rows = 1, .accounts = &text, .classes = bytes, .embeddings = bytes};
    batch_clear(s->batch);
    if (fresh) {
        batch_arrive(s->batch, slot, accounts_key_at(s->accounts, slot));
    }
    batch_put(s->batch, &(batch_key){&request, 1, &slot});
    const engine_batch *given = batch_engine(s->batch);
    given->results[0] = (engine_result){.score = score, .fill = 1};
    judge_observe(s->judge, s->batch);
}

static json_t *get(stage *s, unsigned status, const char *path, const query *q) {
    api_answer answer = api_get(s->api, path, q);
    cr_assert_not_null(answer.text);
    cr_assert_eq(answer.status, status, "%s: %u %s", path, answer.status, answer.text);
    json_t *document = json_loads(answer.text, 0, NULL);
    cr_assert(json_is_object(document), "%s", answer.text);
    cr_assert_eq(status != 200, json_is_string(json_object_get(document, "error")));
    free(answer.text);
    return document;
}

static void refused(stage *s, unsigned status, const char *path, query q) {
    json_decref(get(s, status, path, &q));
}

static query query_of(const char *name, const char *value) {
    query q = {0};
    cr_assert(query_take(&q, name, value), "%s", q.error);
    return q;
}

/* ---- surveys ---- */

Test(survey, the_riskiest_come_first_however_many_there_are) {
    stage s;
    survey *found = calloc(1, sizeof *found);
    stage_open(&s, 20.0);
    for (size_t i = 0; i < PLACES; i++) {
        char name[32];
        snprintf(name, sizeof name, "account %zu", i);
        score(&s, name, i % 4 == 3, (double)(i * 7919 % PLACES)); /* each score once */
    }
    cr_assert(survey_take(found, visit_plainly, &s));
    cr_assert_eq(found->visits, PLACES / SURVEY_SLOTS_EACH);
    cr_assert_eq(found->accounts + found->groups, PLACES);
    cr_assert_eq(found->groups, PLACES / 4);
    cr_assert_eq(found->flagged, PLACES - 21);
    cr_assert_eq(found->top, SURVEY_TOP_MAX);
    for (size_t i = 0; i < found->top; i++) {
        const survey_account *a = &found->account[found->order[i]];
        cr_assert_float_eq(a->standing.score, (double)(PLACES - 1 - i), 1e-9);
        cr_assert_float_eq(a->standing.level, (double)(PLACES - 1 - i) / 20.0, 1e-9);
        cr_assert_eq(a->standing.verdict, WIRE_FLAGGED);
        cr_assert_eq(a->standing.queries, 1);
    }
    uint64_t all = 0, above = 0;
    for (size_t i = 0; i < METRICS_BUCKETS_MAX; i++) {
        all += found->level_in[i];
        above += i > metrics_level_bucket(1.0) ? found->level_in[i] : 0;
    }
    cr_assert_eq(all, PLACES);
    cr_assert_eq(above, PLACES - 21);
    free(found);
    stage_close(&s);
}

Test(survey, who_is_gone_is_not_in_it_and_a_slot_is_its_new_owner) {
    stage s;
    survey *found = calloc(1, sizeof *found);
    stage_open(&s, 1.0);
    score(&s, "alice", false, 5.0);
    score(&s, "bob", false, 7.0);
    uint32_t slot = accounts_remove(s.accounts, (accounts_name){"bob", 3, false});
    judge_forget(s.judge, slot);
    cr_assert(survey_take(found, visit_plainly, &s));
    cr_assert_eq(found->accounts, 1);
    cr_assert_eq(found->account[0].name_bytes, 5);
    score(&s, "carol", false, 0.5);
    cr_assert(survey_take(found, visit_plainly, &s));
    cr_assert_eq(found->accounts, 2);
    cr_assert_eq(found->account[found->order[1]].standing.queries, 1);
    cr_assert(memcmp(found->account[found->order[1]].name, "carol", 5) == 0);
    s.gone = true;
    cr_assert_not(survey_take(found, visit_plainly, &s));
    free(found);
    stage_close(&s);
}

/* Any one of them would be the riskiest if a level that cannot be told were taken for one. */
Test(survey, without_a_limit_scores_order_and_nothing_is_distributed) {
    stage s;
    stage_open(&s, 0.0);
    score(&s, "low", false, 1.0);
    score(&s, "high", false, 9.0);
    query q = {0};
    json_t *document = get(&s, 200, "/api/accounts", &q);
    cr_assert(json_is_null(json_object_get(document, "limit")));
    cr_assert(json_is_null(json_object_get(document, "levels")));
    const json_t *first = json_array_get(json_object_get(document, "riskiest"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(first, "name")), "high");
    cr_assert(json_is_null(json_object_get(first, "level")));
    cr_assert(json_is_null(json_object_get(first, "excess")), "there are no tables");
    json_decref(document);
    stage_close(&s);
}

/* ---- documents ---- */

Test(api, names_of_all_kinds_come_out_as_they_went_in) {
    static const char *const names[] = {"<script>alert(1)</script>",
                                        "\"><svg onload=alert(1)>",
                                        "a\\b\"c'd`e\n\t\x01\x7f",
                                        "%00%3C",
                                        "\xe2\x80\xae"
                                        "evil",
                                        "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
                                        "</textarea>\xe2\x80\xa8",
                                        " "};
    enum { NAMES = sizeof names / sizeof *names };
    stage s;
    stage_open(&s, 1.0);
    for (size_t i = 0; i < NAMES; i++) {
        score(&s, names[i], i % 2 == 1, (double)(NAMES - i));
    }
    query q = query_of("limit", "100");
    json_t *document = get(&s, 200, "/api/accounts", &q);
    const json_t *riskiest = json_object_get(document, "riskiest");
    cr_assert_eq(json_array_size(riskiest), NAMES);
    for (size_t i = 0; i < NAMES; i++) {
        const json_t *account = json_array_get(riskiest, i);
        cr_assert_str_eq(json_string_value(json_object_get(account, "name")), names[i]);
        cr_assert_eq(json_is_true(json_object_get(account, "is_group")), i % 2 == 1);
    }
    json_decref(document);
    stage_close(&s);
}

Test(api, a_limit_is_kept_to) {
    stage s;
    stage_open(&s, 1.0);
    for (int i = 0; i < 2 * SURVEY_TOP_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        score(&s, name, false, i);
    }
    static const struct {
        const char *limit;
        size_t count;
    } cases[] = {{NULL, API_LIMIT_DEFAULT}, {"1", 1}, {"100", 100}};
    for (size_t i = 0; i < 3; i++) {
        query q = {0};
        if (cases[i].limit != NULL) {
            q = query_of("limit", cases[i].limit);
        }
        json_t *document = get(&s, 200, "/api/accounts", &q);
        cr_assert_eq(json_array_size(json_object_get(document, "riskiest")), cases[i].count);
        json_decref(document);
    }
    stage_close(&s);
}

Test(api, what_cannot_be_answered_is_refused_with_its_status) {
    stage s;
    stage_open(&s, 1.0);
    query none = {0}, bad = {0}, both = query_of("account", "a");
    cr_assert_not(query_take(&bad, "limit", "0"));
    cr_assert(query_take(&both, "group", "a"));
    refused(&s, 404, "/api/", none);
    refused(&s, 404, "/api/accounts/", none);
    refused(&s, 400, "/api/accounts", bad);
    refused(&s, 400, "/api/info", query_of("model", "one"));
    refused(&s, 400, "/api/live", query_of("limit", "1"));
    refused(&s, 400, "/api/accounts", query_of("account", "a"));
    refused(&s, 404, "/api/accounts", query_of("model", "three"));
    refused(&s, 400, "/api/explain", none);
    refused(&s, 400, "/api/explain", both);
    refused(&s, 404, "/api/explain", query_of("account", "nobody"));
    refused(&s, 404, "/api/explain", query_of("group", "nobody"));
    s.models = 2;
    refused(&s, 400, "/api/accounts", none);
    json_decref(get(&s, 200, "/api/accounts", &(query){.model = {"two", 3}}));
    s.gone = true;
    refused(&s, 503, "/api/accounts", query_of("model", "one"));
    s.loading = true;
    refused(&s, 503, "/api/accounts", none);
    json_t *info = get(&s, 200, "/api/info", &none);
    cr_assert(json_is_false(json_object_get(info, "ready")));
    cr_assert_eq(json_array_size(json_object_get(info, "models")), 0);
    json_decref(info);
    json_decref(get(&s, 200, "/api/live", &none));
    stage_close(&s);
}

Test(api, however_many_ask_accounts_are_walked_through_once_a_second) {
    stage s;
    stage_open(&s, 1.0);
    score(&s, "alice", false, 1.0);
    uint64_t since = metrics_clock_ns(s.metrics);
    size_t asked = 0;
    for (; metrics_clock_ns(s.metrics) - since < UINT64_C(300000000); asked++) {
        query q = {0};
        json_decref(get(&s, 200, "/api/accounts", &q));
    }
    cr_assert_gt(asked, 10);
    cr_assert_eq(s.visits, PLACES / SURVEY_SLOTS_EACH, "%zu visits for %zu questions", s.visits,
                 asked);
    stage_close(&s);
}

Test(api, live_tells_what_was_counted) {
    static const uint8_t decisions[] = {WIRE_ALLOW, WIRE_POISON, WIRE_POISON};
    static const float levels[] = {0.5f, 3.0f, 3.0f};
    stage s;
    stage_open(&s, 1.0);
    metrics_received(s.metrics, WIRE_OK, WIRE_SCORE);
    metrics_replied(s.metrics, WIRE_OVERLOADED, WIRE_SCORE, 0, 0);
    metrics_decided(metrics_model_of(s.metrics, "one"),
                    &(metrics_decisions){.decisions = decisions, .rows = 3, .poisoned = true});
    metrics_levels(s.metrics, levels, 3, 2.0);
    metrics_levels(s.metrics, levels, 3, 0.0); /* no limit: nothing */
    query none = {0};
    json_t *live = get(&s, 200, "/api/live", &none);
    int rows = 0, score = 0, overloaded = 0, poison = 0;
    cr_assert_eq(json_unpack(live, "{s:i, s:{s:i}, s:{s:i}, s:{s:i}}", "rows", &rows, "requests",
                             "score", &score, "refusals", "overloaded", &overloaded, "decisions",
                             "poison", &poison),
                 0);
    cr_assert(rows == 3 && score == 1 && overloaded == 1 && poison == 2);
    const json_t *of = json_object_get(live, "row_levels");
    const json_t *counts = json_object_get(of, "counts");
    cr_assert_eq(json_integer_value(json_array_get(counts, metrics_level_bucket(0.25))), 1);
    cr_assert_eq(json_integer_value(json_array_get(counts, metrics_level_bucket(1.5))), 2);
    cr_assert_float_eq(json_number_value(json_object_get(of, "sum")), 3.25, 1e-9);
    cr_assert_eq(json_array_size(counts), json_array_size(json_object_get(of, "bounds")) + 1);
    json_decref(live);
    stage_close(&s);
}

Test(levels, the_limit_itself_is_not_above_it) {
    size_t limit = metrics_level_bucket(1.0);
    cr_assert_eq(metrics_level_bucket(nextafter(1.0, 2.0)), limit + 1);
    cr_assert_eq(metrics_level_bucket(nextafter(1.0, 0.0)), limit);
    cr_assert_eq(metrics_level_bucket(-5.0), 0);
    cr_assert_eq(metrics_level_bucket(0.0), 0);
    cr_assert_eq(metrics_level_bucket((double)NAN), metrics_level_bucket(1e300));
}

/*
 * test_metrics.c - what is counted comes out again, in a text that a scraper can read.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "metrics.h"
#include "scrape.h"

static const metrics_now serving = {.serving = true,
                                    .version = "0.1.0",
                                    .engine = "cpu",
                                    .in_flight = 7,
                                    .connections_refused = 1,
                                    .reloads = 2,
                                    .reloads_failed = 3,
                                    .models = 1,
                                    .model = {{.name = "m",
                                               .mode = WIRE_SHADOW,
                                               .action = WIRE_ACT_FLAG,
                                               .accounts = 3,
                                               .accounts_max = 16,
                                               .evictions = 5,
                                               .account_bytes = 4232,
                                               .block_bytes = 2300,
                                               .queue_requests = 2,
                                               .queue_rows = 48,
                                               .degraded = true}}};

/* In the mode and with the action that serving has. */
static metrics_decisions decided(const uint8_t *decisions, size_t rows, bool poisoned) {
    return (metrics_decisions){.mode = WIRE_SHADOW,
                               .action = WIRE_ACT_FLAG,
                               .decisions = decisions,
                               .rows = rows,
                               .poisoned = poisoned};
}

static char *text_of(const metrics *m, const metrics_now *now) {
    size_t bytes = 0;
    char *text = metrics_text(m, now, &bytes);
    cr_assert_not_null(text);
    cr_assert_eq(strlen(text), bytes);
    return text;
}

static void expect(const char *text, const char *series, double value) {
    double came = scrape_value(text, series);
    cr_assert_float_eq(came, value, 1e-12, "%s: expected %g, came %g in\n%s", series, value, came,
                       text);
}

/* ---- the format ---- */

/* The family of a series: of a histogram, without _bucket, _sum and _count. */
static void family_of(const char *line, char family[128]) {
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    size_t length = strcspn(line, "{ ");
    cr_assert_lt(length, 128);
    snprintf(family, 128, "%.*s", (int)length, line);
    for (size_t i = 0; i < 3; i++) {
        char *at = strstr(family, suffixes[i]);
        if (at != NULL && strcmp(at, suffixes[i]) == 0) {
            *at = '\0';
        }
    }
}

Test(metrics, every_series_is_there_once_after_its_help_and_type) {
    metrics *m = metrics_open();
    char *text = text_of(m, &serving), *copy = strdup(text), *rest = copy;
    char typed[128] = "", family[128];
    size_t series = 0;
    cr_assert_eq(text[strlen(text) - 1], '\n');
    for (char *line = strsep(&rest, "\n"); line != NULL && *line != '\0';
         line = strsep(&rest, "\n")) {
        char name[128], type[32], next[128];
        if (sscanf(line, "# HELP %127s %31s", name, type) == 2) {
            cr_assert(rest != NULL && sscanf(rest, "# TYPE %127s %31s", next, type) == 2, "%s",
                      line);
            cr_assert_str_eq(name, next);
            snprintf(typed, sizeof typed, "%s", name);
            char twice[160];
            snprintf(twice, sizeof twice, "# TYPE %s ", name);
            cr_assert_null(strstr(strstr(text, twice) + 1, twice), "%s", line);
            bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
            cr_assert_eq(total, strcmp(type, "counter") == 0, "%s %s", name, type);
        } else if (line[0] != '#') {
            char *space = strrchr(line, ' '), *end;
            cr_assert_not_null(space, "%s", line);
            strtod(space + 1, &end);
            cr_assert_eq(*end, '\0', "%s", line);
            family_of(line, family);
            cr_assert_str_eq(family, typed, "%s", line);
            *space = '\0';
            cr_assert_not(isnan(scrape_value(text, line)), "%s: twice", line);
            series++;
        }
    }
    printf("metrics: %zu series, %zu bytes\n", series, strlen(text));
    cr_assert_gt(series, 100);
    free(copy);
    free(text);
    metrics_close(m);
}

Test(metrics, gauges_are_written_as_given) {
    metrics *m = metrics_open();
    char *text = text_of(m, &serving);
    expect(text, "adder_build_info{version=\"0.1.0\",engine=\"cpu\"}", 1);
    expect(text, "adder_accounts{model=\"m\"}", 3);
    expect(text, "adder_accounts_max{model=\"m\"}", 16);
    expect(text, "adder_evictions_total{model=\"m\"}", 5);
    expect(text, "adder_account_bytes{model=\"m\"}", 4232);
    expect(text, "adder_block_bytes{model=\"m\"}", 2300);
    expect(text, "adder_queue_requests{model=\"m\"}", 2);
    expect(text, "adder_queue_rows{model=\"m\"}", 48);
    expect(text, "adder_in_flight", 7);
    expect(text, "adder_connections_refused_total", 1);
    expect(text, "adder_reloads_total", 2);
    expect(text, "adder_reloads_failed_total", 3);
    expect(text, "adder_engine_degraded{model=\"m\"}", 1);
    cr_assert_gt(scrape_value(text, "process_start_time_seconds"), 1.6e9);
    cr_assert_gt(scrape_value(text, "process_resident_memory_bytes"), 1e5);
    free(text);
    metrics_close(m);
}

Test(metrics, a_label_is_escaped) {
    metrics *m = metrics_open();
    metrics_now now = serving;
    strcpy(now.model[0].name, "a\"b\\c\nd \xc3\xa4");
    metrics_model_of(m, now.model[0].name);
    char *text = text_of(m, &now);
    expect(text, "adder_rows_total{model=\"a\\\"b\\\\c\\nd \xc3\xa4\"}", 0);
    free(text);
    metrics_close(m);
}

Test(metrics, while_nothing_is_known_of_the_model_it_is_left_out) {
    metrics *m = metrics_open();
    char *text = text_of(m, &(metrics_now){0});
    cr_assert_null(strstr(text, "adder_build_info"));
    cr_assert_null(strstr(text, "model="));
    expect(text, "adder_requests_total{op=\"score\"}", 0);
    free(text);
    metrics_close(m);
}

/* ---- what is counted ---- */

Test(metrics, counters_add_up) {
    static const uint8_t decisions[] = {WIRE_ALLOW, WIRE_POISON, WIRE_POISON, WIRE_WARMING,
                                        WIRE_LABEL_ONLY};
    metrics *m = metrics_open();
    metrics_received(m, WIRE_OK, WIRE_SCORE);
    metrics_received(m, WIRE_OK, WIRE_SCORE);
    metrics_received(m, WIRE_OK, WIRE_EXPLAIN);
    metrics_received(m, WIRE_BAD_MESSAGE, WIRE_SCORE);
    metrics_replied(m, WIRE_BAD_MESSAGE, WIRE_SCORE, 0, 0);
    metrics_replied(m, WIRE_OVERLOADED, WIRE_SCORE, 0, 0);
    metrics_replied(m, WIRE_INTERNAL, WIRE_EXPLAIN, 0, 0);
    metrics_decisions all = decided(decisions, 5, true), two = decided(decisions, 2, false);
    metrics_decided(metrics_model_of(m, "m"), &all);
    metrics_decided(metrics_model_of(m, "m"), &two);
    char *text = text_of(m, &serving);
    expect(text, "adder_requests_total{op=\"score\"}", 2);
    expect(text, "adder_requests_total{op=\"explain\"}", 1);
    expect(text, "adder_requests_total{op=\"unknown\"}", 1);
    expect(text, "adder_requests_total{op=\"forget\"}", 0);
    expect(text, "adder_refusals_total{code=\"bad_message\"}", 1);
    expect(text, "adder_refusals_total{code=\"overloaded\"}", 1);
    expect(text, "adder_refusals_total{code=\"internal\"}", 1);
    expect(text, "adder_refusals_total{code=\"draining\"}", 0);
    expect(text, "adder_rows_total{model=\"m\"}", 7);
#define DECISION(WORD)                                                                             \
    "adder_decisions_total{model=\"m\",mode=\"shadow\",action=\"flag\",decision=\"" WORD "\"}"
    expect(text, DECISION("allow"), 2);
    expect(text, DECISION("poison"), 3);
    expect(text, DECISION("warming"), 1);
    expect(text, DECISION("label_only"), 1);
    expect(text, "adder_poisoned_rows_total", 2);
    expect(text, "adder_request_seconds_count", 0); /* refusals are not in it */
    free(text);
    metrics_close(m);
}

Test(metrics, a_histogram_is_cumulative_and_a_bound_belongs_to_its_bucket) {
    metrics *m = metrics_open();
    metrics_stage_took(m, METRICS_WAIT, 0);
    metrics_stage_took(m, METRICS_WAIT, 10000);       /* 1e-05, the bound */
    metrics_stage_took(m, METRICS_WAIT, 10001);       /* above it */
    metrics_stage_took(m, METRICS_WAIT, 2500000000);  /* 2.5 s */
    metrics_stage_took(m, METRICS_WAIT, 11000000000); /* above all */
    metrics_batch(m, 1);
    metrics_batch(m, 17);
    metrics_batch(m, 1 << 20);
    char *text = text_of(m, &serving);
    expect(text, "adder_stage_seconds_bucket{stage=\"wait\",le=\"1e-05\"}", 2);
    expect(text, "adder_stage_seconds_bucket{stage=\"wait\",le=\"2.5e-05\"}", 3);
    expect(text, "adder_stage_seconds_bucket{stage=\"wait\",le=\"1\"}", 3);
    expect(text, "adder_stage_seconds_bucket{stage=\"wait\",le=\"2.5\"}", 4);
    expect(text, "adder_stage_seconds_bucket{stage=\"wait\",le=\"10\"}", 4);
    expect(text, "adder_stage_seconds_bucket{stage=\"wait\",le=\"+Inf\"}", 5);
    expect(text, "adder_stage_seconds_count{stage=\"wait\"}", 5);
    expect(text, "adder_stage_seconds_sum{stage=\"wait\"}", 13.500020001);
    expect(text, "adder_stage_seconds_count{stage=\"engine\"}", 0);
    expect(text, "adder_batch_rows_bucket{le=\"1\"}", 1);
    expect(text, "adder_batch_rows_bucket{le=\"16\"}", 1);
    expect(text, "adder_batch_rows_bucket{le=\"32\"}", 2);
    expect(text, "adder_batch_rows_bucket{le=\"1048576\"}", 3);
    expect(text, "adder_batch_rows_sum", 1048594);
    free(text);
    metrics_close(m);
}

/* What is written beside a bound is that bound. */
Test(metrics, each_bound_is_where_its_label_says) {
    metrics *m = metrics_open();
    char *text = text_of(m, &serving), series[96];
    size_t bounds = 0;
    for (const char *at = text; (at = strstr(at, "adder_request_seconds_bucket{le=\"")) != NULL;) {
        at += strlen("adder_request_seconds_bucket{le=\"");
        double bound = strtod(at, NULL);
        if (!isfinite(bound)) {
            continue;
        }
        snprintf(series, sizeof series, "adder_stage_seconds_bucket{stage=\"decide\",le=\"%.*s\"}",
                 (int)strcspn(at, "\""), at);
        metrics *alone = metrics_open();
        uint64_t ns = (uint64_t)llround(bound * 1e9);
        metrics_stage_took(alone, METRICS_DECIDE, ns);
        metrics_stage_took(alone, METRICS_DECIDE, ns + 1);
        char *of_one = text_of(alone, &serving);
        expect(of_one, series, 1);
        free(of_one);
        metrics_close(alone);
        bounds++;
    }
    cr_assert_eq(bounds, 19);
    free(text);
    metrics_close(m);
}

Test(metrics, models_are_counted_apart_and_by_the_mode_that_was_in_force) {
    static const uint8_t decisions[] = {WIRE_ALLOW, WIRE_POISON};
    metrics *m = metrics_open();
    metrics_now now = serving;
    metrics_decisions shadow = decided(decisions, 2, false), enforced = shadow;
    enforced.mode = WIRE_ENFORCE;
    now.models = 2;
    now.model[1] = now.model[0];
    strcpy(now.model[1].name, "n");
    metrics_decided(metrics_model_of(m, "m"), &shadow);
    metrics_decided(metrics_model_of(m, "m"), &enforced);
    metrics_decided(metrics_model_of(m, "n"), &shadow);
    cr_assert_eq(metrics_model_of(m, "n"), metrics_model_of(m, "n"));
    char *text = text_of(m, &now);
    expect(text, "adder_rows_total{model=\"m\"}", 4);
    expect(text, "adder_rows_total{model=\"n\"}", 2);
    expect(
        text,
        "adder_decisions_total{model=\"m\",mode=\"enforce\",action=\"flag\",decision=\"poison\"}",
        1);
    expect(text,
           "adder_decisions_total{model=\"m\",mode=\"shadow\",action=\"flag\",decision=\"poison\"}",
           1);
    cr_assert_null(strstr(text, "model=\"n\",mode=\"enforce\""), "it never was so");
    expect(text, "adder_accounts{model=\"n\"}", 3);
    free(text);
    metrics_close(m);
}

enum { THREADS = 4, EACH = 20000 };

static void *count_on(void *argument) {
    static const uint8_t decisions[] = {WIRE_ALLOW, WIRE_POISON};
    metrics *m = argument;
    metrics_decisions two = decided(decisions, 2, true);
    for (int i = 0; i < EACH; i++) {
        metrics_received(m, WIRE_OK, WIRE_PING);
        metrics_decided(metrics_model_of(m, "m"), &two);
        metrics_stage_took(m, METRICS_ENCODE, 1000);
    }
    return NULL;
}

Test(metrics, several_threads_lose_nothing) {
    metrics *m = metrics_open();
    metrics_model_of(m, "m");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, count_on, m), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    char *text = text_of(m, &serving);
    expect(text, "adder_requests_total{op=\"ping\"}", THREADS * EACH);
    expect(text, "adder_rows_total{model=\"m\"}", 2 * THREADS * EACH);
    expect(text, "adder_poisoned_rows_total", THREADS * EACH);
    expect(text, "adder_stage_seconds_count{stage=\"encode\"}", THREADS * EACH);
    free(text);
    metrics_close(m);
}

Test(metrics, without_metrics_nothing_is_counted_and_no_clock_read) {
    cr_assert_eq(metrics_clock_ns(NULL), 0);
    metrics_received(NULL, WIRE_OK, WIRE_SCORE);
    metrics_stage_took(NULL, METRICS_WAIT, 1);
    metrics_stage_since(NULL, METRICS_WAIT, 0);
    metrics_batch(NULL, 1);
    cr_assert_null(metrics_model_of(NULL, "m"));
    metrics_decided(NULL, NULL);
    metrics_replied(NULL, WIRE_OK, WIRE_SCORE, 0, 0);
    metrics_close(NULL);
}

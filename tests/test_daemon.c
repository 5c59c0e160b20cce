/*
 * test_daemon.c - a real adderd gives the scores that float64 gives. The same rows in other groups
 * are test_daemon_groups.c's.
 */
#include <stdio.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "hostile.h"

/* What engine.h promises for a window and for a memory; the reply's float32 costs 6e-8 of it. */
static const double score_tolerance = 1e-5;
static const double memory_tolerance = 1e-4;

/* ---- golden windows ---- */

enum { GOLDEN_WINDOW = 256, ONE_BY_ONE_WINDOWS = 6, ONE_BY_ONE_ROWS_MAX = 32 };

/* A fresh account whose window never fills scores exactly what it was sent. */
static void golden_windows_at_once(daemon_fixture *d, const fixture_golden *golden,
                                   adder_dtype dtype, fixture_worst *worst) {
    for (size_t i = 0; i < golden->windows; i++) {
        const fixture_window *window = &golden->window[i];
        char account[128];
        snprintf(account, sizeof account, "%s, dtype %d", window->name, (int)dtype);
        adder_reply *reply = ask((ask_question){.client = d->client,
                                                .account = account,
                                                .rows = &window->rows,
                                                .count = window->rows.rows,
                                                .dtype = dtype});
        for (size_t row = 0; row < reply->count; row++) {
            cr_assert_eq(reply->scores[row], reply->scores[0]);
            cr_assert_eq(reply->fill[row], window->rows.rows);
        }
        fixture_compare(worst, (double)reply->scores[0], window->score, "%s", account);
        adder_reply_free(reply);
    }
}

static void golden_windows_one_by_one(daemon_fixture *d, const fixture_golden *golden,
                                      fixture_worst *worst) {
    size_t tried = 0;
    for (size_t i = 0; i < golden->windows && tried < ONE_BY_ONE_WINDOWS; i++) {
        const fixture_window *window = &golden->window[i];
        char account[128];
        ask_row last = {0};
        if (window->rows.rows > ONE_BY_ONE_ROWS_MAX) {
            continue;
        }
        tried++;
        snprintf(account, sizeof account, "%s, one by one", window->name);
        for (size_t row = 0; row < window->rows.rows; row++) {
            last = ask_last(d->client, account, &window->rows, row, 1);
            cr_assert_eq(last.fill, row + 1);
        }
        fixture_compare(worst, last.score, window->score, "%s", account);
    }
    cr_assert_eq(tried, ONE_BY_ONE_WINDOWS);
}

static void golden_scores_come_back(size_t dim, bool tcp) {
    daemon_fixture d;
    fixture_worst worst = {0};
    char claim[64];
    fixture_golden golden = fixture_golden_load(dim);
    daemon_open(&d, dim);
    if (tcp) {
        daemon_use_tcp(&d);
    }
    daemon_start(&d, DAEMON_FLAGS("--window", "256"));
    cr_assert_eq(ask_info(d.client).model[0].window, GOLDEN_WINDOW);
    golden_windows_at_once(&d, &golden, ADDER_F32, &worst);
    golden_windows_at_once(&d, &golden, ADDER_F16, &worst); /* the files are float16 */
    golden_windows_one_by_one(&d, &golden, &worst);
    cr_assert_eq(worst.compared, 2 * golden.windows + ONE_BY_ONE_WINDOWS);
    snprintf(claim, sizeof claim, "golden windows through the daemon, dim %zu", dim);
    fixture_settle(&worst, score_tolerance, claim);
    daemon_stop(&d);
    daemon_close(&d);
    fixture_golden_free(&golden);
}

Test(daemon, golden_windows_of_dim_64_score_right_over_ipc, .timeout = 120) {
    golden_scores_come_back(64, false);
}

Test(daemon, golden_windows_of_dim_256_score_right_over_ipc, .timeout = 120) {
    golden_scores_come_back(256, false);
}

Test(daemon, golden_windows_of_dim_512_score_right_over_ipc, .timeout = 120) {
    golden_scores_come_back(512, false);
}

Test(daemon, golden_windows_score_right_over_tcp, .timeout = 120) {
    golden_scores_come_back(64, true);
}

/* ---- observations and memory ---- */

enum { WINDOW = 16, STREAM_ROWS = 300, STREAM_REQUEST_MAX = 50 };

/* What the rows up to `end` must have been answered, by float64 replay. */
typedef struct {
    oracle *oracle;
    reference *reference;
    const fixture_rows *rows;
    size_t memory_rank;
    double half_life_rows;
    fixture_worst scores;
    fixture_worst memories;
} replay;

static void compare_observation(replay *r, const ask_row *answer, size_t end) {
    size_t first = end > WINDOW ? end - WINDOW : 0;
    double weights[STREAM_ROWS];
    double score = oracle_score(r->oracle, ORACLE_SVD, r->rows->embeddings + first * r->rows->dim,
                                r->rows->classes + first, end - first);
    oracle_weights(r->half_life_rows, 0, end, weights);
    double memory = oracle_memory_score(&r->reference->statistics, r->memory_rank, weights,
                                        r->rows->embeddings, r->rows->classes, end);
    cr_assert_eq(answer->fill, end - first, "row %zu: fill %u", end, answer->fill);
    fixture_compare(&r->scores, answer->score, score, "after row %zu", end);
    fixture_compare(&r->memories, answer->memory_score, memory, "after row %zu", end);
}

/* One account's rows in requests of 1..50 rows: each request is cut into observations of 16, and
 * each row has its observation's answer. */
static void send_stream(adder_client *client, replay *r) {
    hostile_random random = {7};
    for (size_t at = 0; at < STREAM_ROWS;) {
        size_t left = STREAM_ROWS - at;
        size_t count = 1 + hostile_random_below(&random, STREAM_REQUEST_MAX);
        count = count < left ? count : left;
        adder_reply *reply = ask((ask_question){
            .client = client, .account = "stream", .rows = r->rows, .first = at, .count = count});
        cr_assert_not_null(reply->memory_scores);
        for (size_t first = 0; first < count; first += WINDOW) {
            size_t end = first + WINDOW < count ? first + WINDOW : count;
            ask_row answer = ask_row_of(reply, first);
            for (size_t row = first; row < end; row++) {
                ask_row same = ask_row_of(reply, row);
                cr_assert(ask_row_same(&answer, &same), "row %zu of %zu", row, count);
            }
            compare_observation(r, &answer, at + end);
        }
        adder_reply_free(reply);
        at += count;
    }
}

Test(daemon, long_requests_are_scored_in_consecutive_observations_with_their_memory,
     .timeout = 120) {
    daemon_fixture d;
    hostile_random random = {3};
    fixture_rows rows = hostile_account_make(&random, 64, "atk_cifar100", STREAM_ROWS);
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_FLAGS("--window", "16", "--memory-rank", "24", "--half-life", "40"));
    replay r = {.oracle = fixture_oracle(64),
                .reference = fixture_reference(64),
                .rows = &rows,
                .memory_rank = 24,
                .half_life_rows = 40.0};
    adder_info info = ask_info(d.client);
    cr_assert(info.model[0].memory_rank == 24 && info.model[0].half_life_rows == 40.0);
    send_stream(d.client, &r);
    fixture_settle(&r.scores, score_tolerance, "windows of a stream through the daemon");
    fixture_settle(&r.memories, memory_tolerance, "memories of a stream through the daemon");
    daemon_stop(&d);
    daemon_close(&d);
    reference_close(r.reference);
    oracle_close(r.oracle);
    fixture_rows_free(&rows);
}

Test(daemon, without_memory_no_memory_scores_come) {
    daemon_fixture d;
    fixture_rows rows = fixture_source(64, "benign_test");
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_FLAGS("--memory-rank", "0"));
    adder_reply *reply =
        ask((ask_question){.client = d.client, .account = "a", .rows = &rows, .count = 3});
    cr_assert_null(reply->memory_scores);
    adder_reply_free(reply);
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

/*
 * test_daemon.c - a real adderd gives the right scores, however the rows come to it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "hostile.h"

/* What engine.h promises for a window and for a memory; the reply's float32 costs 6e-8 of it. */
static const double score_tolerance = 1e-5;
static const double memory_tolerance = 1e-4;
/* Batches change the order of sums in the projection alone, which is float32. */
static const double grouping_tolerance = 1e-6;

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

/* ---- the same rows in other groups ---- */

enum { ACCOUNTS = 8, PIECES = 12, THREADS = 4, GROUPINGS = 4 };

/* Every account sends the same pieces in every grouping; a piece is an observation. */
typedef struct {
    const char *name; /* of the grouping */
    adder_client *client;
    const fixture_rows *rows; /* of all accounts: account a has rows a * PIECES * WINDOW .. */
    size_t piece_rows[ACCOUNTS][PIECES];
    size_t piece_first[ACCOUNTS][PIECES];
    ask_row answer[ACCOUNTS][PIECES];
} grouping;

static void account_name(const grouping *g, size_t account, char name[64]) {
    snprintf(name, 64, "%s, account %zu", g->name, account);
}

static void cut_pieces(grouping *g) {
    hostile_random random = {11};
    for (size_t a = 0; a < ACCOUNTS; a++) {
        size_t first = a * PIECES * WINDOW;
        for (size_t p = 0; p < PIECES; p++) {
            g->piece_rows[a][p] = 1 + hostile_random_below(&random, WINDOW);
            g->piece_first[a][p] = first;
            first += g->piece_rows[a][p];
        }
    }
}

static void send_account(grouping *g, size_t account) {
    char name[64];
    account_name(g, account, name);
    for (size_t p = 0; p < PIECES; p++) {
        g->answer[account][p] = ask_last(g->client, name, g->rows, g->piece_first[account][p],
                                         g->piece_rows[account][p]);
    }
}

/* One request with the next pieces of these accounts, their rows dealt in random order. */
static void send_mixed(grouping *g, hostile_random *random, size_t next[ACCOUNTS],
                       const bool takes_part[ACCOUNTS]) {
    static char name[ACCOUNTS][64];
    const char *names[ACCOUNTS * WINDOW];
    size_t sent[ACCOUNTS] = {0}, last[ACCOUNTS] = {0}, count = 0, left = 0;
    fixture_rows mixed = fixture_rows_make(ACCOUNTS * WINDOW, g->rows->dim);
    for (size_t a = 0; a < ACCOUNTS; a++) {
        account_name(g, a, name[a]);
        left += takes_part[a] ? g->piece_rows[a][next[a]] : 0;
    }
    while (left > 0) {
        size_t a = hostile_random_below(random, ACCOUNTS);
        if (!takes_part[a] || sent[a] == g->piece_rows[a][next[a]]) {
            continue;
        }
        fixture_rows_copy(&mixed, count, g->rows, g->piece_first[a][next[a]] + sent[a]++);
        names[count] = name[a];
        last[a] = count++;
        left--;
    }
    adder_reply *reply =
        ask((ask_question){.client = g->client, .names = names, .rows = &mixed, .count = count});
    for (size_t a = 0; a < ACCOUNTS; a++) {
        if (takes_part[a]) {
            g->answer[a][next[a]++] = ask_row_of(reply, last[a]);
        }
    }
    adder_reply_free(reply);
    fixture_rows_free(&mixed);
}

/* All accounts in every request, or about half of them, until all pieces are sent. */
static void send_interleaved(grouping *g, bool all) {
    hostile_random random = {13};
    size_t next[ACCOUNTS] = {0};
    for (;;) {
        bool takes_part[ACCOUNTS], any = false, left = false;
        for (size_t a = 0; a < ACCOUNTS; a++) {
            left |= next[a] < PIECES;
            takes_part[a] = next[a] < PIECES && (all || hostile_random_below(&random, 2) == 1);
            any |= takes_part[a];
        }
        if (!left) {
            return;
        }
        if (any) {
            send_mixed(g, &random, next, takes_part);
        }
    }
}

typedef struct {
    grouping *grouping;
    size_t first;
} sender;

static void *send_some(void *argument) {
    const sender *s = argument;
    for (size_t a = s->first; a < ACCOUNTS; a += THREADS) {
        send_account(s->grouping, a);
    }
    return NULL;
}

static void send_from_threads(grouping *g) {
    pthread_t thread[THREADS];
    sender senders[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        senders[i] = (sender){g, i};
        cr_assert_eq(pthread_create(&thread[i], NULL, send_some, &senders[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
}

static void compare_groupings(const grouping *want, const grouping *got, fixture_worst *worst) {
    for (size_t a = 0; a < ACCOUNTS; a++) {
        for (size_t p = 0; p < PIECES; p++) {
            const ask_row *w = &want->answer[a][p], *g = &got->answer[a][p];
            cr_assert_eq(g->fill, w->fill);
            fixture_compare(worst, g->score, w->score, "%s, account %zu, piece %zu", got->name, a,
                            p);
            fixture_compare(worst, g->memory_score, w->memory_score,
                            "%s, account %zu, piece %zu, memory", got->name, a, p);
        }
    }
}

Test(daemon, grouping_rows_otherwise_changes_no_score, .timeout = 120) {
    static grouping g[GROUPINGS] = {{.name = "account after account"},
                                    {.name = "all accounts in each request"},
                                    {.name = "some accounts in each request"},
                                    {.name = "threads at once"}};
    daemon_fixture d;
    fixture_worst worst = {0};
    hostile_random random = {5};
    fixture_rows rows =
        hostile_account_make(&random, 64, "atk_tinyimagenet", ACCOUNTS * PIECES * WINDOW);
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_FLAGS("--window", "16"));
    for (size_t i = 0; i < GROUPINGS; i++) {
        g[i].client = d.client;
        g[i].rows = &rows;
        cut_pieces(&g[i]);
    }
    for (size_t a = 0; a < ACCOUNTS; a++) {
        send_account(&g[0], a);
    }
    send_interleaved(&g[1], true);
    send_interleaved(&g[2], false);
    send_from_threads(&g[3]);
    for (size_t i = 1; i < GROUPINGS; i++) {
        compare_groupings(&g[0], &g[i], &worst);
    }
    fixture_settle(&worst, grouping_tolerance, "the same rows in other groups");
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

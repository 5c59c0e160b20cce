/*
 * test_daemon_groups.c - however rows are put together in requests, and whoever sends them, an
 * account's pieces score the same.
 */
#include <pthread.h>
#include <stdio.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "hostile.h"

/* Batches change the order of sums in the projection alone, which is float32. */
static const double grouping_tolerance = 1e-6;

enum { WINDOW = 16, ACCOUNTS = 8, PIECES = 12, THREADS = 4, GROUPINGS = 4 };

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

Test(groups, grouping_rows_otherwise_changes_no_score, .timeout = 120) {
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

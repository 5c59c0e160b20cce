/*
 * test_daemon_verdicts.c - a calibrated daemon: who is flagged, by what, what is done about it, and
 * what an operator is told. Real queries of dim 64; calibrated on every other honest row.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calibrated.h"
#include "daemon_ask.h"
#include "daemon_fixture.h"

enum { DIM = 64, WINDOW = 16, MEMBERS = 64, EACH = 8 };

typedef struct {
    daemon_fixture d;
    fixture_rows honest; /* the file goes class by class */
    fixture_rows thief;
} stage;

static void stage_open(stage *s, const char *const flags[]) {
    s->honest = fixture_source(DIM, "benign_test");
    s->thief = fixture_source(DIM, "atk_cifar100");
    daemon_open(&s->d, DIM);
    calibrated_make(s->d.reference, DIM, WINDOW);
    daemon_start(&s->d, flags);
}

static void stage_close(stage *s) {
    daemon_stop(&s->d);
    daemon_close(&s->d);
    fixture_rows_free(&s->honest);
    fixture_rows_free(&s->thief);
}

/* Rows of one account in requests of 16; the answers to the last request. `step` apart in the file.
 */
static adder_reply *send(adder_client *client, const char *account, const fixture_rows *rows,
                         size_t first, size_t step, size_t count) {
    adder_reply *reply = NULL;
    const char *names[WINDOW];
    const char *groups[WINDOW];
    fixture_rows some = fixture_rows_make(WINDOW, DIM);
    for (size_t sent = 0; sent < count; sent += WINDOW) {
        adder_error error = {0};
        for (size_t i = 0; i < WINDOW; i++) {
            fixture_rows_copy(&some, i, rows, (first + (sent + i) * step) % rows->rows);
            names[i] = account;
            groups[i] = NULL;
        }
        adder_reply_free(reply);
        reply = NULL;
        adder_rows request = {.count = WINDOW,
                              .dim = DIM,
                              .accounts = names,
                              .groups = groups,
                              .classes = some.classes,
                              .embeddings = some.embeddings,
                              .want_poison = true,
                              .want_detail = true};
        cr_assert_eq(adder_score(client, &request, &reply, &error), ADDER_OK, "%s", error.text);
    }
    fixture_rows_free(&some);
    return reply;
}

static adder_reply *send_thief(stage *s, const char *account, size_t count) {
    return send(s->d.client, account, &s->thief, 0, 7, count);
}

static adder_reply *send_honest(stage *s, const char *account, size_t count) {
    return send(s->d.client, account, &s->honest, 1, 314, count); /* odd rows, of all classes */
}

/* ---- verdicts and what is done about them ---- */

static void expect_thief(const char *const flags[], adder_decision decision, bool poison) {
    stage s;
    stage_open(&s, flags);
    adder_reply *reply = send_thief(&s, "mallory", 64);
    cr_assert_not_null(reply->verdicts);
    for (size_t i = 0; i < WINDOW; i++) {
        cr_assert_eq(reply->verdicts[i], ADDER_FLAGGED);
        cr_assert_eq(reply->decisions[i], decision);
        cr_assert(reply->reasons[i] == ADDER_BY_ROWS || reply->reasons[i] == ADDER_BY_WINDOW);
        cr_assert_gt(reply->evidence[i], 1.0f);
        cr_assert_gt(reply->excess[i], 2.0f);
    }
    cr_assert_eq(reply->poison_count, poison ? WINDOW : 0);
    adder_reply_free(reply);
    reply = send_honest(&s, "alice", 640);
    for (size_t i = 0; i < WINDOW; i++) {
        cr_assert_eq(reply->verdicts[i], ADDER_CLEAN);
        cr_assert_eq(reply->decisions[i], ADDER_ALLOW);
        cr_assert_lt(reply->evidence[i], 1.0f);
    }
    adder_reply_free(reply);
    stage_close(&s);
}

Test(verdicts, enforcing_poisons_the_thief_and_leaves_the_honest_alone) {
    expect_thief(DAEMON_NO_FLAGS, ADDER_POISON, true);
}

Test(verdicts, label_only_hands_out_no_poison) {
    expect_thief(DAEMON_FLAGS("--action", "label_only"), ADDER_LABEL_ONLY, false);
}

Test(verdicts, the_action_flag_only_says_so) {
    expect_thief(DAEMON_FLAGS("--action", "flag"), ADDER_ALLOW, false);
}

Test(verdicts, shadow_says_so_and_changes_nothing) {
    expect_thief(DAEMON_FLAGS("--mode", "shadow"), ADDER_ALLOW, false);
}

Test(verdicts, off_reaches_no_verdicts) {
    stage s;
    stage_open(&s, DAEMON_FLAGS("--mode", "off"));
    adder_reply *reply = send_thief(&s, "mallory", 64);
    cr_assert(reply->verdicts == NULL && reply->evidence == NULL && reply->reasons == NULL);
    cr_assert_eq(reply->decisions[0], ADDER_ALLOW);
    cr_assert_gt(reply->excess[0], 2.0f, "scores are served");
    adder_reply_free(reply);
    stage_close(&s);
}

Test(verdicts, a_threshold_of_the_operators_decides_by_windows) {
    stage s;
    stage_open(&s, DAEMON_FLAGS("--threshold", "0"));
    adder_reply *reply = send_honest(&s, "alice", WINDOW);
    cr_assert_eq(reply->verdicts[WINDOW - 1], ADDER_FLAGGED);
    cr_assert_eq(reply->reasons[WINDOW - 1], ADDER_BY_WINDOW);
    cr_assert_null(reply->evidence);
    adder_reply_free(reply);
    stage_close(&s);
}

Test(verdicts, an_account_is_warming_until_its_queries_could_flag_it) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    uint32_t warming = 0;
    for (size_t i = 0; i < WINDOW; i++) {
        ask_row row = ask_last(s.d.client, "alice", &s.honest, 1 + 314 * i, 1);
        cr_assert(row.decision == ADDER_ALLOW || warming == i, "query %zu", i + 1);
        warming += row.decision == ADDER_WARMING;
    }
    printf("warming for %u queries\n", warming);
    cr_assert(warming >= 3 && warming <= 8);
    stage_close(&s);
}

/* ---- lists ---- */

static const char *put_names(const stage *s, const char *file, const char *names,
                             char path[CHILD_PATH_BYTES * 2]) {
    FILE *out = fopen(daemon_path(&s->d, file, path), "w");
    cr_assert_not_null(out);
    fputs(names, out);
    fclose(out);
    return path;
}

Test(verdicts, lists_come_before_evidence) {
    stage s;
    char allow[CHILD_PATH_BYTES * 2];
    char deny[CHILD_PATH_BYTES * 2];
    stage_open(&s, DAEMON_NO_FLAGS);
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS("--allow", put_names(&s, "allow", "red-team\n", allow),
                                    "--deny", put_names(&s, "deny", "bob\n", deny)));
    adder_reply *reply = send_thief(&s, "red-team", 64);
    cr_assert(reply->verdicts[0] == ADDER_CLEAN && reply->reasons[0] == ADDER_ALLOWED);
    cr_assert_eq(reply->decisions[0], ADDER_ALLOW);
    adder_reply_free(reply);
    reply = send_honest(&s, "bob", WINDOW);
    cr_assert(reply->verdicts[0] == ADDER_FLAGGED && reply->reasons[0] == ADDER_DENIED);
    cr_assert_eq(reply->poison_count, WINDOW);
    adder_reply_free(reply);
    stage_close(&s);
}

/* ---- groups ---- */

/* Members of one group in turn, a query each, EACH rounds; counts of the rows of the last round. */
typedef struct {
    size_t flagged, by_group, poisoned;
} group_tally;

static group_tally send_group(stage *s, const fixture_rows *rows, const char *group, size_t step) {
    static char text[MEMBERS][32];
    const char *names[MEMBERS];
    const char *groups[MEMBERS];
    group_tally tally = {0};
    fixture_rows some = fixture_rows_make(MEMBERS, DIM);
    for (size_t round = 0; round < EACH; round++) {
        adder_reply *reply = NULL;
        adder_error error = {0};
        for (size_t i = 0; i < MEMBERS; i++) {
            snprintf(text[i], sizeof text[i], "%s-%zu", group, i);
            names[i] = text[i];
            groups[i] = group;
            fixture_rows_copy(&some, i, rows, (1 + (round * MEMBERS + i) * step) % rows->rows);
        }
        adder_rows request = {.count = MEMBERS,
                              .dim = DIM,
                              .accounts = names,
                              .groups = groups,
                              .classes = some.classes,
                              .embeddings = some.embeddings,
                              .want_detail = true};
        cr_assert_eq(adder_score(s->d.client, &request, &reply, &error), ADDER_OK, "%s",
                     error.text);
        tally = (group_tally){0};
        for (size_t i = 0; i < MEMBERS; i++) {
            tally.flagged += reply->verdicts[i] == ADDER_FLAGGED;
            tally.by_group += reply->group_verdicts[i] == ADDER_FLAGGED;
            tally.poisoned += reply->decisions[i] == ADDER_POISON;
        }
        adder_reply_free(reply);
    }
    fixture_rows_free(&some);
    return tally;
}

Test(verdicts, many_accounts_of_one_group_are_caught_as_one) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    group_tally thieves = send_group(&s, &s.thief, "gang", 7);
    group_tally honest = send_group(&s, &s.honest, "office", 314);
    cr_assert(thieves.by_group == MEMBERS && thieves.flagged == MEMBERS &&
              thieves.poisoned == MEMBERS);
    cr_assert(honest.by_group == 0 && honest.flagged == 0 && honest.poisoned == 0);
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s.d.client, "gang", true, &why, NULL), ADDER_OK);
    cr_assert_not_null(why);
    cr_assert(why->is_group && why->queries == MEMBERS * EACH && why->verdict == ADDER_FLAGGED);
    cr_assert(why->flagged_at > 0 && why->flagged_at <= MEMBERS);
    adder_explanation_free(why);
    stage_close(&s);
}

Test(verdicts,
     rows_with_groups_that_need_more_places_than_there_are_are_refused_and_change_nothing) {
    stage s;
    static const char *names[WINDOW];
    static const char *groups[WINDOW];
    stage_open(&s, DAEMON_FLAGS("--max-accounts", "16"));
    for (size_t i = 0; i < WINDOW; i++) {
        names[i] = "a";
        groups[i] = i < 1 ? "g" : NULL;
    }
    adder_reply *reply = NULL;
    adder_error error = {0};
    adder_rows request = {.count = WINDOW,
                          .dim = DIM,
                          .accounts = names,
                          .groups = groups,
                          .classes = s.honest.classes,
                          .embeddings = s.honest.embeddings};
    cr_assert_eq(adder_score(s.d.client, &request, &reply, &error), ADDER_TOO_LARGE);
    cr_assert(strstr(error.text, "at most 16 rows, each with a group counted twice, came 17"), "%s",
              error.text);
    adder_info info = ask_info(s.d.client);
    cr_assert(info.accounts == 0 && info.rows == 0);
    request.count = WINDOW - 1;
    cr_assert_eq(adder_score(s.d.client, &request, &reply, &error), ADDER_OK, "%s", error.text);
    cr_assert_eq(ask_info(s.d.client).accounts, 2);
    adder_reply_free(reply);
    stage_close(&s);
}

Test(verdicts, an_account_and_a_group_of_one_name_have_nothing_to_do_with_each_other) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    send_group(&s, &s.thief, "x", 7);
    adder_reply *reply = send_honest(&s, "x", WINDOW);
    cr_assert_eq(reply->verdicts[0], ADDER_CLEAN);
    cr_assert_eq(reply->fill[WINDOW - 1], WINDOW);
    adder_reply_free(reply);
    bool known = false;
    cr_assert_eq(adder_forget_group(s.d.client, "x", &known, NULL), ADDER_OK);
    cr_assert(known);
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s.d.client, "x", true, &why, NULL), ADDER_OK);
    cr_assert_null(why);
    cr_assert_eq(adder_explain(s.d.client, "x", false, &why, NULL), ADDER_OK);
    cr_assert_not_null(why);
    cr_assert_eq(why->queries, WINDOW);
    adder_explanation_free(why);
    stage_close(&s);
}

/* ---- patience ---- */

/* A day: every honest account asks once, in requests of a thousand. */
static size_t honest_day(stage *s, size_t day) {
    enum { HONEST = 4000, A_REQUEST = 1000 };
    static char text[A_REQUEST][16];
    static const char *names[A_REQUEST];
    size_t flagged = 0;
    fixture_rows some = fixture_rows_make(A_REQUEST, DIM);
    for (size_t first = 0; first < HONEST; first += A_REQUEST) {
        for (size_t i = 0; i < A_REQUEST; i++) {
            snprintf(text[i], sizeof text[i], "user-%zu", first + i);
            names[i] = text[i];
            fixture_rows_copy(&some, i, &s->honest,
                              (1 + ((first + i) * 314 + day * 26)) % s->honest.rows);
        }
        adder_reply *reply = ask((ask_question){
            .client = s->d.client, .names = names, .rows = &some, .count = A_REQUEST});
        for (size_t i = 0; i < A_REQUEST; i++) {
            flagged += reply->verdicts[i] == ADDER_FLAGGED;
        }
        adder_reply_free(reply);
    }
    fixture_rows_free(&some);
    return flagged;
}

Test(verdicts, four_queries_a_day_among_four_thousand_accounts_add_up) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    size_t day = 0;
    size_t honest_flagged = 0;
    for (bool flagged = false; !flagged; day++) {
        cr_assert_lt(day, 12, "48 hostile queries and not flagged");
        honest_flagged += honest_day(&s, day);
        ask_row last = ask_last(s.d.client, "patient", &s.thief, 4 * day, 4);
        flagged = last.decision == ADDER_POISON;
    }
    printf("flagged on day %zu; honest queries of flagged accounts: %zu\n", day, honest_flagged);
    cr_assert_eq(honest_flagged, 0);
    stage_close(&s);
}

/* ---- what is forgotten, repeated, told ---- */

Test(verdicts, an_account_that_was_forgotten_begins_anew) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    adder_reply_free(send_thief(&s, "mallory", 64));
    cr_assert_eq(adder_forget(s.d.client, "mallory", NULL, NULL), ADDER_OK);
    adder_reply *reply = send_honest(&s, "mallory", WINDOW);
    cr_assert_eq(reply->verdicts[0], ADDER_CLEAN);
    adder_reply_free(reply);
    stage_close(&s);
}

Test(verdicts, a_repeated_request_with_groups_gets_the_same_bytes_and_another_group_is_refused) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    static const char *const names[2] = {"a", "b"};
    static const char *const groups[2] = {"g", NULL};
    static const char *const others[2] = {"g", "h"};
    nng_socket socket = ask_socket(s.d.url);
    wire_outgoing request = {.op = WIRE_SCORE,
                             .identified = true,
                             .client = 7,
                             .seq = 1,
                             .rows = 2,
                             .accounts = names,
                             .groups = groups,
                             .classes = s.thief.classes,
                             .dim = DIM,
                             .embeddings = s.thief.embeddings,
                             .want_detail = true};
    nng_msg *first = ask_message(socket, ask_encoded(&request));
    nng_msg *again = ask_message(socket, ask_encoded(&request));
    cr_assert(ask_same_bytes(first, again));
    nng_msg_free(first);
    nng_msg_free(again);
    cr_assert_eq(ask_info(s.d.client).rows, 2);
    char text[WIRE_TEXT_MAX];
    request.groups = others;
    cr_assert_eq(ask_code(socket, ask_encoded(&request), text), WIRE_BAD_REQUEST, "%s", text);
    nng_close(socket);
    stage_close(&s);
}

Test(verdicts, an_explanation_adds_up_to_the_score_and_the_excess_of_the_reply) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    adder_reply *reply = send_thief(&s, "mallory", 64);
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s.d.client, "mallory", false, &why, NULL), ADDER_OK);
    cr_assert_not_null(why);
    double score = 0.0;
    double excess = 0.0;
    uint64_t rows = 0;
    for (size_t i = 0; i < why->classes; i++) {
        const adder_explained_class *c = &why->by_class[i];
        score += c->contribution;
        rows += c->n;
        excess += sqrt((double)c->n / WINDOW) * c->excess;
        cr_assert(i == 0 || c->contribution <= why->by_class[i - 1].contribution);
        cr_assert(fabs(c->mean_part + c->covariance_part - c->d2) < 1e-9 * c->d2);
        cr_assert(c->mean_part > 0.0 && c->mean_part < c->d2);
        cr_assert(fabs((c->d2 - c->benign_mean) / c->benign_sd - c->excess) < 1e-6);
    }
    cr_assert_eq(rows, WINDOW);
    /* A reply's columns are float32. */
    cr_assert(fabs(score / (double)reply->scores[WINDOW - 1] - 1.0) < 1e-6, "%g", score);
    cr_assert(fabs(excess / (double)reply->excess[WINDOW - 1] - 1.0) < 1e-5, "%g", excess);
    cr_assert(fabs(why->score / score - 1.0) < 1e-9 && fabs(why->excess / excess - 1.0) < 1e-9);
    cr_assert_eq(why->queries, 64);
    cr_assert(why->windows == 4 && why->history[3].query == 64);
    cr_assert(why->first_flagged_at > 0 && why->first_flagged_at <= 64);
    cr_assert(fabs(why->evidence - (double)reply->evidence[WINDOW - 1]) < 1e-6);
    cr_assert_eq(why->release_after, 1000);
    adder_explanation_free(why);
    adder_reply_free(reply);
    stage_close(&s);
}

Test(verdicts, the_log_says_what_decides) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    daemon_await_log(&s.d,
                     "mode enforce, action poison: accounts are flagged by their evidence, at "
                     "most 0.001 of honest ones in 2000 queries");
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS("--window", "8"));
    daemon_await_log(&s.d, "calibrated for window 16: no evidence is kept for window 8");
    stage_close(&s);
}

/*
 * test_client_guard.c - what adder_guard answers when the daemon is stopped, ending or was never
 * there; and what the client remembers of who is flagged.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "client_guard.h"
#include "daemon_fixture.h"
#include "fixture.h"
#include "stub_host.h"

enum { DIM = 64, ROWS = 32, CLASSES = 10, TIMEOUT_MS = 1000, PATH_BYTES = CHILD_PATH_BYTES * 2 };

static const char *names[ROWS];
static fixture_rows source;

static adder_rows rows_of(void) {
    for (size_t i = 0; i < ROWS; i++) {
        names[i] = i % 2 ? "thief" : "alice";
    }
    return (adder_rows){.count = ROWS,
                        .dim = DIM,
                        .accounts = names,
                        .classes = source.classes,
                        .embeddings = source.embeddings,
                        .want_poison = true};
}

/* A daemon to which "thief" is denied, thus flagged. */
static void start(daemon_fixture *d, const char *more, const char *value) {
    char deny[PATH_BYTES];
    source = fixture_source(DIM, "benign_test");
    daemon_open(d, DIM);
    child_write(daemon_path(d, "deny", deny), "thief\n", 6);
    daemon_start(d, more != NULL ? DAEMON_FLAGS("--deny", deny, more, value)
                                 : DAEMON_FLAGS("--deny", deny));
}

static adder_client *open_client(const daemon_fixture *d, adder_on_failure on_failure) {
    adder_client *client;
    adder_options options = {.timeout_ms = TIMEOUT_MS, .on_failure = on_failure};
    cr_assert_eq(adder_open(&client, d->url, &options, NULL), ADDER_OK);
    return client;
}

/* Until the daemon has answered once, however busy the machine. */
static void learn(adder_client *client) {
    adder_rows rows = rows_of();
    adder_reply *reply = NULL;
    for (int i = 0; adder_score(client, &rows, &reply, NULL) != ADDER_OK; i++) {
        cr_assert_lt(i, 60);
    }
    cr_assert_not(reply->assumed);
    adder_reply_free(reply);
}

static void hold(const daemon_fixture *d) {
    int status;
    kill(d->child, SIGSTOP);
    cr_assert_eq(waitpid(d->child, &status, WUNTRACED), d->child);
}

static void finish(daemon_fixture *d) {
    kill(d->child, SIGCONT);
    daemon_stop(d);
    daemon_close(d);
    fixture_rows_free(&source);
}

static adder_reply *guard(adder_client *client) {
    adder_rows rows = rows_of();
    adder_reply *reply;
    adder_error error = {""};
    cr_assert_eq(adder_guard(client, &rows, &reply, &error), ADDER_OK, "%s", error.text);
    return reply;
}

/* ---- with the daemon ---- */

static void check_poison(const adder_reply *reply) {
    cr_assert_eq(reply->poison_count, ROWS / 2);
    cr_assert_eq(reply->classes, CLASSES);
    for (size_t k = 0; k < reply->poison_count; k++) {
        const float *p = reply->poison + k * CLASSES;
        double sum = 0.0;
        size_t top = 0;
        cr_assert_eq(reply->poison_rows[k], 2 * k + 1);
        for (size_t c = 0; c < CLASSES; c++) {
            cr_assert(p[c] >= 0.0f);
            sum += (double)p[c];
            top = p[c] > p[top] ? c : top;
        }
        cr_assert_float_eq(sum, 1.0, 1e-5, "sum %.9g", sum); /* ten roundings to a float */
        cr_assert(top != source.classes[2 * k + 1] && p[top] > 0.5f);
    }
}

Test(guard, keep_poisons_who_was_flagged_and_a_repeated_query_gets_the_same, .timeout = 120) {
    daemon_fixture d;
    adder_counters counters;
    start(&d, NULL, NULL);
    adder_client *client = open_client(&d, ADDER_FAIL_KEEP);
    learn(client);
    hold(&d);
    adder_reply *reply = guard(client), *again = guard(client);
    cr_assert(reply->assumed && reply->cause == ADDER_TIMED_OUT);
    for (size_t i = 0; i < ROWS; i++) {
        cr_assert_eq(reply->decisions[i], i % 2 ? ADDER_POISON : ADDER_ALLOW);
        cr_assert_eq(reply->verdicts[i], i % 2 ? ADDER_FLAGGED : ADDER_UNDECIDED);
        cr_assert(isnan(reply->scores[i]) && reply->fill[i] == 0);
    }
    check_poison(reply);
    cr_assert_arr_eq(reply->poison, again->poison, ROWS / 2 * CLASSES * sizeof(float));
    adder_client_counters(client, &counters);
    cr_assert(counters.assumed == 2 && counters.by_cause[ADDER_TIMED_OUT] == 2);
    cr_assert(counters.assumed_rows == 2 * ROWS && counters.assumed_poison_rows == ROWS);
    cr_assert(counters.flagged == 1 && counters.answered == 1);
    adder_reply_free(reply);
    adder_reply_free(again);
    kill(d.child, SIGCONT);
    learn(client);
    bool known;
    while (adder_forget(client, "thief", &known, NULL) != ADDER_OK) {
    }
    adder_client_counters(client, &counters);
    cr_assert_eq(counters.flagged, 0);
    adder_close(client);
    finish(&d);
}

Test(guard, allow_allows_all_and_error_is_the_error, .timeout = 120) {
    daemon_fixture d;
    start(&d, NULL, NULL);
    adder_client *allow = open_client(&d, ADDER_FAIL_ALLOW);
    adder_client *none = open_client(&d, ADDER_FAIL_ERROR);
    adder_client *keep = open_client(&d, ADDER_FAIL_KEEP);
    learn(allow);
    learn(none);
    learn(keep);
    hold(&d);
    adder_reply *reply = guard(allow);
    cr_assert(reply->assumed && reply->poison_count == 0 && reply->decisions[1] == ADDER_ALLOW);
    adder_reply_free(reply);
    adder_rows rows = rows_of();
    cr_assert_eq(adder_guard(none, &rows, &reply, NULL), ADDER_TIMED_OUT);
    cr_assert_null(reply);
    cr_assert_eq(adder_score(keep, &rows, &reply, NULL), ADDER_TIMED_OUT, "score has no policy");
    rows.count = 0;
    cr_assert_eq(adder_guard(keep, &rows, &reply, NULL), ADDER_BAD_REQUEST);
    cr_assert_null(reply);
    adder_close(allow);
    adder_close(none);
    adder_close(keep);
    finish(&d);
}

Test(guard, keep_does_what_the_daemon_did, .timeout = 120) {
    static const struct {
        const char *flag, *value;
        adder_decision decision;
    } cases[] = {{"--mode", "shadow", ADDER_ALLOW},
                 {"--action", "label_only", ADDER_LABEL_ONLY},
                 {"--output", "hard", ADDER_POISON}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        daemon_fixture d;
        start(&d, cases[i].flag, cases[i].value);
        adder_client *client = open_client(&d, ADDER_FAIL_KEEP);
        learn(client);
        hold(&d);
        adder_reply *reply = guard(client);
        cr_assert_eq(reply->decisions[1], cases[i].decision, "%s", cases[i].value);
        cr_assert(reply->verdicts[1] == ADDER_FLAGGED && reply->poison == NULL);
        cr_assert_eq(reply->poison_count, i == 2 ? ROWS / 2 : 0);
        for (size_t k = 0; k < reply->poison_count; k++) {
            uint32_t label = reply->poison_labels[k];
            cr_assert(label < CLASSES && label != source.classes[2 * k + 1]);
        }
        adder_reply_free(reply);
        adder_close(client);
        finish(&d);
    }
}

/* ---- without it ---- */

Test(guard, a_daemon_that_ends_or_never_was_is_answered_for) {
    static stub_host host;
    const char *url = stub_url(STUB_IPC);
    static float embeddings[STUB_DIM];
    adder_rows rows = {.count = 1,
                       .dim = STUB_DIM,
                       .accounts = (const char *const[]){"a"},
                       .classes = (const uint32_t[]){1},
                       .embeddings = embeddings};
    adder_reply *reply;
    adder_client *client = stub_client(url, 100);
    cr_assert_eq(adder_guard(client, &rows, &reply, NULL), ADDER_OK);
    cr_assert(reply->assumed && reply->cause == ADDER_TIMED_OUT &&
              reply->decisions[0] == ADDER_ALLOW);
    adder_reply_free(reply);
    adder_close(client);
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    client = stub_client(url, 20000);
    static adder_info info;
    cr_assert_eq(adder_hello(client, &info, NULL), ADDER_OK); /* the limits are known then */
    atomic_store(&host.draining, true);
    cr_assert_eq(adder_guard(client, &rows, &reply, NULL), ADDER_OK);
    cr_assert(reply->assumed && reply->cause == ADDER_DRAINING);
    adder_reply_free(reply);
    rows.model = "another"; /* what is wrong with a request stays wrong */
    adder_error error = {""};
    adder_status status = adder_guard(client, &rows, &reply, &error);
    cr_assert_eq(status, ADDER_UNKNOWN_MODEL, "%s: %s", adder_status_text(status), error.text);
    adder_close(client);
    stub_close(&host);
}

/* ---- what is remembered ---- */

/* A reply to one row in which account and group have these verdicts. */
static void tell(client_guard *g, const char *account, const char *group, bool flagged,
                 bool group_flagged) {
    uint8_t decision = flagged ? ADDER_POISON : ADDER_ALLOW;
    uint8_t verdict = flagged ? ADDER_FLAGGED : ADDER_CLEAN;
    uint8_t group_verdict = group_flagged ? ADDER_FLAGGED : ADDER_CLEAN;
    adder_rows rows = {.count = 1, .accounts = &account, .groups = group != NULL ? &group : NULL};
    adder_reply reply = {.count = 1,
                         .decisions = &decision,
                         .verdicts = &verdict,
                         .group_verdicts = group != NULL ? &group_verdict : NULL};
    client_guard_learn(g, &rows, &reply);
}

static adder_decision assumed(client_guard *g, const char *account, const char *group) {
    adder_rows rows = {.count = 1, .accounts = &account, .groups = group != NULL ? &group : NULL};
    adder_reply *reply = client_guard_answer(
        g, &(client_guard_case){.rows = &rows, .cause = ADDER_TIMED_OUT, .keep = true});
    cr_assert_not_null(reply);
    adder_decision decision = reply->decisions[0];
    adder_reply_free(reply);
    return decision;
}

Test(guard, the_memory_is_bounded_and_who_was_seen_longest_ago_goes) {
    enum { MOST = 100, NAMES = 1000 };
    char name[32];
    adder_counters counters;
    client_guard *g = client_guard_open(MOST);
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "name %zu", i);
        tell(g, name, NULL, true, false);
        tell(g, "regular", NULL, true, false);
    }
    client_guard_count(g, &counters);
    cr_assert_eq(counters.flagged, MOST);
    cr_assert_eq(counters.evicted, NAMES + 1 - MOST);
    cr_assert_eq(assumed(g, "regular", NULL), ADDER_POISON);
    cr_assert_eq(assumed(g, "name 999", NULL), ADDER_POISON);
    cr_assert_eq(assumed(g, "name 0", NULL), ADDER_ALLOW);
    tell(g, "regular", NULL, false, false);
    cr_assert_eq(assumed(g, "regular", NULL), ADDER_ALLOW, "it came clean");
    client_guard_close(g);
}

Test(guard, a_flagged_group_is_remembered_for_accounts_not_yet_seen) {
    client_guard *g = client_guard_open(10);
    tell(g, "a", "gang", true, true);
    cr_assert_eq(assumed(g, "new", "gang"), ADDER_POISON);
    cr_assert_eq(assumed(g, "new", "others"), ADDER_ALLOW);
    cr_assert_eq(assumed(g, "gang", NULL), ADDER_ALLOW,
                 "an account called like a group is another");
    client_guard_forget(g, "gang", true);
    cr_assert_eq(assumed(g, "new", "gang"), ADDER_ALLOW);
    client_guard_close(g);
}

Test(guard, what_is_done_to_who_is_on_the_allow_list_is_not_done_to_its_group) {
    client_guard *g = client_guard_open(10);
    const char *account = "friend", *group = "gang";
    uint8_t decision = ADDER_ALLOW, verdict = ADDER_CLEAN, group_verdict = ADDER_FLAGGED;
    uint8_t reason = ADDER_ALLOWED;
    adder_rows rows = {.count = 1, .accounts = &account, .groups = &group};
    adder_reply reply = {.count = 1,
                         .decisions = &decision,
                         .verdicts = &verdict,
                         .group_verdicts = &group_verdict,
                         .reasons = &reason};
    tell(g, "a", "gang", true, true);
    client_guard_learn(g, &rows, &reply);
    cr_assert_eq(assumed(g, "new", "gang"), ADDER_POISON);
    group_verdict = ADDER_CLEAN;
    client_guard_learn(g, &rows, &reply);
    cr_assert_eq(assumed(g, "new", "gang"), ADDER_ALLOW, "the group came clean");
    client_guard_close(g);
}

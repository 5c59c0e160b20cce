/*
 * test_daemon_log.c - what a calibrated daemon tells of its accounts: a line for each change of a
 * verdict, with the numbers that were answered, and none for what is no change.
 */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "calibrated.h"
#include "daemon_ask.h"
#include "daemon_fixture.h"

enum { DIM = 64, WINDOW = 16, PATH_BYTES = CHILD_PATH_BYTES * 2, WAIT_MS = 30000 };

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

typedef struct {
    const char *account;
    const char *group; /* NULL: none */
    const fixture_rows *rows;
    size_t step; /* between its rows in the file */
} sender;

/* A window's rows, the n-th of the sender's; the caller frees the reply. */
static adder_reply *send(stage *s, const sender *who, size_t n) {
    adder_reply *reply = NULL;
    adder_error error = {0};
    const char *names[WINDOW], *groups[WINDOW];
    fixture_rows some = fixture_rows_make(WINDOW, DIM);
    for (size_t i = 0; i < WINDOW; i++) {
        fixture_rows_copy(&some, i, who->rows,
                          (1 + (n * WINDOW + i) * who->step) % who->rows->rows);
        names[i] = who->account;
        groups[i] = who->group;
    }
    adder_rows request = {.count = WINDOW,
                          .dim = DIM,
                          .accounts = names,
                          .groups = who->group == NULL ? NULL : groups,
                          .classes = some.classes,
                          .embeddings = some.embeddings,
                          .want_detail = true};
    cr_assert_eq(adder_score(s->d.client, &request, &reply, &error), ADDER_OK, "%s", error.text);
    fixture_rows_free(&some);
    return reply;
}

/* Windows `from` on until the account's verdict is this; the reply in which it is. */
static adder_reply *send_until(stage *s, const sender *who, size_t from, adder_verdict verdict) {
    for (size_t n = from; n < from + 200; n++) {
        adder_reply *reply = send(s, who, n);
        if (reply->verdicts[WINDOW - 1] == verdict) {
            return reply;
        }
        adder_reply_free(reply);
    }
    cr_assert_fail("%s does not become %d", who->account, verdict);
    return NULL;
}

/* ---- the log ---- */

/* The lines of an event, as an array; every line must be an object. The caller's. */
static json_t *lines_of(const stage *s, const char *event) {
    json_t *found = json_array();
    char *log = daemon_log(&s->d);
    char *rest = log;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        cr_assert(json_is_object(object), "no object: %s", line);
        const char *word = json_string_value(json_object_get(object, "event"));
        cr_assert(word && json_is_string(json_object_get(object, "time")) &&
                      json_is_string(json_object_get(object, "message")) &&
                      json_is_string(json_object_get(object, "level")),
                  "%s", line);
        if (strcmp(word, event) == 0) {
            json_array_append(found, object);
        }
        json_decref(object);
    }
    free(log);
    return found;
}

/* ... once there are so many of them. */
static json_t *await_lines(const stage *s, const char *event, size_t count) {
    nng_time deadline = nng_clock() + WAIT_MS;
    for (;;) {
        json_t *lines = lines_of(s, event);
        if (json_array_size(lines) >= count) {
            cr_assert_eq(json_array_size(lines), count, "%s", json_dumps(lines, 0));
            return lines;
        }
        json_decref(lines);
        cr_assert_lt(nng_clock(), deadline, "%zu lines of %s", count, event);
        nng_msleep(5);
    }
}

static void expect_text(const json_t *line, const char *key, const char *text) {
    const char *found = json_string_value(json_object_get(line, key));
    cr_assert(found && strcmp(found, text) == 0, "%s: expected %s in %s", key, text,
              json_dumps(line, 0));
}

static double number(const json_t *line, const char *key) {
    const json_t *value = json_object_get(line, key);
    cr_assert(json_is_number(value), "no number %s in %s", key, json_dumps(line, 0));
    return json_number_value(value);
}

/* A line has nine digits, an answer a float's. */
static bool same(double logged, float answered) {
    return fabs(logged - (double)answered) <= 1e-7 * fabs((double)answered);
}

/* From, to, and why. */
typedef struct {
    const char *from, *to, *reason;
} change;

static void expect_change(const json_t *lines, size_t at, change expected) {
    const json_t *line = json_array_get(lines, at);
    expect_text(line, "level", "info");
    expect_text(line, "from", expected.from);
    expect_text(line, "to", expected.to);
    expect_text(line, "reason", expected.reason);
}

static const char *reason_word(uint8_t reason) {
    return reason == ADDER_BY_ROWS ? "queries" : "windows";
}

/* ---- by evidence ---- */

Test(daemon_log, tells_of_a_thief_once_with_the_numbers_that_were_answered, .timeout = 120) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    sender mallory = {"mallory \"x\"\n", NULL, &s.thief, 7};
    sender alice = {"alice", NULL, &s.honest, 314};
    adder_reply *flagged = send_until(&s, &mallory, 0, ADDER_FLAGGED);
    for (size_t n = 20; n < 30; n++) {
        adder_reply_free(send(&s, &mallory, n));
        adder_reply_free(send(&s, &alice, n));
    }
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s.d.client, mallory.account, false, &why, NULL), ADDER_OK);
    json_t *lines = await_lines(&s, "verdict", 1);
    const json_t *line = json_array_get(lines, 0);
    expect_change(lines, 0,
                  (change){number(line, "query") > WINDOW ? "clean" : "undecided", "flagged",
                           reason_word(flagged->reasons[WINDOW - 1])});
    expect_text(line, "account", mallory.account);
    expect_text(line, "model", "default");
    expect_text(line, "mode", "enforce");
    expect_text(line, "action", "poison");
    cr_assert_eq(number(line, "query"), (double)why->first_flagged_at);
    cr_assert(number(line, "evidence") > 1.0 && number(line, "limit") == 1.0);
    cr_assert(same(number(line, "evidence"), flagged->evidence[WINDOW - 1]));
    cr_assert(same(number(line, "score"), flagged->scores[WINDOW - 1]));
    cr_assert(same(number(line, "excess"), flagged->excess[WINDOW - 1]));
    json_decref(lines);
    adder_explanation_free(why);
    adder_reply_free(flagged);
    stage_close(&s);
}

Test(daemon_log, tells_of_a_release_and_of_what_is_forgotten, .timeout = 120) {
    stage s;
    bool known = false;
    stage_open(&s, DAEMON_FLAGS("--release-after", "32"));
    sender mallory = {"mallory", NULL, &s.thief, 7};
    sender repentant = {"mallory", NULL, &s.honest, 314};
    adder_reply_free(send_until(&s, &mallory, 0, ADDER_FLAGGED));
    adder_reply_free(send_until(&s, &repentant, 0, ADDER_CLEAN));
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s.d.client, "mallory", false, &why, NULL), ADDER_OK);
    cr_assert_eq(adder_forget(s.d.client, "mallory", &known, NULL), ADDER_OK);
    cr_assert(known);
    cr_assert_eq(adder_forget(s.d.client, "mallory", &known, NULL), ADDER_OK);
    for (int i = 0; i < 2; i++) {
        adder_reply_free(send_until(&s, &mallory, 0, ADDER_FLAGGED));
        cr_assert_eq(adder_forget(s.d.client, "mallory", &known, NULL), ADDER_OK);
    }
    json_t *lines = await_lines(&s, "verdict", 7);
    expect_change(lines, 1, (change){"flagged", "clean", "released"});
    expect_change(lines, 2, (change){"clean", "forgotten", "forget"});
    cr_assert_eq(number(json_array_get(lines, 2), "query"), (double)why->queries);
    cr_assert(number(json_array_get(lines, 1), "evidence") <= 1.0);
    for (size_t i = 3; i < 7; i += 2) { /* as often as it comes back */
        expect_text(json_array_get(lines, i), "to", "flagged");
        expect_change(lines, i + 1, (change){"flagged", "forgotten", "forget"});
    }
    json_decref(lines);
    adder_explanation_free(why);
    stage_close(&s);
}

Test(daemon_log, tells_of_a_group_as_of_an_account, .timeout = 120) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    char name[16];
    for (size_t n = 0; n < 12; n++) {
        snprintf(name, sizeof name, "member-%zu", n);
        sender member = {name, "gang", &s.thief, 7};
        adder_reply_free(send(&s, &member, n));
    }
    nng_time deadline = nng_clock() + WAIT_MS;
    for (size_t told = 0; told != 1;) {
        json_t *lines = lines_of(&s, "verdict");
        size_t i;
        json_t *line;
        told = 0;
        json_array_foreach(lines, i, line) {
            told += json_object_get(line, "group") != NULL;
            cr_assert((json_object_get(line, "group") == NULL) !=
                      (json_object_get(line, "account") == NULL));
        }
        cr_assert(told <= 1 && nng_clock() < deadline, "%zu lines of the group", told);
        json_decref(lines);
    }
    stage_close(&s);
}

Test(daemon_log, tells_of_who_is_denied_and_nothing_of_who_is_allowed, .timeout = 120) {
    stage s;
    char deny[PATH_BYTES], allow[PATH_BYTES];
    stage_open(&s, DAEMON_NO_FLAGS);
    daemon_stop(&s.d);
    child_write(daemon_path(&s.d, "deny", deny), "eve\n", 4);
    child_write(daemon_path(&s.d, "allow", allow), "mallory\n", 8);
    daemon_start(&s.d, DAEMON_FLAGS("--deny", deny, "--allow", allow));
    sender eve = {"eve", NULL, &s.honest, 314};
    sender mallory = {"mallory", NULL, &s.thief, 7};
    for (size_t n = 0; n < 8; n++) {
        adder_reply_free(send(&s, &mallory, n));
        adder_reply_free(send(&s, &eve, n));
    }
    json_t *lines = await_lines(&s, "verdict", 1);
    expect_change(lines, 0, (change){"undecided", "flagged", "denied"});
    expect_text(json_array_get(lines, 0), "account", "eve");
    json_decref(lines);
    stage_close(&s);
}

/* A list that changes changes a verdict at the next query, which is told once each time. */
Test(daemon_log, tells_of_who_is_denied_by_a_reload_and_freed_by_the_next, .timeout = 120) {
    stage s;
    char deny[PATH_BYTES];
    stage_open(&s, DAEMON_NO_FLAGS);
    daemon_stop(&s.d);
    child_write(daemon_path(&s.d, "deny", deny), "zoe\n", 4);
    daemon_start(&s.d, DAEMON_FLAGS("--deny", deny));
    sender eve = {"eve", NULL, &s.honest, 314};
    static const char *const lists[] = {"zoe\neve\n", "zoe\n"};
    adder_reply_free(send(&s, &eve, 0));
    json_decref(await_lines(&s, "verdict", 0));
    for (size_t i = 0; i < 2; i++) {
        child_write(deny, lists[i], strlen(lists[i]));
        kill(s.d.child, SIGHUP);
        json_decref(await_lines(&s, "reloaded", i + 1));
        adder_reply_free(send(&s, &eve, 1 + 2 * i));
        adder_reply_free(send(&s, &eve, 2 + 2 * i));
        json_t *lines = await_lines(&s, "verdict", i + 1);
        expect_text(json_array_get(lines, i), "account", "eve");
        expect_text(json_array_get(lines, i), i == 0 ? "to" : "from", "flagged");
        expect_text(json_array_get(lines, 0), "reason", "denied");
        json_decref(lines);
    }
    stage_close(&s);
}

Test(daemon_log, does_not_tell_again_of_who_was_flagged_before_a_restart, .timeout = 120) {
    stage s;
    char state[PATH_BYTES];
    stage_open(&s, DAEMON_NO_FLAGS);
    daemon_stop(&s.d);
    const char *const flags[] = {"--snapshot", daemon_path(&s.d, "state", state), NULL};
    daemon_start(&s.d, flags);
    sender mallory = {"mallory", NULL, &s.thief, 7};
    sender trudy = {"trudy", NULL, &s.thief, 7};
    adder_reply_free(send_until(&s, &mallory, 0, ADDER_FLAGGED));
    json_decref(await_lines(&s, "verdict", 1));
    daemon_stop(&s.d);
    daemon_start(&s.d, flags);
    daemon_await_log(&s.d, "restored from");
    adder_reply_free(send(&s, &mallory, 9));
    adder_reply_free(send_until(&s, &trudy, 0, ADDER_FLAGGED)); /* whose line comes later */
    json_t *lines = await_lines(&s, "verdict", 1);
    expect_text(json_array_get(lines, 0), "account", "trudy");
    json_decref(lines);
    stage_close(&s);
}

/* ---- by a threshold ---- */

Test(daemon_log, tells_of_each_window_that_is_judged_unlike_the_one_before, .timeout = 120) {
    stage s;
    stage_open(&s, DAEMON_NO_FLAGS);
    sender mallory = {"mallory", NULL, &s.thief, 7};
    sender alice = {"mallory", NULL, &s.honest, 314};
    adder_reply *hostile = send(&s, &mallory, 0);
    adder_reply *honest = send(&s, &alice, 0);
    double limit = 0.5 * ((double)hostile->scores[WINDOW - 1] + (double)honest->scores[WINDOW - 1]);
    char threshold[32];
    snprintf(threshold, sizeof threshold, "%.6g", limit);
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS("--threshold", threshold, "--mode", "shadow"));
    for (int i = 0; i < 3; i++) {
        adder_reply_free(send(&s, &mallory, 0));
        adder_reply_free(send(&s, &mallory, 0));
        adder_reply_free(send(&s, &alice, 0));
    }
    json_t *lines = await_lines(&s, "verdict", 6);
    for (size_t i = 0; i < 6; i++) {
        const json_t *line = json_array_get(lines, i);
        const char *before = i == 0 ? "undecided" : "clean";
        expect_change(lines, i,
                      i % 2 == 0 ? (change){before, "flagged", "windows"}
                                 : (change){"flagged", "clean", "windows"});
        expect_text(line, "mode", "shadow");
        cr_assert_eq(number(line, "limit"), strtod(threshold, NULL));
        cr_assert(same(number(line, "score"),
                       i % 2 == 0 ? hostile->scores[WINDOW - 1] : honest->scores[WINDOW - 1]));
        cr_assert_null(json_object_get(line, "evidence"));
    }
    json_decref(lines);
    adder_reply_free(hostile);
    adder_reply_free(honest);
    stage_close(&s);
}

/* 0 would say that its window is like an honest one's. */
Test(daemon_log, tells_no_excess_where_there_are_no_tables_to_have_it_from, .timeout = 120) {
    stage s = {.thief = fixture_source(DIM, "atk_cifar100")};
    daemon_open(&s.d, DIM);
    daemon_start(&s.d, DAEMON_FLAGS("--threshold", "0"));
    sender mallory = {"mallory", NULL, &s.thief, 7};
    adder_reply *reply = send(&s, &mallory, 0);
    cr_assert_null(reply->excess);
    json_t *lines = await_lines(&s, "verdict", 1);
    const json_t *line = json_array_get(lines, 0);
    expect_change(lines, 0, (change){"undecided", "flagged", "windows"});
    cr_assert(json_is_null(json_object_get(line, "excess")), "%s", json_dumps(line, 0));
    json_decref(lines);
    adder_reply_free(reply);
    stage_close(&s);
}

/* ---- where it goes ---- */

/* The next file that is opened gets the number of one that is closed. */
Test(daemon_log, goes_into_no_other_file_where_there_is_no_stderr, .timeout = 120) {
    static const char *const shell[] = {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&-"};
    enum { SHELL = sizeof shell / sizeof *shell };
    const char *argv[SHELL + CHILD_ARGUMENTS_MAX] = {shell[0], shell[1], shell[2]};
    char state[PATH_BYTES], lock[PATH_BYTES];
    daemon_fixture d;
    struct stat facts;
    daemon_open(&d, DIM);
    daemon_path(&d, "state.lock", lock);
    daemon_arguments(&d, DAEMON_FLAGS("--snapshot", daemon_path(&d, "state", state)), argv + SHELL);
    daemon_start_as(&d, argv);
    daemon_stop(&d);
    cr_assert_eq(stat(lock, &facts), 0);
    cr_assert_eq(facts.st_size, 0, "%jd bytes of the log are in it", (intmax_t)facts.st_size);
    daemon_close(&d);
}

/* ---- names ---- */

Test(daemon_log, never_holds_a_name_that_is_to_be_hashed_and_its_key_finds_it, .timeout = 120) {
    stage s;
    char key[PATH_BYTES];
    stage_open(&s, DAEMON_NO_FLAGS);
    daemon_stop(&s.d);
    child_write(daemon_path(&s.d, "key", key), "0123456789abcdef0123456789abcdef", 32);
    cr_assert_eq(chmod(key, 0600), 0);
    daemon_start(&s.d, DAEMON_FLAGS("--log-account-names", "hashed", "--log-key-file", key,
                                    "--log-level", "debug"));
    sender mallory = {"mallory-of-plain-street", "plain-gang", &s.thief, 7};
    adder_reply_free(send_until(&s, &mallory, 0, ADDER_FLAGGED));
    cr_assert_eq(adder_forget(s.d.client, mallory.account, NULL, NULL), ADDER_OK);
    json_t *lines = await_lines(&s, "verdict", 3);
    child_result r =
        child_run(s.d.folder, (const char *const[]){ADDER_PATH, "hash-name", "--key-file", key,
                                                    mallory.account, NULL});
    cr_assert(r.status == 0 && child_one_line(r.out), "%s%s", r.out, r.err);
    r.out[strlen(r.out) - 1] = '\0';
    expect_text(json_array_get(lines, 2), "account", r.out);
    json_decref(lines);
    daemon_stop(&s.d);
    char *log = daemon_log(&s.d);
    cr_assert(strstr(log, "plain-street") == NULL && strstr(log, "plain-gang") == NULL, "%s", log);
    cr_assert(strstr(log, "chmod") == NULL && strstr(log, "random key") == NULL, "%s", log);
    free(log);
    child_result_free(&r);
    daemon_start(&s.d, DAEMON_FLAGS("--log-account-names", "hashed"));
    daemon_await_log(&s.d, "random key");
    stage_close(&s);
}

/* ---- nobody reads ---- */

/* stderr is a pipe, which nobody reads: many times as many lines as go into it and the ring. */
Test(daemon_log, does_not_stop_a_daemon_whose_stderr_nobody_reads, .timeout = 240) {
    enum { ACCOUNTS = 2000, ROUNDS = 12 };
    stage s;
    char path[PATH_BYTES];
    stage_open(&s, DAEMON_NO_FLAGS);
    daemon_stop(&s.d);
    cr_assert_eq(unlink(daemon_path(&s.d, "adderd.err", path)), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    int end = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    cr_assert_geq(end, 0);
    daemon_start(&s.d, DAEMON_FLAGS("--threshold", "0", "--min-fill", "1", "--window", "1",
                                    "--audit-rate", "1000000"));
    fixture_rows rows = fixture_rows_make(ACCOUNTS, DIM);
    static char name[ACCOUNTS][16];
    const char *names[ACCOUNTS];
    for (size_t i = 0; i < ACCOUNTS; i++) {
        fixture_rows_copy(&rows, i, &s.thief, i % s.thief.rows);
        names[i] = name[i];
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ACCOUNTS; i++) {
            snprintf(name[i], sizeof name[i], "%zu-%zu", round, i);
        }
        adder_reply_free(ask((ask_question){
            .client = s.d.client, .names = names, .rows = &rows, .count = ACCOUNTS}));
    }
    cr_assert_eq(adder_ping(s.d.client, NULL), ADDER_OK);
    /* It is read at last, and says what was lost. */
    static char text[1 << 23];
    size_t bytes = 0;
    nng_time deadline = nng_clock() + WAIT_MS;
    while (memmem(text, bytes, "\"event\":\"dropped\"", 17) == NULL) {
        ssize_t got = read(end, text + bytes, sizeof text - bytes);
        bytes += got > 0 ? (size_t)got : 0;
        cr_assert_lt(nng_clock(), deadline, "%zu bytes read", bytes);
    }
    close(end);
    fixture_rows_free(&rows);
    stage_close(&s);
}

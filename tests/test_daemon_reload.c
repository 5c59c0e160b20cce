/*
 * test_daemon_reload.c - several models in one daemon, and SIGHUP: what changes, what stays, and
 * that a fault changes nothing.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "benign.h"
#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "reference.h"

enum { DIM = 64, PATH_BYTES = CHILD_PATH_BYTES * 2, YAML_BYTES = 4 * PATH_BYTES, LOOK_MS = 5 };

typedef struct {
    daemon_fixture d;
    fixture_rows rows;
    char file[PATH_BYTES];
} stage;

static void prepare(stage *s) {
    daemon_open(&s->d, DIM);
    s->rows = fixture_source(DIM, "atk_cifar100");
    daemon_path(&s->d, "adder.yaml", s->file);
}

static void write_file(stage *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_file(stage *s, const char *format, ...) {
    char yaml[YAML_BYTES];
    va_list arguments;
    size_t at =
        (size_t)snprintf(yaml, sizeof yaml, "listen: %s\nengine: cpu\nthreads: 1\n", s->d.url);
    va_start(arguments, format);
    vsnprintf(yaml + at, sizeof yaml - at, format, arguments);
    va_end(arguments);
    child_write(s->file, yaml, strlen(yaml));
}

static void start(stage *s) {
    daemon_start_as(&s->d, (const char *const[]){ADDERD_PATH, "--config", s->file, NULL});
}

static void finish(stage *s) {
    daemon_stop(&s->d);
    daemon_close(&s->d);
    fixture_rows_free(&s->rows);
}

#define RELOADED "\"event\":\"reloaded\""
#define REFUSED "\"event\":\"reload_refused\""

/* How often the words stand in the log. */
static size_t told(const stage *s, const char *words) {
    size_t count = 0;
    char *log = daemon_log(&s->d);
    for (const char *at = log; (at = strstr(at, words)) != NULL; at++) {
        count++;
    }
    free(log);
    return count;
}

static void await_told(const stage *s, const char *words, size_t count) {
    nng_time until = nng_clock() + DAEMON_TIMEOUT_MS;
    while (told(s, words) < count) {
        cr_assert_lt(nng_clock(), until, "'%s' was not told %zu times", words, count);
        nng_msleep(LOOK_MS);
    }
}

/* Sends SIGHUP and waits until the daemon has said one of the two for once more. */
static void reload(stage *s, const char *words) {
    size_t good = told(s, RELOADED), bad = told(s, REFUSED);
    nng_time until = nng_clock() + DAEMON_TIMEOUT_MS;
    kill(s->d.child, SIGHUP);
    while (told(s, RELOADED) == good && told(s, REFUSED) == bad) {
        cr_assert_lt(nng_clock(), until, "no word of the reload");
        nng_msleep(LOOK_MS);
    }
    daemon_await_log(&s->d, words);
}

/* What one more row of the account is answered, by which code. */
typedef struct {
    adder_status status;
    adder_decision decision;
    uint32_t fill;
    bool has_excess;
    char text[256];
} answer;

static answer ask_model(stage *s, const char *model, const char *account) {
    adder_reply *reply;
    adder_error error = {""};
    answer a = {0};
    adder_rows rows = {.count = 1,
                       .dim = DIM,
                       .accounts = &account,
                       .classes = s->rows.classes,
                       .embeddings = s->rows.embeddings,
                       .model = model};
    a.status = adder_score(s->d.client, &rows, &reply, &error);
    memcpy(a.text, error.text, sizeof a.text);
    if (a.status == ADDER_OK) {
        a.decision = (adder_decision)reply->decisions[0];
        a.fill = reply->fill[0];
        a.has_excess = reply->excess != NULL;
        adder_reply_free(reply);
    }
    return a;
}

/* As `adder fit` would name it; rank_max 0: all columns. */
static void make_reference(stage *s, const char *name, size_t rank_max, char path[PATH_BYTES]) {
    reference *made;
    char error[512];
    reference_recipe recipe = {.model = name, .rank_max = rank_max};
    cr_assert(reference_make_from_statistics(&made, TEST_DATA "/d64/ref_mean.f32.npy",
                                             TEST_DATA "/d64/ref_cov.f32.npy", &recipe, error,
                                             sizeof error),
              "%s", error);
    daemon_path(&s->d, name, path);
    cr_assert(reference_save(made, path, error, sizeof error), "%s", error);
    reference_close(made);
}

/* ---- one model ---- */

Test(reload, a_threshold_a_mode_and_a_list_change_and_accounts_keep_their_windows) {
    stage s;
    prepare(&s);
    write_file(&s, "reference: %s\nthreshold: 1e9\nmin-fill: 1\n", s.d.reference);
    start(&s);
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_ALLOW);
    write_file(&s, "reference: %s\nthreshold: 0\nmin-fill: 1\n", s.d.reference);
    reload(&s, "reloaded");
    answer a = ask_model(&s, NULL, "mallory");
    cr_assert(a.decision == ADDER_POISON && a.fill == 2, "decision %d, fill %u", a.decision,
              a.fill);
    write_file(&s, "reference: %s\nthreshold: 0\nmin-fill: 1\naction: label_only\n", s.d.reference);
    reload(&s, "label_only");
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_LABEL_ONLY);
    write_file(&s, "reference: %s\nthreshold: 0\nmin-fill: 1\nmode: shadow\n", s.d.reference);
    reload(&s, "mode shadow");
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_ALLOW);
    char list[PATH_BYTES];
    daemon_path(&s.d, "allowed", list);
    child_write(list, "mallory\n", 8);
    write_file(&s, "reference: %s\nthreshold: 0\nmin-fill: 1\nallow: %s\n", s.d.reference, list);
    reload(&s, "reloaded");
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_ALLOW);
    a = ask_model(&s, NULL, "trudy");
    cr_assert_eq(a.decision, ADDER_POISON);
    adder_info info = ask_info(s.d.client);
    cr_assert(info.models == 1 && info.model[0].has_threshold && info.model[0].threshold <= 0.0);
    finish(&s);
}

Test(reload, any_fault_keeps_what_was_and_says_which_line) {
    stage s;
    prepare(&s);
    write_file(&s, "reference: %s\nthreshold: 0\nmin-fill: 1\n", s.d.reference);
    start(&s);
    static const char *const faults[][2] = {
        {"threshold: -1\n", "adder.yaml:5: threshold: expected a number"},
        {"thresold: 1\n", "adder.yaml:5: thresold: there is no such"},
        {"deny: /nonexistent\n", "adder.yaml:5: deny: /nonexistent"},
        {"max-accounts: 5\n", "adder.yaml:5: max-accounts: cannot change"},
        {"output: hard\n", "adder.yaml:5: output: cannot change"},
        {"max-rows: 5\n", "adder.yaml:5: max-rows: cannot change"},
        {"mode: [\n", "adder.yaml:"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        write_file(&s, "reference: %s\n%s", s.d.reference, faults[i][0]);
        reload(&s, faults[i][1]);
        answer a = ask_model(&s, NULL, "mallory");
        cr_assert(a.decision == ADDER_POISON && a.fill == (i + 1 < 16 ? i + 1 : 16), "%s",
                  faults[i][0]);
    }
    write_file(&s, "reference: /nonexistent\n");
    reload(&s, "adder.yaml:4: reference: /nonexistent/reference.json");
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_POISON);
    cr_assert_eq(told(&s, RELOADED), 0);
    finish(&s);
}

Test(reload, a_reference_that_has_been_calibrated_meanwhile_decides_by_evidence) {
    stage s;
    prepare(&s);
    write_file(&s, "reference: %s\n", s.d.reference);
    start(&s);
    cr_assert_not(ask_model(&s, NULL, "mallory").has_excess);
    daemon_calibrate(&s.d, s.d.reference);
    reload(&s, "flagged by their evidence");
    answer a = ask_model(&s, NULL, "mallory");
    cr_assert(a.has_excess && a.fill == 2, "fill %u", a.fill);
    bool flagged = false;
    for (size_t first = 0; first < 512 && !flagged; first += 16) {
        flagged = ask_last(s.d.client, "mallory", &s.rows, first, 16).decision == ADDER_POISON;
    }
    cr_assert(flagged);
    /* and off and on again: the verdict is still there */
    write_file(&s, "reference: %s\nmode: off\n", s.d.reference);
    reload(&s, "mode off");
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_ALLOW);
    write_file(&s, "reference: %s\n", s.d.reference);
    reload(&s, "reloaded");
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_POISON);
    /* and with another memory, thus another service: only the window begins anew */
    ask_model(&s, NULL, "alice");
    write_file(&s, "reference: %s\nhalf-life: 77\n", s.d.reference);
    reload(&s, RELOADED);
    a = ask_model(&s, NULL, "mallory");
    cr_assert(a.decision == ADDER_POISON && a.fill == 1, "decision %d, fill %u", a.decision,
              a.fill);
    cr_assert_neq(ask_model(&s, NULL, "alice").decision, ADDER_POISON);
    /* also where the two services before looked at no evidence */
    write_file(&s, "reference: %s\nhalf-life: 77\nmode: off\n", s.d.reference);
    reload(&s, RELOADED);
    write_file(&s, "reference: %s\nhalf-life: 78\nmode: off\n", s.d.reference);
    reload(&s, RELOADED);
    write_file(&s, "reference: %s\nhalf-life: 79\n", s.d.reference);
    reload(&s, RELOADED);
    cr_assert_eq(ask_model(&s, NULL, "mallory").decision, ADDER_POISON);
    finish(&s);
}

Test(reload, a_calibration_that_is_gone_is_not_said_to_decide) {
    stage s;
    char animals[PATH_BYTES];
    prepare(&s);
    make_reference(&s, "animals", 0, animals);
    daemon_calibrate(&s.d, animals);
    write_file(&s, "reference: %s\n", animals);
    start(&s);
    daemon_await_log(&s.d, "flagged by their evidence");
    make_reference(&s, "animals", 0, animals);
    reload(&s, "no threshold for window 16");
    cr_assert_not(ask_model(&s, NULL, "mallory").has_excess);
    daemon_calibrate(&s.d, animals);
    reload(&s, "reloaded");
    await_told(&s, "flagged by their evidence", 2);
    cr_assert(ask_model(&s, NULL, "mallory").has_excess);
    make_reference(&s, "animals", 0, animals);
    reload(&s, "reloaded");
    await_told(&s, "no threshold for window 16", 2);
    cr_assert_not(ask_model(&s, NULL, "mallory").has_excess);
    finish(&s);
}

/* ---- several ---- */

/* Of calls that name none themselves. */
static void ask_by_the_client_s_model(stage *s) {
    adder_client *client;
    adder_error error;
    adder_explanation *explanation;
    bool known;
    adder_options options = {.timeout_ms = DAEMON_TIMEOUT_MS, .model = "animals"};
    cr_assert_eq(adder_open(&client, s->d.url, &options, &error), ADDER_OK, "%s", error.text);
    cr_assert_eq(adder_explain(client, "mallory", false, &explanation, &error), ADDER_OK, "%s",
                 error.text);
    cr_assert_eq(explanation->window, 2);
    adder_explanation_free(explanation);
    cr_assert(adder_forget(client, "mallory", &known, &error) == ADDER_OK && known);
    cr_assert_eq(ask_last(client, "mallory", &s->rows, 0, 1).fill, 1);
    adder_close(client);
    cr_assert_eq(ask_model(s, "faces", "mallory").fill, 5, "another model's account was forgotten");
    cr_assert_eq(adder_explain(s->d.client, "mallory", false, &explanation, &error),
                 ADDER_UNKNOWN_MODEL);
    child_result r =
        child_run(s->d.folder, (const char *const[]){ADDER_PATH, "explain", "--connect", s->d.url,
                                                     "--model", "faces", "mallory", NULL});
    cr_assert_eq(r.status, 0, "%s", r.err);
    child_result_free(&r);
    options.model = "";
    cr_assert_eq(adder_open(&client, s->d.url, &options, &error), ADDER_BAD_REQUEST);
}

Test(reload, models_are_told_apart_by_name_each_with_its_own_window_threshold_and_mode) {
    stage s;
    char animals[PATH_BYTES], faces[PATH_BYTES];
    prepare(&s);
    make_reference(&s, "animals", 0, animals);
    make_reference(&s, "faces", 8, faces);
    write_file(&s,
               "min-fill: 1\nthreshold: 0\nmodels:\n  - reference: %s\n    window: 2\n"
               "  - reference: %s\n    mode: shadow\n",
               animals, faces);
    start(&s);
    adder_info info = ask_info(s.d.client);
    cr_assert_eq(info.models, 2);
    cr_assert_str_eq(info.model[0].name, "animals");
    cr_assert(info.model[0].window == 2 && info.model[1].window == 16);
    cr_assert(info.model[1].rank == 8 && info.model[1].mode == ADDER_SHADOW);
    for (uint32_t i = 1; i <= 4; i++) {
        answer a = ask_model(&s, "animals", "mallory"), f = ask_model(&s, "faces", "mallory");
        cr_assert(a.decision == ADDER_POISON && a.fill == (i < 2 ? i : 2));
        cr_assert(f.decision == ADDER_ALLOW && f.fill == i, "%s", f.text);
    }
    cr_assert_eq(ask_model(&s, "birds", "mallory").status, ADDER_UNKNOWN_MODEL);
    answer none = ask_model(&s, NULL, "mallory");
    cr_assert(none.status == ADDER_UNKNOWN_MODEL && strstr(none.text, "2 are served"), "%s",
              none.text);
    cr_assert_eq(ask_info(s.d.client).accounts, 2);
    ask_by_the_client_s_model(&s);
    finish(&s);
}

Test(reload, a_model_goes_and_comes_and_the_other_one_notices_nothing) {
    stage s;
    char animals[PATH_BYTES], faces[PATH_BYTES];
    prepare(&s);
    make_reference(&s, "animals", 0, animals);
    make_reference(&s, "faces", 0, faces);
    write_file(&s, "models:\n- reference: %s\n- reference: %s\n", animals, faces);
    start(&s);
    ask_model(&s, "animals", "a");
    ask_model(&s, "faces", "a");
    write_file(&s, "models:\n- reference: %s\n", faces);
    reload(&s, "reloaded");
    cr_assert_eq(ask_model(&s, "animals", "a").status, ADDER_UNKNOWN_MODEL);
    cr_assert_eq(ask_model(&s, "faces", "a").fill, 2);
    cr_assert_eq(ask_model(&s, NULL, "a").fill, 3, "it is the only one");
    write_file(&s, "models:\n- reference: %s\n- reference: %s\n", faces, animals);
    reload(&s, "reloaded");
    cr_assert_eq(ask_model(&s, "animals", "a").fill, 1, "it begins anew");
    cr_assert_eq(ask_model(&s, "faces", "a").fill, 4);
    make_reference(&s, "animals", 16, animals);
    reload(&s, "reloaded");
    cr_assert_eq(ask_model(&s, "animals", "a").fill, 1, "another reference, another service");
    cr_assert_eq(ask_info(s.d.client).model[1].rank, 16);
    cr_assert_eq(ask_model(&s, "faces", "a").fill, 5);
    finish(&s);
}

Test(reload, a_model_whose_file_another_daemon_keeps_is_refused_with_all_else) {
    stage s;
    char animals[PATH_BYTES], faces[PATH_BYTES], state[PATH_BYTES], lock[PATH_BYTES];
    prepare(&s);
    make_reference(&s, "animals", 0, animals);
    make_reference(&s, "faces", 0, faces);
    daemon_path(&s.d, "state", state);
    daemon_path(&s.d, "state.lock", lock);
    write_file(&s, "models:\n- reference: %s\n", animals);
    start(&s);
    int other = open(lock, O_RDWR | O_CREAT, 0600);
    cr_assert(other >= 0 && flock(other, LOCK_EX | LOCK_NB) == 0);
    write_file(&s, "models:\n- reference: %s\n- reference: %s\n  snapshot: %s\n", animals, faces,
               state);
    reload(&s, "adder.yaml:7: snapshot: ");
    cr_assert_eq(told(&s, RELOADED), 0);
    cr_assert_eq(ask_info(s.d.client).models, 1);
    close(other);
    reload(&s, "reloaded");
    cr_assert_eq(ask_info(s.d.client).models, 2);
    make_reference(&s, "faces", 8, faces); /* its own lock is in nobody's way */
    reload(&s, "reloaded");
    cr_assert_eq(told(&s, RELOADED), 2);
    other = open(lock, O_RDWR);
    cr_assert(other >= 0 && flock(other, LOCK_EX | LOCK_NB) != 0, "the new one keeps the file");
    close(other);
    finish(&s);
}

/* What it learnt until it went is in its file, and would be written over a minute later. */
Test(reload, a_model_that_comes_again_restores_its_snapshot) {
    stage s;
    char animals[PATH_BYTES], faces[PATH_BYTES], state[PATH_BYTES], with[YAML_BYTES];
    prepare(&s);
    make_reference(&s, "animals", 0, animals);
    make_reference(&s, "faces", 0, faces);
    daemon_path(&s.d, "state", state);
    snprintf(with, sizeof with, "models:\n- reference: %s\n- reference: %s\n  snapshot: %s\n",
             animals, faces, state);
    write_file(&s, "%s", with);
    start(&s);
    ask_model(&s, "faces", "a");
    cr_assert_eq(ask_model(&s, "faces", "a").fill, 2);
    write_file(&s, "models:\n- reference: %s\n", animals);
    reload(&s, RELOADED);
    write_file(&s, "%s", with);
    reload(&s, RELOADED);
    cr_assert_eq(ask_model(&s, "faces", "a").fill, 3);
    finish(&s);
}

/* ---- under load ---- */

enum { CALLERS = 3, RELOADS = 12 };

typedef struct {
    stage *s;
    const char *model;
    atomic_bool *enough;
    size_t asked;
    char fault[256];
} caller;

static void *keep_asking(void *argument) {
    caller *c = argument;
    const char *account = "busy";
    adder_client *client = daemon_connect(&c->s->d, DAEMON_TIMEOUT_MS);
    while (!atomic_load(c->enough) && c->fault[0] == '\0') {
        adder_reply *reply;
        adder_error error = {""};
        adder_rows rows = {.count = 1,
                           .dim = DIM,
                           .accounts = &account,
                           .classes = c->s->rows.classes,
                           .embeddings = c->s->rows.embeddings,
                           .model = c->model,
                           .want_poison = true};
        if (adder_score(client, &rows, &reply, &error) == ADDER_OK) {
            c->asked++;
            adder_reply_free(reply);
        } else {
            snprintf(c->fault, sizeof c->fault, "%s", error.text);
        }
    }
    adder_close(client);
    return NULL;
}

Test(reload, no_request_is_lost_while_references_and_modes_change, .timeout = 120) {
    stage s;
    char animals[PATH_BYTES], faces[PATH_BYTES];
    atomic_bool enough = false;
    caller callers[CALLERS];
    pthread_t threads[CALLERS];
    prepare(&s);
    make_reference(&s, "animals", 0, animals);
    make_reference(&s, "faces", 0, faces);
    write_file(&s, "models:\n- reference: %s\n- reference: %s\n", animals, faces);
    start(&s);
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.s = &s, .model = i == 0 ? "animals" : "faces", .enough = &enough};
        cr_assert_eq(pthread_create(&threads[i], NULL, keep_asking, &callers[i]), 0);
    }
    for (size_t i = 0; i < RELOADS; i++) {
        make_reference(&s, "animals", 8 + i % 3, animals); /* another service each time */
        write_file(&s, "models:\n- reference: %s\n- reference: %s\n  mode: %s\n  threshold: %zu\n",
                   animals, faces, i % 2 ? "shadow" : "enforce", i);
        size_t before = told(&s, RELOADED);
        reload(&s, "reloaded");
        cr_assert_eq(told(&s, RELOADED), before + 1);
    }
    atomic_store(&enough, true);
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_str_eq(callers[i].fault, "");
        cr_assert_gt(callers[i].asked, 0);
    }
    adder_info info = ask_info(s.d.client);
    cr_assert_eq(info.models, 2);
    finish(&s);
}

Test(reload, check_and_print_end_at_once_and_change_nothing) {
    stage s;
    prepare(&s);
    write_file(&s, "reference: %s\n", s.d.reference);
    child_result r = child_run(
        s.d.folder, (const char *const[]){ADDERD_PATH, "--config", s.file, "--check-config", NULL});
    cr_assert(r.status == 0 && strstr(r.out, "good: 1 model\n"), "%d %s", r.status, r.err);
    child_result_free(&r);
    r = child_run(s.d.folder, (const char *const[]){ADDERD_PATH, "--config", s.file,
                                                    "--print-config", "--mode", "off", NULL});
    cr_assert(r.status == 0 && strstr(r.out, "mode: off\n"), "%s", r.out);
    child_result_free(&r);
    write_file(&s, "reference: %s\nallow: /nonexistent\n", s.d.reference);
    r = child_run(s.d.folder,
                  (const char *const[]){ADDERD_PATH, "--config", s.file, "--check-config", NULL});
    cr_assert(r.status == 1 && child_one_line(r.err) && strstr(r.err, "adder.yaml:5: allow: "),
              "%s", r.err);
    child_result_free(&r);
    daemon_close(&s.d);
    fixture_rows_free(&s.rows);
}

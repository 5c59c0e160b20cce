/*
 * test_daemon_life.c - the daemon's start and end: what it refuses to start with, who else may
 * listen, and what becomes of requests when it is told to go.
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"

enum { PATH_BYTES = CHILD_PATH_BYTES * 2 };

/* ---- SIGTERM ---- */

/* Large requests, all of them poisoned, so that replies are still being written at the end. */
enum { THREADS = 4, ROWS = 2048, TERM_TIMEOUT_MS = 3000, ANSWERS_BEFORE = 9 };

/* What the threads share. */
typedef struct {
    const daemon_fixture *d;
    fixture_rows rows;
    atomic_size_t answered; /* before the signal */
    atomic_bool signalled;
} load;

/* What one thread was told. */
typedef struct {
    load *load;
    size_t number;
    size_t ok;
    size_t draining;
    size_t lost;       /* timed out or unreachable */
    size_t early_lost; /* ... though sent before the signal */
    size_t garbage;
    char text[256];
} sender;

/* Returns whether the daemon is still there to ask. */
static bool send_one(sender *s, adder_client *client) {
    const char *accounts[ROWS];
    char names[2][32];
    adder_reply *reply = NULL;
    adder_error error = {""};
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(names[i % 2], sizeof names[0], "thread %zu, %zu", s->number, i % 2);
        accounts[i] = names[i % 2];
    }
    bool early = !atomic_load(&s->load->signalled);
    adder_status status = adder_score(client,
                                      &(adder_rows){.count = ROWS,
                                                    .dim = s->load->rows.dim,
                                                    .accounts = accounts,
                                                    .classes = s->load->rows.classes,
                                                    .embeddings = s->load->rows.embeddings,
                                                    .want_poison = true},
                                      &reply, &error);
    switch (status) {
    case ADDER_OK:
        s->ok++;
        for (size_t i = 0; i < ROWS; i++) {
            s->garbage += !(isfinite(reply->scores[i]) && reply->scores[i] > 0.0f &&
                            reply->fill[i] >= 1 && reply->fill[i] <= 16);
        }
        adder_reply_free(reply);
        atomic_fetch_add(&s->load->answered, 1);
        return true;
    case ADDER_DRAINING:
        s->draining++;
        return true;
    case ADDER_TIMED_OUT:
    case ADDER_UNREACHABLE:
        s->lost++;
        s->early_lost += early;
        break;
    default:
        s->garbage++;
    }
    snprintf(s->text, sizeof s->text, "%s", error.text);
    return false;
}

static void *send_until_gone(void *argument) {
    sender *s = argument;
    adder_client *client = daemon_connect(s->load->d, TERM_TIMEOUT_MS);
    while (send_one(s, client)) {
    }
    adder_close(client);
    return NULL;
}

Test(life, sigterm_under_load_answers_what_was_sent_and_ends_well, .timeout = 120) {
    daemon_fixture d;
    load load = {.d = &d, .rows = fixture_source(64, "atk_cifar100")};
    sender senders[THREADS];
    pthread_t threads[THREADS];
    size_t ok = 0, draining = 0;
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_FLAGS("--threshold", "0", "--min-fill", "1"));
    for (size_t i = 0; i < THREADS; i++) {
        senders[i] = (sender){.load = &load, .number = i};
        cr_assert_eq(pthread_create(&threads[i], NULL, send_until_gone, &senders[i]), 0);
    }
    while (atomic_load(&load.answered) < ANSWERS_BEFORE) {
        nng_msleep(1);
    }
    atomic_store(&load.signalled, true);
    kill(d.child, SIGTERM);
    daemon_await_end(&d);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(senders[i].garbage, 0, "%s", senders[i].text);
        cr_assert_eq(senders[i].early_lost, 0, "sent before the signal: %s", senders[i].text);
        cr_assert_eq(senders[i].lost, 1, "%s", senders[i].text);
        ok += senders[i].ok;
        draining += senders[i].draining;
    }
    printf("SIGTERM under load: %zu answered, %zu told of draining\n", ok, draining);
    cr_assert_geq(ok, ANSWERS_BEFORE);
    daemon_close(&d);
    fixture_rows_free(&load.rows);
}

/* OpenBLAS starts a thread before main, which has no signal blocked. */
Test(life, a_signal_while_it_starts_or_drains_does_not_cut_it_short) {
    daemon_fixture d;
    daemon_open(&d, 64);
    for (int round = 0; round < 20; round++) {
        daemon_start(&d, DAEMON_NO_FLAGS);
        daemon_stop(&d); /* perhaps before it has come to wait for signals */
    }
    daemon_start(&d, DAEMON_NO_FLAGS);
    int status = 0;
    while (!child_ended(d.child, &status)) {
        kill(d.child, SIGTERM);
        nng_msleep(1);
    }
    d.child = 0;
    cr_assert_eq(status, 0, "status %d", status);
    daemon_close(&d);
}

Test(life, sigint_ends_it_as_well_and_removes_its_socket) {
    daemon_fixture d;
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_NO_FLAGS);
    kill(d.child, SIGINT);
    daemon_await_end(&d);
    cr_assert_neq(access(d.url + strlen("ipc://"), F_OK), 0, "the socket was left");
    daemon_close(&d);
}

/* ---- who else is at the address ---- */

static void second_daemon_is_refused(bool tcp) {
    daemon_fixture d;
    const char *argv[CHILD_ARGUMENTS_MAX];
    daemon_open(&d, 64);
    if (tcp) {
        daemon_use_tcp(&d);
    }
    daemon_start(&d, DAEMON_NO_FLAGS);
    daemon_arguments(&d, DAEMON_NO_FLAGS, argv);
    child_result second = child_run(d.folder, argv);
    cr_assert_eq(second.status, 1, "%s", second.err);
    cr_assert(child_one_line(second.err) && strstr(second.err, d.url), "%s", second.err);
    child_result_free(&second);
    cr_assert_eq(adder_ping(d.client, NULL), ADDER_OK, "who was connected before");
    adder_client *newcomer = daemon_connect(&d, DAEMON_TIMEOUT_MS);
    adder_error error = {""};
    cr_assert_eq(adder_ping(newcomer, &error), ADDER_OK, "who connects after: %s", error.text);
    adder_close(newcomer);
    daemon_stop(&d);
    daemon_close(&d);
}

Test(life, a_second_daemon_at_an_ipc_address_ends_and_the_first_goes_on, .timeout = 60) {
    second_daemon_is_refused(false);
}

Test(life, a_second_daemon_at_a_tcp_address_ends_and_the_first_goes_on, .timeout = 60) {
    second_daemon_is_refused(true);
}

/* NNG 1.5.2 takes this for the end of its listener (nanomsg/nng #1518). */
Test(life, peers_that_connect_and_leave_at_once_do_not_deafen_it, .timeout = 60) {
    daemon_fixture d;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    adder_error error = {""};
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_NO_FLAGS);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", d.url + strlen("ipc://"));
    for (int i = 0; i < 20; i++) {
        int file = socket(AF_UNIX, SOCK_STREAM, 0);
        cr_assert_eq(connect(file, (struct sockaddr *)&address, sizeof address), 0);
        close(file);
    }
    adder_client *newcomer = daemon_connect(&d, DAEMON_TIMEOUT_MS);
    cr_assert_eq(adder_ping(newcomer, &error), ADDER_OK, "%s", error.text);
    adder_close(newcomer);
    daemon_stop(&d);
    daemon_close(&d);
}

Test(life, the_socket_of_a_killed_daemon_is_taken_over_and_is_the_owners_alone) {
    daemon_fixture d;
    struct stat status;
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_NO_FLAGS);
    const char *path = d.url + strlen("ipc://");
    cr_assert(stat(path, &status) == 0 && S_ISSOCK(status.st_mode));
    cr_assert_eq(status.st_mode & 0777, 0600, "mode %o", status.st_mode & 0777);
    kill(d.child, SIGKILL);
    cr_assert_eq(child_wait(d.child), CHILD_SIGNAL + SIGKILL);
    adder_close(d.client);
    cr_assert_eq(access(path, F_OK), 0, "nothing stale was left to take over");
    daemon_start(&d, DAEMON_NO_FLAGS);
    cr_assert_eq(adder_ping(d.client, NULL), ADDER_OK);
    daemon_stop(&d);
    daemon_close(&d);
}

/* ---- what it does not start with ---- */

static void ends_with(const daemon_fixture *d, const char *const argv[], int status,
                      const char *word) {
    child_result r = child_run(d->folder, argv);
    cr_assert_eq(r.status, status, "%s: status %d: %s", word, r.status, r.err);
    cr_assert(strstr(r.err, word), "%s is not in: %s", word, r.err);
    cr_assert(status != 1 || child_one_line(r.err), "%s", r.err);
    cr_assert_str_empty(r.out);
    child_result_free(&r);
}

static void ends_with_flags(const daemon_fixture *d, const char *const flags[], int status,
                            const char *word) {
    const char *argv[CHILD_ARGUMENTS_MAX];
    daemon_arguments(d, flags, argv);
    ends_with(d, argv, status, word);
}

Test(life, wrong_usage_ends_with_status_2) {
    static const char *const wrong[][2] = {
        {"--window", "0"},         {"--window", "x"},
        {"--window", "-1"},        {"--threshold", "nan"},
        {"--min-fill", "0"},       {"--memory-rank", "513"},
        {"--half-life", "-1"},     {"--output", "soggy"},
        {"--max-accounts", "0"},   {"--max-rows", "0"},
        {"--max-queue-rows", "0"}, {"--contexts", "0"},
        {"--contexts", "257"},     {"--threads", "1e3"},
        {"--no-such-flag", "1"},   {"--max-connections", ""},
        {"--poison", "soft"},      {"--snapshot-every", "-1"},
        {"--log-format", "xml"},   {"--log-level", "loud"},
        {"--audit-rate", "0"},     {"--log-account-names", "secret"},
    };
    daemon_fixture d;
    daemon_open(&d, 64);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ends_with_flags(&d, DAEMON_FLAGS(wrong[i][0], wrong[i][1]), 2, wrong[i][0] + 2);
    }
    ends_with_flags(&d, DAEMON_FLAGS("word"), 2, "word");
    ends_with(&d, (const char *const[]){ADDERD_PATH, "--listen", d.url, NULL}, 2, "--reference");
    ends_with(&d, (const char *const[]){ADDERD_PATH, "--reference", d.reference, NULL}, 2,
              "--listen");
    child_result help = child_run(d.folder, (const char *const[]){ADDERD_PATH, "--help", NULL});
    cr_assert(help.status == 0 && strstr(help.out, "--max-accounts") && help.err[0] == '\0');
    child_result_free(&help);
    daemon_close(&d);
}

Test(life, what_cannot_be_opened_ends_it_with_status_1_and_one_line) {
    daemon_fixture d;
    char nowhere[PATH_BYTES], secret[PATH_BYTES];
    daemon_open(&d, 64);
    daemon_path(&d, "nowhere", nowhere);
    ends_with(&d, (const char *const[]){ADDERD_PATH, "-r", nowhere, "-l", d.url, NULL}, 1,
              "nowhere");
    ends_with_flags(&d, DAEMON_FLAGS("--secret-file", nowhere), 1, "nowhere");
    child_write(daemon_path(&d, "short", secret), "x", 1);
    ends_with_flags(&d, DAEMON_FLAGS("--secret-file", secret), 1, "32 bytes");
    ends_with_flags(&d, DAEMON_FLAGS("--log-account-names", "hashed", "--log-key-file", secret), 1,
                    "32 bytes");
    ends_with_flags(&d, DAEMON_FLAGS("--log-key-file", secret), 1,
                    "--log-key-file: expected log-account-names hashed");
    ends_with_flags(&d, DAEMON_FLAGS("--engine", "abacus"), 1, "engine");
    ends_with_flags(&d, DAEMON_FLAGS("--decisions-only"), 1, "--threshold");
    const char *const urls[] = {"udp://here", "ipc://", "tcp://127.0.0.1:99999",
                                "ipc:///no/such/folder/socket"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        ends_with(&d, (const char *const[]){ADDERD_PATH, "-r", d.reference, "-l", urls[i], NULL}, 1,
                  urls[i]);
    }
    daemon_close(&d);
}

Test(life, a_spoilt_reference_ends_it_with_status_1_and_one_line) {
    static const char *const names[] = {"mean.npy", "factor.npy", "trace.npy", "reference.json"};
    daemon_fixture d;
    const float nan_value = NAN;
    const double nan_double = NAN;
    daemon_open(&d, 64);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_BYTES];
        size_t bytes;
        snprintf(path, sizeof path, "%s/%s", d.reference, names[i]);
        char *whole = child_read(path, &bytes);
        child_write(path, whole, bytes - 1);
        ends_with_flags(&d, DAEMON_NO_FLAGS, 1, names[i]);
        if (i < 3) {
            char *spoilt = malloc(bytes);
            cr_assert_not_null(spoilt);
            memcpy(spoilt, whole, bytes);
            size_t size = i == 2 ? sizeof nan_double : sizeof nan_value;
            memcpy(spoilt + bytes - size, i == 2 ? (const void *)&nan_double : &nan_value, size);
            child_write(path, spoilt, bytes);
            free(spoilt);
            ends_with_flags(&d, DAEMON_NO_FLAGS, 1, names[i]);
        }
        cr_assert_eq(remove(path), 0);
        ends_with_flags(&d, DAEMON_NO_FLAGS, 1, names[i]);
        child_write(path, whole, bytes);
        free(whole);
    }
    daemon_start(&d, DAEMON_NO_FLAGS);
    daemon_stop(&d);
    daemon_close(&d);
}

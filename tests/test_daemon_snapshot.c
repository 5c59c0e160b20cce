/*
 * test_daemon_snapshot.c - a calibrated daemon that is ended, killed, and started again: what it
 * still knows, and that a request sent again is neither lost nor counted twice.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "poison.h"
#include "snapshot.h"

enum { DIM = 64, WINDOW = 16, CLIENT = 12, PATH_BYTES = CHILD_PATH_BYTES * 2, WAIT_MS = 60000 };

typedef struct {
    daemon_fixture d;
    fixture_rows thief;
    char path[PATH_BYTES];
    char older[PATH_BYTES + 2];
    char secret[PATH_BYTES];
} stage;

static void stage_open(stage *s) {
    char secret[POISON_SECRET_BYTES] = {1};
    s->thief = fixture_source(DIM, "atk_cifar100");
    daemon_open(&s->d, DIM);
    daemon_calibrate(&s->d, s->d.reference);
    daemon_path(&s->d, "state", s->path);
    snprintf(s->older, sizeof s->older, "%s.1", s->path);
    child_write(daemon_path(&s->d, "secret", s->secret), secret, sizeof secret);
}

static void stage_close(stage *s) {
    daemon_close(&s->d);
    fixture_rows_free(&s->thief);
}

static void start_with(stage *s, const char *every, const char *accounts) {
    daemon_start(&s->d, DAEMON_FLAGS("--snapshot", s->path, "--snapshot-every", every,
                                     "--max-accounts", accounts, "--secret-file", s->secret));
}

static void start(stage *s, const char *every) {
    start_with(s, every, "64");
}

static void kill_now(stage *s) {
    kill(s->d.child, SIGKILL);
    cr_assert_eq(child_wait(s->d.child), CHILD_SIGNAL + SIGKILL);
    s->d.child = 0;
    adder_close(s->d.client);
    s->d.client = NULL;
}

/* A request of a window's rows; the reply's bytes are the caller's. */
static nng_msg *send(nng_socket socket, const stage *s, const char *account, uint64_t seq) {
    const char *names[WINDOW];
    for (size_t i = 0; i < WINDOW; i++) {
        names[i] = account;
    }
    size_t first = seq * WINDOW % (s->thief.rows - WINDOW);
    wire_outgoing request = {.op = WIRE_SCORE,
                             .identified = true,
                             .client = CLIENT,
                             .seq = seq,
                             .rows = WINDOW,
                             .accounts = names,
                             .classes = s->thief.classes + first,
                             .dim = DIM,
                             .embeddings = s->thief.embeddings + first * DIM,
                             .want_poison = true,
                             .want_detail = true};
    return ask_message(socket, ask_encoded(&request));
}

static void send_all(const stage *s, const char *account, uint64_t first, uint64_t last) {
    nng_socket socket = ask_socket(s->d.url);
    for (uint64_t seq = first; seq <= last; seq++) {
        nng_msg_free(send(socket, s, account, seq));
    }
    nng_close(socket);
}

/* Of an account that is known. */
typedef struct {
    uint64_t queries, flagged_at;
    double score, evidence;
    adder_verdict verdict;
} belief;

static belief believed(const stage *s, const char *account) {
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s->d.client, account, false, &why, NULL), ADDER_OK);
    cr_assert_not_null(why, "%s is not known", account);
    belief b = {.queries = why->queries,
                .flagged_at = why->flagged_at,
                .score = why->score,
                .evidence = why->evidence,
                .verdict = why->verdict};
    adder_explanation_free(why);
    return b;
}

static bool known(const stage *s, const char *account) {
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s->d.client, account, false, &why, NULL), ADDER_OK);
    adder_explanation_free(why);
    return why != NULL;
}

/* Waits until the file can be read and has so many answers. */
static void await_answers(const stage *s, uint64_t answers) {
    char error[1024];
    nng_time deadline = nng_clock() + WAIT_MS;
    for (uint64_t found = 0; found < answers; nng_msleep(10)) {
        snapshot *from;
        cr_assert_lt(nng_clock(), deadline, "no snapshot of %lu answers", (unsigned long)answers);
        if (snapshot_open(&from, s->path, error, sizeof error)) {
            found = snapshot_describe(from).answers;
            snapshot_close(from);
        }
    }
}

/* ---- ended, killed ---- */

Test(daemon_snapshot, sigterm_and_a_start_lose_nothing, .timeout = 120) {
    stage s;
    stage_open(&s);
    start(&s, "0");
    daemon_await_log(&s.d, "starting with nothing learnt");
    send_all(&s, "mallory", 1, 6);
    belief before = believed(&s, "mallory");
    cr_assert(before.verdict == ADDER_FLAGGED && before.queries == 6 * WINDOW);
    cr_assert_neq(access(s.path, F_OK), 0, "nothing is written before the end");
    daemon_stop(&s.d);
    start(&s, "0");
    daemon_await_log(&s.d, "1 of 1 accounts, 6 answers");
    belief after = believed(&s, "mallory");
    cr_assert(after.verdict == ADDER_FLAGGED && after.queries == before.queries &&
              after.flagged_at == before.flagged_at);
    cr_assert(after.score <= before.score && after.score >= before.score);
    cr_assert(after.evidence <= before.evidence && after.evidence >= before.evidence);
    cr_assert_eq(ask_info(s.d.client).accounts, 1);
    daemon_stop(&s.d);
    stage_close(&s);
}

Test(daemon_snapshot, kill_9_loses_at_most_what_came_after_the_last_snapshot, .timeout = 120) {
    stage s;
    stage_open(&s);
    start(&s, "1");
    send_all(&s, "mallory", 1, 6);
    await_answers(&s, 6);
    send_all(&s, "mallory", 7, 9);
    kill_now(&s);
    start(&s, "1");
    belief after = believed(&s, "mallory");
    cr_assert_eq(after.verdict, ADDER_FLAGGED);
    cr_assert(after.queries >= 6 * WINDOW && after.queries <= 9 * WINDOW);
    daemon_stop(&s.d);
    stage_close(&s);
}

/* Windows and answers are of one moment: else some of these were lost, or counted twice. */
Test(daemon_snapshot, requests_sent_again_after_kill_9_count_once_each, .timeout = 120) {
    stage s;
    uint64_t seq = 0;
    stage_open(&s);
    start(&s, "1");
    for (int round = 0; round < 3; round++) {
        struct stat before = {0}, now = {0};
        nng_socket socket = ask_socket(s.d.url);
        nng_time deadline = nng_clock() + WAIT_MS;
        stat(s.path, &before);
        do { /* until there is a new snapshot, and some more */
            nng_msg_free(send(socket, &s, "mallory", ++seq));
            nng_msleep(1);
            cr_assert_lt(nng_clock(), deadline);
        } while (stat(s.path, &now) != 0 || now.st_ino == before.st_ino || seq % 50 != 0);
        kill_now(&s);
        nng_close(socket);
        start(&s, "1");
        uint64_t restored = believed(&s, "mallory").queries;
        cr_assert(restored > 0 && restored <= seq * WINDOW);
        send_all(&s, "mallory", 1, seq);
        cr_assert_eq(believed(&s, "mallory").queries, seq * WINDOW);
        printf("%lu of %lu requests were in the snapshot\n", (unsigned long)restored / WINDOW,
               (unsigned long)seq);
    }
    daemon_stop(&s.d);
    stage_close(&s);
}

Test(daemon_snapshot, a_request_repeated_after_the_restart_gets_the_same_reply, .timeout = 120) {
    stage s;
    nng_msg *first[4];
    stage_open(&s);
    start(&s, "0");
    nng_socket socket = ask_socket(s.d.url);
    for (uint64_t seq = 0; seq < 4; seq++) {
        first[seq] = send(socket, &s, "mallory", seq);
    }
    nng_close(socket);
    daemon_stop(&s.d);
    start(&s, "0");
    socket = ask_socket(s.d.url);
    for (uint64_t seq = 0; seq < 4; seq++) {
        nng_msg *again = send(socket, &s, "mallory", seq);
        cr_assert(ask_same_bytes(first[seq], again), "request %lu", (unsigned long)seq);
        nng_msg_free(again);
        nng_msg_free(first[seq]);
    }
    cr_assert_eq(believed(&s, "mallory").queries, 4 * WINDOW);
    nng_msg *other = send(socket, &s, "alice", 3); /* the digests' key came along */
    wire_reply reply;
    cr_assert_eq(wire_decode_reply(&reply, NULL, WIRE_SCORE, WINDOW, nng_msg_body(other),
                                   nng_msg_len(other)),
                 WIRE_OK);
    cr_assert_eq(reply.code, WIRE_BAD_REQUEST);
    nng_msg_free(other);
    nng_close(socket);
    daemon_stop(&s.d);
    stage_close(&s);
}

/* ---- bad files, bad folders ---- */

static void cut_by_one(const char *path) {
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(truncate(path, status.st_size - 1), 0);
}

Test(daemon_snapshot, a_torn_file_is_named_and_the_one_before_is_used_and_kept, .timeout = 120) {
    stage s;
    char error[1024];
    snapshot *from;
    stage_open(&s);
    start(&s, "0");
    send_all(&s, "mallory", 1, 2);
    daemon_stop(&s.d);
    start(&s, "0");
    send_all(&s, "mallory", 3, 4);
    daemon_stop(&s.d);
    cut_by_one(s.path);
    start(&s, "0");
    daemon_await_log(&s.d, "state: torn or changed");
    daemon_await_log(&s.d, "restored from ");
    daemon_await_log(&s.d, "state.1, written");
    cr_assert_eq(believed(&s, "mallory").queries, 2 * WINDOW);
    daemon_stop(&s.d);
    cr_assert(snapshot_open(&from, s.older, error, sizeof error), "the good one is kept: %s",
              error);
    snapshot_close(from);
    cut_by_one(s.path);
    cut_by_one(s.older);
    start(&s, "0");
    daemon_await_log(&s.d, "state.1: torn or changed");
    daemon_await_log(&s.d, "starting with nothing learnt");
    cr_assert_not(known(&s, "mallory"));
    daemon_stop(&s.d);
    stage_close(&s);
}

/* Windows begin anew; who was flagged is. */
Test(daemon_snapshot, a_file_of_another_memory_is_named_and_what_was_believed_taken_over,
     .timeout = 120) {
    stage s;
    stage_open(&s);
    start(&s, "0");
    send_all(&s, "mallory", 1, 6);
    send_all(&s, "niaj", 7, 7);
    cr_assert_eq(believed(&s, "mallory").verdict, ADDER_FLAGGED);
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS("--snapshot", s.path, "--memory-rank", "3"));
    daemon_await_log(&s.d, "expected a snapshot of memory rank 3, came one of");
    daemon_await_log(&s.d, "what was believed of 2 accounts is taken over");
    belief after = believed(&s, "mallory");
    cr_assert_eq(after.verdict, ADDER_FLAGGED);
    cr_assert_eq(after.queries, 6 * WINDOW);
    cr_assert_eq(believed(&s, "niaj").queries, WINDOW);
    cr_assert_not(known(&s, "olivia"));
    send_all(&s, "mallory", 8, 8);
    cr_assert_eq(believed(&s, "mallory").verdict, ADDER_FLAGGED);
    daemon_stop(&s.d);
    stage_close(&s);
}

/* Back to the memory before, whose own file is there still, at its name with .1. */
Test(daemon_snapshot, who_was_flagged_in_between_is_after_going_back, .timeout = 120) {
    stage s;
    stage_open(&s);
    for (size_t i = 0; i < 2; i++) {
        start(&s, "0");
        send_all(&s, "alice", 1 + i, 1 + i);
        daemon_stop(&s.d);
    }
    daemon_start(&s.d,
                 DAEMON_FLAGS("--snapshot", s.path, "--snapshot-every", "0", "--memory-rank", "3"));
    send_all(&s, "mallory", 3, 8);
    cr_assert_eq(believed(&s, "mallory").verdict, ADDER_FLAGGED);
    daemon_stop(&s.d);
    start(&s, "0");
    cr_assert_eq(believed(&s, "mallory").verdict, ADDER_FLAGGED);
    cr_assert_eq(believed(&s, "alice").queries, 2 * WINDOW);
    daemon_stop(&s.d);
    char error[1024];
    snapshot *between;
    cr_assert(snapshot_open(&between, s.older, error, sizeof error), "%s", error);
    cr_assert_eq(snapshot_describe(between).identity.memory_rank, 3);
    snapshot_close(between);
    stage_close(&s);
}

static size_t count_of(const stage *s, const char *words) {
    size_t count = 0;
    char *log = daemon_log(&s->d);
    for (const char *at = log; (at = strstr(at, words)) != NULL; at += strlen(words)) {
        count++;
    }
    free(log);
    return count;
}

Test(daemon_snapshot, a_folder_that_cannot_be_written_is_one_warning, .timeout = 120) {
    stage s;
    stage_open(&s);
    daemon_path(&s.d, "nowhere/state", s.path);
    start(&s, "1");
    nng_time deadline = nng_clock() + WAIT_MS;
    while (count_of(&s, "no snapshot could be written") == 0) {
        cr_assert_lt(nng_clock(), deadline);
        nng_msleep(10);
    }
    send_all(&s, "mallory", 1, 6);
    cr_assert_eq(believed(&s, "mallory").verdict, ADDER_FLAGGED);
    daemon_stop(&s.d); /* it tries once more */
    cr_assert_eq(count_of(&s, "no snapshot could be written"), 1);
    cr_assert_eq(count_of(&s, "nowhere/state: no snapshot could be written: No such file"), 1);
    stage_close(&s);
}

/* Who is flagged goes last, and nobody is unknown. */
Test(daemon_snapshot, with_fewer_places_those_who_would_go_last_come_back_and_the_others_as_records,
     .timeout = 120) {
    stage s;
    char name[32];
    size_t placed = 0;
    stage_open(&s);
    start(&s, "0");
    for (uint64_t i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "account-%u", (unsigned)i);
        send_all(&s, name, i, i);
    }
    daemon_stop(&s.d);
    start_with(&s, "0", "16");
    daemon_await_log(&s.d, "16 of 40 accounts, 40 answers");
    for (uint64_t i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "account-%u", (unsigned)i);
        adder_explanation *why = NULL;
        cr_assert_eq(adder_explain(s.d.client, name, false, &why, NULL), ADDER_OK);
        cr_assert(why != NULL && why->queries == WINDOW, "%s", name);
        placed += why->fill > 0;
        cr_assert(why->verdict != ADDER_FLAGGED || i < 20 || why->fill > 0, "%s", name);
        adder_explanation_free(why);
    }
    cr_assert_eq(placed, 16);
    daemon_stop(&s.d);
    stage_close(&s);
}

/* ---- two daemons ---- */

Test(daemon_snapshot, a_second_daemon_of_the_same_file_is_refused_by_name, .timeout = 120) {
    stage s;
    char other[PATH_BYTES];
    stage_open(&s);
    start(&s, "0");
    snprintf(other, sizeof other, "ipc://%s/other", s.d.folder);
    child_result r =
        child_run(s.d.folder, (const char *const[]){ADDERD_PATH, "--reference", s.d.reference,
                                                    "--listen", other, "--snapshot", s.path, NULL});
    cr_assert(r.status == 1 && strstr(r.err, s.path) && strstr(r.err, "another daemon"), "%d: %s",
              r.status, r.err);
    child_result_free(&r);
    send_all(&s, "mallory", 1, 6);
    kill_now(&s);
    start(&s, "0"); /* a lock goes with its process, however that ends */
    daemon_stop(&s.d);
    stage_close(&s);
}

/* ---- adder snapshot verify ---- */

static child_result verify(const stage *s, const char *path) {
    return child_run(s->d.folder,
                     (const char *const[]){ADDER_PATH, "snapshot", "verify", path, NULL});
}

Test(daemon_snapshot, verify_prints_what_is_in_a_file_and_names_a_bad_one, .timeout = 120) {
    stage s;
    stage_open(&s);
    start(&s, "0");
    send_all(&s, "mallory", 1, 6);
    daemon_stop(&s.d);
    child_result r = verify(&s, s.path);
    cr_assert(r.status == 0 && strstr(r.out, "accounts   1, 0 of them groups; 1 flagged") &&
                  strstr(r.out, "answers    6 to requests of 96 rows") &&
                  strstr(r.out, "window     16") &&
                  strstr(r.out, "records    0 of accounts that have lost their place; 0 flagged"),
              "%s%s", r.out, r.err);
    child_result_free(&r);
    cut_by_one(s.path);
    r = verify(&s, s.path);
    cr_assert(r.status == 1 && child_one_line(r.err) && strstr(r.err, "state: torn") &&
                  r.out[0] == '\0',
              "%s%s", r.out, r.err);
    child_result_free(&r);
    r = child_run(s.d.folder, (const char *const[]){ADDER_PATH, "snapshot", "verify", NULL});
    cr_assert_eq(r.status, 2);
    child_result_free(&r);
    stage_close(&s);
}

/*
 * test_daemon_tls.c - tls+tcp with certificates on both sides: who is served, who is refused and
 * disturbs nobody, what the daemon does not start with; and who may open an ipc socket.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "certificates.h"
#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "scrape.h"

enum { DIM = 64, REFUSED_MS = 1500, PATH_BYTES = CHILD_PATH_BYTES * 2, LEAVERS = 60 };
enum { STALLERS = 300, STALL_MS = 60000 }; /* more than 8 + 256 files */

/* A daemon whose certificate is for "adder", though it is reached as 127.0.0.1. */
typedef struct {
    daemon_fixture d;
    certificate authority;
    certificate other_authority;
    certificate server;
    certificate worker;
    certificate stranger; /* of the other authority */
} stage;

static void stage_open(stage *s) {
    *s = (stage){0};
    daemon_open(&s->d, DIM);
    s->authority = certificate_authority(s->d.folder, "authority");
    s->other_authority = certificate_authority(s->d.folder, "another");
    s->server = certificate_make(s->d.folder, &s->authority, "server", "adder");
    s->worker = certificate_make(s->d.folder, &s->authority, "worker", "worker");
    s->stranger = certificate_make(s->d.folder, &s->other_authority, "stranger", "worker");
    daemon_use_tls(&s->d, &(tls_files){.ca_file = s->authority.cert,
                                       .cert_file = s->worker.cert,
                                       .key_file = s->worker.key,
                                       .server_name = "adder"});
}

static void stage_start(stage *s) {
    daemon_start(&s->d, DAEMON_FLAGS("--tls-ca", s->authority.cert, "--tls-cert", s->server.cert,
                                     "--tls-key", s->server.key));
}

static void stage_close(stage *s) {
    daemon_stop(&s->d);
    daemon_close(&s->d);
}

/* What becomes of a ping with these options. */
static adder_status ping_as(const char *url, adder_options options) {
    adder_client *client;
    adder_error error = {""};
    options.timeout_ms = options.timeout_ms > 0 ? options.timeout_ms : REFUSED_MS;
    cr_assert_eq(adder_open(&client, url, &options, &error), ADDER_OK, "%s", error.text);
    adder_status status = adder_ping(client, &error);
    adder_close(client);
    return status;
}

static adder_options options_of(const certificate *authority, const certificate *own,
                                const char *name) {
    return (adder_options){.tls_ca_file = authority->cert,
                           .tls_cert_file = own->cert,
                           .tls_key_file = own->key,
                           .tls_server_name = name};
}

Test(tls, a_client_with_a_good_certificate_is_scored_as_over_any_other_transport, .timeout = 120) {
    stage s;
    stage_open(&s);
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    stage_start(&s);
    ask_row encrypted = ask_last(s.d.client, "a", &rows, 0, 500);
    char *log = daemon_log(&s.d);
    cr_assert_null(strstr(log, "unencrypted"), "%s", log);
    cr_assert_null(strstr(log, "chmod"), "%s", log);
    free(log);
    child_result info = child_run(
        s.d.folder, (const char *const[]){ADDER_PATH, "info", "--connect", s.d.url, "--tls-ca",
                                          s.authority.cert, "--tls-cert", s.worker.cert,
                                          "--tls-key", s.worker.key, "--tls-name", "adder", NULL});
    cr_assert_eq(info.status, 0, "%s", info.err);
    child_result_free(&info);
    daemon_stop(&s.d);
    daemon_use_tcp(&s.d);
    daemon_start(&s.d, DAEMON_NO_FLAGS);
    ask_row plain = ask_last(s.d.client, "a", &rows, 0, 500);
    cr_assert(ask_row_same(&encrypted, &plain));
    stage_close(&s);
    fixture_rows_free(&rows);
}

Test(tls, who_has_no_certificate_of_the_authority_is_refused_and_others_are_served,
     .timeout = 120) {
    stage s;
    stage_open(&s);
    stage_start(&s);
    adder_options stranger = options_of(&s.authority, &s.stranger, "adder");
    cr_assert_eq(ping_as(s.d.url, stranger), ADDER_TIMED_OUT);
    /* libadder never comes without a certificate, so openssl does. */
    char command[PATH_BYTES];
    snprintf(command, sizeof command,
             OPENSSL_PATH " s_client -connect %s -tls1_2 -CAfile %s </dev/null",
             strrchr(s.d.url, '/') + 1, s.authority.cert);
    child_result bare =
        child_run(s.d.folder, (const char *const[]){"/bin/sh", "-c", command, NULL});
    cr_assert(bare.status != 0 || strstr(bare.err, "alert") != NULL, "it was let in: %s", bare.err);
    child_result_free(&bare);
    cr_assert_eq(adder_ping(s.d.client, NULL), ADDER_OK, "who was connected before");
    adder_options good = options_of(&s.authority, &s.worker, "adder");
    good.timeout_ms = DAEMON_TIMEOUT_MS;
    cr_assert_eq(ping_as(s.d.url, good), ADDER_OK, "who connects after");
    stage_close(&s);
}

Test(tls, a_daemon_that_is_not_the_one_expected_is_not_talked_to, .timeout = 120) {
    stage s;
    stage_open(&s);
    stage_start(&s);
    cr_assert_eq(ping_as(s.d.url, options_of(&s.other_authority, &s.worker, "adder")),
                 ADDER_TIMED_OUT, "its certificate is of an authority that is not ours");
    cr_assert_eq(ping_as(s.d.url, options_of(&s.authority, &s.worker, "somebody")), ADDER_TIMED_OUT,
                 "its certificate is for another name");
    cr_assert_eq(ping_as(s.d.url, options_of(&s.authority, &s.worker, NULL)), ADDER_TIMED_OUT,
                 "its certificate is not for the host in the url");
    cr_assert_eq(adder_ping(s.d.client, NULL), ADDER_OK);
    stage_close(&s);
}

/* The port of a url, on this machine. */
static int connect_to(const char *url) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                                  .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1))};
    int file = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(file, (struct sockaddr *)&address, sizeof address), 0);
    return file;
}

Test(tls, peers_that_speak_plain_or_leave_in_the_handshake_get_nowhere_and_disturb_nobody,
     .timeout = 120) {
    /* The beginning of a TLS 1.2 record with a ClientHello that never comes. */
    static const unsigned char half_hello[] = {22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3};
    static const unsigned char plain[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    stage s;
    stage_open(&s);
    stage_start(&s);
    char url[PATH_BYTES];
    snprintf(url, sizeof url, "tcp://%s", strrchr(s.d.url, '/') + 1);
    cr_assert_eq(ping_as(url, (adder_options){0}), ADDER_TIMED_OUT);
    for (size_t i = 0; i < LEAVERS; i++) {
        int file = connect_to(s.d.url);
        if (i % 3 > 0) {
            const unsigned char *bytes = i % 3 == 1 ? half_hello : plain;
            ssize_t sent =
                send(file, bytes, i % 3 == 1 ? sizeof half_hello : sizeof plain, MSG_NOSIGNAL);
            (void)sent; /* the daemon may have hung up */
        }
        close(file);
    }
    cr_assert_eq(adder_ping(s.d.client, NULL), ADDER_OK, "who was connected before");
    adder_options good = options_of(&s.authority, &s.worker, "adder");
    good.timeout_ms = DAEMON_TIMEOUT_MS;
    cr_assert_eq(ping_as(s.d.url, good), ADDER_OK, "who connects after");
    stage_close(&s);
}

/* Until the daemon has hung up on it, as it does when somebody else comes. */
static void await_end(const char *url, int file) {
    struct pollfd ended = {.fd = file, .events = POLLIN};
    nng_time deadline = nng_clock() + STALL_MS;
    while (poll(&ended, 1, 200) == 0) {
        cr_assert_lt(nng_clock(), deadline, "it may stay for ever");
        close(connect_to(url));
    }
}

/* NNG 1.5.2 waits for the end of a TLS handshake for ever, and counts no connection before it. */
Test(tls, peers_that_stall_in_the_handshake_leave_files_for_others_and_do_not_stay,
     .timeout = 120) {
    int stalled[STALLERS];
    stage s;
    stage_open(&s);
    struct rlimit before, few;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few); /* the daemon's, which takes what its connections need */
    daemon_start(&s.d,
                 DAEMON_FLAGS("--tls-ca", s.authority.cert, "--tls-cert", s.server.cert,
                              "--tls-key", s.server.key, "--admin", "0", "--max-connections", "8"));
    few.rlim_cur = 2 * STALLERS;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    int port = scrape_port(&s.d);
    for (size_t i = 0; i < STALLERS; i++) {
        stalled[i] = connect_to(s.d.url);
    }
    cr_assert_eq(adder_ping(s.d.client, NULL), ADDER_OK, "who was connected before");
    scrape_reply alive = scrape_get(port, "/livez", NULL);
    cr_assert_eq(alive.status, 200, "no file was left for the admin port");
    scrape_reply_free(&alive);
    await_end(s.d.url, stalled[0]);
    adder_options good = options_of(&s.authority, &s.worker, "adder");
    good.timeout_ms = DAEMON_TIMEOUT_MS;
    cr_assert_eq(ping_as(s.d.url, good), ADDER_OK, "who connects after");
    cr_assert_eq(adder_ping(s.d.client, NULL), ADDER_OK, "who was connected before, again");
    for (size_t i = 0; i < STALLERS; i++) {
        close(stalled[i]);
    }
    stage_close(&s);
}

/* ---- what it does not start with ---- */

static void ends_with_url(const stage *s, const char *url, const char *const flags[],
                          const char *word) {
    const char *argv[CHILD_ARGUMENTS_MAX];
    daemon_fixture d = s->d;
    snprintf(d.url, sizeof d.url, "%s", url);
    daemon_arguments(&d, flags, argv);
    child_result r = child_run(s->d.folder, argv);
    cr_assert_eq(r.status, 1, "%s: status %d: %s", word, r.status, r.err);
    cr_assert(strstr(r.err, word) && child_one_line(r.err), "%s is not in: %s", word, r.err);
    child_result_free(&r);
}

Test(tls, incomplete_misplaced_or_spoilt_files_end_it_with_one_line, .timeout = 120) {
    stage s;
    stage_open(&s);
    const char *ca = s.authority.cert, *cert = s.server.cert, *key = s.server.key;
    const char *url = s.d.url;
    char garbage[PATH_BYTES], nowhere[PATH_BYTES], plain[] = "tcp://127.0.0.1:1";
    child_write(daemon_path(&s.d, "garbage", garbage), "garbage\n", 8);
    chmod(garbage, 0600); /* or there is a warning too */
    daemon_path(&s.d, "nowhere", nowhere);
    ends_with_url(&s, url, DAEMON_NO_FLAGS, "--tls-ca: needed");
    ends_with_url(&s, url, DAEMON_FLAGS("--tls-ca", ca, "--tls-key", key), "--tls-cert: needed");
    ends_with_url(&s, url, DAEMON_FLAGS("--tls-ca", ca, "--tls-cert", cert), "--tls-key: needed");
#define ALL(CA, CERT, KEY) DAEMON_FLAGS("--tls-ca", CA, "--tls-cert", CERT, "--tls-key", KEY)
    ends_with_url(&s, plain, ALL(ca, cert, key), "tls+tcp://HOST:PORT alone");
    ends_with_url(&s, url, ALL(garbage, cert, key), garbage);
    ends_with_url(&s, url, ALL(ca, garbage, key), garbage);
    ends_with_url(&s, url, ALL(ca, cert, garbage), garbage);
    ends_with_url(&s, url, ALL(nowhere, cert, key), "No such file");
    ends_with_url(&s, url, ALL(key, cert, key), "expected certificates");
    ends_with_url(&s, url, ALL(ca, cert, s.worker.key), "came another");
    ends_with_url(&s, url, DAEMON_FLAGS("--ipc-mode", "660"), "--tls-ca");
    ends_with_url(&s, plain, DAEMON_FLAGS("--ipc-mode", "660"), "--ipc-mode");
    ends_with_url(&s, "ipc:///tmp/x", DAEMON_FLAGS("--ipc-mode", "888"), "--ipc-mode");
    ends_with_url(&s, "ipc:///tmp/x", DAEMON_FLAGS("--ipc-mode", "44"), "--ipc-mode");
    daemon_close(&s.d);
}

Test(tls, a_client_is_told_at_once_what_its_files_lack) {
    stage s;
    stage_open(&s);
    const adder_options good = options_of(&s.authority, &s.worker, "adder");
    adder_options bad[5] = {good, good, good, good, good};
    const char *const words[5] = {"tls_ca", "tls_cert", "tls_key", "nowhere", "came another"};
    bad[0].tls_ca_file = bad[1].tls_cert_file = bad[2].tls_key_file = NULL;
    bad[3].tls_ca_file = "/nowhere/at/all";
    bad[4].tls_key_file = s.stranger.key;
    for (size_t i = 0; i < 5; i++) {
        adder_client *client;
        adder_error error = {""};
        cr_assert_eq(adder_open(&client, s.d.url, &bad[i], &error), ADDER_BAD_REQUEST);
        cr_assert(client == NULL && strstr(error.text, words[i]), "%s", error.text);
        cr_assert_eq(adder_open(&client, "ipc:///tmp/x", &bad[i], &error), ADDER_BAD_REQUEST);
    }
    daemon_close(&s.d);
}

/* ---- warnings, and ipc ---- */

Test(tls, a_key_that_others_may_read_and_a_plain_port_for_all_are_warned_of, .timeout = 120) {
    stage s;
    stage_open(&s);
    cr_assert_eq(chmod(s.server.key, 0640), 0);
    stage_start(&s);
    daemon_await_log(&s.d, "chmod 600");
    daemon_stop(&s.d);
    daemon_use_tcp(&s.d);
    char loopback[sizeof s.d.url];
    memcpy(loopback, s.d.url, sizeof loopback);
    snprintf(s.d.url, sizeof s.d.url, "tcp://0.0.0.0:%s", strrchr(loopback, ':') + 1);
    daemon_start(&s.d, DAEMON_NO_FLAGS);
    daemon_await_log(&s.d, "unencrypted");
    daemon_stop(&s.d);
    memcpy(s.d.url, loopback, sizeof loopback);
    daemon_start(&s.d, DAEMON_NO_FLAGS);
    daemon_await_log(&s.d, "serving");
    char *log = daemon_log(&s.d);
    cr_assert_null(strstr(log, "unencrypted"), "%s", log);
    free(log);
    stage_close(&s);
}

Test(tls, an_ipc_socket_has_the_mode_that_was_asked_for) {
    daemon_fixture d;
    struct stat status;
    daemon_open(&d, DIM);
    for (int asked = 0; asked < 2; asked++) {
        daemon_start(&d, asked ? DAEMON_FLAGS("--ipc-mode", "0660") : DAEMON_NO_FLAGS);
        cr_assert_eq(stat(d.url + strlen("ipc://"), &status), 0);
        cr_assert_eq(status.st_mode & 07777, asked ? 0660 : 0600, "mode %o",
                     status.st_mode & 07777);
        daemon_stop(&d);
    }
    daemon_close(&d);
}

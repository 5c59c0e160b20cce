/*
 * test_daemon_admin.c - the admin port of a real daemon: its answers, its numbers after traffic
 * that is known, and that nobody who comes to it can stop it.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "admin.h"
#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "scrape.h"
#include "wire_bytes.h"

enum {
    PATH_BYTES = CHILD_PATH_BYTES * 2,
    DIM = 64,
    SLOW = 3 * ADMIN_CONNECTIONS_MAX,
    PLACE_BYTES_MOST = 1024, /* of an account, beside window and memory */
};

static void expect_answer(int port, const char *path, const char *token, int status,
                          const char *word) {
    scrape_reply reply = scrape_get(port, path, token);
    cr_assert_eq(reply.status, status, "%s: expected %d, came: %s", path, status, reply.text);
    cr_assert(strstr(reply.body, word), "%s is not in: %s", word, reply.text);
    cr_assert(status == 200 || child_one_line(reply.body), "%s", reply.text);
    scrape_reply_free(&reply);
}

/* ---- health ---- */

static const char *never_ready(void *host) {
    (void)host;
    return "loading";
}

static void know_nothing(void *host, metrics_now *now) {
    (void)host, (void)now;
}

/* As adderd has it before its reference is loaded. */
Test(admin, while_the_daemon_loads_it_lives_and_is_not_ready) {
    admin *a;
    char error[256], address[16];
    int port = scrape_free_port();
    metrics *m = metrics_open();
    snprintf(address, sizeof address, "%d", port);
    cr_assert(admin_open(&a,
                         &(admin_options){.address = address,
                                          .token = "",
                                          .metrics = m,
                                          .unready = never_ready,
                                          .look = know_nothing},
                         error, sizeof error),
              "%s", error);
    expect_answer(port, "/livez", NULL, 200, "ok");
    expect_answer(port, "/readyz", NULL, 503, "loading");
    expect_answer(port, "/metrics", NULL, 200, "adder_requests_total");
    admin_close(a);
    metrics_close(m);
}

Test(admin, a_daemon_is_ready_until_it_drains_and_lives_on, .timeout = 60) {
    daemon_fixture d;
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0"));
    int port = scrape_port(&d), last = 0;
    bool drained = false;
    expect_answer(port, "/livez", NULL, 200, "ok");
    expect_answer(port, "/readyz", NULL, 200, "ok");
    kill(d.child, SIGTERM);
    do {
        scrape_reply reply = scrape_get(port, "/readyz", NULL);
        last = reply.status;
        if (last == 503) {
            cr_assert(strstr(reply.body, "draining"), "%s", reply.text);
            drained = true;
        }
        scrape_reply_free(&reply);
    } while (last != 0);
    daemon_await_end(&d);
    cr_assert(drained, "it was never seen draining");
    daemon_close(&d);
}

/* ---- numbers ---- */

static void expect_value(const char *text, const char *series, double value) {
    double came = scrape_value(text, series);
    cr_assert_float_eq(came, value, 1e-9, "%s: expected %g, came %g in\n%s", series, value, came,
                       text);
}

#define MODEL "{model=\"default\"}"
#define DECISION(WORD)                                                                             \
    "adder_decisions_total{model=\"default\",mode=\"enforce\",action=\"poison\",decision=\"" WORD  \
    "\"}"

/* 16 rows an account: 15 undecided, and the one that fills the window is above 0. */
static void send_traffic(daemon_fixture *d, const fixture_rows *rows) {
    static const char *const names[] = {"alice", "bob", "carol"};
    adder_error error;
    bool known = false;
    for (size_t i = 0; i < 3; i++) {
        adder_reply_free(ask((ask_question){.client = d->client,
                                            .account = names[i],
                                            .rows = rows,
                                            .first = 0,
                                            .count = 15,
                                            .want_poison = true}));
        adder_reply_free(ask((ask_question){.client = d->client,
                                            .account = names[i],
                                            .rows = rows,
                                            .first = 15,
                                            .count = 1,
                                            .want_poison = i > 0}));
    }
    cr_assert_eq(adder_forget(d->client, "alice", &known, &error), ADDER_OK, "%s", error.text);
    nng_socket socket = ask_socket(d->url);
    char text[WIRE_TEXT_MAX];
    nng_msg *garbage;
    cr_assert_eq(nng_msg_alloc(&garbage, 3), 0);
    memset(nng_msg_body(garbage), 0xc1, 3);
    cr_assert_eq(ask_code(socket, garbage, text), WIRE_BAD_MESSAGE);
    nng_close(socket);
}

Test(admin, metrics_tell_of_known_traffic, .timeout = 60) {
    daemon_fixture d;
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "127.0.0.1:0", "--engine", "cpu", "--threshold", "0",
                                  "--max-accounts", "16"));
    int port = scrape_port(&d);
    send_traffic(&d, &rows);
    scrape_reply reply = scrape_get(port, "/metrics", NULL);
    cr_assert_eq(reply.status, 200);
    cr_assert(strstr(reply.text, "\r\nContent-Type: text/plain; version=0.0.4"), "%s", reply.text);
    const char *text = reply.body;
    expect_value(text, "adder_build_info{version=\"0.1.0\",engine=\"cpu\"}", 1);
    expect_value(text, "adder_requests_total{op=\"score\"}", 6);
    expect_value(text, "adder_requests_total{op=\"forget\"}", 1);
    expect_value(text, "adder_requests_total{op=\"unknown\"}", 1);
    cr_assert_geq(scrape_value(text, "adder_requests_total{op=\"ping\"}"), 2);
    expect_value(text, "adder_refusals_total{code=\"bad_message\"}", 1);
    expect_value(text, "adder_refusals_total{code=\"overloaded\"}", 0);
    expect_value(text, "adder_rows_total{model=\"default\"}", 48);
    expect_value(text, DECISION("warming"), 45);
    expect_value(text, DECISION("poison"), 3);
    expect_value(text, DECISION("allow"), 0);
    expect_value(text, "adder_poisoned_rows_total", 2);
    expect_value(text, "adder_accounts{model=\"default\"}", 2);
    expect_value(text, "adder_accounts_max" MODEL, 16);
    double each = scrape_value(text, "adder_account_bytes" MODEL);
    double most = each + 10.0 * scrape_value(text, "adder_block_bytes" MODEL) + PLACE_BYTES_MOST;
    cr_assert_gt(scrape_value(text, "adder_accounts_bytes" MODEL), 2.0 * each);
    cr_assert_leq(scrape_value(text, "adder_accounts_bytes" MODEL), 2.0 * most);
    expect_value(text, "adder_evictions_total" MODEL, 0);
    expect_value(text, "adder_stage_seconds_count{stage=\"wait\"}", 7);
    expect_value(text, "adder_stage_seconds_count{stage=\"engine\"}", 6);
    expect_value(text, "adder_stage_seconds_count{stage=\"decide\"}", 6);
    expect_value(text, "adder_stage_seconds_count{stage=\"encode\"}", 6);
    expect_value(text, "adder_request_seconds_count", 6);
    expect_value(text, "adder_batch_rows_bucket{le=\"1\"}", 3);
    expect_value(text, "adder_batch_rows_bucket{le=\"16\"}", 6);
    expect_value(text, "adder_batch_rows_sum", 48);
    expect_value(text, "adder_queue_requests" MODEL, 0);
    expect_value(text, "adder_queue_rows" MODEL, 0);
    expect_value(text, "adder_connections_refused_total", 0);
    expect_value(text, "adder_engine_degraded" MODEL, 0);
    double stages = 0.0;
    stages += scrape_value(text, "adder_stage_seconds_sum{stage=\"wait\"}");
    stages += scrape_value(text, "adder_stage_seconds_sum{stage=\"engine\"}");
    cr_assert(stages > 0.0 && stages < 60.0, "%g", stages);
    cr_assert_null(strstr(text, "alice"), "an account's name is told");
    scrape_reply_free(&reply);
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

Test(admin, evictions_are_told, .timeout = 60) {
    daemon_fixture d;
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--max-accounts", "4"));
    int port = scrape_port(&d);
    for (int i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "account %d", i);
        ask_last(d.client, name, &rows, 0, 1);
    }
    scrape_reply reply = scrape_get(port, "/metrics", NULL);
    expect_value(reply.body, "adder_accounts{model=\"default\"}", 4);
    expect_value(reply.body, "adder_evictions_total" MODEL, 6);
    scrape_reply_free(&reply);
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

Test(admin, connections_that_are_turned_away_are_told, .timeout = 60) {
    daemon_fixture d;
    adder_error error;
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--max-connections", "2"));
    adder_client *second = daemon_connect(&d, DAEMON_TIMEOUT_MS);
    cr_assert_eq(adder_ping(second, &error), ADDER_OK, "%s", error.text);
    adder_client *third = daemon_connect(&d, 500); /* now the second has its place */
    cr_assert_neq(adder_ping(third, &error), ADDER_OK);
    scrape_reply reply = scrape_get(scrape_port(&d), "/metrics", NULL);
    cr_assert_geq(scrape_value(reply.body, "adder_connections_refused_total"), 1);
    scrape_reply_free(&reply);
    adder_close(third);
    adder_close(second);
    daemon_stop(&d);
    daemon_close(&d);
}

/* ---- who may ask, and for what ---- */

Test(admin, metrics_want_the_token_and_probes_do_not, .timeout = 60) {
    daemon_fixture d;
    char path[PATH_BYTES];
    daemon_open(&d, DIM);
    child_write(daemon_path(&d, "token", path), "open-sesame\n", 12);
    cr_assert_eq(chmod(path, 0600), 0);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--admin-token-file", path));
    int port = scrape_port(&d);
    static const char *const wrong[] = {NULL, "", "open-sesam", "open-sesame2", "Open-Sesame"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        expect_answer(port, "/metrics", wrong[i], 401, "token");
        expect_answer(port, "/nowhere", wrong[i], 401, "token");
        expect_answer(port, "/api/info", wrong[i], 401, "{\"error\":\"expected the admin token\"}");
        expect_answer(port, "/api/nowhere", wrong[i], 401, "token");
    }
    scrape_reply basic =
        scrape_ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Authorization: Basic open-sesame\r\n\r\n");
    cr_assert_eq(basic.status, 401);
    cr_assert(strstr(basic.text, "WWW-Authenticate: Bearer"), "%s", basic.text);
    scrape_reply_free(&basic);
    expect_answer(port, "/metrics", "open-sesame", 200, "adder_build_info");
    expect_answer(port, "/nowhere", "open-sesame", 404, "not found");
    expect_answer(port, "/api/info", "open-sesame", 200, "\"models\":[{\"name\":\"default\"");
    expect_answer(port, "/", NULL, 200, "<title>Adder</title>");
    expect_answer(port, "/page.js", NULL, 200, "'use strict'");
    expect_answer(port, "/livez", NULL, 200, "ok");
    expect_answer(port, "/readyz", NULL, 200, "ok");
    char *log = daemon_log(&d);
    cr_assert(strstr(log, "open-sesame") == NULL && strstr(log, "chmod") == NULL, "%s", log);
    free(log);
    daemon_stop(&d);
    cr_assert_eq(chmod(path, 0644), 0);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--admin-token-file", path));
    daemon_await_log(&d, "chmod 600");
    daemon_stop(&d);
    daemon_close(&d);
}

Test(admin, what_is_not_there_and_what_is_not_asked_with_get_is_refused, .timeout = 60) {
    daemon_fixture d;
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "[::1]:0"));
    daemon_stop(&d);
    daemon_start(&d, DAEMON_FLAGS("--admin", "localhost:0"));
    int port = scrape_port(&d);
    static const char *const unknown[] = {"/index.html", "/livez/", "/metric", "/../metrics",
                                          "/%6detrics/x"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        expect_answer(port, unknown[i], NULL, 404, "not found");
    }
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char raw[256];
        snprintf(raw, sizeof raw,
                 "%s /metrics HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 3\r\n\r\na=1", methods[i]);
        scrape_reply reply = scrape_ask(port, raw);
        cr_assert_eq(reply.status, 405, "%s: %s", methods[i], reply.text);
        cr_assert(strstr(reply.text, "\r\nAllow: GET, HEAD\r\n"), "%s", reply.text);
        scrape_reply_free(&reply);
    }
    scrape_reply head = scrape_ask(port, "HEAD /metrics HTTP/1.1\r\nHost: localhost:1\r\n\r\n");
    cr_assert(head.status == 200 && head.body[0] == '\0', "%s", head.text);
    scrape_reply_free(&head);
    expect_answer(port, "/livez?verbose=1", NULL, 200, "ok");
    daemon_stop(&d);
    daemon_close(&d);
}

static int status_with_host(int port, const char *path, const char *host) {
    char raw[256];
    snprintf(raw, sizeof raw, "GET %s HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n", path,
             host);
    scrape_reply reply = scrape_ask(port, raw);
    int status = reply.status;
    scrape_reply_free(&reply);
    return status;
}

/* A page of evil.example's in a browser on this machine, whose name now means 127.0.0.1. */
Test(admin, who_calls_a_loopback_port_by_a_foreign_name_is_told_nothing, .timeout = 60) {
    static const char *const own[] = {"localhost",   "LocalHost:80", "127.0.0.1:1",
                                      "127.0.0.2:1", "127.255.0.9",  "[::1]:9464"};
    static const char *const foreign[] = {"evil.example",
                                          "localhost.evil.example:80",
                                          "127.0.0.1.nip.io",
                                          "[::1",
                                          "::1",
                                          "localhostx",
                                          "128.0.0.1:80",
                                          "127.0.0.2x:80"};
    static const char *const paths[] = {"/", "/api/info", "/api/accounts", "/metrics", "/x"};
    daemon_fixture d;
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0"));
    int port = scrape_port(&d);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        cr_assert_eq(status_with_host(port, "/api/info", own[i]), 200, "%s", own[i]);
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
            cr_assert_eq(status_with_host(port, paths[k], foreign[i]), 421, "%s", foreign[i]);
        }
        cr_assert_eq(status_with_host(port, "/livez", foreign[i]), 200);
    }
    daemon_stop(&d);
    char token[PATH_BYTES];
    child_write(daemon_path(&d, "token", token), "open-sesame\n", 12);
    cr_assert_eq(chmod(token, 0600), 0);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--admin-token-file", token));
    cr_assert_eq(status_with_host(scrape_port(&d), "/", "adder.example"), 200);
    cr_assert_eq(status_with_host(scrape_port(&d), "/api/info", "adder.example"), 401);
    daemon_stop(&d);
    daemon_close(&d);
}

Test(admin, every_answer_forbids_what_the_page_does_not_need, .timeout = 60) {
    static const char *const paths[] = {"/",        "/page.js", "/page.css", "/api/live",
                                        "/metrics", "/livez",   "/x",        "/api/x"};
    static const char *const headers[] = {
        "\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
        "\r\nX-Content-Type-Options: nosniff\r\n", "\r\nReferrer-Policy: no-referrer\r\n",
        "\r\nCache-Control: no-store\r\n"};
    daemon_fixture d;
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0"));
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        scrape_reply reply = scrape_get(scrape_port(&d), paths[i], NULL);
        for (size_t k = 0; k < sizeof headers / sizeof *headers; k++) {
            cr_assert(strstr(reply.text, headers[k]), "%s: %s", paths[i], reply.text);
        }
        cr_assert_null(strstr(reply.text, "Access-Control"), "%s", reply.text);
        scrape_reply_free(&reply);
    }
    daemon_stop(&d);
    daemon_close(&d);
}

Test(admin, an_account_is_explained_by_whatever_name_it_has, .timeout = 60) {
    static const char *const names[][2] = {
        {"<img src=x onerror=alert(1)>", "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"},
        {"a+b&account=c", "a%2Bb%26account%3Dc"},
        {"\xe2\x80\xae", "%E2%80%AE"},
        {"%00", "%2500"}};
    daemon_fixture d;
    char path[256];
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0"));
    int port = scrape_port(&d);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ask_last(d.client, names[i][0], &rows, 0, i + 1);
        snprintf(path, sizeof path, "/api/explain?account=%s", names[i][1]);
        char fill[32];
        snprintf(fill, sizeof fill, "\"fill\":%zu,", i + 1);
        expect_answer(port, path, NULL, 200, fill);
    }
    expect_answer(port, "/api/explain?account=%3", NULL, 400, "percent-encoded");
    expect_answer(port, "/api/explain?account=%00", NULL, 400, "percent-encoded");
    expect_answer(port, "/api/explain?account", NULL, 400, "percent-encoded");
    expect_answer(port, "/api/explain?account=a&account=b", NULL, 400, "once");
    expect_answer(port, "/api/explain?account=alice", NULL, 404, "no such account");
    expect_answer(port, "/api/accounts?limit=1e1", NULL, 400, "limit");
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

/* ---- hostile peers ---- */

/* `unit`, so often, and then the end of a request. */
static int status_of_long(int port, const char *start, const char *unit, size_t times) {
    size_t length = strlen(unit);
    char *raw = malloc(strlen(start) + times * length + 16);
    cr_assert_not_null(raw);
    char *end = stpcpy(raw, start);
    for (size_t i = 0; i < times; i++) {
        end = stpcpy(end, unit);
    }
    stpcpy(end, " HTTP/1.1\r\n\r\n");
    scrape_reply reply = scrape_ask(port, raw);
    int status = reply.status;
    scrape_reply_free(&reply);
    free(raw);
    return status;
}

Test(admin, what_is_too_long_or_no_http_is_refused_and_others_are_served, .timeout = 60) {
    daemon_fixture d;
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0"));
    int port = scrape_port(&d);
    /* Who still sends when the answer comes may find the connection reset, and so no status. */
    int status = status_of_long(port, "GET /", "a", 4 * ADMIN_CONNECTION_BYTES_MAX);
    cr_assert(status == 0 || status == 414, "status %d", status);
    status = status_of_long(port, "GET /livez HTTP/1.1\r\n", "X-Long: 0123456789abcdef\r\n", 4096);
    cr_assert(status == 0 || (status >= 400 && status < 500), "status %d", status);
    status = status_of_long(port, "", "\x01\x80\xff", 1000);
    cr_assert(status != 200, "status %d", status);
    for (int i = 0; i < 200; i++) {
        int file = scrape_connect(port);
        cr_assert_geq(file, 0);
        scrape_send(file, i % 2 ? "GET /metrics HTTP/1.1\r\n\r\n" : "GET");
        close(file); /* without reading */
    }
    expect_answer(port, "/livez", NULL, 200, "ok");
    daemon_stop(&d);
    daemon_close(&d);
}

Test(admin, slow_peers_shut_nobody_out_and_do_not_hold_up_the_end, .timeout = 60) {
    daemon_fixture d;
    int slow[SLOW];
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0"));
    int port = scrape_port(&d);
    for (size_t i = 0; i < SLOW; i++) {
        slow[i] = scrape_connect(port);
        cr_assert_geq(slow[i], 0);
        scrape_send(slow[i], i % 3 == 0   ? "GET /metr"
                             : i % 3 == 1 ? ""
                                          : "GET /livez HTTP/1.1\r\n");
    }
    nng_time start = nng_clock();
    for (int i = 0; i < 20; i++) {
        expect_answer(port, "/readyz", NULL, 200, "ok");
        scrape_send(slow[SLOW - 1], "X"); /* one that is not silent for long */
    }
    nng_time took = nng_clock() - start;
    cr_assert_lt(took, 1000 * ADMIN_IDLE_S, "they waited for the slow ones' time to be up: %llu ms",
                 (unsigned long long)took);
    cr_assert_eq(ask_last(d.client, "alice", &rows, 0, 1).fill, 1);
    daemon_stop(&d);
    for (size_t i = 0; i < SLOW; i++) {
        close(slow[i]);
    }
    daemon_close(&d);
    fixture_rows_free(&rows);
}

/* ---- what it does not start with ---- */

static void ends_with(daemon_fixture *d, const char *const flags[], int status, const char *word) {
    const char *argv[CHILD_ARGUMENTS_MAX];
    daemon_arguments(d, flags, argv);
    child_result r = child_run(d->folder, argv);
    cr_assert_eq(r.status, status, "%s: status %d: %s", word, r.status, r.err);
    cr_assert(strstr(r.err, word), "%s is not in: %s", word, r.err);
    cr_assert(status != 1 || child_one_line(r.err), "%s", r.err);
    child_result_free(&r);
}

Test(admin, a_port_that_cannot_be_had_ends_the_daemon_with_one_line, .timeout = 60) {
    static const char *const addresses[] = {"x",     "65536",  "-1",         ":80",
                                            "[::1]", "::1:80", "127.0.0.1:", "[]:1",
                                            "1 ",    "0x50",   "000000080"};
    static const char *const tokens[] = {"", "\n", "two words\n", "two\nlines\n", "\x80\n"};
    daemon_fixture d;
    char path[PATH_BYTES], taken[16];
    daemon_open(&d, DIM);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        ends_with(&d, DAEMON_FLAGS("--admin", addresses[i]), 1, "[HOST:]PORT");
    }
    daemon_path(&d, "token", path);
    ends_with(&d, DAEMON_FLAGS("--admin", "0", "--admin-token-file", path), 1, "token");
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        child_write(path, tokens[i], strlen(tokens[i]));
        ends_with(&d, DAEMON_FLAGS("--admin", "0", "--admin-token-file", path), 1, "one line");
    }
    ends_with(&d, DAEMON_FLAGS("--admin-token-file", path), 1, "expected admin");
    daemon_start(&d, DAEMON_FLAGS("--admin", "0"));
    snprintf(taken, sizeof taken, "%d", scrape_port(&d));
    char url[sizeof d.url];
    snprintf(url, sizeof url, "%s", d.url);
    snprintf(d.url, sizeof d.url, "ipc://%.400s/other", d.folder);
    ends_with(&d, DAEMON_FLAGS("--admin", taken), 1, "in use");
    snprintf(d.url, sizeof d.url, "%s", url);
    daemon_stop(&d);
    daemon_close(&d);
}

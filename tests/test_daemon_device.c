/* test_daemon_device.c - the daemon on a simulated device: that it says so, and that it goes on
 * when the device is lost. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "scrape.h"

/* Two engines, and scores that travel as float32. */
static const double engines_tolerance = 1e-5;

static bool near(double a, double b) {
    return fabs(a - b) <= engines_tolerance * fabs(b);
}

/* The same pieces of an account through both engines. */
Test(daemon_device, a_daemon_with_a_device_says_so_and_scores_as_one_without) {
    enum { PIECES = 6 };
    ask_row answer[2][PIECES];
    daemon_fixture d;
    daemon_open(&d, 64);
    fixture_rows rows = fixture_source(64, "atk_cifar100");
    for (int cuda = 0; cuda < 2; cuda++) {
        setenv("STANDIN_DEVICES", cuda ? "1" : "0", 1);
        daemon_start(&d, DAEMON_NO_FLAGS);
        for (size_t p = 0; p < PIECES; p++) {
            answer[cuda][p] = ask_last(d.client, "thief", &rows, p * 50, p % 2 ? 7 : 50);
        }
        adder_info info = ask_info(d.client);
        cr_assert_str_eq(info.engine, cuda ? "cuda" : "cpu");
        cr_assert(!info.degraded);
        daemon_await_log(&d, cuda ? "engine cuda" : "engine cpu (no cuda device answers: ");
        daemon_stop(&d);
    }
    for (size_t p = 0; p < PIECES; p++) {
        cr_assert(near(answer[1][p].score, answer[0][p].score) &&
                      near(answer[1][p].memory_score, answer[0][p].memory_score) &&
                      answer[1][p].fill == answer[0][p].fill,
                  "piece %zu: %.9g and %.9g, not %.9g and %.9g", p, answer[1][p].score,
                  answer[1][p].memory_score, answer[0][p].score, answer[0][p].memory_score);
    }
    fixture_rows_free(&rows);
    daemon_close(&d);
}

static void metrics_say(const daemon_fixture *d, const char *engine, double degraded) {
    char series[96];
    scrape_reply reply = scrape_get(scrape_port(d), "/metrics", NULL);
    snprintf(series, sizeof series, "adder_build_info{version=\"0.1.0\",engine=\"%s\"}", engine);
    cr_assert_eq(scrape_value(reply.body, series), 1.0, "%s", reply.body);
    cr_assert_eq(scrape_value(reply.body, "adder_engine_degraded{model=\"default\"}"), degraded,
                 "%s", reply.body);
    scrape_reply_free(&reply);
}

static bool is_degraded(const daemon_fixture *d, const fixture_rows *rows, size_t first,
                        uint32_t fill) {
    adder_reply *reply = ask((ask_question){
        .client = d->client, .account = "honest", .rows = rows, .first = first, .count = 5});
    bool degraded = reply->degraded;
    cr_assert(reply->fill[4] == fill, "fill %u, not %u", reply->fill[4], fill);
    adder_reply_free(reply);
    return degraded;
}

Test(daemon_device, a_daemon_that_loses_its_device_answers_on_and_says_so) {
    daemon_fixture d;
    daemon_open(&d, 64);
    fixture_rows rows = fixture_source(64, "benign_test");
    setenv("STANDIN_DEVICES", "1", 1);
    setenv("STANDIN_FAIL", "cudaGraphLaunch:3:719", 1);
    daemon_start(&d, DAEMON_FLAGS("--engine", "cuda", "--window", "16", "--admin", "0"));
    metrics_say(&d, "cuda", 0.0);
    cr_assert(!is_degraded(&d, &rows, 0, 5) && !is_degraded(&d, &rows, 5, 10));
    cr_assert(is_degraded(&d, &rows, 10, 5), "the window begins anew");
    cr_assert(is_degraded(&d, &rows, 15, 10));
    adder_info info = ask_info(d.client);
    cr_assert_str_eq(info.engine, "cpu");
    cr_assert(info.degraded);
    metrics_say(&d, "cpu", 1.0);
    daemon_await_log(&d, "cuda lost: ");
    daemon_stop(&d);
    unsetenv("STANDIN_FAIL");
    fixture_rows_free(&rows);
    daemon_close(&d);
}

static void refuses_to_start(daemon_fixture *d, const char *const flags[], const char *text) {
    const char *argv[CHILD_ARGUMENTS_MAX];
    daemon_arguments(d, flags, argv);
    child_result r = child_run(d->folder, argv);
    cr_assert(r.status == 1, "exit status %d: %s", r.status, r.err);
    cr_assert(strstr(r.err, text) && child_one_line(r.err), "%s", r.err);
    child_result_free(&r);
}

Test(daemon_device, a_daemon_without_the_device_it_needs_says_so_in_one_line) {
    daemon_fixture d;
    daemon_open(&d, 64);
    setenv("STANDIN_DEVICES", "0", 1);
    refuses_to_start(&d, DAEMON_FLAGS("--engine", "cuda"), "no cuda device answers");
    setenv("STANDIN_DEVICES", "1", 1);
    refuses_to_start(&d, DAEMON_FLAGS("--engine", "cuda", "--max-accounts", "10000000"),
                     "accounts would fit");
    daemon_close(&d);
}

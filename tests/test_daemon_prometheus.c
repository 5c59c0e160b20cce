/*
 * test_daemon_prometheus.c - a real Prometheus scrapes the daemon, and what it then knows is asked
 * of its own API. Skipped where there is none.
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
#include "scrape.h"

enum { PATH_BYTES = CHILD_PATH_BYTES * 2, DIM = 64, KNOWN_MS = 60000, POLL_MS = 100 };

typedef struct {
    daemon_fixture d;
    pid_t child;
    int port;
} stage;

static void stage_open(stage *s) {
    char token[PATH_BYTES], config[PATH_BYTES], data[PATH_BYTES], out[PATH_BYTES], err[PATH_BYTES];
    char text[PATH_BYTES * 2], address[64], config_flag[PATH_BYTES + 32],
        data_flag[PATH_BYTES + 32];
    daemon_open(&s->d, DIM);
    child_write(daemon_path(&s->d, "token", token), "open-sesame\n", 12);
    cr_assert_eq(chmod(token, 0600), 0);
    daemon_start(&s->d, DAEMON_FLAGS("--admin", "0", "--engine", "cpu", "--admin-token-file", token,
                                     "--threshold", "0", "--min-fill", "1"));
    int length = snprintf(text, sizeof text,
                          "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
                          "scrape_configs:\n"
                          "  - job_name: adder\n"
                          "    authorization: {credentials_file: %s}\n"
                          "    static_configs: [{targets: ['127.0.0.1:%d']}]\n",
                          token, scrape_port(&s->d));
    child_write(daemon_path(&s->d, "prometheus.yml", config), text, (size_t)length);
    s->port = scrape_free_port();
    snprintf(address, sizeof address, "--web.listen-address=127.0.0.1:%d", s->port);
    snprintf(config_flag, sizeof config_flag, "--config.file=%s", config);
    snprintf(data_flag, sizeof data_flag, "--storage.tsdb.path=%s",
             daemon_path(&s->d, "series", data));
    s->child = child_start((const char *const[]){PROMETHEUS_PATH, address, config_flag, data_flag,
                                                 "--log.level=warn", NULL},
                           daemon_path(&s->d, "prometheus.out", out),
                           daemon_path(&s->d, "prometheus.err", err));
}

static void stage_close(stage *s) {
    kill(s->child, SIGTERM);
    cr_assert_eq(child_wait(s->child), 0);
    daemon_stop(&s->d);
    daemon_close(&s->d);
}

/* Until Prometheus answers the path with these words. */
static void await(const stage *s, const char *path, const char *words) {
    nng_time deadline = nng_clock() + KNOWN_MS;
    for (;;) {
        scrape_reply reply = scrape_get(s->port, path, NULL);
        if (reply.status == 200 && strstr(reply.body, words)) {
            scrape_reply_free(&reply);
            return;
        }
        if (nng_clock() > deadline) {
            char err[PATH_BYTES];
            cr_assert_fail("%s: %s is not in %s\n%s", path, words, reply.text,
                           child_read(daemon_path(&s->d, "prometheus.err", err), NULL));
        }
        scrape_reply_free(&reply);
        nng_msleep(POLL_MS);
    }
}

Test(prometheus, it_scrapes_the_daemon_and_knows_its_numbers, .timeout = 120) {
    stage s = {0};
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    stage_open(&s);
    for (int i = 0; i < 5; i++) {
        ask_last(s.d.client, "mallory", &rows, 0, 4);
    }
    await(&s, "/api/v1/query?query=adder_rows_total", "\"20\"]");
    await(&s, "/api/v1/targets", "\"health\":\"up\"");
    await(&s, "/api/v1/targets", "\"lastError\":\"\"");
    await(&s, "/api/v1/query?query=adder_decisions_total%7Bdecision=%22poison%22%7D", "\"20\"]");
    await(&s, "/api/v1/query?query=adder_build_info", "\"engine\":\"cpu\"");
    await(&s, "/api/v1/query?query=adder_accounts", "\"1\"]");
    await(&s, "/api/v1/query?query=adder_request_seconds_count", "\"5\"]");
    /* Five batches of four rows: the median is within the bucket (2, 4]. */
    await(&s, "/api/v1/query?query=histogram_quantile(0.5,adder_batch_rows_bucket)", "\"3\"]");
    await(&s, "/api/v1/query?query=count(adder_stage_seconds_count)", "\"4\"]");
    await(&s, "/api/v1/metadata?metric=adder_stage_seconds", "\"histogram\"");
    await(&s, "/api/v1/metadata?metric=adder_evictions_total", "\"counter\"");
    stage_close(&s);
    fixture_rows_free(&rows);
}

/* daemon_fixture.c - see daemon_fixture.h. */
#include "daemon_fixture.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

enum { PROBE_MS = 200, LOG_LOOK_MS = 5, PATH_BYTES = CHILD_PATH_BYTES * 2 };

char *daemon_path(const daemon_fixture *d, const char *name, char path[PATH_BYTES]) {
    snprintf(path, PATH_BYTES, "%s/%s", d->folder, name);
    return path;
}

void daemon_open(daemon_fixture *d, size_t dim) {
    char mean[PATH_BYTES], covariance[PATH_BYTES];
    *d = (daemon_fixture){0};
    child_folder_make(d->folder);
    snprintf(d->reference, sizeof d->reference, "%s/reference", d->folder);
    snprintf(d->url, sizeof d->url, "ipc://%s/socket", d->folder);
    snprintf(mean, sizeof mean, TEST_DATA "/d%zu/ref_mean.f32.npy", dim);
    snprintf(covariance, sizeof covariance, TEST_DATA "/d%zu/ref_cov.f32.npy", dim);
    child_result fit = child_run(d->folder, (const char *const[]){ADDER_PATH, "fit", "--mean", mean,
                                                                  "--covariance", covariance,
                                                                  "--out", d->reference, NULL});
    if (fit.status != 0) {
        child_fail("adder fit ended with status %d: %s", fit.status, fit.err);
    }
    child_result_free(&fit);
}

void daemon_calibrate(const daemon_fixture *d, const char *reference) {
    child_result r = child_run(
        d->folder, (const char *const[]){
                       ADDER_PATH, "calibrate", "--reference", reference, "--embeddings",
                       TEST_DATA "/d64/src/benign_test.emb.f16.npy", "--classes",
                       TEST_DATA "/d64/src/benign_test.pred.u8.npy", "--queries", "500", NULL});
    if (r.status != 0) {
        child_fail("adder calibrate ended with status %d: %s", r.status, r.err);
    }
    child_result_free(&r);
}

static void use_port(daemon_fixture *d, const char *scheme) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int file = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(file, (struct sockaddr *)&address, length) != 0 ||
        getsockname(file, (struct sockaddr *)&address, &length) != 0) {
        child_fail("no port to be had");
    }
    close(file);
    snprintf(d->url, sizeof d->url, "%s://127.0.0.1:%d", scheme, ntohs(address.sin_port));
}

void daemon_use_tcp(daemon_fixture *d) {
    d->tls = (tls_files){0};
    use_port(d, "tcp");
}

void daemon_use_tls(daemon_fixture *d, const tls_files *files) {
    d->tls = *files;
    use_port(d, "tls+tcp");
}

void daemon_arguments(const daemon_fixture *d, const char *const flags[],
                      const char *argv[CHILD_ARGUMENTS_MAX]) {
    const char *const first[] = {ADDERD_PATH, "--reference", d->reference, "--listen",
                                 d->url,      "--threads",   "1"};
    size_t count = sizeof first / sizeof *first;
    memcpy(argv, first, sizeof first);
    for (size_t i = 0; flags[i] != NULL; i++) {
        if (count + 1 == CHILD_ARGUMENTS_MAX) {
            child_fail("too many flags for adderd");
        }
        argv[count++] = flags[i];
    }
    argv[count] = NULL;
}

char *daemon_log(const daemon_fixture *d) {
    char path[PATH_BYTES];
    return child_read(daemon_path(d, "adderd.err", path), NULL);
}

static void fail_with_log(const daemon_fixture *d, const char *what, int status) {
    char *log = daemon_log(d);
    child_fail("adderd %s (status %d); it said:\n%s", what, status, log);
}

void daemon_await_log(const daemon_fixture *d, const char *words) {
    nng_time deadline = nng_clock() + DAEMON_TIMEOUT_MS;
    for (;;) {
        char *log = daemon_log(d);
        bool said = strstr(log, words) != NULL;
        free(log);
        if (said) {
            return;
        }
        if (nng_clock() > deadline) {
            char what[256];
            snprintf(what, sizeof what, "does not say \"%s\"", words);
            fail_with_log(d, what, 0);
        }
        nng_msleep(LOG_LOOK_MS);
    }
}

adder_client *daemon_connect(const daemon_fixture *d, int timeout_ms) {
    adder_client *client;
    adder_error error;
    adder_options options = {.timeout_ms = timeout_ms,
                             .tls_ca_file = d->tls.ca_file,
                             .tls_cert_file = d->tls.cert_file,
                             .tls_key_file = d->tls.key_file,
                             .tls_server_name = d->tls.server_name};
    if (adder_open(&client, d->url, &options, &error) != ADDER_OK) {
        child_fail("%s", error.text);
    }
    return client;
}

/* One client for all probes: it connects again by itself. */
static void wait_for_answer(daemon_fixture *d) {
    nng_time deadline = nng_clock() + DAEMON_START_MS;
    adder_client *client = daemon_connect(d, PROBE_MS);
    while (adder_ping(client, NULL) != ADDER_OK) {
        int status = 0;
        if (child_ended(d->child, &status)) {
            fail_with_log(d, "ended before it answered", status);
        }
        if (nng_clock() > deadline) {
            fail_with_log(d, "does not answer", 0);
        }
    }
    adder_close(client);
}

void daemon_start(daemon_fixture *d, const char *const flags[]) {
    const char *argv[CHILD_ARGUMENTS_MAX];
    daemon_arguments(d, flags, argv);
    daemon_start_as(d, argv);
}

void daemon_start_as(daemon_fixture *d, const char *const argv[]) {
    char out[PATH_BYTES], err[PATH_BYTES];
    d->child =
        child_start(argv, daemon_path(d, "adderd.out", out), daemon_path(d, "adderd.err", err));
    wait_for_answer(d);
    d->client = daemon_connect(d, DAEMON_TIMEOUT_MS);
    /* NNG 1.5.2 leaks a connection that is closed while it is being made. */
    if (adder_ping(d->client, NULL) != ADDER_OK) {
        fail_with_log(d, "answered but once", 0);
    }
}

void daemon_await_end(daemon_fixture *d) {
    int status = child_wait(d->child);
    d->child = 0;
    if (status != 0) {
        fail_with_log(d, "did not end well", status);
    }
}

void daemon_stop(daemon_fixture *d) {
    adder_close(d->client);
    d->client = NULL;
    kill(d->child, SIGTERM);
    daemon_await_end(d);
}

void daemon_close(daemon_fixture *d) {
    if (d->child != 0) {
        child_fail("the daemon still runs");
    }
    adder_close(d->client);
    child_folder_remove(d->folder);
}

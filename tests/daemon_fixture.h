/*
 * daemon_fixture.h - a real adderd beside the test, on a socket in a folder of its own.
 *
 *     daemon_fixture d;
 *     daemon_open(&d, 64);
 *     daemon_start(&d, DAEMON_FLAGS("--window", "16"));
 *     ... d.client ...
 *     daemon_stop(&d);
 *     daemon_close(&d);
 *
 * One daemon at a time; it may be started again, with other flags. As child.h, this knows nothing
 * of Criterion: what fails prints a sentence, the daemon's own lines with it, and aborts.
 */
#ifndef ADDER_TESTS_DAEMON_FIXTURE_H
#define ADDER_TESTS_DAEMON_FIXTURE_H

#include "adder.h"
#include "child.h"
#include "tls.h"

enum { DAEMON_TIMEOUT_MS = 30000, DAEMON_START_MS = 60000 };

typedef struct {
    char folder[CHILD_PATH_BYTES];
    char reference[CHILD_PATH_BYTES + 16]; /* as `adder fit` makes it */
    char url[CHILD_PATH_BYTES + 16];
    tls_files tls; /* by which clients connect */
    pid_t child;   /* 0: none runs */
    adder_client *client;
} daemon_fixture;

#define DAEMON_FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define DAEMON_NO_FLAGS ((const char *const[]){NULL})

/* Makes the folder and, from tests/data, the reference of that dim; url is an ipc socket there. */
void daemon_open(daemon_fixture *d, size_t dim);
/* Calibrates a reference of dim 64 on the honest rows of tests/data, for accounts of 500 queries.
 */
void daemon_calibrate(const daemon_fixture *d, const char *reference);
/* The next start listens at a free port of 127.0.0.1. */
void daemon_use_tcp(daemon_fixture *d);
/* The same with tls+tcp; the files, borrowed, are the clients', the daemon's are flags. */
void daemon_use_tls(daemon_fixture *d, const tls_files *files);
/* Starts adderd with one engine thread and these flags, and waits until it answers a ping. */
void daemon_start(daemon_fixture *d, const char *const flags[]);
/* Likewise with this argument vector, by which it listens at url. */
void daemon_start_as(daemon_fixture *d, const char *const argv[]);
/* SIGTERM; it must end with status 0. */
void daemon_stop(daemon_fixture *d);
/* Only waits for the end, with status 0, of a daemon that was sent a signal; the client stays. */
void daemon_await_end(daemon_fixture *d);
/* Removes the folder; the daemon has been stopped. */
void daemon_close(daemon_fixture *d);

/* `name` in the folder, in the caller's bytes; returns them. */
char *daemon_path(const daemon_fixture *d, const char *name, char path[CHILD_PATH_BYTES * 2]);
/* What the daemon has written to stderr since it was started; the caller frees. */
char *daemon_log(const daemon_fixture *d);
/* Waits until these words are in it: lines are written a moment after what they tell of. */
void daemon_await_log(const daemon_fixture *d, const char *words);
/* The argument vector of this daemon with these flags. */
void daemon_arguments(const daemon_fixture *d, const char *const flags[],
                      const char *argv[CHILD_ARGUMENTS_MAX]);
/* A client of its own. */
adder_client *daemon_connect(const daemon_fixture *d, int timeout_ms);

#endif

/*
 * test_server.c - server and client library together, over ipc, tcp and inproc, with a host that
 * answers by rote. Peers that misbehave are test_server_peers.c's.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "stub_host.h"

enum { TIMEOUT_MS = 20000 };

/* ---- many at once ---- */

enum { THREADS = 12, CALLS = 150 };

typedef struct {
    adder_client *client;
    unsigned salt;
    size_t failed;
} asker;

static void *ask_often(void *argument) {
    asker *a = argument;
    for (unsigned i = 0; i < CALLS; i++) {
        adder_error error;
        unsigned salt = a->salt * 7919 + i * 31;
        if (stub_ask(a->client, 1 + salt % 40, salt, &error) != ADDER_OK) {
            fprintf(stderr, "%s\n", error.text);
            a->failed++;
        }
    }
    return NULL;
}

static void many_threads(stub_transport transport, stub_finish finish) {
    const char *url = stub_url(transport);
    static stub_host host;
    stub_open(&host, url, finish, (server_options){.contexts = 5});
    adder_client *clients[3];
    asker askers[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < 3; i++) {
        clients[i] = stub_client(url, TIMEOUT_MS);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (asker){.client = clients[i % 3], .salt = i};
        pthread_create(&threads[i], NULL, ask_often, &askers[i]);
    }
    size_t failed = 0;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        failed += askers[i].failed;
    }
    cr_assert_eq(failed, 0, "%zu of %d calls failed", failed, THREADS * CALLS);
    STUB_WAIT(server_in_flight(host.server) == 0);
    /* Every score, and at most one hello a thread. */
    cr_assert_geq(host.answered, THREADS * CALLS + 3);
    cr_assert_leq(host.answered, THREADS * CALLS + THREADS);
    for (size_t i = 0; i < 3; i++) {
        adder_close(clients[i]);
    }
    stub_close(&host);
}

Test(server, threads_over_ipc_get_their_own_answers, .timeout = 120) {
    many_threads(STUB_IPC, STUB_OWNER);
}

Test(server, threads_over_tcp_get_their_own_answers, .timeout = 120) {
    many_threads(STUB_TCP, STUB_OWNER);
}

Test(server, threads_over_inproc_get_their_own_answers, .timeout = 120) {
    many_threads(STUB_INPROC, STUB_OWNER);
}

Test(server, calls_answered_at_once_or_finished_inside_begin_are_answered, .timeout = 120) {
    many_threads(STUB_IPC, STUB_AT_ONCE);
    many_threads(STUB_IPC, STUB_INSIDE_BEGIN);
}

Test(server, calls_worked_off_on_the_servers_threads_are_answered, .timeout = 120) {
    for (stub_transport transport = STUB_IPC; transport < STUB_TRANSPORTS; transport++) {
        many_threads(transport, STUB_WORK);
    }
}

/* ---- what can be asked ---- */

Test(server, each_op_is_answered) {
    static stub_host host;
    const char *url = stub_url(STUB_IPC);
    adder_client *client = stub_client(url, TIMEOUT_MS); /* before there is a server */
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    cr_assert_eq(adder_ping(client, NULL), ADDER_OK);
    static adder_info info;
    cr_assert_eq(adder_hello(client, &info, NULL), ADDER_OK);
    cr_assert(info.rows_max == STUB_ROWS_MAX && info.message_bytes_max == STUB_MESSAGE_MAX &&
              strcmp(info.version, "stub") == 0 && info.models == 1 &&
              strcmp(info.model[0].name, "stub") == 0 && info.model[0].dim == STUB_DIM);
    bool known = false;
    cr_assert_eq(adder_forget(client, "long", &known, NULL), ADDER_OK);
    cr_assert(known);
    cr_assert_eq(adder_forget(client, "x", &known, NULL), ADDER_OK);
    cr_assert_not(known);
    adder_reply *reply;
    adder_rows rows = {.count = 1,
                       .dim = STUB_DIM,
                       .accounts = (const char *const[]){"a"},
                       .classes = (const uint32_t[]){4},
                       .embeddings = (const float[STUB_DIM]){0.5f},
                       .model = "stub",
                       .want_poison = true};
    cr_assert_eq(adder_score(client, &rows, &reply, NULL), ADDER_OK);
    cr_assert(reply->scores[0] == 4.5f && reply->memory_scores == NULL && reply->degraded);
    cr_assert(reply->poison_count == 1 && reply->poison_rows[0] == 0 &&
              reply->classes == STUB_CLASSES && reply->poison[STUB_CLASSES - 1] == 0);
    adder_reply_free(reply);
    adder_close(client);
    stub_close(&host);
}

Test(server, a_refusal_comes_with_its_status_and_text) {
    static stub_host host;
    const char *url = stub_url(STUB_TCP);
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    adder_client *client = stub_client(url, TIMEOUT_MS);
    const char *accounts[] = {"a"};
    uint32_t class = STUB_CLASSES;
    float row[STUB_DIM + 1] = {0};
    adder_rows rows = {
        .count = 1, .dim = STUB_DIM, .accounts = accounts, .classes = &class, .embeddings = row};
    adder_reply *reply;
    adder_error error;
    cr_assert_eq(adder_score(client, &rows, &reply, &error), ADDER_BAD_CLASS);
    cr_assert(strstr(error.text, "classes[0]: expected below 1000, came 1000"), "%s", error.text);
    class = 0;
    rows.dim++;
    cr_assert_eq(adder_score(client, &rows, &reply, &error), ADDER_BAD_DIMENSION);
    rows.dim--;
    rows.model = "other";
    cr_assert_eq(adder_score(client, &rows, &reply, &error), ADDER_UNKNOWN_MODEL);
    rows.model = NULL;
    row[2] = 1e30f;
    cr_assert_eq(adder_score(client, &rows, &reply, &error), ADDER_NOT_FINITE);
    cr_assert(strstr(error.text, "row 0, column 2"), "%s", error.text);
    cr_assert_null(reply);
    adder_close(client);
    stub_close(&host);
}

Test(client, arguments_are_checked_before_anything_is_sent) {
    adder_client *client = stub_client(stub_url(STUB_IPC), 50); /* nobody is there */
    const char *accounts[] = {"a", NULL}, *longer[] = {"", NULL};
    char longest[ADDER_ACCOUNT_BYTES_MAX + 2] = "";
    memset(longest, 'x', sizeof longest - 1);
    uint32_t classes[2] = {0};
    float row[8] = {0};
    const adder_rows good = {
        .count = 1, .dim = 4, .accounts = accounts, .classes = classes, .embeddings = row};
    adder_rows bad[8] = {good, good, good, good, good, good, good, good};
    bad[0].count = 0;
    bad[1].dim = 0;
    bad[2].accounts = NULL;
    bad[3].classes = NULL;
    bad[4].embeddings = NULL;
    bad[5].count = 2; /* the second account is NULL */
    bad[6].accounts = longer;
    bad[7].dtype = (adder_dtype)3;
    adder_reply *reply;
    for (size_t i = 0; i < 8; i++) {
        cr_assert_eq(adder_score(client, &bad[i], &reply, NULL), ADDER_BAD_REQUEST, "case %zu", i);
    }
    adder_rows huge = good;
    huge.count = SIZE_MAX / 8;
    cr_assert_eq(adder_score(client, &huge, &reply, NULL), ADDER_TOO_LARGE);
    cr_assert_eq(adder_forget(client, longest, NULL, NULL), ADDER_BAD_REQUEST);
    cr_assert_eq(adder_score(NULL, &good, &reply, NULL), ADDER_BAD_REQUEST);
    cr_assert_eq(adder_score(client, NULL, &reply, NULL), ADDER_BAD_REQUEST);
    cr_assert_eq(adder_score(client, &good, NULL, NULL), ADDER_BAD_REQUEST);
    cr_assert_eq(adder_ping(NULL, NULL), ADDER_BAD_REQUEST);
    adder_error error;
    cr_assert_eq(adder_score(client, &good, &reply, &error), ADDER_TIMED_OUT);
    cr_assert(strstr(error.text, "ipc:///tmp/adder-test"), "%s", error.text);
    adder_close(client);
    adder_close(NULL);
    adder_reply_free(NULL);
}

Test(client, a_bad_url_is_said_at_once) {
    static const char *const urls[] = {
        "", "ipc://", "http://127.0.0.1:1", "/run/adder.sock", "ws://127.0.0.1:1", NULL};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        adder_client *client;
        adder_error error;
        cr_assert_eq(adder_open(&client, urls[i], NULL, &error), ADDER_BAD_REQUEST);
        cr_assert(client == NULL && strstr(error.text, "url: expected ipc://"), "%s", error.text);
    }
    for (adder_status status = ADDER_OK; status <= ADDER_STATUSES; status++) {
        cr_assert_not_null(adder_status_text(status));
    }
}

Test(client, what_the_daemon_cannot_take_is_refused_here_and_costs_no_connection) {
    static stub_host host;
    const char *url = stub_url(STUB_TCP);
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    adder_client *client = stub_client(url, TIMEOUT_MS);
    adder_error error;
    cr_assert_eq(stub_ask(client, STUB_ROWS_MAX + 1, 1, &error), ADDER_TOO_LARGE);
    cr_assert(strstr(error.text, "rows: expected at most 4096, came 4097"), "%s", error.text);
    char account[ADDER_ACCOUNT_BYTES_MAX + 1] = "";
    memset(account, 'x', ADDER_ACCOUNT_BYTES_MAX);
    static const char *accounts[STUB_ROWS_MAX];
    static uint32_t classes[STUB_ROWS_MAX];
    static float rows[STUB_ROWS_MAX * 64];
    for (size_t i = 0; i < STUB_ROWS_MAX; i++) {
        accounts[i] = account;
    }
    adder_reply *reply;
    adder_rows large = {.count = STUB_ROWS_MAX,
                        .dim = 64,
                        .accounts = accounts,
                        .classes = classes,
                        .embeddings = rows};
    cr_assert_eq(adder_score(client, &large, &reply, &error), ADDER_TOO_LARGE);
    cr_assert(strstr(error.text, "expected at most 1048576"), "%s", error.text);
    large.dim = STUB_DIM; /* 610 KB: goes through */
    cr_assert_eq(adder_score(client, &large, &reply, &error), ADDER_OK, "%s", error.text);
    adder_reply_free(reply);
    cr_assert_eq(host.begun, 2, "a hello and one score, came %zu", (size_t)host.begun);
    adder_close(client);
    stub_close(&host);
}

/* ---- listening ---- */

static bool never_begin(void *host, server_call *call, const void *message, size_t bytes) {
    (void)host, (void)call, (void)message, (void)bytes;
    return true;
}

static int never_encode(void *host, server_call *call, nng_msg *reply) {
    (void)host, (void)call, (void)reply;
    return NNG_EINTERNAL;
}

static bool try_listen(const char *url, char error[256]) {
    server *second;
    server_options options = {.url = url,
                              .contexts = 1,
                              .message_bytes_max = 1,
                              .connections_max = 1,
                              .begin = never_begin,
                              .encode = never_encode};
    bool listens = server_open(&second, &options, error, 256);
    server_close(second);
    return listens;
}

Test(server, a_second_listener_is_refused_with_a_clear_text) {
    for (stub_transport transport = STUB_IPC; transport < STUB_TRANSPORTS; transport++) {
        static stub_host host;
        char error[256];
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){0});
        cr_assert_not(try_listen(url, error));
        cr_assert(strstr(error, url) && strstr(error, "address in use"), "%s", error);
        adder_client *client = stub_client(url, TIMEOUT_MS);
        cr_assert_eq(adder_ping(client, NULL), ADDER_OK, "the first one was disturbed");
        adder_close(client);
        stub_close(&host);
        cr_assert(try_listen(url, error), "after the first has gone: %s", error);
    }
}

Test(server, bad_addresses_and_options_are_refused) {
    static const char *const urls[] = {"",
                                       "ipc://",
                                       "tcp://",
                                       "http://127.0.0.1:80",
                                       "x",
                                       "inproc",
                                       "tcp://127.0.0.1:99999",
                                       "ipc:///no/such/directory/x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char error[256] = "";
        cr_assert_not(try_listen(urls[i], error), "%s", urls[i]);
        cr_assert(strlen(error) > 10, "%s: %s", urls[i], error);
    }
    server *none;
    char error[256];
    server_options options = {.url = "inproc://x", .contexts = SERVER_CONTEXTS_MAX + 1};
    cr_assert_not(server_open(&none, &options, error, sizeof error));
    cr_assert(none == NULL && strstr(error, "contexts"), "%s", error);
}

Test(server, an_ipc_socket_is_the_owners_alone) {
    static stub_host host;
    struct stat status;
    const char *url = stub_url(STUB_IPC);
    umask(0);
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    cr_assert_eq(stat(stub_path(url), &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0600, "mode %o", status.st_mode & 07777);
    stub_close(&host);
    cr_assert_neq(stat(stub_path(url), &status), 0, "the socket file was left behind");
}

Test(server, the_socket_file_of_a_dead_process_is_taken_over) {
    static stub_host host;
    const char *url = stub_url(STUB_IPC);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, stub_path(url));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* as a killed process leaves it */
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    adder_client *client = stub_client(url, TIMEOUT_MS);
    cr_assert_eq(adder_ping(client, NULL), ADDER_OK);
    adder_close(client);
    stub_close(&host);
}

/* ---- ends ---- */

typedef struct {
    adder_client *client;
    adder_status status;
    adder_error error;
    atomic_bool enough;
} lone_call;

static void *ask_once(void *argument) {
    lone_call *call = argument;
    call->status = stub_ask(call->client, 3, 5, &call->error);
    return NULL;
}

static void *drain(void *argument) {
    server_drain(argument);
    return NULL;
}

Test(server, draining_answers_what_was_accepted_and_refuses_the_rest, .timeout = 60) {
    enum { WAITING = 6 };
    for (stub_transport transport = STUB_IPC; transport < STUB_TRANSPORTS; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){.contexts = WAITING + 1});
        lone_call calls[WAITING];
        pthread_t threads[WAITING], drainer;
        adder_client *client = stub_client(url, TIMEOUT_MS);
        static adder_info info;
        cr_assert_eq(adder_hello(client, &info, NULL), ADDER_OK);
        stub_hold(&host, true);
        for (size_t i = 0; i < WAITING; i++) {
            calls[i] = (lone_call){.client = client};
            pthread_create(&threads[i], NULL, ask_once, &calls[i]);
        }
        STUB_WAIT(host.begun == WAITING + 1);
        STUB_WAIT(server_in_flight(host.server) == WAITING);
        atomic_store(&host.draining, true);
        pthread_create(&drainer, NULL, drain, host.server);
        /* Not a wait for something but for nothing: it must not stop while calls are held. */
        nng_msleep(2 * SERVER_LINGER_MS);
        adder_error error;
        cr_assert_eq(stub_ask(client, 1, 1, &error), ADDER_DRAINING);
        stub_hold(&host, false);
        for (size_t i = 0; i < WAITING; i++) {
            pthread_join(threads[i], NULL);
            cr_assert_eq(calls[i].status, ADDER_OK, "%s", calls[i].error.text);
        }
        pthread_join(drainer, NULL);
        cr_assert_eq(server_in_flight(host.server), 0);
        adder_close(client);
        stub_close(&host);
    }
}

Test(server, closing_abandons_what_the_host_still_has, .timeout = 60) {
    enum { WAITING = 4 };
    for (stub_transport transport = STUB_IPC; transport < STUB_TRANSPORTS; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        stub_open(&host, url, transport == STUB_TCP ? STUB_NEVER : STUB_OWNER, (server_options){0});
        stub_hold(&host, true);
        lone_call calls[WAITING];
        pthread_t threads[WAITING];
        adder_client *client = stub_client(url, 1500);
        for (size_t i = 0; i < WAITING; i++) {
            calls[i] = (lone_call){.client = client};
            pthread_create(&threads[i], NULL, ask_once, &calls[i]);
        }
        STUB_WAIT(server_in_flight(host.server) == WAITING);
        stub_close(&host);
        for (size_t i = 0; i < WAITING; i++) {
            pthread_join(threads[i], NULL);
            cr_assert_eq(calls[i].status, ADDER_TIMED_OUT, "%s", calls[i].error.text);
        }
        adder_close(client);
    }
}

#if defined(__SANITIZE_ADDRESS__)
void __lsan_disable(void);
#else
static void __lsan_disable(void) {
}
#endif

static void *ask_until_enough(void *argument) {
    lone_call *call = argument;
    adder_error error;
    /* inproc in NNG 1.5.2 loses messages that are under way when a socket closes; a program of
     * nothing but NNG calls shows the same. */
    __lsan_disable();
    for (unsigned i = 0; !atomic_load(&call->enough); i++) {
        stub_ask(call->client, 1 + i % 9, i, &error);
    }
    return NULL;
}

/* Over inproc only: over ipc and tcp, closing both ends of a busy connection in one process hangs
 * in NNG 1.5.2 one time in twenty, for which the server has SERVER_CLOSE_MS and this test has no
 * way out. */
Test(server, closing_in_the_middle_of_traffic_is_safe, .timeout = 120) {
    enum { ROUNDS = 60, ASKERS = 4 };
    const char *url = stub_url(STUB_INPROC);
    lone_call call = {.client = stub_client(url, 1000)};
    pthread_t threads[ASKERS];
    for (size_t i = 0; i < ASKERS; i++) {
        pthread_create(&threads[i], NULL, ask_until_enough, &call);
    }
    size_t answered = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        static stub_host host;
        static const stub_finish finish[] = {STUB_OWNER, STUB_AT_ONCE, STUB_INSIDE_BEGIN,
                                             STUB_WORK};
        stub_open(&host, url, finish[round % 4], (server_options){.contexts = 3});
        STUB_WAIT(host.begun > round % 7);
        stub_close(&host);
        answered += host.answered;
    }
    atomic_store(&call.enough, true);
    for (size_t i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("answered while opening and closing %d times: %zu\n", ROUNDS, answered);
    adder_close(call.client);
}

Test(client, a_call_whose_daemon_dies_is_answered_by_the_next, .timeout = 60) {
    static stub_host first, second;
    const char *url = stub_url(STUB_IPC);
    stub_open(&first, url, STUB_NEVER, (server_options){0});
    lone_call call = {.client = stub_client(url, TIMEOUT_MS)};
    pthread_t thread;
    pthread_create(&thread, NULL, ask_once, &call);
    STUB_WAIT(first.begun == 2);
    stub_close(&first);
    stub_open(&second, url, STUB_OWNER, (server_options){0});
    pthread_join(thread, NULL);
    cr_assert_eq(call.status, ADDER_OK, "%s", call.error.text);
    adder_close(call.client);
    stub_close(&second);
}

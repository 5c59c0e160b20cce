/*
 * stub_host.h - a daemon's inside for the server's tests: it decodes with the wire, answers
 * score = class + first feature of the row and group score = bytes of the group's name, and gives
 * scores from a thread of its own. It knows accounts and groups whose names are longer than 3
 * bytes.
 */
#ifndef ADDER_STUB_HOST_H
#define ADDER_STUB_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "adder.h"
#include "server.h"
#include "wire.h"

enum { STUB_ROWS_MAX = 4096, STUB_DIM = 4, STUB_CLASSES = 1000, STUB_MESSAGE_MAX = 1 << 20 };

/* Who finishes a score's call. */
typedef enum { STUB_OWNER, STUB_AT_ONCE, STUB_INSIDE_BEGIN, STUB_NEVER, STUB_WORK } stub_finish;

typedef struct {
    wire_request request;
    wire_scratch *scratch;
    wire_code code;
    char text[WIRE_TEXT_MAX];
    float scores[STUB_ROWS_MAX];
    uint8_t decisions[STUB_ROWS_MAX];
    uint32_t fill[STUB_ROWS_MAX];
    float group_scores[STUB_ROWS_MAX];
} stub_call;

typedef struct {
    server *server;
    stub_finish finish;
    size_t contexts;
    stub_call *calls; /* [contexts] */
    atomic_size_t begun;
    atomic_size_t answered;
    atomic_bool draining;
    pthread_t owner;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    server_call *waiting[SERVER_CONTEXTS_MAX];
    size_t waiting_count;
    bool held; /* the owner leaves the calls where they are */
    bool ending;
} stub_host;

/* Zeroed members of options get small defaults. */
void stub_open(stub_host *host, const char *url, stub_finish finish, server_options options);
void stub_hold(stub_host *host, bool held);
/* Ends the owner, which answers what waits unless it is held, then the server. */
void stub_close(stub_host *host);

/* A fresh address of each transport; the texts are kept until the process ends. */
typedef enum { STUB_IPC, STUB_TCP, STUB_INPROC, STUB_TRANSPORTS } stub_transport;
const char *stub_url(stub_transport transport);
const char *stub_path(const char *ipc_url);

adder_client *stub_client(const char *url, int timeout_ms);
/* One score call of `rows` rows whose answer is checked row by row. */
adder_status stub_ask(adder_client *client, size_t rows, unsigned salt, adder_error *error);

/* Waits for a condition, at most 20 s. */
#define STUB_WAIT(condition)                                                                       \
    do {                                                                                           \
        for (int waited = 0; !(condition); waited++) {                                             \
            cr_assert_lt(waited, 20000, "waited 20 s for " #condition);                            \
            nng_msleep(1);                                                                         \
        }                                                                                          \
    } while (0)

#endif

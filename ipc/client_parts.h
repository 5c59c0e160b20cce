/*
 * client_parts.h - what libadder's own files share: the client and one exchange with the daemon.
 * Others include adder.h.
 */
#ifndef ADDER_CLIENT_PARTS_H
#define ADDER_CLIENT_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "adder.h"
#include "client_guard.h"
#include "tls.h"
#include "wire.h"

struct adder_client {
    int timeout_ms;
    size_t reply_bytes_max;
    nng_tls_config *tls;                  /* NULL but for tls+tcp:// */
    uint64_t id;                          /* `client` on the wire */
    char model[WIRE_MODEL_BYTES_MAX + 1]; /* empty: none was given */
    atomic_uint_fast64_t seq;
    /* The daemon's limits. message_bytes_max 0 is: not asked yet; it is written after rows_max. */
    atomic_uint_fast64_t rows_max;
    atomic_uint_fast64_t message_bytes_max;
    atomic_uint_fast32_t retry_after_ms; /* the daemon's last hint */
    client_guard *guard;
    adder_on_failure on_failure;
    pthread_mutex_t serving; /* of the next */
    wire_hello served;       /* as the daemon said last; zeroed: it has not */
    pthread_mutex_t lock;    /* the four below */
    pthread_cond_t given_back;
    size_t sockets; /* open: idle and in use */
    size_t idle;
    nng_socket idle_sockets[ADDER_CONNECTIONS_MAX];
    char url[];
};

/* Whose model a call is about that names this one; NULL: none. */
const char *client_model(const adder_client *client, const char *named);

/* One question: what goes out, how long it may take, where the answer goes. */
typedef struct {
    wire_outgoing request;
    nng_time deadline;
    uint64_t message_bytes_max; /* what the daemon takes; UINT64_MAX when it cannot matter */
    wire_reply reply;
    wire_hello *hello;             /* may be NULL, as the next */
    wire_explanation *explanation; /* of an explain */
    nng_msg *message;              /* what reply points into */
} client_exchange;

/* Writes error's line, when there is an error, and returns status. */
adder_status client_fail(adder_error *error, adder_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An account's or a group's name: 1 to ADDER_ACCOUNT_BYTES_MAX bytes. `what` is how the caller
 * knows it: "accounts". */
adder_status client_check_name(const char *name, const char *what, size_t row, adder_error *error);
nng_time client_deadline(const adder_client *client);
/* Sends and waits. The caller frees x->message on ADDER_OK; otherwise it is NULL. */
adder_status client_ask(adder_client *client, client_exchange *x, adder_error *error);

#endif

/*
 * service.h - the way of a request (design section 3), from decoded message to reply.
 *
 *     server -> service_begin: decode, check -> queue -> service_work: accounts, engine, policy
 *            -> service_encode: poison, reply -> server
 *
 * Threads: all run on the server's, service_end anywhere. Accounts and engine belong to one thread
 * at a time, the one that owns the queue: who calls service_work when something waits and nobody is
 * at it carries out all that waits as one batch, answers it, and goes on with what others have put
 * meanwhile. So a service at rest answers without waking another thread, and a busy one batches. A
 * request is touched by one thread at a time; the queue hands it over.
 */
#ifndef ADDER_SERVICE_H
#define ADDER_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lists.h"
#include "metrics.h"
#include "poison.h"
#include "policy.h"
#include "reference.h"
#include "server.h"
#include "snapshot.h"

enum {
    SERVICE_FLIGHTS = 2, /* batches at work in the engine at once, if it takes as many */
    SERVICE_ROWS_DEFAULT = 8192,
    SERVICE_BLOCKS_PER_ACCOUNT_DEFAULT = 16,
    /* Of poison in one reply: half of what a client takes unless told otherwise. A reply that its
     * peer refuses would be asked for, and made, again and again. */
    SERVICE_POISON_BYTES_MAX = 128 << 20,
};

typedef struct {
    const reference *reference; /* borrowed until service_close */
    const char *engine;         /* "auto", "cpu", "cuda" */
    size_t window_rows;
    size_t memory_rank; /* 0: off */
    double half_life_rows;
    size_t threads;        /* 0: all cores */
    bool tf32;             /* see engine.h */
    size_t accounts_max;   /* least recently used goes first */
    size_t rows_max;       /* of a request; cut to accounts_max */
    size_t queue_rows_max; /* waiting; past it: overloaded */
    size_t contexts;       /* requests at once */
    policy policy;         /* with a threshold it decides; else evidence, where the reference has
                            * tables for this window */
    const lists *lists;    /* borrowed; NULL: none */
    size_t release_after;  /* clean queries that free a flagged account; 0: none do */
    bool hard_label;       /* poison with labels instead of probabilities */
    poison_kind poison;    /* of the probabilities */
    const unsigned char *secret; /* [POISON_SECRET_BYTES], NULL: random */
    metrics *metrics;            /* borrowed; NULL: nothing is counted */
} service_options;

typedef struct service service;

bool service_open(service **out, const service_options *options, char *error, size_t error_bytes);
void service_close(service *service); /* NULL is allowed; no call may be running */

/* Rows of a request that are in force. */
size_t service_rows_max(const service *service);
/* The longest message that can hold a request of rows_max rows. */
size_t service_message_bytes_max(const service *service);
/* The engine's, as of opening. */
engine_facts service_facts(const service *service);

/* What the service knows of this moment; what the server knows is left. Any thread. */
void service_look(const service *service, metrics_now *now);
/* What hello answers. Any thread. */
wire_hello service_hello(const service *service);
/* Calls `visit` once, between two batches, on whichever thread owns the queue: nothing is at work,
 * and no request goes on until it returns, which it has when this does. Not from such a thread; of
 * several callers one after another. */
typedef void (*service_visitor)(void *context, const snapshot_state *state);
void service_visit(service *service, service_visitor visit, void *context);

/* As server_options want them; host is the service. service_work leaves at once where another
 * thread is at it. */
bool service_begin(void *host, server_call *call, const void *message, size_t bytes);
bool service_work(void *host, size_t rounds);
int service_encode(void *host, server_call *call, nng_msg *reply);

/* From now on new requests are refused with "draining"; those that wait are still carried out. */
void service_end(service *service);

#endif

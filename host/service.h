/*
 * service.h - one model's accounts and engine, and the way of a request through them (design
 * section 3): from a decoded message to what its reply says.
 *
 *     front -> service_put: check -> queue -> service_work: accounts, engine, policy
 *           -> service_encode: poison, reply -> front
 *
 * Threads: all run on the server's, service_end and service_revise anywhere. Accounts and engine
 * belong to one thread at a time, the one that owns the queue: who calls service_work when
 * something waits and nobody is at it carries out all that waits as one batch, answers it, and goes
 * on with what others have put meanwhile. So a service at rest answers without waking another
 * thread, and a busy one batches. A request is touched by one thread at a time; the queue hands it
 * over.
 */
#ifndef ADDER_SERVICE_H
#define ADDER_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admission.h"
#include "lists.h"
#include "metrics.h"
#include "poison.h"
#include "policy.h"
#include "reference.h"
#include "request.h"
#include "snapshot.h"
#include "terms.h"

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
    size_t bytes_max;      /* capacity.h; 0: no limit but accounts_max */
    size_t shared_bytes;   /* of what the process had before; 0: what it has now */
    size_t rows_max;       /* of a request; cut to accounts_max */
    size_t queue_rows_max; /* waiting; past it: overloaded */
    size_t contexts;       /* requests at once */
    policy policy;         /* with a threshold it decides; else evidence, where the reference has
                            * tables for this window */
    const lists *lists;    /* borrowed until service_revise; NULL: none */
    size_t release_after;  /* clean queries that free a flagged account; 0: none do */
    bool hard_label;       /* poison with labels instead of probabilities */
    poison_kind poison;    /* of the probabilities */
    const unsigned char *secret; /* [POISON_SECRET_BYTES], NULL: random */
    metrics *metrics;            /* borrowed; NULL: nothing is counted */
} service_options;

bool service_open(service **out, const service_options *options, char *error, size_t error_bytes);
void service_close(service *service); /* NULL is allowed; no call may be running */

/* What a request must be like. */
const wire_limits *service_limits(const service *service);
/* The longest message that can hold a request of rows_max rows. */
size_t service_message_bytes_max(const service *service);
/* The engine's, as of opening. */
engine_facts service_facts(const service *service);

/* What the service knows of this moment. Any thread. */
void service_look(service *service, metrics_model_now *now);
void service_tell(service *service, wire_model *model);

/* Takes new terms (the policy's decisions_only stays) in two steps, so that those of several models
 * are taken together or not at all. What they borrow is the caller's, and what the old ones
 * borrowed is not used any more once service_revise has returned, which it has between two batches.
 * False: one line in error. */
typedef struct service_revision service_revision;
bool service_prepare(service *service, const terms_options *options, service_revision **out,
                     char *error, size_t error_bytes);
void service_revise(service *service, service_revision *revision); /* which it frees */
void service_drop(service_revision *revision);                     /* NULL is allowed */

/* Calls `visit` once, between two batches, on whichever thread owns the queue: nothing is at work,
 * and no request goes on until it returns, which it has when this does. Not from such a thread. */
typedef void (*service_visitor)(void *context, const snapshot_state *state);
void service_visit(service *service, service_visitor visit, void *context);

/* How full its queue is; of service_put's requests, and for who refuses others. */
const admission *service_admission(const service *service);
/* A request decoded for this model. True: it is to be answered now. */
bool service_put(service *service, request *request);
/* Carries out what waits, in at most so many rounds; true: more waits. Leaves at once where another
 * thread is at it. */
bool service_work(service *service, size_t rounds);
int service_encode(service *service, request *request, nng_msg *reply); /* 0 or an NNG error */

/* From now on new requests are refused with "draining"; those that wait are still carried out. */
void service_end(service *service);

#endif

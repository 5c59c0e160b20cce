/*
 * service_parts.h - what opening a service and the way of a request share; for service*.c only.
 */
#ifndef ADDER_SERVICE_PARTS_H
#define ADDER_SERVICE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include <sodium.h>

#include "accounts.h"
#include "admission.h"
#include "answers.h"
#include "batch.h"
#include "engine.h"
#include "judge.h"
#include "planner.h"
#include "queue.h"
#include "reply.h"
#include "service.h"
#include "terms.h"

/* A batch at work, and the requests that wait for it. */
typedef struct {
    batch *batch;
    request **request; /* [contexts] */
    size_t requests;
    uint64_t submitted_ns;
} flight;

struct service {
    service_options options;
    size_t batch_rows_max; /* of the engine: a row with a group counts twice */
    admission admission;
    wire_limits limits;
    size_t message_bytes_max;
    reply_facts reply;
    unsigned char digest_key[crypto_shorthash_KEYBYTES];
    metrics_model *counted;
    queue *queue;
    engine_facts facts; /* as of opening */
    /* Of the thread that owns the queue. */
    engine *engine;
    engine_reference statistics; /* without tables that are for another window */
    terms terms;
    accounts *accounts;
    judge *judge;
    answers *answers;
    flight flight[SERVICE_FLIGHTS]; /* a ring */
    size_t flight_next;             /* to be filled */
    size_t flights;                 /* at work, those before it */
    size_t in_flight_max;           /* of the engine as it is now */
    request **waiting;              /* [contexts] taken from the queue */
    planner planner;
    pthread_mutex_t visiting; /* held by who wants a visit, and writes these before visit_due */
    service_visitor visit;
    void *visitor;
    atomic_bool visit_due;
    /* For hello and the metrics: written by the owner, read by anyone. */
    atomic_bool degraded; /* the CPU engine has taken over */
    atomic_size_t accounts_held;
    atomic_size_t bytes_held; /* of accounts, in the engine and here, and of records */
    atomic_uint_fast64_t accounts_evicted;
    atomic_uint_fast64_t rows_scored;
    pthread_mutex_t telling;
    terms told; /* as those in force, for any thread: what it points to is the owner's */
};

/* Takes new terms over, in place of those before. Of the owner of the queue. */
void service_adopt(service *service, terms *terms);

#endif

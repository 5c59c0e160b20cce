/*
 * reply.h - from a request that has been carried out to the bytes of its reply, poison included.
 *
 * Where poison is wanted, neither the length of the reply nor the time it takes tells how many rows
 * are poisoned: poison is drawn for every row, that of the others thrown away, and a pad takes the
 * room that it would have had. Where no decision can be poison there is nothing to hide.
 *
 * Threads: any number at once, each with a request and a message of its own.
 */
#ifndef ADDER_REPLY_H
#define ADDER_REPLY_H

#include "poison.h"
#include "request.h"
#include "wire.h"

/* What all replies of a model share; never written while calls run. */
typedef struct {
    const wire_limits *limits;
    poison poison;
    bool hard_label;
    bool has_memory;
} reply_facts;

/* hello is used for WIRE_HELLO alone. 0 or an NNG error. */
int reply_encode(const reply_facts *facts, request *request, const wire_hello *hello,
                 nng_msg *message);

#endif

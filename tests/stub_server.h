/*
 * stub_server.h - the server's part, as server.h has it, for tests of the service alone: the test
 * says when requests come, when they are carried out and when a reply is encoded.
 *
 * Threads: the test's own, which plays NNG's; several, if each has calls of its own. What fails
 * ends the test.
 */
#ifndef ADDER_STUB_SERVER_H
#define ADDER_STUB_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <nng/nng.h>

#include "front.h"
#include "service.h"
#include "wire.h"

enum { STUB_CALLS = 8 };

struct server_call {
    size_t index;
    nng_msg *request;
    atomic_bool waits; /* begun and not given back */
    size_t finished;
    bool excess; /* the test says so */
};

typedef struct {
    service *service;
    front *front;
    server_call call[STUB_CALLS];
} stub_server;

/* Opens the service with STUB_CALLS contexts; what options borrow must outlive stub_server_close.
 */
void stub_server_open(stub_server *s, service_options options);
/* Every call must have been answered. */
void stub_server_close(stub_server *s);

/* Hands a request over as call `index`; what it points to may go afterwards. */
void stub_server_begin(stub_server *s, size_t index, const wire_outgoing *request);
/* The answer of a call that does not wait, to the request it began with. The message, into which
 * reply points, is the caller's; hello may be NULL. */
nng_msg *stub_server_reply(stub_server *s, size_t index, const wire_outgoing *request,
                           wire_hello *hello, wire_reply *reply);
/* Begins as call 0, works if it waits, and replies. */
nng_msg *stub_server_ask(stub_server *s, const wire_outgoing *request, wire_hello *hello,
                         wire_reply *reply);

#endif

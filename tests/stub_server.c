/* stub_server.c - see stub_server.h. */
#include "stub_server.h"

#include <criterion/criterion.h>

size_t server_call_index(const server_call *call) {
    return call->index;
}

bool server_call_excess(const server_call *call) {
    return call->excess;
}

void server_answer(server_call *call) {
    call->finished++;
    atomic_store(&call->waits, false);
}

void server_finish(server_call *call) {
    server_answer(call);
}

void stub_server_open(stub_server *s, service_options options) {
    char error[256];
    *s = (stub_server){0};
    options.contexts = STUB_CALLS;
    cr_assert(service_open(&s->service, &options, error, sizeof error), "%s", error);
    s->front = front_open(&(front_options){
        .contexts = STUB_CALLS, .rows_max = options.rows_max, .metrics = options.metrics});
    cr_assert_not_null(s->front);
    cr_assert(front_serve(s->front, &s->service, 1));
    for (size_t i = 0; i < STUB_CALLS; i++) {
        s->call[i].index = i;
    }
}

void stub_server_close(stub_server *s) {
    for (size_t i = 0; i < STUB_CALLS; i++) {
        cr_assert_not(s->call[i].waits, "call %zu was never answered", i);
        nng_msg_free(s->call[i].request);
    }
    front_close(s->front);
    service_close(s->service);
}

void stub_server_begin(stub_server *s, size_t index, const wire_outgoing *request) {
    server_call *call = &s->call[index];
    cr_assert_not(call->waits);
    nng_msg_free(call->request);
    cr_assert_eq(nng_msg_alloc(&call->request, 0), 0);
    cr_assert_eq(wire_encode_request(call->request, request), 0);
    call->finished = 0;
    call->waits = true;
    bool at_once =
        front_begin(s->front, call, nng_msg_body(call->request), nng_msg_len(call->request));
    if (at_once) {
        call->waits = false;
    }
}

nng_msg *stub_server_reply(stub_server *s, size_t index, const wire_outgoing *request,
                           wire_hello *hello, wire_reply *reply) {
    nng_msg *message;
    cr_assert_not(s->call[index].waits, "call %zu is not answered", index);
    cr_assert_leq(s->call[index].finished, 1);
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(front_encode(s->front, &s->call[index], message), 0);
    cr_assert_eq(wire_decode_reply(reply, hello, request->op, request->rows, nng_msg_body(message),
                                   nng_msg_len(message)),
                 WIRE_OK, "%s", reply->text);
    return message;
}

nng_msg *stub_server_ask(stub_server *s, const wire_outgoing *request, wire_hello *hello,
                         wire_reply *reply) {
    stub_server_begin(s, 0, request);
    if (s->call[0].waits) {
        cr_assert_not(service_work(s->service, SIZE_MAX));
    }
    return stub_server_reply(s, 0, request, hello, reply);
}

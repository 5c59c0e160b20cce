/* daemon_ask.c - see daemon_ask.h. */
#include "daemon_ask.h"

#include <stdlib.h>
#include <string.h>

#include <nng/protocol/reqrep0/req.h>

#include "daemon_fixture.h"

ask_row ask_row_of(const adder_reply *reply, size_t row) {
    return (ask_row){.score = (double)reply->scores[row],
                     .memory_score =
                         reply->memory_scores != NULL ? (double)reply->memory_scores[row] : 0.0,
                     .fill = reply->fill[row],
                     .decision = (adder_decision)reply->decisions[row]};
}

bool ask_row_same(const ask_row *a, const ask_row *b) {
    return a->score == b->score && a->memory_score == b->memory_score && a->fill == b->fill &&
           a->decision == b->decision;
}

/* ---- through the client library ---- */

uint16_t *ask_f16_of(const float *values, size_t count) {
    uint16_t *halves = malloc(count * sizeof *halves);
    cr_assert_not_null(halves);
    for (size_t i = 0; i < count; i++) {
        _Float16 half = (_Float16)values[i];
        memcpy(&halves[i], &half, sizeof half);
    }
    return halves;
}

adder_reply *ask(ask_question q) {
    const char **accounts = malloc(q.count * sizeof *accounts);
    const float *embeddings = q.rows->embeddings + q.first * q.rows->dim;
    uint16_t *halves = NULL;
    adder_reply *reply = NULL;
    adder_error error;
    cr_assert_not_null(accounts);
    for (size_t i = 0; i < q.count; i++) {
        accounts[i] = q.names != NULL ? q.names[i] : q.account;
    }
    if (q.dtype == ADDER_F16) {
        halves = ask_f16_of(embeddings, q.count * q.rows->dim);
    }
    adder_rows rows = {.count = q.count,
                       .dim = q.rows->dim,
                       .accounts = accounts,
                       .classes = q.rows->classes + q.first,
                       .dtype = q.dtype,
                       .embeddings = halves != NULL ? (const void *)halves : embeddings,
                       .want_poison = q.want_poison};
    adder_status status = adder_score(q.client, &rows, &reply, &error);
    cr_assert_eq(status, ADDER_OK, "%s: %s", adder_status_text(status), error.text);
    cr_assert_eq(reply->count, q.count);
    free(halves);
    free(accounts);
    return reply;
}

ask_row ask_last(adder_client *client, const char *account, const fixture_rows *rows, size_t first,
                 size_t count) {
    adder_reply *reply = ask((ask_question){
        .client = client, .account = account, .rows = rows, .first = first, .count = count});
    ask_row last = ask_row_of(reply, count - 1);
    adder_reply_free(reply);
    return last;
}

adder_info ask_info(adder_client *client) {
    adder_info info;
    adder_error error;
    adder_status status = adder_hello(client, &info, &error);
    cr_assert_eq(status, ADDER_OK, "%s", error.text);
    return info;
}

/* ---- by hand ---- */

nng_socket ask_socket(const char *url) {
    nng_socket socket;
    cr_assert(nng_req0_open(&socket) == 0 &&
              nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, DAEMON_TIMEOUT_MS) == 0 &&
              nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, DAEMON_TIMEOUT_MS) == 0);
    int error = nng_dial(socket, url, NULL, 0);
    cr_assert_eq(error, 0, "%s: %s", url, nng_strerror(error));
    return socket;
}

nng_msg *ask_encoded(const wire_outgoing *request) {
    nng_msg *message;
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(wire_encode_request(message, request), 0);
    return message;
}

nng_msg *ask_message(nng_socket socket, nng_msg *message) {
    nng_msg *reply;
    int error = nng_sendmsg(socket, message, 0);
    cr_assert_eq(error, 0, "send: %s", nng_strerror(error));
    error = nng_recvmsg(socket, &reply, 0);
    cr_assert_eq(error, 0, "receive: %s", nng_strerror(error));
    return reply;
}

bool ask_same_bytes(nng_msg *a, nng_msg *b) {
    return nng_msg_len(a) == nng_msg_len(b) &&
           memcmp(nng_msg_body(a), nng_msg_body(b), nng_msg_len(a)) == 0;
}

wire_code ask_code(nng_socket socket, nng_msg *message, char text[WIRE_TEXT_MAX]) {
    nng_msg *reply = ask_message(socket, message);
    wire_reply decoded;
    wire_code understood =
        wire_decode_reply(&decoded, NULL, WIRE_PING, 0, nng_msg_body(reply), nng_msg_len(reply));
    cr_assert_eq(understood, WIRE_OK, "%s", decoded.text);
    cr_assert(strchr(decoded.text, '\n') == NULL);
    cr_assert(decoded.code == WIRE_OK || decoded.text[0] != '\0');
    strcpy(text, decoded.text);
    nng_msg_free(reply);
    return decoded.code;
}

/*
 * daemon_ask.h - rows for a running daemon, through the client library and by hand.
 */
#ifndef ADDER_TESTS_DAEMON_ASK_H
#define ADDER_TESTS_DAEMON_ASK_H

#include <nng/nng.h>

#include "adder.h"
#include "fixture.h"
#include "wire.h"

/* A row's answer. */
typedef struct {
    double score;
    double memory_score;
    uint32_t fill;
    adder_decision decision;
} ask_row;
ask_row ask_row_of(const adder_reply *reply, size_t row);
/* The two are the same to the last bit. */
bool ask_row_same(const ask_row *a, const ask_row *b);

/* One request of rows first .. first + count - 1, which must be answered; the caller frees the
 * reply. names [count] are the rows' accounts. */
typedef struct {
    adder_client *client;
    const char *account;      /* of all rows; or */
    const char *const *names; /* one each */
    const fixture_rows *rows;
    size_t first;
    size_t count;
    adder_dtype dtype; /* rows are rounded to it */
    bool want_poison;
} ask_question;
adder_reply *ask(ask_question question);
/* ... of one account: the answer to its last row. */
ask_row ask_last(adder_client *client, const char *account, const fixture_rows *rows, size_t first,
                 size_t count);
adder_info ask_info(adder_client *client);

/* Rows as 16-bit floats; the caller frees. */
uint16_t *ask_f16_of(const float *values, size_t count);

/* A REQ socket of one's own, for messages that libadder would not send. */
nng_socket ask_socket(const char *url);
nng_msg *ask_encoded(const wire_outgoing *request); /* the caller's */
/* Sends and owns the message; the reply is the caller's. */
nng_msg *ask_message(nng_socket socket, nng_msg *message);
/* Both messages hold the same bytes. */
bool ask_same_bytes(nng_msg *a, nng_msg *b);
/* Sends and decodes: the daemon's code, whose text is one line. Owns the message. */
wire_code ask_code(nng_socket socket, nng_msg *message, char text[WIRE_TEXT_MAX]);

#endif

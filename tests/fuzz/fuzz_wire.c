/*
 * fuzz_wire.c - messages: requests as the daemon takes them, replies as a client does.
 *
 * An input is two bytes and the message. The first byte chooses the decoder, the second the models
 * of a request, or what a reply answers: rows * 5 + op.
 */
#include "fuzz_wire.h"

#include <string.h>

#include "fuzz.h"
#include "wire_claims.h"

enum { SCRATCH_ROWS = 64 };

static const wire_limits limits[FUZZ_WIRE_MODELS] = {
    {.model = "m", .dim = 2, .classes = 4, .rows_max = 8},
    {.model = "n", .dim = 1, .classes = 1, .rows_max = 1},
    {.model = "p", .dim = 3, .classes = 1 << 20, .rows_max = SCRATCH_ROWS},
    {.model = "q", .dim = 130, .classes = 2, .rows_max = 1 << 20}, /* more than the scratch has */
    {.model = "r", .dim = SIZE_MAX / 4, .classes = 2, .rows_max = 8},
};

/* Each model alone, and all of them. */
static wire_served served_by(unsigned choice) {
    size_t which = choice % (FUZZ_WIRE_MODELS + 1);
    return which < FUZZ_WIRE_MODELS ? (wire_served){.models = 1, .model = &limits[which]}
                                    : (wire_served){.models = FUZZ_WIRE_MODELS, .model = limits};
}

static bool take_request(wire_served served, wire_message message) {
    static wire_scratch *scratch;
    wire_request request;
    char text[WIRE_TEXT_MAX];
    if (scratch == NULL) {
        scratch = wire_scratch_open(SCRATCH_ROWS);
        FUZZ_EXPECT(scratch != NULL);
    }
    memset(text, 'x', sizeof text);
    wire_code code =
        wire_decode_request(&request, scratch, served, message.bytes, message.length, text);
    if (code != WIRE_OK) {
        FUZZ_EXPECT(code > WIRE_OK && code < WIRE_CODES);
        fuzz_expect_line(text, sizeof text);
        return false;
    }
    wire_claims_of_request(&request, served, message);
    return true;
}

/* Both a message that was not understood and a refusal say why; a daemon may leave that empty. */
static bool understood(const wire_reply *reply, wire_code code) {
    FUZZ_EXPECT(code == WIRE_OK || code == WIRE_BAD_MESSAGE);
    if (code != WIRE_OK || reply->text[0] != '\0') {
        fuzz_expect_line(reply->text, sizeof reply->text);
    }
    FUZZ_EXPECT(reply->code < WIRE_CODES);
    return code == WIRE_OK;
}

static bool take_reply(unsigned choice, wire_message message) {
    static wire_hello hello;
    wire_op op = (wire_op)(choice % FUZZ_WIRE_OPS);
    size_t rows = op == WIRE_SCORE ? choice / FUZZ_WIRE_OPS : 0;
    wire_reply reply;
    wire_code code = wire_decode_reply(&reply, &hello, op, rows, message.bytes, message.length);
    if (!understood(&reply, code)) {
        return false;
    }
    if (op == WIRE_SCORE && reply.code == WIRE_OK) {
        FUZZ_EXPECT(reply.rows == rows);
        wire_claims_of_scores(&reply, message);
    } else if (op == WIRE_HELLO && reply.code == WIRE_OK) {
        wire_claims_of_hello(&hello);
    }
    return true;
}

static bool take_explanation(wire_message message) {
    static wire_explanation explanation;
    wire_reply reply;
    wire_code code = wire_decode_explanation(&reply, &explanation, message.bytes, message.length);
    if (!understood(&reply, code)) {
        return false;
    }
    if (reply.code == WIRE_OK) {
        wire_claims_of_explanation(&reply, &explanation);
    }
    return true;
}

bool fuzz_take(const unsigned char *bytes, size_t size) {
    if (size < FUZZ_WIRE_HEAD_BYTES) {
        return false;
    }
    wire_message message = {bytes + FUZZ_WIRE_HEAD_BYTES, size - FUZZ_WIRE_HEAD_BYTES};
    switch (bytes[0] % FUZZ_WIRE_KINDS) {
    case FUZZ_WIRE_REQUEST:
        return take_request(served_by(bytes[1]), message);
    case FUZZ_WIRE_REPLY:
        return take_reply(bytes[1], message);
    default:
        return take_explanation(message);
    }
}

/*
 * wire_claims.h - what must hold of a message that a decoder accepted; a claim that fails aborts.
 */
#ifndef ADDER_FUZZ_WIRE_CLAIMS_H
#define ADDER_FUZZ_WIRE_CLAIMS_H

#include "wire.h"

/* The message that was decoded. */
typedef struct {
    const unsigned char *bytes;
    size_t length;
} wire_message;

/* Everything lies inside the message and the limits, and what we would send for it decodes to the
 * same request. */
void wire_claims_of_request(const wire_request *request, wire_served served, wire_message message);
/* Likewise, of scores that were understood. */
void wire_claims_of_scores(const wire_reply *reply, wire_message message);
void wire_claims_of_hello(const wire_hello *hello);
void wire_claims_of_explanation(const wire_reply *reply, const wire_explanation *explanation);

#endif

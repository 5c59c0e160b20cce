/*
 * verdict_bytes.h - what is believed of an account as portable bytes, field by field.
 *
 * Threads: none of their own.
 */
#ifndef ADDER_VERDICT_BYTES_H
#define ADDER_VERDICT_BYTES_H

#include <stdbool.h>

#include "verdict.h"

enum {
    VERDICT_KEPT_BYTES = 4 + 1 + 4 + 2 + 2,
    VERDICT_BYTES = 4 * EVIDENCE_CHANNELS * EVIDENCE_SHARES + 2 * 4 + 4 + 4 + 2 + 5 * 8 +
                    VERDICT_HISTORY * VERDICT_KEPT_BYTES,
    VERDICT_BELIEF_BYTES = 4 * EVIDENCE_CHANNELS * EVIDENCE_SHARES + 2 * 4 + 4 + 2 + 4 * 8,
};

void verdict_encode(const verdict_record *record, unsigned char bytes[VERDICT_BYTES]);
/* False: no account's queries can have come to it. */
bool verdict_decode(verdict_record *record, const unsigned char bytes[VERDICT_BYTES]);

void verdict_encode_belief(const verdict_belief *belief, unsigned char bytes[VERDICT_BELIEF_BYTES]);
bool verdict_decode_belief(verdict_belief *belief, const unsigned char bytes[VERDICT_BELIEF_BYTES]);

#endif

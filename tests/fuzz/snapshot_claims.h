/*
 * snapshot_claims.h - what must hold of a snapshot that was accepted, and of what it restored.
 */
#ifndef ADDER_FUZZ_SNAPSHOT_CLAIMS_H
#define ADDER_FUZZ_SNAPSHOT_CLAIMS_H

#include "snapshot_stage.h"

void expect_facts(const snapshot *from, size_t bytes);
/* Nothing came in. */
void expect_empty(const stage *stage);
/* `restored` accounts did, and who found no place is remembered, as far as there is room. */
void expect_restored(const snapshot *from, const stage *stage, size_t restored);

#endif

/*
 * explain.h - why an account or a group has its verdict: what an operator is told.
 *
 * Threads: one at a time, the owner of the queue.
 */
#ifndef ADDER_EXPLAIN_H
#define ADDER_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "judge.h"
#include "policy.h"
#include "wire.h"

typedef struct {
    engine *engine; /* with nothing at work */
    const engine_reference *statistics;
    const judge *judge;
    const policy *policy;
    size_t window_rows;
    size_t release_after;
} explain_source;

/* Both fill in all but is_group. */

/* Of an account that has lost its place: no window, no history. False: there is no record of it. */
bool explain_absent(const explain_source *source, const accounts_key *key,
                    wire_explanation *explanation);
/* False: no memory, or the engine failed. */
bool explain_slot(const explain_source *source, uint32_t slot, wire_explanation *explanation);

#endif

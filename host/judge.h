/*
 * judge.h - from what the engine says of a batch to what each of its rows is answered.
 *
 * Observations are taken in as their batches come back, which is the order in which they were
 * given: what a slot's account was believed to be is forgotten where the next account's first
 * observation comes, not when the slot was given away.
 *
 * Threads: one at a time.
 */
#ifndef ADDER_JUDGE_H
#define ADDER_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "lists.h"
#include "policy.h"
#include "request.h"
#include "verdict.h"

/* What is judged by; it may change. */
typedef struct {
    policy policy;
    const evidence_rules *rules; /* borrowed; NULL: the policy's threshold decides, if it has one */
    const lists *lists;          /* borrowed; NULL: none */
    size_t release_after;
} judge_terms;

typedef struct {
    judge_terms terms;
    size_t slots_max;
    size_t window_rows;
    size_t observations_max; /* of a batch */
} judge_options;

typedef struct judge judge;
judge *judge_open(const judge_options *options); /* NULL: no memory */
void judge_close(judge *judge);                  /* NULL is allowed */

/* For other terms: judge_prepare makes what they need, on any thread, NULL where there is enough;
 * false: no memory. judge_revise takes it, and judges by these from now on. What is believed of
 * accounts stays, also while no evidence decides. */
bool judge_prepare(const judge *judge, const judge_terms *terms, verdicts **room);
void judge_revise(judge *judge, const judge_terms *terms, verdicts *room);

void judge_observe(judge *judge, const batch *batch);
/* In its place where the engine failed: only who was new to his slot is new there still. */
void judge_skip(judge *judge, const batch *batch);
/* Of a row of the batch observed last. */
answer_row judge_row(const judge *judge, const batch *batch, const request *request, size_t row);
/* Which is the same as of the row before. */
bool judge_row_repeats(const batch *batch, const request *request, size_t row);
void judge_forget(judge *judge, uint32_t slot);
/* What was believed in another run; nothing where there is no evidence. */
void judge_restore(judge *judge, uint32_t slot, const verdict_record *record);

/* What is believed of the account in a slot, lists apart; NULL where there is no evidence. */
const verdict_record *judge_record(const judge *judge, uint32_t slot);
/* Of one channel, or with WIRE_NO_REASON the higher of them; above 1: above a limit. */
double judge_level(const judge *judge, const verdict_record *record, wire_reason channel);

#endif

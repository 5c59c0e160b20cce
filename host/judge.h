/*
 * judge.h - from what the engine says of a batch to what each of its rows is answered.
 *
 * Observations are taken in as their batches come back, which is the order in which they were
 * given: what a slot's account was believed to be becomes its record (records.h) where the next
 * account's batch comes back, not when the slot was given away, and by then it is complete. Who
 * arrives and has a record goes on with it.
 *
 * Threads: one at a time.
 */
#ifndef ADDER_JUDGE_H
#define ADDER_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounts.h"
#include "batch.h"
#include "lists.h"
#include "policy.h"
#include "records.h"
#include "request.h"
#include "verdict.h"

/* Of accounts that have lost their place, for each that can be held. */
enum { JUDGE_RECORDS_PER_SLOT = 4 };

/* What is judged by; it may change. */
typedef struct {
    policy policy;
    const evidence_rules *rules; /* borrowed; NULL: the policy's threshold decides, if it has one */
    const lists *lists;          /* borrowed; NULL: none */
    size_t release_after;
    bool has_tables; /* excesses are more than 0 */
} judge_terms;

typedef struct {
    const char *model; /* borrowed; for the audit lines */
    judge_terms terms;
    accounts *accounts; /* borrowed; is told who is flagged */
    size_t slots_max;
    size_t window_rows;
    size_t observations_max; /* of a batch */
} judge_options;

typedef struct judge judge;
judge *judge_open(const judge_options *options); /* NULL: no memory */
void judge_close(judge *judge);                  /* NULL is allowed */

/* Judges by these from now on. What is believed of accounts stays, also while no evidence decides.
 */
void judge_revise(judge *judge, const judge_terms *terms);

void judge_observe(judge *judge, const batch *batch);
/* In its place where the engine failed: only the arrivals have come. */
void judge_skip(judge *judge, const batch *batch);
/* Of a row of the batch observed last, in the order of the rows; a change of what is believed of
 * its account or group is told in the log. */
answer_row judge_row(const judge *judge, const batch *batch, const request *request, size_t row);
/* Which is the same as of the row before. */
bool judge_row_repeats(const batch *batch, const request *request, size_t row);
void judge_forget(judge *judge, uint32_t slot);
/* Tells in the log that an operator has this account forgotten, before it is; slot: ACCOUNTS_NONE
 * where it has none. */
void judge_tell_forgotten(const judge *judge, uint32_t slot, const accounts_key *key,
                          accounts_name name);
/* Of an account that has no slot; false: there was no record of it. */
bool judge_forget_absent(judge *judge, const accounts_key *key);
/* What was believed in another run, of the account whose slot it is now; it is kept also where no
 * evidence decides, for when it does again. */
void judge_restore(judge *judge, uint32_t slot, const verdict_record *record);
/* ... and of one that has none. */
void judge_restore_absent(judge *judge, const accounts_key *key, const verdict_belief *belief);

/* Of the account in a slot, lists apart: what a table of accounts has room for. Where there is no
 * evidence that is of this run: an account that has sent nothing since is UNDECIDED, all else 0 or
 * NaN. */
typedef struct {
    wire_verdict verdict;
    wire_reason reason;
    uint64_t queries;
    uint64_t flagged_at; /* query of the present flag; 0: none */
    double level;        /* evidence, or the last score, over judge_limit; NaN: no such limit */
    double score;        /* of a window of late, with evidence the last in its history; NaN: none */
    double excess;       /* likewise; NaN: no tables */
} judge_standing;
judge_standing judge_stand(const judge *judge, uint32_t slot);
/* Above which evidence (1), or else a window's score, is malicious; 0: nothing is, or the threshold
 * is not above 0, or scores are but bounds, and so nothing can be said in parts of it. */
double judge_limit(const judge *judge);
bool judge_has_evidence(const judge *judge);

/* What is believed of the account in a slot, lists apart; NULL where there is no evidence. */
const verdict_record *judge_record(const judge *judge, uint32_t slot);
/* Likewise, also while no evidence decides: what is to be saved. */
const verdict_record *judge_kept(const judge *judge, uint32_t slot);
/* The record of an account without a slot, as it would come back; false: none, or no
 * evidence. */
bool judge_absent(const judge *judge, const accounts_key *key, verdict_record *record);
/* All of them. */
const records *judge_records(const judge *judge);
/* Touches all that it has for accounts; pages.h. */
void judge_populate(judge *judge);
/* Beside verdict and records. */
size_t judge_bytes_per_slot(void);
/* Of one channel, or with WIRE_NO_REASON the higher of them; above 1: above a limit. */
double judge_level(const judge *judge, const verdict_record *record, wire_reason channel);

#endif

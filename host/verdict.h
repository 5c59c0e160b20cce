/*
 * verdict.h - what is believed of every account and group, by slot: its evidence, whether it is
 * flagged, since when, and its history.
 *
 * Flagged is who has evidence above a limit. He stays so until release_after of his queries in a
 * row have left his evidence at or below the limits: a thief who pauses with honest queries pays
 * for it.
 *
 * Memory for all slots is taken at once; what no account has used is never touched. Threads: one at
 * a time.
 */
#ifndef ADDER_VERDICT_H
#define ADDER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "evidence.h"
#include "wire.h"

enum {
    VERDICT_RELEASE_DEFAULT = 1000,
    VERDICT_HISTORY = 14, /* entries of a history, at most what an explanation has room for */
};

typedef struct {
    const evidence_rules *rules; /* borrowed; NULL: nothing is observed until verdicts_revise */
    size_t slots_max;
    size_t window_rows;   /* rows between two entries of a history */
    size_t release_after; /* queries; 0: never */
} verdict_options;

/* An entry of a history. Excess and evidence are kept as bfloat16, whose range is that of a float:
 * the excess is the nearest, off by at most 0.4 % of itself, and the evidence is rounded up, by
 * less than 0.8 %, so that what is above 1 stays above 1 and what is not does not get there. */
typedef struct {
    uint64_t query; /* the account's query that it ended with, from 1 */
    float score;
    float excess;
    float evidence;
    wire_verdict verdict;
} verdict_entry;

/* As it is kept. Of the query its last 30 bits; the rest is that of the account's queries, since an
 * entry is among the last 2^30: there is one for every window. */
typedef struct {
    uint32_t query : 30;
    uint32_t verdict : 2;
    float score;
    uint16_t excess, evidence;
} verdict_kept;

typedef struct {
    evidence evidence;
    float memory_score;   /* as of the last observation */
    wire_verdict verdict; /* undecided: as many queries could not have flagged it */
    wire_reason reason;   /* of the present flag */
    uint64_t queries;
    uint64_t first_flagged_at; /* query, from 1; 0: never */
    uint64_t flagged_at;       /* of the present flag; 0: none */
    uint64_t clean_run;        /* queries since its evidence was last above a limit */
    uint64_t entered;          /* entries ever; the last ones are in the ring */

    verdict_kept history[VERDICT_HISTORY]; /* ring */
} verdict_record;

/* What of it outlives its account's place: all but the history, which is about windows that are
 * gone. */
typedef struct {
    evidence evidence;
    uint8_t verdict; /* wire_verdict */
    uint8_t reason;  /* wire_reason */
    uint64_t queries, first_flagged_at, flagged_at, clean_run;
} verdict_belief;
verdict_belief verdict_believed(const verdict_record *record);
/* The same account again, with an empty window. */
verdict_record verdict_resumed(const verdict_belief *belief);

typedef struct verdicts verdicts;
verdicts *verdicts_open(const verdict_options *options); /* NULL: no memory */
void verdicts_close(verdicts *verdicts);                 /* NULL is allowed */

/* From now on by these rules, which are borrowed in place of the old ones. */
void verdicts_revise(verdicts *verdicts, const evidence_rules *rules, size_t release_after);
/* For a new account in the slot. */
void verdicts_forget(verdicts *verdicts, uint32_t slot);
typedef struct {
    double window, memory;
} verdict_scores;
/* Takes an observation in, in the order of the account's queries; the record holds until the slot's
 * next. */
const verdict_record *verdicts_observe(verdicts *verdicts, uint32_t slot,
                                       const evidence_observation *observation,
                                       verdict_scores scores);
/* Puts a record in the slot that was another daemon's. */
void verdicts_restore(verdicts *verdicts, uint32_t slot, const verdict_record *record);
const verdict_record *verdicts_find(const verdicts *verdicts, uint32_t slot);
/* The last entries, the oldest first; how many. */
size_t verdicts_history(const verdict_record *record, verdict_entry entry[VERDICT_HISTORY]);
/* Above 1: above a limit. */
double verdicts_level(const verdicts *verdicts, const verdict_record *record);
void verdicts_populate(verdicts *verdicts); /* touches all of it; pages.h */
size_t verdicts_bytes_each(void);           /* of a slot, its history included */

#endif

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

enum { VERDICT_RELEASE_DEFAULT = 1000 };

typedef struct {
    const evidence_rules *rules; /* borrowed */
    size_t slots_max;
    size_t window_rows;   /* rows between two entries of a history */
    size_t release_after; /* queries; 0: never */
} verdict_options;

/* An entry of a history. */
typedef struct {
    uint64_t query; /* the account's query that it ended with, from 1 */
    float score;
    float excess;
    float evidence;
    uint8_t verdict; /* wire_verdict */
} verdict_entry;

typedef struct {
    evidence evidence;
    wire_verdict verdict; /* undecided: as many queries could not have flagged it */
    wire_reason reason;   /* of the present flag */
    uint64_t queries;
    uint64_t first_flagged_at; /* query, from 1; 0: never */
    uint64_t flagged_at;       /* of the present flag; 0: none */
    uint64_t clean_run;        /* queries since its evidence was last above a limit */
    float memory_score;        /* as of the last observation */
    uint64_t entered;          /* entries ever; the last ones are in the ring */
    uint64_t entered_at;       /* query of the last entry */
    verdict_entry history[WIRE_EXPLAIN_HISTORY_MAX]; /* ring */
} verdict_record;

typedef struct verdicts verdicts;
verdicts *verdicts_open(const verdict_options *options); /* NULL: no memory */
void verdicts_close(verdicts *verdicts);                 /* NULL is allowed */

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
const verdict_record *verdicts_find(const verdicts *verdicts, uint32_t slot);
/* Above 1: above a limit. */
double verdicts_level(const verdicts *verdicts, const verdict_record *record);
size_t verdicts_bytes_each(void); /* of a slot, its history included */

#endif

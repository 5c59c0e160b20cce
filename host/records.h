/*
 * records.h - what is left of accounts that have lost their place: what was believed of them, so
 * that who comes back is judged as the one he was.
 *
 * A record is found by the key of its account (accounts.h), and holds no name. Of a full table the
 * oldest record of those goes that say least: clean ones with little evidence first. The others
 * have a share each, suspect ones a quarter of the places and flagged ones half, so that neither
 * fresh clean names can displace a flagged one, nor those that flood it with hostile queries all
 * others: past its share a kind loses its own oldest. Nothing is allocated after records_open;
 * every function takes a constant number of steps on average. Threads: one at a time.
 */
#ifndef ADDER_RECORDS_H
#define ADDER_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounts.h"
#include "verdict.h"

#define RECORDS_NONE UINT32_MAX

typedef enum {
    RECORDS_SLIGHT = 1, /* clean, with little evidence */
    RECORDS_SUSPECT,    /* with more, or flagged once */
    RECORDS_FLAGGED,
} records_kind;

typedef struct records records;
records *records_open(size_t places); /* 1..UINT32_MAX - 1; NULL: no memory */
void records_close(records *records); /* NULL is allowed */

/* In place of an earlier one of the key. Where only records of more consequent kinds are held,
 * within their shares, it is dropped. */
void records_put(records *records, const accounts_key *key, const verdict_belief *belief,
                 records_kind kind);
/* NULL: none. Valid until the next put. */
const verdict_belief *records_find(const records *records, const accounts_key *key);
bool records_drop(records *records, const accounts_key *key); /* false: there was none */

/* In the order in which they go, the first first: from RECORDS_NONE on, to RECORDS_NONE. */
uint32_t records_next(const records *records, uint32_t at);
const accounts_key *records_key(const records *records, uint32_t at);
const verdict_belief *records_belief(const records *records, uint32_t at);

size_t records_held(const records *records);
size_t records_held_of(const records *records, records_kind kind);
size_t records_places(const records *records);
void records_populate(records *records); /* touches all of it; pages.h */
size_t records_bytes_each(void);

#endif

/*
 * audit.h - a line in the log for every change of what is believed of an account or a group: who,
 * when, from what to what, why, and by which numbers.
 *
 * A change is from not flagged to flagged, and back, lists taken into account; and that it is
 * forgotten. That a clean account is undecided for a while is none, nor is that it comes back from
 * a snapshot as it was. With a threshold, where each window is judged by itself, there is a line
 * whenever a window's verdict is another than that of the one before. What is told is one byte a
 * slot. Threads: one at a time, the owner of the queue.
 */
#ifndef ADDER_AUDIT_H
#define ADDER_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounts.h"
#include "policy.h"

typedef struct audit audit;
audit *audit_open(const char *model, size_t slots_max); /* the name is borrowed; NULL: no memory */
void audit_close(audit *audit);                         /* NULL is allowed */
/* What decides from now on: evidence, or else the policy's threshold, which is copied. Before
 * anything is seen. */
void audit_revise(audit *audit, const policy *policy, bool by_evidence);

/* After an observation, lists taken into account; its group's flag is not. */
typedef struct {
    uint32_t slot;
    accounts_name name;
    wire_verdict verdict;
    wire_reason reason;   /* of a flag, or WIRE_ALLOWED */
    uint64_t query;       /* the account's, with which the observation ended; with evidence */
    double evidence;      /* its limit is 1; with evidence */
    double score, excess; /* NaN: not known, as without benign tables */
} audit_belief;
void audit_see(audit *audit, const audit_belief *belief);

/* An operator has had the slot's account forgotten. evidence and query: as of then, with evidence.
 */
void audit_forgotten(audit *audit, wire_verdict from, accounts_name name, double evidence,
                     uint64_t query);
wire_verdict audit_told(const audit *audit, uint32_t slot); /* seen last */
/* The slot is a new account's. */
void audit_begin(audit *audit, uint32_t slot);
/* The slot's account is known from another run. */
void audit_restore(audit *audit, uint32_t slot, wire_verdict verdict);

size_t audit_bytes_each(void); /* of a slot */

#endif

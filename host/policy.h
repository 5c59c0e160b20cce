/*
 * policy.h - from what is believed of a row's account and group to what is done with the row.
 */
#ifndef ADDER_POLICY_H
#define ADDER_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.h"

typedef struct {
    wire_mode mode;
    wire_action action;
    /* By the window's raw score, where no evidence is to be had or an operator wants it so. */
    bool has_threshold;  /* without one, and without evidence, everything is allowed */
    double threshold;    /* a score above is malicious */
    bool decisions_only; /* with a threshold: scores may be bounds on their side of it (engine.h) */
    size_t fill_min;     /* a window of fewer rows is undecided: fewer rows score higher */
} policy;

/* By the threshold. */
wire_verdict policy_judge(const policy *policy, double score, size_t fill);

typedef struct {
    wire_verdict verdict;
    wire_reason reason;
} policy_belief;
/* What lists say of a name. */
typedef enum { POLICY_UNLISTED, POLICY_ALLOWED, POLICY_DENIED } policy_listing;
/* Who is denied is flagged, he or his group. Else who is allowed is clean, whatever his group; and
 * a group that is allowed has no say. Else a row is as flagged as the worse of account and group.
 */
policy_belief policy_join(policy_belief account, policy_listing account_listing,
                          policy_belief group, policy_listing group_listing);

/* Poison only where something is enforced. */
wire_decision policy_decide(const policy *policy, wire_verdict verdict);

#endif

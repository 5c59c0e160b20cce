/*
 * policy.h - from a window's score to a decision.
 */
#ifndef ADDER_POLICY_H
#define ADDER_POLICY_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { POLICY_ALLOW, POLICY_POISON, POLICY_WARMING } policy_decision; /* as on the wire */

typedef struct {
    bool has_threshold; /* without one everything is allowed */
    double threshold;   /* on the window's score: above is malicious */
    size_t fill_min;    /* a window of fewer rows is warming: fewer rows score higher */
} policy;

policy_decision policy_decide(const policy *policy, double score, size_t fill);

#endif

/*
 * policy.c - see policy.h.
 */
#include "policy.h"

policy_decision policy_decide(const policy *policy, double score, size_t fill) {
    if (!policy->has_threshold) {
        return POLICY_ALLOW;
    }
    if (fill < policy->fill_min) {
        return POLICY_WARMING;
    }
    /* Written so that a score that is no number is not let through. */
    return score <= policy->threshold ? POLICY_ALLOW : POLICY_POISON;
}

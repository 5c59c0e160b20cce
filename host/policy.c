/*
 * policy.c - see policy.h.
 */
#include "policy.h"

wire_verdict policy_judge(const policy *policy, double score, size_t fill) {
    if (!policy->has_threshold) {
        return WIRE_CLEAN;
    }
    if (fill < policy->fill_min) {
        return WIRE_UNDECIDED;
    }
    /* Written so that a score that is no number is not let through. */
    return score <= policy->threshold ? WIRE_CLEAN : WIRE_FLAGGED;
}

policy_belief policy_join(policy_belief account, policy_listing account_listing,
                          policy_belief group, policy_listing group_listing) {
    if (account_listing == POLICY_DENIED || group_listing == POLICY_DENIED) {
        return (policy_belief){WIRE_FLAGGED, WIRE_DENIED};
    }
    if (account_listing == POLICY_ALLOWED) {
        return (policy_belief){WIRE_CLEAN, WIRE_ALLOWED};
    }
    if (account.verdict != WIRE_FLAGGED && group.verdict == WIRE_FLAGGED &&
        group_listing != POLICY_ALLOWED) {
        return (policy_belief){WIRE_FLAGGED, WIRE_BY_GROUP};
    }
    return account;
}

wire_decision policy_decide(const policy *policy, wire_verdict verdict) {
    if (policy->mode != WIRE_ENFORCE || verdict == WIRE_CLEAN) {
        return WIRE_ALLOW;
    }
    if (verdict == WIRE_UNDECIDED) {
        return WIRE_WARMING;
    }
    switch (policy->action) {
    case WIRE_ACT_LABEL_ONLY:
        return WIRE_LABEL_ONLY;
    case WIRE_ACT_FLAG:
        return WIRE_ALLOW;
    default:
        return WIRE_POISON;
    }
}

/*
 * terms.c - see terms.h.
 */
#include "terms.h"

static reply_terms replying(const terms *t) {
    const policy *policy = &t->judge.policy;
    bool has_verdicts = policy->mode != WIRE_OFF &&
                        (t->rules != NULL || policy->has_threshold || t->judge.lists != NULL);
    return (reply_terms){.has_tables = t->tables != NULL,
                         .has_evidence = t->rules != NULL,
                         .has_verdicts = has_verdicts,
                         .may_poison = has_verdicts && policy->mode == WIRE_ENFORCE &&
                                       policy->action == WIRE_ACT_POISON};
}

bool terms_init(terms *t, const terms_options *o, size_t window_rows) {
    const reference_benign *benign = o->benign;
    bool has_tables =
        benign != NULL && benign->evidence.window_rows == window_rows && !o->policy.decisions_only;
    bool by_evidence = has_tables && !o->policy.has_threshold && o->policy.mode != WIRE_OFF;
    *t = (terms){.judge = {.policy = o->policy,
                           .lists = o->lists,
                           .release_after = o->release_after,
                           .has_tables = has_tables},
                 .tables = has_tables ? &benign->window : NULL,
                 .rules = by_evidence ? evidence_open(&benign->evidence) : NULL,
                 .false_alarms = by_evidence ? benign->false_alarms : 0.0};
    t->judge.rules = t->rules;
    t->replying = replying(t);
    return !by_evidence || t->rules != NULL;
}

void terms_fini(terms *t) {
    evidence_close(t->rules);
    t->rules = NULL;
}

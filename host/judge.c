/*
 * judge.c - see judge.h.
 */
#include "judge.h"

#include <stdlib.h>

/* Of one observation. */
typedef struct {
    answer_side side;
    wire_reason reason;
} ruling;

struct judge {
    judge_options options;
    verdicts *verdicts; /* NULL: there never were rules for evidence */
    ruling *ruling;     /* [observations_max] of the batch observed last */
};

static bool by_evidence(const judge *j) {
    return j->options.terms.rules != NULL;
}

static verdicts *open_verdicts(const judge *j, const judge_terms *terms) {
    return verdicts_open(&(verdict_options){.rules = terms->rules,
                                            .slots_max = j->options.slots_max,
                                            .window_rows = j->options.window_rows,
                                            .release_after = terms->release_after});
}

judge *judge_open(const judge_options *options) {
    judge *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return NULL;
    }
    j->options = *options;
    j->ruling = calloc(options->observations_max, sizeof *j->ruling);
    if (by_evidence(j)) {
        j->verdicts = open_verdicts(j, &options->terms);
    }
    if (j->ruling == NULL || (by_evidence(j) && j->verdicts == NULL)) {
        judge_close(j);
        return NULL;
    }
    return j;
}

void judge_close(judge *j) {
    if (j != NULL) {
        verdicts_close(j->verdicts);
        free(j->ruling);
        free(j);
    }
}

bool judge_prepare(const judge *j, const judge_terms *terms, verdicts **room) {
    bool needed = terms->rules != NULL && j->verdicts == NULL;
    *room = needed ? open_verdicts(j, terms) : NULL;
    return !needed || *room != NULL;
}

void judge_revise(judge *j, const judge_terms *terms, verdicts *room) {
    j->verdicts = room != NULL ? room : j->verdicts;
    if (terms->rules != NULL) {
        verdicts_revise(j->verdicts, terms->rules, terms->release_after);
    }
    j->options.terms = *terms;
}

void judge_forget(judge *j, uint32_t slot) {
    if (j->verdicts != NULL) {
        verdicts_forget(j->verdicts, slot);
    }
}

void judge_restore(judge *j, uint32_t slot, const verdict_record *record) {
    if (j->verdicts != NULL) {
        verdicts_restore(j->verdicts, slot, record);
    }
}

static ruling rule_by_evidence(judge *j, const batch_observation *o) {
    const engine_result *result = o->result;
    const verdict_record *record =
        verdicts_observe(j->verdicts, o->slot,
                         &(evidence_observation){.rows = o->rows,
                                                 .classes = o->classes,
                                                 .alignments = o->alignments,
                                                 .excess = result->excess,
                                                 .fill = result->fill,
                                                 .concentration = result->concentration},
                         (verdict_scores){result->score, result->memory_score});
    return (ruling){.side = {.evidence = (float)verdicts_level(j->verdicts, record),
                             .verdict = (uint8_t)record->verdict},
                    .reason = record->reason};
}

static ruling rule_by_threshold(const judge *j, const engine_result *result) {
    const policy *policy = &j->options.terms.policy;
    wire_verdict verdict =
        policy->mode == WIRE_OFF ? WIRE_CLEAN : policy_judge(policy, result->score, result->fill);
    return (ruling){.side = {.verdict = (uint8_t)verdict},
                    .reason = verdict == WIRE_FLAGGED ? WIRE_BY_WINDOW : WIRE_NO_REASON};
}

void judge_observe(judge *j, const batch *batch) {
    for (size_t k = 0; k < batch_observations(batch); k++) {
        batch_observation o = batch_observed(batch, k);
        if (o.fresh) {
            judge_forget(j, o.slot);
        }
        j->ruling[k] = by_evidence(j) ? rule_by_evidence(j, &o) : rule_by_threshold(j, o.result);
        j->ruling[k].side.score = (float)o.result->score;
        j->ruling[k].side.excess = (float)o.result->excess;
    }
}

void judge_skip(judge *j, const batch *batch) {
    for (size_t k = 0; k < batch_observations(batch); k++) {
        batch_observation o = batch_observed(batch, k);
        if (o.fresh) {
            judge_forget(j, o.slot);
        }
    }
}

static policy_listing listing_of(const judge *j, bool group, const wire_text *name) {
    const judge_terms *terms = &j->options.terms;
    if (terms->lists == NULL || terms->policy.mode == WIRE_OFF || name->length == 0) {
        return POLICY_UNLISTED;
    }
    return lists_find(terms->lists, group, name->bytes, name->length);
}

static uint32_t group_observation(const batch *batch, const request *request, size_t row) {
    return request->wire.groups == NULL ? BATCH_NONE
                                        : batch_observation_of(batch, request->groups_first + row);
}

bool judge_row_repeats(const batch *batch, const request *request, size_t row) {
    size_t own = request->first + row;
    return row > 0 && batch_observation_of(batch, own) == batch_observation_of(batch, own - 1) &&
           group_observation(batch, request, row) == group_observation(batch, request, row - 1);
}

answer_row judge_row(const judge *j, const batch *batch, const request *request, size_t row) {
    static const ruling none = {.side = {.verdict = WIRE_CLEAN}};
    static const wire_text no_name = {"", 0};
    const wire_request *wire = &request->wire;
    uint32_t own = batch_observation_of(batch, request->first + row);
    uint32_t grouped = group_observation(batch, request, row);
    const ruling *account = &j->ruling[own];
    const ruling *group = grouped == BATCH_NONE ? &none : &j->ruling[grouped];
    policy_belief belief =
        policy_join((policy_belief){(wire_verdict)account->side.verdict, account->reason},
                    listing_of(j, false, &wire->accounts[row]),
                    (policy_belief){(wire_verdict)group->side.verdict, group->reason},
                    listing_of(j, true, grouped == BATCH_NONE ? &no_name : &wire->groups[row]));
    const engine_result *result = batch_observed(batch, own).result;
    return (answer_row){.account = account->side,
                        .group = group->side,
                        .memory_score = (float)result->memory_score,
                        .fill = result->fill,
                        .decision =
                            (uint8_t)policy_decide(&j->options.terms.policy, belief.verdict),
                        .verdict = (uint8_t)belief.verdict,
                        .reason = (uint8_t)belief.reason};
}

const verdict_record *judge_record(const judge *j, uint32_t slot) {
    return !by_evidence(j) ? NULL : verdicts_find(j->verdicts, slot);
}

double judge_level(const judge *j, const verdict_record *record, wire_reason channel) {
    const evidence_rules *rules = j->options.terms.rules;
    double rows = evidence_level(rules, &record->evidence, EVIDENCE_ROWS);
    double windows = evidence_level(rules, &record->evidence, EVIDENCE_WINDOWS);
    return channel == WIRE_BY_ROWS     ? rows
           : channel == WIRE_BY_WINDOW ? windows
                                       : (rows > windows ? rows : windows);
}

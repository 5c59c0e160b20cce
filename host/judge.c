/*
 * judge.c - see judge.h.
 */
#include "judge.h"

#include <math.h>
#include <stdlib.h>

/* Of one observation. */
typedef struct {
    answer_side side;
    wire_reason reason;
} ruling;

/* Of an account, while no evidence decides: what it scored last. */
typedef struct {
    uint64_t queries;
    float score;
    float excess;
    uint8_t verdict;
    uint8_t reason;
} trace;

struct judge {
    judge_options options;
    verdicts *verdicts; /* NULL: there never were rules for evidence */
    trace *trace;       /* [slots_max], whose pages are not touched where evidence decides */
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
    j->trace = calloc(options->slots_max, sizeof *j->trace);
    if (by_evidence(j)) {
        j->verdicts = open_verdicts(j, &options->terms);
    }
    if (j->ruling == NULL || j->trace == NULL || (by_evidence(j) && j->verdicts == NULL)) {
        judge_close(j);
        return NULL;
    }
    return j;
}

void judge_close(judge *j) {
    if (j != NULL) {
        verdicts_close(j->verdicts);
        free(j->trace);
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
    if (j->trace[slot].queries > 0) {
        j->trace[slot] = (trace){0};
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

static ruling rule_by_threshold(judge *j, const batch_observation *o) {
    const engine_result *result = o->result;
    const policy *policy = &j->options.terms.policy;
    wire_verdict verdict =
        policy->mode == WIRE_OFF ? WIRE_CLEAN : policy_judge(policy, result->score, result->fill);
    wire_reason reason = verdict == WIRE_FLAGGED ? WIRE_BY_WINDOW : WIRE_NO_REASON;
    j->trace[o->slot] = (trace){.queries = j->trace[o->slot].queries + o->rows,
                                .score = (float)result->score,
                                .excess = (float)result->excess,
                                .verdict = (uint8_t)verdict,
                                .reason = (uint8_t)reason};
    return (ruling){.side = {.verdict = (uint8_t)verdict}, .reason = reason};
}

void judge_observe(judge *j, const batch *batch) {
    for (size_t k = 0; k < batch_observations(batch); k++) {
        batch_observation o = batch_observed(batch, k);
        if (o.fresh) {
            judge_forget(j, o.slot);
        }
        j->ruling[k] = by_evidence(j) ? rule_by_evidence(j, &o) : rule_by_threshold(j, &o);
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

double judge_limit(const judge *j) {
    const policy *policy = &j->options.terms.policy;
    bool measured = policy->has_threshold && policy->threshold > 0.0 && !policy->decisions_only;
    return by_evidence(j) ? 1.0 : measured ? policy->threshold : 0.0;
}

bool judge_has_evidence(const judge *j) {
    return by_evidence(j);
}

static judge_standing stand_by_evidence(const judge *j, const verdict_record *record) {
    verdict_entry entry[VERDICT_HISTORY];
    size_t entries = verdicts_history(record, entry);
    return (judge_standing){
        .verdict = record->verdict,
        .reason = record->reason,
        .queries = record->queries,
        .flagged_at = record->flagged_at,
        .level = verdicts_level(j->verdicts, record),
        .score = entries > 0 ? (double)entry[entries - 1].score : (double)NAN,
        .excess = entries > 0 ? (double)entry[entries - 1].excess : (double)NAN,
    };
}

judge_standing judge_stand(const judge *j, uint32_t slot) {
    if (by_evidence(j)) {
        return stand_by_evidence(j, verdicts_find(j->verdicts, slot));
    }
    const trace *t = &j->trace[slot];
    bool seen = t->queries > 0;
    double limit = judge_limit(j);
    return (judge_standing){
        .verdict = seen ? (wire_verdict)t->verdict : WIRE_UNDECIDED,
        .reason = (wire_reason)t->reason,
        .queries = t->queries,
        .level = seen && limit > 0.0 ? (double)t->score / limit : (double)NAN,
        .score = seen ? (double)t->score : (double)NAN,
        .excess = seen && j->options.terms.has_tables ? (double)t->excess : (double)NAN,
    };
}

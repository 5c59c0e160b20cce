/*
 * judge.c - see judge.h.
 */
#include "judge.h"

#include <stdlib.h>

#include "pages.h"

/* A record of so much of the evidence that flags is worth more than one of less. */
static const double level_suspect = 0.25;

/* Of one observation. */
typedef struct {
    answer_side side;
    wire_reason reason;
} ruling;

struct judge {
    judge_options options;
    verdicts *verdicts; /* NULL: there never were rules for evidence */
    records *records;
    accounts_key *key; /* [slots_max] of whom the verdict in a slot is */
    ruling *ruling;    /* [observations_max] of the batch observed last */
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
    j->key = calloc(options->slots_max, sizeof *j->key);
    j->records = records_open(JUDGE_RECORDS_PER_SLOT * options->slots_max);
    if (by_evidence(j)) {
        j->verdicts = open_verdicts(j, &options->terms);
    }
    if (j->ruling == NULL || j->key == NULL || j->records == NULL ||
        (by_evidence(j) && j->verdicts == NULL)) {
        judge_close(j);
        return NULL;
    }
    return j;
}

void judge_close(judge *j) {
    if (j != NULL) {
        verdicts_close(j->verdicts);
        records_close(j->records);
        free(j->key);
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

bool judge_forget_absent(judge *j, const accounts_key *key) {
    return records_drop(j->records, key);
}

/* ---- who comes and who goes ---- */

static void tell_flagged(judge *j, uint32_t slot, wire_verdict verdict) {
    accounts_flag(j->options.accounts, slot, &j->key[slot], verdict == WIRE_FLAGGED);
}

static records_kind kind_of(const judge *j, const verdict_record *record) {
    bool suspect = record->first_flagged_at > 0 ||
                   (by_evidence(j) && judge_level(j, record, WIRE_NO_REASON) >= level_suspect);
    return record->verdict == WIRE_FLAGGED ? RECORDS_FLAGGED
           : suspect                       ? RECORDS_SUSPECT
                                           : RECORDS_SLIGHT;
}

static void leave(judge *j, uint32_t slot) {
    const verdict_record *record = verdicts_find(j->verdicts, slot);
    if (record->queries > 0) {
        verdict_belief belief = verdict_believed(record);
        records_put(j->records, &j->key[slot], &belief, kind_of(j, record));
        verdicts_forget(j->verdicts, slot);
    }
}

static void come(judge *j, uint32_t slot) {
    const verdict_belief *belief = records_find(j->records, &j->key[slot]);
    if (belief != NULL) {
        verdict_record record = verdict_resumed(belief);
        verdicts_restore(j->verdicts, slot, &record);
        records_drop(j->records, &j->key[slot]);
        tell_flagged(j, slot, record.verdict);
    }
}

/* All of them before the batch's first observation: nobody in it loses his place to another in it,
 * so that what is believed of those who go is complete. */
static void hand_over(judge *j, const batch *batch) {
    for (size_t i = 0; i < batch_arrivals(batch); i++) {
        const batch_arrival *arrival = batch_arrived(batch, i);
        if (j->verdicts != NULL) {
            leave(j, arrival->slot);
        }
        j->key[arrival->slot] = arrival->key;
        if (j->verdicts != NULL) {
            come(j, arrival->slot);
        }
    }
}

void judge_restore(judge *j, uint32_t slot, const verdict_record *record) {
    j->key[slot] = accounts_key_at(j->options.accounts, slot);
    if (j->verdicts != NULL) {
        verdicts_restore(j->verdicts, slot, record);
        tell_flagged(j, slot, record->verdict);
    }
}

void judge_restore_absent(judge *j, const accounts_key *key, const verdict_belief *belief) {
    if (j->verdicts != NULL) {
        verdict_record record = verdict_resumed(belief);
        records_put(j->records, key, belief, kind_of(j, &record));
    }
}

/* ---- verdicts ---- */

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
    hand_over(j, batch);
    for (size_t k = 0; k < batch_observations(batch); k++) {
        batch_observation o = batch_observed(batch, k);
        j->ruling[k] = by_evidence(j) ? rule_by_evidence(j, &o) : rule_by_threshold(j, o.result);
        j->ruling[k].side.score = (float)o.result->score;
        j->ruling[k].side.excess = (float)o.result->excess;
        tell_flagged(j, o.slot, (wire_verdict)j->ruling[k].side.verdict);
    }
}

void judge_skip(judge *j, const batch *batch) {
    hand_over(j, batch);
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

bool judge_absent(const judge *j, const accounts_key *key, verdict_record *record) {
    const verdict_belief *belief = !by_evidence(j) ? NULL : records_find(j->records, key);
    if (belief != NULL) {
        *record = verdict_resumed(belief);
    }
    return belief != NULL;
}

const records *judge_records(const judge *j) {
    return j->records;
}

void judge_populate(judge *j) {
    pages_populate(j->key, j->options.slots_max * sizeof *j->key);
    records_populate(j->records);
    if (j->verdicts != NULL) {
        verdicts_populate(j->verdicts);
    }
}

size_t judge_bytes_per_slot(void) {
    return sizeof(accounts_key);
}

double judge_level(const judge *j, const verdict_record *record, wire_reason channel) {
    const evidence_rules *rules = j->options.terms.rules;
    double rows = evidence_level(rules, &record->evidence, EVIDENCE_ROWS);
    double windows = evidence_level(rules, &record->evidence, EVIDENCE_WINDOWS);
    return channel == WIRE_BY_ROWS     ? rows
           : channel == WIRE_BY_WINDOW ? windows
                                       : (rows > windows ? rows : windows);
}

/*
 * judge.c - see judge.h.
 */
#include "judge.h"

#include <math.h>
#include <stdlib.h>

#include "audit.h"
#include "pages.h"

/* A record of so much of the evidence that flags is worth more than one of less. */
static const double level_suspect = 0.25;

/* Of one observation. */
typedef struct {
    answer_side side;
    wire_reason reason;
    uint64_t query; /* of the account's, the one that it ended with; with evidence */
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
    verdicts *verdicts; /* without rules for evidence they stay as they are */
    audit *audit;
    records *records;
    accounts_key *key; /* [slots_max] of whom the verdict in a slot is */
    trace *trace;      /* [slots_max], whose pages are not touched where evidence decides */
    ruling *ruling;    /* [observations_max] of the batch observed last */
};

static bool by_evidence(const judge *j) {
    return j->options.terms.rules != NULL;
}

judge *judge_open(const judge_options *options) {
    judge *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return NULL;
    }
    j->options = *options;
    j->ruling = calloc(options->observations_max, sizeof *j->ruling);
    j->key = calloc(options->slots_max, sizeof *j->key);
    j->trace = calloc(options->slots_max, sizeof *j->trace);
    j->records = records_open(JUDGE_RECORDS_PER_SLOT * options->slots_max);
    j->verdicts = verdicts_open(&(verdict_options){.rules = options->terms.rules,
                                                   .slots_max = options->slots_max,
                                                   .window_rows = options->window_rows,
                                                   .release_after = options->terms.release_after});
    j->audit = audit_open(options->model, options->slots_max);
    if (j->ruling == NULL || j->key == NULL || j->trace == NULL || j->records == NULL ||
        j->audit == NULL || j->verdicts == NULL) {
        judge_close(j);
        return NULL;
    }
    audit_revise(j->audit, &options->terms.policy, by_evidence(j));
    return j;
}

void judge_close(judge *j) {
    if (j != NULL) {
        audit_close(j->audit);
        verdicts_close(j->verdicts);
        records_close(j->records);
        free(j->key);
        free(j->trace);
        free(j->ruling);
        free(j);
    }
}

void judge_revise(judge *j, const judge_terms *terms) {
    if (terms->rules != NULL) {
        verdicts_revise(j->verdicts, terms->rules, terms->release_after);
    }
    j->options.terms = *terms;
    audit_revise(j->audit, &terms->policy, by_evidence(j));
}

static void forget_trace(judge *j, uint32_t slot) {
    if (j->trace[slot].queries > 0) {
        j->trace[slot] = (trace){0};
    }
}

void judge_forget(judge *j, uint32_t slot) {
    verdicts_forget(j->verdicts, slot);
    forget_trace(j, slot);
    audit_begin(j->audit, slot);
}

void judge_tell_forgotten(const judge *j, uint32_t slot, const accounts_key *key,
                          accounts_name name) {
    const verdict_belief *belief = records_find(j->records, key);
    verdict_record resumed;
    const verdict_record *record = NULL;
    if (slot != ACCOUNTS_NONE) {
        record = judge_record(j, slot);
    } else if (belief != NULL) {
        resumed = verdict_resumed(belief);
        record = by_evidence(j) ? &resumed : NULL;
    } else {
        return; /* nobody knows it */
    }
    audit_forgotten(j->audit,
                    slot != ACCOUNTS_NONE ? audit_told(j->audit, slot)
                                          : (wire_verdict)belief->verdict,
                    name, record == NULL ? 0.0 : judge_level(j, record, WIRE_NO_REASON),
                    record == NULL ? 0 : record->queries);
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

static void take_place(judge *j, uint32_t slot, const accounts_key *key) {
    forget_trace(j, slot);
    j->key[slot] = *key;
    audit_begin(j->audit, slot);
}

/* Who comes takes his record before who goes leaves one, which might displace it. */
static void exchange(judge *j, uint32_t slot, const accounts_key *key) {
    const verdict_belief *belief = records_find(j->records, key);
    bool known = belief != NULL;
    verdict_record record = known ? verdict_resumed(belief) : (verdict_record){0};
    records_drop(j->records, key);
    leave(j, slot);
    take_place(j, slot, key);
    if (known) {
        verdicts_restore(j->verdicts, slot, &record);
        audit_restore(j->audit, slot, record.verdict);
        tell_flagged(j, slot, record.verdict);
    }
}

/* All of them before the batch's first observation: nobody in it loses his place to another in it,
 * so that what is believed of those who go is complete. */
static void hand_over(judge *j, const batch *batch) {
    for (size_t i = 0; i < batch_arrivals(batch); i++) {
        const batch_arrival *arrival = batch_arrived(batch, i);
        exchange(j, arrival->slot, &arrival->key);
    }
}

void judge_restore(judge *j, uint32_t slot, const verdict_record *record) {
    j->key[slot] = accounts_key_at(j->options.accounts, slot);
    verdicts_restore(j->verdicts, slot, record);
    audit_restore(j->audit, slot, record->verdict);
    tell_flagged(j, slot, record->verdict);
}

void judge_restore_absent(judge *j, const accounts_key *key, const verdict_belief *belief) {
    verdict_record record = verdict_resumed(belief);
    records_put(j->records, key, belief, kind_of(j, &record));
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
                    .reason = record->reason,
                    .query = record->queries};
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
    hand_over(j, batch);
    for (size_t k = 0; k < batch_observations(batch); k++) {
        batch_observation o = batch_observed(batch, k);
        j->ruling[k] = by_evidence(j) ? rule_by_evidence(j, &o) : rule_by_threshold(j, &o);
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

/* Of an account or a group by itself. */
static void tell(const judge *j, const batch *batch, uint32_t observation, accounts_name name,
                 policy_listing listing) {
    static const policy_belief nobody = {.verdict = WIRE_CLEAN};
    const ruling *r = &j->ruling[observation];
    policy_belief own = policy_join((policy_belief){(wire_verdict)r->side.verdict, r->reason},
                                    listing, nobody, POLICY_UNLISTED);
    audit_see(j->audit,
              &(audit_belief){.slot = batch_observed(batch, observation).slot,
                              .name = name,
                              .verdict = own.verdict,
                              .reason = own.reason,
                              .query = r->query,
                              .evidence = (double)r->side.evidence,
                              .score = (double)r->side.score,
                              .excess = j->options.terms.has_tables ? (double)r->side.excess
                                                                    : (double)NAN});
}

answer_row judge_row(const judge *j, const batch *batch, const request *request, size_t row) {
    static const ruling none = {.side = {.verdict = WIRE_CLEAN}};
    static const wire_text no_name = {"", 0};
    uint32_t own = batch_observation_of(batch, request->first + row);
    uint32_t grouped = group_observation(batch, request, row);
    const wire_text *name = &request->wire.accounts[row];
    const wire_text *group_name = grouped == BATCH_NONE ? &no_name : &request->wire.groups[row];
    const ruling *account = &j->ruling[own];
    const ruling *group = grouped == BATCH_NONE ? &none : &j->ruling[grouped];
    policy_listing listing = listing_of(j, false, name);
    policy_listing group_listing = listing_of(j, true, group_name);
    tell(j, batch, own, (accounts_name){name->bytes, name->length, false}, listing);
    if (grouped != BATCH_NONE) {
        tell(j, batch, grouped, (accounts_name){group_name->bytes, group_name->length, true},
             group_listing);
    }
    policy_belief belief = policy_join(
        (policy_belief){(wire_verdict)account->side.verdict, account->reason}, listing,
        (policy_belief){(wire_verdict)group->side.verdict, group->reason}, group_listing);
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

const verdict_record *judge_kept(const judge *j, uint32_t slot) {
    const verdict_record *record = verdicts_find(j->verdicts, slot);
    return by_evidence(j) || record->queries > 0 ? record : NULL;
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
    pages_populate(j->trace, j->options.slots_max * sizeof *j->trace);
    records_populate(j->records);
    verdicts_populate(j->verdicts);
}

size_t judge_bytes_per_slot(void) {
    return sizeof(accounts_key) + sizeof(trace) + audit_bytes_each();
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

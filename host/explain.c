/*
 * explain.c - see explain.h. The only place off the way of scores: it may allocate.
 */
#include "explain.h"

#include <math.h>
#include <stdlib.h>

/* The slot's window and memory, for free(). */
static void *export_slot(engine *engine, uint32_t slot, size_t *used) {
    if (engine_export(engine, slot, NULL, 0, used) != ENGINE_OK) {
        return NULL;
    }
    void *bytes = malloc(*used + 1);
    if (bytes != NULL && engine_export(engine, slot, bytes, *used, used) != ENGINE_OK) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

static void add_class(const engine_class *found, size_t fill, wire_explanation *e) {
    e->by_class[e->classes++] =
        (wire_explained_class){.class_id = found->class_index,
                               .n = found->n,
                               .contribution = (double)found->n / (double)fill * found->d2,
                               .d2 = found->d2,
                               .mean_part = found->mean_part,
                               .covariance_part = found->covariance_part,
                               .benign_mean = found->benign_mean,
                               .benign_sd = found->benign_deviation,
                               .excess = found->excess};
}

static bool explain_window(const explain_source *source, uint32_t slot, wire_explanation *e) {
    size_t used;
    size_t count = 0;
    engine_class found[WIRE_EXPLAIN_CLASSES_MAX];
    engine_result total = {0};
    void *bytes = export_slot(source->engine, slot, &used);
    bool fine =
        bytes != NULL && engine_read_window(source->statistics, bytes, used, found,
                                            WIRE_EXPLAIN_CLASSES_MAX, &count, &total) == ENGINE_OK;
    for (size_t i = 0; fine && i < count; i++) {
        add_class(&found[i], total.fill, e);
    }
    free(bytes);
    e->fill = total.fill;
    e->score = total.score;
    e->excess = source->statistics->benign == NULL ? (double)NAN : total.excess;
    return fine;
}

static void add_history(const verdict_record *record, wire_explanation *e) {
    verdict_entry entry[VERDICT_HISTORY];
    e->windows = verdicts_history(record, entry);
    for (size_t i = 0; i < e->windows; i++) {
        e->history[i] = (wire_explained_window){.query = entry[i].query,
                                                .score = (double)entry[i].score,
                                                .excess = (double)entry[i].excess,
                                                .evidence = (double)entry[i].evidence,
                                                .verdict = (uint8_t)entry[i].verdict};
    }
}

static void explain_record(const judge *judge, const verdict_record *record, wire_explanation *e) {
    e->queries = record->queries;
    e->verdict = record->verdict;
    e->reason = record->reason;
    e->first_flagged_at = record->first_flagged_at;
    e->flagged_at = record->flagged_at;
    e->clean_run = record->clean_run;
    e->evidence = judge_level(judge, record, WIRE_NO_REASON);
    e->evidence_rows = judge_level(judge, record, WIRE_BY_ROWS);
    e->evidence_window = judge_level(judge, record, WIRE_BY_WINDOW);
    e->threshold = 1.0;
    e->memory_score = (double)record->memory_score;
    add_history(record, e);
}

static wire_explanation nothing_known(const explain_source *source) {
    return (wire_explanation){.window = source->window_rows,
                              .release_after = source->release_after,
                              .score = (double)NAN,
                              .excess = (double)NAN,
                              .memory_score = (double)NAN,
                              .memory_excess = (double)NAN,
                              .evidence = (double)NAN,
                              .evidence_rows = (double)NAN,
                              .evidence_window = (double)NAN,
                              .evidence_memory = (double)NAN,
                              .threshold = (double)NAN,
                              .window_threshold = source->policy->has_threshold
                                                      ? source->policy->threshold
                                                      : (double)NAN};
}

bool explain_absent(const explain_source *source, const accounts_key *key, wire_explanation *e) {
    verdict_record record;
    if (!judge_absent(source->judge, key, &record)) {
        return false;
    }
    *e = nothing_known(source);
    explain_record(source->judge, &record, e);
    e->memory_score = (double)NAN;
    return true;
}

bool explain_slot(const explain_source *source, uint32_t slot, wire_explanation *e) {
    const verdict_record *record = judge_record(source->judge, slot);
    *e = nothing_known(source);
    if (!explain_window(source, slot, e)) {
        return false;
    }
    if (record != NULL) {
        explain_record(source->judge, record, e);
    } else {
        e->verdict = policy_judge(source->policy, e->score, e->fill);
        e->reason = e->verdict == WIRE_FLAGGED ? WIRE_BY_WINDOW : WIRE_NO_REASON;
    }
    return true;
}

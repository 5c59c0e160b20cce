/*
 * verdict.c - see verdict.h.
 */
#include "verdict.h"

#include <stdlib.h>

struct verdicts {
    verdict_options options;
    size_t rows_min; /* that can flag an account */
    verdict_record *record;
};

verdicts *verdicts_open(const verdict_options *options) {
    verdicts *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return NULL;
    }
    v->options = *options;
    v->rows_min = evidence_rows_min(options->rules);
    v->record = calloc(options->slots_max, sizeof *v->record);
    if (v->record == NULL) {
        verdicts_close(v);
        return NULL;
    }
    return v;
}

void verdicts_close(verdicts *v) {
    if (v != NULL) {
        free(v->record);
        free(v);
    }
}

void verdicts_forget(verdicts *v, uint32_t slot) {
    v->record[slot] = (verdict_record){0};
}

static void flag(verdict_record *r, bool by_rows) {
    r->reason = by_rows ? WIRE_BY_ROWS : WIRE_BY_WINDOW;
    r->verdict = WIRE_FLAGGED;
    r->flagged_at = r->queries;
    r->first_flagged_at = r->first_flagged_at == 0 ? r->queries : r->first_flagged_at;
}

static void judge(const verdicts *v, verdict_record *r, size_t rows) {
    double by_rows = evidence_level(v->options.rules, &r->evidence, EVIDENCE_ROWS);
    double by_windows = evidence_level(v->options.rules, &r->evidence, EVIDENCE_WINDOWS);
    bool above = by_rows > 1.0 || by_windows > 1.0;
    size_t release = v->options.release_after;
    r->clean_run = above ? 0 : r->clean_run + rows;
    if (above && r->verdict != WIRE_FLAGGED) {
        flag(r, by_rows >= by_windows);
    } else if (r->verdict != WIRE_FLAGGED || (release > 0 && r->clean_run >= release)) {
        r->verdict = r->queries < v->rows_min ? WIRE_UNDECIDED : WIRE_CLEAN;
        r->reason = WIRE_NO_REASON;
        r->flagged_at = 0;
    }
}

const verdict_record *verdicts_observe(verdicts *v, uint32_t slot,
                                       const evidence_observation *observation,
                                       verdict_scores scores) {
    verdict_record *r = &v->record[slot];
    wire_verdict before = r->verdict;
    evidence_observe(v->options.rules, &r->evidence, observation);
    r->queries += observation->rows;
    r->memory_score = (float)scores.memory;
    judge(v, r, observation->rows);
    if (r->queries - r->entered_at >= v->options.window_rows || r->verdict != before) {
        r->history[r->entered++ % WIRE_EXPLAIN_HISTORY_MAX] =
            (verdict_entry){.query = r->queries,
                            .score = (float)scores.window,
                            .excess = (float)observation->excess,
                            .evidence = (float)verdicts_level(v, r),
                            .verdict = (uint8_t)r->verdict};
        r->entered_at = r->queries;
    }
    return r;
}

const verdict_record *verdicts_find(const verdicts *v, uint32_t slot) {
    return &v->record[slot];
}

double verdicts_level(const verdicts *v, const verdict_record *record) {
    double rows = evidence_level(v->options.rules, &record->evidence, EVIDENCE_ROWS);
    double windows = evidence_level(v->options.rules, &record->evidence, EVIDENCE_WINDOWS);
    return rows > windows ? rows : windows;
}

size_t verdicts_bytes_each(void) {
    return sizeof(verdict_record);
}

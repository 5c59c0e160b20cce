/*
 * verdict.c - see verdict.h.
 */
#include "verdict.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

static_assert((int)VERDICT_HISTORY <= (int)WIRE_EXPLAIN_HISTORY_MAX, "an explanation has room");
static_assert(sizeof(verdict_kept) == 12, "of every window of every account");

enum { QUERY_BITS = 30, BFLOAT16_NAN = 0x7fc0 };
#define QUERY_MASK (((uint64_t)1 << QUERY_BITS) - 1)

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
    v->rows_min = options->rules != NULL ? evidence_rows_min(options->rules) : 0;
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

void verdicts_revise(verdicts *v, const evidence_rules *rules, size_t release_after) {
    v->options.rules = rules;
    v->options.release_after = release_after;
    v->rows_min = evidence_rows_min(rules);
}

void verdicts_forget(verdicts *v, uint32_t slot) {
    v->record[slot] = (verdict_record){0};
}

verdict_belief verdict_believed(const verdict_record *r) {
    return (verdict_belief){.evidence = r->evidence,
                            .verdict = (uint8_t)r->verdict,
                            .reason = (uint8_t)r->reason,
                            .queries = r->queries,
                            .first_flagged_at = r->first_flagged_at,
                            .flagged_at = r->flagged_at,
                            .clean_run = r->clean_run};
}

/* A window is judged when W rows have come since the one before: W rows of the new window, or one
 * that is not full would be compared with honest ones that are. */
verdict_record verdict_resumed(const verdict_belief *b) {
    verdict_record r = {.evidence = b->evidence,
                        .verdict = (wire_verdict)b->verdict,
                        .reason = (wire_reason)b->reason,
                        .queries = b->queries,
                        .first_flagged_at = b->first_flagged_at,
                        .flagged_at = b->flagged_at,
                        .clean_run = b->clean_run};
    r.evidence.rows_since_window = 0;
    return r;
}

/* ---- the history ---- */

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The nearest bfloat16, of two the even one. */
static uint16_t nearest(float value) {
    uint32_t bits = bits_of(value);
    return isnan(value) ? BFLOAT16_NAN : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* The least bfloat16 that is not below a value of at least 0. */
static uint16_t upward(float value) {
    return isnan(value) ? BFLOAT16_NAN : (uint16_t)((bits_of(value) + 0xffff) >> 16);
}

static float widened(uint16_t brain) {
    uint32_t bits = (uint32_t)brain << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static verdict_kept *last_kept(verdict_record *r) {
    return &r->history[(r->entered - 1) % VERDICT_HISTORY];
}

static uint64_t query_of(const verdict_record *r, const verdict_kept *kept) {
    return r->queries - ((r->queries - kept->query) & QUERY_MASK);
}

static uint64_t queries_since_entry(verdict_record *r) {
    return r->entered == 0 ? r->queries : r->queries - query_of(r, last_kept(r));
}

static void enter(verdict_record *r, const verdict_entry *entry) {
    r->entered++;
    *last_kept(r) = (verdict_kept){.query = entry->query & QUERY_MASK,
                                   .verdict = (uint32_t)entry->verdict & 3u,
                                   .score = entry->score,
                                   .excess = nearest(entry->excess),
                                   .evidence = upward(entry->evidence)};
}

size_t verdicts_history(const verdict_record *r, verdict_entry entry[VERDICT_HISTORY]) {
    size_t held = r->entered < VERDICT_HISTORY ? (size_t)r->entered : VERDICT_HISTORY;
    for (size_t i = 0; i < held; i++) {
        const verdict_kept *kept = &r->history[(r->entered - held + i) % VERDICT_HISTORY];
        entry[i] = (verdict_entry){.query = query_of(r, kept),
                                   .score = kept->score,
                                   .excess = widened(kept->excess),
                                   .evidence = widened(kept->evidence),
                                   .verdict = (wire_verdict)kept->verdict};
    }
    return held;
}

/* ---- the verdict ---- */

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
    if (queries_since_entry(r) >= v->options.window_rows || r->verdict != before) {
        enter(r, &(verdict_entry){.query = r->queries,
                                  .score = (float)scores.window,
                                  .excess = (float)observation->excess,
                                  .evidence = (float)verdicts_level(v, r),
                                  .verdict = r->verdict});
    }
    return r;
}

void verdicts_restore(verdicts *v, uint32_t slot, const verdict_record *record) {
    v->record[slot] = *record;
}

const verdict_record *verdicts_find(const verdicts *v, uint32_t slot) {
    return &v->record[slot];
}

double verdicts_level(const verdicts *v, const verdict_record *record) {
    double rows = evidence_level(v->options.rules, &record->evidence, EVIDENCE_ROWS);
    double windows = evidence_level(v->options.rules, &record->evidence, EVIDENCE_WINDOWS);
    return rows > windows ? rows : windows;
}

void verdicts_populate(verdicts *v) {
    pages_populate(v->record, v->options.slots_max * sizeof *v->record);
}

size_t verdicts_bytes_each(void) {
    return sizeof(verdict_record);
}

/*
 * verdict_bytes.c - see verdict_bytes.h.
 */
#include "verdict_bytes.h"

#include <math.h>

#include "bytes.h"

enum { QUERY_BITS = 30 };
#define QUERY_MASK (((uint64_t)1 << QUERY_BITS) - 1)

static unsigned char *put_evidence(unsigned char *at, const evidence *e) {
    for (size_t i = 0; i < EVIDENCE_CHANNELS; i++) {
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            at = bytes_put_f32(at, e->sum[i][k]);
        }
    }
    at = bytes_put_f32(at, e->pairs);
    at = bytes_put_f32(at, e->same_pairs);
    return bytes_put(at, e->rows_since_window, 4);
}

static evidence get_evidence(bytes_reader *in) {
    evidence e;
    for (size_t i = 0; i < EVIDENCE_CHANNELS; i++) {
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            e.sum[i][k] = bytes_get_f32(in);
        }
    }
    e.pairs = bytes_get_f32(in);
    e.same_pairs = bytes_get_f32(in);
    e.rows_since_window = (uint32_t)bytes_get(in, 4);
    return e;
}

void verdict_encode(const verdict_record *r, unsigned char bytes[VERDICT_BYTES]) {
    unsigned char *at = put_evidence(bytes, &r->evidence);
    at = bytes_put_f32(at, r->memory_score);
    at = bytes_put(at, r->verdict, 1);
    at = bytes_put(at, r->reason, 1);
    at = bytes_put(at, r->queries, 8);
    at = bytes_put(at, r->first_flagged_at, 8);
    at = bytes_put(at, r->flagged_at, 8);
    at = bytes_put(at, r->clean_run, 8);
    at = bytes_put(at, r->entered, 8);
    for (size_t i = 0; i < VERDICT_HISTORY; i++) {
        const verdict_kept *kept = &r->history[i];
        at = bytes_put(at, kept->query, 4);
        at = bytes_put(at, kept->verdict, 1);
        at = bytes_put_f32(at, kept->score);
        at = bytes_put(at, kept->excess, 2);
        at = bytes_put(at, kept->evidence, 2);
    }
}

static bool evidence_possible(const evidence *e) {
    for (size_t i = 0; i < EVIDENCE_CHANNELS; i++) {
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            if (!isfinite(e->sum[i][k]) || e->sum[i][k] < 0.0f) {
                return false;
            }
        }
    }
    return isfinite(e->pairs) && e->pairs >= 0.0f && isfinite(e->same_pairs) &&
           e->same_pairs >= 0.0f;
}

/* A history's queries are among those there were. */
static bool entry_possible(const verdict_record *r, uint64_t query, uint64_t verdict) {
    return verdict <= WIRE_UNDECIDED && query <= QUERY_MASK &&
           ((r->queries - query) & QUERY_MASK) < r->queries;
}

static bool counts_possible(const verdict_record *r) {
    bool flagged = r->verdict == WIRE_FLAGGED;
    return r->queries <= UINT64_MAX / 2 && r->flagged_at <= r->queries &&
           r->first_flagged_at <= r->queries && r->clean_run <= r->queries &&
           r->entered <= r->queries && flagged == (r->flagged_at > 0) &&
           (!flagged || r->first_flagged_at > 0) &&
           (flagged ? r->reason == WIRE_BY_ROWS || r->reason == WIRE_BY_WINDOW
                    : r->reason == WIRE_NO_REASON);
}

bool verdict_decode(verdict_record *r, const unsigned char bytes[VERDICT_BYTES]) {
    bytes_reader in = {.at = bytes, .left = VERDICT_BYTES, .ok = true};
    bool possible = true;
    *r = (verdict_record){0};
    r->evidence = get_evidence(&in);
    r->memory_score = bytes_get_f32(&in);
    uint64_t verdict = bytes_get(&in, 1);
    r->verdict = (wire_verdict)verdict;
    r->reason = (wire_reason)bytes_get(&in, 1);
    r->queries = bytes_get(&in, 8);
    r->first_flagged_at = bytes_get(&in, 8);
    r->flagged_at = bytes_get(&in, 8);
    r->clean_run = bytes_get(&in, 8);
    r->entered = bytes_get(&in, 8);
    for (size_t i = 0; i < VERDICT_HISTORY; i++) {
        uint64_t query = bytes_get(&in, 4);
        uint64_t of_entry = bytes_get(&in, 1);
        possible = possible && (i >= r->entered || entry_possible(r, query, of_entry));
        r->history[i].query = query & QUERY_MASK;
        r->history[i].verdict = (uint32_t)of_entry & 3u;
        r->history[i].score = bytes_get_f32(&in);
        r->history[i].excess = (uint16_t)bytes_get(&in, 2);
        r->history[i].evidence = (uint16_t)bytes_get(&in, 2);
    }
    return possible && verdict <= WIRE_UNDECIDED && evidence_possible(&r->evidence) &&
           counts_possible(r);
}

void verdict_encode_belief(const verdict_belief *b, unsigned char bytes[VERDICT_BELIEF_BYTES]) {
    unsigned char *at = put_evidence(bytes, &b->evidence);
    at = bytes_put(at, b->verdict, 1);
    at = bytes_put(at, b->reason, 1);
    at = bytes_put(at, b->queries, 8);
    at = bytes_put(at, b->first_flagged_at, 8);
    at = bytes_put(at, b->flagged_at, 8);
    bytes_put(at, b->clean_run, 8);
}

bool verdict_decode_belief(verdict_belief *b, const unsigned char bytes[VERDICT_BELIEF_BYTES]) {
    bytes_reader in = {.at = bytes, .left = VERDICT_BELIEF_BYTES, .ok = true};
    *b = (verdict_belief){.evidence = get_evidence(&in)};
    b->verdict = (uint8_t)bytes_get(&in, 1);
    b->reason = (uint8_t)bytes_get(&in, 1);
    b->queries = bytes_get(&in, 8);
    b->first_flagged_at = bytes_get(&in, 8);
    b->flagged_at = bytes_get(&in, 8);
    b->clean_run = bytes_get(&in, 8);
    verdict_record record = verdict_resumed(b);
    return b->verdict <= WIRE_UNDECIDED && b->queries > 0 && evidence_possible(&record.evidence) &&
           counts_possible(&record);
}

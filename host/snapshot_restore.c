/*
 * snapshot_restore.c - a checked file into a daemon that has just started.
 *
 * Only the engine can say whether what it exported is whole. So every account goes into a slot and
 * out of it again first; when all could, they are put where they belong.
 */
#include <inttypes.h>
#include <stdio.h>

#include "records.h"
#include "snapshot_parts.h"

snapshot_identity snapshot_identity_of(const reference *reference, size_t window_rows,
                                       size_t memory_rank, double half_life_rows) {
    const engine_reference *r = &reference->statistics;
    snapshot_identity identity = {.dim = r->dim,
                                  .classes = r->classes,
                                  .rank = r->rank,
                                  .window_rows = window_rows,
                                  .memory_rank = memory_rank,
                                  .half_life_rows = memory_rank > 0 ? half_life_rows : 0.0};
    crypto_generichash_state hash;
    snprintf(identity.model, sizeof identity.model, "%s", reference->model);
    crypto_generichash_init(&hash, NULL, 0, SNAPSHOT_HASH_BYTES);
    crypto_generichash_update(&hash, (const unsigned char *)r->mean,
                              r->classes * r->dim * sizeof *r->mean);
    crypto_generichash_update(&hash, (const unsigned char *)r->factor,
                              r->classes * r->dim * r->rank * sizeof *r->factor);
    crypto_generichash_update(&hash, (const unsigned char *)r->trace,
                              r->classes * sizeof *r->trace);
    crypto_generichash_final(&hash, identity.reference, sizeof identity.reference);
    return identity;
}

/* What differs, as one line; false when something does. */
static bool same_identity(const snapshot *s, const snapshot_identity *ours, char *error,
                          size_t error_bytes) {
    const snapshot_identity *its = &s->facts.identity;
    const struct {
        const char *what;
        uint64_t ours, its;
    } number[] = {{"dim", ours->dim, its->dim},
                  {"classes", ours->classes, its->classes},
                  {"rank", ours->rank, its->rank},
                  {"window", ours->window_rows, its->window_rows},
                  {"memory rank", ours->memory_rank, its->memory_rank}};
    if (strcmp(ours->model, its->model) != 0) {
        snprintf(error, error_bytes, "%s: expected a snapshot of model %s, came one of %s", s->path,
                 ours->model, its->model);
        return false;
    }
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        if (number[i].ours != number[i].its) {
            snprintf(error, error_bytes,
                     "%s: expected a snapshot of %s %" PRIu64 ", came one of %" PRIu64, s->path,
                     number[i].what, number[i].ours, number[i].its);
            return false;
        }
    }
    if (ours->half_life_rows < its->half_life_rows || ours->half_life_rows > its->half_life_rows) {
        snprintf(error, error_bytes, "%s: expected a snapshot of half-life %g, came one of %g",
                 s->path, ours->half_life_rows, its->half_life_rows);
        return false;
    }
    if (memcmp(ours->reference, its->reference, sizeof ours->reference) != 0) {
        snprintf(error, error_bytes,
                 "%s: expected a snapshot of this reference, came one of another, whose mean, "
                 "factor or trace differ",
                 s->path);
        return false;
    }
    return true;
}

static bool try_accounts(const snapshot *s, const snapshot_state *state, char *error,
                         size_t error_bytes) {
    bytes_reader r = s->accounts;
    for (uint64_t i = 0; i < s->facts.accounts; i++) {
        snapshot_account a;
        snapshot_read_account(&r, &a);
        engine_status status = engine_import(state->engine, 0, a.exported, a.exported_bytes);
        engine_forget(state->engine, 0);
        if (status != ENGINE_OK) {
            snprintf(error, error_bytes,
                     "%s: account %" PRIu64 " of %" PRIu64
                     " has no window and memory of this shape",
                     s->path, i + 1, s->facts.accounts);
            return false;
        }
    }
    return true;
}

static void empty_accounts(const snapshot_state *state) {
    uint32_t slot;
    while ((slot = accounts_next(state->accounts, ACCOUNTS_NONE)) != ACCOUNTS_NONE) {
        engine_forget(state->engine, slot);
        judge_forget(state->judge, slot);
        accounts_remove(state->accounts, accounts_name_of(state->accounts, slot));
    }
}

/* The oldest are the first to be dropped again where there is room for fewer. */
static void put_records(const snapshot *s, const snapshot_state *state) {
    bytes_reader r = s->records;
    for (uint64_t i = 0; i < s->facts.records; i++) {
        snapshot_record record;
        snapshot_read_record(&r, &record);
        judge_restore_absent(state->judge, &record.key, &record.belief);
    }
}

/* The first so many accounts. */
static void put_as_records(const snapshot *s, const snapshot_state *state, uint64_t count) {
    bytes_reader r = s->accounts;
    for (uint64_t i = 0; i < count; i++) {
        snapshot_account a;
        snapshot_read_account(&r, &a);
        if (a.has_verdict && a.verdict.queries > 0) {
            accounts_key key = accounts_key_of(state->accounts, a.name);
            verdict_belief belief = verdict_believed(&a.verdict);
            judge_restore_absent(state->judge, &key, &belief);
        }
    }
}

/* All but the first `skipped`. False: their memories need more room than there is. */
static bool put_accounts(const snapshot *s, const snapshot_state *state, uint64_t skipped) {
    bytes_reader r = s->accounts;
    for (uint64_t i = 0; i < s->facts.accounts; i++) {
        snapshot_account a;
        bool fresh;
        snapshot_read_account(&r, &a);
        if (i < skipped) {
            continue;
        }
        uint32_t slot = accounts_touch(state->accounts, a.name, &fresh);
        if (engine_import(state->engine, slot, a.exported, a.exported_bytes) != ENGINE_OK) {
            return false;
        }
        judge_restore(state->judge, slot, &a.verdict); /* zero where it had none, but for whose */
    }
    return true;
}

/* A daemon with room for fewer accounts has a smaller pool for their memories too, which may be
 * full sooner than the places are: then an eighth more of those used least recently goes. */
static size_t put_last_to_go(const snapshot *s, const snapshot_state *state) {
    uint64_t all = s->facts.accounts;
    uint64_t skipped = all > state->accounts_max ? all - state->accounts_max : 0;
    while (!put_accounts(s, state, skipped)) {
        empty_accounts(state);
        skipped += (all - skipped) / 8 + 1;
    }
    put_as_records(s, state, skipped);
    return (size_t)(all - skipped);
}

static void put_answers(const snapshot *s, const snapshot_state *state) {
    bytes_reader r = s->answers;
    answers_clear(state->answers);
    for (uint64_t i = 0; i < s->facts.answers; i++) {
        snapshot_answer a;
        snapshot_read_answer(&r, &a);
        answer *put = a.rows > answers_rows_max(state->answers)
                          ? NULL
                          : answers_put(state->answers, a.key, a.digest, a.rows);
        for (size_t k = 0; k < a.rows; k++) {
            answer_row row;
            snapshot_read_row(&r, &row);
            if (put != NULL) {
                put->row[k] = row;
            }
        }
        if (put != NULL) {
            put->degraded = a.degraded;
            put->pending = false;
        }
    }
}

/* By which records are found. */
static void put_secret(const snapshot *s, const snapshot_state *state) {
    if (s->facts.version > 1) {
        accounts_set_secret(state->accounts, s->facts.accounts_secret);
    }
}

bool snapshot_restore(const snapshot *s, const snapshot_identity *identity,
                      const snapshot_state *state, size_t *restored, char *error,
                      size_t error_bytes) {
    *restored = 0;
    if (!same_identity(s, identity, error, error_bytes) ||
        !try_accounts(s, state, error, error_bytes)) {
        return false;
    }
    put_secret(s, state);
    put_records(s, state);
    *restored = put_last_to_go(s, state);
    put_answers(s, state);
    memcpy(state->digest_key, s->facts.digest_key, crypto_shorthash_KEYBYTES);
    return true;
}

bool snapshot_inherit(const snapshot *s, const snapshot_identity *identity,
                      const snapshot_state *state, size_t *believed) {
    *believed = 0;
    if (strcmp(s->facts.identity.model, identity->model) != 0) {
        return false;
    }
    put_secret(s, state);
    put_records(s, state);
    put_as_records(s, state, s->facts.accounts);
    *believed = records_held(judge_records(state->judge));
    return true;
}

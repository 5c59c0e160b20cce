/*
 * test_snapshot.c - the file of a daemon's state: what goes in comes out bit for bit. What else is
 * refused is in test_snapshot_hostile.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "batch.h"
#include "snapshot_fixture.h"
#include "snapshot_parts.h"

/* ---- there and back ---- */

static void same_slot(const stage *a, uint32_t of_a, const stage *b, uint32_t of_b) {
    static unsigned char left[4096], right[4096];
    size_t left_bytes, right_bytes;
    cr_assert_eq(engine_export(a->engine, of_a, left, sizeof left, &left_bytes), ENGINE_OK);
    cr_assert_eq(engine_export(b->engine, of_b, right, sizeof right, &right_bytes), ENGINE_OK);
    cr_assert_eq(left_bytes, right_bytes);
    cr_assert_eq(memcmp(left, right, left_bytes), 0);
    verdict_encode(judge_record(a->judge, of_a), left);
    verdict_encode(judge_record(b->judge, of_b), right);
    cr_assert_eq(memcmp(left, right, VERDICT_BYTES), 0);
}

static bool same_side(const answer_side *a, const answer_side *b) {
    return memcmp(&a->score, &b->score, sizeof(float)) == 0 &&
           memcmp(&a->excess, &b->excess, sizeof(float)) == 0 &&
           memcmp(&a->evidence, &b->evidence, sizeof(float)) == 0 && a->verdict == b->verdict;
}

/* Bit for bit, but for what the compiler puts between members. */
static bool same_row(const answer_row *a, const answer_row *b) {
    return same_side(&a->account, &b->account) && same_side(&a->group, &b->group) &&
           memcmp(&a->memory_score, &b->memory_score, sizeof(float)) == 0 && a->fill == b->fill &&
           a->decision == b->decision && a->verdict == b->verdict && a->reason == b->reason;
}

static void same_answers(const stage *a, const stage *b) {
    uint64_t left_place = 0, right_place = 0;
    for (const answer *left; (left = answers_next(a->answers, &left_place)) != NULL;) {
        const answer *right = answers_next(b->answers, &right_place);
        cr_assert_not_null(right);
        cr_assert(left->key.client == right->key.client && left->key.seq == right->key.seq &&
                  left->digest == right->digest && left->rows == right->rows &&
                  left->degraded == right->degraded);
        for (size_t i = 0; i < left->rows; i++) {
            cr_assert(same_row(&left->row[i], &right->row[i]));
        }
        cr_assert_not_null(answers_find(b->answers, left->key));
    }
    cr_assert_null(answers_next(b->answers, &right_place));
}

/* Of both the same records, in the same order; how many. */
static size_t same_records(const stage *a, const stage *b) {
    const records *left = judge_records(a->judge), *right = judge_records(b->judge);
    uint32_t of_a = records_next(left, RECORDS_NONE), of_b = records_next(right, RECORDS_NONE);
    for (; of_a != RECORDS_NONE;
         of_a = records_next(left, of_a), of_b = records_next(right, of_b)) {
        unsigned char one[VERDICT_BELIEF_BYTES], other[VERDICT_BELIEF_BYTES];
        cr_assert_neq(of_b, RECORDS_NONE);
        verdict_encode_belief(records_belief(left, of_a), one);
        verdict_encode_belief(records_belief(right, of_b), other);
        cr_assert_eq(memcmp(one, other, sizeof one), 0);
        cr_assert_eq(memcmp(records_key(left, of_a), records_key(right, of_b), ACCOUNTS_KEY_BYTES),
                     0);
    }
    cr_assert_eq(of_b, RECORDS_NONE);
    return records_held(left);
}

static bool same_name(accounts_name a, accounts_name b) {
    return a.length == b.length && a.is_group == b.is_group &&
           memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* b has the last accounts of a, and nothing else; how many. */
static size_t same_accounts(const stage *a, const stage *b) {
    size_t held = accounts_held(b->accounts);
    uint32_t left = accounts_next(a->accounts, ACCOUNTS_NONE);
    for (size_t i = held; i < accounts_held(a->accounts); i++) {
        left = accounts_next(a->accounts, left);
    }
    uint32_t right = accounts_next(b->accounts, ACCOUNTS_NONE);
    for (size_t i = 0; i < held; i++) {
        cr_assert(
            same_name(accounts_name_of(a->accounts, left), accounts_name_of(b->accounts, right)),
            "account %zu in the order of use", i);
        same_slot(a, left, b, right);
        left = accounts_next(a->accounts, left);
        right = accounts_next(b->accounts, right);
    }
    return held;
}

Test(snapshot, what_was_saved_comes_back_bit_for_bit_and_goes_on_alike) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored;
    stage_open(&a);
    stage_live(&a, PLACES + 6, 400); /* some were evicted, so slots are in no order */
    stage_save(&a);
    b = a;
    stage_open_parts(&b, PLACES);
    memset(b.key, 0, sizeof b.key);
    cr_assert(stage_load(&b, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, PLACES);
    cr_assert_eq(same_accounts(&a, &b), PLACES);
    same_answers(&a, &b);
    cr_assert_geq(same_records(&a, &b), PLACES + 6);
    cr_assert_eq(memcmp(a.key, b.key, sizeof a.key), 0);
    /* ... and further rows find them alike. */
    b.random = a.random;
    for (size_t i = 0; i < 200; i++) {
        stage_row(&a, i % (PLACES + 3));
        stage_row(&b, i % (PLACES + 3));
    }
    cr_assert_eq(same_accounts(&a, &b), PLACES);
    stage_close_parts(&b);
    stage_close(&a);
}

Test(snapshot, a_state_with_nothing_in_it_is_one_too) {
    stage s;
    char error[ERROR_BYTES] = "";
    size_t restored = 1;
    stage_open(&s);
    stage_save(&s);
    cr_assert(stage_load(&s, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, 0);
    stage_close(&s);
}

Test(snapshot, with_fewer_places_the_most_recently_used_accounts_come_back) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored;
    stage_open(&a);
    stage_live(&a, PLACES, 300);
    stage_save(&a);
    b = a;
    stage_open_parts(&b, 10);
    cr_assert(stage_load(&b, 10, &restored, error), "%s", error);
    cr_assert_eq(restored, 10);
    cr_assert_eq(same_accounts(&a, &b), 10);
    stage_close_parts(&b);
    stage_close(&a);
}

Test(snapshot, what_was_at_the_name_is_kept_and_others_may_not_read_it) {
    stage s;
    char older[PATH_BYTES + 2];
    char error[ERROR_BYTES] = "";
    struct stat status;
    snapshot *from;
    stage_open(&s);
    stage_save(&s);
    stage_live(&s, 3, 5);
    stage_save(&s);
    snprintf(older, sizeof older, "%s.1", s.path);
    cr_assert(snapshot_open(&from, older, error, sizeof error), "%s", error);
    cr_assert_eq(snapshot_describe(from).accounts, 0);
    snapshot_close(from);
    cr_assert(snapshot_open(&from, s.path, error, sizeof error), "%s", error);
    snapshot_facts facts = snapshot_describe(from);
    cr_assert(facts.accounts == 3 && facts.groups == 1 && facts.flagged == 1);
    cr_assert(facts.records == 3 && facts.records_flagged == 1 && facts.version == 2);
    cr_assert(facts.answers == 5 && facts.answered_rows == 15);
    snapshot_close(from);
    cr_assert(stat(s.path, &status) == 0 && (status.st_mode & 0777) == 0600);
    stage_close(&s);
}

/* Who has no room among the accounts is a record, the last to have gone. */
Test(snapshot, with_fewer_places_the_others_come_back_as_records) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored;
    stage_open(&a);
    stage_live(&a, PLACES + 6, 400);
    stage_save(&a);
    b = a;
    stage_open_parts(&b, 10);
    cr_assert(stage_load(&b, 10, &restored, error), "%s", error);
    cr_assert_eq(restored, 10);
    cr_assert_eq(accounts_held(a.accounts), PLACES);
    uint32_t slot = ACCOUNTS_NONE;
    for (size_t i = 0; i < PLACES - 10; i++) {
        verdict_record found;
        slot = accounts_next(a.accounts, slot);
        accounts_key key = accounts_key_of(b.accounts, accounts_name_of(a.accounts, slot));
        cr_assert(judge_absent(b.judge, &key, &found), "account %zu", i);
        cr_assert_eq(found.queries, judge_record(a.judge, slot)->queries);
        cr_assert_eq(found.verdict, judge_record(a.judge, slot)->verdict);
    }
    stage_close_parts(&b);
    stage_close(&a);
}

/* A retrained model: records of who had a place and of who had lost it, and nothing else. */
Test(snapshot, another_reference_takes_over_what_was_believed) {
    enum { GONE = 3 };
    stage a, b;
    char error[ERROR_BYTES] = "", text[32];
    uint64_t place = 0;
    size_t restored, believed;
    stage_open(&a);
    stage_live(&a, PLACES, 400);
    for (size_t i = 0; i < GONE; i++) {
        verdict_belief belief = verdict_believed(judge_record(a.judge, (uint32_t)i));
        accounts_key key = accounts_key_of(a.accounts, stage_name(900 + i, text));
        judge_restore_absent(a.judge, &key, &belief);
    }
    stage_save(&a);
    b = a;
    stage_open_parts(&b, PLACES);
    b.identity.reference[0] ^= 1;
    cr_assert_not(stage_load(&b, PLACES, &restored, error));
    cr_assert(strstr(error, "expected a snapshot of this reference"), "%s", error);
    snprintf(b.identity.model, sizeof b.identity.model, "other");
    cr_assert_not(stage_inherit(&b, PLACES, &believed), "of another model");
    cr_assert_eq(records_held(judge_records(b.judge)), 0);
    snprintf(b.identity.model, sizeof b.identity.model, "%s", a.identity.model);
    cr_assert(stage_inherit(&b, PLACES, &believed));
    cr_assert_eq(believed, accounts_held(a.accounts) + records_held(judge_records(a.judge)));
    cr_assert_eq(believed, records_held(judge_records(b.judge)));
    cr_assert_eq(accounts_held(b.accounts), 0);
    cr_assert_null(answers_next(b.answers, &place));
    for (uint32_t slot = accounts_next(a.accounts, ACCOUNTS_NONE); slot != ACCOUNTS_NONE;
         slot = accounts_next(a.accounts, slot)) {
        verdict_record found;
        accounts_key key = accounts_key_of(b.accounts, accounts_name_of(a.accounts, slot));
        cr_assert(judge_absent(b.judge, &key, &found));
        cr_assert_eq(found.queries, judge_record(a.judge, slot)->queries);
        cr_assert_eq(found.verdict, judge_record(a.judge, slot)->verdict);
    }
    for (size_t i = 0; i < GONE; i++) {
        verdict_record found;
        accounts_key key = accounts_key_of(b.accounts, stage_name(900 + i, text));
        cr_assert(judge_absent(b.judge, &key, &found), "record %zu, by the file's secret", i);
        cr_assert_eq(found.queries, judge_record(a.judge, (uint32_t)i)->queries);
    }
    stage_close_parts(&b);
    stage_close(&a);
}

/* What a daemon of the version before has left: the head lacks the secret and the count. */
Test(snapshot, a_file_of_version_1_is_read_and_has_no_records) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored, bytes;
    stage_open(&a);
    stage_live(&a, 5, 60);
    stage_save(&a);
    unsigned char *whole = (unsigned char *)child_read(a.path, &bytes);
    size_t accounts = 8 + 4 + 8 + 1 + strlen("toy") + 5 * 8 + 8 + SNAPSHOT_HASH_BYTES +
                      crypto_shorthash_KEYBYTES + 16 + ACCOUNTS_SECRET_BYTES + 8;
    snapshot *from;
    cr_assert(snapshot_open(&from, a.path, error, sizeof error), "%s", error);
    size_t records_at = accounts + (size_t)(from->records.at - from->accounts.at);
    size_t records = (size_t)(from->answers.at - from->records.at);
    snapshot_close(from);
    cr_assert_gt(records, 0);
    memmove(whole + records_at, whole + records_at + records, bytes - records_at - records);
    bytes -= records;
    size_t left_out = ACCOUNTS_SECRET_BYTES + 8;
    memmove(whole + accounts - left_out, whole + accounts, bytes - accounts);
    bytes -= left_out;
    whole[8] = 1;
    stage_write_sealed(&a, whole, bytes);
    b = a;
    stage_open_parts(&b, PLACES);
    cr_assert(stage_load(&b, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, 5);
    cr_assert_eq(same_accounts(&a, &b), 5);
    cr_assert_eq(records_held(judge_records(b.judge)), 0);
    same_answers(&a, &b);
    stage_close_parts(&b);
    free(whole);
    stage_close(&a);
}

/* A judge that reaches no verdict by evidence: by a threshold, or in mode off. */
static void open_without_evidence(stage *s) {
    stage_open_parts(s, PLACES);
    judge_close(s->judge);
    s->judge = judge_open(&(judge_options){.accounts = s->accounts,
                                           .slots_max = PLACES,
                                           .window_rows = WINDOW,
                                           .observations_max = BATCH});
    cr_assert_not_null(s->judge);
}

/* A daemon that was started in mode off for a while has saved what it did not look at. */
Test(snapshot, what_is_believed_outlives_a_daemon_that_decides_without_evidence) {
    stage a, off, b;
    char error[ERROR_BYTES] = "";
    size_t restored;
    stage_open(&a);
    stage_live(&a, PLACES + 6, 400);
    stage_save(&a);
    off = b = a;
    open_without_evidence(&off);
    cr_assert(stage_load(&off, PLACES, &restored, error), "%s", error);
    cr_assert_null(judge_record(off.judge, 0), "evidence decides nothing here");
    stage_save(&off);
    stage_open_parts(&b, PLACES);
    cr_assert(stage_load(&b, PLACES, &restored, error), "%s", error);
    cr_assert_eq(same_accounts(&a, &b), PLACES);
    cr_assert_geq(same_records(&a, &b), PLACES);
    stage_close_parts(&b);
    stage_close_parts(&off);
    stage_close(&a);
}

/* A row of the account in the slot, which the engine says nothing of. */
static void ask(stage *s, uint32_t slot, batch *batch) {
    static const uint32_t class_index;
    static const float x[DIM];
    batch_clear(batch);
    batch_put(batch, &(batch_key){&(wire_request){.rows = 1,
                                                  .classes = (const unsigned char *)&class_index,
                                                  .dtype = WIRE_F32,
                                                  .embeddings = (const unsigned char *)x},
                                  DIM, &slot});
    judge_observe(s->judge, batch);
}

/* A daemon without rules for evidence saved it, one with them goes on. */
Test(snapshot, an_account_without_a_verdict_is_remembered_as_itself_when_it_loses_its_place) {
    stage s;
    char error[ERROR_BYTES] = "", text[32];
    size_t restored;
    bool fresh;
    stage_open(&s);
    stage_close_parts(&s);
    open_without_evidence(&s);
    accounts_touch(s.accounts, stage_name(0, text), &fresh);
    stage_save(&s);
    stage_close_parts(&s);
    stage_open_parts(&s, PLACES);
    cr_assert(stage_load(&s, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, 1);
    batch *batch = batch_open(&(batch_options){
        .rows_max = BATCH, .places_max = BATCH, .slots_max = PLACES, .window_rows = WINDOW});
    cr_assert_not_null(batch);
    accounts_key key = accounts_key_of(s.accounts, stage_name(0, text));
    uint32_t slot = accounts_find(s.accounts, stage_name(0, text));
    ask(&s, slot, batch);
    batch_clear(batch);
    batch_arrive(batch, slot, accounts_key_of(s.accounts, stage_name(1, text)));
    judge_skip(s.judge, batch);
    verdict_record found;
    cr_assert(judge_absent(s.judge, &key, &found));
    cr_assert_eq(found.queries, 1);
    batch_close(batch);
    stage_close(&s);
}

/*
 * test_judge.c - who comes to a slot, and who loses it to him, in the order in which it counts.
 */
#include <criterion/criterion.h>

#include "judge.h"

enum { ROWS = 4, WINDOW = 4 };

/* One slot, and so JUDGE_RECORDS_PER_SLOT records. */
typedef struct {
    evidence_rules *rules;
    accounts *accounts;
    judge *judge;
    batch *batch;
} stage;

static evidence_rules *some_rules(void) {
    static const size_t first[] = {0, 2};
    static const float value[] = {-1, 1};
    evidence_options options = {.classes = 1,
                                .kinds = 1,
                                .alignment = {1, first, value},
                                .window_rows = WINDOW,
                                .rows_per_class = 2,
                                .tolerance_deviations = 1,
                                .window_limit = 1};
    for (size_t i = 0; i < EVIDENCE_SHARES; i++) {
        options.limit[EVIDENCE_ROWS][i] = options.limit[EVIDENCE_WINDOWS][i] = 1.0;
    }
    return evidence_open(&options);
}

static void stage_open(stage *s) {
    s->rules = some_rules();
    s->accounts = accounts_open(1);
    s->judge = judge_open(&(judge_options){.terms = {.rules = s->rules},
                                           .accounts = s->accounts,
                                           .slots_max = 1,
                                           .window_rows = WINDOW,
                                           .observations_max = ROWS});
    s->batch = batch_open(&(batch_options){
        .rows_max = ROWS, .places_max = ROWS, .slots_max = 1, .window_rows = WINDOW});
    cr_assert(s->rules && s->accounts && s->judge && s->batch);
}

static void stage_close(stage *s) {
    batch_close(s->batch);
    judge_close(s->judge);
    accounts_close(s->accounts);
    evidence_close(s->rules);
}

static accounts_name name_of(const char *text) {
    return (accounts_name){text, strlen(text), false};
}

/* The account takes the slot, in a batch of its own. */
static uint32_t arrive(stage *s, const char *text) {
    bool fresh;
    accounts_begin(s->accounts);
    uint32_t slot = accounts_touch(s->accounts, name_of(text), &fresh);
    batch_clear(s->batch);
    if (fresh) {
        batch_arrive(s->batch, slot, accounts_key_at(s->accounts, slot));
    }
    judge_skip(s->judge, s->batch);
    return slot;
}

static void believe(stage *s, const char *text, uint64_t queries) {
    uint32_t slot = arrive(s, text);
    judge_restore(s->judge, slot, &(verdict_record){.queries = queries});
}

static bool absent(const stage *s, const char *text, uint64_t *queries) {
    verdict_record record;
    accounts_key key = accounts_key_of(s->accounts, name_of(text));
    bool found = judge_absent(s->judge, &key, &record);
    *queries = found ? record.queries : 0;
    return found;
}

/* All records are taken and the oldest is that of who comes: it must not go for who loses his place
 * to him. */
Test(judge, who_comes_back_to_a_full_table_of_records_is_who_he_was) {
    static const char *const name[] = {"a", "b", "c", "d", "e"};
    stage s;
    uint64_t queries;
    stage_open(&s);
    for (size_t i = 0; i <= JUDGE_RECORDS_PER_SLOT; i++) {
        believe(&s, name[i], 10 + i);
    }
    const records *records = judge_records(s.judge);
    cr_assert_eq(records_held(records), records_places(records));
    cr_assert(absent(&s, "a", &queries) && queries == 10);
    uint32_t slot = arrive(&s, "a");
    cr_assert_eq(judge_record(s.judge, slot)->queries, 10);
    cr_assert_not(absent(&s, "a", &queries));
    for (size_t i = 1; i <= JUDGE_RECORDS_PER_SLOT; i++) {
        cr_assert(absent(&s, name[i], &queries) && queries == 10 + i, "%s", name[i]);
    }
    stage_close(&s);
}

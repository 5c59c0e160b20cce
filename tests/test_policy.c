/*
 * test_policy.c - what is believed of an account, for how long, and what is done about it.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lists.h"
#include "policy.h"
#include "reference_fixture.h"
#include "verdict.h"

/* ---- the threshold on windows ---- */

Test(policy, a_full_window_above_the_threshold_is_flagged_and_a_short_one_undecided) {
    policy p = {.has_threshold = true, .threshold = 10.0, .fill_min = 16};
    cr_assert_eq(policy_judge(&p, 10.0, 16), WIRE_CLEAN);
    cr_assert_eq(policy_judge(&p, 10.0001, 16), WIRE_FLAGGED);
    cr_assert_eq(policy_judge(&p, 1e9, 15), WIRE_UNDECIDED);
    cr_assert_eq(policy_judge(&p, 1.0, 15), WIRE_UNDECIDED);
    cr_assert_eq(policy_judge(&p, (double)NAN, 16), WIRE_FLAGGED, "no number is not honest");
    cr_assert_eq(policy_judge(&p, (double)INFINITY, 16), WIRE_FLAGGED);
}

Test(policy, without_a_threshold_everything_is_clean) {
    policy p = {.has_threshold = false, .fill_min = 16};
    cr_assert_eq(policy_judge(&p, 1e9, 16), WIRE_CLEAN);
    cr_assert_eq(policy_judge(&p, 1e9, 1), WIRE_CLEAN);
}

/* ---- modes, actions, lists ---- */

Test(policy, only_enforcing_does_anything_and_the_action_says_what) {
    static const struct {
        wire_mode mode;
        wire_action action;
        wire_decision flagged, undecided;
    } cases[] = {
        {WIRE_ENFORCE, WIRE_ACT_POISON, WIRE_POISON, WIRE_WARMING},
        {WIRE_ENFORCE, WIRE_ACT_LABEL_ONLY, WIRE_LABEL_ONLY, WIRE_WARMING},
        {WIRE_ENFORCE, WIRE_ACT_FLAG, WIRE_ALLOW, WIRE_WARMING},
        {WIRE_SHADOW, WIRE_ACT_POISON, WIRE_ALLOW, WIRE_ALLOW},
        {WIRE_OFF, WIRE_ACT_POISON, WIRE_ALLOW, WIRE_ALLOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        policy p = {.mode = cases[i].mode, .action = cases[i].action};
        cr_assert_eq(policy_decide(&p, WIRE_FLAGGED), cases[i].flagged);
        cr_assert_eq(policy_decide(&p, WIRE_UNDECIDED), cases[i].undecided);
        cr_assert_eq(policy_decide(&p, WIRE_CLEAN), WIRE_ALLOW);
    }
}

Test(policy, the_denied_are_flagged_then_the_allowed_are_clean_then_the_worse_of_both_counts) {
    const policy_belief clean = {WIRE_CLEAN, WIRE_NO_REASON};
    const policy_belief undecided = {WIRE_UNDECIDED, WIRE_NO_REASON};
    const policy_belief flagged = {WIRE_FLAGGED, WIRE_BY_ROWS};
    const struct {
        policy_belief account, group;
        policy_listing account_listing, group_listing;
        policy_belief joined;
    } cases[] = {
        {clean, clean, POLICY_UNLISTED, POLICY_UNLISTED, clean},
        {undecided, clean, POLICY_UNLISTED, POLICY_UNLISTED, undecided},
        {flagged, clean, POLICY_UNLISTED, POLICY_UNLISTED, flagged},
        {clean, flagged, POLICY_UNLISTED, POLICY_UNLISTED, {WIRE_FLAGGED, WIRE_BY_GROUP}},
        {undecided, flagged, POLICY_UNLISTED, POLICY_UNLISTED, {WIRE_FLAGGED, WIRE_BY_GROUP}},
        {clean, flagged, POLICY_UNLISTED, POLICY_ALLOWED, clean},
        {flagged, flagged, POLICY_UNLISTED, POLICY_ALLOWED, flagged},
        {flagged, flagged, POLICY_ALLOWED, POLICY_UNLISTED, {WIRE_CLEAN, WIRE_ALLOWED}},
        {clean, clean, POLICY_DENIED, POLICY_ALLOWED, {WIRE_FLAGGED, WIRE_DENIED}},
        {clean, clean, POLICY_ALLOWED, POLICY_DENIED, {WIRE_FLAGGED, WIRE_DENIED}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        policy_belief joined = policy_join(cases[i].account, cases[i].account_listing,
                                           cases[i].group, cases[i].group_listing);
        cr_assert(joined.verdict == cases[i].joined.verdict &&
                      joined.reason == cases[i].joined.reason,
                  "case %zu: verdict %d, reason %d", i, joined.verdict, joined.reason);
    }
}

/* ---- files of names ---- */

static lists *open_lists(void) {
    lists *l = lists_open();
    cr_assert_not_null(l);
    return l;
}

static bool load(lists *l, const char *text, size_t bytes, bool groups, policy_listing listing) {
    fixture_write("names", text, bytes);
    return lists_load(l, (lists_file){fixture_path("names"), groups, listing}, fixture_error,
                      FIXTURE_ERROR_BYTES);
}

TestSuite(lists, .init = fixture_open, .fini = fixture_close);

Test(lists, names_are_found_as_they_stand_a_line_each_and_groups_apart) {
    lists *l = open_lists();
    static const char text[] = "alice\r\n\n b ob \nz\xc3\xa9ro";
    cr_assert(load(l, text, sizeof text - 1, false, POLICY_ALLOWED), "%s", fixture_error);
    cr_assert_eq(lists_find(l, false, "alice", 5), POLICY_ALLOWED);
    cr_assert_eq(lists_find(l, false, " b ob ", 6), POLICY_ALLOWED);
    cr_assert_eq(lists_find(l, false, "z\xc3\xa9ro", 5), POLICY_ALLOWED);
    cr_assert_eq(lists_find(l, false, "alic", 4), POLICY_UNLISTED);
    cr_assert_eq(lists_find(l, true, "alice", 5), POLICY_UNLISTED);
    cr_assert(load(l, "alice\n", 6, false, POLICY_DENIED));
    cr_assert_eq(lists_find(l, false, "alice", 5), POLICY_DENIED);
    cr_assert(load(l, "alice\n", 6, false, POLICY_ALLOWED));
    cr_assert_eq(lists_find(l, false, "alice", 5), POLICY_DENIED, "denying wins");
    lists_close(l);
}

Test(lists, a_bad_file_is_refused_by_its_line) {
    lists *l = open_lists();
    char longest[WIRE_ACCOUNT_BYTES_MAX + 3];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "a\n", 2);
    cr_assert(load(l, longest, sizeof longest - 1, false, POLICY_ALLOWED));
    cr_assert_not(load(l, longest, sizeof longest, false, POLICY_ALLOWED));
    fixture_expect_error("names: line 2: a name of at most 128 bytes");
    cr_assert_not(load(l, "a\nb\n\xff\n", 6, false, POLICY_ALLOWED));
    fixture_expect_error("names: line 3");
    cr_assert_not(lists_load(l, (lists_file){fixture_path("none"), false, POLICY_ALLOWED},
                             fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("none: No such file");
    cr_assert_not(lists_load(l, (lists_file){fixture_path("."), false, POLICY_ALLOWED},
                             fixture_error, FIXTURE_ERROR_BYTES));
    fixture_expect_error("a regular file");
    lists_close(l);
}

/* ---- verdicts ---- */

enum { VALUES = 999, WINDOW = 4, RELEASE = 40 };

/* One class whose honest alignments are 1/1000 to 999/1000; flagged from 8 on. */
static evidence_rules *open_rules(void) {
    static float value[VALUES];
    static const size_t first[] = {0, VALUES};
    static const size_t none[] = {0};
    for (size_t i = 0; i < VALUES; i++) {
        value[i] = (float)(i + 1) / 1000.0f;
    }
    evidence_options o = {.classes = 1,
                          .kinds = 1,
                          .alignment = {1, first, value},
                          .excess = {0, none, NULL},
                          .window_rows = WINDOW,
                          .rows_per_class = VALUES,
                          .window_limit = 1.0};
    for (size_t i = 0; i < EVIDENCE_CHANNELS * EVIDENCE_SHARES; i++) {
        o.limit[i / EVIDENCE_SHARES][i % EVIDENCE_SHARES] = 8.0;
    }
    return evidence_open(&o);
}

static const verdict_record *observe(verdicts *v, uint32_t slot, float alignment) {
    static const uint32_t class_index = 0;
    return verdicts_observe(v, slot,
                            &(evidence_observation){.rows = 1,
                                                    .classes = &class_index,
                                                    .alignments = &alignment,
                                                    .fill = 1,
                                                    .concentration = 1.0},
                            (verdict_scores){1.5, 2.5});
}

static verdicts *open_verdicts(const evidence_rules *rules, size_t release) {
    return verdicts_open(&(verdict_options){
        .rules = rules, .slots_max = 2, .window_rows = WINDOW, .release_after = release});
}

Test(verdict, an_account_is_undecided_then_flagged_and_freed_by_a_run_of_clean_queries_alone) {
    evidence_rules *rules = open_rules();
    verdicts *v = open_verdicts(rules, RELEASE);
    size_t fewest = evidence_rows_min(rules);
    cr_assert(fewest > 1 && fewest < 10);
    const verdict_record *r = observe(v, 0, 0.9f);
    cr_assert_eq(r->verdict, WIRE_UNDECIDED);
    for (size_t i = 1; i < fewest; i++) {
        r = observe(v, 0, 0.9f);
    }
    cr_assert_eq(r->verdict, WIRE_CLEAN, "as many queries could have flagged it");
    while (r->verdict != WIRE_FLAGGED) {
        r = observe(v, 0, 0.0f);
        cr_assert_lt(r->queries, 4 * fewest);
    }
    uint64_t flagged_at = r->queries;
    cr_assert(r->first_flagged_at == flagged_at && r->flagged_at == flagged_at);
    cr_assert_eq(r->reason, WIRE_BY_ROWS);
    while (verdicts_level(v, r) > 1.0) {
        cr_assert_eq(r->clean_run, 0);
        r = observe(v, 0, 0.9f);
    }
    for (size_t i = 1; i < RELEASE; i++) {
        cr_assert_eq(r->verdict, WIRE_FLAGGED, "%zu clean queries", i);
        r = observe(v, 0, 0.9f);
    }
    cr_assert_eq(r->verdict, WIRE_CLEAN);
    cr_assert(r->flagged_at == 0 && r->first_flagged_at == flagged_at);
    cr_assert_eq(verdicts_find(v, 1)->queries, 0, "the other slot is untouched");
    verdicts_forget(v, 0);
    cr_assert_eq(verdicts_find(v, 0)->first_flagged_at, 0);
    verdicts_close(v);
    evidence_close(rules);
}

Test(verdict, evidence_above_a_limit_begins_the_clean_run_anew_and_0_frees_nobody) {
    evidence_rules *rules = open_rules();
    verdicts *v = open_verdicts(rules, RELEASE);
    verdicts *for_ever = open_verdicts(rules, 0);
    const verdict_record *r;
    do {
        r = observe(v, 0, 0.0f);
    } while (observe(for_ever, 0, 0.0f)->verdict != WIRE_FLAGGED);
    for (size_t round = 0; round < 5; round++) {
        for (size_t i = 0; i < RELEASE / 2; i++) {
            r = observe(v, 0, 0.9f);
            cr_assert_eq(r->verdict, WIRE_FLAGGED);
        }
        while (verdicts_level(v, r) <= 1.0) {
            r = observe(v, 0, 0.0f);
        }
    }
    for (size_t i = 0; i < 100 * RELEASE; i++) {
        r = observe(for_ever, 0, 0.9f);
    }
    cr_assert_eq(r->verdict, WIRE_FLAGGED);
    verdicts_close(for_ever);
    verdicts_close(v);
    evidence_close(rules);
}

Test(verdict, the_history_has_an_entry_a_window_and_one_where_the_verdict_changes) {
    evidence_rules *rules = open_rules();
    verdicts *v = open_verdicts(rules, RELEASE);
    const verdict_record *r = observe(v, 0, 0.0f);
    while (r->verdict != WIRE_FLAGGED) {
        r = observe(v, 0, 0.0f);
    }
    const verdict_entry *last = &r->history[(r->entered - 1) % WIRE_EXPLAIN_HISTORY_MAX];
    cr_assert_eq(last->query, r->flagged_at);
    cr_assert_eq(last->verdict, WIRE_FLAGGED);
    cr_assert(last->score == 1.5f && last->evidence > 1.0f && r->memory_score == 2.5f);
    uint64_t entered = r->entered;
    for (size_t i = 0; i < 3 * WINDOW; i++) {
        r = observe(v, 0, 0.0f);
    }
    cr_assert_eq(r->entered, entered + 3);
    verdicts_close(v);
    evidence_close(rules);
}

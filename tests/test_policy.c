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
    verdict_entry entry[VERDICT_HISTORY];
    size_t held = verdicts_history(r, entry);
    const verdict_entry *last = &entry[held - 1];
    cr_assert(held == r->entered && held <= VERDICT_HISTORY);
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

/* An observation of so many rows that say nothing, in a window of this excess. */
static const verdict_record *observe_excess(verdicts *v, double excess, float alignment,
                                            size_t rows) {
    static uint32_t classes[WINDOW];
    float alignments[WINDOW];
    for (size_t i = 0; i < rows; i++) {
        alignments[i] = alignment;
    }
    return verdicts_observe(v, 0,
                            &(evidence_observation){.rows = rows,
                                                    .classes = classes,
                                                    .alignments = alignments,
                                                    .excess = excess,
                                                    .fill = WINDOW,
                                                    .concentration = 1.0},
                            (verdict_scores){excess / 3.0, 0.0});
}

Test(verdict, the_history_keeps_the_last_entries_and_rounds_them_by_as_much_as_it_says) {
    enum { ENTRIES = 3000 };
    static float excess[ENTRIES], evidence[ENTRIES];
    static wire_verdict verdict[ENTRIES];
    evidence_rules *rules = open_rules();
    verdicts *v = open_verdicts(rules, RELEASE);
    double worst[2] = {0.0, 0.0};
    uint64_t random = 3;
    size_t done = 0, flagged = 0;
    while (done < ENTRIES) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        double size = exp2((double)(random >> 40) / (double)(1 << 24) * 200.0 - 100.0);
        excess[done] = (float)(random & 1 << 20 ? -size : size);
        /* Hostile and honest by turns, so that the evidence passes 1 both ways. */
        const verdict_record *r =
            observe_excess(v, (double)excess[done], done % 64 == 0 ? 0.0f : 0.9f, WINDOW);
        evidence[done] = (float)verdicts_level(v, r);
        verdict[done++] = r->verdict;
        flagged += r->verdict == WIRE_FLAGGED;
        verdict_entry entry[VERDICT_HISTORY];
        size_t held = verdicts_history(r, entry);
        cr_assert_eq(held, done < VERDICT_HISTORY ? done : VERDICT_HISTORY);
        for (size_t i = 0; i < held; i++) {
            size_t at = done - held + i;
            cr_assert_eq(entry[i].query, (at + 1) * WINDOW);
            cr_assert(entry[i].verdict == verdict[at] &&
                      entry[i].score == (float)((double)excess[at] / 3.0));
            double off = fabs((double)entry[i].excess / (double)excess[at] - 1.0);
            worst[0] = off > worst[0] ? off : worst[0];
            cr_assert_eq(entry[i].evidence > 1.0f, evidence[at] > 1.0f);
            cr_assert_geq(entry[i].evidence, evidence[at]);
            off = evidence[at] > 0.0f ? (double)entry[i].evidence / (double)evidence[at] - 1.0
                                      : (double)entry[i].evidence;
            worst[1] = off > worst[1] ? off : worst[1];
        }
    }
    printf("largest roundings: excess %.2e, evidence %.2e\n", worst[0], worst[1]);
    /* Eight binary digits. */
    cr_assert(worst[0] <= 0x1p-8 && worst[1] < 0x1p-7);
    cr_assert(flagged > 0 && flagged < ENTRIES);
    verdicts_close(v);
    evidence_close(rules);
}

Test(verdict, the_history_keeps_what_is_no_number_and_what_is_beyond_all_numbers) {
    evidence_rules *rules = open_rules();
    verdicts *v = open_verdicts(rules, RELEASE);
    verdict_entry entry[VERDICT_HISTORY];
    observe_excess(v, (double)-NAN, 0.9f, WINDOW);
    observe_excess(v, (double)INFINITY, 0.9f, WINDOW);
    observe_excess(v, (double)-INFINITY, 0.9f, WINDOW);
    const verdict_record *r = observe_excess(v, 0.0, 0.9f, WINDOW);
    cr_assert_eq(verdicts_history(r, entry), 4);
    cr_assert(isnan(entry[0].excess) && isnan(entry[0].score));
    cr_assert(entry[1].excess == INFINITY && entry[2].excess == -INFINITY);
    cr_assert(entry[3].excess == 0.0f && entry[3].score == 0.0f && entry[3].evidence >= 0.0f);
    verdicts_close(v);
    evidence_close(rules);
}

/* Of an entry's query only the last bits are kept. */
Test(verdict, entries_of_an_account_of_billions_of_queries_still_say_which_query_they_end_with) {
    static const uint64_t so_far[] = {((uint64_t)1 << 30) - WINDOW, ((uint64_t)1 << 32) - 1,
                                      ((uint64_t)1 << 40) + 5};
    for (size_t i = 0; i < sizeof so_far / sizeof *so_far; i++) {
        evidence_rules *rules = open_rules();
        verdicts *v = open_verdicts(rules, RELEASE);
        verdict_entry entry[VERDICT_HISTORY];
        /* As if it had asked so often, its last entry just made. */
        verdict_record *grown = (verdict_record *)verdicts_find(v, 0);
        const verdict_record *r = observe_excess(v, 1.0, 0.9f, WINDOW);
        grown->queries = so_far[i];
        grown->history[0].query = so_far[i] & ((1u << 30) - 1);
        for (size_t k = 1; k < VERDICT_HISTORY + 3; k++) {
            r = observe_excess(v, 1.0, 0.9f, 1);
            cr_assert_eq(r->entered, 1 + k / WINDOW);
        }
        size_t held = verdicts_history(r, entry);
        for (size_t k = 0; k < held; k++) {
            cr_assert_eq(entry[k].query, so_far[i] + k * WINDOW);
        }
        verdicts_close(v);
        evidence_close(rules);
    }
}

/*
 * test_daemon_flood.c - a calibrated daemon that is asked about far more accounts than it has room
 * for: who is flagged stays so, nobody's evidence is laundered, and memory stays within its limit.
 * adder-bench flood does the same at full size and looks at latency.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"

enum { DIM = 64, WINDOW = 16, EACH = 64, NAME_BYTES = 32, PATH_BYTES = CHILD_PATH_BYTES * 2 };

typedef struct {
    daemon_fixture d;
    fixture_rows honest; /* the file goes class by class */
    fixture_rows thief;
    size_t fresh; /* names so far */
} stage;

static void stage_open(stage *s) {
    *s = (stage){.fresh = 0};
    s->honest = fixture_source(DIM, "benign_test");
    s->thief = fixture_source(DIM, "atk_cifar100");
    daemon_open(&s->d, DIM);
    daemon_calibrate(&s->d, s->d.reference);
}

static void stage_close(stage *s) {
    daemon_stop(&s->d);
    daemon_close(&s->d);
    fixture_rows_free(&s->honest);
    fixture_rows_free(&s->thief);
}

/* So many rows of so many fresh accounts each. */
static void flood(stage *s, size_t accounts, const fixture_rows *rows, size_t each) {
    static char name[EACH][NAME_BYTES];
    const char *names[EACH];
    for (size_t sent = 0; sent < accounts; sent += EACH / each) {
        for (size_t i = 0; i < EACH; i++) {
            snprintf(name[i], NAME_BYTES, "fresh-%zu", s->fresh + i / each);
            names[i] = name[i];
        }
        s->fresh += EACH / each;
        adder_reply_free(ask((ask_question){.client = s->d.client,
                                            .names = names,
                                            .rows = rows,
                                            .first = s->fresh * 37 % (rows->rows - EACH),
                                            .count = EACH}));
    }
}

/* NULL: unknown. */
static adder_explanation *explained(const stage *s, const char *name, bool is_group) {
    adder_explanation *why = NULL;
    cr_assert_eq(adder_explain(s->d.client, name, is_group, &why, NULL), ADDER_OK);
    return why;
}

static void expect(const stage *s, const char *name, bool is_group, adder_verdict verdict,
                   uint64_t queries, bool placed) {
    adder_explanation *why = explained(s, name, is_group);
    cr_assert_not_null(why, "%s is unknown", name);
    cr_assert_eq(why->verdict, verdict, "%s", name);
    cr_assert_eq(why->queries, queries, "%s: %lu", name, (unsigned long)why->queries);
    cr_assert_eq(why->fill > 0, placed, "%s: a window of %lu rows", name, (unsigned long)why->fill);
    adder_explanation_free(why);
}

static void steal(const stage *s, const char *account, const char *group, size_t first,
                  size_t count) {
    const char *names[EACH], *groups[EACH];
    adder_reply *reply = NULL;
    adder_error error = {""};
    for (size_t i = 0; i < count; i++) {
        names[i] = account;
        groups[i] = group;
    }
    adder_rows rows = {.count = count,
                       .dim = DIM,
                       .accounts = names,
                       .groups = group != NULL ? groups : NULL,
                       .classes = s->thief.classes + first,
                       .embeddings = s->thief.embeddings + first * DIM};
    cr_assert_eq(adder_score(s->d.client, &rows, &reply, &error), ADDER_OK, "%s", error.text);
    adder_reply_free(reply);
}

/* Row by row, until there is so much evidence or it is flagged; the rows it took. */
static size_t steal_until(const stage *s, const char *account, size_t first, double enough) {
    for (size_t rows = 1;; rows++) {
        cr_assert_lt(rows, 1000);
        steal(s, account, NULL, first + rows, 1);
        adder_explanation *why = explained(s, account, false);
        double evidence = why->evidence;
        adder_explanation_free(why);
        if (evidence >= enough) {
            return rows;
        }
    }
}

/* ---- who was flagged, who nearly was ---- */

Test(flood, a_flagged_account_and_group_keep_their_places, .timeout = 300) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--max-accounts", "256"));
    steal(&s, "mallory", NULL, 0, EACH);
    steal(&s, "member", "gang", 100, EACH);
    flood(&s, 4096, &s.honest, 1);
    expect(&s, "mallory", false, ADDER_FLAGGED, EACH, true);
    expect(&s, "gang", true, ADDER_FLAGGED, EACH, true);
    expect(&s, "member", false, ADDER_FLAGGED, EACH, true);
    stage_close(&s);
}

Test(flood, a_thief_who_has_himself_evicted_short_of_his_limit_goes_on_where_he_was,
     .timeout = 300) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--max-accounts", "256"));
    size_t alone = steal_until(&s, "control", 0, 1.001);
    size_t most = steal_until(&s, "suspect", 0, 0.6);
    adder_explanation *before = explained(&s, "suspect", false);
    cr_assert(before->verdict != ADDER_FLAGGED && before->evidence < 1.0);
    flood(&s, 4096, &s.honest, 1);
    expect(&s, "suspect", false, before->verdict, most, false);
    adder_explanation *after = explained(&s, "suspect", false);
    cr_assert(after->evidence >= before->evidence && after->evidence <= before->evidence);
    cr_assert_eq(after->windows, 0);
    adder_explanation_free(before);
    adder_explanation_free(after);
    size_t more = steal_until(&s, "suspect", most, 1.001);
    printf("flagged after %zu queries; evicted after %zu, flagged after %zu more\n", alone, most,
           more);
    cr_assert_leq(more, alone - most + 2); /* the window's share begins anew */
    expect(&s, "suspect", false, ADDER_FLAGGED, most + more, true);
    stage_close(&s);
}

/* A flood of thieves, all of whom get flagged: they have half of the places, and a flagged one that
 * they have displaced is flagged from its next query on. */
Test(flood, thieves_in_any_number_neither_lock_the_table_nor_free_each_other, .timeout = 300) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--max-accounts", "64"));
    steal(&s, "mallory", NULL, 0, EACH);
    flood(&s, 128, &s.thief, EACH / 2);
    expect(&s, "mallory", false, ADDER_FLAGGED, EACH, false);
    ask_row next = ask_last(s.d.client, "mallory", &s.honest, 0, 1);
    cr_assert(next.decision == ADDER_POISON && next.fill == 1);
    expect(&s, "mallory", false, ADDER_FLAGGED, EACH + 1, true);
    ask_last(s.d.client, "alice", &s.honest, 0, 1);
    flood(&s, 20, &s.thief, EACH / 2);
    expect(&s, "alice", false, ADDER_UNDECIDED, 1, true);
    stage_close(&s);
}

Test(flood, forgetting_drops_the_record_of_who_has_lost_his_place, .timeout = 300) {
    stage s;
    bool known;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--max-accounts", "64"));
    size_t queries = steal_until(&s, "suspect", 0, 0.5);
    adder_explanation *before = explained(&s, "suspect", false);
    flood(&s, 512, &s.honest, 1);
    expect(&s, "suspect", false, before->verdict, queries, false);
    adder_explanation_free(before);
    cr_assert(adder_forget(s.d.client, "suspect", &known, NULL) == ADDER_OK && known);
    cr_assert(adder_forget(s.d.client, "suspect", &known, NULL) == ADDER_OK && !known);
    cr_assert_null(explained(&s, "suspect", false));
    stage_close(&s);
}

/* An account's row that evicts a group stands before the group's own return in the same request,
 * and the batch has all accounts before all groups: what the group was believed must not be lost
 * between the two. */
Test(flood, who_is_evicted_and_comes_back_in_one_request_is_who_he_was, .timeout = 300) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--max-accounts", "4", "--max-rows", "2"));
    for (size_t i = 0; i < 8; i++) {
        static const char *const names[2] = {"one", "victim"};
        char text[2][NAME_BYTES];
        const char *groups[2] = {text[0], text[1]};
        adder_reply *reply = NULL;
        snprintf(text[0], NAME_BYTES, "first-%zu", i);
        snprintf(text[1], NAME_BYTES, "second-%zu", i);
        adder_rows rows = {.count = 2,
                           .dim = DIM,
                           .accounts = names,
                           .groups = groups,
                           .classes = s.honest.classes,
                           .embeddings = s.honest.embeddings};
        /* Takes the place of "one", so that "one" takes that of the group before, and this round's
         * group that of "victim". */
        ask_last(s.d.client, "other", &s.honest, i, 1);
        cr_assert_eq(adder_score(s.d.client, &rows, &reply, NULL), ADDER_OK);
        adder_reply_free(reply);
        adder_explanation *why = explained(&s, "victim", false);
        cr_assert_eq(why->queries, i + 1);
        adder_explanation_free(why);
    }
    stage_close(&s);
}

/* ---- a limit in bytes ---- */

static double resident_mib(const stage *s) {
    char path[64];
    size_t pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)s->d.child);
    FILE *file = fopen(path, "r");
    cr_assert(file != NULL && fscanf(file, "%*s %zu", &pages) == 1);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

/* Several times as many accounts as there is room for, any of which would cost 28 kB. Under
 * AddressSanitizer, which keeps what is freed for a while, the limit says nothing, and only growth
 * is looked at. */
Test(flood, memory_does_not_grow_with_the_accounts_that_ask, .timeout = 600) {
#ifdef __SANITIZE_ADDRESS__
    enum { LIMIT_IS_TOLD = 0 };
#else
    enum { LIMIT_IS_TOLD = 1 };
#endif
    const double limit_mib = 640.0;
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--max-bytes", "640M"));
    size_t room = (size_t)ask_info(s.d.client).accounts_max;
    steal(&s, "mallory", NULL, 0, EACH);
    cr_assert_gt(room, 2000);
    flood(&s, room, &s.honest, 1);
    double full = resident_mib(&s);
    flood(&s, room < 10000 ? 9 * room : 90000, &s.honest, 1);
    double after = resident_mib(&s);
    printf("room for %zu accounts: %.1f MiB when it was full, %.1f after %zu; the limit is %.0f\n",
           room, full, after, s.fresh, limit_mib);
    cr_assert_leq(after, full * 1.25);
    cr_assert(!LIMIT_IS_TOLD || (after > 0.95 * limit_mib && after < 1.05 * limit_mib));
    cr_assert_eq(ask_info(s.d.client).accounts, room);
    expect(&s, "mallory", false, ADDER_FLAGGED, EACH, true);
    stage_close(&s);
}

Test(flood, a_limit_that_is_too_small_is_refused_in_one_line, .timeout = 300) {
    stage s;
    stage_open(&s);
    static const struct {
        const char *size, *words;
        int status;
    } bad[] = {{"1M", "max-bytes: expected more than", 1},
               {"0", "came '0'", 2},
               {"-1", "came '-1'", 2},
               {"4T", "came '4T'", 2},
               {"4GB", "came '4GB'", 2},
               {"G", "came 'G'", 2},
               {"99999999999G", "came '99999999999G'", 2},
               {"1.5G", "came '1.5G'", 2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        child_result r = child_run(
            s.d.folder, (const char *const[]){ADDERD_PATH, "--reference", s.d.reference, "--listen",
                                              s.d.url, "--max-bytes", bad[i].size, NULL});
        cr_assert(r.status == bad[i].status && strstr(r.err, bad[i].words), "%s: %d, %s",
                  bad[i].size, r.status, r.err);
        child_result_free(&r);
    }
    daemon_start(&s.d, DAEMON_FLAGS("--max-bytes", "2G", "--max-accounts", "100"));
    cr_assert_eq(ask_info(s.d.client).accounts_max, 100);
    stage_close(&s);
}

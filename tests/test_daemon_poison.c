/*
 * test_daemon_poison.c - poison is the same for the same query and random otherwise; accounts are
 * forgotten when asked for and when there is no room.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"

enum { CLASSES = 10, SECRET_BYTES = 32, ROWS = 40 };

/* Decides poison for every row. */
#define POISON_ALL "--threshold", "0", "--min-fill", "1"

typedef struct {
    daemon_fixture d;
    fixture_rows rows;
    char secret[2][CHILD_PATH_BYTES * 2]; /* files */
} stage;

static void stage_open(stage *s) {
    unsigned char bytes[SECRET_BYTES];
    *s = (stage){.rows = fixture_source(64, "atk_noise_gauss")};
    daemon_open(&s->d, 64);
    for (int i = 0; i < 2; i++) {
        memset(bytes, i + 1, sizeof bytes);
        child_write(daemon_path(&s->d, i == 0 ? "secret" : "another secret", s->secret[i]), bytes,
                    sizeof bytes);
    }
}

static void stage_close(stage *s) {
    daemon_stop(&s->d);
    daemon_close(&s->d);
    fixture_rows_free(&s->rows);
}

static adder_reply *ask_poison(const stage *s, const char *account, size_t first, size_t count) {
    return ask((ask_question){.client = s->d.client,
                              .account = account,
                              .rows = &s->rows,
                              .first = first,
                              .count = count,
                              .want_poison = true});
}

/* What replaces one row, asked for alone. */
typedef struct {
    float probability[CLASSES];
} answer;

static answer answer_at(const adder_reply *reply, size_t k) {
    answer a;
    cr_assert(reply->poison != NULL && reply->classes == CLASSES && k < reply->poison_count);
    memcpy(a.probability, reply->poison + k * CLASSES, sizeof a.probability);
    return a;
}

static answer answer_of(const stage *s, const char *account, size_t row) {
    adder_reply *reply = ask_poison(s, account, row, 1);
    answer a = answer_at(reply, 0);
    adder_reply_free(reply);
    return a;
}

static bool same(answer a, answer b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

typedef struct {
    float lowest, highest;
    double worst; /* how far a row's sum is from 1 */
} extremes;

static extremes check_replaced(const stage *s) {
    extremes e = {.lowest = 1.0f};
    adder_reply *reply = ask_poison(s, "a", 0, ROWS);
    cr_assert_eq(reply->poison_count, ROWS);
    cr_assert_null(reply->poison_labels);
    for (size_t k = 0; k < ROWS; k++) {
        answer a = answer_at(reply, k);
        double sum = 0.0;
        cr_assert_eq(reply->poison_rows[k], k);
        cr_assert_eq(reply->decisions[k], ADDER_POISON);
        for (size_t c = 0; c < CLASSES; c++) {
            cr_assert(a.probability[c] > 0.0f && a.probability[c] <= 1.0f);
            sum += (double)a.probability[c];
            e.highest = fmaxf(e.highest, a.probability[c]);
            e.lowest = fminf(e.lowest, a.probability[c]);
        }
        e.worst = fmax(e.worst, fabs(sum - 1.0));
    }
    printf("poison sums to 1 within %.1e; from %.2g to %.2g\n", e.worst, (double)e.lowest,
           (double)e.highest);
    cr_assert_leq(e.worst, 10 * 6e-8); /* ten float32 numbers, rounded */
    adder_reply_free(reply);
    return e;
}

Test(poison, replaces_every_row_above_the_threshold_with_probabilities) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL));
    extremes e = check_replaced(&s);
    cr_assert(e.highest > 0.9f && e.lowest < 1e-6f, "as peaked as a network's answers");
    stage_close(&s);
}

Test(poison, is_of_the_kind_asked_for) {
    /* The lowest a softmax of ten logits from -5 to 5 can be is e^-10 / 9. */
    const float lowest = 5e-6f;
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL, "--poison", "random"));
    cr_assert_gt(check_replaced(&s).lowest, lowest);
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL, "--poison", "plausible"));
    cr_assert_lt(check_replaced(&s).lowest, lowest);
    stage_close(&s);
}

Test(poison, a_query_gets_the_same_poison_again_wherever_it_stands) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL));
    answer first = answer_of(&s, "a", 5);
    cr_assert(same(first, answer_of(&s, "a", 5)));
    adder_reply *batch = ask_poison(&s, "a", 0, ROWS);
    cr_assert(same(first, answer_at(batch, 5)), "sixth of a batch");
    adder_reply_free(batch);
    batch = ask_poison(&s, "a", 3, 4);
    cr_assert(same(first, answer_at(batch, 2)), "third of a batch");
    adder_reply_free(batch);
    /* ... and other queries and accounts another one. */
    cr_assert_not(same(first, answer_of(&s, "a", 6)));
    cr_assert_not(same(first, answer_of(&s, "b", 5)));
    stage_close(&s);
}

Test(poison, follows_the_secret_over_a_restart) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL, "--secret-file", s.secret[0]));
    answer before = answer_of(&s, "a", 0);
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL, "--secret-file", s.secret[0]));
    cr_assert(same(before, answer_of(&s, "a", 0)), "the same secret");
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL, "--secret-file", s.secret[1]));
    cr_assert_not(same(before, answer_of(&s, "a", 0)), "another secret");
    daemon_stop(&s.d);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL));
    cr_assert_not(same(before, answer_of(&s, "a", 0)), "a random secret");
    stage_close(&s);
}

Test(poison, hard_output_is_a_label_that_stays_the_same) {
    stage s;
    size_t seen[CLASSES] = {0}, different = 0;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL, "--output", "hard"));
    cr_assert(ask_info(s.d.client).model[0].hard_label);
    adder_reply *first = ask_poison(&s, "a", 0, 200);
    adder_reply *again = ask_poison(&s, "a", 0, 200);
    cr_assert(first->poison_count == 200 && first->poison == NULL && first->poison_labels != NULL);
    for (size_t k = 0; k < 200; k++) {
        cr_assert_lt(first->poison_labels[k], CLASSES);
        cr_assert_neq(first->poison_labels[k], s.rows.classes[k], "the model's own answer");
        cr_assert_eq(first->poison_labels[k], again->poison_labels[k]);
        seen[first->poison_labels[k]]++;
    }
    for (size_t c = 0; c < CLASSES; c++) {
        different += seen[c] > 0;
    }
    cr_assert_geq(different, CLASSES - 1, "all but perhaps the one that most rows have");
    adder_reply_free(first);
    adder_reply_free(again);
    stage_close(&s);
}

Test(poison, comes_only_when_it_is_wanted) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS(POISON_ALL));
    adder_reply *reply =
        ask((ask_question){.client = s.d.client, .account = "a", .rows = &s.rows, .count = 4});
    cr_assert_eq(reply->decisions[3], ADDER_POISON);
    cr_assert(reply->poison_count == 0 && reply->poison == NULL && reply->poison_labels == NULL);
    adder_reply_free(reply);
    stage_close(&s);
}

Test(poison, spares_windows_that_are_warming_or_below_the_threshold) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--threshold", "40", "--window", "16"));
    fixture_rows honest = fixture_source(64, "benign_test");
    adder_reply *reply = ask_poison(&s, "thief", 0, 15);
    cr_assert(reply->decisions[0] == ADDER_WARMING && reply->poison_count == 0);
    adder_reply_free(reply);
    reply = ask_poison(&s, "thief", 15, 1);
    cr_assert(reply->fill[0] == 16 && reply->decisions[0] == ADDER_POISON &&
              reply->poison_count == 1);
    adder_reply_free(reply);
    reply = ask((ask_question){.client = s.d.client,
                               .account = "alice",
                               .rows = &honest,
                               .count = 16,
                               .want_poison = true});
    cr_assert(reply->decisions[15] == ADDER_ALLOW && reply->poison_count == 0);
    adder_reply_free(reply);
    fixture_rows_free(&honest);
    stage_close(&s);
}

enum { ASKED = 60, EACH = 8 };

static fixture_rows rows_of_class(const char *name, uint32_t class_index) {
    fixture_rows source = fixture_source(64, name);
    fixture_rows kept = fixture_rows_make(source.rows, 64);
    size_t count = 0;
    for (size_t i = 0; i < source.rows; i++) {
        if (source.classes[i] == class_index) {
            fixture_rows_copy(&kept, count++, &source, i);
        }
    }
    kept.rows = count;
    fixture_rows_free(&source);
    return kept;
}

static void ask_many(stage *s, const fixture_rows *rows, const char *account, ask_row *answer) {
    for (size_t i = 0; i < ASKED; i++) {
        answer[i] = ask_last(s->d.client, account, rows, i * EACH % (rows->rows - EACH), EACH);
    }
}

Test(poison, decisions_only_are_those_of_the_scores) {
    stage s;
    ask_row scored[2][ASKED], decided[2][ASKED];
    const char *const sources[2] = {"benign_test", "atk_cifar100"};
    size_t poisoned = 0, bounds = 0;
    stage_open(&s);
    for (size_t only = 0; only < 2; only++) {
        daemon_start(&s.d, DAEMON_FLAGS("--threshold", "3", "--window", "256", "--min-fill", "64",
                                        only ? "--decisions-only" : "--memory-rank=0"));
        cr_assert_eq(ask_info(s.d.client).model[0].decisions_only, only == 1);
        for (size_t i = 0; i < 2; i++) {
            fixture_rows rows = rows_of_class(sources[i], 3);
            ask_many(&s, &rows, sources[i], only ? decided[i] : scored[i]);
            fixture_rows_free(&rows);
        }
        if (!only) {
            daemon_stop(&s.d);
        }
    }
    for (size_t i = 0; i < 2 * ASKED; i++) {
        const ask_row *a = &scored[i / ASKED][i % ASKED], *b = &decided[i / ASKED][i % ASKED];
        cr_assert(a->decision == b->decision && a->fill == b->fill, "request %zu: score %g, %g", i,
                  a->score, b->score);
        cr_assert((a->score > 3.0) == (b->score > 3.0), "request %zu: %g, %g", i, a->score,
                  b->score);
        poisoned += a->decision == ADDER_POISON;
        bounds += fabs(a->score - b->score) > 1e-3;
    }
    printf("%zu of %d poisoned, %zu told by bounds\n", poisoned, 2 * ASKED, bounds);
    bool cpu = strcmp(ask_info(s.d.client).engine, "cpu") == 0; /* a device scores all of them */
    cr_assert(poisoned > 0 && poisoned < 2 * ASKED && (bounds > 0 || !cpu));
    stage_close(&s);
}

static size_t count_of(const char *text, const char *word) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) {
        count++;
    }
    return count;
}

Test(poison, without_a_threshold_there_is_none_and_the_daemon_says_so_once) {
    stage s;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_NO_FLAGS);
    cr_assert_not(ask_info(s.d.client).model[0].has_threshold);
    for (int i = 0; i < 3; i++) {
        adder_reply *reply = ask_poison(&s, "a", 0, ROWS);
        cr_assert_eq(reply->poison_count, 0);
        for (size_t row = 0; row < ROWS; row++) {
            cr_assert_eq(reply->decisions[row], ADDER_ALLOW);
        }
        adder_reply_free(reply);
    }
    daemon_await_log(&s.d, "no threshold");
    char *log = daemon_log(&s.d);
    cr_assert_eq(count_of(log, "no threshold"), 1, "%s", log);
    free(log);
    stage_close(&s);
}

/* ---- accounts that go ---- */

Test(accounts, a_forgotten_account_starts_anew) {
    stage s;
    bool known = false;
    stage_open(&s);
    daemon_start(&s.d, DAEMON_NO_FLAGS);
    ask_row fresh = ask_last(s.d.client, "a", &s.rows, 0, 1);
    ask_row other = ask_last(s.d.client, "b", &s.rows, 0, 10);
    ask_last(s.d.client, "a", &s.rows, 1, 9);
    cr_assert_eq(adder_forget(s.d.client, "a", &known, NULL), ADDER_OK);
    cr_assert(known);
    cr_assert_eq(ask_info(s.d.client).accounts, 1);
    cr_assert_eq(adder_forget(s.d.client, "a", &known, NULL), ADDER_OK);
    cr_assert_not(known);
    ask_row again = ask_last(s.d.client, "a", &s.rows, 0, 1);
    cr_assert(ask_row_same(&fresh, &again), "window or memory was left");
    cr_assert_eq(ask_last(s.d.client, "b", &s.rows, 10, 1).fill, other.fill + 1);
    stage_close(&s);
}

Test(accounts, the_least_recently_used_goes_with_its_window_and_memory) {
    enum { PLACES = 4 };
    static const char *const names[PLACES] = {"a", "b", "c", "d"};
    stage s;
    ask_row kept[PLACES], untouched[PLACES];
    stage_open(&s);
    daemon_start(&s.d, DAEMON_FLAGS("--max-accounts", "4"));
    cr_assert_eq(ask_info(s.d.client).rows_max, PLACES, "rows of a request fit the places");
    ask_row fresh = ask_last(s.d.client, "a", &s.rows, 0, 1);
    for (size_t i = 0; i < PLACES; i++) {
        ask_last(s.d.client, names[i], &s.rows, 1, 3);
    }
    ask_last(s.d.client, "a", &s.rows, 4, 1); /* now b is the oldest */
    for (size_t i = 0; i < PLACES; i++) {
        kept[i] = ask_last(s.d.client, i == 1 ? "a" : names[i], &s.rows, 5, 1);
    }
    cr_assert_eq(ask_last(s.d.client, "e", &s.rows, 0, 1).fill, 1); /* in b's place */
    cr_assert_eq(ask_info(s.d.client).accounts, PLACES);
    for (size_t i = 0; i < PLACES; i++) {
        if (i != 1) {
            untouched[i] = ask_last(s.d.client, names[i], &s.rows, 6, 1);
            cr_assert_eq(untouched[i].fill, (i == 0 ? kept[1] : kept[i]).fill + 1);
        }
    }
    ask_row again = ask_last(s.d.client, "b", &s.rows, 0, 1); /* in e's place */
    cr_assert(ask_row_same(&fresh, &again), "b: window or memory was left");
    stage_close(&s);
}

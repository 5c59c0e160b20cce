/*
 * test_client.c - what libadder gives besides scores: groups, detail and explanations. The stub's
 * answers tell whether each array came to its place.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "stub_host.h"

enum { TIMEOUT_MS = 20000, ROWS = 5 };

static const char *const accounts[ROWS] = {"a", "b", "a", "c", "a"};
static const char *const groups[ROWS] = {"four", NULL, "sixsix", "x", NULL};
static const uint32_t classes[ROWS] = {0, 1, 2, 3, 4};
static const float embeddings[ROWS * STUB_DIM];
static const adder_rows rows = {.count = ROWS,
                                .dim = STUB_DIM,
                                .accounts = accounts,
                                .classes = classes,
                                .embeddings = embeddings};

static stub_host host;
static adder_client *client;

static void setup(void) {
    const char *url = stub_url(STUB_IPC);
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    client = stub_client(url, TIMEOUT_MS);
}

static void teardown(void) {
    adder_close(client);
    stub_close(&host);
}

TestSuite(client_detail, .init = setup, .fini = teardown, .timeout = 60);

static adder_reply *score(const adder_rows *asked) {
    adder_reply *reply;
    adder_error error = {""};
    cr_assert_eq(adder_score(client, asked, &reply, &error), ADDER_OK, "%s", error.text);
    cr_assert_eq(reply->count, ROWS);
    return reply;
}

/* Every row's class is its number, which is the stub's score. */
static bool counts_up(const float *values) {
    bool right = values != NULL && (uintptr_t)values % sizeof(float) == 0;
    for (size_t i = 0; right && i < ROWS; i++) {
        right = values[i] == (float)i;
    }
    return right;
}

static bool are_decisions(const uint8_t *values) {
    return values != NULL && memcmp(values, "\0\1\2\0\1", ROWS) == 0;
}

Test(client_detail, without_asking_there_is_none) {
    adder_reply *reply = score(&rows);
    cr_assert(counts_up(reply->scores) && are_decisions(reply->decisions));
    cr_assert(!reply->excess && !reply->verdicts && !reply->memory_excess && !reply->evidence &&
              !reply->reasons);
    cr_assert(!reply->group_scores && !reply->group_excess && !reply->group_evidence &&
              !reply->group_verdicts);
    adder_reply_free(reply);
}

Test(client_detail, each_array_comes_to_its_place_with_groups_and_without) {
    static const float lengths[ROWS] = {4, 0, 6, 1, 0};
    for (int variant = 0; variant < 4; variant++) {
        adder_rows asked = rows;
        asked.want_detail = true;
        asked.want_poison = variant & 1;
        asked.groups = variant & 2 ? groups : NULL;
        adder_reply *reply = score(&asked);
        cr_assert(counts_up(reply->scores) && counts_up(reply->excess) &&
                  counts_up(reply->memory_excess) && counts_up(reply->evidence));
        cr_assert(are_decisions(reply->verdicts) && are_decisions(reply->reasons));
        cr_assert_eq(reply->fill[4], 4);
        cr_assert_eq(reply->poison_count, variant & 1);
        cr_assert_eq(reply->group_scores != NULL, (variant & 2) != 0);
        if (asked.groups != NULL) {
            cr_assert_arr_eq(reply->group_scores, lengths, sizeof lengths);
            cr_assert(counts_up(reply->group_excess) && counts_up(reply->group_evidence) &&
                      are_decisions(reply->group_verdicts));
        }
        adder_reply_free(reply);
    }
}

Test(client_detail, an_explanation_is_of_who_was_asked_about) {
    for (int is_group = 0; is_group < 2; is_group++) {
        adder_explanation *e;
        cr_assert_eq(adder_explain(client, "somebody", is_group, &e, NULL), ADDER_OK);
        cr_assert_not_null(e);
        cr_assert(e->is_group == (bool)is_group && e->queries == strlen("somebody"));
        cr_assert(e->verdict == ADDER_FLAGGED && e->reason == ADDER_BY_MEMORY && isnan(e->excess));
        cr_assert(e->classes == 2 && e->by_class[0].class_id == 7 && e->by_class[0].d2 == 0.5 &&
                  e->by_class[1].n == 2);
        cr_assert(e->windows == 1 && e->history[0].query == 16 && e->history[0].score == 2.5 &&
                  e->history[0].verdict == ADDER_UNDECIDED);
        adder_explanation_free(e);
        cr_assert_eq(adder_explain(client, "who", is_group, &e, NULL), ADDER_OK);
        cr_assert_null(e);
    }
    adder_explanation_free(NULL);
}

Test(client_detail, a_group_can_be_forgotten) {
    bool known = false;
    cr_assert_eq(adder_forget_group(client, "somebody", &known, NULL), ADDER_OK);
    cr_assert(known);
    cr_assert_eq(adder_forget_group(client, "who", &known, NULL), ADDER_OK);
    cr_assert_not(known);
}

Test(client_detail, bad_names_are_refused_before_anything_is_sent) {
    char longest[ADDER_ACCOUNT_BYTES_MAX + 2] = "";
    memset(longest, 'x', sizeof longest - 1);
    const char *const bad[] = {"", longest};
    adder_explanation *e;
    adder_reply *reply;
    adder_error error;
    for (size_t i = 0; i < 2; i++) {
        adder_rows asked = rows;
        const char *named[ROWS] = {"g", NULL, bad[i]};
        asked.groups = named;
        cr_assert_eq(adder_score(client, &asked, &reply, &error), ADDER_BAD_REQUEST);
        cr_assert(strstr(error.text, "groups[2]: expected 1 to 128 bytes"), "%s", error.text);
        cr_assert_eq(adder_explain(client, bad[i], i, &e, NULL), ADDER_BAD_REQUEST);
        cr_assert_null(e);
        cr_assert_eq(adder_forget_group(client, bad[i], NULL, NULL), ADDER_BAD_REQUEST);
    }
    cr_assert_eq(adder_explain(client, NULL, false, &e, NULL), ADDER_BAD_REQUEST);
    cr_assert_eq(adder_explain(NULL, "somebody", false, &e, NULL), ADDER_BAD_REQUEST);
    cr_assert_eq(adder_explain(client, "somebody", false, NULL, NULL), ADDER_BAD_REQUEST);
    cr_assert_eq(atomic_load(&host.begun), 0);
}

/*
 * test_service_poison.c - which bytes poison is drawn from, and how much of it one reply may hold.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "poison.h"
#include "service.h"
#include "stub_server.h"
#include "wire.h"

/* ---- poison is the row's own ---- */

enum { DIM = 64, ROWS = 60, POISONED = 40 };

static const unsigned char secret[POISON_SECRET_BYTES] = "a secret of thirty-two bytes....";

/* A third of the rows are of accounts seen for the first time, which are warming: so the k-th
 * poisoned row is not row k. The others are by turns of two thieves. */
static void name_accounts(char text[ROWS][16], const char *names[ROWS]) {
    static const char *const thieves[] = {"mallory", "trudy"};
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(text[i], sizeof text[i], "new %zu", i);
        names[i] = i % 3 == 0 ? text[i] : thieves[i % 3 - 1];
    }
}

/* The bytes that replace the k-th poisoned row. */
static const unsigned char *replacement_at(const wire_reply *reply, size_t k, size_t *bytes) {
    bool hard = reply->poison_labels != NULL;
    cr_assert_lt(k, reply->poison_rows_count);
    cr_assert_neq(hard, reply->poison != NULL);
    *bytes = hard ? sizeof(uint32_t) : reply->classes * sizeof(float);
    return (hard ? reply->poison_labels : reply->poison) + k * *bytes;
}

/* What row `row` of the reply to `all`, the k-th poisoned one, got is what it gets when it is sent
 * alone. */
static void check_as_alone(stub_server *s, const wire_outgoing *all, const wire_reply *together,
                           size_t k, size_t row) {
    wire_outgoing one = *all;
    wire_reply alone;
    uint32_t at;
    size_t bytes, bytes_alone;
    memcpy(&at, together->poison_rows + k * sizeof at, sizeof at);
    cr_assert_eq(at, row, "poisoned row %zu is row %u, expected %zu", k, at, row);
    one.rows = 1;
    one.accounts = all->accounts + row;
    one.classes = all->classes + row;
    one.embeddings = (const float *)all->embeddings + row * DIM;
    nng_msg *message = stub_server_ask(s, &one, NULL, &alone);
    const unsigned char *got = replacement_at(together, k, &bytes);
    const unsigned char *expected = replacement_at(&alone, 0, &bytes_alone);
    cr_assert_eq(bytes, bytes_alone);
    cr_assert_eq(memcmp(got, expected, bytes), 0,
                 "row %zu: another replacement than when it is sent alone", row);
    nng_msg_free(message);
}

static void check_replacements(bool hard_label) {
    stub_server s;
    char text[ROWS][16];
    const char *names[ROWS];
    wire_reply reply;
    reference *reference = fixture_reference(DIM);
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    stub_server_open(&s, (service_options){.reference = reference,
                                           .engine = "cpu",
                                           .window_rows = 16,
                                           .threads = 1,
                                           .accounts_max = ROWS,
                                           .rows_max = ROWS,
                                           .queue_rows_max = ROWS,
                                           .policy = {.has_threshold = true, .fill_min = 2},
                                           .hard_label = hard_label,
                                           .secret = secret});
    name_accounts(text, names);
    wire_outgoing all = {.op = WIRE_SCORE,
                         .rows = ROWS,
                         .accounts = names,
                         .classes = rows.classes,
                         .dim = DIM,
                         .embeddings = rows.embeddings,
                         .want_poison = true};
    nng_msg *message = stub_server_ask(&s, &all, NULL, &reply);
    cr_assert_eq(reply.poison_rows_count, POISONED);
    for (size_t k = 0; k < POISONED; k++) {
        check_as_alone(&s, &all, &reply, k, k / 2 * 3 + 1 + k % 2);
    }
    nng_msg_free(message);
    stub_server_close(&s);
    reference_close(reference);
    fixture_rows_free(&rows);
}

Test(service_poison, a_row_gets_the_probabilities_that_it_gets_alone) {
    check_replacements(false);
}

Test(service_poison, a_row_gets_the_label_that_it_gets_alone) {
    /* With the bytes of other rows, 40 labels of 10 would agree with probability 1e-40. */
    check_replacements(true);
}

/* ---- how much of it ---- */

/* Poison of a row is 400,000 bytes, of 335 rows 134.0 MB; 128 MiB are 134.2 MB. */
enum { MANY_CLASSES = 100000, POISON_ROWS_MAX = 335, LIMIT_ROWS = POISON_ROWS_MAX + 1 };

/* Of one feature; rows of 0 score 1.25 in every class, above the threshold of 0. */
static reference *reference_of_many_classes(void) {
    reference *r = calloc(1, sizeof *r);
    float *mean = calloc(MANY_CLASSES, sizeof *mean);
    float *factor = calloc(MANY_CLASSES, sizeof *factor);
    double *trace = calloc(MANY_CLASSES, sizeof *trace);
    cr_assert(r && mean && factor && trace, "no memory for %d classes", MANY_CLASSES);
    for (size_t c = 0; c < MANY_CLASSES; c++) {
        mean[c] = 0.5f;
        factor[c] = 1.0f;
        trace[c] = 1.0;
    }
    snprintf(r->model, sizeof r->model, "many classes");
    r->statistics = (engine_reference){.dim = 1,
                                       .classes = MANY_CLASSES,
                                       .rank = 1,
                                       .mean = mean,
                                       .factor = factor,
                                       .trace = trace};
    return r;
}

typedef struct {
    reference *reference;
    stub_server server;
    const char *accounts[LIMIT_ROWS];
    uint32_t classes[LIMIT_ROWS];
    float embeddings[LIMIT_ROWS];
} stage;

/* Only hard labels get a threshold: 134 MB of probabilities would prove no more. */
static void stage_open(stage *s, bool hard_label) {
    *s = (stage){.reference = reference_of_many_classes()};
    for (size_t i = 0; i < LIMIT_ROWS; i++) {
        s->accounts[i] = "a";
        s->classes[i] = (uint32_t)(i * 297); /* up to 99,495 */
    }
    stub_server_open(&s->server,
                     (service_options){.reference = s->reference,
                                       .engine = "cpu",
                                       .window_rows = 16,
                                       .threads = 1,
                                       .accounts_max = LIMIT_ROWS,
                                       .rows_max = LIMIT_ROWS,
                                       .queue_rows_max = LIMIT_ROWS,
                                       .policy = {.has_threshold = hard_label, .fill_min = 1},
                                       .hard_label = hard_label});
}

static void stage_close(stage *s) {
    stub_server_close(&s->server);
    reference_close(s->reference);
}

/* The reply's arrays are gone when it returns. */
static wire_reply ask(stage *s, size_t rows, bool want_poison) {
    wire_reply reply;
    wire_outgoing request = {.op = WIRE_SCORE,
                             .rows = rows,
                             .accounts = s->accounts,
                             .classes = s->classes,
                             .dim = 1,
                             .embeddings = s->embeddings,
                             .want_poison = want_poison};
    nng_msg_free(stub_server_ask(&s->server, &request, NULL, &reply));
    return reply;
}

static void check_taken(const wire_reply *reply) {
    cr_assert_eq(reply->code, WIRE_OK, "%s: %s", wire_code_name(reply->code), reply->text);
}

Test(service_poison, of_as_many_rows_as_a_reply_may_hold_is_given_and_of_one_more_refused) {
    const size_t row_bytes = MANY_CLASSES * sizeof(float);
    static stage s;
    wire_hello hello;
    wire_reply told;
    stage_open(&s, false);
    cr_assert(POISON_ROWS_MAX * row_bytes <= SERVICE_POISON_BYTES_MAX &&
              LIMIT_ROWS * row_bytes > SERVICE_POISON_BYTES_MAX);
    wire_reply reply = ask(&s, POISON_ROWS_MAX, true);
    check_taken(&reply);
    reply = ask(&s, LIMIT_ROWS, true);
    cr_assert_eq(reply.code, WIRE_TOO_LARGE, "came %s", wire_code_name(reply.code));
    cr_assert_eq(strncmp(reply.text, "accounts: ", 10), 0, "%s", reply.text);
    cr_assert(strstr(reply.text, " 335 ") && strstr(reply.text, " 336"), "%s", reply.text);
    nng_msg_free(stub_server_ask(&s.server, &(wire_outgoing){.op = WIRE_HELLO}, &hello, &told));
    cr_assert_eq(hello.rows, POISON_ROWS_MAX, "the refused rows were scored");
    stage_close(&s);
}

Test(service_poison, that_is_not_wanted_limits_no_request) {
    static stage s;
    stage_open(&s, false);
    wire_reply reply = ask(&s, LIMIT_ROWS, false);
    check_taken(&reply);
    stage_close(&s);
}

Test(service_poison, of_labels_is_given_for_any_rows) {
    static stage s;
    stage_open(&s, true);
    wire_reply reply = ask(&s, LIMIT_ROWS, true);
    check_taken(&reply);
    cr_assert_eq(reply.poison_rows_count, LIMIT_ROWS);
    stage_close(&s);
}

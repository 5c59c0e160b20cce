/*
 * test_admission.c - what is refused for the load, what it is told, and what it costs: the service
 * with the test in the server's place.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "admission.h"
#include "fixture.h"
#include "service.h"
#include "stub_server.h"

enum { DIM = 64, ROWS_MAX = 32, QUEUE_ROWS = 40 };

static reference *model;
static fixture_rows rows;
static stub_server stage;
static const char *names[ROWS_MAX];

static void setup(void) {
    model = fixture_reference(DIM);
    rows = fixture_source(DIM, "atk_cifar100");
    stub_server_open(&stage, (service_options){.reference = model,
                                               .engine = "cpu",
                                               .window_rows = 16,
                                               .threads = 1,
                                               .accounts_max = 64,
                                               .rows_max = ROWS_MAX,
                                               .queue_rows_max = QUEUE_ROWS});
    for (size_t i = 0; i < ROWS_MAX; i++) {
        names[i] = "a";
    }
}

static void teardown(void) {
    stub_server_close(&stage);
    reference_close(model);
    fixture_rows_free(&rows);
}

TestSuite(admission, .init = setup, .fini = teardown, .timeout = 60);

static wire_outgoing score_of(size_t count) {
    return (wire_outgoing){.op = WIRE_SCORE,
                           .rows = count,
                           .accounts = names,
                           .classes = rows.classes,
                           .dim = DIM,
                           .embeddings = rows.embeddings};
}

/* What a request that waits no longer was answered. */
typedef struct {
    wire_code code;
    uint32_t retry_after_ms;
    uint32_t fill; /* of the first row; 0: none came */
} answer_told;

static answer_told told(size_t index, const wire_outgoing *request) {
    wire_reply reply;
    nng_msg *message = stub_server_reply(&stage, index, request, NULL, &reply);
    answer_told a = {.code = reply.code, .retry_after_ms = reply.retry_after_ms};
    if (reply.fill != NULL) {
        memcpy(&a.fill, reply.fill, sizeof a.fill);
    }
    nng_msg_free(message);
    return a;
}

static void work(void) {
    cr_assert_not(service_work(stage.service, SIZE_MAX));
}

static void wait_past(uint64_t ns) {
    while (admission_clock_ns() < ns) {
    }
}

/* ---- deadlines ---- */

Test(admission, a_request_whose_time_has_passed_is_expired_and_counts_nothing) {
    wire_outgoing late = score_of(3), patient = score_of(3);
    late.deadline_ms = 1;
    patient.deadline_ms = UINT64_MAX;
    stub_server_begin(&stage, 0, &late);
    uint64_t received = admission_clock_ns();
    stub_server_begin(&stage, 1, &patient);
    wait_past(received + 2000000);
    work();
    cr_assert_eq(told(0, &late).code, WIRE_EXPIRED);
    answer_told a = told(1, &patient);
    cr_assert_eq(a.code, WIRE_OK);
    cr_assert_eq(a.fill, 3, "fill %u: the expired rows were counted", a.fill);
    late.deadline_ms = 60000;
    stub_server_begin(&stage, 0, &late);
    work();
    cr_assert_eq(told(0, &late).code, WIRE_OK, "a minute has not passed");
}

Test(admission, requests_that_are_all_expired_leave_nothing_behind) {
    wire_outgoing late = score_of(3);
    late.deadline_ms = 1;
    for (size_t i = 0; i < STUB_CALLS; i++) {
        stub_server_begin(&stage, i, &late);
    }
    wait_past(admission_clock_ns() + 2000000);
    work();
    for (size_t i = 0; i < STUB_CALLS; i++) {
        cr_assert_eq(told(i, &late).code, WIRE_EXPIRED);
    }
    metrics_model_now now = {0};
    service_look(stage.service, &now);
    cr_assert(now.queue_rows == 0 && now.queue_requests == 0 && now.accounts == 0);
}

/* REQ sends a request again whose connection dropped. Told that nothing was counted, its caller
 * would ask anew, under another number, and the rows would count twice. */
Test(admission, a_repeated_request_gets_its_answer_however_late_it_is) {
    wire_outgoing late = score_of(3), next = score_of(1);
    late.identified = true;
    late.client = 7;
    late.seq = 1;
    late.deadline_ms = 1000;
    stub_server_begin(&stage, 0, &late);
    work();
    cr_assert_eq(told(0, &late).code, WIRE_OK);
    late.deadline_ms = 1;
    stub_server_begin(&stage, 0, &late);
    wait_past(admission_clock_ns() + 2000000);
    work();
    answer_told again = told(0, &late);
    cr_assert_eq(again.code, WIRE_OK, "code %d for rows that were counted", (int)again.code);
    cr_assert_eq(again.fill, 3);
    stub_server_begin(&stage, 0, &next);
    work();
    cr_assert_eq(told(0, &next).fill, 4, "they were counted twice");
}

/* ---- overload ---- */

Test(admission, who_is_refused_for_the_load_is_told_when_to_come_again) {
    wire_outgoing most = score_of(ROWS_MAX), more = score_of(9), last = score_of(8);
    stub_server_begin(&stage, 0, &most);
    stub_server_begin(&stage, 1, &more);
    answer_told refused = told(1, &more);
    cr_assert_eq(refused.code, WIRE_OVERLOADED);
    cr_assert(refused.retry_after_ms >= 1 && refused.retry_after_ms <= ADMISSION_RETRY_MS_MAX,
              "%u ms", refused.retry_after_ms);
    stub_server_begin(&stage, 2, &last); /* the queue is full to the last row */
    stub_server_begin(&stage, 1, &last);
    cr_assert_eq(told(1, &last).code, WIRE_OVERLOADED);
    work();
    answer_told a = told(0, &most);
    cr_assert(a.code == WIRE_OK && a.retry_after_ms == 0);
    cr_assert_eq(told(2, &last).code, WIRE_OK);
}

Test(admission, what_is_in_excess_is_refused_before_it_is_decoded_but_may_ping) {
    wire_outgoing spoilt = score_of(8), ping = {.op = WIRE_PING};
    wire_outgoing forget = {.op = WIRE_FORGET, .account = "a"};
    spoilt.dim = DIM - 1;
    stage.call[0].excess = true;
    stub_server_begin(&stage, 0, &spoilt);
    cr_assert_eq(told(0, &spoilt).code, WIRE_OVERLOADED, "it was looked at");
    stub_server_begin(&stage, 0, &forget);
    cr_assert_eq(told(0, &forget).code, WIRE_OVERLOADED);
    stub_server_begin(&stage, 0, &ping);
    cr_assert_eq(told(0, &ping).code, WIRE_OK);
    stage.call[0].excess = false;
    stub_server_begin(&stage, 0, &spoilt);
    cr_assert_eq(told(0, &spoilt).code, WIRE_BAD_DIMENSION);
}

Test(admission, the_hint_is_the_time_that_what_waits_will_take, .init = NULL, .fini = NULL) {
    queue *q = queue_open(4, 1 << 30);
    admission a = {.queue = q};
    int entry;
    cr_assert_eq(admission_retry_ms(&a), 1);
    cr_assert_eq(queue_put(q, &entry, 1000), QUEUE_OK);
    atomic_store(&a.row_ns, 1000000);
    cr_assert_eq(admission_retry_ms(&a), 1001, "1,000 rows of a millisecond each");
    admission_taken(&a, 500);
    cr_assert_eq(admission_retry_ms(&a), 1501);
    cr_assert_eq(queue_put(q, &entry, 1 << 29), QUEUE_OK);
    cr_assert_eq(admission_retry_ms(&a), ADMISSION_RETRY_MS_MAX);
    atomic_store(&a.row_ns, 0);
    admission_carried(&a, 1000, admission_clock_ns() - 5000000);
    cr_assert_geq(atomic_load(&a.row_ns), 5000);
    queue_close(q);
}

/*
 * test_service.c - the request path with the test in the server's place: which requests meet in one
 * batch, when the queue is full and when it ends are then for the test to say.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "service.h"
#include "stub_server.h"
#include "wire.h"

enum { ROWS_MAX = 32, QUEUE_ROWS = 40, DIM = 64, WINDOW = 16, CLIENT = 5 };

typedef struct {
    reference *reference;
    fixture_rows rows;
    stub_server server;
} stage;

static void stage_open(stage *s) {
    *s = (stage){.reference = fixture_reference(DIM), .rows = fixture_source(DIM, "atk_cifar100")};
    stub_server_open(&s->server, (service_options){.reference = s->reference,
                                                   .engine = "cpu",
                                                   .window_rows = WINDOW,
                                                   .memory_rank = 8,
                                                   .half_life_rows = 64,
                                                   .threads = 1,
                                                   .accounts_max = 64,
                                                   .rows_max = ROWS_MAX,
                                                   .queue_rows_max = QUEUE_ROWS});
}

static void stage_close(stage *s) {
    stub_server_close(&s->server);
    reference_close(s->reference);
    fixture_rows_free(&s->rows);
}

static void work(stage *s) {
    cr_assert_not(service_work(s->server.service, SIZE_MAX), "something was left over");
}

static void begin(stage *s, size_t index, const wire_outgoing *request) {
    stub_server_begin(&s->server, index, request);
}

/* One row's answer, copied out of the reply. */
typedef struct {
    wire_code code;
    float score; /* of the first row */
    uint32_t fill;
    bool known;
} told;

/* Frees the reply. */
static told copy_of(nng_msg *message, const wire_reply *reply) {
    told a = {.code = reply->code, .known = reply->known};
    if (reply->scores != NULL) {
        memcpy(&a.score, reply->scores, sizeof a.score);
        memcpy(&a.fill, reply->fill, sizeof a.fill);
    }
    nng_msg_free(message);
    return a;
}

static told answer_of(stage *s, size_t index, const wire_outgoing *request) {
    wire_reply reply;
    nng_msg *message = stub_server_reply(&s->server, index, request, NULL, &reply);
    return copy_of(message, &reply);
}

static told ask_alone(stage *s, const wire_outgoing *request) {
    wire_reply reply;
    nng_msg *message = stub_server_ask(&s->server, request, NULL, &reply);
    return copy_of(message, &reply);
}

static wire_outgoing score_of(const stage *s, const char *account, uint64_t seq, size_t rows) {
    static const char *names[8][ROWS_MAX];
    static size_t next;
    const char **accounts = names[next++ % 8]; /* as many requests as a test keeps */
    for (size_t i = 0; i < rows; i++) {
        accounts[i] = account;
    }
    return (wire_outgoing){.op = WIRE_SCORE,
                           .identified = seq != 0,
                           .client = CLIENT,
                           .seq = seq,
                           .rows = rows,
                           .accounts = accounts,
                           .classes = s->rows.classes,
                           .dim = DIM,
                           .embeddings = s->rows.embeddings};
}

static wire_outgoing forget_of(const char *account, uint64_t seq) {
    return (wire_outgoing){.op = WIRE_FORGET,
                           .identified = seq != 0,
                           .client = CLIENT,
                           .seq = seq,
                           .account = account};
}

static wire_hello hello_of(stage *s) {
    wire_hello hello;
    wire_reply reply;
    nng_msg_free(stub_server_ask(&s->server, &(wire_outgoing){.op = WIRE_HELLO}, &hello, &reply));
    cr_assert_eq(reply.code, WIRE_OK, "%s", reply.text);
    return hello;
}

/* ---- the claims ---- */

Test(service, rows_beyond_the_queue_are_overload_and_change_nothing) {
    stage s;
    stage_open(&s);
    wire_outgoing big = score_of(&s, "a", 0, ROWS_MAX), more = score_of(&s, "b", 0, 9),
                  fits = score_of(&s, "c", 0, 8), forget = forget_of("a", 0);
    begin(&s, 0, &big);
    begin(&s, 1, &more); /* 32 + 9 > 40 */
    begin(&s, 2, &fits);
    begin(&s, 3, &forget); /* has no rows */
    cr_assert(s.server.call[0].waits && s.server.call[2].waits && s.server.call[3].waits);
    cr_assert_eq(answer_of(&s, 1, &more).code, WIRE_OVERLOADED);
    work(&s);
    cr_assert_eq(answer_of(&s, 0, &big).code, WIRE_OK);
    cr_assert_eq(answer_of(&s, 2, &fits).code, WIRE_OK);
    cr_assert(answer_of(&s, 3, &forget).known, "the rows before it made the account");
    cr_assert_eq(ask_alone(&s, &more).fill, 9, "the refused rows were counted");
    stage_close(&s);
}

static void shorten(void *context, const snapshot_state *state) {
    answers_find(state->answers, (answer_key){CLIENT, 1})->rows = 1;
    *(bool *)context = true;
}

/* As a snapshot may have it whose author knows the digests' key: what lies behind is another's. */
Test(service, an_answer_of_fewer_rows_is_not_read_beyond_its_end) {
    stage s;
    bool shortened = false;
    stage_open(&s);
    wire_outgoing request = score_of(&s, "a", 1, 8), other = score_of(&s, "b", 2, 8);
    cr_assert_eq(ask_alone(&s, &request).code, WIRE_OK);
    cr_assert_eq(ask_alone(&s, &other).code, WIRE_OK);
    service_visit(s.server.service, shorten, &shortened);
    cr_assert(shortened);
    cr_assert_eq(ask_alone(&s, &request).code, WIRE_BAD_REQUEST);
    cr_assert_eq(ask_alone(&s, &other).code, WIRE_OK);
    stage_close(&s);
}

Test(service, after_the_end_new_requests_are_draining_and_old_ones_are_answered) {
    stage s;
    stage_open(&s);
    wire_outgoing score = score_of(&s, "a", 1, 3), late = score_of(&s, "a", 2, 3),
                  forget = forget_of("a", 3), ping = {.op = WIRE_PING},
                  bad = score_of(&s, "a", 4, 3);
    bad.dim = DIM - 1;
    begin(&s, 0, &score);
    service_end(s.server.service);
    begin(&s, 1, &late);
    begin(&s, 2, &forget);
    begin(&s, 3, &ping);
    begin(&s, 4, &bad);
    cr_assert_eq(answer_of(&s, 1, &late).code, WIRE_DRAINING);
    cr_assert_eq(answer_of(&s, 2, &forget).code, WIRE_DRAINING);
    cr_assert_eq(answer_of(&s, 3, &ping).code, WIRE_OK);
    cr_assert_eq(answer_of(&s, 4, &bad).code, WIRE_BAD_DIMENSION);
    cr_assert(s.server.call[0].waits);
    work(&s);
    told a = answer_of(&s, 0, &score);
    cr_assert(a.code == WIRE_OK && a.fill == 3);
    work(&s);
    cr_assert_eq(s.server.call[0].finished, 1);
    stage_close(&s);
}

Test(service, a_repeat_in_the_same_batch_counts_once) {
    stage s;
    stage_open(&s);
    wire_outgoing score = score_of(&s, "a", 1, 3), other = score_of(&s, "a", 1, 4),
                  next = score_of(&s, "a", 2, 1);
    begin(&s, 0, &score);
    begin(&s, 1, &score);
    begin(&s, 2, &other);
    begin(&s, 3, &next);
    begin(&s, 4, &score);
    work(&s);
    told first = answer_of(&s, 0, &score), again = answer_of(&s, 1, &score),
         last = answer_of(&s, 4, &score);
    cr_assert(first.fill == 3 && again.fill == 3 && last.fill == 3);
    cr_assert(again.score == first.score && last.score == first.score);
    cr_assert_eq(answer_of(&s, 2, &other).code, WIRE_BAD_REQUEST);
    cr_assert_eq(answer_of(&s, 3, &next).fill, 4);
    stage_close(&s);
}

Test(service, requests_that_wait_together_are_carried_out_in_their_order) {
    stage s;
    stage_open(&s);
    wire_outgoing score = score_of(&s, "a", 0, 3), forget = forget_of("a", 0);
    begin(&s, 0, &score);
    begin(&s, 1, &forget);
    begin(&s, 2, &score);
    begin(&s, 3, &score);
    begin(&s, 4, &forget);
    begin(&s, 5, &forget);
    work(&s);
    cr_assert_eq(answer_of(&s, 0, &score).fill, 3);
    cr_assert(answer_of(&s, 1, &forget).known);
    cr_assert_eq(answer_of(&s, 2, &score).fill, 3);
    cr_assert_eq(answer_of(&s, 3, &score).fill, 6);
    cr_assert(answer_of(&s, 4, &forget).known);
    cr_assert_not(answer_of(&s, 5, &forget).known);
    stage_close(&s);
}

/* 20 + 20 rows wait, more than a batch of 32 holds. */
Test(service, what_does_not_fit_one_batch_goes_into_the_next) {
    stage s;
    stage_open(&s);
    wire_outgoing a = score_of(&s, "a", 0, 20), b = score_of(&s, "b", 0, 20);
    begin(&s, 0, &a);
    begin(&s, 1, &b);
    work(&s);
    told first = answer_of(&s, 0, &a), second = answer_of(&s, 1, &b);
    cr_assert(first.code == WIRE_OK && second.code == WIRE_OK);
    cr_assert_eq(first.fill, WINDOW);
    cr_assert_eq(first.score, second.score, "the same rows in two batches");
    stage_close(&s);
}

/* Both accounts' rows stand one after the other in one batch, and alone in two. */
Test(service, requests_that_share_a_batch_score_as_if_alone) {
    stage s;
    fixture_worst worst = {0};
    const double tolerance = 1e-6; /* engine.h's, for another batch */
    stage_open(&s);
    for (size_t rows = 1; rows <= WINDOW; rows++) {
        char together[2][32];
        wire_outgoing pair[2];
        for (size_t i = 0; i < 2; i++) {
            snprintf(together[i], sizeof together[i], "together %zu", i);
            pair[i] = score_of(&s, together[i], 0, rows);
            begin(&s, i, &pair[i]);
        }
        work(&s);
        told shared[2] = {answer_of(&s, 0, &pair[0]), answer_of(&s, 1, &pair[1])};
        wire_outgoing single = score_of(&s, "alone", 0, rows);
        told one = ask_alone(&s, &single);
        for (size_t i = 0; i < 2; i++) {
            cr_assert_eq(shared[i].fill, one.fill);
            fixture_compare(&worst, (double)shared[i].score, (double)one.score, "%zu rows, %zu",
                            rows, i);
        }
    }
    fixture_settle(&worst, tolerance, "requests that share a batch");
    stage_close(&s);
}

/* What waits after as many rounds as were asked for is somebody else's to carry out. */
Test(service, work_with_a_limit_says_when_more_is_left) {
    stage s;
    stage_open(&s);
    wire_outgoing a = score_of(&s, "a", 0, 3);
    cr_assert_not(service_work(s.server.service, 1), "nothing waits");
    begin(&s, 0, &a);
    cr_assert(service_work(s.server.service, 0), "a request waits");
    cr_assert(s.server.call[0].waits);
    cr_assert_not(service_work(s.server.service, 1));
    cr_assert_eq(answer_of(&s, 0, &a).fill, 3);
    begin(&s, 0, &a);
    work(&s);
    cr_assert_eq(answer_of(&s, 0, &a).fill, 6, "the queue has no owner after its last");
    stage_close(&s);
}

/* ---- several threads ---- */

enum { RACERS = 4, RACES = 1000, ALONE = STUB_CALLS / RACERS };

typedef struct {
    stage *stage;
    pthread_barrier_t *together;
    size_t number;
    wire_outgoing request;
    uint32_t fill; /* of the last answer */
} racer;

/* Begins and works, as the server does: again where it is told so, and else no more. Nobody goes on
 * before all have their answers, so that a call which was left to nobody is never answered. */
static void *race(void *argument) {
    racer *r = argument;
    for (size_t i = 0; i < RACES; i++) {
        pthread_barrier_wait(r->together);
        for (size_t k = 0; k < ALONE; k++) {
            begin(r->stage, r->number * ALONE + k, &r->request);
        }
        while (service_work(r->stage->server.service, 1 + i % 3)) {
        }
        for (size_t k = 0; k < ALONE; k++) {
            const server_call *call = &r->stage->server.call[r->number * ALONE + k];
            while (atomic_load(&call->waits)) {
                sched_yield();
            }
            told a = answer_of(r->stage, r->number * ALONE + k, &r->request);
            cr_assert_eq(a.code, WIRE_OK);
            r->fill = a.fill;
        }
    }
    return NULL;
}

typedef struct {
    pthread_t thread[RACERS];
    pthread_barrier_t together;
    racer racer[RACERS];
    char name[RACERS][16];
} field;

static void field_start(field *f, stage *s) {
    pthread_barrier_init(&f->together, NULL, RACERS);
    for (size_t i = 0; i < RACERS; i++) {
        snprintf(f->name[i], sizeof f->name[i], "racer %zu", i);
        f->racer[i] = (racer){.stage = s,
                              .together = &f->together,
                              .number = i,
                              .request = score_of(s, f->name[i], 0, 2)};
        pthread_create(&f->thread[i], NULL, race, &f->racer[i]);
    }
}

static void field_await(field *f) {
    for (size_t i = 0; i < RACERS; i++) {
        pthread_join(f->thread[i], NULL);
        cr_assert_eq(f->racer[i].fill, WINDOW);
    }
    pthread_barrier_destroy(&f->together);
}

Test(service, threads_that_race_for_the_queue_answer_every_request_once, .timeout = 60) {
    stage s;
    field f;
    stage_open(&s);
    field_start(&f, &s);
    field_await(&f);
    wire_hello hello = hello_of(&s);
    cr_assert_eq(hello.rows, RACERS * RACES * ALONE * 2, "came %zu", (size_t)hello.rows);
    cr_assert_eq(hello.requests, RACERS * RACES * ALONE + 1);
    stage_close(&s);
}

typedef struct {
    stage *stage;
    atomic_bool leave;
    size_t asked;
    size_t came;
} visitor;

static void look_around(void *context, const snapshot_state *state) {
    visitor *v = context;
    size_t used;
    uint32_t slot = accounts_next(state->accounts, ACCOUNTS_NONE);
    for (; slot != ACCOUNTS_NONE; slot = accounts_next(state->accounts, slot)) {
        cr_assert_eq(engine_export(state->engine, slot, NULL, 0, &used), ENGINE_OK);
    }
    v->came++;
}

static void *visit_often(void *argument) {
    visitor *v = argument;
    do {
        v->asked++;
        service_visit(v->stage->server.service, look_around, v);
    } while (!atomic_load(&v->leave));
    return NULL;
}

Test(service, who_visits_comes_once_each_time_and_holds_up_no_request_for_ever, .timeout = 60) {
    stage s;
    field f;
    pthread_t visiting;
    stage_open(&s);
    visitor v = {.stage = &s};
    field_start(&f, &s);
    pthread_create(&visiting, NULL, visit_often, &v);
    field_await(&f);
    atomic_store(&v.leave, true);
    pthread_join(visiting, NULL);
    printf("%zu visits among %d requests\n", v.came, RACERS * RACES * ALONE);
    cr_assert(v.came == v.asked && v.came > 0);
    cr_assert_eq(hello_of(&s).rows, RACERS * RACES * ALONE * 2);
    stage_close(&s);
}

Test(service, hello_counts_every_answer_and_of_the_rows_only_those_scored) {
    stage s;
    stage_open(&s);
    wire_outgoing score = score_of(&s, "a", 1, 3), other = score_of(&s, "b", 1, 4),
                  bad = score_of(&s, "c", 2, 5), big = score_of(&s, "d", 0, ROWS_MAX),
                  more = score_of(&s, "e", 0, 9), late = score_of(&s, "f", 0, 6);
    cr_assert_eq(hello_of(&s).requests, 1, "its own answer");
    cr_assert_eq(ask_alone(&s, &score).code, WIRE_OK);
    cr_assert_eq(ask_alone(&s, &score).code, WIRE_OK); /* a repeat */
    cr_assert_eq(ask_alone(&s, &other).code, WIRE_BAD_REQUEST);
    bad.dim = DIM - 1;
    cr_assert_eq(ask_alone(&s, &bad).code, WIRE_BAD_DIMENSION);
    begin(&s, 1, &big);
    begin(&s, 2, &more);
    cr_assert_eq(answer_of(&s, 2, &more).code, WIRE_OVERLOADED);
    work(&s);
    cr_assert_eq(answer_of(&s, 1, &big).code, WIRE_OK);
    service_end(s.server.service);
    cr_assert_eq(ask_alone(&s, &late).code, WIRE_DRAINING);
    wire_hello hello = hello_of(&s);
    cr_assert_eq(hello.requests, 9, "came %zu", (size_t)hello.requests);
    cr_assert_eq(hello.rows, 3 + ROWS_MAX, "came %zu", (size_t)hello.rows);
    cr_assert_eq(hello.accounts, 2, "a and d; came %zu", (size_t)hello.accounts);
    stage_close(&s);
}

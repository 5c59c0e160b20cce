/*
 * service.c - see service.h. The way of a request is easiest read from step, near the end,
 * up.
 */
#include "service.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "accounts.h"
#include "admission.h"
#include "answers.h"
#include "batch.h"
#include "engine.h"
#include "evidence.h"
#include "judge.h"
#include "log.h"
#include "planner.h"
#include "poison.h"
#include "queue.h"
#include "reply.h"
#include "request.h"
#include "wire.h"

#define ADDER_VERSION "0.1.0"

enum { MESSAGE_SLACK_BYTES = 4096, VISIT_PAUSE_US = 100 };

/* A batch at work, and the requests that wait for it. */
typedef struct {
    batch *batch;
    request **request; /* [contexts] */
    size_t requests;
    uint64_t submitted_ns;
} flight;

struct service {
    service_options options;
    engine_reference statistics;    /* without tables that are for another window */
    const reference_benign *benign; /* NULL: none for this window */
    evidence_rules *rules;          /* NULL: evidence decides nothing */
    size_t batch_rows_max;          /* of the engine: a row with a group counts twice */
    wire_limits limits;
    size_t message_bytes_max;
    admission admission;
    struct timespec started;
    reply_facts reply;
    unsigned char digest_key[crypto_shorthash_KEYBYTES];
    queue *queue;
    request *request;   /* [contexts] */
    engine_facts facts; /* as of opening */
    /* Of the thread that owns the queue. */
    engine *engine;
    accounts *accounts;
    judge *judge;
    answers *answers;
    flight flight[SERVICE_FLIGHTS]; /* a ring */
    size_t flight_next;             /* to be filled */
    size_t flights;                 /* at work, those before it */
    size_t in_flight_max;           /* of the engine as it is now */
    request **waiting;              /* [contexts] taken from the queue */
    planner planner;
    /* Written by who wants a visit, before visit_due is set. */
    service_visitor visit;
    void *visitor;
    atomic_bool visit_due;
    /* For hello and the metrics: written by the owner, read by anyone. */
    atomic_bool degraded; /* the CPU engine has taken over */
    atomic_size_t accounts_held;
    atomic_uint_fast64_t accounts_evicted;
    atomic_uint_fast64_t rows_scored;
    atomic_uint_fast64_t requests;
};

/* ---- opening and closing ---- */

static bool init_planner(service *s) {
    const service_options *o = &s->options;
    return planner_init(&s->planner, &(planner_options){.accounts = s->accounts,
                                                        .engine = s->engine,
                                                        .judge = s->judge,
                                                        .answers = s->answers,
                                                        .statistics = &s->statistics,
                                                        .policy = &o->policy,
                                                        .rows_max = o->rows_max,
                                                        .batch_rows_max = s->batch_rows_max,
                                                        .window_rows = o->window_rows,
                                                        .release_after = o->release_after});
}

static bool open_parts(service *s) {
    const service_options *o = &s->options;
    s->queue = queue_open(o->contexts, o->queue_rows_max);
    s->accounts = accounts_open(o->accounts_max);
    /* Twice the rows of all batches: those of an answer do not wrap around, so as many may be
     * skipped, and no answer of a batch at work may be dropped for a later one. */
    size_t at_work = 2 * SERVICE_FLIGHTS * s->batch_rows_max;
    s->answers = answers_open(ANSWERS_ROWS_MAX > at_work ? ANSWERS_ROWS_MAX : at_work);
    for (size_t i = 0; i < SERVICE_FLIGHTS; i++) {
        s->flight[i].batch = batch_open(&(batch_options){.rows_max = s->batch_rows_max,
                                                         .places_max = 2 * s->batch_rows_max,
                                                         .slots_max = o->accounts_max,
                                                         .window_rows = o->window_rows,
                                                         .sides_only = o->policy.decisions_only,
                                                         .threshold = o->policy.threshold});
        s->flight[i].request = calloc(o->contexts, sizeof *s->flight[i].request);
        if (s->flight[i].batch == NULL || s->flight[i].request == NULL) {
            return false;
        }
    }
    s->waiting = calloc(o->contexts, sizeof *s->waiting);
    s->judge = judge_open(&(judge_options){.policy = o->policy,
                                           .rules = s->rules,
                                           .lists = o->lists,
                                           .slots_max = o->accounts_max,
                                           .window_rows = o->window_rows,
                                           .release_after = o->release_after,
                                           .observations_max = s->batch_rows_max});
    s->request = calloc(o->contexts, sizeof *s->request);
    s->admission =
        (admission){.queue = s->queue,
                    .queue_rows_max = o->queue_rows_max,
                    .batch_rows_max = s->batch_rows_max,
                    .poison_rows_max = o->hard_label ? SIZE_MAX
                                                     : SERVICE_POISON_BYTES_MAX /
                                                           (sizeof(float) * s->limits.classes),
                    .classes = s->limits.classes};
    if (!s->queue || !s->accounts || !s->answers || !s->judge || !s->waiting || !s->request ||
        !init_planner(s)) {
        return false;
    }
    for (size_t i = 0; i < o->contexts; i++) {
        if (!request_init(&s->request[i], o->rows_max, s->limits.classes)) {
            return false;
        }
    }
    return true;
}

static bool open_engine(service *s, char *error, size_t error_bytes) {
    const service_options *o = &s->options;
    size_t classes = o->reference->statistics.classes;
    size_t per_account =
        classes < SERVICE_BLOCKS_PER_ACCOUNT_DEFAULT ? classes : SERVICE_BLOCKS_PER_ACCOUNT_DEFAULT;
    return engine_open(&s->engine, &s->statistics,
                       &(engine_options){.name = o->engine,
                                         .window_rows = o->window_rows,
                                         .memory_rank = o->memory_rank,
                                         .half_life_rows = o->half_life_rows,
                                         .memory_blocks = o->accounts_max * per_account,
                                         .slots_max = o->accounts_max,
                                         .batch_rows_max = s->batch_rows_max,
                                         .threads = o->threads,
                                         .tf32 = o->tf32},
                       error, error_bytes) == ENGINE_OK;
}

/* Which tables are for this window, and whether evidence by them decides. */
static bool open_rules(service *s) {
    const service_options *o = &s->options;
    const reference_benign *benign = o->reference->benign;
    s->statistics = o->reference->statistics;
    s->statistics.benign = NULL;
    if (benign != NULL && benign->evidence.window_rows == o->window_rows &&
        !o->policy.decisions_only) {
        s->benign = benign;
        s->statistics.benign = &benign->window;
    }
    if (s->benign != NULL && !o->policy.has_threshold && o->policy.mode != WIRE_OFF) {
        s->rules = evidence_open(&s->benign->evidence);
        return s->rules != NULL;
    }
    return true;
}

static void fill_reply_facts(service *s) {
    const policy *policy = &s->options.policy;
    reply_facts *reply = &s->reply;
    reply->limits = &s->limits;
    reply->hard_label = s->options.hard_label;
    reply->has_memory = s->facts.memory_rank > 0;
    reply->has_tables = s->benign != NULL;
    reply->has_evidence = s->rules != NULL;
    reply->has_verdicts = policy->mode != WIRE_OFF &&
                          (s->rules != NULL || policy->has_threshold || s->options.lists != NULL);
    reply->may_poison =
        reply->has_verdicts && policy->mode == WIRE_ENFORCE && policy->action == WIRE_ACT_POISON;
}

bool service_open(service **out, const service_options *options, char *error, size_t error_bytes) {
    *out = NULL;
    service *s = calloc(1, sizeof *s);
    if (s == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    s->options = *options;
    /* A batch may never need more places than there are, so that no account of a batch is evicted
     * by a later row of it. */
    if (s->options.rows_max > options->accounts_max) {
        s->options.rows_max = options->accounts_max;
    }
    const engine_reference *statistics = &options->reference->statistics;
    size_t twice = 2 * s->options.rows_max;
    size_t most = options->accounts_max < ENGINE_BATCH_ROWS_MAX ? options->accounts_max
                                                                : ENGINE_BATCH_ROWS_MAX;
    s->batch_rows_max = twice < most ? twice : most;
    s->limits = (wire_limits){.model = options->reference->model,
                              .dim = statistics->dim,
                              .classes = statistics->classes,
                              .rows_max = s->options.rows_max};
    size_t row_bytes = statistics->dim * sizeof(float) + sizeof(uint32_t) +
                       2 * (WIRE_ACCOUNT_BYTES_MAX + 3); /* account and group with their headers */
    s->message_bytes_max = s->options.rows_max * row_bytes + MESSAGE_SLACK_BYTES;
    clock_gettime(CLOCK_MONOTONIC, &s->started);
    poison_init(&s->reply.poison, options->poison, options->secret);
    crypto_shorthash_keygen(s->digest_key);
    if (!open_rules(s)) {
        snprintf(error, error_bytes, "out of memory");
        service_close(s);
        return false;
    }
    if (!open_engine(s, error, error_bytes)) {
        service_close(s);
        return false;
    }
    s->facts = engine_describe(s->engine);
    s->in_flight_max = s->facts.in_flight_max;
    fill_reply_facts(s);
    if (!open_parts(s)) {
        snprintf(error, error_bytes, "out of memory for %zu accounts and requests of %zu rows",
                 s->options.accounts_max, s->options.rows_max);
        service_close(s);
        return false;
    }
    *out = s;
    return true;
}

void service_close(service *s) {
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; s->request != NULL && i < s->options.contexts; i++) {
        request_fini(&s->request[i]);
    }
    free(s->request);
    planner_fini(&s->planner);
    free(s->waiting);
    for (size_t i = 0; i < SERVICE_FLIGHTS; i++) {
        free(s->flight[i].request);
        batch_close(s->flight[i].batch);
    }
    answers_close(s->answers);
    judge_close(s->judge);
    accounts_close(s->accounts);
    queue_close(s->queue);
    engine_close(s->engine);
    evidence_close(s->rules);
    poison_fini(&s->reply.poison);
    free(s);
}

size_t service_rows_max(const service *s) {
    return s->options.rows_max;
}

size_t service_message_bytes_max(const service *s) {
    return s->message_bytes_max;
}

engine_facts service_facts(const service *s) {
    return s->facts;
}

void service_look(const service *s, metrics_now *now) {
    now->version = ADDER_VERSION;
    now->degraded = atomic_load(&s->degraded);
    now->engine = now->degraded ? "cpu" : s->facts.name;
    now->model = s->limits.model;
    now->mode = s->options.policy.mode;
    now->action = s->options.policy.action;
    now->accounts = atomic_load(&s->accounts_held);
    now->accounts_max = s->options.accounts_max;
    now->evictions = atomic_load(&s->accounts_evicted);
    now->account_bytes = s->facts.bytes_per_slot;
    now->block_bytes = s->facts.bytes_per_block;
    queue_waiting(s->queue, &now->queue_requests, &now->queue_rows);
}

/* ---- on NNG's threads ---- */

bool service_begin(void *host, server_call *call, const void *message, size_t bytes) {
    service *s = host;
    request *r = &s->request[server_call_index(call)];
    r->call = call;
    r->received_ns = metrics_clock_ns(s->options.metrics);
    if (admission_sheds(&s->admission, r, bytes)) {
        metrics_received(s->options.metrics, WIRE_OK, WIRE_SCORE);
        return true;
    }
    r->code = wire_decode_request(&r->wire, r->scratch, &s->limits, message, bytes, r->text);
    metrics_received(s->options.metrics, r->code, r->wire.op);
    if (r->code != WIRE_OK || r->wire.op == WIRE_HELLO || r->wire.op == WIRE_PING) {
        return true;
    }
    if (r->wire.identified) {
        r->digest = request_digest(r, s->digest_key);
    }
    return !admission_puts(&s->admission, r); /* in the queue it is the owner's */
}

static wire_hello hello_of(service *s) {
    const service_options *o = &s->options;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    wire_hello hello = {
        .version = ADDER_VERSION,
        .degraded = atomic_load(&s->degraded),
        .rows_max = o->rows_max,
        .message_bytes_max = s->message_bytes_max,
        .accounts_max = o->accounts_max,
        .accounts = atomic_load(&s->accounts_held),
        .rows = atomic_load(&s->rows_scored),
        .requests = atomic_load(&s->requests),
        .uptime_s = (double)(now.tv_sec - s->started.tv_sec),
        .models = 1,
    };
    snprintf(hello.engine, sizeof hello.engine, "%s", hello.degraded ? "cpu" : s->facts.name);
    wire_model *model = &hello.model[0];
    *model = (wire_model){.dim = s->limits.dim,
                          .classes = s->limits.classes,
                          .rank = o->reference->statistics.rank,
                          .window = o->window_rows,
                          .memory_rank = s->facts.memory_rank,
                          .half_life = o->half_life_rows,
                          .has_threshold = o->policy.has_threshold,
                          .threshold = o->policy.threshold,
                          .decisions_only = o->policy.decisions_only,
                          .min_fill = o->policy.fill_min,
                          .hard_label = o->hard_label,
                          .mode = o->policy.mode,
                          .action = o->policy.action,
                          .has_tables = s->benign != NULL,
                          .false_alarms = s->rules != NULL ? s->benign->false_alarms : 0.0,
                          .evidence_threshold = s->rules != NULL ? 1.0 : 0.0};
    snprintf(model->name, sizeof model->name, "%s", s->limits.model);
    return hello;
}

int service_encode(void *host, server_call *call, nng_msg *reply) {
    service *s = host;
    request *r = &s->request[server_call_index(call)];
    wire_hello hello;
    atomic_fetch_add(&s->requests, 1);
    if (r->code == WIRE_OK && r->wire.op == WIRE_HELLO) {
        hello = hello_of(s);
    }
    uint64_t start_ns = metrics_clock_ns(s->options.metrics);
    int error = reply_encode(&s->reply, r, &hello, reply);
    metrics_replied(s->options.metrics, r->code, r->wire.op, r->received_ns, start_ns);
    return error;
}

/* ---- on the thread that owns the queue ---- */

/* After a call of the engine, in which it may have lost its device. */
static void watch_engine(service *s) {
    engine_facts facts = engine_describe(s->engine);
    s->in_flight_max = facts.in_flight_max;
    if (facts.degraded && !atomic_load(&s->degraded)) {
        atomic_store(&s->degraded, true);
        log_line(LOG_WARNING, "%s", facts.note);
    }
}

/* To send a reply from here wakes no other thread; but where there is poison to draw, which is
 * drawn whatever the verdicts are, that would hold up the next batch. The request is not ours any
 * more afterwards. */
static void give_back(const service *s, request *r) {
    bool drawn = r->code == WIRE_OK && r->wire.want_poison && s->reply.may_poison;
    if (drawn) {
        server_finish(r->call);
    } else {
        server_answer(r->call);
    }
}

/* Takes over what the batch's observations came to, row by row. */
static void decide(service *s, const batch *batch, request *r) {
    answer_row row;
    for (size_t i = 0; i < r->wire.rows; i++) {
        if (!judge_row_repeats(batch, r, i)) {
            row = judge_row(s->judge, batch, r, i);
        }
        request_answer_row(r, i, &row);
        if (r->answer != NULL) {
            r->answer->row[i] = row;
        }
    }
    metrics_decided(s->options.metrics, r->decisions, r->wire.rows,
                    r->wire.want_poison && s->reply.may_poison);
    r->degraded = atomic_load(&s->degraded);
    if (r->answer != NULL) {
        r->answer->degraded = r->degraded;
        r->answer->pending = false;
    }
}

/* What the engine said of a batch goes to its requests. */
static void settle(service *s, flight *f, engine_status status) {
    uint64_t start_ns = metrics_clock_ns(s->options.metrics);
    watch_engine(s);
    if (status == ENGINE_OK) {
        judge_observe(s->judge, f->batch);
    } else {
        judge_skip(s->judge, f->batch);
    }
    for (size_t i = 0; i < f->requests; i++) {
        request *r = f->request[i];
        if (status == ENGINE_OK) {
            atomic_fetch_add(&s->rows_scored, r->wire.rows);
            decide(s, f->batch, r);
        } else {
            request_refuse(r, WIRE_INTERNAL, engine_status_text(status));
            if (r->answer != NULL) {
                answers_forget(s->answers, r->answer);
            }
        }
    }
    metrics_stage_since(s->options.metrics, METRICS_DECIDE, start_ns);
    for (size_t i = 0; i < f->requests; i++) {
        give_back(s, f->request[i]);
    }
}

static void land(service *s) {
    flight *oldest = &s->flight[(s->flight_next + SERVICE_FLIGHTS - s->flights) % SERVICE_FLIGHTS];
    engine_status status = engine_collect(s->engine);
    metrics_stage_since(s->options.metrics, METRICS_ENGINE, oldest->submitted_ns);
    s->flights--;
    settle(s, oldest, status);
}

/* Gives a filled flight to the engine, and waits for as many as must be done for the next. */
static void take_off(service *s, flight *f) {
    f->submitted_ns = metrics_clock_ns(s->options.metrics);
    metrics_batch(s->options.metrics, batch_rows(f->batch));
    engine_status status = engine_submit(s->engine, batch_engine(f->batch));
    if (status != ENGINE_OK) {
        while (s->flights > 0) {
            land(s); /* accounts that gave their slots to this batch's have rows in them */
        }
        settle(s, f, status);
        return;
    }
    s->flight_next = (s->flight_next + 1) % SERVICE_FLIGHTS;
    s->flights++;
    watch_engine(s);
    while (s->flights == SERVICE_FLIGHTS || s->flights >= s->in_flight_max) {
        land(s);
    }
}

/* Its account's rows that are at work come before. */
static void look_up(service *s, request *r) {
    while (s->flights > 0) {
        land(s);
    }
    planner_look_up(&s->planner, r);
    atomic_store(&s->accounts_held, accounts_held(s->accounts));
}

/* Carries out as many of these requests as fit one batch; returns how many it took. */
static size_t run_batch(service *s, request **requests, size_t count) {
    flight *f = &s->flight[s->flight_next];
    size_t taken = 0;
    uint64_t now_ns = metrics_clock_ns(s->options.metrics);
    batch_clear(f->batch);
    f->requests = 0;
    for (; taken < count; taken++) {
        request *r = requests[taken];
        if (admission_expires(r)) {
            give_back(s, r);
            continue;
        }
        planned planned = planner_plan(&s->planner, f->batch, r);
        if (planned == PLANNED_LATER) {
            break;
        }
        metrics_stage_took(s->options.metrics, METRICS_WAIT, now_ns - r->received_ns);
        if (planned == PLANNED_ROWS) {
            f->request[f->requests++] = r;
            continue;
        }
        if (planned == PLANNED_LOOKUP) {
            look_up(s, r);
        }
        give_back(s, r);
    }
    atomic_store(&s->accounts_held, accounts_held(s->accounts));
    atomic_store(&s->accounts_evicted, accounts_evicted(s->accounts));
    if (f->requests > 0) {
        take_off(s, f);
    } else if (taken == 0) {
        land(s); /* what the first of them waits for is at work */
    }
    return taken;
}

/* Lets who asked for it see everything as it is between two batches. */
static void receive_visit(service *s) {
    if (!atomic_load(&s->visit_due)) {
        return;
    }
    while (s->flights > 0) {
        land(s);
    }
    s->visit(s->visitor, &(snapshot_state){.engine = s->engine,
                                           .accounts = s->accounts,
                                           .judge = s->judge,
                                           .answers = s->answers,
                                           .digest_key = s->digest_key,
                                           .accounts_max = s->options.accounts_max});
    atomic_store(&s->accounts_held, accounts_held(s->accounts));
    watch_engine(s);
    atomic_store(&s->visit_due, false);
}

/* Takes all requests that wait and carries them out; where the engine works beside its caller, the
 * last of their batches is finished by the next call. False: nothing waits or is at work any more,
 * and this thread owns the queue no longer. */
static bool step(service *s) {
    receive_visit(s);
    bool at_work = s->flights > 0;
    size_t count = queue_take(s->queue, (void **)s->waiting, s->options.contexts, at_work);
    if (count == 0 && at_work) {
        land(s);
        return true;
    }
    uint64_t began_ns = admission_clock_ns();
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        rows += s->waiting[i]->engine_rows;
    }
    admission_taken(&s->admission, rows);
    for (size_t done = 0; done < count;) {
        done += run_batch(s, s->waiting + done, count - done);
    }
    admission_carried(&s->admission, rows, began_ns);
    return count > 0;
}

bool service_work(void *host, size_t rounds) {
    service *s = host;
    if (!queue_own(s->queue)) {
        return false;
    }
    for (size_t i = 0; i < rounds; i++) {
        if (!step(s)) {
            return false;
        }
    }
    return queue_disown(s->queue, s->flights > 0);
}

/* Where nobody is at work, the caller becomes the owner, and has to carry out what has come
 * meanwhile, unless another thread does. */
void service_visit(service *s, service_visitor visit, void *context) {
    static const struct timespec pause = {.tv_nsec = VISIT_PAUSE_US * 1000};
    s->visit = visit;
    s->visitor = context;
    atomic_store(&s->visit_due, true);
    while (atomic_load(&s->visit_due)) {
        if (!queue_seize(s->queue)) {
            nanosleep(&pause, NULL);
            continue;
        }
        receive_visit(s);
        bool more = queue_disown(s->queue, s->flights > 0);
        while (more && service_work(s, 1)) {
            nanosleep(&pause, NULL); /* in which a thread of the server's may take over */
        }
    }
}

void service_end(service *s) {
    queue_end(s->queue);
}

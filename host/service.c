/*
 * service.c - see service.h. The way of a request is easiest read from step, near the end,
 * up.
 */
#include "service_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capacity.h"
#include "log.h"
#include "request.h"
#include "wire.h"

enum { VISIT_PAUSE_US = 100 };

/* ---- what it tells of itself ---- */

static terms told_of(service *s) {
    pthread_mutex_lock(&s->telling);
    terms told = s->told;
    pthread_mutex_unlock(&s->telling);
    return told;
}

const wire_limits *service_limits(const service *s) {
    return &s->limits;
}

size_t service_message_bytes_max(const service *s) {
    return s->message_bytes_max;
}

engine_facts service_facts(const service *s) {
    return s->facts;
}

void service_look(service *s, metrics_model_now *now) {
    terms told = told_of(s);
    const policy *policy = &told.judge.policy;
    *now = (metrics_model_now){.mode = policy->mode,
                               .action = policy->action,
                               .accounts = atomic_load(&s->accounts_held),
                               .accounts_max = s->options.accounts_max,
                               .rows = atomic_load(&s->rows_scored),
                               .evictions = atomic_load(&s->accounts_evicted),
                               .account_bytes = s->facts.bytes_per_slot,
                               .block_bytes = s->facts.bytes_per_block,
                               .bytes_held = atomic_load(&s->bytes_held),
                               .degraded = atomic_load(&s->degraded)};
    snprintf(now->name, sizeof now->name, "%s", s->limits.model);
    queue_waiting(s->queue, &now->queue_requests, &now->queue_rows);
    queue_pulse(s->queue, &now->queue_takes, &now->queue_busy);
}

void service_tell(service *s, wire_model *model) {
    const service_options *o = &s->options;
    terms told = told_of(s);
    const policy *policy = &told.judge.policy;
    *model = (wire_model){.dim = s->limits.dim,
                          .classes = s->limits.classes,
                          .rank = o->reference->statistics.rank,
                          .window = o->window_rows,
                          .memory_rank = s->facts.memory_rank,
                          .half_life = o->half_life_rows,
                          .has_threshold = policy->has_threshold,
                          .threshold = policy->threshold,
                          .decisions_only = policy->decisions_only,
                          .min_fill = policy->fill_min,
                          .hard_label = o->hard_label,
                          .mode = policy->mode,
                          .action = policy->action,
                          .has_tables = told.replying.has_tables,
                          .false_alarms = told.false_alarms,
                          .evidence_threshold = told.replying.has_evidence ? 1.0 : 0.0};
    snprintf(model->name, sizeof model->name, "%s", s->limits.model);
}

/* ---- on NNG's threads ---- */

bool service_put(service *s, request *r) {
    if (r->wire.identified) {
        r->digest = request_digest(r, s->digest_key);
    }
    return !admission_puts(&s->admission, r); /* in the queue it is the owner's */
}

const admission *service_admission(const service *s) {
    return &s->admission;
}

int service_encode(service *s, request *r, nng_msg *reply) {
    return reply_encode(&s->reply, r, NULL, reply);
}

/* ---- on the thread that owns the queue ---- */

/* After a call of the engine, in which it may have lost its device, or have come to hold less. */
static void watch_engine(service *s) {
    engine_facts facts = engine_describe(s->engine);
    s->in_flight_max = facts.in_flight_max;
    atomic_store(&s->bytes_held, capacity_held(&facts, s->accounts, s->judge));
    if (facts.degraded && !atomic_load(&s->degraded)) {
        atomic_store(&s->degraded, true);
        log_event(LOG_WARNING, "degraded", "%s", facts.note);
    }
}

/* To send a reply from here wakes no other thread; but where there is poison to draw, which is
 * drawn whatever the verdicts are, that would hold up the next batch. The request is not ours any
 * more afterwards. */
static void give_back(const service *s, request *r) {
    r->terms = s->terms.replying;
    bool drawn = r->code == WIRE_OK && r->wire.want_poison && r->terms.may_poison;
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
    metrics_decided(s->counted, &(metrics_decisions){.mode = s->terms.judge.policy.mode,
                                                     .action = s->terms.judge.policy.action,
                                                     .decisions = r->decisions,
                                                     .rows = r->wire.rows,
                                                     .poisoned = r->wire.want_poison &&
                                                                 s->terms.replying.may_poison});
    metrics_levels(s->options.metrics, judge_has_evidence(s->judge) ? r->evidence : r->scores,
                   r->wire.rows, judge_limit(s->judge));
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
    watch_engine(s);
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
        /* To say of rows that were counted that they were not, would have them asked about again.
         */
        if (admission_is_late(r) && !planner_repeats(&s->planner, r)) {
            admission_expire(r);
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
                                           .accounts_max = s->options.accounts_max,
                                           .explain = planner_explains(&s->planner)});
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

bool service_work(service *s, size_t rounds) {
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
    pthread_mutex_lock(&s->visiting);
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
    pthread_mutex_unlock(&s->visiting);
}

/* ---- new terms ---- */

void service_adopt(service *s, terms *new) {
    terms_fini(&s->terms);
    s->terms = *new;
    s->statistics.benign = new->tables;
    new->rules = NULL;
    pthread_mutex_lock(&s->telling);
    s->told = s->terms;
    pthread_mutex_unlock(&s->telling);
}

struct service_revision {
    service *service;
    terms terms;
};

/* Of tables that the engine on a device has no room for. */
static bool check_tables(const service *s, const terms *terms, char *error, size_t error_bytes) {
    const engine_benign *old = s->statistics.benign, *new = terms->tables;
    bool same = (old == NULL ? 0 : old->rungs) == (new == NULL ? 0 : new->rungs);
    if (same || strcmp(s->facts.name, "cpu") == 0) {
        return true;
    }
    snprintf(error, error_bytes,
             "the %s engine cannot take benign tables of another length while the daemon runs; "
             "restart it",
             s->facts.name);
    return false;
}

bool service_prepare(service *s, const terms_options *options, service_revision **out, char *error,
                     size_t error_bytes) {
    service_revision *v = calloc(1, sizeof *v);
    *out = NULL;
    if (v == NULL || !terms_init(&v->terms, options, s->options.window_rows)) {
        snprintf(error, error_bytes, "out of memory");
        service_drop(v);
        return false;
    }
    if (!check_tables(s, &v->terms, error, error_bytes)) {
        service_drop(v);
        return false;
    }
    v->service = s;
    *out = v;
    return true;
}

/* A device that is lost here is told of by watch_engine, and the CPU takes over. */
static void revise(void *context, const snapshot_state *state) {
    service_revision *v = context;
    service *s = v->service;
    engine_calibrate(state->engine, v->terms.tables);
    judge_revise(s->judge, &v->terms.judge);
    for (size_t i = 0; i < SERVICE_FLIGHTS; i++) {
        batch_revise(s->flight[i].batch, v->terms.judge.policy.threshold);
    }
    service_adopt(s, &v->terms);
}

void service_revise(service *s, service_revision *v) {
    service_visit(s, revise, v);
    service_drop(v);
}

void service_drop(service_revision *v) {
    if (v != NULL) {
        terms_fini(&v->terms);
        free(v);
    }
}

void service_end(service *s) {
    queue_end(s->queue);
}

/*
 * front.c - see front.h.
 *
 * The services there are stand in a roll, which is never changed but replaced. Who reads it holds
 * it meanwhile; a request, and a thread at a service's work, hold that service. All of it is
 * counted under one lock, held for a few instructions at a time.
 */
#include "front.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admission.h"
#include "reply.h"
#include "request.h"
#include "wire.h"

enum { LOOK_PAUSE_US = 200 };

typedef struct {
    size_t held;
    size_t count;
    wire_limits limits[WIRE_MODELS_MAX];
    service *service[WIRE_MODELS_MAX];
    size_t at[WIRE_MODELS_MAX]; /* where the service is counted */
} roll;

/* A service, in this roll or in one that is still held. */
typedef struct {
    service *service; /* NULL: a free place */
    size_t held;
} holding;

struct front {
    front_options options;
    struct timespec started;
    request *request; /* [contexts] */
    size_t *holds;    /* [contexts] which of the holdings the request is counted in */
    atomic_uint_fast64_t requests;
    pthread_mutex_t lock; /* of all that follows */
    roll *roll;
    holding holding[2 * WIRE_MODELS_MAX];
};

front *front_open(const front_options *options) {
    front *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return NULL;
    }
    f->options = *options;
    clock_gettime(CLOCK_MONOTONIC, &f->started);
    pthread_mutex_init(&f->lock, NULL);
    f->roll = calloc(1, sizeof *f->roll);
    f->holds = calloc(options->contexts, sizeof *f->holds);
    f->request = calloc(options->contexts, sizeof *f->request);
    bool good = f->roll != NULL && f->holds != NULL && f->request != NULL;
    for (size_t i = 0; good && i < options->contexts; i++) {
        /* Room for any number of classes: pages that are never written take none. */
        good = request_init(&f->request[i], options->rows_max, ENGINE_CLASSES_MAX);
    }
    if (!good) {
        front_close(f);
        return NULL;
    }
    return f;
}

void front_close(front *f) {
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; f->request != NULL && i < f->options.contexts; i++) {
        request_fini(&f->request[i]);
    }
    free(f->request);
    free(f->holds);
    free(f->roll);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* ---- who is held ---- */

static roll *hold_roll(front *f) {
    pthread_mutex_lock(&f->lock);
    roll *roll = f->roll;
    roll->held++;
    pthread_mutex_unlock(&f->lock);
    return roll;
}

static void leave_roll(front *f, roll *roll) {
    pthread_mutex_lock(&f->lock);
    roll->held--;
    pthread_mutex_unlock(&f->lock);
}

static void leave_service(front *f, size_t at) {
    pthread_mutex_lock(&f->lock);
    f->holding[at].held--;
    pthread_mutex_unlock(&f->lock);
}

/* Of a roll that is held; from now on the service is, instead of it. */
static void hold_service(front *f, roll *roll, size_t model, size_t *at) {
    pthread_mutex_lock(&f->lock);
    *at = roll->at[model];
    f->holding[*at].held++;
    roll->held--;
    pthread_mutex_unlock(&f->lock);
}

/* ---- requests ---- */

/* Whether a message that is not decoded yet is refused as overload. Of several models it is not
 * known yet whose queue it is for; then only what the server has too much of is refused here. */
static bool sheds(const roll *roll, request *r, size_t bytes) {
    if (bytes <= ADMISSION_SCORE_BYTES || roll->count == 0) {
        return false;
    }
    const admission *first = service_admission(roll->service[0]);
    bool excess = server_call_excess(r->call);
    if (!excess && (roll->count > 1 || !admission_is_full(first))) {
        return false;
    }
    r->wire = (wire_request){.op = WIRE_SCORE};
    admission_shed(first, r, excess);
    for (size_t i = 1; i < roll->count; i++) {
        uint32_t ms = admission_retry_ms(service_admission(roll->service[i]));
        r->retry_after_ms = ms > r->retry_after_ms ? ms : r->retry_after_ms;
    }
    return true;
}

bool front_begin(void *host, server_call *call, const void *message, size_t bytes) {
    front *f = host;
    size_t index = server_call_index(call);
    request *r = &f->request[index];
    roll *roll = hold_roll(f);
    r->call = call;
    r->service = NULL;
    r->retry_after_ms = 0;
    r->received_ns = metrics_clock_ns(f->options.metrics);
    if (sheds(roll, r, bytes)) {
        metrics_received(f->options.metrics, WIRE_OK, WIRE_SCORE);
        leave_roll(f, roll);
        return true;
    }
    r->code = wire_decode_request(&r->wire, r->scratch, (wire_served){roll->limits, roll->count},
                                  message, bytes, r->text);
    metrics_received(f->options.metrics, r->code, r->wire.op);
    if (r->code != WIRE_OK || r->wire.op == WIRE_HELLO || r->wire.op == WIRE_PING) {
        leave_roll(f, roll);
        return true;
    }
    service *service = roll->service[r->wire.model];
    hold_service(f, roll, r->wire.model, &f->holds[index]);
    r->service = service;
    return service_put(service, r); /* the request is the service's, or to be answered */
}

/* One service after another, each held only while its work is done: a thread that never comes to
 * an end with one must not keep another from being closed. */
bool front_work(void *host, size_t rounds) {
    front *f = host;
    bool more = false;
    for (size_t at = 0; at < 2 * WIRE_MODELS_MAX; at++) {
        pthread_mutex_lock(&f->lock);
        service *service = f->holding[at].service;
        f->holding[at].held += service != NULL;
        pthread_mutex_unlock(&f->lock);
        if (service != NULL) {
            more = service_work(service, rounds) || more;
            leave_service(f, at);
        }
    }
    return more;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

void front_hello(front *f, wire_hello *hello) {
    struct timespec now;
    engine_facts facts = {.name = ""};
    clock_gettime(CLOCK_MONOTONIC, &now);
    roll *roll = hold_roll(f);
    *hello = (wire_hello){.version = ADDER_VERSION,
                          .rows_max = SIZE_MAX,
                          .requests = atomic_load(&f->requests),
                          .uptime_s = (double)(now.tv_sec - f->started.tv_sec),
                          .models = roll->count};
    for (size_t i = 0; i < roll->count; i++) {
        service *service = roll->service[i];
        size_t message_bytes_max = service_message_bytes_max(service);
        metrics_model_now look;
        service_tell(service, &hello->model[i]);
        service_look(service, &look);
        facts = service_facts(service);
        hello->degraded = hello->degraded || look.degraded;
        hello->rows_max = least(hello->rows_max, roll->limits[i].rows_max);
        hello->message_bytes_max = message_bytes_max > hello->message_bytes_max
                                       ? message_bytes_max
                                       : hello->message_bytes_max;
        hello->accounts += look.accounts;
        hello->accounts_max += look.accounts_max;
        hello->rows += look.rows;
    }
    leave_roll(f, roll);
    snprintf(hello->engine, sizeof hello->engine, "%s", hello->degraded ? "cpu" : facts.name);
}

int front_encode(void *host, server_call *call, nng_msg *reply) {
    front *f = host;
    size_t index = server_call_index(call);
    request *r = &f->request[index];
    uint64_t start_ns = metrics_clock_ns(f->options.metrics);
    wire_hello hello;
    int error;
    atomic_fetch_add(&f->requests, 1);
    if (r->service != NULL) {
        error = service_encode(r->service, r, reply);
        leave_service(f, f->holds[index]);
    } else {
        if (r->code == WIRE_OK && r->wire.op == WIRE_HELLO) {
            front_hello(f, &hello);
        }
        error = reply_encode(NULL, r, &hello, reply);
    }
    metrics_replied(f->options.metrics, r->code, r->wire.op, r->received_ns, start_ns);
    return error;
}

/* ---- the roll ---- */

void front_look(front *f, metrics_now *now) {
    roll *roll = hold_roll(f);
    now->version = ADDER_VERSION;
    now->engine = "";
    now->models = roll->count;
    for (size_t i = 0; i < roll->count; i++) {
        service_look(roll->service[i], &now->model[i]);
        now->engine = now->model[i].degraded ? "cpu" : service_facts(roll->service[i]).name;
    }
    leave_roll(f, roll);
}

/* The service is held, not the roll: a visit waits for a batch, and for other visits. */
bool front_visit(front *f, const char *model, service_visitor visit, void *context) {
    roll *roll = hold_roll(f);
    size_t i = 0, at;
    while (i < roll->count && strcmp(roll->limits[i].model, model) != 0) {
        i++;
    }
    if (i == roll->count) {
        leave_roll(f, roll);
        return false;
    }
    service *service = roll->service[i];
    hold_service(f, roll, i, &at);
    service_visit(service, visit, context);
    leave_service(f, at);
    return true;
}

void front_end(front *f) {
    roll *roll = hold_roll(f);
    for (size_t i = 0; i < roll->count; i++) {
        service_end(roll->service[i]);
    }
    leave_roll(f, roll);
}

/* Under the lock: where the service is counted, from now on if it was not. */
static size_t holding_of(front *f, service *service) {
    size_t free = 2 * WIRE_MODELS_MAX;
    for (size_t at = 0; at < 2 * WIRE_MODELS_MAX; at++) {
        if (f->holding[at].service == service) {
            return at;
        }
        if (f->holding[at].service == NULL && at < free) {
            free = at;
        }
    }
    assert(free < 2 * WIRE_MODELS_MAX); /* those of the old roll and of the new one */
    f->holding[free] = (holding){.service = service};
    return free;
}

static bool is_in(const roll *roll, const service *service) {
    size_t i = 0;
    while (i < roll->count && roll->service[i] != service) {
        i++;
    }
    return i < roll->count;
}

/* Whether nobody holds it any more; then its place is free. */
static bool is_over(front *f, roll *old, size_t at) {
    pthread_mutex_lock(&f->lock);
    bool over = old->held == 0 && f->holding[at].held == 0;
    if (over) {
        f->holding[at].service = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    return over;
}

/* The server's threads come by only with requests of others. */
static void work_off(front *f, roll *old, size_t model) {
    static const struct timespec pause = {.tv_nsec = LOOK_PAUSE_US * 1000};
    while (!is_over(f, old, old->at[model])) {
        while (service_work(old->service[model], 1)) {
        }
        nanosleep(&pause, NULL);
    }
}

static void await_roll(front *f, roll *old) {
    static const struct timespec pause = {.tv_nsec = LOOK_PAUSE_US * 1000};
    bool held = true;
    while (held) {
        pthread_mutex_lock(&f->lock);
        held = old->held > 0;
        pthread_mutex_unlock(&f->lock);
        if (held) {
            nanosleep(&pause, NULL);
        }
    }
}

bool front_serve(front *f, service *const *services, size_t count) {
    roll *new = calloc(1, sizeof *new);
    if (new == NULL) {
        return false;
    }
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < count; i++) {
        new->limits[i] = *service_limits(services[i]);
        new->service[i] = services[i];
        new->at[i] = holding_of(f, services[i]);
    }
    new->count = count;
    roll *old = f->roll;
    f->roll = new;
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < old->count; i++) {
        if (!is_in(new, old->service[i])) {
            work_off(f, old, i);
        }
    }
    await_roll(f, old);
    free(old);
    return true;
}

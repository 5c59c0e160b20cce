/*
 * load.c - each caller is driven by NNG's callbacks: send -> receive -> the next. In an open loop
 * the calling thread releases requests when they are due; a caller that is free takes the oldest.
 */
#include "load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "bench.h"
#include "wire.h"

enum { ANSWER_MS = 20000, CONNECT_MS = 5000, TIMER_SLACK_NS = 1 };

typedef struct load load;

typedef struct {
    load *load;
    nng_socket socket;
    nng_aio *aio;
    bool open, receiving, busy;
    uint64_t client, seq;
    size_t request;       /* the one that is out */
    double due;           /* since when it counts */
    const char **account; /* [rows] of it */
} caller;

struct load {
    const load_options *options;
    load_result *result;
    char *error;
    size_t error_bytes;
    double start;
    pthread_mutex_t lock; /* all below, and the result */
    pthread_cond_t idle;
    bool failed;
    size_t released; /* open loop: requests that are due */
    size_t taken;
    size_t busy;
    caller *caller; /* [callers] */
};

static void fail(load *l, const char *what) {
    if (!l->failed) {
        snprintf(l->error, l->error_bytes, "%s", what);
    }
    l->failed = true;
}

/* ---- one request ---- */

static int encode(caller *c, nng_msg *message) {
    const load_rows *rows = c->load->options->rows;
    size_t first = c->request % (rows->ring_rows / rows->rows) * rows->rows;
    size_t each = rows->account_rows, per_request = (rows->rows + each - 1) / each;
    size_t account = c->request % rows->accounts_count * (per_request % rows->accounts_count);
    for (size_t i = 0; i < rows->rows; i++) {
        c->account[i] = rows->accounts[(account + i / each) % rows->accounts_count];
    }
    return wire_encode_request(
        message, &(wire_outgoing){.op = WIRE_SCORE,
                                  .identified = true,
                                  .client = c->client,
                                  .seq = c->seq++,
                                  .rows = rows->rows,
                                  .accounts = c->account,
                                  .classes = rows->classes + first,
                                  .dtype = WIRE_F32,
                                  .dim = rows->dim,
                                  .embeddings = rows->embeddings + first * rows->dim});
}

/* With the lock: whether this caller has another request to make, and which. */
static bool take(caller *c) {
    load *l = c->load;
    const load_options *o = l->options;
    double now = bench_now();
    bool open_loop = o->requests_per_s > 0.0;
    bool due = open_loop ? l->taken < l->released : now < l->start + o->seconds;
    if (l->failed || !due || (o->requests_max > 0 && l->taken == o->requests_max)) {
        return false;
    }
    c->request = l->taken++;
    c->due = open_loop ? l->start + (double)c->request / o->requests_per_s : now;
    c->busy = true;
    l->busy++;
    return true;
}

static void rest(caller *c) {
    c->busy = false;
    if (--c->load->busy == 0) {
        pthread_cond_signal(&c->load->idle);
    }
}

static void give_up(caller *c, const char *what) {
    load *l = c->load;
    pthread_mutex_lock(&l->lock);
    fail(l, what);
    rest(c);
    pthread_mutex_unlock(&l->lock);
}

/* The caller is busy, and rests again at once where the request cannot be made. */
static void ask(caller *c) {
    nng_msg *message = NULL;
    if (nng_msg_alloc(&message, 0) != 0 || encode(c, message) != 0) {
        nng_msg_free(message);
        give_up(c, "out of memory");
        return;
    }
    c->receiving = false;
    nng_aio_set_msg(c->aio, message);
    nng_send_aio(c->socket, c->aio);
}

/* With the lock. */
static void count(load *l, const caller *c, nng_msg *reply, double now) {
    wire_reply decoded = {.code = WIRE_OK};
    if (!l->options->echo &&
        wire_decode_reply(&decoded, NULL, WIRE_SCORE, l->options->rows->rows, nng_msg_body(reply),
                          nng_msg_len(reply)) != WIRE_OK) {
        fail(l, decoded.text);
    } else if (decoded.code == WIRE_OK) {
        histogram_add(&l->result->latency, now - c->due);
        l->result->answered++;
        l->result->reply_bytes = nng_msg_len(reply);
    } else if (decoded.code == WIRE_OVERLOADED) {
        l->result->overloaded++;
    } else {
        fail(l, decoded.text);
    }
}

static void next(caller *c, nng_msg *reply) {
    load *l = c->load;
    double now = bench_now();
    pthread_mutex_lock(&l->lock);
    if (reply != NULL) {
        count(l, c, reply, now);
    }
    rest(c);
    bool more = take(c);
    pthread_mutex_unlock(&l->lock);
    nng_msg_free(reply);
    if (more) {
        ask(c);
    }
}

static void on_aio(void *argument) {
    caller *c = argument;
    int error = nng_aio_result(c->aio);
    if (error != 0) {
        if (!c->receiving) {
            nng_msg_free(nng_aio_get_msg(c->aio)); /* of a failed send it is ours again */
            nng_aio_set_msg(c->aio, NULL);
        }
        give_up(c, nng_strerror(error));
    } else if (!c->receiving) {
        c->receiving = true;
        nng_recv_aio(c->socket, c->aio);
    } else {
        nng_msg *reply = nng_aio_get_msg(c->aio);
        nng_aio_set_msg(c->aio, NULL);
        next(c, reply);
    }
}

/* ---- all of them ---- */

static bool caller_open(caller *c, load *l, size_t number) {
    c->load = l;
    c->client = (uint64_t)(l->start * 1e9) ^ (uint64_t)number << 48;
    c->account = calloc(l->options->rows->rows, sizeof(const char *));
    if (c->account == NULL || nng_aio_alloc(&c->aio, on_aio, c) != 0 ||
        nng_req0_open(&c->socket) != 0) {
        snprintf(l->error, l->error_bytes, "out of memory");
        return false;
    }
    c->open = true;
    nng_aio_set_timeout(c->aio, ANSWER_MS);
    nng_socket_set_ms(c->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    nng_socket_set_size(c->socket, NNG_OPT_RECVMAXSZ, 0);
    int error = nng_dial(c->socket, l->options->url, NULL, 0);
    if (error != 0) {
        snprintf(l->error, l->error_bytes, "%s: %s", l->options->url, nng_strerror(error));
    }
    return error == 0;
}

static void caller_close(caller *c) {
    if (c->aio != NULL) {
        nng_aio_stop(c->aio);
    }
    if (c->open) {
        nng_close(c->socket);
    }
    nng_aio_free(c->aio);
    free(c->account);
}

/* A caller that rests, with a request to make; NULL: all are busy, or nothing is due. */
static caller *wake(load *l) {
    caller *woken = NULL;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; woken == NULL && i < l->options->callers; i++) {
        caller *c = &l->caller[i];
        if (!c->busy && take(c)) {
            woken = c;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return woken;
}

static void sleep_until(double when) {
    struct timespec at = {.tv_sec = (time_t)when,
                          .tv_nsec = (long)(1e9 * (when - (double)(time_t)when))};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

/* Releases every request when it is due. */
static void pace(load *l) {
    const load_options *o = l->options;
    size_t all = (size_t)(o->seconds * o->requests_per_s);
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    for (size_t i = 0; i < all; i++) {
        sleep_until(l->start + (double)i / o->requests_per_s);
        pthread_mutex_lock(&l->lock);
        l->released = i + 1;
        pthread_mutex_unlock(&l->lock);
        caller *c = wake(l);
        if (c != NULL) {
            ask(c);
        }
    }
}

static void run(load *l) {
    caller *c;
    l->start = bench_now();
    if (l->options->requests_per_s > 0.0) {
        pace(l);
    } else {
        for (size_t i = 0; i < l->options->callers && (c = wake(l)) != NULL; i++) {
            ask(c);
        }
    }
    pthread_mutex_lock(&l->lock);
    while (l->busy > 0) {
        pthread_cond_wait(&l->idle, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    l->result->seconds = bench_now() - l->start;
}

bool load_run(const load_options *options, load_result *result, char *error, size_t error_bytes) {
    load l = {.options = options,
              .result = result,
              .error = error,
              .error_bytes = error_bytes,
              .start = bench_now(),
              .caller = calloc(options->callers, sizeof *l.caller)};
    *result = (load_result){0};
    if (l.caller == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    pthread_mutex_init(&l.lock, NULL);
    pthread_cond_init(&l.idle, NULL);
    bool opened = true;
    for (size_t i = 0; opened && i < options->callers; i++) {
        opened = caller_open(&l.caller[i], &l, i);
    }
    if (opened) {
        run(&l);
    }
    for (size_t i = 0; i < options->callers; i++) {
        caller_close(&l.caller[i]);
    }
    pthread_cond_destroy(&l.idle);
    pthread_mutex_destroy(&l.lock);
    free(l.caller);
    return opened && !l.failed;
}

/*
 * server.c - contexts, each one call at a time, driven by NNG's callbacks.
 *
 *     receive -> on_received: begin() -> [host] -> encode() -> send -> on_sent -> receive
 *
 * A call that is answered at once skips [host]. Its `io` aio receives and sends; its `hand` aio
 * does no work, as `more` does not: to finish it is what brings a call to an NNG thread. The host's
 * right to give a call back is the flag `held`: server_answer, server_finish and stop_calls take
 * it, one of them gets it.
 */
#include "server.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/util/platform.h>

#include "handshakes.h"
#include "listener.h"

enum {
    REFUSING_PART = 4, /* of the contexts may wait to refuse one connection */
    STRAGGLERS = 2,    /* replies that a peer may have before we know that they were sent */
};

/* Of a call; a refusal stays one until it has been sent. */
enum { IDLE, WORKING, REPLYING, REFUSING };

struct server_call {
    server *server;
    size_t index;
    nng_ctx context;
    nng_aio *io;
    nng_aio *hand;
    nng_msg *request;
    nng_msg *reply; /* empty while the host works: a call without memory for one is not begun */
    nng_pipe peer;
    bool sending;     /* what io is doing */
    bool late;        /* begun after server_drain */
    atomic_int state; /* from IDLE and to it under the server's lock */
    atomic_bool held; /* by the host */
};

struct server {
    server_options options;
    nng_socket socket;
    nng_aio *more; /* work() without a connection */
    atomic_bool more_due;
    atomic_int asker;               /* whose request came last */
    atomic_uint_fast64_t others_us; /* when that was last another one */
    bool stopped;
    bool closed; /* the socket is, so that no callback comes any more */
    atomic_bool stopping;
    atomic_size_t connections;
    atomic_size_t refused;
    pthread_mutex_t cutting; /* held to close a peer's connection */
    pthread_mutex_t lock;    /* the three below */
    pthread_cond_t none_owed;
    bool draining;
    size_t in_flight[2]; /* by server_call.late */
    size_t calls;
    server_call call[];
};

static void call_receive(server_call *call) {
    call->sending = false;
    nng_aio_set_timeout(call->io, NNG_DURATION_INFINITE);
    nng_ctx_recv(call->context, call->io);
}

/* What the others have, by the peer of `call` and by all. */
typedef struct {
    size_t working; /* of the peer, as the next two */
    size_t replying;
    size_t refusing;
    size_t working_all;
} load;

/* With the lock. A call's peer stays the same while it is not idle. */
static load count_load(const server *s, const server_call *call) {
    load l = {0};
    for (size_t i = 0; i < s->calls; i++) {
        int state = atomic_load(&s->call[i].state);
        bool same = state != IDLE && nng_pipe_id(s->call[i].peer) == nng_pipe_id(call->peer);
        l.working += same && state == WORKING;
        l.replying += same && state == REPLYING;
        l.refusing += same && state == REFUSING;
        l.working_all += state == WORKING;
    }
    return l;
}

/* NNG gives a connection's next request to any context that is free, so that one which asks and
 * asks, or never reads, would come to have them all. False: it has had enough of them to be refused
 * by. */
static bool call_started(server_call *call) {
    server *s = call->server;
    size_t share = s->options.connection_calls_max;
    pthread_mutex_lock(&s->lock);
    load l = count_load(s, call);
    bool excess = l.working >= share || l.working + l.replying >= share + STRAGGLERS ||
                  l.working_all >= s->calls - s->calls / SERVER_SPARE_PART;
    bool enough = excess && l.refusing > s->calls / REFUSING_PART;
    if (!enough) {
        call->late = s->draining;
        atomic_store(&call->state, excess ? REFUSING : WORKING);
        s->in_flight[call->late]++;
    }
    pthread_mutex_unlock(&s->lock);
    return !enough;
}

static void drop_messages(server_call *call) {
    nng_msg_free(call->request);
    nng_msg_free(call->reply);
    call->request = call->reply = NULL;
}

static void call_ended(server_call *call) {
    server *s = call->server;
    drop_messages(call);
    pthread_mutex_lock(&s->lock);
    atomic_store(&call->state, IDLE);
    s->in_flight[call->late]--;
    pthread_cond_broadcast(&s->none_owed);
    pthread_mutex_unlock(&s->lock);
}

/* Encodes and sends. The request goes before the send, which a slow peer may draw out to send_ms.
 */
static void call_reply(server_call *call) {
    const server_options *options = &call->server->options;
    int error = options->encode(options->host, call, call->reply);
    nng_msg_free(call->request);
    call->request = NULL;
    if (error != 0) {
        call_ended(call);
        call_receive(call);
        return;
    }
    int working = WORKING;
    atomic_compare_exchange_strong(&call->state, &working, REPLYING);
    call->sending = true;
    nng_aio_set_msg(call->io, call->reply);
    call->reply = NULL;
    nng_aio_set_timeout(call->io, options->send_ms);
    nng_ctx_send(call->context, call->io);
}

static uint64_t clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The work goes on in on_more, unless it is about to. */
static void work_on(server *s) {
    if (!atomic_exchange(&s->more_due, true) && nng_aio_begin(s->more)) {
        nng_aio_finish(s->more, 0);
    }
}

static void on_more(void *argument) {
    server *s = argument;
    if (nng_aio_result(s->more) == 0) {
        sched_yield(); /* to threads that bring more for this batch: a tenth more requests/s */
        atomic_store(&s->more_due, false);
        while (s->options.work(s->options.host, SIZE_MAX)) {
        }
    }
}

/* Whether requests of several connections have come lately. */
static bool is_crowded(server *s, nng_pipe peer) {
    uint64_t now = clock_us();
    bool other = atomic_exchange(&s->asker, nng_pipe_id(peer)) != nng_pipe_id(peer);
    uint64_t last = other ? atomic_exchange(&s->others_us, now) : atomic_load(&s->others_us);
    return now < last + SERVER_CROWD_US; /* which another thread may have set after `now` */
}

/* A lone caller's request is carried out here and now. Where others have called too, theirs may be
 * on their way through NNG's queue of callbacks, and one carried out by itself costs nearly as much
 * as several together and makes them wait: so work goes to the end of that queue. */
static void work_here(server *s, nng_pipe peer) {
    if (is_crowded(s, peer) || s->options.work(s->options.host, SERVER_ROUNDS_MAX)) {
        work_on(s);
    }
}

static void on_received(server_call *call) {
    server *s = call->server;
    int error = nng_aio_result(call->io);
    if (error == NNG_ECLOSED || error == NNG_ECANCELED) {
        return; /* the server stops */
    }
    if (error != 0) {
        call_receive(call);
        return;
    }
    call->request = nng_aio_get_msg(call->io);
    call->peer = nng_msg_get_pipe(call->request);
    nng_aio_set_msg(call->io, NULL);
    /* inproc knows no size limit, so it is kept here for all. */
    bool too_long = nng_msg_len(call->request) > s->options.message_bytes_max;
    if (too_long || atomic_load(&s->stopping) || nng_msg_alloc(&call->reply, 0) != 0) {
        drop_messages(call);
        if (too_long) {
            nng_pipe_close(call->peer);
        }
        call_receive(call);
        return;
    }
    nng_pipe peer = call->peer; /* once begun, the call may come to its next request at any time */
    if (!call_started(call)) {
        drop_messages(call);
        call_receive(call);
        return;
    }
    atomic_store(&call->held, true);
    if (s->options.begin(s->options.host, call, nng_msg_body(call->request),
                         nng_msg_len(call->request))) {
        atomic_store(&call->held, false);
        call_reply(call);
    } else if (s->options.work != NULL) {
        work_here(s, peer);
    }
}

static void on_sent(server_call *call) {
    int error = nng_aio_result(call->io);
    if (error != 0) {
        nng_msg_free(nng_aio_get_msg(call->io)); /* of a failed send it is ours again */
        nng_aio_set_msg(call->io, NULL);
    }
    if (error == NNG_ETIMEDOUT) {
        /* A peer that asks and never reads would come to hold all contexts. One at a time, because
         * a second nng_pipe_close returns at once, and to receive from this peer while the first
         * is still closing hangs NNG 1.5.2's reaper. */
        pthread_mutex_lock(&call->server->cutting);
        nng_pipe_close(call->peer);
        pthread_mutex_unlock(&call->server->cutting);
    }
    call_ended(call);
    call_receive(call);
}

static void on_io(void *argument) {
    server_call *call = argument;
    if (call->sending) {
        on_sent(call);
    } else {
        on_received(call);
    }
}

static void on_hand(void *argument) {
    server_call *call = argument;
    if (nng_aio_result(call->hand) != 0) {
        call_ended(call); /* the server stops */
        return;
    }
    call_reply(call);
}

/* NNG reports REM_POST for every pipe it has reported ADD_PRE for, also the refused ones. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *argument) {
    server *s = argument;
    if (event == NNG_PIPE_EV_REM_POST) {
        atomic_fetch_sub(&s->connections, 1);
        return;
    }
    handshakes_done(pipe);
    if (atomic_fetch_add(&s->connections, 1) >= s->options.connections_max) {
        atomic_fetch_add(&s->refused, 1);
        nng_pipe_close(pipe);
    }
}

size_t server_call_index(const server_call *call) {
    return call->index;
}

bool server_call_excess(const server_call *call) {
    return atomic_load(&call->state) == REFUSING;
}

void server_answer(server_call *call) {
    if (atomic_exchange(&call->held, false)) {
        call_reply(call);
    }
}

void server_finish(server_call *call) {
    if (atomic_exchange(&call->held, false) && nng_aio_begin(call->hand)) {
        nng_aio_finish(call->hand, 0);
    } /* of an aio that is stopped NNG has on_hand run with an error */
}

size_t server_in_flight(server *server) {
    pthread_mutex_lock(&server->lock);
    size_t calls = server->in_flight[false] + server->in_flight[true];
    pthread_mutex_unlock(&server->lock);
    return calls;
}

size_t server_connections_refused(const server *server) {
    return atomic_load(&server->refused);
}

/* First no io runs and none can start, so that no call can get to the host any more and no thread
 * is in work(); then the calls that the host still has are taken from it; then what on_hand
 * submitted to io has failed and is over. */
static void stop_calls(server *s) {
    for (size_t i = 0; i < s->calls; i++) {
        nng_aio_stop(s->call[i].io);
    }
    nng_aio_stop(s->more);
    for (size_t i = 0; i < s->calls; i++) {
        if (atomic_exchange(&s->call[i].held, false)) {
            call_ended(&s->call[i]);
        }
    }
    for (size_t i = 0; i < s->calls; i++) {
        nng_aio_stop(s->call[i].hand);
        nng_aio_stop(s->call[i].io);
    }
}

static void stop(server *s) {
    if (s->stopped) {
        return;
    }
    s->stopped = true;
    atomic_store(&s->stopping, true);
    stop_calls(s);
    s->closed = listener_close(s->socket, SERVER_CLOSE_MS);
}

void server_drain(server *server) {
    pthread_mutex_lock(&server->lock);
    server->draining = true;
    /* Later calls, which the host refuses, are not waited for: a busy client could keep some in
     * flight for ever. */
    while (server->in_flight[false] > 0) {
        pthread_cond_wait(&server->none_owed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    nng_msleep(SERVER_LINGER_MS);
    stop(server);
}

void server_close(server *server) {
    if (server == NULL) {
        return;
    }
    stop(server);
    if (!server->closed) {
        return; /* NNG hangs in nng_close and may still use what is ours: it is left behind */
    }
    for (size_t i = 0; i < server->calls; i++) {
        /* Left over where NNG refused to start a send on a stopped aio. */
        if (server->call[i].io != NULL) {
            nng_msg_free(nng_aio_get_msg(server->call[i].io));
        }
        drop_messages(&server->call[i]);
        nng_aio_free(server->call[i].io);
        nng_aio_free(server->call[i].hand);
    }
    nng_aio_free(server->more);
    pthread_cond_destroy(&server->none_owed);
    pthread_mutex_destroy(&server->lock);
    pthread_mutex_destroy(&server->cutting);
    free(server);
}

static bool open_calls(server *s) {
    if (nng_aio_alloc(&s->more, on_more, s) != 0) {
        return false;
    }
    for (size_t i = 0; i < s->options.contexts; i++) {
        server_call *call = &s->call[i];
        call->server = s;
        call->index = i;
        atomic_init(&call->held, false);
        atomic_init(&call->state, IDLE);
        s->calls = i + 1; /* stop and close take a call whose aios are NULL */
        if (nng_aio_alloc(&call->io, on_io, call) != 0 ||
            nng_aio_alloc(&call->hand, on_hand, call) != 0 ||
            nng_ctx_open(&call->context, s->socket) != 0) {
            return false;
        }
    }
    return true;
}

/* What a message was kept in goes to the next one. glibc would hand memory of that size back to
 * the kernel at every turn, and take it anew, page by page: with requests of 256 KB that was a
 * third of what the server spent on one. */
static void keep_memory(void) {
    mallopt(M_MMAP_THRESHOLD, SERVER_KEPT_BLOCK_BYTES);
    mallopt(M_TRIM_THRESHOLD, SERVER_KEPT_BYTES);
}

static int listen_at(server *s, const char *url, nng_tls_config *tls) {
    int error;
    if ((error = nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_PRE, on_pipe, s)) != 0 ||
        (error = nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, on_pipe, s)) != 0) {
        return error;
    }
    return listener_open(
        s->socket, &(listener_options){.url = url,
                                       .message_bytes_max = s->options.message_bytes_max,
                                       .ipc_mode = s->options.ipc_mode > 0 ? s->options.ipc_mode
                                                                           : SERVER_IPC_MODE,
                                       .tls = tls});
}

static const char *options_fault(const server_options *options) {
    if (!listener_url_known(options->url)) {
        return "expected an address ipc://PATH, tcp://HOST:PORT, tls+tcp://HOST:PORT or "
               "inproc://NAME";
    }
    if (options->contexts == 0 || options->contexts > SERVER_CONTEXTS_MAX) {
        return "contexts: expected 1 to SERVER_CONTEXTS_MAX";
    }
    if (options->message_bytes_max == 0 || options->message_bytes_max > SIZE_MAX / 2 ||
        options->connections_max == 0 || options->send_ms < 0 ||
        options->connection_calls_max > options->contexts) {
        return "message_bytes_max and connections_max: expected at least 1; send_ms: at least "
               "0; connection_calls_max: at most contexts";
    }
    return NULL;
}

static const char *listen_fault(int error) {
    return error == NNG_EADDRINUSE ? "address in use: another daemon listens there"
                                   : nng_strerror(error);
}

/* NULL: no memory, or NNG has none for a socket. */
static server *server_new(const server_options *options) {
    server *s = calloc(1, sizeof *s + options->contexts * sizeof(server_call));
    if (s == NULL) {
        return NULL;
    }
    s->options = *options;
    s->options.url = NULL; /* the caller's, not kept; nor are the paths */
    s->options.tls = (tls_files){0};
    if (options->connection_calls_max == 0) {
        s->options.connection_calls_max = options->contexts > 1 ? options->contexts / 2 : 1;
    }
    s->options.send_ms = options->send_ms > 0 ? options->send_ms : SERVER_SEND_MS;
    if (nng_rep0_open(&s->socket) != 0) {
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->cutting, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->none_owed, NULL);
    return s;
}

/* Whatever is wrong with the certificates is said before the address is taken. */
static bool open_tls(const server_options *options, nng_tls_config **tls, char *error,
                     size_t error_bytes) {
    char text[TLS_ERROR_BYTES];
    *tls = NULL;
    if (tls_check(&options->tls, options->url, "tls-", text) &&
        (!tls_url(options->url) || tls_open(tls, NNG_TLS_MODE_SERVER, &options->tls, NULL, text))) {
        return true;
    }
    snprintf(error, error_bytes, "listen at %s: %s", options->url, text);
    return false;
}

bool server_open(server **out, const server_options *options, char *error, size_t error_bytes) {
    *out = NULL;
    const char *url = options->url != NULL ? options->url : "(none)";
    const char *fault = options_fault(options);
    if (fault != NULL) {
        snprintf(error, error_bytes, "listen at %s: %s", url, fault);
        return false;
    }
    nng_tls_config *tls;
    if (!open_tls(options, &tls, error, error_bytes)) {
        return false;
    }
    keep_memory();
    server *s = server_new(options);
    int code = s != NULL && open_calls(s) ? listen_at(s, url, tls) : NNG_ENOMEM;
    if (tls != NULL) {
        nng_tls_config_free(tls); /* the listener holds it */
    }
    if (code != 0) {
        snprintf(error, error_bytes, "listen at %s: %s", url, listen_fault(code));
        server_close(s);
        return false;
    }
    for (size_t i = 0; i < s->calls; i++) {
        call_receive(&s->call[i]);
    }
    *out = s;
    return true;
}

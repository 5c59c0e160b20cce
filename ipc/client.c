/*
 * client.c - libadder's connections and one exchange over one of them. What is asked is
 * client_ops.c's and client_accounts.c's.
 *
 * Calls that run at the same time each have a REQ socket, thus a connection, of their own. One
 * connection could carry them all; but when a client dies that has several requests on one, a
 * daemon with NNG 1.5.2 may never again clean up after any connection. That was seen after 40 to
 * 450 killed clients of 12 threads, and not in 4,000 with one request at a time.
 *
 * REQ sends a request again when its connection drops, for as long as the call waits. So a score
 * and a forget carry (client, seq), by which the daemon counts them once.
 */
#include "client_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nng/protocol/reqrep0/req.h>
#include <sodium.h>

enum {
    RECONNECT_MIN_MS = 10,
    RECONNECT_MAX_MS = 500,
    REPLY_BYTES_MAX_DEFAULT = 256 << 20,
    REQUEST_ID_BYTES = 4, /* what REP puts before a reply; NNG's limit counts it */
    RESEND_EXTRA_MS = 60000,
};

adder_status client_fail(adder_error *error, adder_status status, const char *format, ...) {
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

const char *adder_status_text(adder_status status) {
    static const char *const texts[ADDER_STATUSES] = {
        [ADDER_OK] = "ok",
        [ADDER_BAD_MESSAGE] = "message not understood",
        [ADDER_BAD_REQUEST] = "bad request",
        [ADDER_UNKNOWN_MODEL] = "unknown model",
        [ADDER_BAD_DIMENSION] = "embeddings of another dimension",
        [ADDER_BAD_CLASS] = "class out of range",
        [ADDER_NOT_FINITE] = "embedding not finite",
        [ADDER_TOO_LARGE] = "request too large",
        [ADDER_OVERLOADED] = "daemon overloaded",
        [ADDER_DRAINING] = "daemon shutting down",
        [ADDER_INTERNAL] = "daemon's internal error",
        [ADDER_EXPIRED] = "daemon too late",
        [ADDER_TIMED_OUT] = "timed out",
        [ADDER_UNREACHABLE] = "daemon unreachable",
        [ADDER_NO_MEMORY] = "no memory",
        [ADDER_BAD_REPLY] = "reply not understood",
    };
    return (unsigned)status < ADDER_STATUSES ? texts[status] : "unknown status";
}

nng_time client_deadline(const adder_client *client) {
    return nng_clock() + (nng_time)client->timeout_ms;
}

static nng_duration time_left(nng_time deadline) {
    nng_time now = nng_clock();
    return now < deadline ? (nng_duration)(deadline - now) : NNG_DURATION_ZERO;
}

/* Sends x->message and puts the reply in its place: 0 or an NNG error. *sent: it left us. */
static int send_and_receive(client_exchange *x, nng_ctx context, nng_aio *aio, bool *sent) {
    nng_aio_set_timeout(aio, time_left(x->deadline));
    nng_aio_set_msg(aio, x->message);
    nng_ctx_send(context, aio);
    nng_aio_wait(aio);
    int error = nng_aio_result(aio);
    if (error != 0) {
        return error; /* the message is still ours */
    }
    x->message = NULL;
    *sent = true;
    nng_aio_set_timeout(aio, time_left(x->deadline));
    nng_ctx_recv(context, aio);
    nng_aio_wait(aio);
    error = nng_aio_result(aio);
    if (error == 0) {
        x->message = nng_aio_get_msg(aio);
    }
    return error;
}

/* Connects in the background, and again when it must. */
static int dial(const adder_client *client, nng_socket socket) {
    nng_dialer dialer;
    int error = nng_dialer_create(&dialer, socket, client->url);
    if (error == 0 && client->tls != NULL) {
        error = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, client->tls);
    }
    return error != 0 ? error : nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

static int open_socket(const adder_client *client, nng_socket *socket) {
    int error = nng_req0_open(socket);
    if (error != 0) {
        return error;
    }
    nng_duration resend_ms = client->timeout_ms < INT32_MAX - RESEND_EXTRA_MS
                                 ? client->timeout_ms + RESEND_EXTRA_MS
                                 : INT32_MAX;
    if ((error = nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ,
                                     client->reply_bytes_max + REQUEST_ID_BYTES)) != 0 ||
        (error = nng_socket_set_ms(*socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0 ||
        (error = nng_socket_set_ms(*socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0 ||
        (error = nng_socket_set_ms(*socket, NNG_OPT_REQ_RESENDTIME, resend_ms)) != 0 ||
        (error = dial(client, *socket)) != 0) {
        nng_close(*socket);
    }
    return error;
}

static void give_socket(adder_client *client, nng_socket socket) {
    pthread_mutex_lock(&client->lock);
    client->idle_sockets[client->idle++] = socket;
    pthread_cond_signal(&client->given_back);
    pthread_mutex_unlock(&client->lock);
}

/* The socket given back last, or a new one; with all in use, waits. 0 or an NNG error. */
static int take_socket(adder_client *client, nng_time deadline, nng_socket *socket) {
    struct timespec until = {.tv_sec = (time_t)(deadline / 1000),
                             .tv_nsec = (long)(deadline % 1000) * 1000000L};
    int error = 0;
    pthread_mutex_lock(&client->lock);
    while (client->idle == 0 && client->sockets == ADDER_CONNECTIONS_MAX && error == 0) {
        error = pthread_cond_timedwait(&client->given_back, &client->lock, &until);
    }
    bool reuse = client->idle > 0;
    if (reuse) {
        *socket = client->idle_sockets[--client->idle];
    } else if (error == 0) {
        client->sockets++;
    }
    pthread_mutex_unlock(&client->lock);
    if (reuse || error != 0) {
        return reuse ? 0 : NNG_ETIMEDOUT;
    }
    error = open_socket(client, socket);
    if (error != 0) {
        pthread_mutex_lock(&client->lock);
        client->sockets--;
        pthread_mutex_unlock(&client->lock);
    }
    return error;
}

/* A socket is kept after a failed call too: REQ connects it again, and drops a late reply. */
static int run_on_socket(client_exchange *x, nng_socket socket, bool *sent) {
    nng_ctx context;
    nng_aio *aio;
    int error = nng_ctx_open(&context, socket);
    if (error != 0) {
        return error;
    }
    error = nng_aio_alloc(&aio, NULL, NULL);
    if (error == 0) {
        error = send_and_receive(x, context, aio, sent);
        nng_aio_free(aio);
    }
    nng_ctx_close(context);
    return error;
}

static adder_status run(adder_client *client, client_exchange *x, adder_error *error) {
    nng_socket socket;
    bool sent = false;
    int code = take_socket(client, x->deadline, &socket);
    if (code == 0) {
        code = run_on_socket(x, socket, &sent);
        give_socket(client, socket);
    }
    switch (code) {
    case 0:
        return ADDER_OK;
    case NNG_ETIMEDOUT:
        return client_fail(error, ADDER_TIMED_OUT, "%s %.128s within %d ms",
                           sent ? "no reply from" : "no connection to", client->url,
                           client->timeout_ms);
    case NNG_ENOMEM:
        return client_fail(error, ADDER_NO_MEMORY, "no memory for a call to %.128s", client->url);
    default:
        return client_fail(error, ADDER_UNREACHABLE, "%.128s: %s", client->url, nng_strerror(code));
    }
}

static adder_status encode(client_exchange *x, adder_error *error) {
    int code = nng_msg_alloc(&x->message, 0);
    nng_duration left = time_left(x->deadline);
    x->request.deadline_ms = left > 0 ? (uint64_t)left : 1;
    if (code == 0) {
        code = wire_encode_request(x->message, &x->request);
    }
    if (code == NNG_EMSGSIZE) {
        return client_fail(error, ADDER_TOO_LARGE,
                           "rows: %zu x dim %zu is more than a message can hold", x->request.rows,
                           x->request.dim);
    }
    if (code != 0) {
        return client_fail(error, ADDER_NO_MEMORY, "no memory for a request of %zu rows",
                           x->request.rows);
    }
    if (nng_msg_len(x->message) > x->message_bytes_max) {
        return client_fail(
            error, ADDER_TOO_LARGE, "rows: %zu are a message of %zu bytes, expected at most %llu",
            x->request.rows, nng_msg_len(x->message), (unsigned long long)x->message_bytes_max);
    }
    return ADDER_OK;
}

static adder_status decode(adder_client *client, client_exchange *x, adder_error *error) {
    const void *body = nng_msg_body(x->message);
    size_t bytes = nng_msg_len(x->message);
    wire_code code =
        x->explanation != NULL
            ? wire_decode_explanation(&x->reply, x->explanation, body, bytes)
            : wire_decode_reply(&x->reply, x->hello, x->request.op, x->request.rows, body, bytes);
    if (code != WIRE_OK) {
        return client_fail(error, code == WIRE_INTERNAL ? ADDER_NO_MEMORY : ADDER_BAD_REPLY, "%s",
                           x->reply.text);
    }
    if (x->reply.code != WIRE_OK) {
        if (x->reply.code == WIRE_OVERLOADED) {
            atomic_store(&client->retry_after_ms, x->reply.retry_after_ms);
        }
        return client_fail(error, (adder_status)x->reply.code, "%s", x->reply.text);
    }
    return ADDER_OK;
}

uint32_t adder_retry_after_ms(const adder_client *client) {
    return client != NULL ? (uint32_t)atomic_load(&client->retry_after_ms) : 0;
}

const char *client_model(const adder_client *client, const char *named) {
    const char *own = client->model[0] != '\0' ? client->model : NULL;
    return named != NULL ? named : own;
}

adder_status client_ask(adder_client *client, client_exchange *x, adder_error *error) {
    x->request.model = client_model(client, x->request.model);
    adder_status status = encode(x, error);
    if (status == ADDER_OK) {
        status = run(client, x, error);
    }
    if (status == ADDER_OK) {
        status = decode(client, x, error);
    }
    if (status != ADDER_OK) {
        nng_msg_free(x->message);
        x->message = NULL;
    }
    return status;
}

static bool url_known(const char *url) {
    static const char *const schemes[] = {"ipc://", "tcp://", "tls+tcp://", "inproc://"};
    for (size_t i = 0; url != NULL && i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i]);
        if (strncmp(url, schemes[i], length) == 0 && url[length] != '\0') {
            return true;
        }
    }
    return false;
}

static void close_tls(nng_tls_config *tls) {
    if (tls != NULL) {
        nng_tls_config_free(tls);
    }
}

static adder_status open_tls(const adder_options *given, const char *url, nng_tls_config **tls,
                             adder_error *error) {
    char text[TLS_ERROR_BYTES];
    tls_files files = {.ca_file = given->tls_ca_file,
                       .cert_file = given->tls_cert_file,
                       .key_file = given->tls_key_file,
                       .server_name = given->tls_server_name};
    if (!tls_check(&files, url, "tls_", text) ||
        (tls_url(url) && !tls_open(tls, NNG_TLS_MODE_CLIENT, &files, url, text))) {
        return client_fail(error, ADDER_BAD_REQUEST, "%s", text);
    }
    return ADDER_OK;
}

/* tls is the client's from now on, or freed. */
static adder_client *client_new(const char *url, const adder_options *given, nng_tls_config *tls) {
    size_t length = strlen(url) + 1;
    adder_client *client = calloc(1, sizeof *client + length);
    size_t flagged_max = given->flagged_max > 0 ? given->flagged_max : ADDER_FLAGGED_MAX_DEFAULT;
    if (client == NULL || sodium_init() < 0 ||
        (client->guard = client_guard_open(flagged_max)) == NULL) {
        free(client);
        close_tls(tls);
        return NULL;
    }
    memcpy(client->url, url, length);
    snprintf(client->model, sizeof client->model, "%s", given->model != NULL ? given->model : "");
    client->tls = tls;
    client->on_failure = given->on_failure;
    pthread_mutex_init(&client->serving, NULL);
    client->timeout_ms = given->timeout_ms > 0 ? given->timeout_ms : ADDER_TIMEOUT_MS_DEFAULT;
    client->reply_bytes_max =
        given->reply_bytes_max > 0 ? given->reply_bytes_max : (size_t)REPLY_BYTES_MAX_DEFAULT;
    randombytes_buf(&client->id, sizeof client->id);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* as nng_clock */
    pthread_cond_init(&client->given_back, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&client->lock, NULL);
    return client;
}

adder_status adder_open(adder_client **out, const char *url, const adder_options *options,
                        adder_error *error) {
    adder_options given = options != NULL ? *options : (adder_options){0};
    if (out == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "client: expected a place for it, came NULL");
    }
    *out = NULL;
    if (!url_known(url)) {
        return client_fail(
            error, ADDER_BAD_REQUEST,
            "url: expected ipc://PATH, tcp://HOST:PORT, tls+tcp://HOST:PORT or inproc://NAME, came "
            "\"%.128s\"",
            url != NULL ? url : "");
    }
    if (given.timeout_ms < 0 || given.reply_bytes_max > SIZE_MAX - REQUEST_ID_BYTES) {
        return client_fail(error, ADDER_BAD_REQUEST, "timeout_ms: expected at least 1, came %d",
                           given.timeout_ms);
    }
    if ((unsigned)given.on_failure > ADDER_FAIL_ERROR) {
        return client_fail(error, ADDER_BAD_REQUEST, "on_failure: expected 0 to %d, came %u",
                           ADDER_FAIL_ERROR, (unsigned)given.on_failure);
    }
    if (given.model != NULL) {
        adder_status named = client_check_name(given.model, "model", 0, error);
        if (named != ADDER_OK) {
            return named;
        }
    }
    nng_tls_config *tls = NULL;
    adder_status status = open_tls(&given, url, &tls, error);
    if (status != ADDER_OK) {
        return status;
    }
    adder_client *client = client_new(url, &given, tls);
    if (client == NULL) {
        return client_fail(error, ADDER_NO_MEMORY, "no memory for a client");
    }
    /* The first connection, so that a bad address is said now. */
    nng_socket socket;
    int code = take_socket(client, client_deadline(client), &socket);
    if (code != 0) {
        adder_close(client);
        return client_fail(error, code == NNG_ENOMEM ? ADDER_NO_MEMORY : ADDER_UNREACHABLE,
                           "%.128s: %s", url, nng_strerror(code));
    }
    give_socket(client, socket);
    *out = client;
    return ADDER_OK;
}

void adder_close(adder_client *client) {
    if (client == NULL) {
        return;
    }
    for (size_t i = 0; i < client->idle; i++) {
        nng_close(client->idle_sockets[i]);
    }
    close_tls(client->tls);
    client_guard_close(client->guard);
    pthread_mutex_destroy(&client->serving);
    pthread_cond_destroy(&client->given_back);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

/*
 * client.c - libadder's socket and one exchange over it: one REQ socket, a context of its own for
 * every call, so that threads share a client. What is asked is client_ops.c's.
 *
 * REQ sends a request again when its connection drops, for as long as the call waits. So a score
 * and a forget carry (client, seq), by which the daemon counts them once.
 */
#include "client_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static adder_status run(adder_client *client, client_exchange *x, adder_error *error) {
    nng_ctx context;
    nng_aio *aio = NULL;
    bool sent = false;
    int code = nng_ctx_open(&context, client->socket);
    if (code == 0) {
        code = nng_aio_alloc(&aio, NULL, NULL);
        if (code == 0) {
            code = send_and_receive(x, context, aio, &sent);
            nng_aio_free(aio);
        }
        nng_ctx_close(context);
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

static adder_status decode(client_exchange *x, adder_error *error) {
    wire_code code = wire_decode_reply(&x->reply, x->hello, x->request.op, x->request.rows,
                                       nng_msg_body(x->message), nng_msg_len(x->message));
    if (code != WIRE_OK) {
        return client_fail(error, code == WIRE_INTERNAL ? ADDER_NO_MEMORY : ADDER_BAD_REPLY, "%s",
                           x->reply.text);
    }
    if (x->reply.code != WIRE_OK) {
        return client_fail(error, (adder_status)x->reply.code, "%s", x->reply.text);
    }
    return ADDER_OK;
}

adder_status client_ask(adder_client *client, client_exchange *x, adder_error *error) {
    adder_status status = encode(x, error);
    if (status == ADDER_OK) {
        status = run(client, x, error);
    }
    if (status == ADDER_OK) {
        status = decode(x, error);
    }
    if (status != ADDER_OK) {
        nng_msg_free(x->message);
        x->message = NULL;
    }
    return status;
}

static int open_socket(adder_client *client, size_t reply_bytes_max) {
    int error = nng_req0_open(&client->socket);
    if (error != 0) {
        return error;
    }
    nng_duration resend_ms = client->timeout_ms < INT32_MAX - RESEND_EXTRA_MS
                                 ? client->timeout_ms + RESEND_EXTRA_MS
                                 : INT32_MAX;
    if ((error = nng_socket_set_size(client->socket, NNG_OPT_RECVMAXSZ,
                                     reply_bytes_max + REQUEST_ID_BYTES)) != 0 ||
        (error = nng_socket_set_ms(client->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0 ||
        (error = nng_socket_set_ms(client->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0 ||
        (error = nng_socket_set_ms(client->socket, NNG_OPT_REQ_RESENDTIME, resend_ms)) != 0 ||
        (error = nng_dial(client->socket, client->url, NULL, NNG_FLAG_NONBLOCK)) != 0) {
        nng_close(client->socket);
    }
    return error;
}

static bool url_known(const char *url) {
    static const char *const schemes[] = {"ipc://", "tcp://", "inproc://"};
    for (size_t i = 0; url != NULL && i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i]);
        if (strncmp(url, schemes[i], length) == 0 && url[length] != '\0') {
            return true;
        }
    }
    return false;
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
            "url: expected ipc://PATH, tcp://HOST:PORT or inproc://NAME, came \"%.128s\"",
            url != NULL ? url : "");
    }
    if (given.timeout_ms < 0 || given.reply_bytes_max > SIZE_MAX - REQUEST_ID_BYTES) {
        return client_fail(error, ADDER_BAD_REQUEST, "timeout_ms: expected at least 1, came %d",
                           given.timeout_ms);
    }
    size_t length = strlen(url) + 1;
    adder_client *client = calloc(1, sizeof *client + length);
    if (client == NULL || sodium_init() < 0) {
        free(client);
        return client_fail(error, ADDER_NO_MEMORY, "no memory for a client");
    }
    memcpy(client->url, url, length);
    client->timeout_ms = given.timeout_ms > 0 ? given.timeout_ms : ADDER_TIMEOUT_MS_DEFAULT;
    randombytes_buf(&client->id, sizeof client->id);
    int code = open_socket(client, given.reply_bytes_max > 0 ? given.reply_bytes_max
                                                             : (size_t)REPLY_BYTES_MAX_DEFAULT);
    if (code != 0) {
        free(client);
        return client_fail(error, code == NNG_ENOMEM ? ADDER_NO_MEMORY : ADDER_UNREACHABLE,
                           "%.128s: %s", url, nng_strerror(code));
    }
    *out = client;
    return ADDER_OK;
}

void adder_close(adder_client *client) {
    if (client != NULL) {
        nng_close(client->socket);
        free(client);
    }
}

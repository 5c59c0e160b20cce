/*
 * wire.c - names, and writing requests and the short replies. The long replies are written by
 * wire_scores.c, wire_hello.c and wire_explain.c. Reading is wire_map.c (structure),
 * wire_request.c, wire_values.c, wire_reply.c and wire_hello.c.
 */
#include "wire_writer.h"

#include <string.h>

enum { STR_HEAD_BYTES = 5 }; /* the longest head of a str */

static const char *const code_names[WIRE_CODES] = {
    [WIRE_OK] = "ok",
    [WIRE_BAD_MESSAGE] = "bad_message",
    [WIRE_BAD_REQUEST] = "bad_request",
    [WIRE_UNKNOWN_MODEL] = "unknown_model",
    [WIRE_BAD_DIMENSION] = "bad_dimension",
    [WIRE_BAD_CLASS] = "bad_class",
    [WIRE_NOT_FINITE] = "not_finite",
    [WIRE_TOO_LARGE] = "too_large",
    [WIRE_OVERLOADED] = "overloaded",
    [WIRE_DRAINING] = "draining",
    [WIRE_INTERNAL] = "internal",
    [WIRE_EXPIRED] = "expired",
};

const char *wire_code_name(wire_code code) {
    return (unsigned)code < WIRE_CODES ? code_names[code] : "internal";
}

size_t wire_dtype_bytes(wire_dtype dtype) {
    return dtype == WIRE_F32 ? 4 : 2;
}

bool wire_name_repeats(const wire_text *names, size_t i) {
    return i > 0 && names[i].length == names[i - 1].length &&
           (names[i].length == 0 ||
            memcmp(names[i].bytes, names[i - 1].bytes, names[i].length) == 0);
}

static void put_want(wire_writer *w, const wire_outgoing *request) {
    wire_put_text(w, "want");
    msgpack_pack_array(&w->packer, (size_t)request->want_poison + request->want_detail);
    if (request->want_poison) {
        wire_put_text(w, "poison");
    }
    if (request->want_detail) {
        wire_put_text(w, "detail");
    }
}

static void put_groups(wire_writer *w, const wire_outgoing *request) {
    wire_put_text(w, "groups");
    msgpack_pack_array(&w->packer, request->rows);
    for (size_t i = 0; i < request->rows; i++) {
        if (request->groups[i] != NULL) {
            wire_put_text(w, request->groups[i]);
        } else {
            msgpack_pack_nil(&w->packer);
        }
    }
}

/* What only a score request has. */
static void put_rows(wire_writer *w, const wire_outgoing *request, size_t embeddings_bytes) {
    static const char *const dtypes[] = {
        [WIRE_F32] = "f32", [WIRE_F16] = "f16", [WIRE_BF16] = "bf16"};
    wire_put_text(w, "accounts");
    msgpack_pack_array(&w->packer, request->rows);
    for (size_t i = 0; i < request->rows; i++) {
        wire_put_text(w, request->accounts[i]);
    }
    if (request->groups != NULL) {
        put_groups(w, request);
    }
    wire_put_bin(w, "classes", request->classes, request->rows * sizeof(uint32_t));
    wire_put_word(w, "dtype", dtypes[request->dtype]);
    wire_put_bin(w, "embeddings", request->embeddings, embeddings_bytes);
    if (request->want_poison || request->want_detail) {
        put_want(w, request);
    }
}

/* Bytes of the rows' arrays: 0 or NNG_EMSGSIZE. */
static int rows_bytes(const wire_outgoing *request, size_t *embeddings_bytes, size_t *all_bytes) {
    size_t values;
    if (request->rows > UINT32_MAX / sizeof(uint32_t) ||
        __builtin_mul_overflow(request->rows, request->dim, &values) ||
        __builtin_mul_overflow(values, wire_dtype_bytes(request->dtype), embeddings_bytes) ||
        *embeddings_bytes > UINT32_MAX) {
        return NNG_EMSGSIZE;
    }
    *all_bytes = *embeddings_bytes + request->rows * sizeof(uint32_t);
    for (size_t i = 0; i < request->rows; i++) {
        const char *group = request->groups != NULL ? request->groups[i] : NULL;
        *all_bytes += STR_HEAD_BYTES + strlen(request->accounts[i]);
        *all_bytes += STR_HEAD_BYTES + (group != NULL ? strlen(group) : 0);
    }
    return 0;
}

int wire_encode_request(nng_msg *message, const wire_outgoing *request) {
    static const char *const ops[] = {[WIRE_SCORE] = "score",
                                      [WIRE_HELLO] = "hello",
                                      [WIRE_PING] = "ping",
                                      [WIRE_FORGET] = "forget",
                                      [WIRE_EXPLAIN] = "explain"};
    bool score = request->op == WIRE_SCORE;
    bool named = request->op == WIRE_FORGET || request->op == WIRE_EXPLAIN;
    size_t embeddings_bytes = 0;
    size_t bytes = 0;
    if (score) {
        int error = rows_bytes(request, &embeddings_bytes, &bytes);
        if (error != 0) {
            return error;
        }
    }
    size_t pairs = 2u + 2u * request->identified + (request->model != NULL) + named;
    bool wants = request->want_poison || request->want_detail;
    pairs += score ? 4u + wants + (request->groups != NULL) + (request->deadline_ms > 0) : 0u;
    wire_writer w;
    wire_writer_init(&w, message, WIRE_HEAD_BYTES + bytes);
    wire_put_start(&w, pairs, "op", ops[request->op]);
    if (request->identified) {
        wire_put_uint(&w, "client", request->client);
        wire_put_uint(&w, "seq", request->seq);
    }
    if (request->model != NULL) {
        wire_put_word(&w, "model", request->model);
    }
    if (named) {
        wire_put_word(&w, request->is_group ? "group" : "account", request->account);
    }
    if (score && request->deadline_ms > 0) {
        wire_put_uint(&w, "deadline_ms", request->deadline_ms);
    }
    if (score) {
        put_rows(&w, request, embeddings_bytes);
    }
    return w.error;
}

int wire_encode_pong(nng_msg *message) {
    wire_writer w;
    wire_writer_init(&w, message, WIRE_HEAD_BYTES);
    wire_put_start(&w, 2, "status", "ok");
    return w.error;
}

int wire_encode_forgotten(nng_msg *message, bool known) {
    wire_writer w;
    wire_writer_init(&w, message, WIRE_HEAD_BYTES);
    wire_put_start(&w, 3, "status", "ok");
    wire_put_bool(&w, "known", known);
    return w.error;
}

int wire_encode_error(nng_msg *message, wire_code code, const char *text) {
    return wire_encode_refusal(message, code, text, 0);
}

int wire_encode_refusal(nng_msg *message, wire_code code, const char *text,
                        uint32_t retry_after_ms) {
    wire_writer w;
    wire_writer_init(&w, message, WIRE_HEAD_BYTES);
    wire_put_start(&w, 4u + (retry_after_ms > 0), "status", "error");
    wire_put_word(&w, "code", wire_code_name(code));
    if (retry_after_ms > 0) {
        wire_put_uint(&w, "retry_after_ms", retry_after_ms);
    }
    wire_put_text(&w, "message");
    wire_put_str(&w, text, strnlen(text, WIRE_TEXT_MAX - 1));
    return w.error;
}

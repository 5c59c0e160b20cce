/*
 * wire.c - names, and writing messages. Reading them is wire_map.c (structure), wire_request.c,
 * wire_values.c, wire_reply.c and wire_hello.c.
 *
 * Every encoder reserves its message's size first: nng_msg_append grows by just what is missing,
 * so that appending key by key would copy the message again and again. nng_msg_insert is never
 * called; it is broken in NNG 1.5.2.
 */
#include "wire.h"

#include <msgpack.h>
#include <string.h>

enum {
    HEAD_BYTES = 512,      /* keys, names and numbers of any message but hello's models */
    STR_HEAD_BYTES = 5,    /* the longest head of a str */
    MODEL_BYTES_MAX = 384, /* one model in hello, its name included */
};

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
};

const char *wire_code_name(wire_code code) {
    return (unsigned)code < WIRE_CODES ? code_names[code] : "internal";
}

size_t wire_dtype_bytes(wire_dtype dtype) {
    return dtype == WIRE_F32 ? 4 : 2;
}

/* A message being written. The first error stays and ends the writing, so that callers look once,
 * at the end. */
typedef struct {
    msgpack_packer packer;
    nng_msg *message;
    int error;
} writer;

static int write_bytes(void *argument, const char *bytes, size_t length) {
    writer *w = argument;
    if (w->error == 0) {
        w->error = nng_msg_append(w->message, bytes, length);
    }
    return w->error;
}

static void writer_init(writer *w, nng_msg *message, size_t reserve) {
    w->message = message;
    w->error = nng_msg_reserve(message, nng_msg_len(message) + reserve);
    msgpack_packer_init(&w->packer, w, write_bytes);
}

static void put_str(writer *w, const char *bytes, size_t length) {
    if (length > UINT32_MAX) {
        w->error = NNG_EMSGSIZE;
        return;
    }
    msgpack_pack_str(&w->packer, length);
    msgpack_pack_str_body(&w->packer, bytes, length);
}

static void put_text(writer *w, const char *text) {
    put_str(w, text, strlen(text));
}

static void put_uint(writer *w, const char *key, uint64_t value) {
    put_text(w, key);
    msgpack_pack_uint64(&w->packer, value);
}

static void put_real(writer *w, const char *key, double value) {
    put_text(w, key);
    msgpack_pack_double(&w->packer, value);
}

static void put_bool(writer *w, const char *key, bool value) {
    put_text(w, key);
    if (value) {
        msgpack_pack_true(&w->packer);
    } else {
        msgpack_pack_false(&w->packer);
    }
}

static void put_word(writer *w, const char *key, const char *word) {
    put_text(w, key);
    put_text(w, word);
}

static void put_bin(writer *w, const char *key, const void *bytes, size_t length) {
    put_text(w, key);
    if (length > UINT32_MAX) {
        w->error = NNG_EMSGSIZE;
        return;
    }
    msgpack_pack_bin(&w->packer, length);
    msgpack_pack_bin_body(&w->packer, bytes, length);
}

/* Opens the map with what every message has first. */
static void put_start(writer *w, size_t pairs, const char *key, const char *word) {
    msgpack_pack_map(&w->packer, pairs);
    put_uint(w, "v", WIRE_VERSION);
    put_word(w, key, word);
}

static void put_want(writer *w) {
    put_text(w, "want");
    msgpack_pack_array(&w->packer, 1);
    put_text(w, "poison");
}

/* What only a score request has. */
static void put_rows(writer *w, const wire_outgoing *request, size_t embeddings_bytes) {
    static const char *const dtypes[] = {
        [WIRE_F32] = "f32", [WIRE_F16] = "f16", [WIRE_BF16] = "bf16"};
    put_text(w, "accounts");
    msgpack_pack_array(&w->packer, request->rows);
    for (size_t i = 0; i < request->rows; i++) {
        put_text(w, request->accounts[i]);
    }
    put_bin(w, "classes", request->classes, request->rows * sizeof(uint32_t));
    put_word(w, "dtype", dtypes[request->dtype]);
    put_bin(w, "embeddings", request->embeddings, embeddings_bytes);
    if (request->want_poison) {
        put_want(w);
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
        *all_bytes += STR_HEAD_BYTES + strlen(request->accounts[i]);
    }
    return 0;
}

int wire_encode_request(nng_msg *message, const wire_outgoing *request) {
    static const char *const ops[] = {[WIRE_SCORE] = "score",
                                      [WIRE_HELLO] = "hello",
                                      [WIRE_PING] = "ping",
                                      [WIRE_FORGET] = "forget"};
    bool score = request->op == WIRE_SCORE;
    bool forget = request->op == WIRE_FORGET;
    size_t embeddings_bytes = 0;
    size_t bytes = 0;
    if (score) {
        int error = rows_bytes(request, &embeddings_bytes, &bytes);
        if (error != 0) {
            return error;
        }
    }
    size_t pairs = 2u + 2u * request->identified + (request->model != NULL) + forget;
    pairs += score ? 4u + request->want_poison : 0u;
    writer w;
    writer_init(&w, message, HEAD_BYTES + bytes);
    put_start(&w, pairs, "op", ops[request->op]);
    if (request->identified) {
        put_uint(&w, "client", request->client);
        put_uint(&w, "seq", request->seq);
    }
    if (request->model != NULL) {
        put_word(&w, "model", request->model);
    }
    if (forget) {
        put_word(&w, "account", request->account);
    }
    if (score) {
        put_rows(&w, request, embeddings_bytes);
    }
    return w.error;
}

/* A bin of K rows of probabilities, each asked for when its turn comes, so that nobody has to hold
 * all of them. */
static void put_probabilities(writer *w, const wire_scores *scores, size_t bytes) {
    put_text(w, "poison");
    msgpack_pack_bin(&w->packer, bytes);
    for (size_t k = 0; k < scores->poison_rows_count && w->error == 0; k++) {
        const float *row = scores->poison(scores->poison_context, k);
        msgpack_pack_bin_body(&w->packer, row, scores->classes * sizeof(float));
    }
}

/* K rows and what to answer in their place. */
static void put_poison(writer *w, const wire_scores *scores, size_t poison_bytes) {
    size_t rows_bytes = scores->poison_rows_count * sizeof(uint32_t);
    put_bin(w, "poison_rows", scores->poison_rows, rows_bytes);
    if (scores->poison != NULL) {
        put_probabilities(w, scores, poison_bytes);
    } else {
        put_bin(w, "poison_labels", scores->poison_labels, rows_bytes);
    }
}

int wire_encode_scores(nng_msg *message, const wire_scores *scores) {
    size_t rows = scores->rows;
    size_t count = scores->poison_rows_count;
    bool poison = count > 0 && (scores->poison != NULL || scores->poison_labels != NULL);
    size_t poison_bytes = 0;
    size_t columns = scores->poison != NULL ? scores->classes : 0;
    if (rows > UINT32_MAX / sizeof(uint32_t) || count > rows ||
        __builtin_mul_overflow(count * sizeof(float), columns, &poison_bytes) ||
        poison_bytes > UINT32_MAX) {
        return NNG_EMSGSIZE;
    }
    writer w;
    writer_init(&w, message,
                HEAD_BYTES + strlen(scores->model) + 13 * rows + poison_bytes + 8 * count);
    size_t pairs = 6u + (scores->memory_scores != NULL) + 2u * poison + scores->degraded;
    put_start(&w, pairs, "status", "ok");
    put_word(&w, "model", scores->model);
    put_bin(&w, "scores", scores->scores, rows * sizeof(float));
    if (scores->memory_scores != NULL) {
        put_bin(&w, "memory_scores", scores->memory_scores, rows * sizeof(float));
    }
    put_bin(&w, "decisions", scores->decisions, rows);
    put_bin(&w, "fill", scores->fill, rows * sizeof(uint32_t));
    if (poison) {
        put_poison(&w, scores, poison_bytes);
    }
    if (scores->degraded) {
        put_bool(&w, "degraded", true);
    }
    return w.error;
}

static void put_model(writer *w, const wire_model *model) {
    msgpack_pack_map(&w->packer, 9u + model->has_threshold);
    put_word(w, "name", model->name);
    put_uint(w, "dim", model->dim);
    put_uint(w, "classes", model->classes);
    put_uint(w, "rank", model->rank);
    put_uint(w, "window", model->window);
    put_uint(w, "memory_rank", model->memory_rank);
    put_real(w, "half_life", model->half_life);
    if (model->has_threshold) {
        put_real(w, "threshold", model->threshold);
    }
    put_uint(w, "min_fill", model->min_fill);
    put_word(w, "output", model->hard_label ? "hard" : "soft");
}

int wire_encode_hello(nng_msg *message, const wire_hello *hello) {
    if (hello->models > WIRE_MODELS_MAX) {
        return NNG_EMSGSIZE;
    }
    writer w;
    writer_init(&w, message, HEAD_BYTES + hello->models * MODEL_BYTES_MAX);
    put_start(&w, 11, "status", "ok");
    put_word(&w, "version", hello->version);
    put_word(&w, "engine", hello->engine);
    put_bool(&w, "degraded", hello->degraded);
    put_text(&w, "limits");
    msgpack_pack_map(&w.packer, 4);
    put_uint(&w, "rows_max", hello->rows_max);
    put_uint(&w, "message_bytes_max", hello->message_bytes_max);
    put_uint(&w, "accounts_max", hello->accounts_max);
    put_uint(&w, "account_bytes_max", WIRE_ACCOUNT_BYTES_MAX);
    put_uint(&w, "accounts", hello->accounts);
    put_uint(&w, "rows", hello->rows);
    put_uint(&w, "requests", hello->requests);
    put_real(&w, "uptime_s", hello->uptime_s);
    put_text(&w, "models");
    msgpack_pack_array(&w.packer, hello->models);
    for (size_t i = 0; i < hello->models; i++) {
        put_model(&w, &hello->model[i]);
    }
    return w.error;
}

int wire_encode_pong(nng_msg *message) {
    writer w;
    writer_init(&w, message, HEAD_BYTES);
    put_start(&w, 2, "status", "ok");
    return w.error;
}

int wire_encode_forgotten(nng_msg *message, bool known) {
    writer w;
    writer_init(&w, message, HEAD_BYTES);
    put_start(&w, 3, "status", "ok");
    put_bool(&w, "known", known);
    return w.error;
}

int wire_encode_error(nng_msg *message, wire_code code, const char *text) {
    writer w;
    writer_init(&w, message, HEAD_BYTES);
    put_start(&w, 4, "status", "error");
    put_word(&w, "code", wire_code_name(code));
    put_text(&w, "message");
    put_str(&w, text, strnlen(text, WIRE_TEXT_MAX - 1));
    return w.error;
}

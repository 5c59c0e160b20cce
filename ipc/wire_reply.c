/*
 * wire_reply.c - the daemon's reply as the client takes it; hello's is wire_hello.c, explain's
 * wire_explain.c. The daemon's
 * bytes are trusted no more than a client's: every length, row and decision is checked before the
 * caller may index with it.
 */
#include "wire_parts.h"

#include <string.h>

enum {
    REPLY_VALUES_MAX = 4096, /* hello with WIRE_MODELS_MAX models holds about 1,900 */
    REPLY_ZONE_BYTES = 4096,
};

enum {
    KEY_V,
    KEY_STATUS,
    KEY_CODE,
    KEY_MESSAGE,
    KEY_RETRY_AFTER,
    KEY_POISON_ROWS,
    KEY_POISON,
    KEY_POISON_LABELS,
    KEY_DEGRADED,
    KEY_KNOWN,
    KEYS,
};

static const wire_map_key keys[KEYS] = {
    [KEY_V] = {"v", WIRE_MAP_UINT},
    [KEY_STATUS] = {"status", WIRE_MAP_STR},
    [KEY_CODE] = {"code", WIRE_MAP_STR},
    [KEY_MESSAGE] = {"message", WIRE_MAP_STR},
    [KEY_RETRY_AFTER] = {"retry_after_ms", WIRE_MAP_UINT},
    [KEY_POISON_ROWS] = {"poison_rows", WIRE_MAP_BIN},
    [KEY_POISON] = {"poison", WIRE_MAP_BIN},
    [KEY_POISON_LABELS] = {"poison_labels", WIRE_MAP_BIN},
    [KEY_DEGRADED] = {"degraded", WIRE_MAP_BOOL},
    [KEY_KNOWN] = {"known", WIRE_MAP_BOOL},
};

typedef struct {
    const msgpack_object *found[KEYS];
    wire_reply *reply;
} decoding;

wire_code wire_reply_lacks(char text[WIRE_TEXT_MAX], const char *key) {
    return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: %s: needed, came none", key);
}

/* The daemon's line may go to a terminal: what is not printable ASCII becomes '?'. */
static void copy_line(char text[WIRE_TEXT_MAX], const msgpack_object *line) {
    size_t length = line->via.str.size;
    length = length < WIRE_TEXT_MAX - 1 ? length : WIRE_TEXT_MAX - 1;
    for (size_t i = 0; i < length; i++) {
        char c = line->via.str.ptr[i];
        text[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    text[length] = '\0';
}

static wire_code decode_refusal(decoding *d) {
    wire_reply *reply = d->reply;
    if (d->found[KEY_CODE] == NULL || d->found[KEY_MESSAGE] == NULL) {
        return wire_reply_lacks(reply->text, d->found[KEY_CODE] == NULL ? "code" : "message");
    }
    reply->code = WIRE_INTERNAL; /* also for a code of a later version */
    for (wire_code code = WIRE_BAD_MESSAGE; code < WIRE_CODES; code++) {
        if (wire_map_str_is(d->found[KEY_CODE], wire_code_name(code))) {
            reply->code = code;
        }
    }
    copy_line(reply->text, d->found[KEY_MESSAGE]);
    const msgpack_object *retry = d->found[KEY_RETRY_AFTER];
    if (retry != NULL) {
        reply->retry_after_ms = retry->via.u64 < UINT32_MAX ? (uint32_t)retry->via.u64 : UINT32_MAX;
    }
    return WIRE_OK;
}

/* A bin of exactly `expected` bytes. */
static wire_code decode_bin(const unsigned char **bytes, const msgpack_object *bin,
                            const char *name, size_t expected, char *text) {
    if (bin->via.bin.size != expected) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: %s: expected %zu bytes, came %u", name,
                           expected, (unsigned)bin->via.bin.size);
    }
    *bytes = (const unsigned char *)bin->via.bin.ptr;
    return WIRE_OK;
}

static wire_code decode_column(wire_reply *reply, const wire_column *column,
                               const msgpack_object *bin) {
    if (bin == NULL) {
        return column->needed ? wire_reply_lacks(reply->text, column->name) : WIRE_OK;
    }
    const unsigned char *bytes = NULL;
    wire_code code =
        decode_bin(&bytes, bin, column->name, column->row_bytes * reply->rows, reply->text);
    for (size_t i = 0; code == WIRE_OK && column->value_max > 0 && i < reply->rows; i++) {
        if (bytes[i] > column->value_max) {
            return wire_refuse(reply->text, WIRE_BAD_MESSAGE,
                               "reply: %s[%zu]: expected 0 to %u, came %u", column->name, i,
                               column->value_max, (unsigned)bytes[i]);
        }
    }
    memcpy((char *)reply + column->to, &bytes, sizeof bytes);
    return code;
}

static wire_code decode_columns(wire_reply *reply, const msgpack_object *root) {
    wire_map_key wanted[WIRE_COLUMNS];
    const msgpack_object *found[WIRE_COLUMNS];
    for (size_t i = 0; i < WIRE_COLUMNS; i++) {
        wanted[i] = (wire_map_key){wire_columns[i].name, WIRE_MAP_BIN};
    }
    wire_code code = wire_map_pick(found, wanted, WIRE_COLUMNS, &root->via.map, reply->text);
    for (size_t i = 0; code == WIRE_OK && i < WIRE_COLUMNS; i++) {
        code = decode_column(reply, &wire_columns[i], found[i]);
    }
    return code;
}

static wire_code check_poison_rows(const wire_reply *reply, char *text) {
    for (size_t i = 0; i < reply->poison_rows_count; i++) {
        uint32_t row = wire_load_u32(reply->poison_rows + 4 * i);
        if (row >= reply->rows || (i > 0 && row <= wire_load_u32(reply->poison_rows + 4 * i - 4))) {
            return wire_refuse(text, WIRE_BAD_MESSAGE,
                               "reply: poison_rows[%zu]: expected ascending rows below %zu, came "
                               "%u",
                               i, reply->rows, (unsigned)row);
        }
    }
    return WIRE_OK;
}

/* poison_rows comes with exactly one of poison and poison_labels, or none of the three comes. */
static wire_code decode_poison(decoding *d) {
    wire_reply *reply = d->reply;
    const msgpack_object *rows = d->found[KEY_POISON_ROWS];
    const msgpack_object *poison = d->found[KEY_POISON];
    int outputs = (poison != NULL) + (d->found[KEY_POISON_LABELS] != NULL);
    if (outputs != (rows != NULL)) {
        return wire_refuse(reply->text, WIRE_BAD_MESSAGE,
                           "reply: poison_rows: expected with one of poison and poison_labels, "
                           "came %s of them",
                           outputs == 0   ? "none"
                           : outputs == 1 ? "only one"
                                          : "both");
    }
    if (rows == NULL) {
        return WIRE_OK;
    }
    size_t row_bytes = rows->via.bin.size;
    if (row_bytes == 0 || row_bytes % 4 != 0 || row_bytes / 4 > reply->rows) {
        return wire_refuse(
            reply->text, WIRE_BAD_MESSAGE,
            "reply: poison_rows: expected 4 bytes for each of 1 to %zu rows, came %zu", reply->rows,
            row_bytes);
    }
    reply->poison_rows_count = row_bytes / 4;
    reply->poison_rows = (const unsigned char *)rows->via.bin.ptr;
    if (poison == NULL) {
        wire_code code = decode_bin(&reply->poison_labels, d->found[KEY_POISON_LABELS],
                                    "poison_labels", row_bytes, reply->text);
        return code != WIRE_OK ? code : check_poison_rows(reply, reply->text);
    }
    if (poison->via.bin.size == 0 || poison->via.bin.size % row_bytes != 0) {
        return wire_refuse(reply->text, WIRE_BAD_MESSAGE,
                           "reply: poison: expected a multiple of %zu bytes, came %u", row_bytes,
                           (unsigned)poison->via.bin.size);
    }
    reply->classes = poison->via.bin.size / row_bytes;
    reply->poison = (const unsigned char *)poison->via.bin.ptr;
    return check_poison_rows(reply, reply->text);
}

static wire_code decode_scores(decoding *d, size_t rows, const msgpack_object *root) {
    wire_reply *reply = d->reply;
    reply->rows = rows;
    wire_code code = decode_columns(reply, root);
    if (code != WIRE_OK) {
        return code;
    }
    reply->degraded = d->found[KEY_DEGRADED] != NULL && d->found[KEY_DEGRADED]->via.boolean;
    return decode_poison(d);
}

/* What a reply answers, and where it goes. */
typedef struct {
    wire_op op;
    size_t rows;
    wire_hello *hello; /* may be NULL, as the next */
    wire_explanation *explanation;
} question;

/* A forget's or an explain's. */
static wire_code decode_known(decoding *d, const question *q, const msgpack_object *root) {
    if (d->found[KEY_KNOWN] == NULL) {
        return wire_reply_lacks(d->reply->text, "known");
    }
    d->reply->known = d->found[KEY_KNOWN]->via.boolean;
    if (!d->reply->known || q->explanation == NULL) {
        return WIRE_OK;
    }
    return wire_explanation_decode(q->explanation, root, d->reply->text);
}

static wire_code decode_root(wire_reply *reply, const question *q, const msgpack_object *root) {
    decoding d = {.reply = reply};
    wire_code code;
    if ((code = wire_map_pick(d.found, keys, KEYS, &root->via.map, reply->text)) != WIRE_OK ||
        (code = wire_map_version(d.found[KEY_V], reply->text)) != WIRE_OK) {
        return code;
    }
    const msgpack_object *status = d.found[KEY_STATUS];
    if (status == NULL) {
        return wire_reply_lacks(reply->text, "status");
    }
    if (wire_map_str_is(status, "error")) {
        return decode_refusal(&d);
    }
    if (!wire_map_str_is(status, "ok")) {
        return wire_refuse(reply->text, WIRE_BAD_MESSAGE, "reply: status: expected ok or error");
    }
    switch (q->op) {
    case WIRE_SCORE:
        return decode_scores(&d, q->rows, root);
    case WIRE_HELLO:
        return q->hello != NULL ? wire_hello_decode(q->hello, root, reply->text) : WIRE_OK;
    case WIRE_FORGET:
    case WIRE_EXPLAIN:
        return decode_known(&d, q, root);
    case WIRE_PING:
        break;
    }
    return WIRE_OK;
}

static wire_code decode(wire_reply *reply, const question *q, const void *message, size_t bytes) {
    memset(reply, 0, sizeof *reply);
    msgpack_zone zone;
    if (!msgpack_zone_init(&zone, REPLY_ZONE_BYTES)) {
        return wire_refuse(reply->text, WIRE_INTERNAL, "no memory to unpack the reply");
    }
    msgpack_object root = {.type = MSGPACK_OBJECT_MAP};
    wire_code code =
        wire_map_unpack(&root.via.map, &zone, REPLY_VALUES_MAX, message, bytes, reply->text);
    if (code == WIRE_OK) {
        code = decode_root(reply, q, &root);
    }
    msgpack_zone_destroy(&zone);
    if (code != WIRE_OK && code != WIRE_INTERNAL) {
        code = WIRE_BAD_MESSAGE; /* too many values is the daemon's fault, not a refusal of ours */
    }
    return code;
}

wire_code wire_decode_reply(wire_reply *reply, wire_hello *hello, wire_op op, size_t rows,
                            const void *message, size_t bytes) {
    return decode(reply, &(question){.op = op, .rows = rows, .hello = hello}, message, bytes);
}

wire_code wire_decode_explanation(wire_reply *reply, wire_explanation *explanation,
                                  const void *message, size_t bytes) {
    memset(explanation, 0, sizeof *explanation);
    return decode(reply, &(question){.op = WIRE_EXPLAIN, .explanation = explanation}, message,
                  bytes);
}

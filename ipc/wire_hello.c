/*
 * wire_hello.c - hello's reply: limits, counts and models. Its members are many and all alike, so
 * tables say which key fills which member.
 */
#include "wire_parts.h"

#include <math.h>
#include <string.h>

typedef struct {
    const char *name;
    wire_map_type type;
    size_t offset; /* of a uint64_t, double or bool, or of char[bytes] */
    size_t bytes;
    bool optional;
} member;

#define UINT_OF(type, key)                                                                         \
    { #key, WIRE_MAP_UINT, offsetof(type, key), 0, false }
#define TEXT_OF(type, key)                                                                         \
    { #key, WIRE_MAP_STR, offsetof(type, key), sizeof(((type *)0)->key), false }
#define REAL_OF(type, key, optional)                                                               \
    { #key, WIRE_MAP_NUMBER, offsetof(type, key), 0, optional }

static const member hello_members[] = {
    TEXT_OF(wire_hello, version),
    TEXT_OF(wire_hello, engine),
    {"degraded", WIRE_MAP_BOOL, offsetof(wire_hello, degraded), 0, false},
    UINT_OF(wire_hello, accounts),
    UINT_OF(wire_hello, rows),
    UINT_OF(wire_hello, requests),
    REAL_OF(wire_hello, uptime_s, false),
};

static const member limit_members[] = {
    UINT_OF(wire_hello, rows_max),
    UINT_OF(wire_hello, message_bytes_max),
    UINT_OF(wire_hello, accounts_max),
};

static const member model_members[] = {
    TEXT_OF(wire_model, name),
    UINT_OF(wire_model, dim),
    UINT_OF(wire_model, classes),
    UINT_OF(wire_model, rank),
    UINT_OF(wire_model, window),
    UINT_OF(wire_model, memory_rank),
    REAL_OF(wire_model, half_life, false),
    REAL_OF(wire_model, threshold, true),
    UINT_OF(wire_model, min_fill),
};

enum { MEMBERS_MAX = 16 };

static wire_code store_text(void *into, const member *m, const msgpack_object *value, char *text) {
    size_t length = value->via.str.size;
    const char *bytes = value->via.str.ptr;
    bool fits = length < m->bytes && wire_map_text_valid(bytes, length);
    for (size_t i = 0; fits && i < length; i++) {
        fits = (unsigned char)bytes[i] >= ' ' && bytes[i] != 0x7f;
    }
    if (!fits) {
        return wire_refuse(text, WIRE_BAD_MESSAGE,
                           "reply: %s: expected at most %zu bytes of printable UTF-8, came %zu",
                           m->name, m->bytes - 1, length);
    }
    memcpy(into, bytes, length);
    ((char *)into)[length] = '\0';
    return WIRE_OK;
}

static wire_code store_real(void *into, const member *m, const msgpack_object *value, char *text) {
    double real = value->via.f64;
    if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
        real = (double)value->via.u64;
    } else if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
        real = (double)value->via.i64;
    }
    if (isnan(real)) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: %s: expected a number, came nan",
                           m->name);
    }
    memcpy(into, &real, sizeof real);
    return WIRE_OK;
}

/* Fills `into` from the map: every member that is not optional must be there. */
static wire_code store_members(void *into, const member *members, size_t count,
                               const msgpack_object *object, char *text) {
    wire_map_key wanted[MEMBERS_MAX] = {{0}};
    const msgpack_object *found[MEMBERS_MAX];
    for (size_t i = 0; i < count; i++) {
        wanted[i] = (wire_map_key){members[i].name, members[i].type};
    }
    wire_code code = wire_map_pick(found, wanted, count, &object->via.map, text);
    for (size_t i = 0; code == WIRE_OK && i < count; i++) {
        const member *m = &members[i];
        char *at = (char *)into + m->offset;
        if (found[i] == NULL) {
            code = m->optional ? WIRE_OK : wire_reply_lacks(text, m->name);
        } else if (m->type == WIRE_MAP_STR) {
            code = store_text(at, m, found[i], text);
        } else if (m->type == WIRE_MAP_NUMBER) {
            code = store_real(at, m, found[i], text);
        } else if (m->type == WIRE_MAP_BOOL) {
            memcpy(at, &found[i]->via.boolean, sizeof(bool));
        } else {
            memcpy(at, &found[i]->via.u64, sizeof(uint64_t));
        }
    }
    return code;
}

static wire_code decode_model(wire_model *model, const msgpack_object *object, char *text) {
    static const wire_map_key extra[] = {{"threshold", WIRE_MAP_NUMBER}, {"output", WIRE_MAP_STR}};
    const msgpack_object *found[2];
    if (object->type != MSGPACK_OBJECT_MAP) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: models: expected maps, came %s",
                           wire_map_type_name(object));
    }
    wire_code code = store_members(model, model_members,
                                   sizeof model_members / sizeof model_members[0], object, text);
    if (code != WIRE_OK ||
        (code = wire_map_pick(found, extra, 2, &object->via.map, text)) != WIRE_OK) {
        return code;
    }
    model->has_threshold = found[0] != NULL;
    if (found[1] == NULL) {
        return wire_reply_lacks(text, "output");
    }
    model->hard_label = wire_map_str_is(found[1], "hard");
    if (!model->hard_label && !wire_map_str_is(found[1], "soft")) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: output: expected soft or hard");
    }
    return WIRE_OK;
}

wire_code wire_hello_decode(wire_hello *hello, const msgpack_object *root,
                            char text[WIRE_TEXT_MAX]) {
    static const wire_map_key parts[] = {{"limits", WIRE_MAP_ANY}, {"models", WIRE_MAP_ARRAY}};
    const msgpack_object *found[2];
    memset(hello, 0, sizeof *hello);
    wire_code code = store_members(hello, hello_members,
                                   sizeof hello_members / sizeof hello_members[0], root, text);
    if (code != WIRE_OK ||
        (code = wire_map_pick(found, parts, 2, &root->via.map, text)) != WIRE_OK) {
        return code;
    }
    if (found[0] == NULL || found[1] == NULL) {
        return wire_reply_lacks(text, found[0] == NULL ? "limits" : "models");
    }
    if (found[0]->type != MSGPACK_OBJECT_MAP) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: limits: expected a map, came %s",
                           wire_map_type_name(found[0]));
    }
    code = store_members(hello, limit_members, sizeof limit_members / sizeof limit_members[0],
                         found[0], text);
    hello->models = found[1]->via.array.size;
    if (code == WIRE_OK && hello->models > WIRE_MODELS_MAX) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: models: expected at most %d, came %zu",
                           WIRE_MODELS_MAX, hello->models);
    }
    for (size_t i = 0; code == WIRE_OK && i < hello->models; i++) {
        code = decode_model(&hello->model[i], &found[1]->via.array.ptr[i], text);
    }
    return code;
}

/*
 * wire_hello.c - hello's reply, written and read: limits, counts and models.
 */
#include "wire_members.h"

#include <string.h>

enum { MODEL_BYTES_MAX = 384 }; /* one model, its name included */

static const wire_member hello_members[] = {
    WIRE_TEXT_OF(wire_hello, version),
    WIRE_TEXT_OF(wire_hello, engine),
    {"degraded", WIRE_MAP_BOOL, offsetof(wire_hello, degraded), 0, false},
    WIRE_UINT_OF(wire_hello, accounts),
    WIRE_UINT_OF(wire_hello, rows),
    WIRE_UINT_OF(wire_hello, requests),
    WIRE_REAL_OF(wire_hello, uptime_s, false),
};

static const wire_member limit_members[] = {
    WIRE_UINT_OF(wire_hello, rows_max),
    WIRE_UINT_OF(wire_hello, message_bytes_max),
    WIRE_UINT_OF(wire_hello, accounts_max),
};

static const wire_member model_members[] = {
    WIRE_TEXT_OF(wire_model, name),
    WIRE_UINT_OF(wire_model, dim),
    WIRE_UINT_OF(wire_model, classes),
    WIRE_UINT_OF(wire_model, rank),
    WIRE_UINT_OF(wire_model, window),
    WIRE_UINT_OF(wire_model, memory_rank),
    WIRE_REAL_OF(wire_model, half_life, false),
    WIRE_REAL_OF(wire_model, threshold, true),
    WIRE_UINT_OF(wire_model, min_fill),
};

static wire_code decode_model(wire_model *model, const msgpack_object *object, char *text) {
    static const wire_map_key extra[] = {{"threshold", WIRE_MAP_NUMBER}, {"output", WIRE_MAP_STR}};
    const msgpack_object *found[2];
    if (object->type != MSGPACK_OBJECT_MAP) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: models: expected maps, came %s",
                           wire_map_type_name(object));
    }
    wire_code code = wire_members_load(
        model, model_members, sizeof model_members / sizeof model_members[0], object, text);
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
    wire_code code = wire_members_load(hello, hello_members,
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
    code = wire_members_load(hello, limit_members, sizeof limit_members / sizeof limit_members[0],
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

static void put_model(wire_writer *w, const wire_model *model) {
    msgpack_pack_map(&w->packer, 9u + model->has_threshold);
    wire_put_word(w, "name", model->name);
    wire_put_uint(w, "dim", model->dim);
    wire_put_uint(w, "classes", model->classes);
    wire_put_uint(w, "rank", model->rank);
    wire_put_uint(w, "window", model->window);
    wire_put_uint(w, "memory_rank", model->memory_rank);
    wire_put_real(w, "half_life", model->half_life);
    if (model->has_threshold) {
        wire_put_real(w, "threshold", model->threshold);
    }
    wire_put_uint(w, "min_fill", model->min_fill);
    wire_put_word(w, "output", model->hard_label ? "hard" : "soft");
}

int wire_encode_hello(nng_msg *message, const wire_hello *hello) {
    if (hello->models > WIRE_MODELS_MAX) {
        return NNG_EMSGSIZE;
    }
    wire_writer w;
    wire_writer_init(&w, message, WIRE_HEAD_BYTES + hello->models * MODEL_BYTES_MAX);
    wire_put_start(&w, 11, "status", "ok");
    wire_put_word(&w, "version", hello->version);
    wire_put_word(&w, "engine", hello->engine);
    wire_put_bool(&w, "degraded", hello->degraded);
    wire_put_text(&w, "limits");
    msgpack_pack_map(&w.packer, 4);
    wire_put_uint(&w, "rows_max", hello->rows_max);
    wire_put_uint(&w, "message_bytes_max", hello->message_bytes_max);
    wire_put_uint(&w, "accounts_max", hello->accounts_max);
    wire_put_uint(&w, "account_bytes_max", WIRE_ACCOUNT_BYTES_MAX);
    wire_put_uint(&w, "accounts", hello->accounts);
    wire_put_uint(&w, "rows", hello->rows);
    wire_put_uint(&w, "requests", hello->requests);
    wire_put_real(&w, "uptime_s", hello->uptime_s);
    wire_put_text(&w, "models");
    msgpack_pack_array(&w.packer, hello->models);
    for (size_t i = 0; i < hello->models; i++) {
        put_model(&w, &hello->model[i]);
    }
    return w.error;
}

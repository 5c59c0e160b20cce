/*
 * wire_hello.c - hello's reply, written and read: limits, counts and models.
 */
#include "wire_members.h"

#include <string.h>

enum { MODEL_BYTES_MAX = 512 }; /* one model, its name included */

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
    {"has_tables", WIRE_MAP_BOOL, offsetof(wire_model, has_tables), 0, true},
    {"decisions_only", WIRE_MAP_BOOL, offsetof(wire_model, decisions_only), 0, true},
    WIRE_REAL_OF(wire_model, false_alarms, true),
    WIRE_REAL_OF(wire_model, evidence_threshold, true),
};

static const char *const outputs[] = {"soft", "hard"};
static const char *const modes[] = {
    [WIRE_ENFORCE] = "enforce", [WIRE_SHADOW] = "shadow", [WIRE_OFF] = "off"};
static const char *const actions[] = {
    [WIRE_ACT_POISON] = "poison", [WIRE_ACT_LABEL_ONLY] = "label_only", [WIRE_ACT_FLAG] = "flag"};

/* Which of the `count` words came; none came is the first. */
static wire_code choose(size_t *chosen, const msgpack_object *word, const char *name,
                        const char *const *words, size_t count, char *text) {
    *chosen = 0;
    while (word != NULL && *chosen < count && !wire_map_str_is(word, words[*chosen])) {
        (*chosen)++;
    }
    if (*chosen == count) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: %s: expected %s%s%s or %s", name,
                           words[0], count > 2 ? ", " : "", count > 2 ? words[1] : "",
                           words[count - 1]);
    }
    return WIRE_OK;
}

static wire_code decode_words(wire_model *model, const msgpack_object *object, char *text) {
    enum { THRESHOLD, OUTPUT, MODE, ACTION, WORDS };
    static const wire_map_key wanted[WORDS] = {[THRESHOLD] = {"threshold", WIRE_MAP_NUMBER},
                                               [OUTPUT] = {"output", WIRE_MAP_STR},
                                               [MODE] = {"mode", WIRE_MAP_STR},
                                               [ACTION] = {"action", WIRE_MAP_STR}};
    const msgpack_object *found[WORDS];
    size_t output, mode, action;
    wire_code code = wire_map_pick(found, wanted, WORDS, &object->via.map, text);
    if (code == WIRE_OK && found[OUTPUT] == NULL) {
        return wire_reply_lacks(text, "output");
    }
    if (code != WIRE_OK ||
        (code = choose(&output, found[OUTPUT], "output", outputs, 2, text)) != WIRE_OK ||
        (code = choose(&mode, found[MODE], "mode", modes, 3, text)) != WIRE_OK ||
        (code = choose(&action, found[ACTION], "action", actions, 3, text)) != WIRE_OK) {
        return code;
    }
    model->has_threshold = found[THRESHOLD] != NULL;
    model->hard_label = output == 1;
    model->mode = (wire_mode)mode;
    model->action = (wire_action)action;
    return WIRE_OK;
}

static wire_code decode_model(wire_model *model, const msgpack_object *object, char *text) {
    if (object->type != MSGPACK_OBJECT_MAP) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: models: expected maps, came %s",
                           wire_map_type_name(object));
    }
    wire_code code = wire_members_load(
        model, model_members, sizeof model_members / sizeof model_members[0], object, text);
    return code != WIRE_OK ? code : decode_words(model, object, text);
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
    bool has_alarms = model->false_alarms > 0;
    bool has_evidence = model->evidence_threshold > 0;
    msgpack_pack_map(&w->packer, 12u + model->has_threshold + model->decisions_only + has_alarms +
                                     has_evidence);
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
    wire_put_word(w, "output", outputs[model->hard_label]);
    wire_put_word(w, "mode", modes[model->mode]);
    wire_put_word(w, "action", actions[model->action]);
    wire_put_bool(w, "has_tables", model->has_tables);
    if (model->decisions_only) {
        wire_put_bool(w, "decisions_only", true);
    }
    if (has_alarms) {
        wire_put_real(w, "false_alarms", model->false_alarms);
    }
    if (has_evidence) {
        wire_put_real(w, "evidence_threshold", model->evidence_threshold);
    }
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

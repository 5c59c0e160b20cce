/*
 * wire_explain.c - explain's reply, written and read: why an account has its verdict.
 */
#include "wire_members.h"

#include <string.h>

enum {
    EXPLANATION_BYTES_MAX = 768, /* without the two arrays */
    CLASS_BYTES_MAX = 192,
    WINDOW_BYTES_MAX = 96,
};

static const wire_member members[] = {
    WIRE_REAL_OF(wire_explanation, score, true),
    WIRE_REAL_OF(wire_explanation, excess, true),
    WIRE_REAL_OF(wire_explanation, memory_score, true),
    WIRE_REAL_OF(wire_explanation, memory_excess, true),
    WIRE_UINT_OF(wire_explanation, fill),
    WIRE_UINT_OF(wire_explanation, window),
    WIRE_UINT_OF(wire_explanation, queries),
    WIRE_UINT_OF(wire_explanation, verdict),
    WIRE_UINT_OF(wire_explanation, reason),
    WIRE_UINT_OF(wire_explanation, first_flagged_at),
    WIRE_UINT_OF(wire_explanation, flagged_at),
    WIRE_UINT_OF(wire_explanation, clean_run),
    WIRE_UINT_OF(wire_explanation, release_after),
    WIRE_REAL_OF(wire_explanation, evidence, true),
    WIRE_REAL_OF(wire_explanation, evidence_rows, true),
    WIRE_REAL_OF(wire_explanation, evidence_window, true),
    WIRE_REAL_OF(wire_explanation, evidence_memory, true),
    WIRE_REAL_OF(wire_explanation, threshold, true),
    WIRE_REAL_OF(wire_explanation, window_threshold, true),
};

static const wire_member class_members[] = {
    {"class", WIRE_MAP_UINT, offsetof(wire_explained_class, class_id), 0, false},
    WIRE_UINT_OF(wire_explained_class, n),
    WIRE_REAL_OF(wire_explained_class, contribution, true),
    WIRE_REAL_OF(wire_explained_class, d2, true),
    WIRE_REAL_OF(wire_explained_class, mean_part, true),
    WIRE_REAL_OF(wire_explained_class, covariance_part, true),
    WIRE_REAL_OF(wire_explained_class, benign_mean, true),
    WIRE_REAL_OF(wire_explained_class, benign_sd, true),
    WIRE_REAL_OF(wire_explained_class, excess, true),
};

static const wire_member window_members[] = {
    WIRE_UINT_OF(wire_explained_window, query),
    WIRE_REAL_OF(wire_explained_window, score, true),
    WIRE_REAL_OF(wire_explained_window, excess, true),
    WIRE_REAL_OF(wire_explained_window, evidence, true),
    WIRE_UINT_OF(wire_explained_window, verdict),
};

enum {
    MEMBERS = sizeof members / sizeof members[0],
    CLASS_MEMBERS = sizeof class_members / sizeof class_members[0],
    WINDOW_MEMBERS = sizeof window_members / sizeof window_members[0],
};

static int encode_unknown(nng_msg *message) {
    wire_writer w;
    wire_writer_init(&w, message, WIRE_HEAD_BYTES);
    wire_put_start(&w, 3, "status", "ok");
    wire_put_bool(&w, "known", false);
    return w.error;
}

int wire_encode_explanation(nng_msg *message, bool known, const wire_explanation *explanation) {
    const wire_explanation *e = explanation;
    if (!known) {
        return encode_unknown(message);
    }
    if (e->classes > WIRE_EXPLAIN_CLASSES_MAX || e->windows > WIRE_EXPLAIN_HISTORY_MAX) {
        return NNG_EMSGSIZE;
    }
    wire_writer w;
    wire_writer_init(&w, message,
                     EXPLANATION_BYTES_MAX + e->classes * CLASS_BYTES_MAX +
                         e->windows * WINDOW_BYTES_MAX);
    wire_put_start(&w, 6 + wire_members_pairs(e, members, MEMBERS), "status", "ok");
    wire_put_bool(&w, "known", true);
    wire_put_word(&w, "kind", e->is_group ? "group" : "account");
    wire_members_put(&w, e, members, MEMBERS);
    wire_put_text(&w, "classes");
    msgpack_pack_array(&w.packer, e->classes);
    for (size_t i = 0; i < e->classes; i++) {
        wire_members_put_map(&w, &e->by_class[i], class_members, CLASS_MEMBERS);
    }
    wire_put_text(&w, "history");
    msgpack_pack_array(&w.packer, e->windows);
    for (size_t i = 0; i < e->windows; i++) {
        wire_members_put_map(&w, &e->history[i], window_members, WINDOW_MEMBERS);
    }
    return w.error;
}

/* An array of maps under `name` into `into`, which has room for count_max structs of `size`. */
typedef struct {
    const char *name;
    const wire_member *members;
    size_t member_count;
    void *into;
    size_t size;
    size_t count_max;
} list;

static wire_code load_list(const list *l, size_t *count, const msgpack_object *array, char *text) {
    if (array->via.array.size > l->count_max) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: %s: expected at most %zu, came %u",
                           l->name, l->count_max, (unsigned)array->via.array.size);
    }
    *count = array->via.array.size;
    for (size_t i = 0; i < *count; i++) {
        const msgpack_object *object = &array->via.array.ptr[i];
        char *into = (char *)l->into + i * l->size;
        if (object->type != MSGPACK_OBJECT_MAP) {
            return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: %s[%zu]: expected map, came %s",
                               l->name, i, wire_map_type_name(object));
        }
        wire_members_unknown(into, l->members, l->member_count);
        wire_code code = wire_members_load(into, l->members, l->member_count, object, text);
        if (code != WIRE_OK) {
            return code;
        }
    }
    return WIRE_OK;
}

static wire_code load_lists(wire_explanation *e, const msgpack_object *classes,
                            const msgpack_object *history, char *text) {
    const list by_class = {"classes",   class_members,         CLASS_MEMBERS,
                           e->by_class, sizeof e->by_class[0], WIRE_EXPLAIN_CLASSES_MAX};
    const list windows = {"history",  window_members,       WINDOW_MEMBERS,
                          e->history, sizeof e->history[0], WIRE_EXPLAIN_HISTORY_MAX};
    wire_code code = load_list(&by_class, &e->classes, classes, text);
    return code != WIRE_OK ? code : load_list(&windows, &e->windows, history, text);
}

static wire_code check_value(const char *name, uint64_t value, uint64_t value_max, char *text) {
    if (value > value_max) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: %s: expected 0 to %llu, came %llu", name,
                           (unsigned long long)value_max, (unsigned long long)value);
    }
    return WIRE_OK;
}

/* What the caller may look up in a table. */
static wire_code check_values(const wire_explanation *e, char *text) {
    wire_code code = check_value("verdict", e->verdict, WIRE_UNDECIDED, text);
    if (code == WIRE_OK) {
        code = check_value("reason", e->reason, WIRE_ALLOWED, text);
    }
    for (size_t i = 0; code == WIRE_OK && i < e->windows; i++) {
        code = check_value("history: verdict", e->history[i].verdict, WIRE_UNDECIDED, text);
    }
    return code;
}

wire_code wire_explanation_decode(wire_explanation *explanation, const msgpack_object *root,
                                  char text[WIRE_TEXT_MAX]) {
    static const wire_map_key parts[] = {
        {"kind", WIRE_MAP_STR}, {"classes", WIRE_MAP_ARRAY}, {"history", WIRE_MAP_ARRAY}};
    const msgpack_object *found[3];
    wire_members_unknown(explanation, members, MEMBERS);
    wire_code code = wire_members_load(explanation, members, MEMBERS, root, text);
    if (code != WIRE_OK ||
        (code = wire_map_pick(found, parts, 3, &root->via.map, text)) != WIRE_OK) {
        return code;
    }
    for (size_t i = 0; i < 3; i++) {
        if (found[i] == NULL) {
            return wire_reply_lacks(text, parts[i].name);
        }
    }
    explanation->is_group = wire_map_str_is(found[0], "group");
    if (!explanation->is_group && !wire_map_str_is(found[0], "account")) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "reply: kind: expected account or group");
    }
    code = load_lists(explanation, found[1], found[2], text);
    return code != WIRE_OK ? code : check_values(explanation, text);
}

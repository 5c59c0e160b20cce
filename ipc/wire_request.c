/*
 * wire_request.c - a request's bytes become a wire_request that can be carried out, or a refusal.
 *
 * Order of the checks: structure, keys and their types (bad_message), lengths and limits, then
 * the contents of the arrays, which cost most.
 */
#include "wire_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    VALUES_EXTRA = 1024, /* values a message may hold besides rows_max accounts and groups */
};

enum {
    KEY_V,
    KEY_OP,
    KEY_CLIENT,
    KEY_SEQ,
    KEY_DEADLINE,
    KEY_MODEL,
    KEY_ACCOUNT,
    KEY_GROUP,
    KEY_ACCOUNTS,
    KEY_GROUPS,
    KEY_CLASSES,
    KEY_DTYPE,
    KEY_EMBEDDINGS,
    KEY_WANT,
    KEYS,
};

static const wire_map_key keys[KEYS] = {
    [KEY_V] = {"v", WIRE_MAP_UINT},           [KEY_OP] = {"op", WIRE_MAP_STR},
    [KEY_CLIENT] = {"client", WIRE_MAP_UINT}, [KEY_SEQ] = {"seq", WIRE_MAP_UINT},
    [KEY_MODEL] = {"model", WIRE_MAP_STR},    [KEY_ACCOUNT] = {"account", WIRE_MAP_STR},
    [KEY_GROUP] = {"group", WIRE_MAP_STR},    [KEY_ACCOUNTS] = {"accounts", WIRE_MAP_ARRAY},
    [KEY_GROUPS] = {"groups", WIRE_MAP_ANY},  [KEY_CLASSES] = {"classes", WIRE_MAP_BIN},
    [KEY_DTYPE] = {"dtype", WIRE_MAP_STR},    [KEY_EMBEDDINGS] = {"embeddings", WIRE_MAP_BIN},
    [KEY_WANT] = {"want", WIRE_MAP_ARRAY},    [KEY_DEADLINE] = {"deadline_ms", WIRE_MAP_UINT},
};

struct wire_scratch {
    size_t rows_max;
    size_t values_max;
    msgpack_zone zone;
    wire_text names[]; /* [rows_max] accounts, then [rows_max] groups */
};

/* Everything one decoding needs. */
typedef struct {
    const msgpack_object *found[KEYS];
    wire_request *request;
    wire_scratch *scratch;
    wire_served served;
    const wire_limits *limits; /* of the request's model */
    char *text;
} decoding;

wire_scratch *wire_scratch_open(size_t rows_max) {
    if (rows_max > SIZE_MAX / 128 - VALUES_EXTRA) {
        return NULL;
    }
    wire_scratch *scratch = calloc(1, sizeof *scratch + 2 * rows_max * sizeof(wire_text));
    if (scratch == NULL) {
        return NULL;
    }
    scratch->rows_max = rows_max;
    scratch->values_max = 2 * rows_max + VALUES_EXTRA;
    /* One chunk holds the objects of every message that passes the walk, so decoding allocates
     * nothing; texts and bins are not copied. Its pages are touched only when used. */
    if (!msgpack_zone_init(&scratch->zone, (scratch->values_max + 1) * sizeof(msgpack_object))) {
        free(scratch);
        return NULL;
    }
    return scratch;
}

void wire_scratch_close(wire_scratch *scratch) {
    if (scratch != NULL) {
        msgpack_zone_destroy(&scratch->zone);
        free(scratch);
    }
}

static wire_code missing(const decoding *d, int key) {
    return wire_refuse(d->text, WIRE_BAD_REQUEST, "%s: needed, came none", keys[key].name);
}

static wire_code decode_op(decoding *d) {
    static const char *const ops[] = {[WIRE_SCORE] = "score",
                                      [WIRE_HELLO] = "hello",
                                      [WIRE_PING] = "ping",
                                      [WIRE_FORGET] = "forget",
                                      [WIRE_EXPLAIN] = "explain"};
    const msgpack_object *op = d->found[KEY_OP];
    if (op == NULL) {
        return wire_refuse(d->text, WIRE_BAD_MESSAGE, "op: needed, came none");
    }
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (wire_map_str_is(op, ops[i])) {
            d->request->op = (wire_op)i;
            return WIRE_OK;
        }
    }
    return wire_refuse(d->text, WIRE_BAD_MESSAGE,
                       "op: expected score, hello, ping, forget or explain, came another str of %u "
                       "bytes",
                       (unsigned)op->via.str.size);
}

static wire_code decode_identity(decoding *d) {
    const msgpack_object *client = d->found[KEY_CLIENT];
    const msgpack_object *seq = d->found[KEY_SEQ];
    if ((client == NULL) != (seq == NULL)) {
        return wire_refuse(d->text, WIRE_BAD_REQUEST,
                           "client and seq: expected both or neither, came only %s",
                           client != NULL ? "client" : "seq");
    }
    if (client != NULL) {
        d->request->identified = true;
        d->request->client = client->via.u64;
        d->request->seq = seq->via.u64;
    }
    const msgpack_object *deadline = d->found[KEY_DEADLINE];
    if (deadline != NULL) {
        if (deadline->via.u64 == 0) {
            return wire_refuse(d->text, WIRE_BAD_REQUEST,
                               "deadline_ms: expected at least 1, came 0");
        }
        d->request->deadline_ms = deadline->via.u64;
    }
    return WIRE_OK;
}

static wire_code unknown_model(const decoding *d, const msgpack_object *model) {
    if (d->served.models == 1) {
        return wire_refuse(d->text, WIRE_UNKNOWN_MODEL,
                           "model: expected \"%.128s\", came another str of %u bytes",
                           d->served.model[0].model, (unsigned)model->via.str.size);
    }
    return wire_refuse(d->text, WIRE_UNKNOWN_MODEL,
                       "model: expected one of the %zu that are served, came another str of %u "
                       "bytes",
                       d->served.models, (unsigned)model->via.str.size);
}

/* Whose limits hold from now on. */
static wire_code decode_model(decoding *d) {
    const msgpack_object *model = d->found[KEY_MODEL];
    size_t i = 0;
    if (model == NULL && d->served.models != 1) {
        return wire_refuse(d->text, WIRE_UNKNOWN_MODEL,
                           "model: needed where %zu are served, came none", d->served.models);
    }
    while (model != NULL && i < d->served.models &&
           !wire_map_str_is(model, d->served.model[i].model)) {
        i++;
    }
    if (i == d->served.models) {
        return unknown_model(d, model);
    }
    d->request->model = i;
    d->limits = &d->served.model[i];
    return WIRE_OK;
}

/* What is wrong with a str as an account or a group, or NULL. */
static const char *name_fault(const msgpack_object *name) {
    if (name->via.str.size == 0) {
        return "is empty";
    }
    if (name->via.str.size > WIRE_ACCOUNT_BYTES_MAX) {
        return "is longer";
    }
    if (!wire_map_text_valid(name->via.str.ptr, name->via.str.size)) {
        return "is not UTF-8 or holds a NUL byte";
    }
    return NULL;
}

/* Whom a forget or an explain is about: exactly one account or group. */
static wire_code decode_name(decoding *d) {
    const msgpack_object *account = d->found[KEY_ACCOUNT];
    const msgpack_object *group = d->found[KEY_GROUP];
    if ((account == NULL) == (group == NULL)) {
        return wire_refuse(d->text, WIRE_BAD_REQUEST,
                           "account and group: expected exactly one of them, came %s",
                           account != NULL ? "both" : "none");
    }
    const msgpack_object *name = account != NULL ? account : group;
    const char *fault = name_fault(name);
    if (fault != NULL) {
        return wire_refuse(d->text, WIRE_BAD_REQUEST,
                           "%s: expected 1 to %d bytes of UTF-8, came %u bytes: it %s",
                           keys[account != NULL ? KEY_ACCOUNT : KEY_GROUP].name,
                           WIRE_ACCOUNT_BYTES_MAX, (unsigned)name->via.str.size, fault);
    }
    d->request->account = (wire_text){name->via.str.ptr, name->via.str.size};
    d->request->is_group = group != NULL;
    return WIRE_OK;
}

/* The array under `key` into names; where nil is allowed it becomes a text of length 0. */
static wire_code decode_names(decoding *d, int key, bool nil_allowed, wire_text *names) {
    const msgpack_object_array *array = &d->found[key]->via.array;
    for (uint32_t i = 0; i < array->size; i++) {
        const msgpack_object *name = &array->ptr[i];
        if (nil_allowed && name->type == MSGPACK_OBJECT_NIL) {
            names[i] = (wire_text){0};
            continue;
        }
        if (name->type != MSGPACK_OBJECT_STR) {
            return wire_refuse(d->text, WIRE_BAD_MESSAGE, "%s[%u]: expected str%s, came %s",
                               keys[key].name, (unsigned)i, nil_allowed ? " or nil" : "",
                               wire_map_type_name(name));
        }
        const char *fault = name_fault(name);
        if (fault != NULL) {
            return wire_refuse(d->text, WIRE_BAD_REQUEST,
                               "%s[%u]: expected 1 to %d bytes of UTF-8, came %u bytes: it %s",
                               keys[key].name, (unsigned)i, WIRE_ACCOUNT_BYTES_MAX,
                               (unsigned)name->via.str.size, fault);
        }
        names[i] = (wire_text){name->via.str.ptr, name->via.str.size};
    }
    return WIRE_OK;
}

static wire_code decode_accounts(decoding *d) {
    d->request->accounts = d->scratch->names;
    return decode_names(d, KEY_ACCOUNTS, false, d->scratch->names);
}

/* A nil in the whole array's place is as good as no key. */
static wire_code decode_groups(decoding *d) {
    const msgpack_object *groups = d->found[KEY_GROUPS];
    if (groups == NULL || groups->type == MSGPACK_OBJECT_NIL) {
        return WIRE_OK;
    }
    if (groups->type != MSGPACK_OBJECT_ARRAY) {
        return wire_refuse(d->text, WIRE_BAD_MESSAGE, "groups: expected array or nil, came %s",
                           wire_map_type_name(groups));
    }
    if (groups->via.array.size != d->request->rows) {
        return wire_refuse(d->text, WIRE_BAD_REQUEST,
                           "groups: expected %zu, one for each account, came %u", d->request->rows,
                           (unsigned)groups->via.array.size);
    }
    wire_text *names = d->scratch->names + d->scratch->rows_max;
    d->request->groups = names;
    return decode_names(d, KEY_GROUPS, true, names);
}

static wire_code decode_want(decoding *d) {
    const msgpack_object *want = d->found[KEY_WANT];
    for (uint32_t i = 0; want != NULL && i < want->via.array.size; i++) {
        const msgpack_object *word = &want->via.array.ptr[i];
        if (word->type != MSGPACK_OBJECT_STR) {
            return wire_refuse(d->text, WIRE_BAD_MESSAGE, "want[%u]: expected str, came %s",
                               (unsigned)i, wire_map_type_name(word));
        }
        if (wire_map_str_is(word, "poison")) {
            d->request->want_poison = true;
        } else if (wire_map_str_is(word, "detail")) {
            d->request->want_detail = true;
        }
    }
    return WIRE_OK;
}

static wire_code decode_dtype(decoding *d) {
    static const char *const dtypes[] = {
        [WIRE_F32] = "f32", [WIRE_F16] = "f16", [WIRE_BF16] = "bf16"};
    const msgpack_object *dtype = d->found[KEY_DTYPE];
    if (dtype == NULL) {
        return WIRE_OK; /* f32, the zeroed value */
    }
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (wire_map_str_is(dtype, dtypes[i])) {
            d->request->dtype = (wire_dtype)i;
            return WIRE_OK;
        }
    }
    return wire_refuse(d->text, WIRE_BAD_REQUEST,
                       "dtype: expected f32, f16 or bf16, came another str of %u bytes",
                       (unsigned)dtype->via.str.size);
}

static wire_code check_rows(const decoding *d, size_t rows) {
    size_t rows_max =
        d->limits->rows_max < d->scratch->rows_max ? d->limits->rows_max : d->scratch->rows_max;
    if (rows == 0) {
        return wire_refuse(d->text, WIRE_BAD_REQUEST, "accounts: expected at least 1, came 0");
    }
    if (rows > rows_max) {
        return wire_refuse(d->text, WIRE_TOO_LARGE, "accounts: expected at most %zu, came %zu",
                           rows_max, rows);
    }
    return WIRE_OK;
}

/* The lengths of classes and embeddings against the number of accounts. */
static wire_code check_lengths(const decoding *d) {
    size_t rows = d->request->rows;
    size_t dim = d->limits->dim;
    size_t size = wire_dtype_bytes(d->request->dtype);
    size_t came = d->found[KEY_CLASSES]->via.bin.size;
    if (came != rows * 4) {
        return wire_refuse(d->text, WIRE_BAD_REQUEST,
                           "classes: expected %zu bytes (%zu accounts x 4), came %zu", rows * 4,
                           rows, came);
    }
    came = d->found[KEY_EMBEDDINGS]->via.bin.size;
    size_t expected;
    if (__builtin_mul_overflow(rows, dim, &expected) ||
        __builtin_mul_overflow(expected, size, &expected)) {
        return wire_refuse(d->text, WIRE_BAD_DIMENSION,
                           "embeddings: %zu accounts x dim %zu x %zu bytes overflow, came %zu",
                           rows, dim, size, came);
    }
    if (came != expected) {
        return wire_refuse(
            d->text, WIRE_BAD_DIMENSION,
            "embeddings: expected %zu bytes (%zu accounts x dim %zu x %zu), came %zu", expected,
            rows, dim, size, came);
    }
    return WIRE_OK;
}

static wire_code check_classes(const decoding *d) {
    const unsigned char *classes = d->request->classes;
    for (size_t i = 0; i < d->request->rows; i++) {
        uint32_t class = wire_load_u32(classes + 4 * i);
        if (class >= d->limits->classes) {
            return wire_refuse(d->text, WIRE_BAD_CLASS, "classes[%zu]: expected below %zu, came %u",
                               i, d->limits->classes, (unsigned)class);
        }
    }
    return WIRE_OK;
}

static wire_code decode_score(decoding *d) {
    static const int needed[] = {KEY_ACCOUNTS, KEY_CLASSES, KEY_EMBEDDINGS};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (d->found[needed[i]] == NULL) {
            return missing(d, needed[i]);
        }
    }
    wire_request *request = d->request;
    request->rows = d->found[KEY_ACCOUNTS]->via.array.size;
    request->classes = (const unsigned char *)d->found[KEY_CLASSES]->via.bin.ptr;
    request->embeddings = (const unsigned char *)d->found[KEY_EMBEDDINGS]->via.bin.ptr;
    wire_code code;
    if ((code = check_rows(d, request->rows)) != WIRE_OK || (code = decode_dtype(d)) != WIRE_OK ||
        (code = decode_want(d)) != WIRE_OK || (code = check_lengths(d)) != WIRE_OK ||
        (code = decode_accounts(d)) != WIRE_OK || (code = decode_groups(d)) != WIRE_OK ||
        (code = check_classes(d)) != WIRE_OK) {
        return code;
    }
    return wire_values_check(request->embeddings, request->rows, d->limits->dim, request->dtype,
                             d->text);
}

wire_code wire_decode_request(wire_request *request, wire_scratch *scratch, wire_served served,
                              const void *message, size_t bytes, char text[WIRE_TEXT_MAX]) {
    decoding d = {.request = request, .scratch = scratch, .served = served, .text = text};
    *request = (wire_request){0};
    text[0] = '\0';
    msgpack_zone_clear(&scratch->zone);
    msgpack_object_map map;
    wire_code code;
    if ((code = wire_map_unpack(&map, &scratch->zone, scratch->values_max, message, bytes, text)) !=
            WIRE_OK ||
        (code = wire_map_pick(d.found, keys, KEYS, &map, text)) != WIRE_OK ||
        (code = wire_map_version(d.found[KEY_V], text)) != WIRE_OK ||
        (code = decode_op(&d)) != WIRE_OK || (code = decode_identity(&d)) != WIRE_OK) {
        return code;
    }
    bool named = request->op == WIRE_FORGET || request->op == WIRE_EXPLAIN;
    if (request->op == WIRE_SCORE || named) {
        code = decode_model(&d);
    }
    if (code == WIRE_OK && request->op == WIRE_SCORE) {
        code = decode_score(&d);
    } else if (code == WIRE_OK && named) {
        code = decode_name(&d);
    }
    return code;
}

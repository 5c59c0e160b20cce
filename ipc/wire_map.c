/*
 * wire_map.c - walking, unpacking and picking; what the keys mean is for wire_request.c and
 * wire_reply.c.
 */
#include "wire_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LEAD_REFUSED, LEAD_FIXED, LEAD_BYTES, LEAD_ARRAY, LEAD_MAP };

/* Lead bytes 0xc0..0xdf. FIXED: `size` bytes follow. The others: a big-endian length of `size`
 * bytes. Refused are the never-used 0xc1 and all extension types. */
static const struct {
    unsigned char kind;
    unsigned char size;
} leads[32] = {
    [0x00] = {LEAD_FIXED, 0}, [0x02] = {LEAD_FIXED, 0}, [0x03] = {LEAD_FIXED, 0},
    [0x04] = {LEAD_BYTES, 1}, [0x05] = {LEAD_BYTES, 2}, [0x06] = {LEAD_BYTES, 4},
    [0x0a] = {LEAD_FIXED, 4}, [0x0b] = {LEAD_FIXED, 8}, [0x0c] = {LEAD_FIXED, 1},
    [0x0d] = {LEAD_FIXED, 2}, [0x0e] = {LEAD_FIXED, 4}, [0x0f] = {LEAD_FIXED, 8},
    [0x10] = {LEAD_FIXED, 1}, [0x11] = {LEAD_FIXED, 2}, [0x12] = {LEAD_FIXED, 4},
    [0x13] = {LEAD_FIXED, 8}, [0x19] = {LEAD_BYTES, 1}, [0x1a] = {LEAD_BYTES, 2},
    [0x1b] = {LEAD_BYTES, 4}, [0x1c] = {LEAD_ARRAY, 2}, [0x1d] = {LEAD_ARRAY, 4},
    [0x1e] = {LEAD_MAP, 2},   [0x1f] = {LEAD_MAP, 4},
};

typedef struct {
    const unsigned char *bytes;
    size_t length;
    size_t at;
} cursor;

/* What follows one value's lead: bytes of its own, and values inside it. */
typedef struct {
    int kind;
    uint64_t bytes;
    uint64_t values;
} head;

wire_code wire_refuse(char text[WIRE_TEXT_MAX], wire_code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, WIRE_TEXT_MAX, format, arguments);
    va_end(arguments);
    return code;
}

static uint64_t load_big_endian(const unsigned char *bytes, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* Reads a lead and its length; false: the message ends too soon or the type is refused. */
static bool read_head(cursor *c, head *h) {
    *h = (head){.kind = LEAD_FIXED};
    if (c->at >= c->length) {
        return false;
    }
    unsigned lead = c->bytes[c->at++];
    uint64_t count;
    if (lead < 0x80 || lead >= 0xe0) {
        return true;
    }
    if (lead < 0xc0) {
        h->kind = lead < 0x90 ? LEAD_MAP : lead < 0xa0 ? LEAD_ARRAY : LEAD_BYTES;
        count = lead & (h->kind == LEAD_BYTES ? 0x1fu : 0x0fu);
    } else {
        h->kind = leads[lead - 0xc0].kind;
        size_t size = leads[lead - 0xc0].size;
        if (h->kind == LEAD_REFUSED) {
            return false;
        }
        if (h->kind == LEAD_FIXED) {
            h->bytes = size;
            return true;
        }
        if (c->length - c->at < size) {
            return false;
        }
        count = load_big_endian(c->bytes + c->at, size);
        c->at += size;
    }
    h->bytes = h->kind == LEAD_BYTES ? count : 0;
    h->values = h->kind == LEAD_ARRAY ? count : h->kind == LEAD_MAP ? 2 * count : 0;
    return true;
}

/* msgpack-c allocates what an array's or a map's head announces before it looks for the elements:
 * five bytes would take 100 GB. A value has at least one byte, so here no announced count may
 * exceed the bytes that are left; values_max then bounds the 24-fold growth from byte to object. */
static wire_code walk(const unsigned char *bytes, size_t length, size_t values_max,
                      char text[WIRE_TEXT_MAX]) {
    cursor c = {.bytes = bytes, .length = length};
    uint64_t inside[WIRE_DEPTH_MAX]; /* values still to come in each open container */
    size_t depth = 0;
    uint64_t values = 0;
    do {
        size_t start = c.at;
        head h;
        if (!read_head(&c, &h)) {
            return wire_refuse(text, WIRE_BAD_MESSAGE,
                               start < length
                                   ? "byte %zu of %zu: expected a MessagePack value, came "
                                     "half of one or an extension type"
                                   : "message ends at byte %zu of %zu, inside a map",
                               start, length);
        }
        if (start == 0 && h.kind != LEAD_MAP) {
            return wire_refuse(text, WIRE_BAD_MESSAGE, "message: expected a MessagePack map");
        }
        size_t left = length - c.at;
        if (h.bytes > left || h.values > left) {
            return wire_refuse(text, WIRE_BAD_MESSAGE,
                               "byte %zu: announces %llu %s where %zu bytes are left", start,
                               (unsigned long long)(h.bytes + h.values),
                               h.bytes > 0 ? "bytes" : "values", left);
        }
        c.at += (size_t)h.bytes;
        values += h.values;
        if (depth > 0) {
            inside[depth - 1]--;
        }
        if (h.values > 0) {
            if (depth == WIRE_DEPTH_MAX) {
                return wire_refuse(text, WIRE_BAD_MESSAGE, "byte %zu: nested deeper than %d", start,
                                   WIRE_DEPTH_MAX);
            }
            inside[depth++] = h.values;
        }
        while (depth > 0 && inside[depth - 1] == 0) {
            depth--;
        }
    } while (depth > 0);
    if (c.at != length) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "message: %zu bytes after the map",
                           length - c.at);
    }
    if (values > values_max) {
        return wire_refuse(text, WIRE_TOO_LARGE,
                           "accounts and other arrays: expected at most %zu values in all, came "
                           "%llu",
                           values_max, (unsigned long long)values);
    }
    return WIRE_OK;
}

wire_code wire_map_unpack(msgpack_object_map *map, msgpack_zone *zone, size_t values_max,
                          const void *message, size_t bytes, char text[WIRE_TEXT_MAX]) {
    wire_code code = walk(message, bytes, values_max, text);
    if (code != WIRE_OK) {
        return code;
    }
    size_t offset = 0;
    msgpack_object object;
    msgpack_unpack_return result = msgpack_unpack(message, bytes, &offset, zone, &object);
    if (result == MSGPACK_UNPACK_NOMEM_ERROR) {
        return wire_refuse(text, WIRE_INTERNAL, "no memory to unpack the message");
    }
    if (result != MSGPACK_UNPACK_SUCCESS || object.type != MSGPACK_OBJECT_MAP) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "message: expected a MessagePack map");
    }
    *map = object.via.map;
    return WIRE_OK;
}

static bool type_fits(wire_map_type type, const msgpack_object *object) {
    switch (type) {
    case WIRE_MAP_UINT:
        return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
    case WIRE_MAP_NUMBER:
        return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER ||
               object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER ||
               object->type == MSGPACK_OBJECT_FLOAT32 || object->type == MSGPACK_OBJECT_FLOAT64;
    case WIRE_MAP_BOOL:
        return object->type == MSGPACK_OBJECT_BOOLEAN;
    case WIRE_MAP_STR:
        return object->type == MSGPACK_OBJECT_STR;
    case WIRE_MAP_BIN:
        return object->type == MSGPACK_OBJECT_BIN;
    case WIRE_MAP_ARRAY:
        return object->type == MSGPACK_OBJECT_ARRAY;
    case WIRE_MAP_ANY:
        break;
    }
    return true;
}

wire_code wire_map_pick(const msgpack_object **found, const wire_map_key *keys, size_t count,
                        const msgpack_object_map *map, char text[WIRE_TEXT_MAX]) {
    static const char *const names[] = {"uint", "number", "bool", "str", "bin", "array", "any"};
    for (size_t i = 0; i < count; i++) {
        found[i] = NULL;
    }
    for (uint32_t pair = 0; pair < map->size; pair++) {
        const msgpack_object *value = &map->ptr[pair].val;
        size_t i = 0;
        while (i < count && !wire_map_str_is(&map->ptr[pair].key, keys[i].name)) {
            i++;
        }
        if (i == count) {
            continue;
        }
        if (found[i] != NULL) {
            return wire_refuse(text, WIRE_BAD_MESSAGE, "%s: came twice", keys[i].name);
        }
        if (!type_fits(keys[i].type, value)) {
            return wire_refuse(text, WIRE_BAD_MESSAGE, "%s: expected %s, came %s", keys[i].name,
                               names[keys[i].type], wire_map_type_name(value));
        }
        found[i] = value;
    }
    return WIRE_OK;
}

wire_code wire_map_version(const msgpack_object *v, char text[WIRE_TEXT_MAX]) {
    if (v == NULL) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "v: expected %d, came none", WIRE_VERSION);
    }
    if (v->via.u64 != WIRE_VERSION) {
        return wire_refuse(text, WIRE_BAD_MESSAGE, "v: expected %d, came %llu", WIRE_VERSION,
                           (unsigned long long)v->via.u64);
    }
    return WIRE_OK;
}

const char *wire_map_type_name(const msgpack_object *object) {
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        return "nil";
    case MSGPACK_OBJECT_BOOLEAN:
        return "bool";
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return "uint";
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return "a negative int";
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return "float";
    case MSGPACK_OBJECT_STR:
        return "str";
    case MSGPACK_OBJECT_ARRAY:
        return "array";
    case MSGPACK_OBJECT_MAP:
        return "map";
    case MSGPACK_OBJECT_BIN:
        return "bin";
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return "an extension";
}

bool wire_map_str_is(const msgpack_object *object, const char *word) {
    size_t length = strlen(word);
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == length &&
           memcmp(object->via.str.ptr, word, length) == 0;
}

/* The bytes of the UTF-8 sequence at `at`, or 0: overlong, a surrogate, beyond U+10FFFF, cut off
 * (RFC 3629, section 4). */
static size_t sequence_bytes(const unsigned char *at, size_t left) {
    size_t bytes = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    if (bytes == 0 || bytes > left) {
        return 0;
    }
    unsigned low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return bytes;
}

bool wire_map_text_valid(const char *bytes, size_t length) {
    const unsigned char *at = (const unsigned char *)bytes;
    size_t i = 0;
    while (i < length) {
        size_t step = at[i] - 1u < 0x7f ? 1 : at[i] == 0 ? 0 : sequence_bytes(at + i, length - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}

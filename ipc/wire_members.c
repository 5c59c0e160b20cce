/*
 * wire_members.c - see wire_members.h.
 */
#include "wire_members.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MEMBERS_MAX = 24 };

static wire_code store_text(void *into, const wire_member *m, const msgpack_object *value,
                            char *text) {
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

static wire_code store_real(void *into, const wire_member *m, const msgpack_object *value,
                            char *text) {
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

wire_code wire_members_load(void *into, const wire_member *members, size_t count,
                            const msgpack_object *object, char text[WIRE_TEXT_MAX]) {
    assert(count <= MEMBERS_MAX);
    wire_map_key wanted[MEMBERS_MAX] = {{0}};
    const msgpack_object *found[MEMBERS_MAX];
    for (size_t i = 0; i < count; i++) {
        wanted[i] = (wire_map_key){members[i].name, members[i].type};
    }
    wire_code code = wire_map_pick(found, wanted, count, &object->via.map, text);
    for (size_t i = 0; code == WIRE_OK && i < count; i++) {
        const wire_member *m = &members[i];
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

static double real_of(const void *from, const wire_member *m) {
    double real;
    memcpy(&real, (const char *)from + m->offset, sizeof real);
    return real;
}

static bool left_out(const void *from, const wire_member *m) {
    return m->type == WIRE_MAP_NUMBER && isnan(real_of(from, m));
}

size_t wire_members_pairs(const void *from, const wire_member *members, size_t count) {
    size_t pairs = 0;
    for (size_t i = 0; i < count; i++) {
        pairs += !left_out(from, &members[i]);
    }
    return pairs;
}

void wire_members_put(wire_writer *w, const void *from, const wire_member *members, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const wire_member *m = &members[i];
        if (m->type == WIRE_MAP_UINT) {
            uint64_t value;
            memcpy(&value, (const char *)from + m->offset, sizeof value);
            wire_put_uint(w, m->name, value);
        } else if (!left_out(from, m)) {
            wire_put_real(w, m->name, real_of(from, m));
        }
    }
}

void wire_members_put_map(wire_writer *w, const void *from, const wire_member *members,
                          size_t count) {
    msgpack_pack_map(&w->packer, wire_members_pairs(from, members, count));
    wire_members_put(w, from, members, count);
}

void wire_members_unknown(void *into, const wire_member *members, size_t count) {
    static const double unknown = NAN;
    for (size_t i = 0; i < count; i++) {
        if (members[i].type == WIRE_MAP_NUMBER) {
            memcpy((char *)into + members[i].offset, &unknown, sizeof unknown);
        }
    }
}

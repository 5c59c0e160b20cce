/*
 * wire_members.h - a struct as a MessagePack map. Where members are many and all alike, a table
 * says which key is which member. Others include wire.h.
 */
#ifndef ADDER_WIRE_MEMBERS_H
#define ADDER_WIRE_MEMBERS_H

#include "wire_parts.h"
#include "wire_writer.h"

typedef struct {
    const char *name;
    wire_map_type type;
    size_t offset; /* of a uint64_t, double or bool, or of char[bytes] */
    size_t bytes;
    bool optional;
} wire_member;

#define WIRE_UINT_OF(type, key)                                                                    \
    { #key, WIRE_MAP_UINT, offsetof(type, key), 0, false }
#define WIRE_TEXT_OF(type, key)                                                                    \
    { #key, WIRE_MAP_STR, offsetof(type, key), sizeof(((type *)0)->key), false }
#define WIRE_REAL_OF(type, key, optional)                                                          \
    { #key, WIRE_MAP_NUMBER, offsetof(type, key), 0, optional }

/* Fills `into` from the map: every member that is not optional must be there, an optional one that
 * is not stays as it is. WIRE_OK or WIRE_BAD_MESSAGE. */
wire_code wire_members_load(void *into, const wire_member *members, size_t count,
                            const msgpack_object *object, char text[WIRE_TEXT_MAX]);

/* Writes a map of its own, or its pairs alone, from uint and number members. A number that is NaN
 * is left out, for NaN is how a struct says that it does not know. */
void wire_members_put_map(wire_writer *w, const void *from, const wire_member *members,
                          size_t count);
void wire_members_put(wire_writer *w, const void *from, const wire_member *members, size_t count);
size_t wire_members_pairs(const void *from, const wire_member *members, size_t count);
/* Makes every number NaN. */
void wire_members_unknown(void *into, const wire_member *members, size_t count);

#endif

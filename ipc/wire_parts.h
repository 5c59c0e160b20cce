/*
 * wire_parts.h - what the wire's own files share: a message as one MessagePack map, checked before
 * it is unpacked. Others include wire.h.
 *
 * The way of every message: walk its bytes without allocating (wire_map_unpack does that first),
 * unpack with msgpack-c into a zone, pick the keys that are known. Objects point into the message
 * and the zone. No state; any thread.
 */
#ifndef ADDER_WIRE_PARTS_H
#define ADDER_WIRE_PARTS_H

#include <msgpack.h>

#include "wire.h"

/* What a known key may hold. A number is any integer or float. */
typedef enum {
    WIRE_MAP_UINT,
    WIRE_MAP_NUMBER,
    WIRE_MAP_BOOL,
    WIRE_MAP_STR,
    WIRE_MAP_BIN,
    WIRE_MAP_ARRAY,
    WIRE_MAP_ANY,
} wire_map_type;

typedef struct {
    const char *name;
    wire_map_type type;
} wire_map_key;

/* Writes the line and returns code. Only numbers and our own words go into the format's arguments:
 * a peer's text would let it write to our terminal and log. */
wire_code wire_refuse(char text[WIRE_TEXT_MAX], wire_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks that the bytes are one map and nothing after it, nested at most WIRE_DEPTH_MAX deep, all
 * announced lengths there: WIRE_BAD_MESSAGE; that its containers hold at most values_max values:
 * WIRE_TOO_LARGE. Then unpacks it: WIRE_INTERNAL is no memory. */
wire_code wire_map_unpack(msgpack_object_map *map, msgpack_zone *zone, size_t values_max,
                          const void *message, size_t bytes, char text[WIRE_TEXT_MAX]);

/* found[i] becomes the value of keys[i], or NULL. WIRE_BAD_MESSAGE: a known key twice, or of
 * another type. Unknown keys are skipped. */
wire_code wire_map_pick(const msgpack_object **found, const wire_map_key *keys, size_t count,
                        const msgpack_object_map *map, char text[WIRE_TEXT_MAX]);

/* v, which every message has: WIRE_BAD_MESSAGE unless it is WIRE_VERSION. */
wire_code wire_map_version(const msgpack_object *v, char text[WIRE_TEXT_MAX]);

const char *wire_map_type_name(const msgpack_object *object); /* "str", "bin", ... */
bool wire_map_str_is(const msgpack_object *object, const char *word);
bool wire_map_text_valid(const char *bytes, size_t length); /* UTF-8 without a NUL */

/* A score reply's arrays of one value a row. */
typedef struct {
    const char *name;
    size_t row_bytes;
    unsigned value_max; /* of a u8; 0: any value may come */
    bool needed;        /* in every reply */
    size_t from;        /* offset of its pointer in wire_scores */
    size_t to;          /* and in wire_reply */
} wire_column;
enum { WIRE_COLUMNS = 13 };
extern const wire_column wire_columns[WIRE_COLUMNS];

/* Wire numbers are little-endian, as this machine is, and begin at any offset. */
static inline uint32_t wire_load_u32(const unsigned char *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* Whether rows x dim embeddings are finite and at most WIRE_VALUE_MAX in magnitude: WIRE_OK or
 * WIRE_NOT_FINITE with the first culprit. */
wire_code wire_values_check(const unsigned char *embeddings, size_t rows, size_t dim,
                            wire_dtype dtype, char text[WIRE_TEXT_MAX]);

/* Fills *hello from hello's reply, a map: WIRE_OK or WIRE_BAD_MESSAGE. */
wire_code wire_hello_decode(wire_hello *hello, const msgpack_object *root,
                            char text[WIRE_TEXT_MAX]);

/* Fills *explanation, which is zeroed, from explain's reply where the account is known: WIRE_OK or
 * WIRE_BAD_MESSAGE. */
wire_code wire_explanation_decode(wire_explanation *explanation, const msgpack_object *root,
                                  char text[WIRE_TEXT_MAX]);

/* A reply lacks a key it must have: WIRE_BAD_MESSAGE. */
wire_code wire_reply_lacks(char text[WIRE_TEXT_MAX], const char *key);

#endif

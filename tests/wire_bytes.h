/*
 * wire_bytes.h - a small MessagePack writer of the tests' own, so that the encoder is not its own
 * judge, and a seeded generator. Criterion's assertions guard the buffer.
 */
#ifndef ADDER_WIRE_BYTES_H
#define ADDER_WIRE_BYTES_H

#include <criterion/criterion.h>

#include <stdint.h>
#include <string.h>

enum { MESSAGE_MAX = 1 << 16 };

typedef struct {
    unsigned char bytes[MESSAGE_MAX];
    size_t length;
} buffer;

static inline void put(buffer *b, const void *bytes, size_t length) {
    cr_assert_leq(length, sizeof b->bytes - b->length);
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

static inline void put_byte(buffer *b, unsigned byte) {
    unsigned char one = (unsigned char)byte;
    put(b, &one, 1);
}

static inline void put_head(buffer *b, unsigned lead, size_t count, int bytes) {
    put_byte(b, lead);
    for (int i = bytes - 1; i >= 0; i--) {
        put_byte(b, (unsigned)(count >> (8 * i)) & 0xff);
    }
}

static inline void put_str(buffer *b, const char *text) {
    put_head(b, 0xd9, strlen(text), 1);
    put(b, text, strlen(text));
}

static inline void put_bin(buffer *b, const void *bytes, size_t length) {
    put_head(b, 0xc6, length, 4);
    put(b, bytes, length);
}

/* One key and its value as raw MessagePack; bytes NULL: the key is left out. */
typedef struct {
    const char *key;
    const void *bytes;
    size_t length;
} field;
#define RAW(literal) literal, sizeof(literal) - 1

/* xorshift64; the state is never 0. */
static inline uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif

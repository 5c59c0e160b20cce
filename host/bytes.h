/*
 * bytes.h - numbers as little-endian bytes, field by field, whatever the machine's own order.
 *
 * The writer needs room that its caller has made sure of. The reader checks: past the end it reads
 * zeros and is not `ok` any more. Threads: none of their own.
 */
#ifndef ADDER_BYTES_H
#define ADDER_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Each returns what comes after the number. */
static inline unsigned char *bytes_put(unsigned char *at, uint64_t value, size_t count) {
    for (size_t i = 0; i < count; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
    return at + count;
}

static inline unsigned char *bytes_put_f32(unsigned char *at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bytes_put(at, bits, sizeof bits);
}

static inline unsigned char *bytes_put_f64(unsigned char *at, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bytes_put(at, bits, sizeof bits);
}

typedef struct {
    const unsigned char *at;
    size_t left;
    bool ok;
} bytes_reader;

/* The next `count` bytes; NULL: there are not so many. */
static inline const unsigned char *bytes_take(bytes_reader *r, size_t count) {
    if (!r->ok || count > r->left) {
        r->ok = false;
        return NULL;
    }
    const unsigned char *at = r->at;
    r->at += count;
    r->left -= count;
    return at;
}

/* A number of at most eight bytes. */
static inline uint64_t bytes_get(bytes_reader *r, size_t count) {
    const unsigned char *at = bytes_take(r, count);
    uint64_t value = 0;
    for (size_t i = 0; at != NULL && i < count; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

static inline float bytes_get_f32(bytes_reader *r) {
    uint32_t bits = (uint32_t)bytes_get(r, sizeof bits);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double bytes_get_f64(bytes_reader *r) {
    uint64_t bits = bytes_get(r, sizeof bits);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif

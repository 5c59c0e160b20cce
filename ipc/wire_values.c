/*
 * wire_values.c - are all embeddings finite and small enough to square in a float?
 *
 * This reads every byte that is ever scored, so it must run at memory speed: reads rows x dim x
 * dtype bytes, three integer operations a value, no branch inside a block. The bits of an IEEE
 * number without its sign order as integers do, with infinity and NaN above all numbers; so
 * limit - magnitude is negative exactly for a bad value, and ORing the differences of a block keeps
 * the sign bit of any of them. Blocks have a constant length: gcc 12 vectorises such loops at -O2
 * too.
 */
#include "wire_parts.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum {
    BLOCK_VALUES = 128,
    F16_MAGNITUDE_MAX = 0x7bff,  /* 65504, the largest finite; 0x7c00 is infinity */
    BF16_MAGNITUDE_MAX = 0x5368, /* the upper half of 1e12f, 0x5368d4a5, rounded down */
    F32_MAGNITUDE_MAX = 0x5368d4a5,
};
static_assert((long long)WIRE_VALUE_MAX == 999999995904,
              "the bit patterns above are those of 1e12f");

/* Both return whether some of the `count` values is bad. */
static inline bool any_bad_32(const unsigned char *bytes, size_t count) {
    uint32_t differences = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t value;
        memcpy(&value, bytes + 4 * i, sizeof value);
        differences |= (uint32_t)F32_MAGNITUDE_MAX - (value & 0x7fffffffu);
    }
    return differences >> 31 != 0;
}

static inline bool any_bad_16(const unsigned char *bytes, size_t count, uint16_t limit) {
    uint16_t differences = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, bytes + 2 * i, sizeof value);
        differences = (uint16_t)(differences | (uint16_t)(limit - (value & 0x7fff)));
    }
    return differences >> 15 != 0;
}

static bool any_bad(const unsigned char *bytes, size_t count, wire_dtype dtype) {
    uint16_t limit = dtype == WIRE_F16 ? F16_MAGNITUDE_MAX : BF16_MAGNITUDE_MAX;
    if (count == BLOCK_VALUES) {
        return dtype == WIRE_F32 ? any_bad_32(bytes, BLOCK_VALUES)
                                 : any_bad_16(bytes, BLOCK_VALUES, limit);
    }
    return dtype == WIRE_F32 ? any_bad_32(bytes, count) : any_bad_16(bytes, count, limit);
}

/* A bad value as a number; of f16 only NaN and the infinities are ever bad. */
static double bad_value(const unsigned char *bytes, wire_dtype dtype) {
    uint32_t bits = 0;
    memcpy(&bits, bytes, wire_dtype_bytes(dtype));
    if (dtype == WIRE_F16) {
        double infinite = bits >> 15 ? -(double)INFINITY : (double)INFINITY;
        return (bits & 0x3ff) != 0 ? (double)NAN : infinite;
    }
    bits = dtype == WIRE_BF16 ? bits << 16 : bits;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

wire_code wire_values_check(const unsigned char *embeddings, size_t rows, size_t dim,
                            wire_dtype dtype, char text[WIRE_TEXT_MAX]) {
    size_t size = wire_dtype_bytes(dtype);
    size_t values = rows * dim;
    for (size_t start = 0; start < values; start += BLOCK_VALUES) {
        size_t count = values - start < BLOCK_VALUES ? values - start : BLOCK_VALUES;
        if (!any_bad(embeddings + start * size, count, dtype)) {
            continue;
        }
        size_t at = start;
        while (!any_bad(embeddings + at * size, 1, dtype)) {
            at++;
        }
        return wire_refuse(text, WIRE_NOT_FINITE,
                           "embeddings: row %zu, column %zu: expected a finite value of at most %g "
                           "in magnitude, came %g",
                           at / dim, at % dim, (double)WIRE_VALUE_MAX,
                           bad_value(embeddings + at * size, dtype));
    }
    return WIRE_OK;
}

/*
 * bucket.h - a token bucket: so many events a second in the long run, and so many at once.
 *
 * Threads: one at a time.
 */
#ifndef ADDER_BUCKET_H
#define ADDER_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    double per_s;
    double burst;
    double tokens;
    uint64_t filled_ns; /* when it was last filled up */
} bucket;

/* A full one. per_s, burst >= 1. */
bucket bucket_full(size_t per_s, size_t burst, uint64_t now_ns);
/* Whether there is a token, which is then gone. A clock that goes back fills nothing. */
bool bucket_take(bucket *bucket, uint64_t now_ns);

#endif

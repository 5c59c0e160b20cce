/*
 * bucket.c - see bucket.h.
 */
#include "bucket.h"

bucket bucket_full(size_t per_s, size_t burst, uint64_t now_ns) {
    return (bucket){.per_s = (double)per_s,
                    .burst = (double)burst,
                    .tokens = (double)burst,
                    .filled_ns = now_ns};
}

bool bucket_take(bucket *b, uint64_t now_ns) {
    if (now_ns > b->filled_ns) {
        b->tokens += (double)(now_ns - b->filled_ns) * 1e-9 * b->per_s;
        b->tokens = b->tokens > b->burst ? b->burst : b->tokens;
        b->filled_ns = now_ns;
    }
    if (b->tokens < 1.0) {
        return false;
    }
    b->tokens -= 1.0;
    return true;
}

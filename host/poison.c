/*
 * poison.c - a keyed hash of the query is the seed of a stream of random bytes.
 */
#include "poison.h"

#include <math.h>
#include <string.h>

#include <sodium.h>

enum { CHUNK = 256 }; /* logits drawn at a time; a multiple of the stream's 64-byte blocks */

typedef struct {
    unsigned char bytes[crypto_stream_chacha20_KEYBYTES];
} seed;

void poison_init(poison *p, const unsigned char secret[POISON_SECRET_BYTES]) {
    if (secret == NULL) {
        randombytes_buf(p->secret, sizeof p->secret);
    } else {
        memcpy(p->secret, secret, sizeof p->secret);
    }
}

void poison_fini(poison *p) {
    sodium_memzero(p->secret, sizeof p->secret);
}

/* The account's length goes in first, so that no account and row can pass for another pair. */
static seed seed_of(const poison *p, const poison_query *query) {
    crypto_generichash_state state;
    uint64_t length = query->account_bytes;
    seed out;
    crypto_generichash_init(&state, p->secret, sizeof p->secret, sizeof out.bytes);
    crypto_generichash_update(&state, (const unsigned char *)&length, sizeof length);
    crypto_generichash_update(&state, (const unsigned char *)query->account, query->account_bytes);
    crypto_generichash_update(&state, query->row, query->row_bytes);
    crypto_generichash_final(&state, out.bytes, sizeof out.bytes);
    return out;
}

/* Words first .. first + count - 1 of the query's stream; first is a multiple of CHUNK. */
static void words_of(const seed *seed, size_t first, size_t count, uint32_t *words) {
    static const unsigned char nonce[crypto_stream_chacha20_NONCEBYTES] = {0};
    size_t bytes = count * sizeof *words;
    memset(words, 0, bytes);
    crypto_stream_chacha20_xor_ic((unsigned char *)words, (const unsigned char *)words, bytes,
                                  nonce, first * sizeof *words / 64, seed->bytes);
}

void poison_probabilities(const poison *p, const poison_query *query, size_t classes,
                          float *probabilities) {
    seed seed = seed_of(p, query);
    uint32_t words[CHUNK];
    double sum = 0.0;
    for (size_t first = 0; first < classes; first += CHUNK) {
        size_t count = classes - first < CHUNK ? classes - first : CHUNK;
        words_of(&seed, first, count, words);
        for (size_t i = 0; i < count; i++) {
            float unit = (float)(words[i] >> 8) * 0x1p-24f;
            float logit = (2.0f * unit - 1.0f) * POISON_LOGIT_MAX;
            probabilities[first + i] = expf(logit);
            sum += (double)probabilities[first + i];
        }
    }
    for (size_t i = 0; i < classes; i++) {
        probabilities[i] = (float)((double)probabilities[i] / sum);
    }
}

uint32_t poison_label(const poison *p, const poison_query *query, size_t classes) {
    seed seed = seed_of(p, query);
    uint64_t word;
    uint32_t words[2];
    words_of(&seed, 0, 2, words);
    memcpy(&word, words, sizeof word);
    /* A 64-bit word modulo a class count favours no label by more than 2^-32. */
    return (uint32_t)(word % classes);
}

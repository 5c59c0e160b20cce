/*
 * poison.c - a keyed hash of the query is the seed of a stream of random bytes.
 */
#include "poison.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include <sodium.h>

enum {
    BLOCK = 16,         /* words of the stream's 64-byte blocks */
    CHUNK = 16 * BLOCK, /* logits drawn at a time */
};

/* Where in the first block a query's draws are. The logits of a plausible answer are drawn from the
 * blocks after it, those of a random one from the first word on. */
enum { WORD_LABEL, WORD_LEAD = 2, WORD_SPREAD };

typedef struct {
    unsigned char bytes[crypto_stream_chacha20_KEYBYTES];
} seed;

void poison_init(poison *p, poison_kind kind, const unsigned char secret[POISON_SECRET_BYTES]) {
    p->kind = kind;
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

/* Words first .. first + count - 1 of the query's stream; first is a multiple of BLOCK. */
static void words_of(const seed *seed, size_t first, size_t count, uint32_t *words) {
    static const unsigned char nonce[crypto_stream_chacha20_NONCEBYTES] = {0};
    size_t bytes = count * sizeof *words;
    memset(words, 0, bytes);
    crypto_stream_chacha20_xor_ic((unsigned char *)words, (const unsigned char *)words, bytes,
                                  nonce, first / BLOCK, seed->bytes);
}

/* A 64-bit word modulo a class count favours no label by more than 2^-32. */
static uint32_t label_of(const uint32_t *words, uint32_t predicted, size_t classes) {
    uint64_t word;
    memcpy(&word, words + WORD_LABEL, sizeof word);
    return classes < 2 ? 0 : (uint32_t)((predicted + 1 + word % (classes - 1)) % classes);
}

/* Uniform in (0, 1); so is 1 - u, without rounding. */
static float unit_of(uint32_t word) {
    return ((float)(word >> 9) + 0.5f) * 0x1p-23f;
}

static void draw_random(const seed *seed, size_t classes, float *logits) {
    uint32_t words[CHUNK];
    for (size_t first = 0; first < classes; first += CHUNK) {
        size_t count = classes - first < CHUNK ? classes - first : CHUNK;
        words_of(seed, first, count, words);
        for (size_t i = 0; i < count; i++) {
            float unit = (float)(words[i] >> 8) * 0x1p-24f;
            logits[first + i] = (2.0f * unit - 1.0f) * POISON_LOGIT_MAX;
        }
    }
}

/* Every class's but the top one's; returns the highest of them. */
static float draw_losers(const seed *seed, float spread, size_t classes, size_t top,
                         float *logits) {
    uint32_t words[CHUNK];
    float highest = -INFINITY;
    for (size_t first = 0; first < classes; first += CHUNK) {
        size_t count = classes - first < CHUNK ? classes - first : CHUNK;
        words_of(seed, BLOCK + first, count, words);
        for (size_t i = 0; i < count; i++) {
            float unit = unit_of(words[i]);
            float logit = spread * logf(sqrtf(unit) / (1.0f - unit));
            highest = first + i != top && logit > highest ? logit : highest;
            logits[first + i] = logit;
        }
    }
    return highest;
}

/* Returns the top logit. The lead is at least 9e-5, ten units in the last place of any logit here,
 * so that no rounding makes a tie of it. */
static float draw_plausible(const seed *seed, uint32_t predicted, size_t classes, float *logits) {
    uint32_t words[BLOCK];
    words_of(seed, 0, BLOCK, words);
    size_t top = label_of(words, predicted, classes);
    float unit = unit_of(words[WORD_LEAD]);
    float lead = 23.0f * sqrtf(unit * sqrtf(unit));
    float spread = 1.5f + 1.25f * (unit_of(words[WORD_SPREAD]) + 1.0f - unit);
    logits[top] = draw_losers(seed, spread, classes, top, logits) + lead;
    return logits[top];
}

/* In place; `origin` is subtracted from every logit. */
static void softmax(float *values, size_t classes, float origin) {
    double sum = 0.0;
    for (size_t i = 0; i < classes; i++) {
        values[i] = expf(values[i] - origin);
        sum += (double)values[i];
    }
    for (size_t i = 0; i < classes; i++) {
        values[i] = fmaxf((float)((double)values[i] / sum), FLT_MIN);
    }
}

void poison_probabilities(const poison *p, const poison_query *query, size_t classes,
                          float *probabilities) {
    seed seed = seed_of(p, query);
    float origin = 0.0f;
    if (classes == 1) {
        probabilities[0] = 1.0f;
        return;
    }
    if (p->kind == POISON_PLAUSIBLE) {
        origin = draw_plausible(&seed, query->predicted, classes, probabilities);
    } else {
        draw_random(&seed, classes, probabilities);
    }
    softmax(probabilities, classes, origin);
}

uint32_t poison_label(const poison *p, const poison_query *query, size_t classes) {
    seed seed = seed_of(p, query);
    uint32_t words[2];
    words_of(&seed, WORD_LABEL, 2, words);
    return label_of(words, query->predicted, classes);
}

/*
 * poison.h - D-ADD's answers for thieves: random, but the same for the same query.
 *
 * The randomness is a PRF keyed by a secret, of the account and the row's bytes (BLAKE2b into
 * ChaCha20, libsodium): a repeated query gets the same answer, so averaging repeats reveals
 * nothing, and without the secret nobody can tell what the answer will be. Source of the method:
 * random prediction poisoning, Mei et al., AAAI 2025.
 *
 * Threads: any number at once; the state is never written after poison_init.
 */
#ifndef ADDER_POISON_H
#define ADDER_POISON_H

#include <stddef.h>
#include <stdint.h>

enum { POISON_SECRET_BYTES = 32 };
/* Random logits lie in [-POISON_LOGIT_MAX, POISON_LOGIT_MAX): softmax then gives as peaked an
 * answer as a trained network does. */
#define POISON_LOGIT_MAX 5.0f

typedef struct {
    unsigned char secret[POISON_SECRET_BYTES];
} poison;

/* A query as the PRF sees it. */
typedef struct {
    const char *account;
    size_t account_bytes;
    const unsigned char *row; /* the embedding as it came */
    size_t row_bytes;
} poison_query;

/* secret NULL: a random one, so answers agree until the process ends. */
void poison_init(poison *poison, const unsigned char secret[POISON_SECRET_BYTES]);
void poison_fini(poison *poison); /* wipes the secret */

/* Softmax of uniformly random logits: probabilities [classes], positive, summing to 1. */
void poison_probabilities(const poison *poison, const poison_query *query, size_t classes,
                          float *probabilities);
/* A uniformly random label below classes. */
uint32_t poison_label(const poison *poison, const poison_query *query, size_t classes);

#endif

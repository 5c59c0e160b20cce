/*
 * poison.h - D-ADD's answers for thieves: wrong, but the same for the same query.
 *
 * The randomness is a PRF keyed by a secret, of the account and the row's bytes (BLAKE2b into
 * ChaCha20, libsodium): a repeated query gets the same answer, so averaging repeats reveals
 * nothing, and without the secret nobody can tell what the answer will be. Source of the method:
 * random prediction poisoning, Mei et al., AAAI 2025. Below, u are independent and uniform in
 * (0, 1).
 *
 * A label is uniform among those that the model did not predict, and so is the top label of a
 * plausible distribution; both are the same one. The rest of it is a softmax of the logits
 *
 *     z_c   = T log(sqrt(u_c) / (1 - u_c))    for every class c but the top one
 *     z_top = max z_c + G
 *     G     = 23 u_g^(3/4)
 *     T     = 1.5 + 1.25 (u_t + 1 - u_g)
 *
 * drawn to resemble what a trained classifier says: the spacings of sqrt(u) / (1 - u), a logistic
 * whose lower tail is half as long, those of the losing logits; G the lead of the winning one,
 * which is small for one query in twenty; T, how far the losers spread, more where the lead is
 * small. The constants were fitted to 5,000 honest answers of a CIFAR-10 ResNet-56. A random
 * distribution is the paper's: a softmax of logits uniform in [-POISON_LOGIT_MAX,
 * POISON_LOGIT_MAX), whose top label may be the predicted one.
 *
 * Of one class nothing but that class can be said.
 *
 * Threads: any number at once; the state is never written after poison_init.
 */
#ifndef ADDER_POISON_H
#define ADDER_POISON_H

#include <stddef.h>
#include <stdint.h>

enum { POISON_SECRET_BYTES = 32 };
#define POISON_LOGIT_MAX 5.0f

typedef enum { POISON_PLAUSIBLE, POISON_RANDOM } poison_kind; /* of distributions */

typedef struct {
    poison_kind kind;
    unsigned char secret[POISON_SECRET_BYTES];
} poison;

/* A query as the PRF sees it, and what the model predicted for it. */
typedef struct {
    const char *account;
    size_t account_bytes;
    const unsigned char *row; /* the embedding as it came */
    size_t row_bytes;
    uint32_t predicted; /* below classes; the PRF does not see it */
} poison_query;

/* secret NULL: a random one, so answers agree until the process ends. */
void poison_init(poison *poison, poison_kind kind, const unsigned char secret[POISON_SECRET_BYTES]);
void poison_fini(poison *poison); /* wipes the secret */

/* probabilities [classes], each at least FLT_MIN, summing to 1; classes at least 1. The highest of
 * a plausible distribution has no equal. Every query draws as many words. */
void poison_probabilities(const poison *poison, const poison_query *query, size_t classes,
                          float *probabilities);
uint32_t poison_label(const poison *poison, const poison_query *query, size_t classes);

#endif

/*
 * request.h - one request on its way through the house, and its answer; one for every context.
 *
 * Threads: one at a time; the queue hands it from NNG's thread to the owner's, server_finish back.
 */
#ifndef ADDER_REQUEST_H
#define ADDER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#include "answers.h"
#include "server.h"
#include "wire.h"

typedef struct {
    server_call *call;
    wire_request wire; /* points into the call's message and the scratch */
    wire_scratch *scratch;
    uint64_t digest; /* when identified */
    /* The answer. */
    wire_code code; /* WIRE_OK: carried out */
    char text[WIRE_TEXT_MAX];
    bool known;    /* forget */
    bool degraded; /* scored after the engine had lost its device */
    float *scores; /* [rows_max], as the next three */
    float *memory_scores;
    uint8_t *decisions;
    uint32_t *fill;
    uint32_t *poison_rows; /* [rows_max] room for the reply, as the next two */
    uint32_t *poison_labels;
    float *probabilities; /* [classes] */
    /* While its batch is at work. */
    answer *answer; /* where its answer is remembered; NULL: nowhere */
    size_t first;   /* its first row in the batch */
} request;

bool request_init(request *request, size_t rows_max, size_t classes); /* false: no memory */
void request_fini(request *request);                                  /* zeroed is allowed */

void request_refuse(request *request, wire_code code, const char *text);

/* Tells a repeated request from another one under the same (client, seq): of its op, accounts and
 * classes. Embeddings are left out: they are the bulk of the message, and the rest is enough to
 * notice a client that counts wrongly. */
uint64_t request_digest(const request *request, const unsigned char key[crypto_shorthash_KEYBYTES]);

#endif

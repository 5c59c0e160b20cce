/*
 * request.h - one request on its way through the house, and its answer; one for every context.
 *
 * Threads: one at a time; the queue hands it from the thread that received it to the queue's owner.
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

/* What the rules in force let a reply say; reloading may change them. */
typedef struct {
    bool may_poison;   /* some decision can be poison */
    bool has_tables;   /* excesses */
    bool has_verdicts; /* some are reached */
    bool has_evidence; /* they come from evidence */
} reply_terms;

typedef struct service service;

typedef struct {
    server_call *call;
    service *service;  /* of its model; NULL: it has none, or has not come so far */
    wire_request wire; /* points into the call's message and the scratch */
    wire_scratch *scratch;
    uint64_t received_ns; /* by the metrics' clock */
    uint64_t digest;      /* when identified */
    uint64_t deadline_ns; /* by admission's clock; 0: none */
    size_t engine_rows;   /* rows, those with a group twice */
    /* The answer. */
    wire_code code; /* WIRE_OK: carried out */
    char text[WIRE_TEXT_MAX];
    uint32_t retry_after_ms;       /* overloaded */
    bool known;                    /* forget, explain */
    wire_explanation *explanation; /* explain */
    reply_terms terms;             /* as of the answer */
    bool degraded;                 /* scored after the engine had lost its device */
    float *scores;                 /* [rows_max], as all that follow up to poison_labels */
    float *memory_scores;
    float *excess;
    float *evidence;
    float *group_scores;
    float *group_excess;
    float *group_evidence;
    uint8_t *decisions;
    uint8_t *verdicts;
    uint8_t *group_verdicts;
    uint8_t *reasons;
    uint32_t *fill;
    uint32_t *poison_rows; /* room for the reply, as the next two */
    uint32_t *poison_labels;
    float *probabilities; /* [classes] */
    /* While its batch is at work. */
    answer *answer;      /* where its answer is remembered; NULL: nowhere */
    size_t first;        /* place of its first row in the batch */
    size_t groups_first; /* and of its first row by group, if it has groups */
} request;

bool request_init(request *request, size_t rows_max, size_t classes); /* false: no memory */
/* Of one, beside what decoding needs. */
size_t request_bytes(size_t rows_max, size_t classes);
void request_fini(request *request); /* zeroed is allowed */

/* Rows that the engine gets of a score request: one with a group counts twice. */
size_t request_engine_rows(const request *request);

void request_refuse(request *request, wire_code code, const char *text);

void request_answer_row(request *request, size_t row, const answer_row *answer);

/* Tells a repeated request from another one under the same (client, seq): of its op, accounts,
 * groups and classes. Embeddings are left out: they are the bulk of the message, and the rest is
 * enough to notice a client that counts wrongly. */
uint64_t request_digest(const request *request, const unsigned char key[crypto_shorthash_KEYBYTES]);

#endif

/*
 * reply.c - see reply.h.
 */
#include "reply.h"

#include <string.h>

#include "policy.h"

typedef struct {
    const reply_facts *facts;
    request *request;
} poison_source;

static poison_query query_of(const reply_facts *facts, const request *r, size_t row) {
    size_t row_bytes = facts->limits->dim * wire_dtype_bytes(r->wire.dtype);
    const wire_text *account = &r->wire.accounts[row];
    poison_query query = {.account = account->bytes,
                          .account_bytes = account->length,
                          .row = r->wire.embeddings + row * row_bytes,
                          .row_bytes = row_bytes};
    memcpy(&query.predicted, r->wire.classes + row * sizeof query.predicted,
           sizeof query.predicted);
    return query;
}

/* As wire_scores wants it: what replaces the k-th poisoned row, drawn when it is written. */
static const float *draw_probabilities(void *context, size_t k) {
    const poison_source *source = context;
    request *r = source->request;
    poison_query query = query_of(source->facts, r, r->poison_rows[k]);
    poison_probabilities(&source->facts->poison, &query, source->facts->limits->classes,
                         r->probabilities);
    return r->probabilities;
}

static size_t list_poison_rows(request *r) {
    size_t count = 0;
    for (size_t i = 0; r->wire.want_poison && i < r->wire.rows; i++) {
        if (r->decisions[i] == POLICY_POISON) {
            r->poison_rows[count++] = (uint32_t)i;
        }
    }
    return count;
}

static int encode_scores(const reply_facts *facts, request *r, nng_msg *message) {
    poison_source source = {facts, r};
    wire_scores scores = {.model = facts->limits->model,
                          .rows = r->wire.rows,
                          .scores = r->scores,
                          .memory_scores = facts->has_memory ? r->memory_scores : NULL,
                          .decisions = r->decisions,
                          .fill = r->fill,
                          .poison_rows_count = list_poison_rows(r),
                          .poison_rows = r->poison_rows,
                          .classes = facts->limits->classes,
                          .degraded = r->degraded};
    if (!facts->hard_label) {
        scores.poison = draw_probabilities;
        scores.poison_context = &source;
        return wire_encode_scores(message, &scores);
    }
    for (size_t k = 0; k < scores.poison_rows_count; k++) {
        poison_query query = query_of(facts, r, r->poison_rows[k]);
        r->poison_labels[k] = poison_label(&facts->poison, &query, facts->limits->classes);
    }
    scores.poison_labels = r->poison_labels;
    return wire_encode_scores(message, &scores);
}

int reply_encode(const reply_facts *facts, request *r, const wire_hello *hello, nng_msg *message) {
    if (r->code != WIRE_OK) {
        return wire_encode_error(message, r->code, r->text);
    }
    switch (r->wire.op) {
    case WIRE_PING:
        return wire_encode_pong(message);
    case WIRE_FORGET:
        return wire_encode_forgotten(message, r->known);
    case WIRE_HELLO:
        return wire_encode_hello(message, hello);
    default:
        return encode_scores(facts, r, message);
    }
}

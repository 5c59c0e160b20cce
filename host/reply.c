/*
 * reply.c - see reply.h.
 */
#include "reply.h"

#include <string.h>

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

static void draw_row(const poison_source *source, size_t row) {
    request *r = source->request;
    poison_query query = query_of(source->facts, r, row);
    poison_probabilities(&source->facts->poison, &query, source->facts->limits->classes,
                         r->probabilities);
}

/* As wire_scores wants it: what replaces the k-th poisoned row, drawn when it is written. */
static const float *draw_probabilities(void *context, size_t k) {
    const poison_source *source = context;
    draw_row(source, source->request->poison_rows[k]);
    return source->request->probabilities;
}

static bool is_poisoned(const request *r, size_t row) {
    return r->decisions[row] == WIRE_POISON;
}

/* For their time alone. */
static void draw_unpoisoned(const poison_source *source) {
    for (size_t i = 0; i < source->request->wire.rows; i++) {
        if (!is_poisoned(source->request, i)) {
            draw_row(source, i);
        }
    }
}

/* The label of a row that is not poisoned is overwritten by the next. */
static void draw_labels(const reply_facts *facts, request *r) {
    size_t count = 0;
    for (size_t i = 0; i < r->wire.rows; i++) {
        poison_query query = query_of(facts, r, i);
        r->poison_labels[count] = poison_label(&facts->poison, &query, facts->limits->classes);
        count += is_poisoned(r, i);
    }
}

static size_t list_poison_rows(request *r) {
    size_t count = 0;
    for (size_t i = 0; i < r->wire.rows; i++) {
        if (is_poisoned(r, i)) {
            r->poison_rows[count++] = (uint32_t)i;
        }
    }
    return count;
}

/* The source must outlive the encoding. */
static void add_poison(wire_scores *scores, poison_source *source) {
    const reply_facts *facts = source->facts;
    request *r = source->request;
    scores->poison_rows_count = list_poison_rows(r);
    scores->poison_rows = r->poison_rows;
    if (facts->hard_label) {
        draw_labels(facts, r);
        scores->poison_labels = r->poison_labels;
    } else {
        draw_unpoisoned(source);
        scores->poison = draw_probabilities;
        scores->poison_context = source;
    }
    scores->pad_bytes = wire_scores_pad(scores, r->wire.rows);
}

static void add_detail(wire_scores *scores, const request *r) {
    bool grouped = r->wire.groups != NULL;
    scores->reasons = r->terms.has_verdicts ? r->reasons : NULL;
    scores->evidence = r->terms.has_evidence ? r->evidence : NULL;
    scores->group_scores = grouped ? r->group_scores : NULL;
    scores->group_excess = grouped && r->terms.has_tables ? r->group_excess : NULL;
    scores->group_evidence = grouped && r->terms.has_evidence ? r->group_evidence : NULL;
    scores->group_verdicts = grouped && r->terms.has_verdicts ? r->group_verdicts : NULL;
}

static int encode_scores(const reply_facts *facts, request *r, nng_msg *message) {
    poison_source source = {facts, r};
    wire_scores scores = {.model = facts->limits->model,
                          .rows = r->wire.rows,
                          .scores = r->scores,
                          .memory_scores = facts->has_memory ? r->memory_scores : NULL,
                          .excess = r->terms.has_tables ? r->excess : NULL,
                          .decisions = r->decisions,
                          .verdicts = r->terms.has_verdicts ? r->verdicts : NULL,
                          .fill = r->fill,
                          .classes = facts->limits->classes,
                          .degraded = r->degraded};
    if (r->wire.want_detail) {
        add_detail(&scores, r);
    }
    if (r->wire.want_poison && r->terms.may_poison) {
        add_poison(&scores, &source);
    }
    return wire_encode_scores(message, &scores);
}

int reply_encode(const reply_facts *facts, request *r, const wire_hello *hello, nng_msg *message) {
    if (r->code != WIRE_OK) {
        return wire_encode_refusal(message, r->code, r->text, r->retry_after_ms);
    }
    switch (r->wire.op) {
    case WIRE_PING:
        return wire_encode_pong(message);
    case WIRE_FORGET:
        return wire_encode_forgotten(message, r->known);
    case WIRE_EXPLAIN:
        return wire_encode_explanation(message, r->known, r->explanation);
    case WIRE_HELLO:
        return wire_encode_hello(message, hello);
    default:
        return encode_scores(facts, r, message);
    }
}

/*
 * wire_scores.c - a score reply, written. wire_reply.c reads it.
 */
#include "wire_writer.h"

#include <string.h>

/* A bin of K rows of probabilities, each asked for when its turn comes, so that nobody has to hold
 * all of them. */
static void put_probabilities(wire_writer *w, const wire_scores *scores, size_t bytes) {
    wire_put_text(w, "poison");
    msgpack_pack_bin(&w->packer, bytes);
    for (size_t k = 0; k < scores->poison_rows_count && w->error == 0; k++) {
        const float *row = scores->poison(scores->poison_context, k);
        msgpack_pack_bin_body(&w->packer, row, scores->classes * sizeof(float));
    }
}

/* K rows and what to answer in their place. */
static void put_poison(wire_writer *w, const wire_scores *scores, size_t poison_bytes) {
    size_t rows_bytes = scores->poison_rows_count * sizeof(uint32_t);
    wire_put_bin(w, "poison_rows", scores->poison_rows, rows_bytes);
    if (scores->poison != NULL) {
        put_probabilities(w, scores, poison_bytes);
    } else {
        wire_put_bin(w, "poison_labels", scores->poison_labels, rows_bytes);
    }
}

int wire_encode_scores(nng_msg *message, const wire_scores *scores) {
    size_t rows = scores->rows;
    size_t count = scores->poison_rows_count;
    bool poison = count > 0 && (scores->poison != NULL || scores->poison_labels != NULL);
    size_t poison_bytes = 0;
    size_t columns = scores->poison != NULL ? scores->classes : 0;
    if (rows > UINT32_MAX / sizeof(uint32_t) || count > rows ||
        __builtin_mul_overflow(count * sizeof(float), columns, &poison_bytes) ||
        poison_bytes > UINT32_MAX) {
        return NNG_EMSGSIZE;
    }
    wire_writer w;
    wire_writer_init(&w, message,
                     WIRE_HEAD_BYTES + strlen(scores->model) + 13 * rows + poison_bytes +
                         8 * count);
    size_t pairs = 6u + (scores->memory_scores != NULL) + 2u * poison + scores->degraded;
    wire_put_start(&w, pairs, "status", "ok");
    wire_put_word(&w, "model", scores->model);
    wire_put_bin(&w, "scores", scores->scores, rows * sizeof(float));
    if (scores->memory_scores != NULL) {
        wire_put_bin(&w, "memory_scores", scores->memory_scores, rows * sizeof(float));
    }
    wire_put_bin(&w, "decisions", scores->decisions, rows);
    wire_put_bin(&w, "fill", scores->fill, rows * sizeof(uint32_t));
    if (poison) {
        put_poison(&w, scores, poison_bytes);
    }
    if (scores->degraded) {
        wire_put_bool(&w, "degraded", true);
    }
    return w.error;
}

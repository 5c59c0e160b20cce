/*
 * wire_scores.c - a score reply: its columns, and writing it. wire_reply.c reads it.
 *
 * Heads whose length would depend on how much is poisoned are written in their longest form, so
 * that padding can make replies equally long to the byte.
 */
#include "wire_parts.h"
#include "wire_writer.h"

#include <string.h>

#define COLUMN(key, bytes, max, is_needed)                                                         \
    {                                                                                              \
        .name = #key, .row_bytes = bytes, .value_max = max, .needed = is_needed,                   \
        .from = offsetof(wire_scores, key), .to = offsetof(wire_reply, key)                        \
    }

const wire_column wire_columns[WIRE_COLUMNS] = {
    COLUMN(scores, 4, 0, true),
    COLUMN(memory_scores, 4, 0, false),
    COLUMN(excess, 4, 0, false),
    COLUMN(decisions, 1, WIRE_LABEL_ONLY, true),
    COLUMN(verdicts, 1, WIRE_UNDECIDED, false),
    COLUMN(fill, 4, 0, true),
    COLUMN(memory_excess, 4, 0, false),
    COLUMN(evidence, 4, 0, false),
    COLUMN(group_scores, 4, 0, false),
    COLUMN(group_excess, 4, 0, false),
    COLUMN(group_evidence, 4, 0, false),
    COLUMN(group_verdicts, 1, WIRE_UNDECIDED, false),
    COLUMN(reasons, 1, WIRE_ALLOWED, false),
};

static const void *column_of(const wire_scores *scores, const wire_column *column) {
    const void *values;
    memcpy(&values, (const char *)scores + column->from, sizeof values);
    return values;
}

/* The key and the longest head of a bin, whatever its length. */
static void put_bin_head(wire_writer *w, const char *key, size_t length) {
    unsigned char head[5] = {0xc6};
    for (size_t i = 0; i < 4; i++) {
        head[1 + i] = (unsigned char)(length >> (24 - 8 * i));
    }
    wire_put_text(w, key);
    wire_put_raw(w, head, sizeof head);
}

/* The longest head but one of a map: at most 65,535 pairs. */
static void put_map_head(wire_writer *w, size_t pairs) {
    const unsigned char head[3] = {0xde, (unsigned char)(pairs >> 8), (unsigned char)pairs};
    wire_put_raw(w, head, sizeof head);
}

/* A bin of K rows of probabilities, each asked for when its turn comes, so that nobody has to hold
 * all of them. */
static void put_probabilities(wire_writer *w, const wire_scores *scores, size_t bytes) {
    put_bin_head(w, "poison", bytes);
    for (size_t k = 0; k < scores->poison_rows_count && w->error == 0; k++) {
        const float *row = scores->poison(scores->poison_context, k);
        wire_put_raw(w, row, scores->classes * sizeof(float));
    }
}

/* K rows and what to answer in their place. */
static void put_poison(wire_writer *w, const wire_scores *scores, size_t poison_bytes) {
    size_t rows_bytes = scores->poison_rows_count * sizeof(uint32_t);
    put_bin_head(w, "poison_rows", rows_bytes);
    wire_put_raw(w, scores->poison_rows, rows_bytes);
    if (scores->poison != NULL) {
        put_probabilities(w, scores, poison_bytes);
    } else {
        put_bin_head(w, "poison_labels", rows_bytes);
        wire_put_raw(w, scores->poison_labels, rows_bytes);
    }
}

/* Zeros a block at a time: their memory is nobody's to hold. */
static void put_pad(wire_writer *w, size_t bytes) {
    static const unsigned char zeros[4096];
    put_bin_head(w, "pad", bytes);
    while (bytes > 0 && w->error == 0) {
        size_t block = bytes < sizeof zeros ? bytes : sizeof zeros;
        wire_put_raw(w, zeros, block);
        bytes -= block;
    }
}

/* Bytes that put_poison writes for `count` rows, SIZE_MAX when they overflow. */
static size_t poison_length(const wire_scores *scores, size_t count) {
    bool soft = scores->poison != NULL;
    if (count == 0 || (!soft && scores->poison_labels == NULL)) {
        return 0;
    }
    const size_t heads =
        2 * (1 + 5) + strlen("poison_rows") + (soft ? strlen("poison") : strlen("poison_labels"));
    size_t columns = soft ? scores->classes : 1;
    size_t bytes;
    if (__builtin_add_overflow(columns, 1, &columns) ||
        __builtin_mul_overflow(count, columns, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &bytes) ||
        __builtin_add_overflow(bytes, heads, &bytes)) {
        return SIZE_MAX;
    }
    return bytes;
}

size_t wire_scores_pad(const wire_scores *scores, size_t rows_max) {
    size_t most = poison_length(scores, rows_max);
    size_t now = poison_length(scores, scores->poison_rows_count);
    if (most == SIZE_MAX || now == SIZE_MAX) {
        return SIZE_MAX;
    }
    return now < most ? most - now + 1 : 1; /* the key is always there, as its head has a length */
}

/* How many columns there are, and their bytes. */
static size_t count_columns(const wire_scores *scores, size_t *bytes) {
    size_t count = 0;
    *bytes = 0;
    for (size_t i = 0; i < WIRE_COLUMNS; i++) {
        if (column_of(scores, &wire_columns[i]) != NULL) {
            count++;
            *bytes += scores->rows * wire_columns[i].row_bytes;
        }
    }
    return count;
}

static void put_columns(wire_writer *w, const wire_scores *scores) {
    for (size_t i = 0; i < WIRE_COLUMNS; i++) {
        const void *values = column_of(scores, &wire_columns[i]);
        if (values != NULL) {
            wire_put_bin(w, wire_columns[i].name, values, scores->rows * wire_columns[i].row_bytes);
        }
    }
}

int wire_encode_scores(nng_msg *message, const wire_scores *scores) {
    size_t count = scores->poison_rows_count;
    bool poison = count > 0 && (scores->poison != NULL || scores->poison_labels != NULL);
    size_t poison_bytes = 0;
    size_t columns = scores->poison != NULL ? scores->classes : 0;
    if (scores->rows > UINT32_MAX / sizeof(uint32_t) || count > scores->rows ||
        scores->pad_bytes > UINT32_MAX ||
        __builtin_mul_overflow(count * sizeof(float), columns, &poison_bytes) ||
        poison_bytes > UINT32_MAX) {
        return NNG_EMSGSIZE;
    }
    size_t columns_bytes;
    size_t pairs = 3u + count_columns(scores, &columns_bytes) + 2u * poison + scores->degraded +
                   (scores->pad_bytes > 0);
    wire_writer w;
    wire_writer_init(&w, message,
                     WIRE_HEAD_BYTES + strlen(scores->model) + columns_bytes + poison_bytes +
                         2 * sizeof(uint32_t) * count + scores->pad_bytes);
    put_map_head(&w, pairs);
    wire_put_uint(&w, "v", WIRE_VERSION);
    wire_put_word(&w, "status", "ok");
    wire_put_word(&w, "model", scores->model);
    put_columns(&w, scores);
    if (poison) {
        put_poison(&w, scores, poison_bytes);
    }
    if (scores->degraded) {
        wire_put_bool(&w, "degraded", true);
    }
    if (scores->pad_bytes > 0) {
        put_pad(&w, scores->pad_bytes);
    }
    return w.error;
}

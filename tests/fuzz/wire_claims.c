/*
 * wire_claims.c - see wire_claims.h. Encoders and decoders are each other's judges here; that one
 * of them is right is what tests/test_wire*.c say.
 */
#include "wire_claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire_parts.h"

static void expect_inside(wire_message message, const void *at, size_t bytes) {
    const unsigned char *from = at;
    FUZZ_EXPECT(from >= message.bytes && from <= message.bytes + message.length);
    FUZZ_EXPECT(bytes <= (size_t)(message.bytes + message.length - from));
}

static nng_msg *new_message(void) {
    nng_msg *message;
    FUZZ_EXPECT(nng_msg_alloc(&message, 0) == 0);
    return message;
}

/* An aligned copy, which is never NULL. */
static void *copy_of(const void *bytes, size_t size) {
    void *copy = malloc(size + 1);
    FUZZ_EXPECT(copy != NULL);
    memcpy(copy, bytes, size);
    return copy;
}

/* ---- requests ---- */

static void expect_name(wire_message message, wire_text name) {
    expect_inside(message, name.bytes, name.length);
    FUZZ_EXPECT(name.length >= 1 && name.length <= WIRE_ACCOUNT_BYTES_MAX);
    FUZZ_EXPECT(memchr(name.bytes, 0, name.length) == NULL);
    FUZZ_EXPECT(wire_map_text_valid(name.bytes, name.length));
}

/* A value as a double, by arithmetic instead of the decoder's comparison of bits. */
static double value_of(const unsigned char *at, wire_dtype dtype) {
    uint32_t bits = 0;
    float value;
    memcpy(&bits, at, wire_dtype_bytes(dtype));
    if (dtype == WIRE_F16) {
        double exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
        return exponent == 31  ? (double)INFINITY
               : exponent == 0 ? ldexp(fraction, -24)
                               : ldexp(fraction + 1024, (int)exponent - 25);
    }
    bits = dtype == WIRE_BF16 ? bits << 16 : bits;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static void expect_rows(const wire_request *r, const wire_limits *limits, wire_message message) {
    size_t values = r->rows * limits->dim, size = wire_dtype_bytes(r->dtype);
    FUZZ_EXPECT(r->rows >= 1 && r->rows <= limits->rows_max);
    expect_inside(message, r->classes, r->rows * 4);
    expect_inside(message, r->embeddings, values * size);
    for (size_t i = 0; i < r->rows; i++) {
        expect_name(message, r->accounts[i]);
        if (r->groups != NULL && r->groups[i].length > 0) {
            expect_name(message, r->groups[i]);
        }
        FUZZ_EXPECT(wire_load_u32(r->classes + 4 * i) < limits->classes);
    }
    for (size_t i = 0; i < values; i++) {
        FUZZ_EXPECT(fabs(value_of(r->embeddings + i * size, r->dtype)) <= (double)WIRE_VALUE_MAX);
    }
}

/* NUL-terminated copies; NULL for those of length 0. */
static char **copy_names(const wire_text *names, size_t rows) {
    char **copies = calloc(rows + 1, sizeof *copies);
    FUZZ_EXPECT(copies != NULL);
    for (size_t i = 0; i < rows; i++) {
        copies[i] = names[i].length > 0 ? strndup(names[i].bytes, names[i].length) : NULL;
    }
    return copies;
}

static void free_names(char **names, size_t rows) {
    for (size_t i = 0; names != NULL && i < rows; i++) {
        free(names[i]);
    }
    free(names);
}

static bool same_text(wire_text a, wire_text b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

static void expect_same_request(const wire_request *a, const wire_request *b,
                                const wire_limits *limits) {
    FUZZ_EXPECT(a->op == b->op && a->identified == b->identified && a->client == b->client &&
                a->seq == b->seq && a->is_group == b->is_group);
    FUZZ_EXPECT(a->model == b->model && same_text(a->account, b->account));
    FUZZ_EXPECT(a->rows == b->rows && a->dtype == b->dtype && a->want_poison == b->want_poison &&
                a->want_detail == b->want_detail && (a->groups == NULL) == (b->groups == NULL));
    for (size_t i = 0; i < a->rows; i++) {
        FUZZ_EXPECT(same_text(a->accounts[i], b->accounts[i]));
        FUZZ_EXPECT(a->groups == NULL || same_text(a->groups[i], b->groups[i]));
    }
    if (a->rows > 0) {
        size_t bytes = a->rows * limits->dim * wire_dtype_bytes(a->dtype);
        FUZZ_EXPECT(memcmp(a->classes, b->classes, 4 * a->rows) == 0);
        FUZZ_EXPECT(memcmp(a->embeddings, b->embeddings, bytes) == 0);
    }
}

static void decode_again(nng_msg *sent, const wire_request *request, wire_served served) {
    const wire_limits *limits = &served.model[request->model];
    wire_scratch *scratch = wire_scratch_open(limits->rows_max);
    wire_request again;
    char text[WIRE_TEXT_MAX];
    FUZZ_EXPECT(scratch != NULL);
    FUZZ_EXPECT(wire_decode_request(&again, scratch, served, nng_msg_body(sent), nng_msg_len(sent),
                                    text) == WIRE_OK);
    expect_same_request(request, &again, limits);
    wire_scratch_close(scratch);
}

static void send_again(const wire_request *r, wire_served served) {
    const wire_limits *limits = &served.model[r->model];
    bool named = r->op != WIRE_PING && r->op != WIRE_HELLO;
    size_t values_bytes = r->rows * limits->dim * wire_dtype_bytes(r->dtype);
    char *account = r->account.length > 0 ? strndup(r->account.bytes, r->account.length) : NULL;
    char **accounts = r->rows > 0 ? copy_names(r->accounts, r->rows) : NULL;
    char **groups = r->groups != NULL ? copy_names(r->groups, r->rows) : NULL;
    uint32_t *classes = r->rows > 0 ? copy_of(r->classes, 4 * r->rows) : NULL;
    void *embeddings = r->rows > 0 ? copy_of(r->embeddings, values_bytes) : NULL;
    nng_msg *message = new_message();
    FUZZ_EXPECT(
        wire_encode_request(message, &(wire_outgoing){.op = r->op,
                                                      .identified = r->identified,
                                                      .client = r->client,
                                                      .seq = r->seq,
                                                      .model = named ? limits->model : NULL,
                                                      .account = account,
                                                      .is_group = r->is_group,
                                                      .rows = r->rows,
                                                      .accounts = (const char *const *)accounts,
                                                      .groups = (const char *const *)groups,
                                                      .classes = classes,
                                                      .dtype = r->dtype,
                                                      .dim = limits->dim,
                                                      .embeddings = embeddings,
                                                      .want_poison = r->want_poison,
                                                      .want_detail = r->want_detail}) == 0);
    decode_again(message, r, served);
    nng_msg_free(message);
    free(embeddings);
    free(classes);
    free_names(groups, r->rows);
    free_names(accounts, r->rows);
    free(account);
}

void wire_claims_of_request(const wire_request *request, wire_served served, wire_message message) {
    FUZZ_EXPECT(request->model < served.models);
    if (request->op == WIRE_SCORE) {
        expect_rows(request, &served.model[request->model], message);
    } else {
        FUZZ_EXPECT(request->rows == 0);
    }
    if (request->op == WIRE_FORGET || request->op == WIRE_EXPLAIN) {
        expect_name(message, request->account);
    }
    send_again(request, served);
}

/* ---- scores ---- */

static void expect_poison(const wire_reply *r, wire_message message) {
    expect_inside(message, r->poison_rows, 4 * r->poison_rows_count);
    FUZZ_EXPECT(r->poison_rows_count <= r->rows);
    FUZZ_EXPECT((r->poison != NULL) != (r->poison_labels != NULL));
    if (r->poison != NULL) {
        FUZZ_EXPECT(r->classes > 0);
        expect_inside(message, r->poison, r->poison_rows_count * r->classes * 4);
    } else {
        expect_inside(message, r->poison_labels, r->poison_rows_count * 4);
    }
    for (size_t k = 0; k < r->poison_rows_count; k++) {
        uint32_t row = wire_load_u32(r->poison_rows + 4 * k);
        FUZZ_EXPECT(row < r->rows && (k == 0 || row > wire_load_u32(r->poison_rows + 4 * k - 4)));
    }
}

static const unsigned char *column_of(const wire_reply *reply, size_t column) {
    const unsigned char *at;
    memcpy(&at, (const char *)reply + wire_columns[column].to, sizeof at);
    return at;
}

typedef struct {
    const unsigned char *poison;
    size_t classes;
    float *row;
} probabilities;

static const float *poison_row(void *context, size_t k) {
    const probabilities *p = context;
    return memcpy(p->row, p->poison + k * p->classes * sizeof *p->row, p->classes * sizeof *p->row);
}

static void expect_same_scores(const wire_reply *a, const nng_msg *sent) {
    wire_reply b;
    FUZZ_EXPECT(wire_decode_reply(&b, NULL, WIRE_SCORE, a->rows, nng_msg_body((nng_msg *)sent),
                                  nng_msg_len(sent)) == WIRE_OK);
    FUZZ_EXPECT(b.code == WIRE_OK && b.degraded == a->degraded);
    FUZZ_EXPECT(b.poison_rows_count == a->poison_rows_count && b.classes == a->classes);
    for (size_t i = 0; i < WIRE_COLUMNS; i++) {
        const unsigned char *left = column_of(a, i), *right = column_of(&b, i);
        FUZZ_EXPECT((left == NULL) == (right == NULL));
        FUZZ_EXPECT(left == NULL || memcmp(left, right, a->rows * wire_columns[i].row_bytes) == 0);
    }
    size_t k = a->poison_rows_count;
    FUZZ_EXPECT(k == 0 || memcmp(a->poison_rows, b.poison_rows, 4 * k) == 0);
    FUZZ_EXPECT(a->poison == NULL || memcmp(a->poison, b.poison, 4 * k * a->classes) == 0);
    FUZZ_EXPECT(a->poison_labels == NULL || memcmp(a->poison_labels, b.poison_labels, 4 * k) == 0);
}

/* What the daemon would send for these scores, the columns in aligned copies. */
static void answer_again(const wire_reply *r) {
    wire_scores scores = {.model = "m", .rows = r->rows, .degraded = r->degraded};
    void *copies[WIRE_COLUMNS] = {0};
    size_t k = r->poison_rows_count;
    for (size_t i = 0; i < WIRE_COLUMNS; i++) {
        if (column_of(r, i) != NULL) {
            copies[i] = copy_of(column_of(r, i), r->rows * wire_columns[i].row_bytes);
            memcpy((char *)&scores + wire_columns[i].from, &copies[i], sizeof copies[i]);
        }
    }
    uint32_t *rows = k > 0 ? copy_of(r->poison_rows, 4 * k) : NULL;
    uint32_t *labels = r->poison_labels != NULL ? copy_of(r->poison_labels, 4 * k) : NULL;
    probabilities p = {r->poison, r->classes, calloc(r->classes + 1, sizeof(float))};
    scores.poison_rows_count = k;
    scores.poison_rows = rows;
    scores.poison_labels = labels;
    scores.classes = r->classes;
    scores.poison = r->poison != NULL ? poison_row : NULL;
    scores.poison_context = &p;
    nng_msg *message = new_message();
    FUZZ_EXPECT(wire_encode_scores(message, &scores) == 0);
    expect_same_scores(r, message);
    nng_msg_free(message);
    free(p.row);
    free(labels);
    free(rows);
    for (size_t i = 0; i < WIRE_COLUMNS; i++) {
        free(copies[i]);
    }
}

void wire_claims_of_scores(const wire_reply *reply, wire_message message) {
    for (size_t i = 0; i < WIRE_COLUMNS; i++) {
        const wire_column *column = &wire_columns[i];
        const unsigned char *at = column_of(reply, i);
        FUZZ_EXPECT(at != NULL || !column->needed || reply->rows == 0);
        if (at == NULL) {
            continue;
        }
        expect_inside(message, at, reply->rows * column->row_bytes);
        for (size_t row = 0; column->value_max > 0 && row < reply->rows; row++) {
            FUZZ_EXPECT(at[row] <= column->value_max);
        }
    }
    if (reply->poison_rows_count > 0) {
        expect_poison(reply, message);
    }
    answer_again(reply);
}

/* ---- hello, explain ---- */

/* Two encodings of what should be the same. */
static void expect_same_bytes(nng_msg *a, nng_msg *b) {
    FUZZ_EXPECT(nng_msg_len(a) == nng_msg_len(b));
    FUZZ_EXPECT(memcmp(nng_msg_body(a), nng_msg_body(b), nng_msg_len(a)) == 0);
    nng_msg_free(a);
    nng_msg_free(b);
}

void wire_claims_of_hello(const wire_hello *hello) {
    static wire_hello again;
    nng_msg *first = new_message(), *second = new_message();
    wire_reply reply;
    FUZZ_EXPECT(hello->models <= WIRE_MODELS_MAX);
    FUZZ_EXPECT(wire_encode_hello(first, hello) == 0);
    FUZZ_EXPECT(wire_decode_reply(&reply, &again, WIRE_HELLO, 0, nng_msg_body(first),
                                  nng_msg_len(first)) == WIRE_OK);
    FUZZ_EXPECT(wire_encode_hello(second, &again) == 0);
    expect_same_bytes(first, second);
}

void wire_claims_of_explanation(const wire_reply *reply, const wire_explanation *explanation) {
    static wire_explanation again;
    nng_msg *first = new_message(), *second = new_message();
    wire_reply reply_again;
    FUZZ_EXPECT(explanation->classes <= WIRE_EXPLAIN_CLASSES_MAX);
    FUZZ_EXPECT(explanation->windows <= WIRE_EXPLAIN_HISTORY_MAX);
    FUZZ_EXPECT(explanation->verdict <= WIRE_UNDECIDED && explanation->reason <= WIRE_ALLOWED);
    FUZZ_EXPECT(wire_encode_explanation(first, reply->known, explanation) == 0);
    FUZZ_EXPECT(wire_decode_explanation(&reply_again, &again, nng_msg_body(first),
                                        nng_msg_len(first)) == WIRE_OK);
    FUZZ_EXPECT(wire_encode_explanation(second, reply_again.known, &again) == 0);
    expect_same_bytes(first, second);
}

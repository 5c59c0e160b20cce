/*
 * test_wire_detail.c - what a score reply may hold besides scores: the optional columns, and
 * padding that hides from who only sees lengths whether anybody is poisoned.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "wire.h"

enum { ROWS = 300, CLASSES = 7 };

static float reals[7][ROWS];
static uint8_t decisions[ROWS], verdicts[ROWS], group_verdicts[ROWS], reasons[ROWS];
static uint32_t fill[ROWS];

static void setup(void) {
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t k = 0; k < 7; k++) {
            reals[k][i] = i % 5 ? (float)(10 * i + k) : NAN;
        }
        decisions[i] = (uint8_t)(i % (WIRE_LABEL_ONLY + 1));
        verdicts[i] = (uint8_t)(i % (WIRE_UNDECIDED + 1));
        group_verdicts[i] = (uint8_t)((i + 1) % (WIRE_UNDECIDED + 1));
        reasons[i] = (uint8_t)(i % (WIRE_ALLOWED + 1));
        fill[i] = (uint32_t)i;
    }
}

TestSuite(wire_detail, .init = setup);

/* Every optional column whose bit is set. */
static wire_scores scores_with(unsigned columns, size_t rows) {
    wire_scores scores = {.model = "resnet",
                          .rows = rows,
                          .scores = reals[0],
                          .decisions = decisions,
                          .fill = fill,
                          .classes = CLASSES};
    scores.memory_scores = columns & 1 ? reals[1] : NULL;
    scores.excess = columns & 2 ? reals[2] : NULL;
    scores.memory_excess = columns & 4 ? reals[3] : NULL;
    scores.evidence = columns & 8 ? reals[4] : NULL;
    scores.group_scores = columns & 16 ? reals[5] : NULL;
    scores.group_excess = columns & 32 ? reals[6] : NULL;
    scores.group_evidence = columns & 64 ? reals[0] : NULL;
    scores.verdicts = columns & 128 ? verdicts : NULL;
    scores.group_verdicts = columns & 256 ? group_verdicts : NULL;
    scores.reasons = columns & 512 ? reasons : NULL;
    return scores;
}

static bool same(const unsigned char *came, const void *sent, size_t bytes) {
    return came == NULL ? sent == NULL : sent != NULL && memcmp(came, sent, bytes) == 0;
}

Test(wire_detail, every_set_of_optional_columns_comes_back_and_no_other) {
    for (unsigned columns = 0; columns < 1024; columns++) {
        size_t rows = 1 + columns % ROWS;
        wire_scores sent = scores_with(columns, rows);
        nng_msg *message;
        wire_reply reply;
        cr_assert_eq(nng_msg_alloc(&message, 0), 0);
        cr_assert_eq(wire_encode_scores(message, &sent), 0);
        cr_assert_eq(wire_decode_reply(&reply, NULL, WIRE_SCORE, rows, nng_msg_body(message),
                                       nng_msg_len(message)),
                     WIRE_OK, "%s", reply.text);
        cr_assert(same(reply.scores, sent.scores, 4 * rows) &&
                  same(reply.memory_scores, sent.memory_scores, 4 * rows) &&
                  same(reply.excess, sent.excess, 4 * rows) &&
                  same(reply.decisions, sent.decisions, rows) &&
                  same(reply.verdicts, sent.verdicts, rows) &&
                  same(reply.fill, sent.fill, 4 * rows) &&
                  same(reply.memory_excess, sent.memory_excess, 4 * rows) &&
                  same(reply.evidence, sent.evidence, 4 * rows) &&
                  same(reply.group_scores, sent.group_scores, 4 * rows) &&
                  same(reply.group_excess, sent.group_excess, 4 * rows) &&
                  same(reply.group_evidence, sent.group_evidence, 4 * rows) &&
                  same(reply.group_verdicts, sent.group_verdicts, rows) &&
                  same(reply.reasons, sent.reasons, rows));
        nng_msg_free(message);
    }
}

static const float *poison_row(void *context, size_t k) {
    (void)k;
    return context;
}

static size_t padded_length(unsigned columns, size_t rows, size_t poisoned, bool hard,
                            size_t classes) {
    static float outputs[4096];
    wire_scores scores = scores_with(columns, rows);
    nng_msg *message;
    wire_reply reply;
    scores.classes = classes;
    scores.poison_rows_count = poisoned;
    scores.poison_rows = fill;
    scores.poison = hard ? NULL : poison_row;
    scores.poison_context = outputs;
    scores.poison_labels = hard ? fill : NULL;
    scores.pad_bytes = wire_scores_pad(&scores, rows);
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(wire_encode_scores(message, &scores), 0);
    cr_assert_eq(wire_decode_reply(&reply, NULL, WIRE_SCORE, rows, nng_msg_body(message),
                                   nng_msg_len(message)),
                 WIRE_OK, "%s", reply.text);
    cr_assert_eq(reply.poison_rows_count, poisoned);
    size_t length = nng_msg_len(message);
    nng_msg_free(message);
    return length;
}

/* Rows and classes at which a bin's shortest head grows, and columns at which a map's does. */
Test(wire_detail, a_padded_reply_is_as_long_whatever_is_poisoned) {
    static const size_t rows[] = {1, 2, 63, 64, 65, ROWS};
    static const size_t classes[] = {1, 7, 4096};
    static const unsigned columns[] = {0, 0x0f, 0x7f, 0xff, 0x1ff, 0x3ff};
    for (size_t i = 0; i < 6 * 3 * 6 * 2; i++) {
        size_t n = rows[i % 6], c = classes[i / 6 % 3];
        unsigned with = columns[i / 18 % 6];
        bool hard = i >= 108;
        size_t whole = padded_length(with, n, n, hard, c);
        for (size_t poisoned = 0; poisoned < n; poisoned += 1 + n / 8) {
            size_t length = padded_length(with, n, poisoned, hard, c);
            cr_assert_eq(length, whole, "%zu of %zu rows poisoned: %zu bytes, all: %zu", poisoned,
                         n, length, whole);
        }
    }
}

Test(wire_detail, padding_that_no_message_holds_is_refused) {
    wire_scores scores = scores_with(0, ROWS);
    nng_msg *message;
    scores.poison = poison_row;
    scores.classes = SIZE_MAX / 2;
    scores.pad_bytes = wire_scores_pad(&scores, ROWS);
    cr_assert_eq(scores.pad_bytes, SIZE_MAX);
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(wire_encode_scores(message, &scores), NNG_EMSGSIZE);
    nng_msg_free(message);
}

/*
 * test_reply.c - neither the length of a reply nor the draws it takes tell how much of it is
 * poison. The linker puts doubles that count in front of the draws (--wrap).
 */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reply.h"

enum { DIM = 4, ROWS_MAX = 1024, CLASSES_MAX = 1000 };

static const unsigned char secret[POISON_SECRET_BYTES] = "a secret of thirty-two bytes....";

/* ---- draws are counted ---- */

static size_t distributions_drawn;
static size_t labels_drawn;

void __real_poison_probabilities(const poison *, const poison_query *, size_t, float *);
void __wrap_poison_probabilities(const poison *, const poison_query *, size_t, float *);
uint32_t __real_poison_label(const poison *, const poison_query *, size_t);
uint32_t __wrap_poison_label(const poison *, const poison_query *, size_t);

void __wrap_poison_probabilities(const poison *p, const poison_query *query, size_t classes,
                                 float *probabilities) {
    distributions_drawn++;
    __real_poison_probabilities(p, query, classes, probabilities);
}

uint32_t __wrap_poison_label(const poison *p, const poison_query *query, size_t classes) {
    labels_drawn++;
    return __real_poison_label(p, query, classes);
}

/* ---- a request that has been carried out ---- */

typedef struct {
    wire_limits limits;
    reply_facts facts;
    request request;
    wire_text accounts[ROWS_MAX];
    uint32_t classes[ROWS_MAX];
    float embeddings[ROWS_MAX * DIM];
} stage;

static void stage_open(stage *s, size_t classes, bool hard_label) {
    cr_assert(sodium_init() >= 0);
    *s = (stage){.limits = {.model = "resnet", .dim = DIM, .classes = classes}};
    s->facts = (reply_facts){.limits = &s->limits, .hard_label = hard_label};
    poison_init(&s->facts.poison, POISON_PLAUSIBLE, secret);
    cr_assert(request_init(&s->request, ROWS_MAX, CLASSES_MAX));
    s->request.terms.may_poison = true;
    for (size_t i = 0; i < ROWS_MAX; i++) {
        s->accounts[i] = (wire_text){"mallory", 7};
        s->classes[i] = (uint32_t)(i % classes);
        s->embeddings[i * DIM] = (float)i;
    }
    s->request.wire = (wire_request){.op = WIRE_SCORE,
                                     .accounts = s->accounts,
                                     .classes = (const unsigned char *)s->classes,
                                     .embeddings = (const unsigned char *)s->embeddings,
                                     .want_poison = true};
}

static void stage_close(stage *s) {
    request_fini(&s->request);
}

/* Row i is poisoned if i * poisoned / rows is not (i + 1) * poisoned / rows: `poisoned` of them,
 * evenly spread. */
static nng_msg *encode(stage *s, size_t rows, size_t poisoned) {
    nng_msg *message;
    s->request.wire.rows = rows;
    for (size_t i = 0; i < rows; i++) {
        bool one = i * poisoned / rows != (i + 1) * poisoned / rows;
        s->request.decisions[i] = one ? WIRE_POISON : i % 2 ? WIRE_ALLOW : WIRE_WARMING;
    }
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(reply_encode(&s->facts, &s->request, NULL, message), 0);
    return message;
}

static wire_reply decode(const nng_msg *message, size_t rows) {
    wire_reply reply;
    cr_assert_eq(wire_decode_reply(&reply, NULL, WIRE_SCORE, rows, nng_msg_body((nng_msg *)message),
                                   nng_msg_len(message)),
                 WIRE_OK, "%s", reply.text);
    return reply;
}

/* ---- claims ---- */

static void check_as_long(stage *s, size_t rows, size_t poisoned, size_t *length) {
    nng_msg *message = encode(s, rows, poisoned);
    wire_reply reply = decode(message, rows);
    cr_assert_eq(reply.poison_rows_count, poisoned);
    *length = *length == 0 ? nng_msg_len(message) : *length;
    cr_assert_eq(nng_msg_len(message), *length,
                 "%zu of %zu rows poisoned, %zu classes: %zu bytes instead of %zu", poisoned, rows,
                 s->limits.classes, nng_msg_len(message), *length);
    nng_msg_free(message);
}

Test(reply, is_as_long_whatever_number_of_its_rows_is_poisoned) {
    static const size_t rows[] = {1, 2, 3, 16, 31, 32, 33, 64, 65, 100, 300};
    static const size_t classes[] = {1, 2, 10};
    static stage s;
    for (int shape = 0; shape < 6; shape++) {
        stage_open(&s, classes[shape / 2], shape % 2);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            size_t length = 0;
            for (size_t poisoned = 0; poisoned <= rows[i]; poisoned++) {
                check_as_long(&s, rows[i], poisoned, &length);
            }
        }
        stage_close(&s);
    }
}

Test(reply, is_as_long_also_where_it_is_large) {
    static stage s;
    size_t length = 0;
    stage_open(&s, CLASSES_MAX, false);
    for (size_t poisoned = 0; poisoned <= 70; poisoned++) {
        check_as_long(&s, 70, poisoned, &length);
    }
    stage_close(&s);
}

static const float *no_draw(void *context, size_t k) {
    (void)k;
    return context;
}

/* What wire_encode_scores makes of the pad, without the draws: for more rows and classes. */
Test(reply, is_as_long_for_any_rows_and_classes) {
    static const float zeros[ROWS_MAX];
    static const uint8_t decisions[ROWS_MAX];
    static const uint32_t ascending[ROWS_MAX];
    nng_msg *message;
    size_t longest = 0, replies = 0;
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    for (size_t classes = 0; classes <= 40; classes += 1 + classes / 3) { /* 0: labels */
        for (size_t rows = 1; rows <= ROWS_MAX; rows += 1 + rows / 4) {
            size_t length = 0;
            for (size_t poisoned = 0; poisoned <= rows; poisoned++) {
                wire_scores scores = {.model = "resnet",
                                      .rows = rows,
                                      .scores = zeros,
                                      .decisions = decisions,
                                      .fill = ascending,
                                      .poison_rows_count = poisoned,
                                      .poison_rows = ascending,
                                      .classes = classes,
                                      .poison = classes > 0 ? no_draw : NULL,
                                      .poison_context = (void *)zeros,
                                      .poison_labels = classes > 0 ? NULL : ascending};
                scores.pad_bytes = wire_scores_pad(&scores, rows);
                nng_msg_clear(message);
                cr_assert_eq(wire_encode_scores(message, &scores), 0);
                length = poisoned == 0 ? nng_msg_len(message) : length;
                cr_assert_eq(nng_msg_len(message), length, "%zu of %zu rows, %zu classes", poisoned,
                             rows, classes);
                replies++;
            }
            longest = length > longest ? length : longest;
        }
    }
    printf("%zu replies of up to %zu bytes\n", replies, longest);
    nng_msg_free(message);
}

Test(reply, takes_a_draw_for_every_row_whatever_number_is_poisoned) {
    enum { ROWS = 48 };
    static stage s;
    for (int hard = 0; hard < 2; hard++) {
        stage_open(&s, 10, hard);
        for (size_t poisoned = 0; poisoned <= ROWS; poisoned++) {
            distributions_drawn = labels_drawn = 0;
            nng_msg_free(encode(&s, ROWS, poisoned));
            cr_assert_eq(distributions_drawn, hard ? 0 : ROWS);
            cr_assert_eq(labels_drawn, hard ? ROWS : 0);
        }
        stage_close(&s);
    }
}

Test(reply, to_whom_wants_no_poison_or_where_there_is_no_threshold_takes_no_draw_and_no_pad) {
    enum { ROWS = 48 };
    static stage s;
    size_t length[3];
    stage_open(&s, 10, false);
    for (int i = 0; i < 3; i++) {
        s.request.wire.want_poison = i != 0;
        s.request.terms.may_poison = i != 1;
        distributions_drawn = 0;
        nng_msg *message = encode(&s, ROWS, 0);
        length[i] = nng_msg_len(message);
        cr_assert_eq(distributions_drawn, i == 2 ? ROWS : 0);
        nng_msg_free(message);
    }
    cr_assert(length[0] == length[1] && length[2] > length[0] + (size_t)ROWS * 40);
    stage_close(&s);
}

/* ---- the time, to look at: two cores that others use prove nothing ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double seconds_of(stage *s, size_t rows, size_t poisoned) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    nng_msg *message = encode(s, rows, poisoned);
    clock_gettime(CLOCK_MONOTONIC, &to);
    nng_msg_free(message);
    return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
}

static void print_times(size_t classes, bool hard_label) {
    enum { TIMES = 101, ROWS = 256 };
    static stage s;
    double none[TIMES], all[TIMES];
    stage_open(&s, classes, hard_label);
    for (size_t i = 0; i < TIMES; i++) {
        none[i] = seconds_of(&s, ROWS, 0);
        all[i] = seconds_of(&s, ROWS, ROWS);
    }
    qsort(none, TIMES, sizeof *none, compare_doubles);
    qsort(all, TIMES, sizeof *all, compare_doubles);
    printf("%d rows of %zu classes, %s: %.1f us with none poisoned, %.1f us with all: %.3f\n", ROWS,
           classes, hard_label ? "labels" : "probabilities", none[TIMES / 2] * 1e6,
           all[TIMES / 2] * 1e6, all[TIMES / 2] / none[TIMES / 2]);
    stage_close(&s);
}

Test(reply, takes_about_as_long_whatever_number_of_its_rows_is_poisoned) {
    print_times(10, false);
    print_times(100, false);
    print_times(10, true);
}

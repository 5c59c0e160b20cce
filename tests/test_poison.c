/*
 * test_poison.c - poison is a distribution, agrees with itself, differs from everything else, is
 * wrong without favouring a class, and is as confident as a network; and the decisions that call
 * for it.
 */
#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poison.h"

enum { CLASSES = 1000 };

static const unsigned char secret[POISON_SECRET_BYTES] = "a secret of thirty-two bytes....";

static void start(void) {
    cr_assert(sodium_init() >= 0);
}

TestSuite(poison, .init = start);

static poison_query query_of(const char *account, const char *row) {
    return (poison_query){.account = account,
                          .account_bytes = strlen(account),
                          .row = (const unsigned char *)row,
                          .row_bytes = strlen(row)};
}

/* One of many queries of one account. */
typedef struct {
    char row[24];
    poison_query query;
} numbered;

static const poison_query *number(numbered *n, int row, uint32_t predicted) {
    snprintf(n->row, sizeof n->row, "row %d", row);
    n->query = query_of("mallory", n->row);
    n->query.predicted = predicted;
    return &n->query;
}

static void draw(const poison *p, const char *account, const char *row, float *out) {
    poison_query query = query_of(account, row);
    poison_probabilities(p, &query, CLASSES, out);
}

/* The top label; none other is as high. */
static size_t top_of(const float *probabilities, size_t classes) {
    size_t top = 0;
    for (size_t c = 1; c < classes; c++) {
        top = probabilities[c] > probabilities[top] ? c : top;
    }
    for (size_t c = 0; c < classes; c++) {
        cr_assert(c == top || probabilities[c] < probabilities[top], "%zu and %zu tie", c, top);
    }
    return top;
}

static void check_distribution(const float *probabilities, size_t classes) {
    double sum = 0.0;
    for (size_t c = 0; c < classes; c++) {
        cr_assert(probabilities[c] >= FLT_MIN && probabilities[c] <= 1.0f);
        sum += (double)probabilities[c];
    }
    /* Each float is off by at most half a unit in its last place: 6e-8 of itself. */
    cr_assert_float_eq(sum, 1.0, 1e-7, "a sum of %.9f", sum);
}

Test(poison, of_any_classes_is_a_distribution_whose_top_label_is_wrong) {
    static const struct {
        size_t classes;
        int rows;
    } sizes[] = {{2, 5000}, {3, 5000}, {10, 5000}, {255, 500}, {1000, 100}, {1000000, 3}};
    float *out = calloc(1000000, sizeof *out);
    poison plausible, random;
    cr_assert(out);
    poison_init(&plausible, POISON_PLAUSIBLE, secret);
    poison_init(&random, POISON_RANDOM, secret);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t classes = sizes[i].classes;
        for (int row = 0; row < sizes[i].rows; row++) {
            numbered n;
            const poison_query *query = number(&n, row, (uint32_t)((size_t)row % classes));
            poison_probabilities(&random, query, classes, out);
            check_distribution(out, classes);
            poison_probabilities(&plausible, query, classes, out);
            check_distribution(out, classes);
            size_t top = top_of(out, classes);
            cr_assert_neq(top, query->predicted);
            cr_assert_eq(top, poison_label(&plausible, query, classes));
        }
    }
    free(out);
}

Test(poison, of_one_class_says_that_class) {
    for (poison_kind kind = POISON_PLAUSIBLE; kind <= POISON_RANDOM; kind++) {
        poison p;
        poison_query query = query_of("mallory", "a row");
        float out = 0.0f;
        poison_init(&p, kind, secret);
        poison_probabilities(&p, &query, 1, &out);
        cr_assert(out == 1.0f && poison_label(&p, &query, 1) == 0);
    }
}

Test(poison, repeated_a_thousand_times_is_the_same_bytes) {
    float first[CLASSES];
    float other[CLASSES];
    poison p;
    poison_query query = query_of("mallory", "a row");
    poison_init(&p, POISON_PLAUSIBLE, secret);
    draw(&p, "mallory", "a row", first);
    for (int i = 0; i < 1000; i++) {
        draw(&p, "mallory", "a row", other);
        cr_assert_eq(memcmp(first, other, sizeof first), 0);
        cr_assert_eq(poison_label(&p, &query, CLASSES), top_of(first, CLASSES));
    }
}

Test(poison, the_same_query_gets_the_same_answer_and_any_other_another) {
    float first[CLASSES];
    float other[CLASSES];
    poison p;
    poison_init(&p, POISON_PLAUSIBLE, secret);
    draw(&p, "mallory", "a row", first);
    draw(&p, "mallory", "a row", other);
    cr_assert_eq(memcmp(first, other, sizeof first), 0);
    draw(&p, "trudy", "a row", other);
    cr_assert_neq(memcmp(first, other, sizeof first), 0);
    draw(&p, "mallory", "b row", other);
    cr_assert_neq(memcmp(first, other, sizeof first), 0);
    draw(&p, "mallorya", " row", other);
    cr_assert_neq(memcmp(first, other, sizeof first), 0, "where the account ends matters");
}

Test(poison, another_secret_gives_another_answer_and_none_given_is_drawn) {
    float first[CLASSES];
    float other[CLASSES];
    poison p;
    poison_init(&p, POISON_PLAUSIBLE, secret);
    draw(&p, "mallory", "a row", first);
    poison_init(&p, POISON_PLAUSIBLE, NULL);
    draw(&p, "mallory", "a row", other);
    cr_assert_neq(memcmp(first, other, sizeof first), 0);
    draw(&p, "mallory", "a row", first);
    poison_init(&p, POISON_PLAUSIBLE, NULL);
    draw(&p, "mallory", "a row", other);
    cr_assert_neq(memcmp(first, other, sizeof first), 0);
    poison_fini(&p);
    cr_assert(sodium_is_zero(p.secret, sizeof p.secret));
}

Test(poison, random_logits_are_uniform_over_their_whole_range) {
    enum { ROWS = 200, BINS = 20 };
    float out[CLASSES];
    size_t bin[BINS] = {0};
    poison p;
    poison_init(&p, POISON_RANDOM, secret);
    for (int row = 0; row < ROWS; row++) {
        char text[16];
        snprintf(text, sizeof text, "row %d", row);
        draw(&p, "mallory", text, out);
        /* logit = log(p) + c, and the mean of e^logit over a uniform range gives c to 1e-3. */
        double mean = (exp((double)POISON_LOGIT_MAX) - exp((double)-POISON_LOGIT_MAX)) /
                      (2.0 * (double)POISON_LOGIT_MAX);
        for (size_t i = 0; i < CLASSES; i++) {
            double logit = log((double)out[i] * CLASSES * mean);
            double unit = (logit / (double)POISON_LOGIT_MAX + 1.0) / 2.0;
            size_t at = unit < 0.0 ? 0 : (size_t)(unit * BINS);
            bin[at < BINS ? at : BINS - 1]++;
        }
    }
    double expected = (double)ROWS * CLASSES / BINS;
    double worst = 0.0;
    for (size_t i = 0; i < BINS; i++) {
        worst = fmax(worst, fabs((double)bin[i] / expected - 1.0));
    }
    printf("largest deviation of a bin: %.3f\n", worst);
    /* 10,000 a bin: five standard deviations are 5 %; the sum behind c adds 5 % at the edges. */
    cr_assert_lt(worst, 0.1);
}

/* How far counts are from being equal, as chi-square with count - 1 degrees of freedom. */
static double chi_square(const size_t *counts, size_t count) {
    double sum = 0.0, total = 0.0;
    for (size_t i = 0; i < count; i++) {
        total += (double)counts[i];
    }
    for (size_t i = 0; i < count; i++) {
        double off = (double)counts[i] - total / (double)count;
        sum += off * off * (double)count / total;
    }
    return sum;
}

enum { LABELS = 10, LABEL_ROWS = 20000 };

/* How often each label but the predicted one comes, by how far it is after that one; of the queries
 * in which account a's label is `given`, or of all if that is LABELS. */
static void count_labels(uint32_t predicted, uint32_t given, size_t counts[LABELS - 1]) {
    poison p;
    poison_init(&p, POISON_PLAUSIBLE, secret);
    memset(counts, 0, (LABELS - 1) * sizeof *counts);
    for (int row = 0; row < LABEL_ROWS; row++) {
        numbered n;
        poison_query query = *number(&n, (int)predicted * LABEL_ROWS + row, predicted);
        uint32_t label = poison_label(&p, &query, LABELS);
        cr_assert(label < LABELS && label != predicted);
        query.account = "trudyyy"; /* of mallory's length, for the same row */
        uint32_t other = poison_label(&p, &query, LABELS);
        if (given == LABELS || other == given) {
            counts[(label + LABELS - predicted - 1) % LABELS]++;
        }
    }
}

/* Chi-square with 8 degrees of freedom is above 31.8 once in 10,000; the secret is fixed. */
#define CHI_SQUARE_MAX 31.8

Test(poison, labels_are_uniform_over_those_not_predicted) {
    double worst = 0.0;
    for (uint32_t predicted = 0; predicted < LABELS; predicted++) {
        size_t counts[LABELS - 1];
        count_labels(predicted, LABELS, counts);
        worst = fmax(worst, chi_square(counts, LABELS - 1));
    }
    printf("largest chi-square of labels: %.1f\n", worst);
    cr_assert_lt(worst, CHI_SQUARE_MAX);
}

Test(poison, labels_say_nothing_of_what_another_account_gets_for_the_same_row) {
    double worst = 0.0;
    for (uint32_t given = 1; given < LABELS; given++) {
        size_t counts[LABELS - 1];
        count_labels(0, given, counts);
        worst = fmax(worst, chi_square(counts, LABELS - 1));
    }
    printf("largest chi-square given the other account's label: %.1f\n", worst);
    cr_assert_lt(worst, CHI_SQUARE_MAX);
}

/* ---- as confident as a network ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* log(p / (1 - p)) of the top probability, from the others, as p itself may round to 1. */
static double confidence_of(const float *probabilities, size_t classes) {
    size_t top = top_of(probabilities, classes);
    double others = 0.0;
    for (size_t c = 0; c < classes; c++) {
        others += c == top ? 0.0 : (double)probabilities[c];
    }
    return log((double)probabilities[top] / others);
}

/* What a threshold on the confidence tells apart is how far the two distribution functions are from
 * each other there. The honest quantiles are of 5,000 held-out images' answers by the CIFAR-10
 * network behind tests/data, which does not hold its logits. */
Test(poison, confidence_is_distributed_as_honest_answers_is) {
    enum { ROWS = 20000 };
    static const struct {
        double share, confidence;
    } honest[] = {{0.02, 0.71}, {0.05, 1.94}, {0.1, 3.93},  {0.2, 7.44},
                  {0.3, 10.04}, {0.5, 13.63}, {0.7, 16.61}, {0.9, 19.93}};
    double *confidence = calloc(ROWS, sizeof *confidence);
    double worst = 0.0;
    poison p;
    cr_assert(confidence);
    poison_init(&p, POISON_PLAUSIBLE, secret);
    for (int row = 0; row < ROWS; row++) {
        numbered n;
        float out[LABELS];
        poison_probabilities(&p, number(&n, row, 0), LABELS, out);
        confidence[row] = confidence_of(out, LABELS);
    }
    qsort(confidence, ROWS, sizeof *confidence, compare_doubles);
    for (size_t i = 0; i < sizeof honest / sizeof *honest; i++) {
        size_t below = 0;
        while (below < ROWS && confidence[below] < honest[i].confidence) {
            below++;
        }
        worst = fmax(worst, fabs((double)below / ROWS - honest[i].share));
    }
    printf("a threshold on the confidence tells poison from honest answers by %.3f\n", worst);
    cr_assert_lt(worst, 0.1); /* the fit's own; sampling adds 0.01 */
    free(confidence);
}

/*
 * test_poison.c - poison is a distribution, agrees with itself, differs from everything else, and
 * does not favour a class; and the decisions that call for it.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "poison.h"
#include "policy.h"

enum { CLASSES = 1000 };

static const unsigned char secret[POISON_SECRET_BYTES] = "a secret of thirty-two bytes....";

static void start(void) {
    cr_assert(sodium_init() >= 0);
}

TestSuite(poison, .init = start);

static poison_query query_of(const char *account, const char *row) {
    return (poison_query){account, strlen(account), (const unsigned char *)row, strlen(row)};
}

static void draw(const poison *p, const char *account, const char *row, float *out) {
    poison_query query = query_of(account, row);
    poison_probabilities(p, &query, CLASSES, out);
}

Test(poison, probabilities_are_positive_and_sum_to_one) {
    float out[CLASSES];
    poison p;
    double sum = 0.0;
    poison_init(&p, secret);
    draw(&p, "mallory", "a row", out);
    for (size_t i = 0; i < CLASSES; i++) {
        cr_assert(out[i] > 0.0f && out[i] < 1.0f);
        sum += (double)out[i];
    }
    /* Each of 1,000 floats is off by at most half a unit in its last place: 3e-8 of the sum. */
    cr_assert_float_eq(sum, 1.0, 1e-7);
}

Test(poison, the_same_query_gets_the_same_answer_and_any_other_another) {
    float first[CLASSES];
    float other[CLASSES];
    poison p;
    poison_init(&p, secret);
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
    poison_init(&p, secret);
    draw(&p, "mallory", "a row", first);
    poison_init(&p, NULL);
    draw(&p, "mallory", "a row", other);
    cr_assert_neq(memcmp(first, other, sizeof first), 0);
    draw(&p, "mallory", "a row", first);
    poison_init(&p, NULL);
    draw(&p, "mallory", "a row", other);
    cr_assert_neq(memcmp(first, other, sizeof first), 0);
    poison_fini(&p);
    cr_assert(sodium_is_zero(p.secret, sizeof p.secret));
}

Test(poison, logits_are_uniform_over_their_whole_range) {
    enum { ROWS = 200, BINS = 20 };
    float out[CLASSES];
    size_t bin[BINS] = {0};
    poison p;
    poison_init(&p, secret);
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

Test(poison, labels_favour_no_class) {
    enum { ROWS = 20000, LABELS = 10 };
    size_t count[LABELS] = {0};
    poison p;
    poison_init(&p, secret);
    for (int row = 0; row < ROWS; row++) {
        char text[16];
        snprintf(text, sizeof text, "row %d", row);
        poison_query query = query_of("mallory", text);
        uint32_t label = poison_label(&p, &query, LABELS);
        cr_assert_lt(label, LABELS);
        count[label]++;
    }
    for (size_t i = 0; i < LABELS; i++) {
        /* Five standard deviations of a binomial with n = 20,000, p = 0.1 are 212. */
        cr_assert(count[i] > 1788 && count[i] < 2212, "label %zu came %zu times", i, count[i]);
    }
}

Test(policy, a_full_window_above_the_threshold_is_poisoned_and_a_short_one_is_warming) {
    policy p = {.has_threshold = true, .threshold = 10.0, .fill_min = 16};
    cr_assert_eq(policy_decide(&p, 10.0, 16), POLICY_ALLOW);
    cr_assert_eq(policy_decide(&p, 10.0001, 16), POLICY_POISON);
    cr_assert_eq(policy_decide(&p, 1e9, 15), POLICY_WARMING);
    cr_assert_eq(policy_decide(&p, 1.0, 15), POLICY_WARMING);
    cr_assert_eq(policy_decide(&p, (double)NAN, 16), POLICY_POISON,
                 "what is no number is not honest");
    cr_assert_eq(policy_decide(&p, (double)INFINITY, 16), POLICY_POISON);
}

Test(policy, without_a_threshold_everything_is_allowed) {
    policy p = {.has_threshold = false, .fill_min = 16};
    cr_assert_eq(policy_decide(&p, 1e9, 16), POLICY_ALLOW);
    cr_assert_eq(policy_decide(&p, 1e9, 1), POLICY_ALLOW);
}

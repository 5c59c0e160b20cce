/*
 * test_mixture.c - which classes simulated accounts ask about.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>

#include "mixture.h"

enum { CLASSES = 6, ACCOUNTS = 6000 };
/* One class that nobody has rows of. */
static const size_t count[CLASSES] = {10, 20, 0, 30, 40, 50};

static size_t classes_of(const double *running) {
    size_t classes = running[0] > 0.0;
    for (size_t c = 1; c < CLASSES; c++) {
        classes += running[c] > running[c - 1];
    }
    return classes;
}

Test(mixture, an_account_of_few_classes_has_that_many_each_as_often_and_in_the_datas_shares) {
    sampling_random random = {5};
    for (mixture_kind kind = MIXTURE_ONE; kind <= MIXTURE_THREE; kind++) {
        size_t few = (size_t)kind + 1;
        size_t held[CLASSES] = {0};
        for (size_t i = 0; i < ACCOUNTS; i++) {
            double running[CLASSES];
            mixture_draw(&random, kind, count, CLASSES, running);
            cr_assert_eq(classes_of(running), few);
            for (size_t c = 0; c < CLASSES; c++) {
                double share = running[c] - (c > 0 ? running[c - 1] : 0.0);
                cr_assert(share == 0.0 || share == (double)count[c]);
                held[c] += share > 0.0;
            }
        }
        for (size_t c = 0; c < CLASSES; c++) {
            /* Binomial: six standard deviations of 6,000 draws. */
            double expected = count[c] > 0 ? (double)few / 5.0 : 0.0;
            double allowed = 6.0 * sqrt(expected * (1.0 - expected) / ACCOUNTS);
            cr_assert(fabs((double)held[c] / ACCOUNTS - expected) <= allowed, "class %zu", c);
        }
    }
}

Test(mixture, of_fewer_classes_than_wanted_all_are_taken) {
    sampling_random random = {5};
    static const size_t two[CLASSES] = {0, 3, 0, 0, 4, 0};
    double running[CLASSES];
    mixture_draw(&random, MIXTURE_THREE, two, CLASSES, running);
    cr_assert(running[0] == 0.0 && running[1] == 3.0 && running[5] == 7.0);
}

Test(mixture, dirichlet_shares_have_the_mean_and_the_spread_of_their_alpha) {
    sampling_random random = {7};
    double sum = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < ACCOUNTS; i++) {
        double running[CLASSES];
        mixture_draw(&random, MIXTURE_DIRICHLET, count, CLASSES, running);
        double share = (running[4] - running[3]) / running[CLASSES - 1];
        sum += share / ACCOUNTS;
        squares += share * share / ACCOUNTS;
    }
    /* Of five classes: mean 1/5, variance (1/5)(4/5) / (5 alpha + 1) with alpha 0.3. */
    double variance = 0.16 / 2.5;
    printf("Dirichlet share: mean %.4f, variance %.4f (%.4f)\n", sum, squares - sum * sum,
           variance);
    cr_assert(fabs(sum - 0.2) < 6.0 * sqrt(variance / ACCOUNTS));
    cr_assert(fabs(squares - sum * sum - variance) < 0.1 * variance);
}

Test(mixture, a_draw_lands_in_a_class_as_often_as_its_share) {
    sampling_random random = {9};
    double running[CLASSES];
    size_t landed[CLASSES] = {0};
    mixture_draw(&random, MIXTURE_ALL, count, CLASSES, running);
    for (size_t i = 0; i < ACCOUNTS; i++) {
        landed[mixture_pick(running, CLASSES, mixture_unit(&random))]++;
    }
    for (size_t c = 0; c < CLASSES; c++) {
        double expected = (double)count[c] / 150.0;
        double allowed = 6.0 * sqrt(expected * (1.0 - expected) / ACCOUNTS);
        cr_assert(fabs((double)landed[c] / ACCOUNTS - expected) <= allowed, "class %zu", c);
    }
}

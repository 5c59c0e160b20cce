/*
 * test_evidence.c - p-values, bets and sums against their definitions, and false alarms against
 * what was promised.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "alarms.h"
#include "evidence.h"
#include "sampling.h"

enum { CLASSES = 4, VALUES = 200, WINDOW = 16 };

static float values[CLASSES * VALUES];
static size_t first[CLASSES + 1];

/* Honest alignments 1/200, 2/200, ..., 1 in each class, and no windows. */
static evidence_options grid_options(void) {
    evidence_options o = {.classes = CLASSES,
                          .kinds = 1,
                          .alignment = {CLASSES, first, values},
                          .window_rows = WINDOW,
                          .rows_per_class = VALUES};
    for (size_t c = 0; c < CLASSES; c++) {
        first[c + 1] = (c + 1) * VALUES;
        for (size_t i = 0; i < VALUES; i++) {
            values[c * VALUES + i] = (float)(i + 1) / VALUES;
        }
    }
    for (size_t c = 0; c < EVIDENCE_CHANNELS; c++) {
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            o.limit[c][k] = 1e6;
        }
    }
    return o;
}

/* What a row of this rank among a class's values bets, over the mean of all ranks. */
static double bet_of(size_t rank) {
    double mean = 0.0;
    for (size_t r = 0; r <= VALUES; r++) {
        mean += evidence_bet(((double)r + 0.5) / (VALUES + 1)) / (VALUES + 1);
    }
    return evidence_bet(((double)rank + 0.5) / (VALUES + 1)) / mean;
}

static void observe_row(const evidence_rules *rules, evidence *e, uint32_t class, float alignment) {
    evidence_observe(rules, e,
                     &(evidence_observation){.rows = 1,
                                             .classes = &class,
                                             .alignments = &alignment,
                                             .fill = 1,
                                             .concentration = 1.0});
}

Test(evidence, the_bet_is_the_likelihood_ratio_of_a_shift_by_one_standard_deviation) {
    double worst = 0.0;
    for (double z = -6.0; z <= 8.0; z += 0.37) {
        /* Densities of N(1, 1) over N(0, 1) at z. */
        double ratio = exp(-0.5 * (z - 1.0) * (z - 1.0)) / exp(-0.5 * z * z);
        double p = 0.5 * erfc(z * sqrt(0.5));
        double error = fabs(evidence_bet(p) / ratio - 1.0);
        worst = error > worst ? error : worst;
    }
    printf("largest relative error of the bet: %.2e\n", worst);
    /* At z = -6 p is 1 - 1e-9, and its last bit moves z by 2e-8. */
    cr_assert_lt(worst, 1e-7);
    cr_assert_float_eq(evidence_bet(0.5), exp(-0.5), 1e-12, "the median");
}

Test(evidence, honest_ranks_bet_one_on_average) {
    evidence_options o = grid_options();
    evidence_rules *rules = evidence_open(&o);
    cr_assert_not_null(rules);
    double sum = 0.0;
    /* Rank r of 0 .. 200 has r honest values up to it. S_1 is the bet's logarithm where that is
     * positive; the others are made up from the definition. */
    for (size_t r = 0; r <= VALUES; r++) {
        evidence e = {0};
        observe_row(rules, &e, 1, ((float)r + 0.5f) / VALUES);
        double bet = bet_of(r);
        double expected = bet > 1.0 ? log(bet) : 0.0;
        cr_assert_float_eq((double)e.sum[EVIDENCE_ROWS][0], expected, 1e-5, "rank %zu", r);
        sum += bet / (VALUES + 1);
    }
    cr_assert_float_eq(sum, 1.0, 1e-12);
    evidence_close(rules);
}

Test(evidence, each_sum_is_pages_with_the_tolerance_of_its_share) {
    evidence_options o = grid_options();
    o.tolerance_deviations = 2.0;
    evidence_rules *rules = evidence_open(&o);
    evidence e = {0};
    double expected[EVIDENCE_SHARES] = {0};
    double worst = 0.0;
    sampling_random random = {7};
    double bets[VALUES + 1];
    for (size_t r = 0; r <= VALUES; r++) {
        bets[r] = bet_of(r);
    }
    for (size_t i = 0; i < 300; i++) {
        size_t rank = (size_t)(sampling_next(&random) % (i < 150 ? VALUES + 1 : 20));
        observe_row(rules, &e, (uint32_t)(i % CLASSES), ((float)rank + 0.5f) / VALUES);
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            double says[VALUES + 1];
            double m = 0.0;
            double v = 0.0;
            for (size_t r = 0; r <= VALUES; r++) {
                says[r] = log(1.0 - evidence_share[k] + evidence_share[k] * bets[r]);
                m += says[r] / (VALUES + 1);
            }
            for (size_t r = 0; r <= VALUES; r++) {
                v += (says[r] - m) * (says[r] - m) / (VALUES + 1);
            }
            /* Rows one at a time have no pairs: the concentration stays 1. */
            double next = expected[k] + says[rank] - 2.0 * sqrt(v / VALUES);
            expected[k] = next > 0.0 ? next : 0.0;
            double error = fabs(expected[k] - (double)e.sum[EVIDENCE_ROWS][k]);
            worst = error > worst ? error : worst;
        }
    }
    printf("largest error of a sum over 300 rows: %.2e\n", worst);
    cr_assert_lt(worst, 1e-3, "300 additions in float32 of sums up to some 500");
    evidence_close(rules);
}

Test(evidence, a_row_counts_by_the_kindest_of_the_data) {
    static float two[2 * CLASSES * VALUES];
    static size_t starts[2 * CLASSES + 1];
    evidence_options o = grid_options();
    for (size_t i = 0; i < 2 * CLASSES; i++) {
        starts[i + 1] = (i + 1) * VALUES;
        for (size_t j = 0; j < VALUES; j++) {
            /* The second kind is aligned worse by a half. */
            two[i * VALUES + j] = values[j] - (i < CLASSES ? 0.0f : 0.5f);
        }
    }
    o.kinds = 2;
    o.alignment = (evidence_honest){2 * CLASSES, starts, two};
    evidence_rules *both = evidence_open(&o);
    evidence_options usual = grid_options();
    evidence_rules *one = evidence_open(&usual);
    evidence lenient = {0};
    evidence strict = {0};
    observe_row(both, &lenient, 0, 0.01f);
    observe_row(one, &strict, 0, 0.01f);
    cr_assert_gt(strict.sum[EVIDENCE_ROWS][0], 1.0f);
    cr_assert_eq(lenient.sum[EVIDENCE_ROWS][0], 0.0f, "as good as half of the second kind");
    evidence_close(one);
    evidence_close(both);
}

Test(evidence, a_class_without_honest_rows_says_nothing) {
    evidence_options o = grid_options();
    first[2] = first[1]; /* class 1 is empty, class 2 has twice as many */
    evidence_rules *rules = evidence_open(&o);
    evidence e = {0};
    observe_row(rules, &e, 1, -1.0f);
    cr_assert_eq(e.sum[EVIDENCE_ROWS][0], 0.0f);
    observe_row(rules, &e, 2, -1.0f);
    cr_assert_gt(e.sum[EVIDENCE_ROWS][0], 1.0f);
    evidence_close(rules);
}

Test(evidence, rows_min_is_the_first_row_at_which_an_account_can_be_flagged) {
    evidence_options o = grid_options();
    for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
        o.limit[EVIDENCE_ROWS][k] = 12.0;
    }
    evidence_rules *rules = evidence_open(&o);
    evidence e = {0};
    size_t rows = 0;
    while (evidence_level(rules, &e, EVIDENCE_ROWS) <= 1.0) {
        observe_row(rules, &e, 0, -1.0f);
        rows++;
    }
    cr_assert_eq(rows, evidence_rows_min(rules), "%zu and %zu", rows, evidence_rows_min(rules));
    for (size_t i = 0; i < 100000; i++) {
        observe_row(rules, &e, 0, -1.0f);
    }
    cr_assert_leq(evidence_level(rules, &e, EVIDENCE_ROWS), 2.0, "held back: it can come down");
    evidence_close(rules);
}

Test(evidence, windows_count_once_per_window_of_rows) {
    static float excess[100];
    size_t starts[2] = {0, 100};
    evidence_options o = grid_options();
    for (size_t i = 0; i < 100; i++) {
        excess[i] = (float)i;
    }
    o.excess = (evidence_honest){1, starts, excess};
    evidence_rules *rules = evidence_open(&o);
    evidence e = {0};
    uint32_t classes[WINDOW] = {0};
    float alignments[WINDOW];
    for (size_t i = 0; i < WINDOW; i++) {
        alignments[i] = 1.0f;
    }
    evidence_observation half = {.rows = WINDOW / 2,
                                 .classes = classes,
                                 .alignments = alignments,
                                 .excess = 1000.0,
                                 .fill = WINDOW / 2,
                                 .concentration = 1.0};
    evidence_observe(rules, &e, &half);
    cr_assert_eq(e.sum[EVIDENCE_WINDOWS][0], 0.0f, "half a window");
    evidence_observe(rules, &e, &half);
    float once = e.sum[EVIDENCE_WINDOWS][0];
    cr_assert_gt(once, 1.0f);
    evidence_observe(rules, &e, &half);
    cr_assert_eq(e.sum[EVIDENCE_WINDOWS][0], once, "its rows are in no new window");
    evidence_close(rules);
}

/* Honest accounts of a world of their own: alignments uniform in (0, 1), of which each class shows
 * VALUES to calibrate on. */
static float uniform(sampling_random *random) {
    return (float)(sampling_next(random) >> 40) * 0x1p-24f;
}

static int float_order(const void *left, const void *right) {
    float a = *(const float *)left;
    float b = *(const float *)right;
    return (a > b) - (a < b);
}

/* How many accounts were flagged that a share of whose rows comes from the worst tenth. */
static size_t flagged_of(const evidence_rules *rules, sampling_random *random, size_t accounts,
                         size_t queries, double hostile, bool one_class) {
    size_t flagged = 0;
    for (size_t a = 0; a < accounts; a++) {
        evidence e = {0};
        bool is_flagged = false;
        for (size_t done = 0; done < queries && !is_flagged; done += WINDOW) {
            uint32_t classes[WINDOW];
            float alignments[WINDOW];
            double same = 0.0;
            size_t held[CLASSES] = {0};
            for (size_t i = 0; i < WINDOW; i++) {
                classes[i] = (uint32_t)(one_class ? a : sampling_next(random)) % CLASSES;
                same += 2.0 * (double)held[classes[i]]++;
                bool from_tail = (double)uniform(random) < hostile;
                alignments[i] = from_tail ? 0.1f * uniform(random) : uniform(random);
            }
            evidence_observe(
                rules, &e,
                &(evidence_observation){.rows = WINDOW,
                                        .classes = classes,
                                        .alignments = alignments,
                                        .fill = WINDOW,
                                        .concentration = same / (WINDOW * (WINDOW - 1))});
            is_flagged = evidence_level(rules, &e, EVIDENCE_ROWS) > 1.0;
        }
        flagged += is_flagged;
    }
    return flagged;
}

Test(alarms, honest_accounts_alarm_as_rarely_as_was_asked_and_thieves_do_not) {
    /* Over 20 samples to calibrate on, 1 % of honest accounts in 2,000 queries. */
    size_t flagged[2] = {0};
    size_t caught = 0;
    enum { SAMPLES = 20, ACCOUNTS = 100 };
    sampling_random random = {11};
    for (size_t sample = 0; sample < SAMPLES; sample++) {
        evidence_options o = grid_options();
        for (size_t i = 0; i < CLASSES * VALUES; i++) {
            values[i] = uniform(&random);
        }
        for (size_t c = 0; c < CLASSES; c++) {
            qsort(values + c * VALUES, VALUES, sizeof *values, float_order);
        }
        o.tolerance_deviations = 4.0;
        alarms_plan plan = {.share = 0.01, .queries = 2000, .accounts = 400, .seed = sample};
        cr_assert(alarms_limits(&o, &plan));
        evidence_rules *rules = evidence_open(&o);
        flagged[0] += flagged_of(rules, &random, ACCOUNTS, 2000, 0.0, false);
        flagged[1] += flagged_of(rules, &random, ACCOUNTS, 2000, 0.0, true);
        caught += flagged_of(rules, &random, ACCOUNTS, 500, 0.5, false);
        evidence_close(rules);
    }
    printf("flagged of %d: %zu honest of all classes, %zu honest of one class, %zu thieves\n",
           SAMPLES * ACCOUNTS, flagged[0], flagged[1], caught);
    /* 20 of 2,000 are asked for; 4.5 standard deviations above are 40. */
    cr_assert_leq(flagged[0], 40);
    cr_assert_leq(flagged[1], 40);
    cr_assert_geq(caught, SAMPLES * ACCOUNTS - 2);
}

Test(alarms, a_stricter_promise_never_lowers_a_limit) {
    evidence_options loose = grid_options();
    evidence_options strict = grid_options();
    alarms_plan plan = {.share = 0.05, .queries = 1000, .accounts = 400, .seed = 3};
    loose.tolerance_deviations = strict.tolerance_deviations = 4.0;
    cr_assert(alarms_limits(&loose, &plan));
    plan.share = 0.0005;
    cr_assert(alarms_limits(&strict, &plan));
    for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
        cr_assert_geq(strict.limit[EVIDENCE_ROWS][k], loose.limit[EVIDENCE_ROWS][k]);
    }
}

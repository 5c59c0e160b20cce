/*
 * test_benign.c - what `adder calibrate` measures, against plain arithmetic and against honest
 * queries it has not seen.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "benign.h"
#include "dataset.h"
#include "evidence.h"
#include "ladder.h"
#include "reference.h"
#include "sampling.h"
#include "scorer.h"

#define REAL TEST_DATA "/d64"
enum { ERROR_BYTES = 512, WINDOW = 16 };

static char error[ERROR_BYTES];

static reference *make_reference(void) {
    reference *made;
    cr_assert(reference_make_from_statistics(&made, REAL "/ref_mean.f32.npy",
                                             REAL "/ref_cov.f32.npy", &(reference_recipe){0}, error,
                                             sizeof error),
              "%s", error);
    return made;
}

static dataset load_half(const char *name, size_t first) {
    char embeddings[256];
    char classes[256];
    dataset data = {0};
    snprintf(embeddings, sizeof embeddings, REAL "/src/%s.emb.f16.npy", name);
    snprintf(classes, sizeof classes, REAL "/src/%s.pred.u8.npy", name);
    dataset_files files = {.embeddings = embeddings,
                           .classes = classes,
                           .range = {first, SIZE_MAX, 2},
                           .dim = 64,
                           .class_count = 10};
    cr_assert(dataset_load(&data, &files, error, sizeof error), "%s", error);
    return data;
}

static reference *measured(const dataset *data, size_t kinds) {
    reference *made = make_reference();
    benign_plan plan = {.data = data,
                        .kinds = kinds,
                        .window_rows = WINDOW,
                        .fpr = 0.01,
                        .false_alarms = 0.01,
                        .queries = 1000,
                        .tolerance = 4.0,
                        .accounts = 400,
                        .seed = 3};
    cr_assert(benign_measure(&plan, made, error, sizeof error), "%s", error);
    return made;
}

Test(ladder, rungs_double_with_one_between_and_end_with_the_window) {
    double rung[ENGINE_RUNGS_MAX];
    static const double sixteen[] = {1, 2, 3, 4, 6, 8, 12, 16};
    cr_assert_eq(ladder_rungs(16, rung), 8);
    for (size_t i = 0; i < 8; i++) {
        cr_assert(rung[i] == sixteen[i]);
    }
    cr_assert_eq(ladder_rungs(1, rung), 1);
    cr_assert_eq(ladder_rungs(5, rung), 5);
    cr_assert_eq(ladder_rungs(ENGINE_WINDOW_MAX, rung), ENGINE_RUNGS_MAX);
    cr_assert(rung[ENGINE_RUNGS_MAX - 1] == ENGINE_WINDOW_MAX);
}

/* One row has no spread of its own: d2 = tr S_c + |x - m_c|^2. */
Test(ladder, one_row_is_the_trace_and_the_mean_square_distance) {
    dataset data = load_half("benign_test", 0);
    reference *made = measured(&data, 1);
    const reference_benign *b = made->benign;
    double worst = 0.0;
    for (size_t c = 0; c < 10; c++) {
        double sum = 0.0;
        double squares = 0.0;
        double n = 0.0;
        for (size_t i = 0; i < data.rows; i++) {
            double s = 0.0;
            for (size_t j = 0; data.classes[i] == c && j < 64; j++) {
                double d =
                    (double)dataset_row(&data, i)[j] - (double)made->statistics.mean[c * 64 + j];
                s += d * d;
            }
            sum += s;
            squares += s * s;
            n += data.classes[i] == c;
        }
        double mean = made->statistics.trace[c] + sum / n;
        double variance = (squares - sum * sum / n) / (n - 1);
        worst = fmax(worst, fabs(b->window.mean[c * b->window.rungs] / mean - 1.0));
        /* The other classes count as 8 rows in a variance, this one as more than 200: some 4 % of
         * what lies between the smallest and the largest. */
        cr_assert(fabs(b->variance[c * b->window.rungs] / variance - 1.0) < 0.2);
    }
    printf("largest error of a mean: %.2g\n", worst);
    /* Up to 256 of a class's rows are taken, so a class of 261 is off by what five rows do. */
    cr_assert_lt(worst, 0.01);
    dataset_close(&data);
    reference_close(made);
}

Test(ladder, a_class_without_honest_rows_goes_on_as_the_others) {
    dataset data = load_half("benign_test", 0);
    size_t kept = 0;
    for (size_t i = 0; i < data.rows; i++) {
        if (data.classes[i] != 7) {
            data.classes[kept] = data.classes[i];
            for (size_t j = 0; j < 64; j++) {
                data.embeddings[kept * 64 + j] = data.embeddings[i * 64 + j];
            }
            kept++;
        }
    }
    data.rows = kept;
    reference *made = measured(&data, 1);
    const engine_benign *w = &made->benign->window;
    for (size_t r = 0; r < w->rungs; r++) {
        double low = INFINITY;
        double high = 0.0;
        for (size_t c = 0; c < 10; c++) {
            double here = w->mean[c * w->rungs + r] / made->statistics.trace[c];
            low = c == 7 ? low : fmin(low, here);
            high = c == 7 ? high : fmax(high, here);
        }
        double lone = w->mean[7 * w->rungs + r] / made->statistics.trace[7];
        cr_assert(lone > low && lone < high, "rung %zu: %g in %g..%g", r, lone, low, high);
    }
    dataset_close(&data);
    reference_close(made);
}

Test(benign, honest_queries_that_are_alike_or_too_few_make_no_tables) {
    dataset data = load_half("benign_test", 0);
    reference *made = make_reference();
    data.rows = 1;
    benign_plan plan = {
        .data = &data, .kinds = 1, .window_rows = 1, .queries = 10, .accounts = 400};
    cr_assert_not(benign_measure(&plan, made, error, sizeof error));
    cr_assert_str_eq(error, "no class has two honest rows to measure a spread of");
    dataset_close(&data);
    reference_close(made);
}

/* Excesses of windows that share no row, drawn: the file goes class by class. */
static void window_excesses(const reference *made, const dataset *data, size_t windows,
                            engine_result *results) {
    size_t *first = calloc(windows + 1, sizeof *first);
    uint32_t *row = calloc(data->rows, sizeof *row);
    for (size_t i = 0; i < data->rows; i++) {
        row[i] = (uint32_t)i;
    }
    for (size_t i = 0; i < windows; i++) {
        first[i + 1] = (i + 1) * WINDOW;
    }
    sampling_shuffle(&(sampling_random){5}, row, data->rows, data->rows);
    scorer *scorer = scorer_open(made, WINDOW, error, sizeof error);
    scorer_windows chosen = {.data = data, .windows = windows, .first = first, .row = row};
    cr_assert(scorer_run(scorer, &chosen, results, NULL));
    scorer_close(scorer);
    free(row);
    free(first);
}

Test(benign, the_excess_of_honest_windows_not_calibrated_on_is_a_standard_deviation_around_zero) {
    dataset held = load_half("benign_test", 0);
    dataset fresh = load_half("benign_test", 1);
    reference *made = measured(&held, 1);
    enum { WINDOWS = 156 };
    static engine_result results[WINDOWS];
    window_excesses(made, &fresh, WINDOWS, results);
    double sum = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < WINDOWS; i++) {
        sum += results[i].excess;
        squares += results[i].excess * results[i].excess;
    }
    double mean = sum / WINDOWS;
    double deviation = sqrt(squares / WINDOWS - mean * mean);
    printf("excess of %d honest windows: mean %.3f, standard deviation %.3f\n", WINDOWS, mean,
           deviation);
    /* A mean of 156 is uncertain by 0.08; the tables, by 250 rows a class, add as much; three
     * standard deviations of both together are 0.34. */
    cr_assert(fabs(mean) < 0.4, "%g", mean);
    cr_assert(deviation > 0.75 && deviation < 1.35, "%g", deviation);
    dataset_close(&held);
    dataset_close(&fresh);
    reference_close(made);
}

Test(benign, a_second_kind_of_honest_data_has_lists_of_its_own) {
    dataset data[2] = {load_half("benign_test", 0), load_half("benign_shift", 0)};
    reference *made = measured(data, 2);
    const evidence_options *e = &made->benign->evidence;
    cr_assert_eq(made->benign->rows, data[0].rows + data[1].rows);
    cr_assert_eq(e->alignment.first[10], data[0].rows);
    cr_assert_eq(e->alignment.first[20], data[0].rows + data[1].rows);
    const float *usual = e->excess.value + e->excess.first[4];
    const float *shifted = e->excess.value + e->excess.first[9];
    size_t middle = (e->excess.first[5] - e->excess.first[4]) / 2;
    cr_assert(fabsf(usual[middle]) < 0.5f, "%g", (double)usual[middle]);
    cr_assert(shifted[middle] > usual[middle], "the ladder is that of the usual data");
    for (size_t i = 0; i < EVIDENCE_CHANNELS * EVIDENCE_SHARES; i++) {
        cr_assert(e->limit[i / EVIDENCE_SHARES][i % EVIDENCE_SHARES] > 0.0);
    }
    cr_assert(e->window_limit > 0.0);
    dataset_close(&data[0]);
    dataset_close(&data[1]);
    reference_close(made);
}

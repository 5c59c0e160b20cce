/*
 * test_fit.c - moments against a naive float64 loop, factors against their own product.
 */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit.h"

/* splitmix64, and a sum of uniforms near enough to a normal. */
static double normal(uint64_t *state) {
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        uint64_t z = *state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        sum += (double)((z ^ z >> 31) >> 11) * 0x1p-53;
    }
    return sum;
}

static double *allocate(size_t count) {
    double *values = calloc(count, sizeof(*values));
    cr_assert_not_null(values);
    return values;
}

/* Columns of very different spread, mixed with their neighbours, around `offset`. */
static double *make_rows(size_t count, size_t dim, double offset, uint64_t seed) {
    double *rows = allocate(count * dim);
    for (size_t i = 0; i < count; i++) {
        double last = 0;
        for (size_t j = 0; j < dim; j++) {
            last = 0.5 * last + normal(&seed) / (double)(1 + j % 7);
            rows[i * dim + j] = last + offset;
        }
    }
    return rows;
}

/* The textbook, one pair of columns at a time. */
static double *naive_covariance(const double *rows, size_t count, size_t dim, double *mean) {
    double *covariance = allocate(dim * dim);
    for (size_t j = 0; j < dim; j++) {
        long double sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += rows[i * dim + j];
        }
        mean[j] = (double)(sum / (long double)count);
    }
    for (size_t a = 0; a < dim; a++) {
        for (size_t b = 0; b < dim; b++) {
            long double sum = 0;
            for (size_t i = 0; i < count; i++) {
                sum += (long double)(rows[i * dim + a] - mean[a]) * (rows[i * dim + b] - mean[b]);
            }
            covariance[a * dim + b] = (double)(sum / (long double)count);
        }
    }
    return covariance;
}

static double largest(const double *values, size_t count) {
    double found = 0;
    for (size_t i = 0; i < count; i++) {
        found = fmax(found, fabs(values[i]));
    }
    return found;
}

static double difference(const double *a, const double *b, size_t count) {
    double found = 0;
    for (size_t i = 0; i < count; i++) {
        found = fmax(found, fabs(a[i] - b[i]));
    }
    return found;
}

static void expect_moments(size_t count, size_t dim, double offset, double tolerance) {
    double *rows = make_rows(count, dim, offset, 1 + count);
    double *mean = allocate(dim);
    double *covariance = allocate(dim * dim);
    double *mean_naive = allocate(dim);
    double *naive = naive_covariance(rows, count, dim, mean_naive);

    cr_assert_eq(fit_moments(rows, count, dim, mean, covariance), FIT_OK);

    double scale = fmax(largest(naive, dim * dim), DBL_MIN);
    double worst = difference(covariance, naive, dim * dim) / scale;
    double worst_mean = difference(mean, mean_naive, dim) / (1 + fabs(offset));
    printf("%zu x %zu + %g: covariance off by %.2g, mean by %.2g\n", count, dim, offset, worst,
           worst_mean);
    cr_assert_leq(worst, tolerance, "%zu x %zu + %g: %g", count, dim, offset, worst);
    cr_assert_leq(worst_mean, 1e-13, "%zu x %zu + %g: %g", count, dim, offset, worst_mean);
    free(rows);
    free(mean);
    free(covariance);
    free(mean_naive);
    free(naive);
}

/* 1e-13: sums of a few thousand terms of float64, rounded at random. */
Test(fit, moments_are_those_of_the_naive_loop) {
    expect_moments(1, 5, 0, 1e-13);
    expect_moments(2, 1, 0, 1e-13);
    expect_moments(300, 17, 0, 1e-13);
    expect_moments(77, 130, 0, 1e-13);
}

/* x - mean loses 1e4 * DBL_EPSILON = 2e-12 of a spread of 1 at most. */
Test(fit, an_offset_of_1e4_costs_the_covariance_nothing) {
    expect_moments(500, 40, 1e4, 4e-12);
}

/* 4 MiB of float64 is one block: this is five of them, the last a short one. */
Test(fit, blocks_join_without_a_seam) {
    expect_moments(20000 + 3, 120, 3, 1e-12);
}

Test(fit, a_row_that_is_not_finite_is_refused) {
    double bad[] = {NAN, INFINITY, -INFINITY, 1e308};
    for (size_t i = 0; i < 4; i++) {
        double rows[] = {1, 2, 3, bad[i], 5, i == 3 ? 1e308 : 6};
        double mean[2];
        double covariance[4];
        cr_assert_eq(fit_moments(rows, 3, 2, mean, covariance), FIT_NOT_FINITE, "case %zu", i);
    }
}

/* S = A A^T of a random A [dim, rank]. */
static double *make_covariance(size_t dim, size_t rank, uint64_t seed) {
    double *a = allocate(dim * (rank + 1));
    double *s = allocate(dim * dim);
    for (size_t i = 0; i < dim * rank; i++) {
        a[i] = normal(&seed) / (double)(1 + i % rank);
    }
    for (size_t i = 0; i < dim; i++) {
        for (size_t j = 0; j < dim; j++) {
            for (size_t k = 0; k < rank; k++) {
                s[i * dim + j] += a[i * rank + k] * a[j * rank + k];
            }
        }
    }
    free(a);
    return s;
}

static double *product(const double *factor, size_t dim) {
    double *s = allocate(dim * dim);
    for (size_t i = 0; i < dim; i++) {
        for (size_t j = 0; j < dim; j++) {
            for (size_t k = 0; k < dim; k++) {
                s[i * dim + j] += factor[i * dim + k] * factor[j * dim + k];
            }
        }
    }
    return s;
}

static double column_square(const double *factor, size_t dim, size_t column) {
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        sum += factor[i * dim + column] * factor[i * dim + column];
    }
    return sum;
}

static void expect_factor(size_t dim, size_t rank_true) {
    double *s = rank_true == 0 ? allocate(dim * dim) : make_covariance(dim, rank_true, dim);
    double *copy = allocate(dim * dim);
    double *factor = allocate(dim * dim);
    double trace_true = 0;
    memcpy(copy, s, dim * dim * sizeof(*s));
    for (size_t i = 0; i < dim; i++) {
        trace_true += s[i * dim + i];
    }

    size_t rank;
    double trace;
    double detail;
    cr_assert_eq(fit_factor(copy, dim, factor, &rank, &trace, &detail), FIT_OK);

    double *back = product(factor, dim);
    double worst = difference(back, s, dim * dim) / fmax(largest(s, dim * dim), DBL_MIN);
    printf("dim %zu, rank %zu: F F^T off by %.2g\n", dim, rank, worst);
    /* 1e-12: LAPACK's eigenvectors are good to about dim * DBL_EPSILON = 3e-14. */
    cr_assert_leq(worst, 1e-12, "dim %zu: %g", dim, worst);
    cr_assert_eq(rank, rank_true, "dim %zu: rank %zu, not %zu", dim, rank, rank_true);
    cr_assert_leq(fabs(trace - trace_true), 1e-12 * trace_true);
    for (size_t j = 0; j < dim; j++) {
        double square = column_square(factor, dim, j);
        cr_assert((square > 0) == (j < rank), "column %zu", j);
        cr_assert(j == 0 || square <= column_square(factor, dim, j - 1) * (1 + 1e-12));
    }
    free(s);
    free(copy);
    free(factor);
    free(back);
}

Test(fit, a_factor_times_its_transpose_is_the_covariance_and_columns_fall) {
    expect_factor(1, 1);
    expect_factor(7, 7);
    expect_factor(64, 64);
    expect_factor(129, 129);
}

Test(fit, a_rank_deficient_covariance_has_its_own_rank_and_zero_columns) {
    expect_factor(20, 5);
    expect_factor(130, 1);
    expect_factor(6, 0);
}

static fit_status factor_of(const double *s, size_t dim, double *detail) {
    double copy[16];
    double factor[16];
    size_t rank;
    double trace;
    memcpy(copy, s, dim * dim * sizeof(*s));
    return fit_factor(copy, dim, factor, &rank, &trace, detail);
}

Test(fit, asymmetry_is_refused_beyond_its_tolerance_and_measured) {
    double detail;
    double within[] = {4, 1 + 2e-5, 1 - 1e-5, 2};
    double beyond[] = {4, 1 + 1e-4, 1, 2};
    cr_assert_eq(factor_of(within, 2, &detail), FIT_OK);
    cr_assert_eq(factor_of(beyond, 2, &detail), FIT_NOT_SYMMETRIC);
    cr_assert_leq(fabs(detail - 1e-4 / 4), 1e-12, "%g", detail);
}

Test(fit, a_negative_eigenvalue_is_refused_beyond_its_tolerance_and_measured) {
    double detail;
    double within[] = {2, 0, 0, -1e-4};
    double beyond[] = {2, 0, 0, -1e-3};
    double negative[] = {-2, 0, 0, -1};
    cr_assert_eq(factor_of(within, 2, &detail), FIT_OK);
    cr_assert_eq(factor_of(beyond, 2, &detail), FIT_INDEFINITE);
    cr_assert_leq(fabs(detail + 5e-4), 1e-12, "%g", detail);
    cr_assert_eq(factor_of(negative, 2, &detail), FIT_INDEFINITE);
    cr_assert_leq(fabs(detail + 1), 1e-12, "%g", detail);
}

Test(fit, a_covariance_that_is_not_finite_is_refused) {
    double detail;
    double with_nan[] = {2, NAN, 1, 2};
    double with_infinity[] = {2, 0, 0, INFINITY};
    cr_assert_eq(factor_of(with_nan, 2, &detail), FIT_NOT_FINITE);
    cr_assert_eq(factor_of(with_infinity, 2, &detail), FIT_NOT_FINITE);
}

Test(fit, every_status_has_a_text) {
    for (int status = FIT_OK; status <= FIT_NO_CONVERGENCE; status++) {
        cr_assert_str_neq(fit_status_text((fit_status)status), "unknown status");
    }
}

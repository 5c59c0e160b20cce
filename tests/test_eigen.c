/*
 * test_eigen.c - that sums of square roots of eigenvalues are what LAPACK makes of them, by the
 * warp's kernel and by both of cuSOLVER's ways, on the CUDA stand-in.
 */
#include "eigen_matrices.h"
#include "eigen_probe.h"
#include "standin.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 32, DOUBLES = 1 << 16, COUNT_MAX = 64 };

static const char *const way_names[PROBE_WAYS] = {"auto", "warp", "syev", "syevj"};

static double matrices[DOUBLES];

static eigen_probe *open_probe(standin_order order, eigen_probe_way way, size_t order_max) {
    eigen_probe *p = NULL;
    standin_set_order(order);
    cr_assert_eq(eigen_probe_open(&p, way, order_max, sizeof matrices), ENGINE_OK);
    return p;
}

static void check_nothing_left(void) {
    standin_counts left = standin_count();
    cr_assert_eq(left.device_blocks + left.device_bytes + left.streams + left.handles, 0);
}

static void close_probe(eigen_probe *p) {
    eigen_probe_close(p);
    check_nothing_left();
}

static void sum_good(eigen_probe *p, size_t order, size_t count, double *sum) {
    bool failed = true;
    cr_assert_eq(eigen_probe_sum(p, matrices, order, count, sum, &failed), ENGINE_OK);
    cr_assert_not(failed);
}

/* Relative, absolute of a zero. */
static double error_of(double sum, double expected) {
    return fabs(sum - expected) / (expected > 0.0 ? expected : 1.0);
}

typedef struct {
    double lapack, truth;
} errors;

/* All variants of a kind in one batch; the largest errors. */
static errors check_kind(eigen_probe *p, matrix_kind kind, size_t order) {
    errors worst = {0};
    double sum[MATRIX_VARIANTS], lapack[MATRIX_VARIANTS], truth[MATRIX_VARIANTS];
    for (size_t v = 0; v < MATRIX_VARIANTS; v++) {
        double *a = matrices + v * order * order;
        matrix_make(kind, v, order, a);
        lapack[v] = matrix_lapack(a, order);
        truth[v] = matrix_truth(a, order);
    }
    sum_good(p, order, MATRIX_VARIANTS, sum);
    for (size_t v = 0; v < MATRIX_VARIANTS; v++) {
        worst.lapack = fmax(worst.lapack, error_of(sum[v], lapack[v]));
        worst.truth = fmax(worst.truth, error_of(sum[v], truth[v]));
    }
    return worst;
}

/* 1e-7 is near the worst of random matrices that eigen.cuh tells of, and a hundredth of a score's
 * contract. */
static void check_warp(standin_order order) {
    eigen_probe *p = open_probe(order, PROBE_WARP, SMALL);
    for (matrix_kind kind = 0; kind < MATRIX_KINDS; kind++) {
        errors worst = {0};
        for (size_t n = 1; n <= SMALL; n++) {
            errors one = check_kind(p, kind, n);
            worst.lapack = fmax(worst.lapack, one.lapack);
            worst.truth = fmax(worst.truth, one.truth);
        }
        printf("%-10s largest error against LAPACK %.1e, the truth %.1e\n", matrix_kind_names[kind],
               worst.lapack, worst.truth);
        cr_expect_lt(worst.lapack, 1e-7);
        cr_expect_lt(worst.truth, 1e-7);
    }
    close_probe(p);
}

Test(eigen, the_warps_sums_are_right_for_every_order_and_spectrum) {
    check_warp(STANDIN_FORWARD);
}

Test(eigen, the_warps_sums_are_right_with_its_lanes_run_backward) {
    check_warp(STANDIN_BACKWARD);
}

Test(eigen, a_sum_goes_with_the_root_of_the_scale) {
    static const double scale[] = {1e-30, 1e-15, 1.0, 1e15, 1e30};
    enum { SCALES = sizeof scale / sizeof *scale };
    double sum[SCALES], worst = 0.0;
    eigen_probe *p = open_probe(STANDIN_FORWARD, PROBE_WARP, SMALL);
    for (size_t n = 1; n <= SMALL; n += 3) {
        for (size_t s = 0; s < SCALES; s++) {
            matrix_make(MATRIX_CONDITION, 6, n, matrices + s * n * n);
            for (size_t i = 0; i < n * n; i++) {
                matrices[s * n * n + i] *= scale[s];
            }
        }
        sum_good(p, n, SCALES, sum);
        for (size_t s = 0; s < SCALES; s++) {
            worst = fmax(worst, error_of(sum[s], sum[2] * sqrt(scale[s])));
        }
    }
    printf("scales: largest error %.1e\n", worst);
    cr_assert_lt(worst, 1e-10, "but for rounding, which the smallest eigenvalues feel, the same");
    close_probe(p);
}

/* Sums of a batch of mixed kinds against LAPACK. */
static double batch_error(eigen_probe *p, size_t order, size_t count) {
    double sum[COUNT_MAX], worst = 0.0, expected[COUNT_MAX];
    for (size_t m = 0; m < count; m++) {
        matrix_make((matrix_kind)(m % MATRIX_KINDS), m % MATRIX_VARIANTS, order,
                    matrices + m * order * order);
        expected[m] = matrix_lapack(matrices + m * order * order, order);
    }
    sum_good(p, order, count, sum);
    for (size_t m = 0; m < count; m++) {
        worst = fmax(worst, error_of(sum[m], expected[m]));
    }
    return worst;
}

Test(eigen, every_way_agrees_with_lapack) {
    static const size_t orders[] = {1, 2, 15, 31, 32, 64, 128};
    for (eigen_probe_way way = 0; way < PROBE_WAYS; way++) {
        double worst = 0.0;
        eigen_probe *p = open_probe(STANDIN_BACKWARD, way, way == PROBE_WARP ? SMALL : 100);
        for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
            size_t most = eigen_probe_batch_max(p, orders[i]);
            cr_assert_eq(most > 0, way != PROBE_WARP || orders[i] <= SMALL);
            if (most > 0) {
                most = most < 13 ? most : 13; /* not a multiple of a block's warps */
                worst = fmax(worst, batch_error(p, orders[i], most));
            }
        }
        printf("%s: largest error %.1e\n", way_names[way], worst);
        cr_expect_lt(worst, 1e-7, "%s", way_names[way]);
        close_probe(p);
    }
}

Test(eigen, without_syev_batched_the_jacobi_solver_is_taken) {
    static const int refusals[] = {3, 9}; /* invalid value, not supported */
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        standin_fail("cusolverDnXsyevBatched_bufferSize", 1, refusals[i]);
        eigen_probe *p = open_probe(STANDIN_FORWARD, PROBE_AUTO, 64);
        standin_fail("cusolverDnXsyevBatched", 1, 7);
        cr_assert_lt(batch_error(p, 64, 3), 1e-12);
        standin_reset();
        close_probe(p);
    }
    eigen_probe *p = NULL;
    standin_fail("cusolverDnXsyevBatched_bufferSize", 1, 9);
    cr_assert_eq(eigen_probe_open(&p, PROBE_SYEV, 64, sizeof matrices), ENGINE_INTERNAL,
                 "it was asked for by name");
    check_nothing_left();
}

/* A matrix that is not finite spoils itself and nothing else, and is told. */
static void check_failure(eigen_probe_way way, size_t order, double value) {
    enum { COUNT = 6 };
    double sum[COUNT], expected[COUNT];
    bool failed = false;
    eigen_probe *p = open_probe(STANDIN_FORWARD, way, order);
    for (size_t m = 0; m < COUNT; m++) {
        matrix_make(MATRIX_GRAM, m, order, matrices + m * order * order);
        expected[m] = matrix_lapack(matrices + m * order * order, order);
    }
    matrices[2 * order * order + order - 1] = matrices[3 * order * order - order] = value;
    cr_assert_eq(eigen_probe_sum(p, matrices, order, COUNT, sum, &failed), ENGINE_OK);
    cr_assert(failed, "%s, order %zu", way_names[way], order);
    for (size_t m = 0; m < COUNT; m++) {
        cr_assert(m == 2 || error_of(sum[m], expected[m]) < 1e-8, "matrix %zu", m);
    }
    sum_good(p, order, 2, sum);
    close_probe(p);
}

Test(eigen, a_matrix_that_is_not_finite_is_told) {
    check_failure(PROBE_WARP, 1, NAN);
    check_failure(PROBE_WARP, 2, NAN);
    check_failure(PROBE_WARP, 7, INFINITY);
    check_failure(PROBE_WARP, 32, NAN);
    check_failure(PROBE_SYEV, 64, NAN);
    check_failure(PROBE_SYEVJ, 64, NAN);
}

Test(eigen, what_does_not_fit_is_refused) {
    double sum[1];
    bool failed = false;
    eigen_probe *p = NULL;
    cr_assert_eq(eigen_probe_padded(1), 1);
    cr_assert_eq(eigen_probe_padded(32), 32);
    cr_assert_eq(eigen_probe_padded(33), 64);
    cr_assert_eq(eigen_probe_padded(256), 256);
    cr_assert_eq(eigen_probe_padded(257), 512);
    cr_assert_eq(eigen_probe_open(&p, PROBE_AUTO, 0, sizeof matrices), ENGINE_BAD_ARGUMENT);
    cr_assert_eq(eigen_probe_open(&p, PROBE_WARP, 33, sizeof matrices), ENGINE_BAD_ARGUMENT);
    cr_assert_eq(eigen_probe_open(&p, PROBE_AUTO, 40, 64 * 64 * 8 - 1), ENGINE_BAD_ARGUMENT);
    cr_assert_null(p);
    p = open_probe(STANDIN_FORWARD, PROBE_AUTO, 40);
    cr_assert_eq(eigen_probe_batch_max(p, 64), DOUBLES / (64 * 64));
    cr_assert_eq(eigen_probe_batch_max(p, 1), DOUBLES);
    cr_assert_eq(eigen_probe_batch_max(p, 65), 0);
    cr_assert_eq(eigen_probe_batch_max(p, 0), 0);
    cr_assert_eq(eigen_probe_sum(p, matrices, 40, 1, sum, &failed), ENGINE_BAD_ARGUMENT);
    cr_assert_eq(eigen_probe_sum(p, matrices, 64, DOUBLES / (64 * 64) + 1, sum, &failed),
                 ENGINE_BAD_ARGUMENT);
    size_t launches = standin_count().launches;
    sum_good(p, 64, 0, sum);
    cr_assert_eq(standin_count().launches, launches);
    close_probe(p);
    eigen_probe_close(NULL);
}

Test(eigen, a_batch_of_cusolver_is_never_larger_than_it_takes) {
    eigen_probe *p = open_probe(STANDIN_FORWARD, PROBE_SYEV, 1);
    cr_assert_eq(eigen_probe_batch_max(p, 1), 1 << 14);
    close_probe(p);
}

Test(eigen, the_warp_alone_takes_no_device_memory) {
    eigen_probe *p = open_probe(STANDIN_FORWARD, PROBE_AUTO, SMALL);
    cr_assert_eq(standin_count().device_bytes, 2 * sizeof matrices + sizeof(int));
    close_probe(p);
}

Test(eigen, every_call_can_fail_and_leaves_nothing) {
    static const int codes[] = {2, 7, 719}; /* the last loses the device for the runtime's calls */
    double sum[2];
    bool failed;
    eigen_probe *p = open_probe(STANDIN_FORWARD, PROBE_AUTO, 64);
    size_t before = standin_count().calls;
    close_probe(p);
    before = standin_count().calls;
    p = open_probe(STANDIN_FORWARD, PROBE_AUTO, 64);
    size_t opening = standin_count().calls - before;
    matrix_make(MATRIX_GRAM, 0, 64, matrices);
    sum_good(p, 64, 1, sum);
    size_t calls = standin_count().calls - before;
    close_probe(p);
    for (size_t c = 0; c < sizeof codes / sizeof *codes; c++) {
        for (unsigned nth = 1; nth <= calls; nth++) {
            standin_fail(NULL, nth, codes[c]);
            engine_status status = eigen_probe_open(&p, PROBE_AUTO, 64, sizeof matrices);
            cr_assert_eq(status != ENGINE_OK, nth <= opening, "call %u", nth);
            if (status == ENGINE_OK) {
                cr_assert_neq(eigen_probe_sum(p, matrices, 64, 1, sum, &failed), ENGINE_OK);
            }
            standin_fail(NULL, 0, 0);
            close_probe(p);
            standin_reset();
        }
    }
}

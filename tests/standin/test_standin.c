/*
 * test_standin.c - that the CUDA stand-in computes what CUDA does, and sees what CUDA would punish.
 */
#include "probe.h"
#include "standin.h"

#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ok(call) cr_assert_eq((call), ENGINE_OK, "%s", probe_failure_text())

static probe *open_probe(standin_order order) {
    probe *p = NULL;
    standin_set_order(order);
    ok(probe_open(&p));
    return p;
}

/* Closes it; nothing of it may be left. */
static void close_probe(probe *p) {
    probe_close(p);
    standin_counts left = standin_count();
    cr_assert_eq(left.device_blocks + left.host_blocks + left.streams + left.events + left.graphs +
                     left.handles + left.device_bytes,
                 0);
}

static double uniform(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24) - 0.5;
}

static void check_sums(standin_order order) {
    static const unsigned threads[] = {32, 64, 96, 256, 1024};
    float in[PROBE_FLOATS];
    for (size_t i = 0; i < PROBE_FLOATS; i++) {
        in[i] = (float)(i % 13); /* so that every partial sum is exact */
    }
    probe *p = open_probe(order);
    for (size_t n = 1; n < PROBE_FLOATS; n = n * 3 + 2) {
        float expected = 0.0f, sum = -1.0f;
        for (size_t i = 0; i < n; i++) {
            expected += in[i];
        }
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
            ok(probe_sum(p, in, n, threads[t], &sum));
            cr_assert_eq(sum, expected, "%zu values, %u threads", n, threads[t]);
        }
    }
    close_probe(p);
}

Test(standin, sums_with_shuffles_and_shared_memory_in_both_orders) {
    check_sums(STANDIN_FORWARD);
    check_sums(STANDIN_BACKWARD);
}

/* Wrong values, NaN among them, of the kernel that adds neighbours. */
static unsigned wrong_neighbours(standin_order order, unsigned n, probe_barrier barrier) {
    float in[64], out[64];
    for (unsigned i = 0; i < n; i++) {
        in[i] = (float)i;
    }
    probe *p = open_probe(order);
    ok(probe_neighbours(p, in, n, barrier, out));
    close_probe(p);
    unsigned wrong = 0;
    for (unsigned i = 0; i < n; i++) {
        wrong += !(out[i] == in[i] + (i > 0 ? in[i - 1] : 0.0f));
    }
    return wrong;
}

Test(standin, shows_a_missing_barrier_in_one_of_the_orders) {
    cr_assert_eq(wrong_neighbours(STANDIN_FORWARD, 64, PROBE_SYNCTHREADS), 0);
    cr_assert_eq(wrong_neighbours(STANDIN_BACKWARD, 64, PROBE_SYNCTHREADS), 0);
    cr_assert_eq(wrong_neighbours(STANDIN_FORWARD, 64, PROBE_NO_BARRIER), 0, "why both are run");
    cr_assert_eq(wrong_neighbours(STANDIN_BACKWARD, 64, PROBE_NO_BARRIER), 63);
}

Test(standin, a_warp_barrier_is_enough_in_a_warp_and_not_between_two) {
    cr_assert_eq(wrong_neighbours(STANDIN_FORWARD, 32, PROBE_SYNCWARP), 0);
    cr_assert_eq(wrong_neighbours(STANDIN_BACKWARD, 32, PROBE_SYNCWARP), 0);
    cr_assert_eq(wrong_neighbours(STANDIN_BACKWARD, 64, PROBE_SYNCWARP), 1);
}

/* Commits a fault in a child, which must die with this on its stderr. */
static void check_death(probe_fault fault, standin_order order, const char *text) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        probe *p = NULL;
        dup2(ends[1], STDERR_FILENO);
        standin_set_order(order);
        if (probe_open(&p) == ENGINE_OK) {
            probe_commit(p, fault);
        }
        _exit(0);
    }
    close(ends[1]);
    char said[1 << 16];
    size_t used = 0;
    for (ssize_t got; used < sizeof said - 1 &&
                      (got = read(ends[0], said + used, sizeof said - 1 - used)) > 0;) {
        used += (size_t)got;
    }
    said[used] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert_neq(status, 0, "fault %d: survived", fault);
    cr_assert_not_null(strstr(said, text), "fault %d: no \"%s\" in: %s", fault, text, said);
}

static void check_deaths(probe_fault fault, const char *text) {
    check_death(fault, STANDIN_FORWARD, text);
    check_death(fault, STANDIN_BACKWARD, text);
}

Test(standin, address_sanitizer_sees_memory_faults) {
#ifdef __SANITIZE_ADDRESS__
    check_deaths(PROBE_GLOBAL_OVERRUN, "AddressSanitizer: heap-buffer-overflow");
    check_deaths(PROBE_STATIC_OVERRUN, "AddressSanitizer: heap-buffer-overflow");
    check_deaths(PROBE_DYNAMIC_OVERRUN, "AddressSanitizer: heap-buffer-overflow");
    check_deaths(PROBE_LOCAL_OVERRUN, "AddressSanitizer: stack-buffer-overflow");
    check_deaths(PROBE_PINNED_OVERRUN, "AddressSanitizer: heap-buffer-overflow");
    check_deaths(PROBE_HOST_READS_DEVICE, "AddressSanitizer: use-after-poison");
#else
    cr_skip("built without AddressSanitizer");
#endif
}

Test(standin, aborts_where_a_device_would_hang) {
    check_deaths(PROBE_HALF_A_BARRIER, "not all live threads reach the same barrier");
    check_deaths(PROBE_TWO_BARRIERS, "not all live threads reach the same barrier");
    check_deaths(PROBE_ENDED_LANE, "names lane 31, which has ended");
}

Test(standin, aborts_at_an_empty_gemm_group) {
    check_deaths(PROBE_EMPTY_GROUP, "group 1 has size 0");
}

Test(standin, shows_a_missing_synchronisation) {
    for (int order = STANDIN_FORWARD; order <= STANDIN_BACKWARD; order++) {
        probe *p = open_probe((standin_order)order);
        float early = 0.0f, late = 0.0f, seen = 0.0f;
        ok(probe_read_early(p, &early, &late));
        cr_assert_eq(early, -1.0f, "a copy that nobody waited for is not there yet");
        cr_assert_eq(late, 1.0f);
        ok(probe_read_after_write(p, true, &seen));
        cr_assert_eq(seen, 1.0f);
        ok(probe_read_after_write(p, false, &seen));
        cr_assert_eq(seen, order == STANDIN_FORWARD ? 0.0f : 1.0f);
        ok(probe_write_after_read(p, true, &seen));
        cr_assert_eq(seen, 1.0f);
        ok(probe_write_after_read(p, false, &seen));
        cr_assert_eq(seen, order == STANDIN_FORWARD ? 1.0f : 2.0f);
        close_probe(p);
    }
}

Test(standin, asking_an_event_in_a_loop_ends) {
    unsigned asked = 0;
    probe *p = open_probe(STANDIN_FORWARD);
    ok(probe_poll(p, &asked));
    cr_assert_eq(asked, 3, "not ready twice: the kernel, the event itself");
    close_probe(p);
}

Test(standin, a_graph_replays_its_capture) {
    float seen = 0.0f;
    probe *p = open_probe(STANDIN_BACKWARD);
    ok(probe_graph(p, 3, &seen));
    cr_assert_eq(seen, 3.0f);
    ok(probe_graph(p, 1, &seen));
    cr_assert_eq(seen, 1.0f);
    cr_assert_eq(probe_graph_broken(p), ENGINE_INTERNAL, "an allocation breaks a capture");
    ok(probe_graph(p, 2, &seen));
    cr_assert_eq(seen, 2.0f);
    close_probe(p);
}

/* The sum of 1 + 2 + ... + 1000, whose shuffles switch stacks, and the eigenvalues of a diagonal
 * matrix, with streams that come and go: so many of 50 were wrong. */
static void *work_on(void *argument) {
    static const double diagonal[4] = {2.0, 0.0, 0.0, 1.0};
    float in[1000], sum = 0.0f;
    double w[2] = {0.0};
    size_t *wrong = argument;
    for (size_t i = 0; i < 1000; i++) {
        in[i] = (float)(i + 1);
    }
    for (size_t i = 0; i < 50; i++) {
        probe *p = NULL;
        bool fine = probe_open(&p) == ENGINE_OK && probe_sum(p, in, 1000, 256, &sum) == ENGINE_OK &&
                    sum == 500500.0f &&
                    probe_eigenvalues(p, PROBE_SYEVJ_F64, 2, 1, diagonal, w) == ENGINE_OK &&
                    probe_eigenvalues(p, PROBE_SYEV_F64, 2, 1, diagonal, w) == ENGINE_OK &&
                    fabs(w[0] - 1.0) < 1e-12 && fabs(w[1] - 2.0) < 1e-12;
        probe_close(p);
        *wrong += !fine;
    }
    return NULL;
}

Test(standin, threads_call_at_once) {
    pthread_t threads[3];
    size_t wrong[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, work_on, &wrong[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_eq(wrong[i], 0, "thread %zu has %zu of 50 wrong", i, wrong[i]);
    }
}

/* Largest error of C = 2 A' B of the groups, given packed, against a plain loop. */
static double product_error(const probe_group *group, int groups, const float *a, const float *b,
                            const float *c) {
    double worst = 0.0;
    for (int g = 0; g < groups; g++) {
        probe_group s = group[g];
        for (int i = 0; i < s.count; i++, a += s.m * s.k, b += s.n * s.k, c += s.m * s.n) {
            for (int at = 0; at < s.m * s.n; at++) {
                double sum = 0.0;
                for (int l = 0; l < s.k; l++) {
                    sum += (double)a[at % s.m * s.k + l] * (double)b[at / s.m * s.k + l];
                }
                worst = fmax(worst, fabs(2.0 * sum - (double)c[at]));
            }
        }
    }
    return worst;
}

Test(standin, products_agree_with_a_plain_loop) {
    static const probe_group group[] = {{3, 5, 17, 2}, {1, 1, 1, 3}, {16, 7, 33, 1}, {8, 8, 2, 4}};
    float a[PROBE_FLOATS], b[PROBE_FLOATS], c[PROBE_FLOATS];
    unsigned seed = 1;
    for (size_t i = 0; i < PROBE_FLOATS; i++) {
        a[i] = (float)uniform(&seed);
        b[i] = (float)uniform(&seed);
    }
    probe *p = open_probe(STANDIN_FORWARD);
    ok(probe_grouped(p, group, 4, a, b, c));
    double worst = product_error(group, 4, a, b, c);
    ok(probe_strided(p, group[0], a, b, c));
    worst = fmax(worst, product_error(&group[0], 1, a, b, c));
    ok(probe_single(p, group[3], a, b, c));
    worst = fmax(worst, product_error(&group[3], 1, a, b, c));
    printf("products: largest error %.1e\n", worst);
    cr_assert_lt(worst, 1e-5, "33 float32 terms below 0.5 are good to 1e-6");
    close_probe(p);
}

/* Eigenvalues of Q D Q' with Q = I - 2 v v' / v'v are D's; the upper triangle is spoilt, since only
 * the lower may be read. */
static double eigen_error(probe *p, probe_solver solver, int n, int batch) {
    double a[PROBE_FLOATS], w[PROBE_FLOATS], v[64], worst = 0.0;
    unsigned seed = 7;
    for (int m = 0; m < batch; m++) {
        double length = 0.0;
        for (int i = 0; i < n; i++) {
            v[i] = uniform(&seed);
            length += v[i] * v[i];
        }
        for (int at = 0; at < n * n; at++) {
            int i = at % n, j = at / n;
            double sum = 0.0;
            for (int l = 0; l < n; l++) {
                double qi = (i == l) - 2.0 * v[i] * v[l] / length;
                double qj = (j == l) - 2.0 * v[j] * v[l] / length;
                sum += qi * (l + m + 1) * qj;
            }
            a[m * n * n + at] = i >= j ? sum : 1e3;
        }
    }
    ok(probe_eigenvalues(p, solver, n, batch, a, w));
    for (int at = 0; at < n * batch; at++) {
        double expected = at % n + at / n + 1;
        worst = fmax(worst, fabs(w[at] - expected) / expected);
    }
    return worst;
}

Test(standin, eigenvalues_are_right_to_the_precision_asked_for) {
    probe *p = open_probe(STANDIN_FORWARD);
    double f64 = 0.0, f32 = 0.0, jacobi = 0.0;
    for (int n = 1; n <= 32; n = n * 2 + 1) {
        f64 = fmax(f64, eigen_error(p, PROBE_SYEV_F64, n, 4));
        f32 = fmax(f32, eigen_error(p, PROBE_SYEV_F32, n, 4));
        jacobi = fmax(jacobi, eigen_error(p, PROBE_SYEVJ_F64, n, 4));
    }
    printf("eigenvalues: largest relative error f64 %.1e, f32 %.1e, jacobi %.1e\n", f64, f32,
           jacobi);
    cr_assert_lt(f64, 1e-12, "of values from 1 to 35, each good to 35 ulp or so");
    cr_assert_lt(jacobi, 1e-12);
    cr_assert_lt(f32, 1e-4, "as above in float32");
    close_probe(p);
}

Test(standin, every_call_of_an_open_can_fail_and_leaves_nothing) {
    probe *p = open_probe(STANDIN_FORWARD);
    size_t calls = standin_count().calls;
    close_probe(p);
    for (unsigned nth = 1; nth <= calls; nth++) {
        standin_fail(NULL, nth, 2); /* which is also cuSOLVER's out of memory */
        cr_assert_neq(probe_open(&p), ENGINE_OK, "call %u", nth);
        cr_assert_not(probe_failure_lost());
        close_probe(p);
    }
}

Test(standin, an_injected_failure_comes_back_once_with_its_text) {
    float in[4] = {1.0f, 2.0f, 3.0f, 4.0f}, sum = 0.0f;
    probe *p = NULL;
    standin_fail("cudaMalloc", 2, 2);
    cr_assert_eq(probe_open(&p), ENGINE_NO_MEMORY);
    cr_assert_not_null(strstr(probe_failure_text(), "cudaMalloc: out of memory"), "%s",
                       probe_failure_text());
    close_probe(p);
    p = open_probe(STANDIN_FORWARD);
    standin_fail("cudaLaunchKernelEx", 1, 1);
    cr_assert_eq(probe_sum(p, in, 4, 32, &sum), ENGINE_INTERNAL);
    cr_assert_not_null(strstr(probe_failure_text(), "probe.cu:"));
    cr_assert_eq(probe_last_error(), 0, "TRY clears it");
    ok(probe_sum(p, in, 4, 32, &sum));
    cr_assert_eq(sum, 10.0f);
    close_probe(p);
}

Test(standin, a_lost_device_stays_lost) {
    static const int codes[] = {214, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 911};
    float in[4] = {1.0f, 2.0f, 3.0f, 4.0f}, sum = 0.0f;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        probe *p = open_probe(STANDIN_FORWARD), *next = NULL;
        standin_fail("cudaStreamSynchronize", 1, codes[i]);
        cr_assert_eq(probe_sum(p, in, 4, 32, &sum), ENGINE_INTERNAL);
        cr_assert(probe_failure_lost(), "%d: %s", codes[i], probe_failure_text());
        cr_assert_eq(probe_sum(p, in, 4, 32, &sum), ENGINE_INTERNAL);
        cr_assert_eq(probe_library(p), ENGINE_INTERNAL);
        cr_assert(probe_failure_lost(), "%s", probe_failure_text());
        close_probe(p);
        cr_assert_neq(probe_open(&next), ENGINE_OK);
        close_probe(next);
        standin_reset();
    }
}

Test(standin, the_device_has_the_memory_it_was_given) {
    probe *p = NULL;
    standin_set_memory(PROBE_FLOATS * sizeof(float) * 3 / 2);
    cr_assert_eq(probe_open(&p), ENGINE_NO_MEMORY, "the second buffer does not fit");
    close_probe(p);
    standin_set_devices(0);
    cr_assert_eq(probe_open(&p), ENGINE_INTERNAL);
    close_probe(p);
}

/*
 * test_roots.c - sums of square roots of eigenvalues, nuclear norms, and products of rows with a
 * factor laid out in panels, against float64.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <lapacke.h>

#include "hostile.h"
#include "nuclear.h"
#include "product.h"
#include "roots.h"

enum { ORDER_MAX = 64, COLUMNS_MAX = 96 };

/* A Gram matrix of `columns` columns whose lengths fall by `fall` each, so that eigenvalues span
 * many powers of ten; fewer columns than the order leave zero ones. */
static void make_gram(hostile_random *random, double *gram, size_t order, size_t columns,
                      double fall) {
    static double y[ORDER_MAX * COLUMNS_MAX];
    double scale = 1.0;
    for (size_t j = 0; j < columns; j++, scale *= fall) {
        for (size_t i = 0; i < order; i++) {
            y[i * columns + j] = scale * hostile_random_normal(random);
        }
    }
    for (size_t a = 0; a < order; a++) {
        for (size_t b = 0; b < order; b++) {
            double sum = 0.0;
            for (size_t j = 0; j < columns; j++) {
                sum += y[a * columns + j] * y[b * columns + j];
            }
            gram[a * order + b] = sum;
        }
    }
}

static double by_lapack(const double *gram, size_t order) {
    double copy[ORDER_MAX * ORDER_MAX], value[ORDER_MAX], sum = 0.0;
    memcpy(copy, gram, order * order * sizeof *copy);
    cr_assert(LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', (lapack_int)order, copy, (lapack_int)order,
                            value) == 0);
    for (size_t i = 0; i < order; i++) {
        sum += value[i] > 0.0 ? sqrt(value[i]) : 0.0;
    }
    return sum;
}

static double by_roots(double *gram, size_t order) {
    double diagonal[ORDER_MAX], below[ORDER_MAX], work[ORDER_MAX], missed;
    roots roots;
    roots_init(&roots);
    roots_tridiagonal(gram, order, diagonal, below, work);
    return roots_sum(&roots, diagonal, below, order, &missed);
}

/* An eigenvalue near the nodes' end is counted short by up to 1.5e-8 of the root of the trace
 * (roots.h), and what rounding makes of zero is worth about as much; few matrices have more than a
 * few of the former, and the latter are of either sign. */
Test(roots, sums_are_those_of_lapack_for_every_order_to_64) {
    hostile_random random = {5};
    double worst = 0.0;
    for (size_t order = 1; order <= ORDER_MAX; order++) {
        for (size_t kind = 0; kind < 6; kind++) {
            double gram[ORDER_MAX * ORDER_MAX];
            size_t columns = kind % 2 == 0 ? COLUMNS_MAX : order / 2 + 1;
            make_gram(&random, gram, order, columns, kind < 2 ? 1.0 : kind < 4 ? 0.9 : 0.5);
            double expected = by_lapack(gram, order), trace = 0.0;
            for (size_t i = 0; i < order; i++) {
                trace += gram[i * order + i];
            }
            double error = fabs(by_roots(gram, order) - expected);
            double allowed = 1e-8 * expected + 1e-7 * sqrt((double)order * trace);
            cr_assert(error <= allowed, "order %zu, kind %zu: off by %g of %g", order, kind, error,
                      expected);
            worst = fmax(worst, error / expected);
        }
    }
    printf("sums of roots: largest relative difference %.2e\n", worst);
}

/* One row far longer than the others: an entry of the whole is then a reciprocal's overflow away.
 */
Test(roots, one_long_row_among_short_ones_overflows_nowhere) {
    enum { ORDER = 6, COLUMNS = 8 };
    hostile_random random = {15};
    for (double length = 1.0; length < 1e75; length *= 10.0) {
        for (size_t which = 0; which < ORDER; which++) {
            double y[ORDER][COLUMNS], gram[ORDER * ORDER], copy[ORDER * ORDER];
            for (size_t a = 0; a < ORDER; a++) {
                for (size_t j = 0; j < COLUMNS; j++) {
                    y[a][j] = (a == which ? length : 1.0) * hostile_random_normal(&random);
                }
            }
            for (size_t at = 0; at < ORDER * ORDER; at++) {
                gram[at] = 0.0;
                for (size_t j = 0; j < COLUMNS; j++) {
                    gram[at] += y[at / ORDER][j] * y[at % ORDER][j];
                }
            }
            memcpy(copy, gram, sizeof copy);
            double want = by_lapack(copy, ORDER);
            double got = by_roots(gram, ORDER);
            cr_assert(fabs(got - want) <= 3e-7 * want, "row %zu of length %g: %.17g, not %.17g",
                      which, length, got, want);
        }
    }
}

Test(roots, of_nothing_is_nothing_and_of_no_number_is_none) {
    double zero[4] = {0.0}, tiny[4] = {1e-310, 0.0, 0.0, 1e-310};
    double wrong[4] = {NAN, 0.0, 0.0, 1.0}, infinite[4] = {INFINITY, 0.0, 0.0, 1.0};
    cr_assert(by_roots(zero, 2) == 0.0);
    cr_assert(by_roots(tiny, 2) < 1e-150);
    cr_assert(!isfinite(by_roots(wrong, 2)));
    cr_assert(!isfinite(by_roots(infinite, 2)));
}

enum { ROWS_MAX = 240, RANK_MAX = 200 };

/* Singular values of the n rows of d floats less their mean, added up. */
static double by_svd(const float *y, size_t n, size_t d) {
    static double centred[ROWS_MAX * RANK_MAX];
    double value[RANK_MAX], super[RANK_MAX], sum = 0.0;
    for (size_t j = 0; j < d; j++) {
        double mean = 0.0;
        for (size_t i = 0; i < n; i++) {
            mean += (double)y[i * d + j] / (double)n;
        }
        for (size_t i = 0; i < n; i++) {
            centred[i * d + j] = (double)y[i * d + j] - mean;
        }
    }
    cr_assert(LAPACKE_dgesvd(LAPACK_ROW_MAJOR, 'N', 'N', (lapack_int)n, (lapack_int)d, centred,
                             (lapack_int)d, value, NULL, 1, NULL, 1, super) == 0);
    for (size_t i = 0; i < (n < d ? n : d); i++) {
        sum += value[i];
    }
    return sum;
}

/* Columns of these lengths beside one of 1: squared they are around 5e-15 of the trace, where the
 * quadrature's nodes end, and as many as these together would lack 4e-6 of the norm. As a share of
 * the norm a score that is next to nothing leaves room for 2e-7 (engine.h). */
Test(nuclear, columns_1e7_times_as_short_as_the_first_count_in_full) {
    static const double lengths[] = {1e-6, 3e-7, 1e-7, 5e-8, 3e-8, 2e-8};
    static const size_t shapes[][2] = {{64, 64}, {150, RANK_MAX}, {ROWS_MAX, RANK_MAX}};
    static float y[ROWS_MAX * RANK_MAX];
    hostile_random random = {7};
    double worst = 0.0;
    for (size_t k = 0; k < 18; k++) {
        size_t n = shapes[k / 6][0], d = shapes[k / 6][1];
        double length = lengths[k % 6], norm;
        const float *rows[ROWS_MAX];
        for (size_t i = 0; i < n * d; i++) {
            y[i] = (float)((i % d == 0 ? 1.0 : length) * hostile_random_normal(&random));
            rows[i / d] = y + i / d * d;
        }
        nuclear *scratch = nuclear_open(n, d);
        cr_assert(scratch != NULL && nuclear_of_centred(scratch, rows, n, &norm));
        nuclear_close(scratch);
        double error = fabs(norm / by_svd(y, n, d) - 1.0);
        cr_assert(error <= 2e-7, "%zu x %zu, others %g: off by %g", n, d, length, error);
        worst = fmax(worst, error);
    }
    printf("norms with short columns: largest relative difference %.2e\n", worst);
}

/* Every number of rows to past the widest kernel, ranks around a panel's edge. A float32 sum of dim
 * products is off by at most dim roundings of the sum of their magnitudes; 4 sqrt(dim) of them is
 * four standard deviations. */
static void check_product(product_kind kind) {
    enum { DIM = 37, ROWS = 26, RANK = 70, STRIDE = DIM + 3 };
    static const size_t ranks[] = {1, 31, 32, 33, 64, RANK};
    hostile_random random = {6};
    static float factor[DIM * RANK], x[ROWS * STRIDE], y[ROWS * RANK], alone[RANK];
    for (size_t i = 0; i < ROWS * STRIDE; i++) {
        x[i] = (float)hostile_random_normal(&random);
    }
    for (size_t k = 0; k < sizeof ranks / sizeof *ranks; k++) {
        product_shape shape = {DIM, ranks[k]};
        float *panels = malloc(product_floats(shape) * sizeof *panels);
        for (size_t i = 0; i < DIM * shape.rank; i++) {
            factor[i] = (float)hostile_random_normal(&random);
        }
        product_lay_out(shape, factor, panels);
        for (size_t rows = 1; rows <= ROWS; rows++) {
            product_run(&(product_task){kind, shape, rows, STRIDE, x, panels, y});
            for (size_t i = 0; i < rows; i++) {
                product_run(&(product_task){kind, shape, 1, STRIDE, x + i * STRIDE, panels, alone});
                cr_assert(memcmp(alone, y + i * shape.rank, shape.rank * sizeof *y) == 0,
                          "row %zu of %zu", i, rows);
            }
        }
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t j = 0; j < shape.rank; j++) {
                double sum = 0.0, size = 0.0;
                for (size_t d = 0; d < DIM; d++) {
                    double term = (double)x[i * STRIDE + d] * (double)factor[d * shape.rank + j];
                    sum += term;
                    size += fabs(term);
                }
                double error = fabs(sum - (double)y[i * shape.rank + j]);
                cr_assert(error <= 4.0 * sqrt(DIM) * 0x1p-24 * size, "off by %g of %g", error,
                          size);
            }
        }
        free(panels);
    }
}

/* One sum over all of so long a row is off by 4e-6, sums of parts by no more than of a short one.
 */
Test(product, of_long_rows_is_as_good_as_of_short_ones) {
    enum { DIM = 40000, RANK = 33, ROWS = 5 };
    hostile_random random = {8};
    product_shape shape = {DIM, RANK};
    float *factor = malloc(DIM * RANK * sizeof *factor), *x = malloc(ROWS * DIM * sizeof *x);
    float *panels = malloc(product_floats(shape) * sizeof *panels), y[ROWS * RANK];
    for (size_t i = 0; i < DIM * RANK; i++) {
        factor[i] = (float)hostile_random_normal(&random);
    }
    for (size_t i = 0; i < ROWS * DIM; i++) {
        x[i] = (float)hostile_random_normal(&random);
    }
    product_lay_out(shape, factor, panels);
    for (product_kind kind = PRODUCT_PLAIN; kind <= product_best(); kind++) {
        double square = 0.0, size = 0.0;
        product_run(&(product_task){kind, shape, ROWS, DIM, x, panels, y});
        for (size_t at = 0; at < ROWS * RANK; at++) {
            double sum = 0.0;
            for (size_t d = 0; d < DIM; d++) {
                sum += (double)x[at / RANK * DIM + d] * (double)factor[d * RANK + at % RANK];
            }
            square += (sum - (double)y[at]) * (sum - (double)y[at]);
            size += sum * sum;
        }
        cr_assert(sqrt(square / size) < 1e-6, "off by %g", sqrt(square / size));
    }
    free(panels);
    free(x);
    free(factor);
}

Test(product, rows_times_a_factor_are_those_of_float64_and_each_row_is_the_same_alone) {
    for (product_kind kind = PRODUCT_PLAIN; kind <= product_best(); kind++) {
        check_product(kind);
    }
}

/*
 * root_sums.c - closed forms to order 2, several at once in kernels/packed.c as window.c packs
 * them, kernels/roots.c above, LAPACK's reduction where that is blocked.
 */
#include "root_sums.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include <lapacke.h>

#include "packed.h"
#include "roots.h"
#include "score.h"

/* As in window.c and nuclear.c. */
enum { PACK_ORDER_MAX = 32, SMALL_MAX = 64, LAPACK_BLOCK = 64 };

struct root_sums {
    packed *packed;
    double *packed_sum[PACKED_LANES]; /* where those that are in are to go */
    roots roots;
    double *diagonal, *below, *reflector; /* [order_max] */
    double *work;
    size_t work_length;
};

root_sums *root_sums_open(size_t order_max) {
    root_sums *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->work_length = (LAPACK_BLOCK + 2) * order_max;
    s->diagonal = calloc(order_max, sizeof *s->diagonal);
    s->below = calloc(order_max, sizeof *s->below);
    s->reflector = calloc(order_max, sizeof *s->reflector);
    s->work = calloc(s->work_length, sizeof *s->work);
    s->packed = packed_open(PACK_ORDER_MAX);
    if (!s->packed || !s->diagonal || !s->below || !s->reflector || !s->work) {
        root_sums_close(s);
        return NULL;
    }
    roots_init(&s->roots);
    return s;
}

void root_sums_close(root_sums *s) {
    if (s == NULL) {
        return;
    }
    free(s->work);
    free(s->reflector);
    free(s->below);
    free(s->diagonal);
    packed_close(s->packed);
    free(s);
}

static double sum_of_one(root_sums *s, double *matrix, size_t order) {
    if (order == 1) {
        return sqrt(matrix[0]);
    }
    if (order == 2) {
        return score_nuclear_of_two(matrix[0], matrix[3], matrix[1]);
    }
    if (order <= SMALL_MAX) {
        roots_tridiagonal(matrix, order, s->diagonal, s->below, s->work);
    } else if (LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'U', (lapack_int)order, matrix,
                                   (lapack_int)order, s->diagonal, s->below, s->reflector, s->work,
                                   (lapack_int)s->work_length) != 0) {
        return NAN;
    }
    double missed; /* an eigensolver's turn where it is much, which no yardstick needs */
    return roots_sum(&s->roots, s->diagonal, s->below, order, &missed);
}

void root_sums_add(root_sums *s, double *matrix, size_t order, double *sum) {
    if (order <= 2 || order > PACK_ORDER_MAX) {
        *sum = sum_of_one(s, matrix, order);
        return;
    }
    s->packed_sum[packed_count(s->packed)] = sum;
    packed_put(s->packed, matrix, order);
    if (packed_count(s->packed) == PACKED_LANES) {
        root_sums_end(s);
    }
}

void root_sums_end(root_sums *s) {
    double sum[PACKED_LANES];
    size_t count = packed_count(s->packed);
    if (count == 0) {
        return;
    }
    bool finite = packed_sums(s->packed, sum);
    for (size_t l = 0; l < count; l++) {
        *s->packed_sum[l] = finite ? sum[l] : NAN;
    }
}

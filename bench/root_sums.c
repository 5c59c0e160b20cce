/*
 * root_sums.c - closed forms to order 2, several at once in kernels/packed.c as window_score.c
 * packs them, kernels/nuclear.c above.
 */
#include "root_sums.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nuclear.h"
#include "score.h"
#include "window.h"

struct root_sums {
    packed *packed;
    double *packed_sum[PACKED_LANES]; /* where those that are in are to go */
    nuclear *nuclear;                 /* of order_max x order_max */
};

root_sums *root_sums_open(size_t order_max) {
    root_sums *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->packed = packed_open(WINDOW_PACK_ORDER_MAX);
    s->nuclear = nuclear_open(order_max, order_max);
    if (!s->packed || !s->nuclear) {
        root_sums_close(s);
        return NULL;
    }
    return s;
}

void root_sums_close(root_sums *s) {
    if (s == NULL) {
        return;
    }
    nuclear_close(s->nuclear);
    packed_close(s->packed);
    free(s);
}

static double sum_of_one(root_sums *s, const double *matrix, size_t order) {
    double sum;
    if (order == 1) {
        return sqrt(matrix[0]);
    }
    if (order == 2) {
        return score_nuclear_of_two(matrix[0], matrix[3], matrix[1]);
    }
    memcpy(nuclear_gram(s->nuclear), matrix, order * order * sizeof *matrix);
    return nuclear_reduce(s->nuclear, order, &sum) ? sum : NAN;
}

void root_sums_add(root_sums *s, const double *matrix, size_t order, double *sum) {
    if (order <= 2 || order > WINDOW_PACK_ORDER_MAX) {
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

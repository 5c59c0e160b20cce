/*
 * window_parts.c - see window_parts.h. Gram matrices are formed when a window is put.
 */
#include "window_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "bench.h"
#include "nuclear.h"
#include "root_sums.h"
#include "score.h"

/* Matrices of as many windows as fit are a sample of all. */
enum { MATRIX_BYTES_MAX = 1 << 25, ORDER_MIN = 3 };

/* A class of a window. */
typedef struct {
    uint32_t class_index;
    uint32_t n;
    double mean_s, norm;
} part;

struct window_parts {
    window_parts_shape shape;
    nuclear *nuclear;
    root_sums *root_sums;
    const float **y; /* [W] of one class */
    bool *taken;     /* [W] rows of the window that are in a class */
    double *helmert; /* [W, rank] */
    part *part;      /* [windows * W] */
    size_t *parts;   /* [windows] */
    size_t windows, all_parts;
    double *matrix;       /* one after another */
    size_t *order;        /* [windows * W] */
    size_t *matrices_end; /* [windows] those up to and with the window's */
    size_t entries, entries_max, matrices, matrix_windows;
    double *sum; /* [W] of a window's matrices */
    double sink; /* so that nothing is left out as useless */
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

window_parts *window_parts_open(const window_parts_shape *shape) {
    window_parts *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    size_t rows = shape->window_rows, order_max = least(rows, shape->rank);
    p->shape = *shape;
    p->entries_max = MATRIX_BYTES_MAX / sizeof *p->matrix;
    if (p->entries_max < order_max * order_max) {
        p->entries_max = order_max * order_max;
    }
    p->nuclear = nuclear_open(rows, shape->rank);
    p->root_sums = root_sums_open(order_max);
    p->y = calloc(rows, sizeof *p->y);
    p->taken = calloc(rows, sizeof *p->taken);
    p->helmert = calloc(rows * shape->rank, sizeof *p->helmert);
    p->part = calloc(shape->windows * rows, sizeof *p->part);
    p->parts = calloc(shape->windows, sizeof *p->parts);
    p->matrix = calloc(p->entries_max, sizeof *p->matrix);
    p->order = calloc(shape->windows * rows, sizeof *p->order);
    p->matrices_end = calloc(shape->windows, sizeof *p->matrices_end);
    p->sum = calloc(rows, sizeof *p->sum);
    if (!p->nuclear || !p->root_sums || !p->y || !p->taken || !p->helmert || !p->part ||
        !p->parts || !p->matrix || !p->order || !p->matrices_end || !p->sum) {
        window_parts_close(p);
        return NULL;
    }
    return p;
}

void window_parts_close(window_parts *p) {
    if (p == NULL) {
        return;
    }
    free(p->sum);
    free(p->matrices_end);
    free(p->order);
    free(p->matrix);
    free(p->parts);
    free(p->part);
    free(p->helmert);
    free(p->taken);
    free(p->y);
    root_sums_close(p->root_sums);
    nuclear_close(p->nuclear);
    free(p);
}

/* ---- taking a window in ---- */

static void make_helmert(window_parts *p, size_t n) {
    size_t d = p->shape.rank;
    for (size_t j = 0; j < d; j++) {
        double sum = (double)p->y[0][j];
        for (size_t k = 1; k < n; k++) {
            double y = (double)p->y[k][j];
            p->helmert[(k - 1) * d + j] = (sum - (double)k * y) * score_helmert(k);
            sum += y;
        }
    }
}

/* The smaller side's matrix of the n rows in p->y. */
static void make_matrix(window_parts *p, size_t n, size_t order) {
    size_t d = p->shape.rank;
    double *out = p->matrix + p->entries;
    bool tall = n - 1 > d;
    make_helmert(p, n);
    cblas_dsyrk(CblasRowMajor, CblasLower, tall ? CblasTrans : CblasNoTrans, (int)order,
                (int)(tall ? n - 1 : d), 1.0, p->helmert, (int)d, 0.0, out, (int)order);
    for (size_t i = 0; i < order; i++) {
        for (size_t j = i + 1; j < order; j++) {
            out[i * order + j] = out[j * order + i];
        }
    }
    p->order[p->matrices++] = order;
    p->entries += order * order;
}

/* The class of the first row that is in none yet; its number of rows, in p->y. */
static part take_class(window_parts *p, const window_row *rows, size_t first, size_t n) {
    part class = {.class_index = rows[first].class_index};
    for (size_t i = first; i < n; i++) {
        if (rows[i].class_index == class.class_index) {
            p->taken[i] = true;
            p->y[class.n++] = rows[i].y;
            class.mean_s += (double)rows[i].s;
        }
    }
    class.mean_s /= (double)class.n;
    return class;
}

bool window_parts_put(window_parts *p, const window_row *rows, size_t n) {
    size_t matrices = p->matrices, entries = p->entries;
    bool room = p->matrix_windows == p->windows;
    memset(p->taken, 0, n * sizeof *p->taken);
    for (size_t i = 0; i < n; i++) {
        if (p->taken[i]) {
            continue;
        }
        part class = take_class(p, rows, i, n);
        size_t order = least(class.n - 1, p->shape.rank);
        if (!nuclear_of_centred(p->nuclear, p->y, class.n, &class.norm)) {
            return false;
        }
        p->part[p->all_parts++] = class;
        p->parts[p->windows]++;
        room = room && p->entries + order * order <= p->entries_max;
        if (room && order >= ORDER_MIN) {
            make_matrix(p, class.n, order);
        }
    }
    p->windows++;
    if (room) {
        p->matrices_end[p->matrix_windows++] = p->matrices;
    } else { /* half a window is none */
        p->matrices = matrices;
        p->entries = entries;
    }
    return true;
}

/* ---- running parts ---- */

/* Window by window, as window_score.c packs them. */
double window_parts_eigen(window_parts *p) {
    const double *from = p->matrix;
    double start = bench_now();
    for (size_t w = 0, m = 0; w < p->matrix_windows; w++) {
        for (size_t i = 0; m < p->matrices_end[w]; m++, i++) {
            root_sums_add(p->root_sums, from, p->order[m], &p->sum[i]);
            from += p->order[m] * p->order[m];
        }
        root_sums_end(p->root_sums);
        p->sink += p->sum[0];
    }
    double spent = bench_now() - start;
    return p->matrix_windows > 0 ? spent / (double)p->matrix_windows : NAN;
}

double window_parts_reduce(window_parts *p) {
    const engine_benign none = {0};
    const part *at = p->part;
    double start = bench_now();
    for (size_t w = 0; w < p->windows; w++) {
        score_sums sums = {0};
        for (size_t i = 0; i < p->parts[w]; i++, at++) {
            double n = (double)at->n;
            double d2 = score_d2(p->shape.trace[at->class_index], at->mean_s, at->norm, n);
            score_add(&sums, &none, at->class_index, n, d2);
        }
        p->sink += score_total_of(&sums).score;
    }
    return (bench_now() - start) / (double)p->windows;
}

/*
 * packed.c - every variable is a vector of eight matrices' numbers; the compiler makes of it what
 * registers there are.
 */
#include "packed.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "roots.h"
#include "vector.h"

enum { NODES_AT_ONCE = 4, ALIGNMENT = 64 };

typedef double lanes __attribute__((vector_size(64)));
typedef long long choice __attribute__((vector_size(64)));

struct packed {
    size_t columns;
    size_t order; /* the largest that is in */
    size_t count; /* lanes in use */
    roots roots;
    lanes *x;        /* [columns (columns + 1) / 2] the triangles, by rows */
    lanes *gram;     /* [columns (columns + 1) / 2] lower half, by rows */
    lanes *diagonal; /* [columns] */
    lanes *below;    /* [columns] below[i] is beside diagonal[i] and diagonal[i + 1] */
    lanes *w;        /* [columns] */
};

static lanes *lanes_alloc(size_t count) {
    return aligned_alloc(ALIGNMENT, count * sizeof(lanes));
}

packed *packed_open(size_t columns) {
    packed *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    size_t half = columns * (columns + 1) / 2;
    p->columns = columns;
    p->x = lanes_alloc(half);
    p->gram = lanes_alloc(half);
    p->diagonal = lanes_alloc(columns);
    p->below = lanes_alloc(columns);
    p->w = lanes_alloc(columns);
    if (!p->x || !p->gram || !p->diagonal || !p->below || !p->w) {
        packed_close(p);
        return NULL;
    }
    roots_init(&p->roots);
    return p;
}

void packed_close(packed *p) {
    if (p == NULL) {
        return;
    }
    free(p->w);
    free(p->below);
    free(p->diagonal);
    free(p->gram);
    free(p->x);
    free(p);
}

/* By lane, as the ternary operator does for numbers. */
#define PICK(which, yes, no) ((lanes)(((choice)(yes) & (which)) | ((choice)(no) & ~(which))))

static void each_root(lanes *x) {
    for (size_t l = 0; l < PACKED_LANES; l++) {
        (*x)[l] = sqrt((*x)[l]);
    }
}

/* Lanes without a matrix have zeros. */
VECTOR_CLONES static void take_in(packed *p, const float *const *triangle, size_t count) {
    size_t half = p->columns * (p->columns + 1) / 2;
    for (size_t i = 0; i < half; i++) {
        lanes x = {0};
        for (size_t l = 0; l < count; l++) {
            x[l] = (double)triangle[l][i];
        }
        p->x[i] = x;
    }
    p->order = p->columns;
    p->count = count;
}

/* Makes room for rows of a larger matrix than those that are in. */
static void grow(packed *p, size_t order) {
    size_t before = p->order * (p->order + 1) / 2, after = order * (order + 1) / 2;
    if (order > p->order) {
        memset(p->gram + before, 0, (after - before) * sizeof *p->gram);
        p->order = order;
    }
}

void packed_put(packed *p, const double *matrix, size_t order) {
    lanes *row = p->gram;
    grow(p, order);
    for (size_t i = 0; i < order; i++) {
        for (size_t j = 0; j <= i; j++) {
            row[j][p->count] = matrix[i * order + j];
        }
        row += i + 1;
    }
    p->count++;
}

size_t packed_count(const packed *p) {
    return p->count;
}

/* Products of the triangle's rows: row i begins at column i. */
VECTOR_CLONES static void multiply(packed *p) {
    size_t n = p->order;
    const lanes *left = p->x;
    lanes *out = p->gram;
    for (size_t i = 0; i < n; i++) {
        const lanes *right = p->x; /* row j */
        for (size_t j = 0; j <= i; j++) {
            lanes sum = {0};
            for (size_t k = 0; k < n - i; k++) {
                sum += left[k] * right[i - j + k];
            }
            *out++ = sum;
            right += n - j;
        }
        left += n - i;
    }
}

/* The trace; all entries are divided by it, since squares of small ones would underflow. */
VECTOR_CLONES static void normalise(packed *p, lanes *trace) {
    size_t half = p->order * (p->order + 1) / 2;
    lanes scale = {0};
    *trace = scale;
    for (size_t i = 0, at = 0; i < p->order; at += ++i + 1) {
        *trace += p->gram[at];
    }
    for (size_t l = 0; l < PACKED_LANES; l++) {
        scale[l] = (*trace)[l] < DBL_MIN ? 0.0 : 1.0 / (*trace)[l];
    }
    for (size_t i = 0; i < half; i++) {
        p->gram[i] *= scale;
    }
}

/* w <- A v, of the [n, n] matrix whose lower half is `a`. */
VECTOR_CLONES static void apply(const lanes *restrict a, const lanes *restrict v, size_t n,
                                lanes *restrict w) {
    for (size_t i = 0; i < n; i++) {
        lanes vi = v[i], sum = {0};
        for (size_t j = 0; j < i; j++) {
            lanes entry = a[j];
            sum += entry * v[j];
            w[j] += entry * vi;
        }
        w[i] = sum + a[i] * vi;
        a += i + 1;
    }
}

VECTOR_CLONES static void subtract(lanes *restrict a, const lanes *restrict v, size_t n,
                                   const lanes *restrict w) {
    for (size_t i = 0; i < n; i++) {
        lanes vi = v[i], wi = w[i];
        for (size_t j = 0; j <= i; j++) {
            a[j] -= vi * w[j] + wi * v[j];
        }
        a += i + 1;
    }
}

/* One step: v [n] is the row under the [n, n] matrix a, *beside the entry that is left of it. A row
 * whose other entries are below 1e-153 of the trace is left alone. */
VECTOR_CLONES static void reflect(lanes *a, lanes *v, size_t n, lanes *w, lanes *beside) {
    lanes square = {0}, none = {0}, pivot = v[n - 1], vw = {0};
    for (size_t j = 0; j + 1 < n; j++) {
        square += v[j] * v[j];
    }
    lanes norm = square + pivot * pivot;
    each_root(&norm);
    choice idle = square < DBL_MIN;
    choice positive = pivot > 0.0;
    lanes alpha = PICK(positive, -norm, norm);
    alpha = PICK(idle, pivot, alpha);
    v[n - 1] = pivot - alpha;
    lanes length = square + v[n - 1] * v[n - 1];
    lanes beta = 2.0 / PICK(idle, none + 1.0, length);
    beta = PICK(idle, none, beta);
    apply(a, v, n, w);
    for (size_t j = 0; j < n; j++) {
        vw += v[j] * w[j];
    }
    lanes half = 0.5 * beta * (beta * vw); /* beta squared may overflow */
    for (size_t j = 0; j < n; j++) {
        w[j] = beta * w[j] - half * v[j];
    }
    subtract(a, v, n, w);
    *beside = alpha;
}

/* From the last row up, so that a row is in one piece. */
static void reduce(packed *p) {
    size_t n = p->order;
    for (size_t i = n; i-- > 0;) {
        lanes *row = p->gram + i * (i + 1) / 2;
        p->diagonal[i] = row[i];
        if (i > 1) {
            reflect(p->gram, row, i, p->w, &p->below[i - 1]);
        } else if (i == 1) {
            p->below[0] = row[0];
        }
    }
}

/* Of some nodes: what is missing from a count of the rows; see roots.c. */
VECTOR_CLONES static void recur(const packed *p, const double *shift, lanes *lost) {
    lanes r[NODES_AT_ONCE] = {0}, q[NODES_AT_ONCE] = {0}, sum[NODES_AT_ONCE] = {0}, square = {0};
    for (size_t i = 0; i < p->order; i++) {
        lanes a = p->diagonal[i];
        for (size_t k = 0; k < NODES_AT_ONCE; k++) {
            lanes t = (lanes){0} + shift[k], br = square * r[k], d = a + t - br;
            d = PICK(d > t, d, t);
            q[k] = 1.0 + br * r[k] * q[k];
            r[k] = 1.0 / d;
            sum[k] += q[k] * r[k];
        }
        if (i + 1 < p->order) {
            square = p->below[i] * p->below[i];
        }
    }
    for (size_t k = 0; k < NODES_AT_ONCE; k++) {
        lost[k] = shift[k] * sum[k];
    }
}

VECTOR_CLONES static void sum_roots(const packed *p, lanes *all) {
    lanes sum = {0};
    for (size_t j = 0; j < ROOTS_NODES; j += NODES_AT_ONCE) {
        lanes lost[NODES_AT_ONCE];
        recur(p, p->roots.shift + j, lost);
        for (size_t k = 0; k < NODES_AT_ONCE; k++) {
            sum += p->roots.weight[j + k] * ((double)p->order - lost[k]);
        }
    }
    *all = sum;
}

bool packed_sums(packed *p, double *sum) {
    bool finite = true;
    lanes trace, roots;
    normalise(p, &trace);
    reduce(p);
    sum_roots(p, &roots);
    for (size_t l = 0; l < p->count; l++) {
        sum[l] = trace[l] < DBL_MIN ? 0.0 : roots[l] * sqrt(trace[l]);
        finite = finite && isfinite(trace[l]) && isfinite(sum[l]);
    }
    p->count = p->order = 0;
    return finite;
}

bool packed_nuclear(packed *p, const float *const *triangle, size_t count, double *norm) {
    take_in(p, triangle, count);
    multiply(p);
    return packed_sums(p, norm);
}

/* roots.c - Householder, and a recurrence in lanes. */
#include "roots.h"

#include <float.h>
#include <math.h>

#include "vector.h"

enum { LANES = 16, MISSED_NODE = 2 };

#define FIRST_NODE (-16.5) /* e^(2u) = 21 DBL_EPSILON: what rounding makes of a zero eigenvalue */
#define LAST_NODE 6.0
/* By what an eigenvalue is counted short, over the root of the first node and the difference of two
 * nodes' counts of it: as much as this at a fifth of the first node, half of it at the node itself,
 * a twentieth far above. */
#define MISSED 1.5

void roots_init(roots *roots) {
    double step = (LAST_NODE - FIRST_NODE) / (ROOTS_NODES - 1);
    for (size_t j = 0; j < ROOTS_NODES; j++) {
        double u = FIRST_NODE + step * (double)j;
        roots->shift[j] = exp(2.0 * u);
        roots->weight[j] = 2.0 / acos(-1.0) * step * exp(u);
    }
    /* Below the first node the integrand goes as e^u, above the last as e^-u: geometric sums. */
    roots->weight[0] /= 1.0 - exp(-step);
    roots->weight[ROOTS_NODES - 1] /= 1.0 - exp(-step);
}

/* One step: v, of n entries, is the row right of the diagonal, a the [n, n] matrix below it, w room
 * for n. Returns the entry beside the diagonal. Sums run along rows, so all of it is vectors. */
VECTOR_CLONES static double reflect(double *restrict a, size_t stride, double *restrict v, size_t n,
                                    double *restrict w) {
    double square = 0.0;
    for (size_t i = 1; i < n; i++) {
        square += v[i] * v[i];
    }
    if (square < DBL_MIN) {
        return v[0]; /* the rest is below 1e-153 of the trace */
    }
    double norm = sqrt(square + v[0] * v[0]);
    double alpha = v[0] > 0.0 ? -norm : norm;
    v[0] -= alpha;
    double beta = 2.0 / (square + v[0] * v[0]);
    double vw = 0.0;
    for (size_t i = 0; i < n; i++) {
        w[i] = 0.0;
    }
    for (size_t i = 0; i < n; i++) {
        const double *row = a + i * stride;
        double vi = v[i];
        for (size_t j = 0; j < n; j++) {
            w[j] += vi * row[j];
        }
    }
    for (size_t i = 0; i < n; i++) {
        vw += v[i] * w[i];
    }
    double half = 0.5 * beta * (beta * vw); /* beta squared may overflow */
    for (size_t i = 0; i < n; i++) {
        w[i] = beta * w[i] - half * v[i];
    }
    for (size_t i = 0; i < n; i++) {
        double *row = a + i * stride;
        double vi = v[i];
        double wi = w[i];
        for (size_t j = 0; j < n; j++) {
            row[j] -= vi * w[j] + wi * v[j];
        }
    }
    return alpha;
}

static double trace_of(const double *diagonal, size_t stride, size_t order) {
    double trace = 0.0;
    for (size_t i = 0; i < order; i++) {
        trace += diagonal[i * stride];
    }
    return trace;
}

/* By way of trace 1, since squares of small entries would underflow. */
void roots_tridiagonal(double *a, size_t order, double *diagonal, double *below, double *work) {
    double trace = trace_of(a, order + 1, order);
    double scale = trace < DBL_MIN ? 0.0 : 1.0 / trace;
    for (size_t i = 0; i < order * order; i++) {
        a[i] *= scale;
    }
    for (size_t k = 0; k < order; k++) {
        double *row = a + k * order;
        diagonal[k] = row[k];
        if (k + 2 < order) {
            below[k] =
                reflect(a + (k + 1) * order + k + 1, order, row + k + 1, order - k - 1, work);
        } else {
            below[k] = k + 1 < order ? row[k + 1] : 0.0;
        }
    }
    for (size_t k = 0; k < order; k++) {
        diagonal[k] *= trace;
        below[k] *= trace;
    }
}

/* Pivots d_i of T + t and their derivatives: sum 1 / (x + t) is that of log det(T + t). A pivot is
 * at least t, whatever rounding makes of it. */
VECTOR_CLONES static void recur(const double *diagonal, const double *below, size_t order,
                                double scale, const double *shift, double *out) {
    double t[LANES], r[LANES], p[LANES], sum[LANES];
    for (size_t l = 0; l < LANES; l++) {
        t[l] = shift[l];
        r[l] = p[l] = sum[l] = 0.0;
    }
    double square = 0.0;
    for (size_t i = 0; i < order; i++) {
        double a = diagonal[i] * scale;
        for (size_t l = 0; l < LANES; l++) {
            double br = square * r[l];
            double d = a + t[l] - br;
            d = d > t[l] ? d : t[l];
            p[l] = 1.0 + br * r[l] * p[l];
            r[l] = 1.0 / d;
            sum[l] += p[l] * r[l];
        }
        if (i + 1 < order) {
            square = (below[i] * scale) * (below[i] * scale);
        }
    }
    for (size_t l = 0; l < LANES; l++) {
        out[l] = t[l] * sum[l];
    }
}

double roots_sum(const roots *roots, const double *diagonal, const double *below, size_t order,
                 double *missed) {
    double lost[ROOTS_NODES]; /* sum t / (x + t): what is missing from a count of the rows */
    double trace = trace_of(diagonal, 1, order);
    double sum = 0.0;
    *missed = 0.0;
    if (trace < DBL_MIN) {
        return 0.0; /* its reciprocal may be no number */
    }
    for (size_t j = 0; j < ROOTS_NODES; j += LANES) {
        recur(diagonal, below, order, 1.0 / trace, roots->shift + j, lost + j);
    }
    for (size_t j = 0; j < ROOTS_NODES; j++) {
        sum += roots->weight[j] * ((double)order - lost[j]);
    }
    *missed = MISSED * sqrt(roots->shift[0] * trace) * (lost[MISSED_NODE] - lost[0]);
    return sum * sqrt(trace);
}

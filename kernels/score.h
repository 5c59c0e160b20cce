/*
 * score.h - arithmetic that both engines share: element conversion, Helmert rows, closed forms, and
 * what a window or a memory amounts to.
 *
 * Under nvcc every function is for host and device. Formulas: design section 2; Helmert's matrix as
 * in H. O. Lancaster, "The Helmert Matrices", Amer. Math. Monthly 72 (1965).
 */
#ifndef ADDER_SCORE_H
#define ADDER_SCORE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine.h"

#ifdef __CUDACC__
#define SCORE_FN static inline __host__ __device__
#else
#define SCORE_FN static inline
#endif

/* Half precision to single, exact for every finite value: the exponent is re-biased by one
 * multiply, which takes subnormals along. */
SCORE_FN float score_from_f16(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fffu) << 13;
    float magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    magnitude *= 0x1p112f;
    return (half & 0x8000u) ? -magnitude : magnitude;
}

SCORE_FN float score_from_bf16(uint16_t brain) {
    uint32_t bits = (uint32_t)brain << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Nuclear norm of two rows from their Gram matrix [a c; c b]: sqrt(l1) + sqrt(l2), where
 * (sqrt(l1) + sqrt(l2))^2 = l1 + l2 + 2 sqrt(l1 l2). */
SCORE_FN double score_nuclear_of_two(double a, double b, double c) {
    double determinant = a * b - c * c;
    return sqrt(a + b + 2.0 * sqrt(determinant > 0.0 ? determinant : 0.0));
}

/* Row k (1..n-1) of Helmert's matrix times the rows: (sum of the first k rows - k * row k) *
 * score_helmert(k). The n - 1 results have the scatter matrix of the n centred rows. */
SCORE_FN double score_helmert(size_t k) {
    return 1.0 / sqrt((double)k * ((double)k + 1.0));
}

/* d2_c from its parts; nuclear is that of the centred rows (design section 2). */
SCORE_FN double score_d2(double trace, double mean_s, double nuclear, double n) {
    double d2 = trace + mean_s - 2.0 * nuclear / sqrt(n);
    return d2 > 0.0 ? d2 : 0.0;
}

/* ---- what d2_c of the classes amount to ---- */

/* Where n lies on a ladder of rows: rungs `below` and `above` count by 1 - share and share. */
typedef struct {
    size_t below, above;
    double share;
} score_rung;
SCORE_FN score_rung score_rung_of(const double *rung, size_t rungs, double n) {
    size_t above = 0;
    while (above < rungs && rung[above] < n) {
        above++;
    }
    if (above == 0 || above == rungs) {
        size_t nearest = above == 0 ? 0 : rungs - 1;
        score_rung end = {nearest, nearest, 0.0};
        return end;
    }
    /* (1/below - 1/n) / (1/below - 1/above), so that neither overflows nor is 0 / 0. */
    double below = rung[above - 1];
    score_rung between = {above - 1, above, (1.0 - below / n) / (1.0 - below / rung[above])};
    return between;
}

/* (d2_c - b_c(n)) / v_c(n). */
SCORE_FN double score_deviations(const engine_benign *benign, size_t class_index, double n,
                                 double d2) {
    score_rung at = score_rung_of(benign->rung, benign->rungs, n);
    const double *mean = benign->mean + class_index * benign->rungs;
    const double *deviation = benign->deviation + class_index * benign->rungs;
    double b = (1.0 - at.share) * mean[at.below] + at.share * mean[at.above];
    double v = (1.0 - at.share) * deviation[at.below] + at.share * deviation[at.above];
    return (d2 - b) / v;
}

/* Sums over the classes of a window or memory, in any parts. */
typedef struct {
    double n;      /* n_c */
    double d2;     /* n_c d2_c */
    double pairs;  /* n_c (n_c - 1) */
    double excess; /* sqrt(n_c) (d2_c - b_c) / v_c */
} score_sums;

/* benign without rungs is none. A weight that has decayed to nothing adds nothing. */
SCORE_FN void score_add(score_sums *sums, const engine_benign *benign, size_t class_index, double n,
                        double d2) {
    sums->n += n;
    sums->d2 += n * d2;
    sums->pairs += n * (n - 1.0);
    if (benign->rungs > 0 && n > 0.0) {
        sums->excess += sqrt(n) * score_deviations(benign, class_index, n, d2);
    }
}

/* The three of engine.h, of all classes; 0 of none. */
typedef struct {
    double score, concentration, excess;
} score_total;
SCORE_FN score_total score_total_of(const score_sums *sums) {
    score_total none = {0.0, 0.0, 0.0};
    score_total total = {sums->d2 / sums->n,
                         sums->n > 1.0 ? sums->pairs / (sums->n * (sums->n - 1.0)) : 1.0,
                         sums->excess / sqrt(sums->n)};
    return sums->n > 0.0 ? total : none;
}

/* cos(x - g, m_c - g) from s = |x - m_c|^2, t = (x - m_c) . (m_c - g) and a = |m_c - g|^2:
 * (x - g) . (m_c - g) = t + a and |x - g|^2 = s + 2 t + a. What is left of that where x is g is
 * rounding; an alignment that is no number must not pass for an honest one. */
SCORE_FN float score_alignment(double s, double t, double a) {
    double square = s + 2.0 * t + a;
    if (a == 0.0) {
        return 0.0f;
    }
    if (!isfinite(square)) {
        return -1.0f;
    }
    if (square <= 1e-12 * (s + a)) {
        return 0.0f;
    }
    double cosine = (t + a) / (sqrt(a) * sqrt(square));
    return (float)(cosine > 1.0 ? 1.0 : cosine >= -1.0 ? cosine : -1.0);
}

/* Entries of a packed triangle. */
SCORE_FN size_t score_triangle(size_t columns) {
    return columns * (columns + 1) / 2;
}

/* What is left of a memory's weight after so many rows; a half-life of 0 never forgets. */
SCORE_FN double score_decay(double half_life_rows, uint64_t rows) {
    return half_life_rows > 0.0 ? exp2(-(double)rows / half_life_rows) : 1.0;
}

/* The Givens rotation that makes v zero beside keep * r (Golub and Van Loan, Matrix Computations,
 * 5.1.8): for each column r' = ck r + s v, v' = c v - sk r. */
typedef struct {
    int turns; /* 0: both are zero, and nothing is to be done */
    float c, s, ck, sk;
} score_rotation;
SCORE_FN score_rotation score_rotation_of(float r, float v, double keep) {
    double a = keep * (double)r;
    double b = (double)v;
    double h = sqrt(a * a + b * b);
    score_rotation none = {0, 0.0f, 0.0f, 0.0f, 0.0f};
    score_rotation turn = {1, (float)(a / h), (float)(b / h), (float)(a / h * keep),
                           (float)(b / h * keep)};
    return h == 0.0 ? none : turn;
}

#endif

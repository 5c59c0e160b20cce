/*
 * score.h - arithmetic that both engines share: element conversion, Helmert rows, closed forms.
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

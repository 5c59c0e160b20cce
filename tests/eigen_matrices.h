/* eigen_matrices.h - seeded symmetric matrices with spectra that an eigensolver finds hard. */
#ifndef ADDER_TESTS_EIGEN_MATRICES_H
#define ADDER_TESTS_EIGEN_MATRICES_H

#include <stddef.h>

typedef enum {
    MATRIX_GRAM,       /* of random rows, twice as many columns */
    MATRIX_CONDITION,  /* eigenvalues from 1 to 10^-variant in equal ratios */
    MATRIX_DEFICIENT,  /* of rows of small integers, of rank order / (variant + 2): exactly so */
    MATRIX_EQUAL,      /* all eigenvalues the same */
    MATRIX_DOMINANT,   /* one, and the others 10^-variant of it */
    MATRIX_DUPLICATES, /* of rows that differ by 10^-variant of themselves, in float32 */
    MATRIX_PADDED,     /* random with `variant` zero rows and columns at the end */
    MATRIX_ZERO,
    MATRIX_KINDS,
} matrix_kind;
extern const char *const matrix_kind_names[MATRIX_KINDS];
enum { MATRIX_VARIANTS = 17 };

/* a: [order, order], the variant below MATRIX_VARIANTS. The same on every machine. */
void matrix_make(matrix_kind kind, size_t variant, size_t order, double *a);

/* Sum of square roots of LAPACK's eigenvalues, negative ones being zero. */
double matrix_lapack(const double *a, size_t order);
/* The same by Jacobi's rotations in long double: what float64 cannot tell from zero, it can. */
double matrix_truth(const double *a, size_t order);

#endif

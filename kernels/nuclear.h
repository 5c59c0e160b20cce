/*
 * nuclear.h - the nuclear norm of a few float32 rows, the costly part of a Frechet distance.
 *
 * Works on the smaller side: a Gram matrix of the rows or a scatter matrix of the columns, formed
 * and reduced to a tridiagonal one in float64, whose sum of roots needs no eigenvalues (roots.h).
 * One and two rows have closed forms. Float64 is what keeps eigenvalues that should be zero near
 * zero: their square roots are at most 1e-8 of the norm.
 */
#ifndef ADDER_NUCLEAR_H
#define ADDER_NUCLEAR_H

#include <stdbool.h>
#include <stddef.h>

/* Memory of one thread for rows of up to rows_max x columns. */
typedef struct nuclear nuclear;
nuclear *nuclear_open(size_t rows_max, size_t columns); /* NULL: no memory */
void nuclear_close(nuclear *scratch);                   /* NULL is allowed */

/* Of the n rows less their mean; n >= 1, each of `columns` floats. False: LAPACK failed, or
 * the norm is no finite number. */
bool nuclear_of_centred(nuclear *scratch, const float *const *rows, size_t n, double *norm);
/* The same in two steps, so that what is left of several can be worked out side by side (packed.h):
 * *order 0 and the norm, or the order of a symmetric matrix that nuclear_gram has until the next
 * call and nuclear_reduce uses up; the norm is the sum of the square roots of its eigenvalues. */
bool nuclear_form(nuclear *scratch, const float *const *rows, size_t n, size_t *order,
                  double *norm);
double *nuclear_gram(nuclear *scratch); /* [order, order], or room for a matrix of one's own */
bool nuclear_reduce(nuclear *scratch, size_t order, double *norm);
/* Of their first `columns` columns alone, at most as many as there are and as rows_max; the work is
 * that of a scatter matrix, so it pays with fewer columns than rows. */
bool nuclear_of_leading(nuclear *scratch, const float *const *rows, size_t n, size_t columns,
                        double *norm);
/* Lengths of the columns of the n rows less their mean: length [columns]. */
void nuclear_lengths(nuclear *scratch, const float *const *rows, size_t n, double *length);
/* Of an upper triangle, packed by rows: row i holds columns - i floats. */
bool nuclear_of_triangle(nuclear *scratch, const float *packed, double *norm);

#endif

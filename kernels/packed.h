/*
 * packed.h - sums of square roots of the eigenvalues of several small matrices at once, one to a
 * vector lane; and nuclear norms of triangles by them.
 *
 * One by one each is a chain of short vectors and divisions; side by side every step of the chain
 * is one instruction for PACKED_LANES of them: Householder's reduction (Golub and Van Loan, Matrix
 * Computations, 8.3.1), then the sum of roots (roots.h). In float64. A memory's triangles are of
 * one order whatever the account does, and a request leaves as many as it has classes; a window's
 * Gram matrices are of several, and a smaller one gets zero rows, whose eigenvalues count for
 * nothing. Lanes know nothing of each other but the largest order, which changes no sum by more
 * than float64 rounding. About 2 n^3 flops each of the largest. What a sum of roots may miss
 * (roots.h) is not looked for: of PACKED_COLUMNS_MAX eigenvalues it is below 1e-6 of the root of
 * the trace, of a window's at most 32 below 5e-7.
 */
#ifndef ADDER_PACKED_H
#define ADDER_PACKED_H

#include <stdbool.h>
#include <stddef.h>

/* More columns are better left to a blocked reduction, one matrix at a time (nuclear.h). */
enum { PACKED_LANES = 8, PACKED_COLUMNS_MAX = 64 };

/* Memory of one thread, for matrices of 1..columns rows, at most PACKED_COLUMNS_MAX. */
typedef struct packed packed;
packed *packed_open(size_t columns); /* NULL: no memory */
void packed_close(packed *packed);   /* NULL is allowed */

/* Puts the symmetric matrix [order, order], of which the lower triangle is read, into the next
 * lane; there must be one. */
void packed_put(packed *packed, const double *matrix, size_t order);
size_t packed_count(const packed *packed); /* matrices that are in */
/* Takes them out: sum [packed_count()], in the order they were put. False: one is no finite number.
 */
bool packed_sums(packed *packed, double *sum);

/* Of `count` (1..PACKED_LANES) upper triangles of `columns` rows, packed by rows: row i holds
 * columns - i floats. Nothing else may be in. False: a norm is no finite number. */
bool packed_nuclear(packed *packed, const float *const *triangle, size_t count, double *norm);

#endif

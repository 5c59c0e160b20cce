/*
 * packed.h - the nuclear norms of several small triangles at once, one to a vector lane.
 *
 * A memory's triangle is of order q whatever the account does, and a request leaves as many of them
 * to be looked at as it has classes. One by one each is a chain of short vectors and divisions;
 * side by side every step of the chain is one instruction for PACKED_LANES of them: Gram matrix of
 * the rows, Householder's reduction (Golub and Van Loan, Matrix Computations, 8.3.1), sum of roots
 * (roots.h). In float64; lanes know nothing of each other, so a norm does not depend on what it is
 * packed with. About 2 q^3 flops each. What a sum of roots may miss (roots.h) is not looked for: of
 * PACKED_COLUMNS_MAX eigenvalues it is below 1e-6 of the root of the trace, which a memory's
 * tolerance has room for.
 */
#ifndef ADDER_PACKED_H
#define ADDER_PACKED_H

#include <stdbool.h>
#include <stddef.h>

/* More columns are better left to a blocked reduction, one matrix at a time (nuclear.h). */
enum { PACKED_LANES = 8, PACKED_COLUMNS_MAX = 64 };

/* Memory of one thread, for triangles of `columns` rows, 1..PACKED_COLUMNS_MAX. */
typedef struct packed packed;
packed *packed_open(size_t columns); /* NULL: no memory */
void packed_close(packed *packed);   /* NULL is allowed */

/* Of `count` (1..PACKED_LANES) upper triangles, packed by rows: row i holds columns - i floats.
 * False: a norm is no finite number. */
bool packed_nuclear(packed *packed, const float *const *triangle, size_t count, double *norm);

#endif

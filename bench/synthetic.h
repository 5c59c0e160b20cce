/*
 * synthetic.h - a reference and a stream of rows that look like a network's features.
 *
 * Each class has a random mean and orthonormal directions of its own; the eigenvalues of its
 * covariance fall as those of the real features in tests/data do (a plateau of a few, then the
 * inverse square). A row is mean + factor * gaussian of a class drawn evenly. All from one seed.
 *
 * The stream is a ring of batches; batch b holds the b-th observation of every account. With
 * enough batches for a window and one more, no row is twice in a window however long it goes round.
 */
#ifndef ADDER_BENCH_SYNTHETIC_H
#define ADDER_BENCH_SYNTHETIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"

typedef struct {
    size_t dim;
    size_t rank; /* 1..dim */
    size_t classes;
    size_t accounts;
    size_t observation_rows;
    size_t batches;
    uint64_t seed;
} synthetic_shape;

typedef struct {
    synthetic_shape shape;
    engine_reference reference; /* of the arrays below */
    float *mean;
    float *factor;
    double *trace;
    float *embeddings;               /* [batches, accounts, observation_rows, dim] */
    uint32_t *classes;               /* [batches, accounts, observation_rows] */
    const unsigned char **row;       /* [batches, accounts, observation_rows] */
    engine_observation *observation; /* [accounts], of any batch; account a is slot a */
    engine_result *results;          /* [batches, accounts] */
} synthetic;

/* Uses as many threads as OpenBLAS is set to. False: no memory. */
bool synthetic_init(synthetic *s, const synthetic_shape *shape);
void synthetic_fini(synthetic *s); /* zeroed is allowed */

/* Batch b, one observation of every account. Borrows from s. */
engine_batch synthetic_batch(const synthetic *s, size_t b);
/* One account's observation of batch b by itself; `alone` is the caller's. */
engine_batch synthetic_request(const synthetic *s, size_t b, size_t account,
                               engine_observation *alone);

#endif

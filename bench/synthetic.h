/*
 * synthetic.h - a reference and a stream of rows that look like a network's features.
 *
 * Each class has a random mean and orthonormal directions of its own; the eigenvalues of its
 * covariance fall as those of the real features in tests/data do (a plateau of a few, then the
 * inverse square). A row is mean + factor * gaussian of a class drawn evenly. All from one seed.
 *
 * The stream is a ring of batches, each with an observation of every account of a group; groups
 * take turns, and their accounts see the same rows at other times. With enough batches for a window
 * and one more, and no divisor that the groups have too, no row is twice in a window however long
 * it goes round.
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
    size_t accounts; /* of a group */
    size_t groups_max;
    size_t observation_rows;
    size_t batches;
    uint64_t seed;
    const engine_reference *reference; /* of these dim, rank, classes, copied; NULL: one is made */
} synthetic_shape;

typedef struct {
    synthetic_shape shape;
    size_t groups;              /* 1..groups_max, to be changed at will; groups_max at first */
    engine_reference reference; /* of the arrays below */
    float *mean;
    float *factor;
    double *trace;
    float *embeddings;               /* [batches, accounts, observation_rows, dim] */
    uint32_t *classes;               /* [batches, accounts, observation_rows] */
    const unsigned char **row;       /* [batches, accounts, observation_rows] */
    engine_observation *observation; /* [groups_max, accounts], each with a slot of its own */
    engine_result *results;          /* [batches, accounts] */
} synthetic;

/* What synthetic_init allocates; SIZE_MAX if that cannot be counted. */
size_t synthetic_bytes(const synthetic_shape *shape);
/* Uses as many threads as OpenBLAS is set to. False: no memory. */
bool synthetic_init(synthetic *s, const synthetic_shape *shape);
void synthetic_fini(synthetic *s); /* zeroed is allowed */

/* Independent standard normals, from a seed that moves on. */
void synthetic_gaussians(uint64_t *state, float *out, size_t count);
/* The k-th largest eigenvalue of every class's covariance, from 0. */
double synthetic_eigenvalue(size_t k);

/* Index of the ring's batch that is next but `back` for a group whose turn is at step. */
size_t synthetic_before(const synthetic *s, size_t step, size_t back);

/* Batch of a step, 0 and up: of group step % groups. Borrows from s. */
engine_batch synthetic_batch(const synthetic *s, size_t step);
/* The observation of one account of the step's group by itself; `alone` is the caller's. */
engine_batch synthetic_request(const synthetic *s, size_t step, size_t account,
                               engine_observation *alone);

#endif

/*
 * pool.h - all sources of an evaluation in one array of rows, with what each row says by itself.
 *
 * Per row: the alignment (engine.h), the Mahalanobis distance to its predicted class and, where
 * logits lie beside the embeddings, the energy -logsumexp(logits) (Liu et al., NeurIPS 2020).
 * Rows are those of the files that the range of their kind of source takes.
 */
#ifndef ADDER_POOL_H
#define ADDER_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "dataset.h"
#include "reference.h"
#include "scorer.h"

typedef enum { POOL_HONEST, POOL_SHIFTED, POOL_ATTACK, POOL_CALIBRATION } pool_kind;
enum { POOL_SOURCES_MAX = 4 * DATASET_PAIRS_MAX };

typedef struct {
    dataset_pair pair;
    pool_kind kind;
    dataset_range range;
    size_t first; /* row */
    size_t rows;
    bool has_energy;
} pool_source;

typedef struct {
    dataset data;
    double *alignment;   /* [rows] */
    double *mahalanobis; /* [rows] squared */
    double *energy;      /* [rows] NAN: no logits */
    size_t sources;
    pool_source *source; /* [POOL_SOURCES_MAX] */
} pool;

/* Adds all sources at a path. False with one line in error, as is pool_measure. */
bool pool_add(pool *p, const reference *reference, const char *path, pool_kind kind,
              dataset_range range, char *error, size_t error_bytes);
/* Fills in what rows say by themselves, once all sources are in. */
bool pool_measure(pool *p, const reference *reference, scorer *scorer, char *error,
                  size_t error_bytes);
void pool_close(pool *p); /* zeroed is allowed */

/* Whether two ranges take a row in common of a file of so many. */
bool pool_ranges_overlap(dataset_range a, dataset_range b, size_t rows);

#endif

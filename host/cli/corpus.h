/*
 * corpus.h - all sources of an evaluation in one array of rows, with what each row says by itself.
 *
 * Per row: the alignment (engine.h), the Mahalanobis distance to its predicted class and, where
 * logits lie beside the embeddings, the energy -logsumexp(logits) (Liu et al., NeurIPS 2020).
 * Rows are those of the files that the range of their kind of source takes.
 */
#ifndef ADDER_CORPUS_H
#define ADDER_CORPUS_H

#include <stdbool.h>
#include <stddef.h>

#include "dataset.h"
#include "reference.h"
#include "scorer.h"

typedef enum { CORPUS_HONEST, CORPUS_SHIFTED, CORPUS_ATTACK, CORPUS_CALIBRATION } corpus_kind;
enum { CORPUS_SOURCES_MAX = 4 * DATASET_PAIRS_MAX };

typedef struct {
    dataset_pair pair;
    corpus_kind kind;
    dataset_range range;
    size_t first; /* row */
    size_t rows;
    bool has_energy;
} corpus_source;

typedef struct {
    dataset data;
    double *alignment;   /* [rows] */
    double *mahalanobis; /* [rows] squared */
    double *energy;      /* [rows] NAN: no logits */
    size_t sources;
    corpus_source *source; /* [CORPUS_SOURCES_MAX] */
} corpus;

/* Adds all sources at a path. False with one line in error, as is corpus_measure. */
bool corpus_add(corpus *p, const reference *reference, const char *path, corpus_kind kind,
                dataset_range range, char *error, size_t error_bytes);
/* Fills in what rows say by themselves, once all sources are in. */
bool corpus_measure(corpus *p, const reference *reference, scorer *scorer, char *error,
                    size_t error_bytes);
void corpus_close(corpus *p); /* zeroed is allowed */

/* Whether two ranges take a row in common of a file of so many. */
bool corpus_ranges_overlap(dataset_range a, dataset_range b, size_t rows);

#endif

/*
 * dataset.h - a file of embeddings and a file of predicted classes, as rows.
 *
 * Errors: false with one line naming the file. Owner: whoever loads it.
 */
#ifndef ADDER_DATASET_H
#define ADDER_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t rows;
    size_t dim;
    float *embeddings; /* [rows, dim], finite and within what the daemon takes */
    uint32_t *classes; /* [rows] */
} dataset;

/* Rows first, first + step, ... below end; end SIZE_MAX is the files' own. */
typedef struct {
    size_t first;
    size_t end;
    size_t step;
} dataset_range;
#define DATASET_ALL ((dataset_range){0, SIZE_MAX, 1})

/* "FIRST:END:STEP" as Python's slices have it: any of them, and the last colon, may be left out. */
bool dataset_parse_range(const char *text, dataset_range *range);

/* dim 0 and classes 0 take what comes. */
typedef struct {
    const char *embeddings;
    const char *classes;
    dataset_range range;
    size_t dim;
    size_t class_count;
} dataset_files;
bool dataset_load(dataset *data, const dataset_files *files, char *error, size_t error_bytes);
void dataset_close(dataset *data); /* zeroed is allowed */

const float *dataset_row(const dataset *data, size_t row);

/* The pairs NAME.emb*.npy and NAME.pred*.npy of a directory, by name. A path that is no directory
 * is the beginning of the paths to take. Embeddings without just one file of predictions are an
 * error. */
enum { DATASET_PAIRS_MAX = 256, DATASET_PATH_MAX = 1024, DATASET_NAME_MAX = 128 };
typedef struct {
    char name[DATASET_NAME_MAX];
    char embeddings[DATASET_PATH_MAX];
    char classes[DATASET_PATH_MAX];
} dataset_pair;
/* Returns how many there are, at most DATASET_PAIRS_MAX; 0 with one line in error. */
size_t dataset_find(dataset_pair *pairs, const char *path, char *error, size_t error_bytes);

#endif

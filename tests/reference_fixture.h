/*
 * reference_fixture.h - a folder of its own for each test of references, and small files in it.
 *
 * Everything asserts with Criterion. One test is one process, so the state below is its own.
 */
#ifndef ADDER_REFERENCE_FIXTURE_H
#define ADDER_REFERENCE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "npy.h"

enum { FIXTURE_ERROR_BYTES = 1024 };
extern char fixture_error[FIXTURE_ERROR_BYTES];

void fixture_open(void);
void fixture_close(void); /* removes the folder */

/* `name` in the folder; good until the eighth call after. */
const char *fixture_path(const char *name);
bool fixture_exists(const char *name);
size_t fixture_entries(const char *name); /* of a directory */

/* fixture_error is one line and holds `text`; then it is emptied. */
void fixture_expect_error(const char *text);

/* As many axes as the shape has lengths before a 0, at most 3. */
void fixture_save(const char *name, npy_dtype dtype, const size_t shape[3], const void *data);
void fixture_write(const char *name, const void *bytes, size_t count);

/* Rows whose labels go round 0..classes-1. */
typedef struct {
    size_t count;
    size_t dim;
    size_t labels_count;
    float *embeddings;
    int32_t *labels;
} fixture_rows;
fixture_rows fixture_make_rows(size_t count, size_t dim, size_t classes);
void fixture_save_rows(const fixture_rows *rows); /* e.npy and l.npy */
void fixture_free_rows(fixture_rows *rows);

typedef struct {
    const char *model;
    const float *mean;
    const float *covariance;
    size_t mean_shape[3];
    size_t covariance_shape[3];
} fixture_statistics;

#endif

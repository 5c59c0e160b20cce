/*
 * npy.h - NumPy's .npy files, versions 1 to 3, little-endian, C order.
 *
 * Files come from outside: every size in a header is checked before use, and the file must be as
 * long as its header says. An axis of length 0 is allowed here. Errors are one line in `error`:
 * which file, what was expected, what came. A file that is cut short while it is mapped raises
 * SIGBUS, as with every mapping: long-lived readers copy what they need and close.
 */
#ifndef ADDER_NPY_H
#define ADDER_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aside.h"

enum { NPY_AXES_MAX = 4, NPY_HEADER_MAX = 65536 };

typedef enum {
    NPY_F16,
    NPY_F32,
    NPY_F64,
    NPY_I8,
    NPY_I16,
    NPY_I32,
    NPY_I64,
    NPY_U8,
    NPY_U16,
    NPY_U32,
    NPY_U64,
} npy_dtype;

/* An array read from a file (mapped read-only, so large files cost no copy). */
typedef struct {
    npy_dtype dtype;
    size_t axes;
    size_t shape[NPY_AXES_MAX];
    size_t count;              /* product of the shape */
    const unsigned char *data; /* elements; alignment not promised */
    void *map;                 /* owned; npy_close unmaps */
    size_t map_bytes;
} npy;

/* Both return false with error set; then *array is zeroed. */
bool npy_open(npy *array, const char *path, char *error, size_t error_bytes);
void npy_close(npy *array); /* zeroed is allowed */

/* Element `index` of a floating array as double, of an integer array as int64_t. Asserts the kind.
 * A uint64 above INT64_MAX reads as INT64_MAX. */
double npy_float(const npy *array, size_t index);
int64_t npy_integer(const npy *array, size_t index);
/* Elements first .. first + count - 1 of a floating array. */
void npy_floats(const npy *array, size_t first, size_t count, double *out);
bool npy_is_float(const npy *array);
size_t npy_dtype_bytes(npy_dtype dtype);
const char *npy_dtype_text(npy_dtype dtype); /* "float32" */
/* "(3, 4)", as Python writes it; returns text. */
char *npy_shape_text(size_t axes, const size_t *shape, char *text, size_t text_bytes);

/* Writes version 1.0, aside and renamed, synced. */
bool npy_save(const char *path, npy_dtype dtype, size_t axes, const size_t *shape, const void *data,
              char *error, size_t error_bytes);
/* The same bytes into a file that the caller syncs and commits; false with errno set. */
bool npy_write(aside *file, npy_dtype dtype, size_t axes, const size_t *shape, const void *data);

#endif

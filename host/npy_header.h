/*
 * npy_header.h - the header of an .npy file, for npy.c alone.
 */
#ifndef ADDER_NPY_HEADER_H
#define ADDER_NPY_HEADER_H

#include "npy.h"

enum { NPY_HEADER_WRITTEN_MAX = 256 };

/* Reads map and map_bytes of the array; sets dtype, axes, shape, count and data. */
bool npy_header_decode(npy *array, const char *path, char *error, size_t error_bytes);
/* A version 1.0 header; returns its length. */
size_t npy_header_encode(npy_dtype dtype, size_t axes, const size_t *shape,
                         char header[NPY_HEADER_WRITTEN_MAX]);

#endif

/*
 * device.h - yardsticks of the CUDA device, measured in the same run as the engine: what it copies,
 * multiplies and diagonalises when that is all it does.
 *
 * device.cu and device_eigen.cu where CUDA is built, device_none.c elsewhere, where nothing opens.
 * One thread. What fails leaves a line of text, in `error` or in the text asked for.
 */
#ifndef ADDER_BENCH_DEVICE_H
#define ADDER_BENCH_DEVICE_H

#include <stddef.h>

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One line: its name, multiprocessors and memory. */
engine_status device_describe(char *text, size_t text_bytes);

typedef enum {
    DEVICE_UPLOAD,  /* a batch's embeddings, from pinned memory */
    DEVICE_COPY,    /* from device memory to device memory, past the caches */
    DEVICE_PRODUCT, /* cuBLAS in float32, a batch's rows by their classes' factors, one call */
    DEVICE_YARDSTICKS,
} device_yardstick;

typedef struct device device;

/* Copies what it needs. copy_bytes: of DEVICE_COPY, at least a batch's embeddings. */
engine_status device_open(device **out, const engine_reference *reference,
                          const engine_batch *batch, size_t copy_bytes, char *error,
                          size_t error_bytes);
void device_close(device *d); /* NULL is allowed */

/* What one pass does: bytes written, or flops. */
double device_work(const device *d, device_yardstick what);
/* Seconds of a pass, the mean of as many as take `seconds` or a little more. */
engine_status device_time(device *d, device_yardstick what, double seconds, double *pass_s,
                          char *error, size_t error_bytes);

/* Matrices a second, sums of the square roots of their eigenvalues, by each way of eigen.cuh; 0 of
 * a way that does not have this order. */
typedef struct {
    size_t order;
    double warp_per_s, syev_per_s, syevj_per_s;
} device_eigen;
/* Of batches of matrices of about matrix_bytes, `seconds` for each way. */
engine_status device_eigen_time(device_eigen *out, size_t order, size_t matrix_bytes,
                                double seconds, char *error, size_t error_bytes);

#ifdef __cplusplus
}
#endif
#endif

/* eigen_probe.h - kernels/eigen.cuh for a test in C: matrices and sums of the host. */
#ifndef ADDER_TESTS_EIGEN_PROBE_H
#define ADDER_TESTS_EIGEN_PROBE_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { PROBE_AUTO, PROBE_WARP, PROBE_SYEV, PROBE_SYEVJ, PROBE_WAYS } eigen_probe_way;

typedef struct eigen_probe eigen_probe;

/* Device memory for matrix_bytes_max of matrices beside an eigen of these options. */
engine_status eigen_probe_open(eigen_probe **out, eigen_probe_way way, size_t order_max,
                               size_t matrix_bytes_max);
void eigen_probe_close(eigen_probe *p); /* NULL is allowed */

/* Of matrices [count, order, order]; waits for it. */
engine_status eigen_probe_sum(eigen_probe *p, const double *matrices, size_t order, size_t count,
                              double *sum, bool *failed);

size_t eigen_probe_padded(size_t order);
size_t eigen_probe_batch_max(const eigen_probe *p, size_t order);

#ifdef __cplusplus
}
#endif
#endif

/* eigen_probe.cu - see eigen_probe.h. Sums start as NaN: what nobody writes is seen. */
#include "eigen_probe.h"

#include "eigen.cuh"

#include <stdlib.h>

struct eigen_probe {
    cudaStream_t stream;
    eigen *e;
    double *matrices, *sum;
    int *failed;
    size_t bytes_max;
};

static_assert((int)PROBE_AUTO == EIGEN_AUTO && (int)PROBE_WARP == EIGEN_WARP &&
                  (int)PROBE_SYEV == EIGEN_SYEV && (int)PROBE_SYEVJ == EIGEN_SYEVJ,
              "the same ways");

static eigen_options probe_options(eigen_probe_way way, size_t order_max, size_t bytes_max) {
    eigen_options options = {};
    options.way = static_cast<eigen_way>(way);
    options.order_max = order_max;
    options.matrix_bytes_max = bytes_max;
    return options;
}

static engine_status open_parts(eigen_probe *p, eigen_options *options) {
    p->bytes_max = options->matrix_bytes_max;
    TRY(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking));
    options->stream = p->stream;
    TRY(cudaMalloc(&p->matrices, p->bytes_max));
    TRY(cudaMalloc(&p->sum, p->bytes_max));
    TRY(cudaMalloc(&p->failed, sizeof(int)));
    return eigen_open(&p->e, options);
}

engine_status eigen_probe_open(eigen_probe **out, eigen_probe_way way, size_t order_max,
                               size_t matrix_bytes_max) {
    eigen_options options = probe_options(way, order_max, matrix_bytes_max);
    *out = static_cast<eigen_probe *>(calloc(1, sizeof **out));
    engine_status status = *out == NULL ? ENGINE_NO_MEMORY : open_parts(*out, &options);
    if (status != ENGINE_OK) {
        eigen_probe_close(*out);
        *out = NULL;
    }
    return status;
}

void eigen_probe_close(eigen_probe *p) {
    if (p == NULL) {
        return;
    }
    eigen_close(p->e);
    cudaFree(p->failed);
    cudaFree(p->sum);
    cudaFree(p->matrices);
    if (p->stream != NULL) {
        cudaStreamDestroy(p->stream);
    }
    free(p);
}

engine_status eigen_probe_sum(eigen_probe *p, const double *matrices, size_t order, size_t count,
                              double *sum, bool *failed) {
    size_t bytes = count * order * order * sizeof(double);
    int seen = 0;
    TRY(cudaMemcpy(p->matrices, matrices, bytes < p->bytes_max ? bytes : p->bytes_max,
                   cudaMemcpyHostToDevice));
    TRY(cudaMemset(p->sum, 0xff, p->bytes_max));
    TRY(cudaMemset(p->failed, 0, sizeof(int)));
    TRY(eigen_sum(p->e, p->matrices, order, count, p->sum, p->failed));
    TRY(cudaStreamSynchronize(p->stream));
    TRY(cudaMemcpy(sum, p->sum, count * sizeof(double), cudaMemcpyDeviceToHost));
    TRY(cudaMemcpy(&seen, p->failed, sizeof seen, cudaMemcpyDeviceToHost));
    *failed = seen != 0;
    return ENGINE_OK;
}

size_t eigen_probe_padded(size_t order) {
    return eigen_padded(order);
}

size_t eigen_probe_batch_max(const eigen_probe *p, size_t order) {
    return eigen_batch_max(p->e, order);
}

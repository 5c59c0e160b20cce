/*
 * eigen.cu - many eigenproblems at once: the warp's kernel, or a solver of cuSOLVER and a sum.
 *
 * The warp's kernel reads each matrix once, 8 order^2 bytes, and is bound by shared memory from
 * order 16 or so, by divisions below. cuSOLVER's solvers take about 4/3 order^3 flops each.
 */
#include "eigen.cuh"

#include <limits.h>
#include <stdlib.h>

enum { WARPS = 4, THREADS = WARPS * EIGEN_LANES, JACOBI_SWEEPS_MAX = 30 };

struct eigen {
    eigen_options options;
    cusolverDnHandle_t solver;
    cusolverDnParams_t params;
    syevjInfo_t jacobi;
    bool has_syev;  /* which of cuSOLVER's solvers it is */
    double *values; /* [batch, order] */
    int *info;      /* [batch] */
    void *work;
    size_t work_bytes;
    void *host_work;
    size_t host_bytes;
};

/* One warp a matrix. Shared: WARPS matrices [order, order | 1]. */
static __global__ void __launch_bounds__(THREADS)
    sum_small(const double *__restrict__ matrices, int order, size_t count,
              double *__restrict__ sum, int *failed) {
    SHARED(double, shared);
    int lane = (int)threadIdx.x % EIGEN_LANES, warp = (int)threadIdx.x / EIGEN_LANES;
    int stride = order | 1;
    size_t matrix = (size_t)blockIdx.x * WARPS + (size_t)warp;
    if (matrix >= count) {
        return;
    }
    double *a = shared + warp * order * stride;
    const double *from = matrices + matrix * (size_t)(order * order);
    for (int i = lane; i < order * order; i += EIGEN_LANES) {
        a[i / order * stride + i % order] = from[i];
    }
    double roots = eigen_roots(a, order, stride);
    if (lane == 0) {
        sum[matrix] = roots;
        if (!isfinite(roots)) {
            atomicOr(failed, 1);
        }
    }
}

/* One warp a matrix: of its eigenvalues [order], and what the solver says of it. */
static __global__ void __launch_bounds__(THREADS)
    sum_values(const double *__restrict__ values, const int *__restrict__ info, int order,
               size_t count, double *__restrict__ sum, int *failed) {
    int lane = (int)threadIdx.x % EIGEN_LANES;
    size_t matrix = (size_t)blockIdx.x * WARPS + threadIdx.x / EIGEN_LANES;
    if (matrix >= count) {
        return;
    }
    double roots = 0.0;
    for (int i = lane; i < order; i += EIGEN_LANES) {
        double value = values[matrix * (size_t)order + (size_t)i];
        roots += value <= 0.0 ? 0.0 : sqrt(value); /* lets NaN through */
    }
    roots = eigen_warp_sum(roots);
    if (lane == 0) {
        sum[matrix] = roots;
        if (info[matrix] != 0 || !isfinite(roots)) {
            atomicOr(failed, 1);
        }
    }
}

size_t eigen_padded(size_t order) {
    size_t padded = EIGEN_SMALL_MAX;
    if (order <= EIGEN_SMALL_MAX) {
        return order;
    }
    while (padded < order) {
        padded *= 2;
    }
    return padded;
}

static bool is_small(const eigen_options *options, size_t order) {
    return order <= EIGEN_SMALL_MAX && (options->way == EIGEN_AUTO || options->way == EIGEN_WARP);
}

static size_t batch_max(const eigen_options *options, size_t order) {
    size_t bytes = options->matrix_bytes_max;
    if (order == 0 || order > eigen_padded(options->order_max) ||
        (order > EIGEN_SMALL_MAX && options->way == EIGEN_WARP)) {
        return 0;
    }
    if (!is_small(options, order)) {
        bytes = bytes < INT_MAX ? bytes : INT_MAX;
    }
    size_t batch = bytes / (order * order * sizeof(double)), most = EIGEN_BATCH_MAX;
    return is_small(options, order) || batch < most ? batch : most;
}

size_t eigen_batch_max(const eigen *e, size_t padded_order) {
    return batch_max(&e->options, padded_order);
}

/* The padded orders that cuSOLVER gets, one after the other from 0; 0 after the last. */
static size_t next_order(const eigen_options *options, size_t order) {
    size_t next = eigen_padded(order + 1);
    if (is_small(options, next)) {
        next = eigen_padded(EIGEN_SMALL_MAX + 1);
    }
    return batch_max(options, next) > 0 ? next : 0;
}

/* Of the largest batch of any order. */
static void count_values(const eigen_options *options, size_t *values, size_t *matrices) {
    *values = *matrices = 0;
    for (size_t order = 0; (order = next_order(options, order)) > 0;) {
        size_t batch = batch_max(options, order);
        *matrices = batch > *matrices ? batch : *matrices;
        *values = batch * order > *values ? batch * order : *values;
    }
}

/* ---- opening ---- */

static cusolverStatus_t ask_syev(const eigen *e, size_t order, size_t *device, size_t *host) {
    int64_t n = (int64_t)order;
    return cusolverDnXsyevBatched_bufferSize(e->solver, e->params, CUSOLVER_EIG_MODE_NOVECTOR,
                                             CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, NULL, n,
                                             CUDA_R_64F, NULL, CUDA_R_64F, device, host,
                                             (int64_t)batch_max(&e->options, order));
}

static cusolverStatus_t ask_syevj(const eigen *e, size_t order, size_t *device, size_t *host) {
    int n = (int)order, doubles = 0;
    cusolverStatus_t status = cusolverDnDsyevjBatched_bufferSize(
        e->solver, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_LOWER, n, NULL, n, NULL, &doubles,
        e->jacobi, (int)batch_max(&e->options, order));
    *device = doubles > 0 ? (size_t)doubles * sizeof(double) : 0;
    *host = 0;
    return status;
}

/* Largest workspaces over all orders, by the solver in force. */
static cusolverStatus_t ask_all(eigen *e) {
    e->work_bytes = e->host_bytes = 0;
    for (size_t order = 0; (order = next_order(&e->options, order)) > 0;) {
        size_t device = 0, host = 0;
        cusolverStatus_t status =
            e->has_syev ? ask_syev(e, order, &device, &host) : ask_syevj(e, order, &device, &host);
        if (status != CUSOLVER_STATUS_SUCCESS) {
            return status;
        }
        e->work_bytes = device > e->work_bytes ? device : e->work_bytes;
        e->host_bytes = host > e->host_bytes ? host : e->host_bytes;
    }
    return CUSOLVER_STATUS_SUCCESS;
}

/* A library that has XsyevBatched may yet refuse it for a device or an order. */
static engine_status choose_solver(eigen *e) {
    e->has_syev = e->options.way != EIGEN_SYEVJ;
    cusolverStatus_t status = ask_all(e);
    if (e->options.way == EIGEN_AUTO &&
        (status == CUSOLVER_STATUS_NOT_SUPPORTED || status == CUSOLVER_STATUS_INVALID_VALUE)) {
        e->has_syev = false;
        status = ask_all(e);
    }
    TRY(status);
    return ENGINE_OK;
}

static engine_status open_solver(eigen *e) {
    TRY(cusolverDnCreate(&e->solver));
    TRY(cusolverDnSetStream(e->solver, e->options.stream));
    TRY(cusolverDnCreateParams(&e->params));
    TRY(cusolverDnCreateSyevjInfo(&e->jacobi));
    TRY(cusolverDnXsyevjSetMaxSweeps(e->jacobi, JACOBI_SWEEPS_MAX));
    TRY(cusolverDnXsyevjSetSortEig(e->jacobi, 0));
    TRY(choose_solver(e));
    size_t values, matrices;
    count_values(&e->options, &values, &matrices);
    TRY(cudaMalloc(&e->values, values * sizeof(double)));
    TRY(cudaMalloc(&e->info, matrices * sizeof(int)));
    if (e->work_bytes > 0) {
        TRY(cudaMalloc(&e->work, e->work_bytes));
    }
    e->host_work = e->host_bytes > 0 ? malloc(e->host_bytes) : NULL;
    return e->host_bytes > 0 && e->host_work == NULL ? ENGINE_NO_MEMORY : ENGINE_OK;
}

engine_status eigen_open(eigen **out, const eigen_options *options) {
    *out = NULL;
    size_t order_max = options->order_max;
    if (order_max == 0 || order_max > EIGEN_ORDER_MAX ||
        batch_max(options, eigen_padded(order_max)) == 0) {
        return ENGINE_BAD_ARGUMENT;
    }
    eigen *e = static_cast<eigen *>(calloc(1, sizeof *e));
    if (e == NULL) {
        return ENGINE_NO_MEMORY;
    }
    e->options = *options;
    engine_status status = next_order(options, 0) > 0 ? open_solver(e) : ENGINE_OK;
    if (status != ENGINE_OK) {
        eigen_close(e);
        return status;
    }
    *out = e;
    return ENGINE_OK;
}

/* Nothing can be done about a failure here, and on a lost device all of it fails. */
void eigen_close(eigen *e) {
    if (e == NULL) {
        return;
    }
    free(e->host_work);
    cudaFree(e->work);
    cudaFree(e->info);
    cudaFree(e->values);
    if (e->jacobi != NULL) {
        cusolverDnDestroySyevjInfo(e->jacobi);
    }
    if (e->params != NULL) {
        cusolverDnDestroyParams(e->params);
    }
    if (e->solver != NULL) {
        cusolverDnDestroy(e->solver);
    }
    free(e);
}

/* ---- sums ---- */

static engine_status put_solver(eigen *e, double *matrices, size_t order, size_t count) {
    int64_t n = (int64_t)order;
    if (e->has_syev) {
        TRY(cusolverDnXsyevBatched(e->solver, e->params, CUSOLVER_EIG_MODE_NOVECTOR,
                                   CUBLAS_FILL_MODE_LOWER, n, CUDA_R_64F, matrices, n, CUDA_R_64F,
                                   e->values, CUDA_R_64F, e->work, e->work_bytes, e->host_work,
                                   e->host_bytes, e->info, (int64_t)count));
    } else {
        TRY(cusolverDnDsyevjBatched(
            e->solver, CUSOLVER_EIG_MODE_NOVECTOR, CUBLAS_FILL_MODE_LOWER, (int)order, matrices,
            (int)order, e->values, static_cast<double *>(e->work),
            (int)(e->work_bytes / sizeof(double)), e->info, e->jacobi, (int)count));
    }
    return ENGINE_OK;
}

engine_status eigen_sum(eigen *e, double *matrices, size_t order, size_t count, double *sum,
                        int *failed) {
    if (order != eigen_padded(order) || count > eigen_batch_max(e, order)) {
        return ENGINE_BAD_ARGUMENT;
    }
    if (count == 0) {
        return ENGINE_OK;
    }
    unsigned blocks = (unsigned)((count + WARPS - 1) / WARPS);
    if (is_small(&e->options, order)) {
        size_t shared = WARPS * order * (order | 1) * sizeof(double);
        LAUNCH(sum_small, blocks, THREADS, shared, e->options.stream, matrices, (int)order, count,
               sum, failed);
        return ENGINE_OK;
    }
    TRY(put_solver(e, matrices, order, count));
    LAUNCH(sum_values, blocks, THREADS, 0, e->options.stream, e->values, e->info, (int)order, count,
           sum, failed);
    return ENGINE_OK;
}

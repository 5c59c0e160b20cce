/*
 * solver.cc - the cuSOLVER calls of the engine, on LAPACK: eigenvalues of many symmetric matrices.
 *
 * Values only. What the real calls leave undefined, the matrices and the workspace, becomes NaN.
 */
#include "cusolverDn.h"
#include "libraries.h"

#include <lapacke.h>

struct cusolverDnContext {
    cudaStream_t stream;
};
struct cusolverDnParams {
    int unused;
};
struct syevjInfo {
    int unused;
};

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *handle) {
    return library_make(__func__, handle, CUSOLVER_STATUS_NOT_INITIALIZED,
                        CUSOLVER_STATUS_ALLOC_FAILED);
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
    return library_drop(__func__, handle, CUSOLVER_STATUS_EXECUTION_FAILED,
                        CUSOLVER_STATUS_NOT_INITIALIZED);
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t *params) {
    return library_make(__func__, params, CUSOLVER_STATUS_NOT_INITIALIZED,
                        CUSOLVER_STATUS_ALLOC_FAILED);
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params) {
    return library_drop(__func__, params, CUSOLVER_STATUS_EXECUTION_FAILED,
                        CUSOLVER_STATUS_INVALID_VALUE);
}

cusolverStatus_t cusolverDnCreateSyevjInfo(syevjInfo_t *info) {
    return library_make(__func__, info, CUSOLVER_STATUS_NOT_INITIALIZED,
                        CUSOLVER_STATUS_ALLOC_FAILED);
}

cusolverStatus_t cusolverDnDestroySyevjInfo(syevjInfo_t info) {
    return library_drop(__func__, info, CUSOLVER_STATUS_EXECUTION_FAILED,
                        CUSOLVER_STATUS_INVALID_VALUE);
}

static cusolverStatus_t solver_begin(const char *call, const void *handle) {
    standin_lock held(standin_calls);
    int error = standin_begin(call, CUSOLVER_STATUS_EXECUTION_FAILED);
    return error == 0 && handle == NULL ? CUSOLVER_STATUS_NOT_INITIALIZED : (cusolverStatus_t)error;
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t streamId) {
    standin_lock held(standin_calls);
    cusolverStatus_t status = solver_begin(__func__, handle);
    if (status == CUSOLVER_STATUS_SUCCESS) {
        handle->stream = streamId;
    }
    return status;
}

/* LAPACK has neither sweeps nor a tolerance, and its values are always sorted. */
cusolverStatus_t cusolverDnXsyevjSetTolerance(syevjInfo_t info, double) {
    return solver_begin(__func__, info);
}

cusolverStatus_t cusolverDnXsyevjSetMaxSweeps(syevjInfo_t info, int) {
    return solver_begin(__func__, info);
}

cusolverStatus_t cusolverDnXsyevjSetSortEig(syevjInfo_t info, int) {
    return solver_begin(__func__, info);
}

typedef struct {
    const char *call;
    cusolverEigMode_t jobz;
    cublasFillMode_t uplo;
    cudaDataType type;
    int64_t n, lda, batch;
    void *a, *w, *work;
    int *info;
    size_t work_bytes;
} eigen;

static size_t element_bytes(cudaDataType type) {
    return type == CUDA_R_64F ? sizeof(double) : sizeof(float);
}

/* What the stand-in asks for, so that a caller that forgets the workspace is found out. */
static size_t work_bytes_min(const eigen *e) {
    return (size_t)(4 * e->n + e->batch) * element_bytes(e->type);
}

static cusolverStatus_t eigen_check(const eigen *e) {
    if (e->jobz == CUSOLVER_EIG_MODE_VECTOR) {
        return CUSOLVER_STATUS_NOT_SUPPORTED; /* by the stand-in: Adder wants values only */
    }
    bool valid = (e->uplo == CUBLAS_FILL_MODE_LOWER || e->uplo == CUBLAS_FILL_MODE_UPPER) &&
                 (e->type == CUDA_R_32F || e->type == CUDA_R_64F) && e->n > 0 && e->lda >= e->n &&
                 e->batch > 0;
    return valid ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_INVALID_VALUE;
}

static void eigen_run(const eigen *e) {
    size_t size = element_bytes(e->type), matrix_bytes = (size_t)(e->lda * e->n) * size;
    library_check(e->call, "A", e->a, e->lda, e->n * e->batch, e->lda, size);
    library_check(e->call, "W", e->w, e->n, e->batch, e->n, size);
    library_check(e->call, "info", e->info, e->batch, 1, e->batch, sizeof *e->info);
    library_check(e->call, "workspace", e->work, (int64_t)e->work_bytes, 1, (int64_t)e->work_bytes,
                  1);
    char uplo = e->uplo == CUBLAS_FILL_MODE_LOWER ? 'L' : 'U';
    int n = (int)e->n, lda = (int)e->lda;
    for (int64_t i = 0; i < e->batch; i++) {
        void *a = static_cast<char *>(e->a) + (size_t)i * matrix_bytes;
        void *w = static_cast<char *>(e->w) + (size_t)(i * e->n) * size;
        e->info[i] = e->type == CUDA_R_64F
                         ? LAPACKE_dsyev(LAPACK_COL_MAJOR, 'N', uplo, n, static_cast<double *>(a),
                                         lda, static_cast<double *>(w))
                         : LAPACKE_ssyev(LAPACK_COL_MAJOR, 'N', uplo, n, static_cast<float *>(a),
                                         lda, static_cast<float *>(w));
        memset(a, 0xff, matrix_bytes);
    }
    memset(e->work, 0xff, e->work_bytes);
}

static cusolverStatus_t eigen_put(cusolverDnHandle_t handle, eigen e) {
    if (e.a == NULL || e.w == NULL || e.info == NULL || e.work == NULL ||
        e.work_bytes < work_bytes_min(&e)) {
        return CUSOLVER_STATUS_INVALID_VALUE;
    }
    cudaError_t error = standin_enqueue(handle->stream, [=] { eigen_run(&e); });
    return error == cudaSuccess ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED;
}

/* The shape of a call of either solver, checked as far as the workspace's size needs it. */
static cusolverStatus_t eigen_begin(eigen *e, const char *call, cusolverDnHandle_t handle,
                                    const void *params) {
    e->call = call;
    cusolverStatus_t status = solver_begin(call, handle);
    if (status == CUSOLVER_STATUS_SUCCESS) {
        status = params == NULL ? CUSOLVER_STATUS_INVALID_VALUE : eigen_check(e);
    }
    return status;
}

static eigen eigen_shape(cusolverEigMode_t jobz, cublasFillMode_t uplo, cudaDataType type,
                         int64_t n, int64_t lda, int64_t batch) {
    eigen e = {};
    e.jobz = jobz;
    e.uplo = uplo;
    e.type = type;
    e.n = n;
    e.lda = lda;
    e.batch = batch;
    return e;
}

cusolverStatus_t cusolverDnXsyevBatched_bufferSize(
    cusolverDnHandle_t handle, cusolverDnParams_t params, cusolverEigMode_t jobz,
    cublasFillMode_t uplo, int64_t n, cudaDataType dataTypeA, const void *, int64_t lda,
    cudaDataType dataTypeW, const void *, cudaDataType computeType,
    size_t *workspaceInBytesOnDevice, size_t *workspaceInBytesOnHost, int64_t batchSize) {
    eigen e = eigen_shape(jobz, uplo, dataTypeA, n, lda, batchSize);
    *workspaceInBytesOnDevice = work_bytes_min(&e);
    *workspaceInBytesOnHost = 0;
    if (dataTypeW != dataTypeA || computeType != dataTypeA) {
        return CUSOLVER_STATUS_INVALID_VALUE;
    }
    return eigen_begin(&e, __func__, handle, params);
}

cusolverStatus_t cusolverDnXsyevBatched(cusolverDnHandle_t handle, cusolverDnParams_t params,
                                        cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n,
                                        cudaDataType dataTypeA, void *A, int64_t lda,
                                        cudaDataType dataTypeW, void *W, cudaDataType computeType,
                                        void *bufferOnDevice, size_t workspaceInBytesOnDevice,
                                        void *, size_t, int *info, int64_t batchSize) {
    if (dataTypeW != dataTypeA || computeType != dataTypeA) {
        return CUSOLVER_STATUS_INVALID_VALUE;
    }
    eigen e = eigen_shape(jobz, uplo, dataTypeA, n, lda, batchSize);
    standin_lock held(standin_calls);
    e.a = A;
    e.w = W;
    e.info = info;
    e.work = bufferOnDevice;
    e.work_bytes = workspaceInBytesOnDevice;
    cusolverStatus_t status = eigen_begin(&e, __func__, handle, params);
    return status == CUSOLVER_STATUS_SUCCESS ? eigen_put(handle, e) : status;
}

cusolverStatus_t cusolverDnDsyevjBatched_bufferSize(cusolverDnHandle_t handle,
                                                    cusolverEigMode_t jobz, cublasFillMode_t uplo,
                                                    int n, const double *, int lda, const double *,
                                                    int *lwork, syevjInfo_t params, int batchSize) {
    eigen e = eigen_shape(jobz, uplo, CUDA_R_64F, n, lda, batchSize);
    *lwork = (int)(work_bytes_min(&e) / sizeof(double));
    return eigen_begin(&e, __func__, handle, params);
}

cusolverStatus_t cusolverDnDsyevjBatched(cusolverDnHandle_t handle, cusolverEigMode_t jobz,
                                         cublasFillMode_t uplo, int n, double *A, int lda,
                                         double *W, double *work, int lwork, int *info,
                                         syevjInfo_t params, int batchSize) {
    eigen e = eigen_shape(jobz, uplo, CUDA_R_64F, n, lda, batchSize);
    standin_lock held(standin_calls);
    e.a = A;
    e.w = W;
    e.info = info;
    e.work = work;
    e.work_bytes = lwork > 0 ? (size_t)lwork * sizeof(double) : 0;
    cusolverStatus_t status = eigen_begin(&e, __func__, handle, params);
    return status == CUSOLVER_STATUS_SUCCESS ? eigen_put(handle, e) : status;
}

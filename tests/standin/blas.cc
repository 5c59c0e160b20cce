/*
 * blas.cc - the cuBLAS calls of the engine, on OpenBLAS: float32 products, column-major.
 */
#include "cublas_v2.h"
#include "libraries.h"

#include <stdio.h>

struct cublasContext {
    cudaStream_t stream;
};

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle) {
    return library_make(__func__, handle, CUBLAS_STATUS_NOT_INITIALIZED,
                        CUBLAS_STATUS_ALLOC_FAILED);
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
    return library_drop(__func__, handle, CUBLAS_STATUS_EXECUTION_FAILED,
                        CUBLAS_STATUS_NOT_INITIALIZED);
}

static cublasStatus_t blas_begin(const char *call, cublasHandle_t handle) {
    standin_lock held(standin_calls);
    int error = standin_begin(call, CUBLAS_STATUS_EXECUTION_FAILED);
    return error == 0 && handle == NULL ? CUBLAS_STATUS_NOT_INITIALIZED : (cublasStatus_t)error;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t streamId) {
    standin_lock held(standin_calls);
    cublasStatus_t status = blas_begin(__func__, handle);
    if (status == CUBLAS_STATUS_SUCCESS) {
        handle->stream = streamId;
    }
    return status;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace,
                                     size_t workspaceSizeInBytes) {
    standin_lock held(standin_calls);
    cublasStatus_t status = blas_begin(__func__, handle);
    if (status == CUBLAS_STATUS_SUCCESS && workspace != NULL &&
        !standin_is_device(workspace, workspaceSizeInBytes)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    return status;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
    (void)mode; /* all arithmetic is float32 here */
    return blas_begin(__func__, handle);
}

const char *cublasGetStatusString(cublasStatus_t status) {
    static char text[32];
    snprintf(text, sizeof text, "cuBLAS status %d", (int)status);
    return text;
}

/* `count` products of one shape: at strides, or where arrays of pointers on the device say. */
typedef struct {
    const char *call;
    cublasOperation_t transa, transb;
    int m, n, k, lda, ldb, ldc, count;
    float alpha, beta;
    const float *a, *b;
    float *c;
    long long stride_a, stride_b, stride_c;
    const float *const *a_array, *const *b_array;
    float *const *c_array; /* NULL: strides */
} gemm;

static void gemm_run(const gemm *g, const float *a, const float *b, float *c) {
    bool ta = g->transa != CUBLAS_OP_N, tb = g->transb != CUBLAS_OP_N;
    library_check(g->call, "A", a, ta ? g->k : g->m, ta ? g->m : g->k, g->lda, sizeof *a);
    library_check(g->call, "B", b, tb ? g->n : g->k, tb ? g->k : g->n, g->ldb, sizeof *b);
    library_check(g->call, "C", c, g->m, g->n, g->ldc, sizeof *c);
    cblas_sgemm(CblasColMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, g->m,
                g->n, g->k, g->alpha, a, g->lda, b, g->ldb, g->beta, c, g->ldc);
}

static void gemm_run_all(const gemm *g) {
    if (g->c_array != NULL) {
        library_check(g->call, "Aarray", g->a_array, g->count, 1, g->count, sizeof(float *));
        library_check(g->call, "Barray", g->b_array, g->count, 1, g->count, sizeof(float *));
        library_check(g->call, "Carray", g->c_array, g->count, 1, g->count, sizeof(float *));
    }
    for (int i = 0; i < g->count; i++) {
        if (g->c_array != NULL) {
            gemm_run(g, g->a_array[i], g->b_array[i], g->c_array[i]);
        } else {
            gemm_run(g, g->a + i * g->stride_a, g->b + i * g->stride_b, g->c + i * g->stride_c);
        }
    }
}

static gemm shape(cublasOperation_t transa, cublasOperation_t transb, int m, int n, int k, int lda,
                  int ldb, int ldc) {
    gemm g = {};
    g.transa = transa;
    g.transb = transb;
    g.m = m;
    g.n = n;
    g.k = k;
    g.lda = lda;
    g.ldb = ldb;
    g.ldc = ldc;
    return g;
}

static bool ld_valid(int ld, int rows) {
    return ld >= (rows > 1 ? rows : 1);
}

static bool gemm_valid(const gemm *g) {
    bool ta = g->transa != CUBLAS_OP_N, tb = g->transb != CUBLAS_OP_N;
    return g->transa <= CUBLAS_OP_C && g->transb <= CUBLAS_OP_C && g->m >= 0 && g->n >= 0 &&
           g->k >= 0 && g->count >= 0 && ld_valid(g->lda, ta ? g->k : g->m) &&
           ld_valid(g->ldb, tb ? g->n : g->k) && ld_valid(g->ldc, g->m);
}

static cublasStatus_t gemm_put(cublasHandle_t handle, gemm g) {
    if (!gemm_valid(&g)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (g.m == 0 || g.n == 0 || g.count == 0) {
        return CUBLAS_STATUS_SUCCESS;
    }
    cudaError_t error = standin_enqueue(handle->stream, [=] { gemm_run_all(&g); });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

static cublasStatus_t gemm_scaled(const char *call, cublasHandle_t handle, gemm g,
                                  const float *alpha, const float *beta) {
    standin_lock held(standin_calls);
    cublasStatus_t status = blas_begin(call, handle);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    if (alpha == NULL || beta == NULL) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    g.call = call;
    g.alpha = *alpha;
    g.beta = *beta;
    return gemm_put(handle, g);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transa,
                              cublasOperation_t transb, int m, int n, int k, const float *alpha,
                              const float *A, int lda, const float *B, int ldb, const float *beta,
                              float *C, int ldc) {
    gemm g = shape(transa, transb, m, n, k, lda, ldb, ldc);
    g.count = 1;
    g.a = A;
    g.b = B;
    g.c = C;
    return gemm_scaled(__func__, handle, g, alpha, beta);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t transa,
                                         cublasOperation_t transb, int m, int n, int k,
                                         const float *alpha, const float *A, int lda,
                                         long long int strideA, const float *B, int ldb,
                                         long long int strideB, const float *beta, float *C,
                                         int ldc, long long int strideC, int batchCount) {
    gemm g = shape(transa, transb, m, n, k, lda, ldb, ldc);
    g.count = batchCount;
    g.a = A;
    g.b = B;
    g.c = C;
    g.stride_a = strideA;
    g.stride_b = strideB;
    g.stride_c = strideC;
    return gemm_scaled(__func__, handle, g, alpha, beta);
}

cublasStatus_t cublasSgemmBatched(cublasHandle_t handle, cublasOperation_t transa,
                                  cublasOperation_t transb, int m, int n, int k, const float *alpha,
                                  const float *const Aarray[], int lda, const float *const Barray[],
                                  int ldb, const float *beta, float *const Carray[], int ldc,
                                  int batchCount) {
    gemm g = shape(transa, transb, m, n, k, lda, ldb, ldc);
    g.count = batchCount;
    g.a_array = Aarray;
    g.b_array = Barray;
    g.c_array = Carray;
    return gemm_scaled(__func__, handle, g, alpha, beta);
}

/* The arrays of pointers are on the device, all others on the host and used up on return. */
cublasStatus_t
cublasSgemmGroupedBatched(cublasHandle_t handle, const cublasOperation_t transa_array[],
                          const cublasOperation_t transb_array[], const int m_array[],
                          const int n_array[], const int k_array[], const float alpha_array[],
                          const float *const Aarray[], const int lda_array[],
                          const float *const Barray[], const int ldb_array[],
                          const float beta_array[], float *const Carray[], const int ldc_array[],
                          int group_count, const int group_size[]) {
    standin_lock held(standin_calls);
    cublasStatus_t status = blas_begin(__func__, handle);
    if (status == CUBLAS_STATUS_SUCCESS && group_count < 0) {
        status = CUBLAS_STATUS_INVALID_VALUE;
    }
    for (int i = 0, first = 0; i < group_count && status == CUBLAS_STATUS_SUCCESS; i++) {
        if (group_size[i] == 0) {
            standin_die("%s: group %d has size 0, which cuBLAS 13.2 gets wrong", __func__, i);
        }
        gemm g = shape(transa_array[i], transb_array[i], m_array[i], n_array[i], k_array[i],
                       lda_array[i], ldb_array[i], ldc_array[i]);
        g.call = __func__;
        g.count = group_size[i];
        g.alpha = alpha_array[i];
        g.beta = beta_array[i];
        g.a_array = Aarray + first;
        g.b_array = Barray + first;
        g.c_array = Carray + first;
        first += group_size[i];
        status = gemm_put(handle, g);
    }
    return status;
}

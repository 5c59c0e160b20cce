/*
 * product.cu - y = F_c^T (x - m_c) of all rows: 2 dim rank flops a row.
 *
 * Big batches: cuBLAS, one product a class of the batch, all in one grouped call; a row-major
 * [rows, dim] is a column-major [dim, rows], so that Y^T = F^T X^T needs no transposed operand.
 * cuBLAS 13.2 gets groups of size 0 wrong; classes without rows are in no group.
 *
 * Few rows: a kernel of our own, since a grouped call's shapes would be part of the graph. It reads
 * the factor of its class for every row, dim rank floats from the second-level cache, and gives a
 * block to 32 columns of one row so that even one row keeps the device busy.
 */
#include "stage.cuh"

#include <stdlib.h>

enum { WORKSPACE_BYTES = 32 << 20, FEW_SLICES = 8 };

struct product {
    cublasHandle_t blas;
    void *workspace;
    cublasOperation_t *operation; /* [groups_max] all as this and the next say */
    float *one, *zero;
    int *m, *k, *rows, *size; /* rank, dim, rows of the class, 1 */
    size_t groups_max;
};

static engine_status open_parts(product *p, size_t groups_max, bool tf32) {
    p->groups_max = groups_max;
    p->operation = static_cast<cublasOperation_t *>(calloc(groups_max, sizeof *p->operation));
    p->one = static_cast<float *>(calloc(groups_max, sizeof *p->one));
    p->zero = static_cast<float *>(calloc(groups_max, sizeof *p->zero));
    p->m = static_cast<int *>(calloc(groups_max, sizeof *p->m));
    p->k = static_cast<int *>(calloc(groups_max, sizeof *p->k));
    p->rows = static_cast<int *>(calloc(groups_max, sizeof *p->rows));
    p->size = static_cast<int *>(calloc(groups_max, sizeof *p->size));
    if (!p->operation || !p->one || !p->zero || !p->m || !p->k || !p->rows || !p->size) {
        return ENGINE_NO_MEMORY;
    }
    for (size_t i = 0; i < groups_max; i++) {
        p->operation[i] = CUBLAS_OP_N;
        p->one[i] = 1.0f;
        p->size[i] = 1;
    }
    TRY(cublasCreate(&p->blas));
    TRY(cudaMalloc(&p->workspace, WORKSPACE_BYTES));
    TRY(cublasSetMathMode(p->blas, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH));
    return ENGINE_OK;
}

engine_status product_open(product **out, size_t groups_max, bool tf32) {
    *out = static_cast<product *>(calloc(1, sizeof **out));
    return *out == NULL ? ENGINE_NO_MEMORY : open_parts(*out, groups_max, tf32);
}

void product_close(product *p) {
    if (p == NULL) {
        return;
    }
    if (p->blas != NULL) {
        cublasDestroy(p->blas);
    }
    cudaFree(p->workspace);
    free(p->size);
    free(p->rows);
    free(p->k);
    free(p->m);
    free(p->zero);
    free(p->one);
    free(p->operation);
    free(p);
}

engine_status product_of_groups(product *p, const stage *g, const class_group *group, size_t groups,
                                const void *const *pointers, cudaStream_t stream) {
    const float *const *factor = reinterpret_cast<const float *const *>(pointers);
    const float *const *rows = factor + groups;
    float *const *y = reinterpret_cast<float *const *>(
        const_cast<void *const *>(reinterpret_cast<const void *const *>(rows + groups)));
    for (size_t i = 0; i < groups; i++) {
        p->m[i] = (int)g->rank;
        p->k[i] = (int)g->dim;
        p->rows[i] = (int)group[i].count;
    }
    /* Setting a stream also sets the handle's own workspace again. */
    TRY(cublasSetStream(p->blas, stream));
    TRY(cublasSetWorkspace(p->blas, p->workspace, WORKSPACE_BYTES));
    TRY(cublasSgemmGroupedBatched(p->blas, p->operation, p->operation, p->m, p->rows, p->k, p->one,
                                  factor, p->m, rows, p->k, p->zero, y, p->m, (int)groups,
                                  p->size));
    return ENGINE_OK;
}

/* ---- how much TF32 costs ---- */

enum { SAMPLE_ROWS_MAX = 64 };

/* y of the sample's rows, by a handle with this mode, to the host. */
static engine_status project_sample(product *p, const stage *g, int rows, cublasMath_t mode,
                                    cudaStream_t stream, float *y) {
    const float one = 1.0f, zero = 0.0f;
    int rank = (int)g->rank, dim = (int)g->dim;
    TRY(cublasSetStream(p->blas, stream));
    TRY(cublasSetWorkspace(p->blas, p->workspace, WORKSPACE_BYTES));
    TRY(cublasSetMathMode(p->blas, mode));
    TRY(cublasSgemm(p->blas, CUBLAS_OP_N, CUBLAS_OP_N, rank, rows, dim, &one, g->factor, rank,
                    g->centred, dim, &zero, g->y, rank));
    TRY(cudaMemcpyAsync(y, g->y, (size_t)rows * g->rank * sizeof *y, cudaMemcpyDeviceToHost,
                        stream));
    TRY(cudaStreamSynchronize(stream));
    return ENGINE_OK;
}

/* Uniform in [-1, 1), the same every time (a multiplicative congruential generator). */
static void fill_sample(float *x, size_t count) {
    uint64_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 48271 % 2147483647;
        x[i] = (float)((double)state / 1073741823.5 - 1.0);
    }
}

static double largest_error(const float *y, const float *exact, size_t rows, size_t rank) {
    double largest = 0.0;
    for (size_t i = 0; i < rows; i++) {
        double error = 0.0, length = 0.0;
        for (size_t j = 0; j < rank; j++) {
            double want = (double)exact[i * rank + j], off = (double)y[i * rank + j] - want;
            error += off * off;
            length += want * want;
        }
        double relative = length > 0.0 ? sqrt(error / length) : 0.0;
        largest = relative > largest ? relative : largest;
    }
    return largest;
}

static engine_status measure_sample(product *p, const stage *g, int rows, cudaStream_t stream,
                                    float *x, double *error) {
    float *y = x + (size_t)rows * g->dim, *exact = y + (size_t)rows * g->rank;
    fill_sample(x, (size_t)rows * g->dim);
    TRY(cudaMemcpyAsync(g->centred, x, (size_t)rows * g->dim * sizeof *x, cudaMemcpyHostToDevice,
                        stream));
    TRY(project_sample(p, g, rows, CUBLAS_DEFAULT_MATH, stream, exact));
    TRY(project_sample(p, g, rows, CUBLAS_TF32_TENSOR_OP_MATH, stream, y));
    *error = largest_error(y, exact, (size_t)rows, g->rank);
    return ENGINE_OK;
}

engine_status product_tf32_error(product *p, const stage *g, size_t rows_max, cudaStream_t stream,
                                 double *error) {
    size_t rows = stage_least(rows_max, SAMPLE_ROWS_MAX);
    float *x = static_cast<float *>(calloc(rows * ((size_t)g->dim + 2 * g->rank), sizeof *x));
    if (x == NULL) {
        return ENGINE_NO_MEMORY;
    }
    engine_status status = measure_sample(p, g, (int)rows, stream, x, error);
    free(x);
    return status;
}

/* ---- few rows ---- */

static __global__ void __launch_bounds__(FEW_SLICES *WARP) product_few(const stage g) {
    SHARED_ARRAY(float, partial, [FEW_SLICES][WARP + 1]);
    uint32_t place = blockIdx.x;
    uint32_t lane = threadIdx.x % WARP, slice = threadIdx.x / WARP;
    uint32_t column = blockIdx.y * WARP + lane;
    if (place >= g.counts->rows) {
        return;
    }
    const float *x = g.centred + (size_t)place * g.dim;
    const float *factor = g.factor + (size_t)g.row[place].class_index * g.dim * g.rank + column;
    float sum = 0.0f;
    for (uint32_t i = slice; i < g.dim && column < g.rank; i += FEW_SLICES) {
        sum += x[i] * factor[(size_t)i * g.rank];
    }
    partial[slice][lane] = sum;
    __syncthreads();
    if (slice == 0 && column < g.rank) {
        for (uint32_t i = 1; i < FEW_SLICES; i++) {
            sum += partial[i][lane];
        }
        g.y[(size_t)place * g.rank + column] = sum;
    }
}

engine_status product_of_few(const stage *g, size_t rows_max, cudaStream_t stream) {
    dim3 grid((unsigned)rows_max, (unsigned)stage_ceil(g->rank, WARP));
    LAUNCH(product_few, grid, FEW_SLICES * WARP, 0, stream, *g);
    return ENGINE_OK;
}

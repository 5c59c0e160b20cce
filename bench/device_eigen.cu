/*
 * device_eigen.cu - eigenproblems a second by the warp's kernel and by both of cuSOLVER's solvers.
 */
#include "device.h"

#include "device_timing.cuh"
#include "eigen.cuh"

#include <stdint.h>
#include <stdlib.h>

/* So many matrices are different; the rest of a batch repeats them. */
enum { DIFFERENT_MAX = 16, PASSES_MAX = 1 << 12 };

typedef struct {
    device_timing timing;
    eigen *e;
    size_t order, count, different;
    double *host;          /* [different, order, order] */
    double *fresh, *spent; /* device: [count, order, order]; solvers destroy theirs */
    double *sum;
    int *failed;
} bench;

static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1.0;
}

/* Gram matrices of random rows, one column more than rows: of all sizes of eigenvalues. */
static bool make_matrices(bench *b) {
    size_t n = b->order, columns = n + 1;
    uint64_t state = 1;
    b->different = b->count < DIFFERENT_MAX ? b->count : (size_t)DIFFERENT_MAX;
    b->host = static_cast<double *>(calloc(b->different * n * n, sizeof(double)));
    double *rows = static_cast<double *>(calloc(n * columns, sizeof(double)));
    for (size_t m = 0; b->host != NULL && rows != NULL && m < b->different; m++) {
        for (size_t i = 0; i < n * columns; i++) {
            rows[i] = uniform(&state);
        }
        for (size_t at = 0; at < n * n; at++) {
            size_t i = at / n, j = at % n;
            for (size_t l = 0; l < columns; l++) {
                b->host[m * n * n + at] += rows[i * columns + l] * rows[j * columns + l];
            }
        }
    }
    bool made = b->host != NULL && rows != NULL;
    free(rows);
    return made;
}

static engine_status open_parts(bench *b, eigen_way way, size_t matrix_bytes) {
    size_t matrix = b->order * b->order * sizeof(double);
    eigen_options options = {};
    TRY(device_timing_open(&b->timing));
    options.stream = b->timing.stream;
    options.way = way;
    options.order_max = b->order;
    options.matrix_bytes_max = matrix_bytes > matrix ? matrix_bytes : matrix;
    TRY(eigen_open(&b->e, &options));
    b->count = eigen_batch_max(b->e, b->order);
    TRY(cudaMalloc(&b->fresh, b->count * matrix));
    TRY(cudaMalloc(&b->spent, b->count * matrix));
    TRY(cudaMalloc(&b->sum, b->count * sizeof(double)));
    TRY(cudaMalloc(&b->failed, sizeof(int)));
    TRY(cudaMemset(b->failed, 0, sizeof(int)));
    if (!make_matrices(b)) {
        return ENGINE_NO_MEMORY;
    }
    for (size_t at = 0; at < b->count; at += b->different) {
        size_t left = b->count - at;
        TRY(cudaMemcpy(b->fresh + at * b->order * b->order, b->host,
                       (left < b->different ? left : b->different) * matrix,
                       cudaMemcpyHostToDevice));
    }
    return ENGINE_OK;
}

static void close_parts(bench *b) {
    eigen_close(b->e);
    cudaFree(b->failed);
    cudaFree(b->sum);
    cudaFree(b->spent);
    cudaFree(b->fresh);
    device_timing_close(&b->timing);
    free(b->host);
}

/* The copy that gives a solver its matrices again is not in the time, nor is the first pass. */
static engine_status run(bench *b, double seconds, double *per_s) {
    size_t matrix = b->order * b->order * sizeof(double), passes = 0;
    double total = 0.0;
    int failed = 0;
    for (size_t pass = 0; pass < 2 || (total < seconds && pass < PASSES_MAX); pass++) {
        double spent = 0.0;
        TRY(cudaMemcpyAsync(b->spent, b->fresh, b->count * matrix, cudaMemcpyDeviceToDevice,
                            b->timing.stream));
        TRY(cudaEventRecord(b->timing.start, b->timing.stream));
        TRY(eigen_sum(b->e, b->spent, b->order, b->count, b->sum, b->failed));
        TRY(cudaEventRecord(b->timing.stop, b->timing.stream));
        TRY(device_timing_read(&b->timing, &spent));
        total += pass > 0 ? spent : 0.0;
        passes += pass > 0 ? 1 : 0;
    }
    TRY(cudaMemcpy(&failed, b->failed, sizeof failed, cudaMemcpyDeviceToHost));
    *per_s = total > 0.0 ? (double)(passes * b->count) / total : 0.0;
    return failed == 0 ? ENGINE_OK : ENGINE_INTERNAL;
}

static engine_status time_way(eigen_way way, size_t order, size_t matrix_bytes, double seconds,
                              double *per_s) {
    bench b = {};
    b.order = order;
    engine_status status = open_parts(&b, way, matrix_bytes);
    if (status == ENGINE_OK) {
        status = run(&b, seconds, per_s);
    }
    close_parts(&b);
    return status;
}

engine_status device_eigen_time(device_eigen *out, size_t order, size_t matrix_bytes,
                                double seconds, char *error, size_t error_bytes) {
    *out = device_eigen{};
    out->order = order;
    cuda_last_failure.text[0] = '\0';
    engine_status status = ENGINE_OK;
    if (order <= EIGEN_SMALL_MAX) {
        status = time_way(EIGEN_WARP, order, matrix_bytes, seconds, &out->warp_per_s);
    }
    if (status == ENGINE_OK) {
        status = time_way(EIGEN_SYEV, order, matrix_bytes, seconds, &out->syev_per_s);
    }
    if (status == ENGINE_OK) {
        status = time_way(EIGEN_SYEVJ, order, matrix_bytes, seconds, &out->syevj_per_s);
    }
    if (status != ENGINE_OK) {
        snprintf(error, error_bytes, "eigenproblems of order %zu: %s", order,
                 cuda_last_failure.text[0] != '\0' ? cuda_last_failure.text
                                                   : "out of memory, or not solved");
    }
    return status;
}

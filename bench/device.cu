/*
 * device.cu - copies and products of a batch's size, and nothing else: see device.h.
 *
 * The product is the engine's: a row-major [rows, dim] is a column-major [dim, rows], so that
 * Y^T = F^T X^T of a class needs no transposed operand; classes without rows are in no group.
 */
#include "device.h"

#include "device_timing.cuh"

#include <stdint.h>
#include <stdlib.h>

enum { PASSES_MAX = 1 << 16 };

/* cuBLAS's arguments by group, one a class that has rows. */
typedef struct {
    size_t count;
    size_t *class_index; /* [count], as all below */
    cublasOperation_t *operation;
    int *m, *n, *k, *size;
    float *alpha, *beta;
    const void **pointers; /* on the host: a, b, c by group */
} product_groups;

struct device {
    device_timing timing;
    cublasHandle_t blas;
    size_t rows, dim, rank, copy_bytes, batch_bytes;
    product_groups groups;
    float *host;       /* pinned: [rows, dim] in order of classes */
    float *from, *to;  /* device: copy_bytes each; the first begins with [rows, dim] */
    float *factor, *y; /* device: [groups, dim, rank], [rows, rank] */
    const void **pointers;
};

static engine_status describe(char *text, size_t text_bytes) {
    cudaDeviceProp prop;
    size_t free_bytes = 0, total_bytes = 0;
    TRY(cudaSetDevice(0));
    TRY(cudaGetDeviceProperties(&prop, 0));
    TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
    snprintf(text, text_bytes, "%s, %d multiprocessors, %.1f GB of memory, %.1f free", prop.name,
             prop.multiProcessorCount, 1e-9 * (double)total_bytes, 1e-9 * (double)free_bytes);
    return ENGINE_OK;
}

engine_status device_describe(char *text, size_t text_bytes) {
    engine_status status = describe(text, text_bytes);
    if (status != ENGINE_OK) {
        snprintf(text, text_bytes, "%s", cuda_last_failure.text);
    }
    return status;
}

static void *make(size_t count, size_t bytes) {
    return count <= SIZE_MAX / bytes ? calloc(count > 0 ? count : 1, bytes) : NULL;
}

static bool groups_make(product_groups *g, const engine_reference *reference,
                        const engine_batch *batch) {
    size_t classes = reference->classes;
    g->class_index = static_cast<size_t *>(make(classes, sizeof *g->class_index));
    g->operation = static_cast<cublasOperation_t *>(make(classes, sizeof *g->operation));
    g->m = static_cast<int *>(make(classes, sizeof *g->m));
    g->n = static_cast<int *>(make(classes, sizeof *g->n));
    g->k = static_cast<int *>(make(classes, sizeof *g->k));
    g->size = static_cast<int *>(make(classes, sizeof *g->size));
    g->alpha = static_cast<float *>(make(classes, sizeof *g->alpha));
    g->beta = static_cast<float *>(make(classes, sizeof *g->beta));
    g->pointers = static_cast<const void **>(make(3 * classes, sizeof *g->pointers));
    int *count = static_cast<int *>(make(classes, sizeof *count));
    bool made = g->class_index && g->operation && g->m && g->n && g->k && g->size && g->alpha &&
                g->beta && g->pointers && count;
    for (size_t i = 0; made && i < batch->rows; i++) {
        count[batch->classes[i]]++;
    }
    for (size_t c = 0; made && c < classes; c++) {
        if (count[c] > 0) {
            g->class_index[g->count] = c;
            g->n[g->count++] = count[c];
        }
    }
    free(count);
    return made;
}

static void groups_free(product_groups *g) {
    free(g->pointers);
    free(g->beta);
    free(g->alpha);
    free(g->size);
    free(g->k);
    free(g->n);
    free(g->m);
    free(g->operation);
    free(g->class_index);
}

static void groups_fill(device *d) {
    product_groups *g = &d->groups;
    size_t row = 0;
    for (size_t i = 0; i < g->count; i++) {
        g->operation[i] = CUBLAS_OP_N;
        g->alpha[i] = 1.0f;
        g->size[i] = 1;
        g->m[i] = (int)d->rank;
        g->k[i] = (int)d->dim;
        g->pointers[i] = d->factor + i * d->dim * d->rank;
        g->pointers[g->count + i] = d->from + row * d->dim;
        g->pointers[2 * g->count + i] = d->y + row * d->rank;
        row += (size_t)g->n[i];
    }
}

/* Copies the batch's rows to the host's buffer in order of classes. */
static bool place_rows(device *d, size_t classes, const engine_batch *batch) {
    size_t *next = static_cast<size_t *>(make(classes, sizeof *next));
    size_t row = 0;
    for (size_t i = 0; next != NULL && i < d->groups.count; i++) {
        next[d->groups.class_index[i]] = row;
        row += (size_t)d->groups.n[i];
    }
    for (size_t i = 0; next != NULL && i < batch->rows; i++) {
        memcpy(d->host + next[batch->classes[i]]++ * d->dim, batch->embeddings[i],
               d->dim * sizeof(float));
    }
    free(next);
    return next != NULL;
}

static engine_status open_memory(device *d) {
    size_t factor = d->dim * d->rank;
    TRY(cudaMallocHost(&d->host, d->batch_bytes));
    TRY(cudaMalloc(&d->from, d->copy_bytes));
    TRY(cudaMalloc(&d->to, d->copy_bytes));
    TRY(cudaMemset(d->from, 0, d->copy_bytes));
    TRY(cudaMalloc(&d->factor, d->groups.count * factor * sizeof(float)));
    TRY(cudaMalloc(&d->y, d->rows * d->rank * sizeof(float)));
    TRY(cudaMalloc(&d->pointers, 3 * d->groups.count * sizeof(void *)));
    return ENGINE_OK;
}

static engine_status open_parts(device *d, const engine_reference *reference,
                                const engine_batch *batch) {
    if (!groups_make(&d->groups, reference, batch)) {
        return ENGINE_NO_MEMORY;
    }
    TRY(device_timing_open(&d->timing));
    TRY(cublasCreate(&d->blas));
    TRY(cublasSetStream(d->blas, d->timing.stream));
    TRY(cublasSetMathMode(d->blas, CUBLAS_DEFAULT_MATH));
    TRY(open_memory(d));
    groups_fill(d);
    if (!place_rows(d, reference->classes, batch)) {
        return ENGINE_NO_MEMORY;
    }
    size_t factor = d->dim * d->rank;
    for (size_t i = 0; i < d->groups.count; i++) {
        TRY(cudaMemcpy(d->factor + i * factor,
                       reference->factor + d->groups.class_index[i] * factor,
                       factor * sizeof(float), cudaMemcpyHostToDevice));
    }
    TRY(cudaMemcpy(d->pointers, d->groups.pointers, 3 * d->groups.count * sizeof(void *),
                   cudaMemcpyHostToDevice));
    TRY(cudaMemcpy(d->from, d->host, d->batch_bytes, cudaMemcpyHostToDevice));
    return ENGINE_OK;
}

engine_status device_open(device **out, const engine_reference *reference,
                          const engine_batch *batch, size_t copy_bytes, char *error,
                          size_t error_bytes) {
    snprintf(error, error_bytes, "out of memory for the device's yardsticks");
    *out = static_cast<device *>(calloc(1, sizeof **out));
    if (*out == NULL) {
        return ENGINE_NO_MEMORY;
    }
    device *d = *out;
    d->rows = batch->rows;
    d->dim = reference->dim;
    d->rank = reference->rank;
    d->batch_bytes = d->rows * d->dim * sizeof(float);
    d->copy_bytes = copy_bytes > d->batch_bytes ? copy_bytes : d->batch_bytes;
    cuda_last_failure.text[0] = '\0';
    engine_status status = open_parts(d, reference, batch);
    if (status != ENGINE_OK) {
        if (cuda_last_failure.text[0] != '\0') {
            snprintf(error, error_bytes, "the device's yardsticks: %s", cuda_last_failure.text);
        }
        device_close(d);
        *out = NULL;
    }
    return status;
}

void device_close(device *d) {
    if (d == NULL) {
        return;
    }
    cudaFree(d->pointers);
    cudaFree(d->y);
    cudaFree(d->factor);
    cudaFree(d->to);
    cudaFree(d->from);
    cudaFreeHost(d->host);
    if (d->blas != NULL) {
        cublasDestroy(d->blas);
    }
    device_timing_close(&d->timing);
    groups_free(&d->groups);
    free(d);
}

double device_work(const device *d, device_yardstick what) {
    double product = 2.0 * (double)d->rows * (double)d->dim * (double)d->rank;
    return what == DEVICE_UPLOAD ? (double)d->batch_bytes
           : what == DEVICE_COPY ? (double)d->copy_bytes
                                 : product;
}

static engine_status put_product(device *d) {
    const product_groups *g = &d->groups;
    const float *const *a = reinterpret_cast<const float *const *>(d->pointers);
    float *const *c = reinterpret_cast<float *const *>(
        const_cast<void *const *>(reinterpret_cast<const void *const *>(a + 2 * g->count)));
    TRY(cublasSgemmGroupedBatched(d->blas, g->operation, g->operation, g->m, g->n, g->k, g->alpha,
                                  a, g->m, a + g->count, g->k, g->beta, c, g->m, (int)g->count,
                                  g->size));
    return ENGINE_OK;
}

static engine_status put_pass(device *d, device_yardstick what) {
    cudaStream_t stream = d->timing.stream;
    if (what == DEVICE_PRODUCT) {
        return put_product(d);
    }
    if (what == DEVICE_UPLOAD) {
        TRY(cudaMemcpyAsync(d->to, d->host, d->batch_bytes, cudaMemcpyHostToDevice, stream));
    } else {
        TRY(cudaMemcpyAsync(d->to, d->from, d->copy_bytes, cudaMemcpyDeviceToDevice, stream));
    }
    return ENGINE_OK;
}

/* Twice as many passes each time until they take long enough: the first ones are the warm-up. */
static engine_status time_passes(device *d, device_yardstick what, double seconds, double *pass_s) {
    for (size_t passes = 1; passes <= PASSES_MAX; passes *= 2) {
        double spent = 0.0;
        TRY(cudaEventRecord(d->timing.start, d->timing.stream));
        for (size_t i = 0; i < passes; i++) {
            TRY(put_pass(d, what));
        }
        TRY(cudaEventRecord(d->timing.stop, d->timing.stream));
        TRY(device_timing_read(&d->timing, &spent));
        *pass_s = spent / (double)passes;
        if (spent >= seconds) {
            break;
        }
    }
    return ENGINE_OK;
}

engine_status device_time(device *d, device_yardstick what, double seconds, double *pass_s,
                          char *error, size_t error_bytes) {
    *pass_s = 0.0;
    engine_status status = time_passes(d, what, seconds, pass_s);
    if (status != ENGINE_OK) {
        snprintf(error, error_bytes, "the device's yardsticks: %s", cuda_last_failure.text);
    }
    return status;
}

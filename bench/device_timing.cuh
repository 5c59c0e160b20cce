/* device_timing.cuh - passes of work on a stream, timed by the device's own events. */
#ifndef ADDER_BENCH_DEVICE_TIMING_CUH
#define ADDER_BENCH_DEVICE_TIMING_CUH

#include "cuda.cuh"

typedef struct {
    cudaStream_t stream;
    cudaEvent_t start, stop;
} device_timing;

static inline engine_status device_timing_open(device_timing *t) {
    TRY(cudaSetDevice(0));
    TRY(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking));
    TRY(cudaEventCreate(&t->start));
    TRY(cudaEventCreate(&t->stop));
    return ENGINE_OK;
}

/* Zeroed is allowed. */
static inline void device_timing_close(device_timing *t) {
    if (t->stop != NULL) {
        cudaEventDestroy(t->stop);
    }
    if (t->start != NULL) {
        cudaEventDestroy(t->start);
    }
    if (t->stream != NULL) {
        cudaStreamDestroy(t->stream);
    }
}

/* Waits for what stands between the two events. */
static inline engine_status device_timing_read(device_timing *t, double *seconds) {
    float ms = 0.0f;
    TRY(cudaEventSynchronize(t->stop));
    TRY(cudaEventElapsedTime(&ms, t->start, t->stop));
    *seconds = 1e-3 * (double)ms;
    return ENGINE_OK;
}

#endif

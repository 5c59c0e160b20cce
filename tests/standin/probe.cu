/*
 * probe.cu - kernels, streams and graphs for test_standin.c, right ones and wrong ones.
 */
#include "probe_parts.h"

#include <stdlib.h>
#include <thread>

static const unsigned ALL_LANES = 0xffffffffu;

template <typename T>
static __global__ void __launch_bounds__(1024)
    block_sum(const T *__restrict__ in, unsigned n, T *__restrict__ out) {
    SHARED_ARRAY(T, warp_sum, [32]);
    T sum = 0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
        sum += __ldg(&in[i]);
    }
    for (unsigned d = 16; d > 0; d /= 2) {
        sum += __shfl_down_sync(ALL_LANES, sum, d);
    }
    if (threadIdx.x % 32 == 0) {
        warp_sum[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (unsigned warp = 1; warp < blockDim.x / 32; warp++) {
            sum += warp_sum[warp];
        }
        *out = sum;
    }
}

static __global__ void neighbours(const float *in, int barrier, float *out) {
    SHARED(float, value);
    unsigned i = threadIdx.x;
    value[i] = in[i];
    if (barrier == PROBE_SYNCTHREADS) {
        __syncthreads();
    } else if (barrier == PROBE_SYNCWARP) {
        __syncwarp();
    }
    out[i] = value[i] + (i > 0 ? value[i - 1] : 0.0f);
}

static __global__ void add(float *at, unsigned n, float value) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        at[i] += value;
    }
}

static __global__ void commit(int fault, float *device, unsigned n) {
    SHARED(float, dynamic);
    SHARED_ARRAY(float, fixed, [2][16]);
    float local[4] = {}, *volatile overrun = local; /* UBSan sees what it can follow */
    unsigned i = threadIdx.x;
    fixed[i / 16][i % 16] = dynamic[i] = 0.0f;
    __syncthreads(); /* so that a local overrun is after a switch of stacks */
    if (fault == PROBE_GLOBAL_OVERRUN) {
        device[n - 31 + i] = 0.0f;
    } else if (fault == PROBE_STATIC_OVERRUN) {
        (&fixed[0][0])[i + n / PROBE_FLOATS] = 0.0f;
    } else if (fault == PROBE_DYNAMIC_OVERRUN) {
        dynamic[i + 1] = 0.0f;
    } else if (fault == PROBE_LOCAL_OVERRUN) {
        overrun[n / 1024] = 1.0f;
        device[i] = local[i % 4];
    } else if (fault == PROBE_HALF_A_BARRIER && i < 16) {
        __syncthreads();
        device[i] = fixed[0][i];
    } else if (fault == PROBE_ENDED_LANE && i == 31) {
        return;
    }
    if (fault == PROBE_TWO_BARRIERS && i < 16) {
        __syncthreads();
    }
    device[i] = __shfl_xor_sync(fault == PROBE_HALF_A_BARRIER ? 0xffff0000u : ALL_LANES,
                                fixed[0][i % 16], 1);
    __syncthreads();
}

static engine_status open_parts(probe *p) {
    TRY(cudaSetDevice(0));
    for (int i = 0; i < 2; i++) {
        TRY(cudaStreamCreateWithFlags(&p->stream[i], cudaStreamNonBlocking));
        TRY(cudaMalloc(&p->device[i], PROBE_FLOATS * sizeof(float)));
        TRY(cudaMallocHost(&p->host[i], PROBE_FLOATS * sizeof(float)));
    }
    TRY(cudaEventCreateWithFlags(&p->event, cudaEventDisableTiming));
    TRY(cublasCreate(&p->blas));
    TRY(cublasSetStream(p->blas, p->stream[0]));
    TRY(cublasSetMathMode(p->blas, CUBLAS_PEDANTIC_MATH));
    TRY(cusolverDnCreate(&p->solver));
    TRY(cusolverDnSetStream(p->solver, p->stream[0]));
    return ENGINE_OK;
}

engine_status probe_open(probe **out) {
    *out = static_cast<probe *>(calloc(1, sizeof **out));
    return *out == NULL ? ENGINE_NO_MEMORY : open_parts(*out);
}

/* Nothing can be done about a failure here, and on a lost device all of it fails. */
void probe_close(probe *p) {
    if (p == NULL) {
        return;
    }
    if (p->solver != NULL) {
        cusolverDnDestroy(p->solver);
    }
    if (p->blas != NULL) {
        cublasDestroy(p->blas);
    }
    if (p->graph != NULL) {
        cudaGraphExecDestroy(p->graph);
    }
    if (p->event != NULL) {
        cudaEventDestroy(p->event);
    }
    for (int i = 0; i < 2; i++) {
        cudaFreeHost(p->host[i]);
        cudaFree(p->device[i]);
        if (p->stream[i] != NULL) {
            cudaStreamDestroy(p->stream[i]);
        }
    }
    free(p);
}

const char *probe_failure_text(void) {
    return cuda_last_failure.text;
}

bool probe_failure_lost(void) {
    return cuda_last_failure.lost;
}

int probe_last_error(void) {
    return (int)cudaPeekAtLastError();
}

engine_status probe_library(probe *p) {
    TRY(cublasSetStream(p->blas, p->stream[0]));
    return ENGINE_OK;
}

/* ---- kernels ---- */

static engine_status put(probe *p, const float *in, size_t n) {
    memcpy(p->host[0], in, n * sizeof *in);
    TRY(cudaMemcpyAsync(p->device[0], p->host[0], n * sizeof *in, cudaMemcpyHostToDevice,
                        p->stream[0]));
    return ENGINE_OK;
}

static engine_status get(probe *p, float *out, size_t n) {
    TRY(cudaMemcpyAsync(p->host[1], p->device[1], n * sizeof *out, cudaMemcpyDeviceToHost,
                        p->stream[0]));
    TRY(cudaStreamSynchronize(p->stream[0]));
    memcpy(out, p->host[1], n * sizeof *out);
    return ENGINE_OK;
}

engine_status probe_sum(probe *p, const float *in, size_t n, unsigned threads, float *sum) {
    TRY(put(p, in, n));
    LAUNCH(block_sum<float>, 1, threads, 0, p->stream[0], p->device[0], (unsigned)n, p->device[1]);
    return get(p, sum, 1);
}

engine_status probe_neighbours(probe *p, const float *in, unsigned n, probe_barrier barrier,
                               float *out) {
    TRY(put(p, in, n));
    LAUNCH(neighbours, 1, n, n * sizeof(float), p->stream[0], p->device[0], (int)barrier,
           p->device[1]);
    return get(p, out, n);
}

static engine_status empty_group(probe *p) {
    const probe_group group[2] = {{2, 2, 2, 1}, {2, 2, 2, 0}};
    const float a[4] = {}, b[4] = {};
    float c[4];
    return probe_grouped(p, group, 2, a, b, c);
}

engine_status probe_commit(probe *p, probe_fault fault) {
    if (fault == PROBE_HOST_READS_DEVICE) {
        return p->device[0][1] == 1.0f ? ENGINE_OK : ENGINE_INTERNAL;
    }
    if (fault == PROBE_PINNED_OVERRUN) {
        TRY(cudaMemcpyAsync(p->host[0] + 1, p->device[0], PROBE_FLOATS * sizeof(float),
                            cudaMemcpyDeviceToHost, p->stream[0]));
    }
    if (fault == PROBE_EMPTY_GROUP) {
        return empty_group(p);
    }
    LAUNCH(commit, 1, 32, 32 * sizeof(float), p->stream[0], (int)fault, p->device[0],
           (unsigned)PROBE_FLOATS);
    TRY(cudaStreamSynchronize(p->stream[0]));
    return ENGINE_OK;
}

/* ---- streams ---- */

static engine_status set(probe *p, float value) {
    for (int i = 0; i < PROBE_FLOATS; i++) {
        p->host[0][i] = value;
    }
    TRY(cudaMemcpy(p->device[0], p->host[0], PROBE_FLOATS * sizeof(float), cudaMemcpyHostToDevice));
    p->host[1][0] = -1.0f;
    return ENGINE_OK;
}

static engine_status put_add(probe *p, int stream) {
    LAUNCH(add, PROBE_FLOATS / 256, 256, 0, p->stream[stream], p->device[0], (unsigned)PROBE_FLOATS,
           1.0f);
    return ENGINE_OK;
}

static engine_status put_read(probe *p, int stream) {
    TRY(cudaMemcpyAsync(p->host[1], p->device[0], sizeof(float), cudaMemcpyDeviceToHost,
                        p->stream[stream]));
    return ENGINE_OK;
}

static engine_status put_event(probe *p) {
    TRY(cudaEventRecord(p->event, p->stream[0]));
    TRY(cudaStreamWaitEvent(p->stream[1], p->event, 0));
    return ENGINE_OK;
}

engine_status probe_read_early(probe *p, float *early, float *late) {
    TRY(set(p, 1.0f));
    TRY(put_read(p, 0));
    *early = p->host[1][0];
    TRY(cudaStreamSynchronize(p->stream[0]));
    *late = p->host[1][0];
    return ENGINE_OK;
}

engine_status probe_read_after_write(probe *p, bool event, float *seen) {
    TRY(set(p, 0.0f));
    TRY(put_add(p, 0));
    if (event) {
        TRY(put_event(p));
    }
    TRY(put_read(p, 1));
    TRY(cudaStreamSynchronize(p->stream[1]));
    *seen = p->host[1][0];
    TRY(cudaDeviceSynchronize());
    return ENGINE_OK;
}

engine_status probe_write_after_read(probe *p, bool event, float *seen) {
    TRY(set(p, 1.0f));
    TRY(put_read(p, 0));
    if (event) {
        TRY(put_event(p));
    }
    TRY(put_add(p, 1));
    TRY(cudaStreamSynchronize(p->stream[0]));
    *seen = p->host[1][0];
    TRY(cudaDeviceSynchronize());
    return ENGINE_OK;
}

engine_status probe_poll(probe *p, unsigned *asked) {
    TRY(set(p, 0.0f));
    TRY(put_add(p, 0));
    TRY(cudaEventRecord(p->event, p->stream[0]));
    cudaError_t answer = cudaErrorNotReady;
    for (*asked = 0; answer == cudaErrorNotReady; (*asked)++) {
        answer = cudaEventQuery(p->event);
    }
    TRY(answer);
    return ENGINE_OK;
}

/* What another thread's capture forbids its own thread only. */
static void allocate(cudaError_t *error) {
    void *more = NULL;
    *error = cudaMalloc(&more, 16);
    cudaFree(more);
}

static engine_status capture(probe *p) {
    cudaGraph_t graph = NULL;
    cudaError_t elsewhere = cudaSuccess;
    TRY(cudaStreamBeginCapture(p->stream[0], cudaStreamCaptureModeThreadLocal));
    TRY(put_add(p, 0));
    std::thread(allocate, &elsewhere).join();
    TRY(elsewhere);
    TRY(put_read(p, 0));
    TRY(cudaStreamEndCapture(p->stream[0], &graph));
    cudaError_t made = cudaGraphInstantiate(&p->graph, graph, 0);
    TRY(cudaGraphDestroy(graph));
    TRY(made);
    return ENGINE_OK;
}

engine_status probe_graph(probe *p, unsigned launches, float *seen) {
    TRY(set(p, 0.0f));
    if (p->graph == NULL) {
        TRY(capture(p));
    }
    for (unsigned i = 0; i < launches; i++) {
        TRY(cudaGraphLaunch(p->graph, p->stream[0]));
    }
    TRY(cudaStreamSynchronize(p->stream[0]));
    *seen = p->host[1][0];
    return ENGINE_OK;
}

engine_status probe_graph_broken(probe *p) {
    cudaGraph_t graph = NULL;
    cudaError_t refused = cudaSuccess;
    TRY(cudaStreamBeginCapture(p->stream[0], cudaStreamCaptureModeGlobal));
    std::thread(allocate, &refused).join();
    cudaError_t ended = cudaStreamEndCapture(p->stream[0], &graph);
    TRY(refused == cudaErrorStreamCaptureUnsupported ? ended : cudaErrorInvalidValue);
    return ENGINE_OK;
}

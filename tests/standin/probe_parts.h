/* probe_parts.h - what a probe is, for the two files that use it. */
#ifndef STANDIN_PROBE_PARTS_H
#define STANDIN_PROBE_PARTS_H

#include "cuda.cuh"
#include "probe.h"

struct probe {
    cudaStream_t stream[2];
    cudaEvent_t event;
    cudaGraphExec_t graph;
    float *device[2], *host[2]; /* [PROBE_FLOATS] */
    cublasHandle_t blas;
    cusolverDnHandle_t solver;
};

#endif

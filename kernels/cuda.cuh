/*
 * cuda.cuh - the one header through which kernels/ sees CUDA, cuBLAS and cuSOLVER.
 *
 * TRY and LAUNCH return an engine_status from the function they stand in, so every such function
 * returns one. What failed is kept per thread, as errno is, until the next failure: the engine
 * logs cuda_last_failure.text and, where .lost is set, stops using the device, since the process
 * cannot use it any more.
 *
 * Only this file tells nvcc from the CPU stand-in of the tests (tests/standin), and only for
 * shared memory. A kernel is launched through cudaLaunchKernelEx instead of <<<>>>, because that
 * is plain C++ and converts the arguments to the kernel's own types under the compiler's warnings.
 */
#ifndef ADDER_CUDA_CUH
#define ADDER_CUDA_CUH

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include <stdio.h>
#include <string.h>

extern "C" {
#include "engine.h"
}

enum { CUDA_FAILURE_TEXT_BYTES = 256 };

typedef struct {
    engine_status status; /* what TRY returned; ENGINE_OK before the first failure */
    bool lost;            /* no CUDA call of this process will succeed again */
    char text[CUDA_FAILURE_TEXT_BYTES];
} cuda_failure;

/* Written only by cuda_check, below. */
inline thread_local cuda_failure cuda_last_failure;

/* The errors whose documentation says that the process must end to use CUDA again; ECC and the
 * assertion are told apart there only in words, but leave a context just as dead. */
static inline bool cuda_is_lost(cudaError_t error) {
    switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorExternalDevice:
        return true;
    default:
        return false;
    }
}

/* Where a call stands; made by TRY. */
typedef struct {
    const char *call, *file;
    int line;
} cuda_place;

/* Keeps a failure. Asking for the last error clears it, so that the next check does not find this
 * one; it also tells why a library failed, which answers a lost device with a code of its own. */
static inline engine_status cuda_keep(cuda_place at, engine_status status, cudaError_t error,
                                      const char *reason) {
    cudaError_t last = cudaGetLastError();
    cuda_last_failure.status = status;
    cuda_last_failure.lost = cuda_is_lost(error) || cuda_is_lost(last);
    const char *base = at.file;
    for (const char *c = at.file; *c != '\0'; c++) {
        base = *c == '/' ? c + 1 : base;
    }
    snprintf(cuda_last_failure.text, sizeof cuda_last_failure.text, "%s:%d: %.*s: %s%s%s", base,
             at.line, (int)strcspn(at.call, "("), at.call, reason,
             last != cudaSuccess && last != error ? ", after " : "",
             last != cudaSuccess && last != error ? cudaGetErrorString(last) : "");
    return status;
}

static inline engine_status cuda_check(cuda_place at, cudaError_t error) {
    if (error == cudaSuccess) {
        return ENGINE_OK;
    }
    return cuda_keep(at, error == cudaErrorMemoryAllocation ? ENGINE_NO_MEMORY : ENGINE_INTERNAL,
                     error, cudaGetErrorString(error));
}

static inline engine_status cuda_check(cuda_place at, cublasStatus_t status) {
    if (status == CUBLAS_STATUS_SUCCESS) {
        return ENGINE_OK;
    }
    return cuda_keep(at, status == CUBLAS_STATUS_ALLOC_FAILED ? ENGINE_NO_MEMORY : ENGINE_INTERNAL,
                     cudaSuccess, cublasGetStatusString(status));
}

/* cuSOLVER has no texts of its own. */
static inline engine_status cuda_check(cuda_place at, cusolverStatus_t status) {
    if (status == CUSOLVER_STATUS_SUCCESS) {
        return ENGINE_OK;
    }
    char reason[32];
    snprintf(reason, sizeof reason, "cuSOLVER status %d", (int)status);
    return cuda_keep(at,
                     status == CUSOLVER_STATUS_ALLOC_FAILED ? ENGINE_NO_MEMORY : ENGINE_INTERNAL,
                     cudaSuccess, reason);
}

/* TRY(call): any CUDA, cuBLAS or cuSOLVER call, or one of our own that returns an engine_status. */
static inline engine_status cuda_check(cuda_place, engine_status status) {
    return status;
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        engine_status try_status = cuda_check(cuda_place{#call, __FILE__, __LINE__}, (call));      \
        if (try_status != ENGINE_OK) {                                                             \
            return try_status;                                                                     \
        }                                                                                          \
    } while (0)

/* Grid and block are a dim3 or an unsigned. A grid of size 0 is an error: skip the launch. */
#define LAUNCH(kernel, grid, block, shared_bytes, in_stream, ...)                                  \
    do {                                                                                           \
        cudaLaunchConfig_t launch_config = {};                                                     \
        launch_config.gridDim = (grid);                                                            \
        launch_config.blockDim = (block);                                                          \
        launch_config.dynamicSmemBytes = (shared_bytes);                                           \
        launch_config.stream = (in_stream);                                                        \
        engine_status launch_status =                                                              \
            cuda_check(cuda_place{#kernel, __FILE__, __LINE__},                                    \
                       cudaLaunchKernelEx(&launch_config, kernel, __VA_ARGS__));                   \
        if (launch_status != ENGINE_OK) {                                                          \
            return launch_status;                                                                  \
        }                                                                                          \
    } while (0)

/* SHARED(type, name) is the launch's dynamic shared memory as a `type *`. It is declared once, as
 * bytes, since one name cannot be extern with a type for every template.
 * SHARED_ARRAY(float, tile, [32][33]) is static shared memory; a bare __shared__ does not compile
 * in the tests, where each block needs memory of its own to show a missing barrier. */
#ifdef __CUDACC__
#define SHARED(type, name)                                                                         \
    extern __shared__ __align__(16) unsigned char cuda_shared_bytes[];                             \
    type *name = reinterpret_cast<type *>(cuda_shared_bytes)
#define SHARED_ARRAY(type, name, dims) __shared__ type name dims
#else
#define SHARED(type, name) type *name = static_cast<type *>(standin_shared())
#define SHARED_ARRAY(type, name, dims)                                                             \
    static const char name##_site = 0;                                                             \
    typedef type name##_array dims;                                                                \
    name##_array &name =                                                                           \
        *static_cast<name##_array *>(standin_shared_array(&name##_site, sizeof(name##_array)))
#endif

#endif

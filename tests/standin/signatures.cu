/*
 * signatures.cu - every call of the stand-in as a pointer of the type that the real one has.
 *
 * It compiles against the stand-in and, by nvcc, against CUDA's headers, and links against both:
 * a signature, a constant or a field that differs is an error in one of them.
 */
#include "cuda.cuh"

cudaError_t (*sign_cudaGetDeviceCount)(int *) = cudaGetDeviceCount;
cudaError_t (*sign_cudaSetDevice)(int) = cudaSetDevice;
cudaError_t (*sign_cudaGetDeviceProperties)(struct cudaDeviceProp *, int) = cudaGetDeviceProperties;
cudaError_t (*sign_cudaDeviceSynchronize)(void) = cudaDeviceSynchronize;
cudaError_t (*sign_cudaDeviceReset)(void) = cudaDeviceReset;
cudaError_t (*sign_cudaGetLastError)(void) = cudaGetLastError;
cudaError_t (*sign_cudaPeekAtLastError)(void) = cudaPeekAtLastError;
const char *(*sign_cudaGetErrorString)(cudaError_t) = cudaGetErrorString;
cudaError_t (*sign_cudaFuncSetAttribute)(const void *, enum cudaFuncAttribute,
                                         int) = cudaFuncSetAttribute;
cudaError_t (*sign_cudaMemGetInfo)(size_t *, size_t *) = cudaMemGetInfo;
cudaError_t (*sign_cudaMalloc)(void **, size_t) = cudaMalloc;
cudaError_t (*sign_cudaFree)(void *) = cudaFree;
cudaError_t (*sign_cudaMallocHost)(void **, size_t) = cudaMallocHost;
cudaError_t (*sign_cudaFreeHost)(void *) = cudaFreeHost;
cudaError_t (*sign_cudaMemcpy)(void *, const void *, size_t, enum cudaMemcpyKind) = cudaMemcpy;
cudaError_t (*sign_cudaMemcpyAsync)(void *, const void *, size_t, enum cudaMemcpyKind,
                                    cudaStream_t) = cudaMemcpyAsync;
cudaError_t (*sign_cudaMemset)(void *, int, size_t) = cudaMemset;
cudaError_t (*sign_cudaMemsetAsync)(void *, int, size_t, cudaStream_t) = cudaMemsetAsync;
cudaError_t (*sign_cudaStreamCreate)(cudaStream_t *) = cudaStreamCreate;
cudaError_t (*sign_cudaStreamCreateWithFlags)(cudaStream_t *,
                                              unsigned int) = cudaStreamCreateWithFlags;
cudaError_t (*sign_cudaStreamDestroy)(cudaStream_t) = cudaStreamDestroy;
cudaError_t (*sign_cudaStreamSynchronize)(cudaStream_t) = cudaStreamSynchronize;
cudaError_t (*sign_cudaStreamQuery)(cudaStream_t) = cudaStreamQuery;
cudaError_t (*sign_cudaStreamWaitEvent)(cudaStream_t, cudaEvent_t,
                                        unsigned int) = cudaStreamWaitEvent;
cudaError_t (*sign_cudaEventCreate)(cudaEvent_t *) = cudaEventCreate;
cudaError_t (*sign_cudaEventCreateWithFlags)(cudaEvent_t *,
                                             unsigned int) = cudaEventCreateWithFlags;
cudaError_t (*sign_cudaEventDestroy)(cudaEvent_t) = cudaEventDestroy;
cudaError_t (*sign_cudaEventRecord)(cudaEvent_t, cudaStream_t) = cudaEventRecord;
cudaError_t (*sign_cudaEventSynchronize)(cudaEvent_t) = cudaEventSynchronize;
cudaError_t (*sign_cudaEventQuery)(cudaEvent_t) = cudaEventQuery;
cudaError_t (*sign_cudaEventElapsedTime)(float *, cudaEvent_t, cudaEvent_t) = cudaEventElapsedTime;
cudaError_t (*sign_cudaStreamBeginCapture)(cudaStream_t,
                                           enum cudaStreamCaptureMode) = cudaStreamBeginCapture;
cudaError_t (*sign_cudaStreamEndCapture)(cudaStream_t, cudaGraph_t *) = cudaStreamEndCapture;
cudaError_t (*sign_cudaGraphInstantiate)(cudaGraphExec_t *, cudaGraph_t,
                                         unsigned long long) = cudaGraphInstantiate;
cudaError_t (*sign_cudaGraphLaunch)(cudaGraphExec_t, cudaStream_t) = cudaGraphLaunch;
cudaError_t (*sign_cudaGraphExecDestroy)(cudaGraphExec_t) = cudaGraphExecDestroy;
cudaError_t (*sign_cudaGraphDestroy)(cudaGraph_t) = cudaGraphDestroy;
cublasStatus_t (*sign_cublasCreate_v2)(cublasHandle_t *) = cublasCreate_v2;
cublasStatus_t (*sign_cublasDestroy_v2)(cublasHandle_t) = cublasDestroy_v2;
cublasStatus_t (*sign_cublasSetStream_v2)(cublasHandle_t, cudaStream_t) = cublasSetStream_v2;
cublasStatus_t (*sign_cublasSetWorkspace_v2)(cublasHandle_t, void *,
                                             size_t) = cublasSetWorkspace_v2;
cublasStatus_t (*sign_cublasSetMathMode)(cublasHandle_t, cublasMath_t) = cublasSetMathMode;
const char *(*sign_cublasGetStatusString)(cublasStatus_t) = cublasGetStatusString;
cublasStatus_t (*sign_cublasSgemm_v2)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int,
                                      int, int, const float *, const float *, int, const float *,
                                      int, const float *, float *, int) = cublasSgemm_v2;
cublasStatus_t (*sign_cublasSgemmStridedBatched)(cublasHandle_t, cublasOperation_t,
                                                 cublasOperation_t, int, int, int, const float *,
                                                 const float *, int, long long int, const float *,
                                                 int, long long int, const float *, float *, int,
                                                 long long int, int) = cublasSgemmStridedBatched;
cublasStatus_t (*sign_cublasSgemmBatched)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int,
                                          int, int, const float *, const float *const *, int,
                                          const float *const *, int, const float *, float *const *,
                                          int, int) = cublasSgemmBatched;
cublasStatus_t (*sign_cublasSgemmGroupedBatched)(cublasHandle_t, const cublasOperation_t *,
                                                 const cublasOperation_t *, const int *,
                                                 const int *, const int *, const float *,
                                                 const float *const *, const int *,
                                                 const float *const *, const int *, const float *,
                                                 float *const *, const int *, int,
                                                 const int *) = cublasSgemmGroupedBatched;
cusolverStatus_t (*sign_cusolverDnCreate)(cusolverDnHandle_t *) = cusolverDnCreate;
cusolverStatus_t (*sign_cusolverDnDestroy)(cusolverDnHandle_t) = cusolverDnDestroy;
cusolverStatus_t (*sign_cusolverDnSetStream)(cusolverDnHandle_t,
                                             cudaStream_t) = cusolverDnSetStream;
cusolverStatus_t (*sign_cusolverDnCreateParams)(cusolverDnParams_t *) = cusolverDnCreateParams;
cusolverStatus_t (*sign_cusolverDnDestroyParams)(cusolverDnParams_t) = cusolverDnDestroyParams;
cusolverStatus_t (*sign_cusolverDnCreateSyevjInfo)(syevjInfo_t *) = cusolverDnCreateSyevjInfo;
cusolverStatus_t (*sign_cusolverDnDestroySyevjInfo)(syevjInfo_t) = cusolverDnDestroySyevjInfo;
cusolverStatus_t (*sign_cusolverDnXsyevjSetTolerance)(syevjInfo_t,
                                                      double) = cusolverDnXsyevjSetTolerance;
cusolverStatus_t (*sign_cusolverDnXsyevjSetMaxSweeps)(syevjInfo_t,
                                                      int) = cusolverDnXsyevjSetMaxSweeps;
cusolverStatus_t (*sign_cusolverDnXsyevjSetSortEig)(syevjInfo_t, int) = cusolverDnXsyevjSetSortEig;
cusolverStatus_t (*sign_cusolverDnXsyevBatched_bufferSize)(
    cusolverDnHandle_t, cusolverDnParams_t, cusolverEigMode_t, cublasFillMode_t, int64_t,
    cudaDataType, const void *, int64_t, cudaDataType, const void *, cudaDataType, size_t *,
    size_t *, int64_t) = cusolverDnXsyevBatched_bufferSize;
cusolverStatus_t (*sign_cusolverDnXsyevBatched)(cusolverDnHandle_t, cusolverDnParams_t,
                                                cusolverEigMode_t, cublasFillMode_t, int64_t,
                                                cudaDataType, void *, int64_t, cudaDataType, void *,
                                                cudaDataType, void *, size_t, void *, size_t, int *,
                                                int64_t) = cusolverDnXsyevBatched;
cusolverStatus_t (*sign_cusolverDnDsyevjBatched_bufferSize)(
    cusolverDnHandle_t, cusolverEigMode_t, cublasFillMode_t, int, const double *, int,
    const double *, int *, syevjInfo_t, int) = cusolverDnDsyevjBatched_bufferSize;
cusolverStatus_t (*sign_cusolverDnDsyevjBatched)(cusolverDnHandle_t, cusolverEigMode_t,
                                                 cublasFillMode_t, int, double *, int, double *,
                                                 double *, int, int *, syevjInfo_t,
                                                 int) = cusolverDnDsyevjBatched;

#define SAME(name, value) static_assert((int)(name) == (value), #name)
SAME(cudaErrorInvalidValue, 1);
SAME(cudaErrorMemoryAllocation, 2);
SAME(cudaErrorInvalidConfiguration, 9);
SAME(cudaErrorNoDevice, 100);
SAME(cudaErrorInvalidDevice, 101);
SAME(cudaErrorECCUncorrectable, 214);
SAME(cudaErrorContained, 226);
SAME(cudaErrorInvalidResourceHandle, 400);
SAME(cudaErrorNotReady, 600);
SAME(cudaErrorIllegalAddress, 700);
SAME(cudaErrorLaunchTimeout, 702);
SAME(cudaErrorAssert, 710);
SAME(cudaErrorHardwareStackError, 714);
SAME(cudaErrorIllegalInstruction, 715);
SAME(cudaErrorMisalignedAddress, 716);
SAME(cudaErrorInvalidAddressSpace, 717);
SAME(cudaErrorInvalidPc, 718);
SAME(cudaErrorLaunchFailure, 719);
SAME(cudaErrorStreamCaptureUnsupported, 900);
SAME(cudaErrorStreamCaptureInvalidated, 901);
SAME(cudaErrorStreamCaptureIsolation, 905);
SAME(cudaErrorStreamCaptureImplicit, 906);
SAME(cudaErrorExternalDevice, 911);
SAME(CUBLAS_STATUS_SUCCESS, 0);
SAME(CUBLAS_STATUS_NOT_INITIALIZED, 1);
SAME(CUBLAS_STATUS_ALLOC_FAILED, 3);
SAME(CUBLAS_STATUS_INVALID_VALUE, 7);
SAME(CUBLAS_STATUS_EXECUTION_FAILED, 13);
SAME(CUBLAS_STATUS_INTERNAL_ERROR, 14);
SAME(CUBLAS_STATUS_NOT_SUPPORTED, 15);
SAME(CUBLAS_OP_N, 0);
SAME(CUBLAS_OP_T, 1);
SAME(CUBLAS_OP_C, 2);
SAME(CUBLAS_FILL_MODE_LOWER, 0);
SAME(CUBLAS_FILL_MODE_UPPER, 1);
SAME(CUBLAS_DEFAULT_MATH, 0);
SAME(CUBLAS_PEDANTIC_MATH, 2);
SAME(CUBLAS_TF32_TENSOR_OP_MATH, 3);
SAME(CUSOLVER_STATUS_SUCCESS, 0);
SAME(CUSOLVER_STATUS_NOT_INITIALIZED, 1);
SAME(CUSOLVER_STATUS_ALLOC_FAILED, 2);
SAME(CUSOLVER_STATUS_INVALID_VALUE, 3);
SAME(CUSOLVER_STATUS_EXECUTION_FAILED, 6);
SAME(CUSOLVER_STATUS_INTERNAL_ERROR, 7);
SAME(CUSOLVER_STATUS_NOT_SUPPORTED, 9);
SAME(CUSOLVER_EIG_MODE_NOVECTOR, 0);
SAME(CUSOLVER_EIG_MODE_VECTOR, 1);
SAME(CUDA_R_32F, 0);
SAME(CUDA_R_64F, 1);
SAME(cudaMemcpyHostToDevice, 1);
SAME(cudaMemcpyDeviceToHost, 2);
SAME(cudaMemcpyDefault, 4);
SAME(cudaStreamNonBlocking, 1);
SAME(cudaEventDisableTiming, 2);
SAME(cudaEventBlockingSync, 1);
SAME(cudaStreamCaptureModeRelaxed, 2);
SAME(cudaFuncAttributeMaxDynamicSharedMemorySize, 8);

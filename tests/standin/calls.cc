/*
 * calls.cc - the stand-in's settings, its errors and the device it pretends to be.
 */
#include "parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALL_BYTES = 64 };

static struct {
    standin_order order;
    int devices;
    size_t memory_max;
    char fail_call[CALL_BYTES]; /* empty: any */
    unsigned fail_in;           /* calls until the failure; 0: none */
    int fail_code;
    cudaError_t lost;
    standin_counts counts;
} standin;
static thread_local cudaError_t last; /* CUDA's too is the calling thread's */

std::recursive_mutex standin_calls;

void standin_die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("standin: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

/* Also before main, so that a daemon can be steered by its environment. */
__attribute__((constructor)) void standin_reset(void) {
    const char *order = getenv("STANDIN_ORDER"), *devices = getenv("STANDIN_DEVICES");
    const char *memory = getenv("STANDIN_MEMORY"), *fail = getenv("STANDIN_FAIL");
    standin.order =
        order != NULL && strcmp(order, "backward") == 0 ? STANDIN_BACKWARD : STANDIN_FORWARD;
    standin.devices = devices != NULL ? atoi(devices) : 1;
    standin.memory_max = memory != NULL ? strtoull(memory, NULL, 10) : (size_t)1 << 30;
    standin.lost = last = cudaSuccess;
    standin.fail_in = 0;
    char call[CALL_BYTES];
    unsigned nth;
    int code;
    if (fail != NULL) {
        if (sscanf(fail, "%63[^:]:%u:%d", call, &nth, &code) != 3) {
            standin_die("STANDIN_FAIL is call:nth:code, not \"%s\"", fail);
        }
        standin_fail(call, nth, code);
    }
}

void standin_set_order(standin_order order) {
    standin.order = order;
}

void standin_set_devices(int devices) {
    standin.devices = devices;
}

void standin_set_memory(size_t bytes_max) {
    standin.memory_max = bytes_max;
}

void standin_fail(const char *call, unsigned nth, int code) {
    snprintf(standin.fail_call, sizeof standin.fail_call, "%s", call != NULL ? call : "");
    standin.fail_in = nth;
    standin.fail_code = code;
}

standin_counts standin_count(void) {
    return standin.counts;
}

standin_counts *standin_counting(void) {
    return &standin.counts;
}

standin_order standin_order_now(void) {
    return standin.order;
}

int standin_devices(void) {
    return standin.devices;
}

size_t standin_memory_max(void) {
    return standin.memory_max;
}

bool standin_lost(void) {
    return standin.lost != cudaSuccess;
}

static bool loses_device(int code) {
    return code == 214 || code == 226 || code == 700 || code == 702 || code == 710 ||
           (code >= 714 && code <= 719) || code == 911;
}

/* cuBLAS has names that end in _v2, which its users never see. */
static bool is_named(const char *call, const char *name) {
    size_t length = strlen(name);
    return strncmp(call, name, length) == 0 &&
           (call[length] == '\0' || strcmp(call + length, "_v2") == 0);
}

int standin_begin(const char *call, int when_lost) {
    standin.counts.calls++;
    bool fails = standin.fail_in > 0 &&
                 (standin.fail_call[0] == '\0' || is_named(call, standin.fail_call)) &&
                 --standin.fail_in == 0;
    if (fails && strncmp(call, "cuda", 4) == 0 && loses_device(standin.fail_code)) {
        standin.lost = (cudaError_t)standin.fail_code;
    }
    if (standin_lost()) {
        return when_lost != 0 ? when_lost : standin.lost;
    }
    return fails ? standin.fail_code : 0;
}

cudaError_t standin_error(cudaError_t error) {
    last = error;
    return error;
}

cudaError_t cudaPeekAtLastError(void) {
    standin_lock held(standin_calls);
    return standin_lost() ? standin.lost : last;
}

cudaError_t cudaGetLastError(void) {
    standin_lock held(standin_calls);
    cudaError_t error = cudaPeekAtLastError();
    last = cudaSuccess;
    return error;
}

const char *cudaGetErrorString(cudaError_t error) {
    static thread_local char other[32];
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress:
        return "an illegal memory access was encountered";
    default:
        snprintf(other, sizeof other, "CUDA error %d", (int)error);
        return other;
    }
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 0;
    BEGIN();
    *count = standin_devices();
    return *count > 0 ? cudaSuccess : standin_error(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
    BEGIN();
    return device >= 0 && device < standin_devices() ? cudaSuccess
                                                     : standin_error(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device) {
    BEGIN();
    if (device < 0 || device >= standin_devices()) {
        return standin_error(cudaErrorInvalidDevice);
    }
    *prop = cudaDeviceProp{};
    snprintf(prop->name, sizeof prop->name, "CPU stand-in");
    prop->totalGlobalMem = standin_memory_max();
    prop->sharedMemPerBlock = 48 << 10;
    prop->sharedMemPerBlockOptin = 227 << 10;
    prop->warpSize = warpSize;
    prop->maxThreadsPerBlock = 1024;
    prop->major = 9;
    prop->multiProcessorCount = 4;
    return cudaSuccess;
}

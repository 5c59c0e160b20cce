/*
 * memory.cc - device and pinned memory of the stand-in, and copies between them and the host's.
 *
 * Both are blocks of the heap, so that AddressSanitizer sees what runs over. Device memory is
 * poisoned for as long as the host runs: a host that follows a device pointer is reported too.
 * Fresh memory is full of 0xff, a NaN in every float format, since a device's is full of anything.
 */
#include "parts.h"

#include <stdlib.h>

#include <sanitizer/asan_interface.h>

enum { MEMORY_ALIGNMENT = 256, MEMORY_FILL = 0xff };

/* Of a large block only its ends are filled and poisoned: engines have workspaces of many MiB, and
 * poison comes and goes with every synchronisation. */
enum { FILL_BYTES = 1 << 20, POISON_BYTES = 64 << 10 };

typedef struct memory_block {
    struct memory_block *next;
    unsigned char *at;
    size_t bytes;
} memory_block;

static memory_block *device_blocks, *host_blocks;
static unsigned entered;

static memory_block *find(memory_block *list, const void *at, size_t bytes) {
    uintptr_t first = (uintptr_t)at;
    for (memory_block *block = list; block != NULL; block = block->next) {
        size_t offset = first - (uintptr_t)block->at;
        if (first >= (uintptr_t)block->at && offset < block->bytes &&
            bytes <= block->bytes - offset) {
            return block;
        }
    }
    return NULL;
}

bool standin_is_device(const void *at, size_t bytes) {
    return find(device_blocks, at, bytes) != NULL;
}

static void poison(const memory_block *block) {
    size_t end = block->bytes < POISON_BYTES ? block->bytes : (size_t)POISON_BYTES;
    ASAN_POISON_MEMORY_REGION(block->at, end);
    ASAN_POISON_MEMORY_REGION(block->at + block->bytes - end, end);
}

static void unpoison(const memory_block *block) {
    size_t end = block->bytes < POISON_BYTES ? block->bytes : (size_t)POISON_BYTES;
    ASAN_UNPOISON_MEMORY_REGION(block->at, end);
    ASAN_UNPOISON_MEMORY_REGION(block->at + block->bytes - end, end);
}

void standin_device_enter(void) {
    if (entered++ == 0) {
        for (memory_block *block = device_blocks; block != NULL; block = block->next) {
            unpoison(block);
        }
    }
}

void standin_device_leave(void) {
    if (--entered == 0) {
        for (memory_block *block = device_blocks; block != NULL; block = block->next) {
            poison(block);
        }
    }
}

static unsigned char *add(memory_block **list, size_t bytes) {
    memory_block *block = static_cast<memory_block *>(malloc(sizeof *block));
    void *at = NULL;
    if (block == NULL || posix_memalign(&at, MEMORY_ALIGNMENT, bytes) != 0) {
        free(block);
        return NULL;
    }
    size_t end = bytes < FILL_BYTES ? bytes : (size_t)FILL_BYTES;
    memset(at, MEMORY_FILL, end);
    memset(static_cast<unsigned char *>(at) + bytes - end, MEMORY_FILL, end);
    *block = memory_block{*list, static_cast<unsigned char *>(at), bytes};
    *list = block;
    return block->at;
}

/* Frees the block that begins there; its size, or 0 if there is none. */
static size_t drop(memory_block **list, const void *at) {
    while (*list != NULL && (*list)->at != at) {
        list = &(*list)->next;
    }
    memory_block *block = *list;
    if (block == NULL) {
        return 0;
    }
    size_t bytes = block->bytes;
    *list = block->next;
    unpoison(block);
    free(block->at);
    free(block);
    return bytes;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
    BEGIN();
    size_t used = standin_counting()->device_bytes;
    *total = standin_memory_max();
    *free = *total > used ? *total - used : 0;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **devPtr, size_t size) {
    BEGIN_UNCAPTURED();
    standin_counts *counts = standin_counting();
    *devPtr = NULL;
    if (size == 0) {
        return cudaSuccess;
    }
    if (counts->device_bytes > standin_memory_max() ||
        size > standin_memory_max() - counts->device_bytes) {
        return standin_error(cudaErrorMemoryAllocation);
    }
    unsigned char *at = add(&device_blocks, size);
    if (at == NULL) {
        return standin_error(cudaErrorMemoryAllocation);
    }
    poison(device_blocks);
    counts->device_bytes += size;
    counts->device_blocks++;
    *devPtr = at;
    return cudaSuccess;
}

/* Both kinds are freed even if the call fails: a lost device's memory goes with it. */
static cudaError_t release(memory_block **list, void *at, size_t *blocks, size_t *bytes,
                           int error) {
    if (at != NULL) {
        standin_finish_all();
        size_t freed = drop(list, at);
        if (freed == 0) {
            return standin_error(cudaErrorInvalidValue);
        }
        (*blocks)--;
        *bytes -= freed;
    }
    return error == 0 ? cudaSuccess : standin_error((cudaError_t)error);
}

cudaError_t cudaFree(void *devPtr) {
    standin_lock held(standin_calls);
    int error = standin_begin(__func__, 0);
    if (standin_capture_break()) {
        return standin_error(cudaErrorStreamCaptureUnsupported);
    }
    standin_counts *counts = standin_counting();
    return release(&device_blocks, devPtr, &counts->device_blocks, &counts->device_bytes, error);
}

cudaError_t cudaMallocHost(void **ptr, size_t size) {
    BEGIN_UNCAPTURED();
    *ptr = size > 0 ? add(&host_blocks, size) : NULL;
    standin_counting()->host_blocks += *ptr != NULL;
    return size == 0 || *ptr != NULL ? cudaSuccess : standin_error(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *ptr) {
    standin_lock held(standin_calls);
    int error = standin_begin(__func__, 0);
    size_t bytes = 0; /* pinned bytes are not counted */
    return release(&host_blocks, ptr, &standin_counting()->host_blocks, &bytes, error);
}

/* Whether the ends of a copy are what its kind says. */
static bool ends_valid(const void *dst, const void *src, size_t count, enum cudaMemcpyKind kind) {
    bool to = standin_is_device(dst, count), from = standin_is_device(src, count);
    switch (kind) {
    case cudaMemcpyHostToHost:
        return !standin_is_device(dst, 1) && !standin_is_device(src, 1);
    case cudaMemcpyHostToDevice:
        return to && !standin_is_device(src, 1);
    case cudaMemcpyDeviceToHost:
        return from && !standin_is_device(dst, 1);
    case cudaMemcpyDeviceToDevice:
        return to && from;
    default:
        return to == standin_is_device(dst, 1) && from == standin_is_device(src, 1);
    }
}

static cudaError_t copy(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                        cudaStream_t stream) {
    if (count == 0) {
        return cudaSuccess;
    }
    if (!ends_valid(dst, src, count, kind)) {
        return standin_error(cudaErrorInvalidValue);
    }
    bool ends_pinned = (standin_is_device(dst, 1) || find(host_blocks, dst, 1) != NULL) &&
                       (standin_is_device(src, 1) || find(host_blocks, src, 1) != NULL);
    /* A graph would read pageable memory at each launch, when the caller's may be gone. */
    if (!ends_pinned && standin_is_capturing(stream)) {
        standin_capture_break();
        return standin_error(cudaErrorStreamCaptureUnsupported);
    }
    cudaError_t error = standin_enqueue(stream, [=] { memcpy(dst, src, count); });
    /* CUDA has used up pageable memory by the time it returns. */
    if (error == cudaSuccess && !ends_pinned) {
        standin_finish(stream);
    }
    return error;
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind) {
    BEGIN_UNCAPTURED();
    return copy(dst, src, count, kind, NULL);
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    BEGIN();
    return copy(dst, src, count, kind, stream);
}

static cudaError_t fill(void *devPtr, int value, size_t count, cudaStream_t stream) {
    if (count > 0 && !standin_is_device(devPtr, count)) {
        return standin_error(cudaErrorInvalidValue);
    }
    return count == 0 ? cudaSuccess
                      : standin_enqueue(stream, [=] { memset(devPtr, value, count); });
}

cudaError_t cudaMemset(void *devPtr, int value, size_t count) {
    BEGIN_UNCAPTURED();
    return fill(devPtr, value, count, NULL);
}

cudaError_t cudaMemsetAsync(void *devPtr, int value, size_t count, cudaStream_t stream) {
    BEGIN();
    return fill(devPtr, value, count, stream);
}

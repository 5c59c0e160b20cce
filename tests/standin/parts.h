/*
 * parts.h - what the stand-in's files need of each other. See standin.h for what it is.
 */
#ifndef STANDIN_PARTS_H
#define STANDIN_PARTS_H

#include "cuda_runtime.h"
#include "standin.h"

#include <mutex>

/* ---- calls.cc: settings, errors ---- */

[[noreturn]] __attribute__((format(printf, 1, 2))) void standin_die(const char *format, ...);
standin_order standin_order_now(void);
int standin_devices(void);
size_t standin_memory_max(void);
standin_counts *standin_counting(void);
bool standin_lost(void);
/* Keeps it as the last error and returns it. */
cudaError_t standin_error(cudaError_t error);
/* Held from a call's begin to its return: a call that another thread makes meanwhile waits. */
extern std::recursive_mutex standin_calls;
typedef std::lock_guard<std::recursive_mutex> standin_lock;
/* Begins a call: 0, or what it shall fail with; if the device is lost that is `when_lost`, or the
 * loss itself for 0. */
int standin_begin(const char *call, int when_lost);
#define BEGIN()                                                                                    \
    standin_lock held(standin_calls);                                                              \
    do {                                                                                           \
        int begin_error = standin_begin(__func__, 0);                                              \
        if (begin_error != 0) {                                                                    \
            return standin_error((cudaError_t)begin_error);                                        \
        }                                                                                          \
    } while (0)
/* ... of a call that no capture may be under way for. */
#define BEGIN_UNCAPTURED()                                                                         \
    BEGIN();                                                                                       \
    if (standin_capture_break()) {                                                                 \
        return standin_error(cudaErrorStreamCaptureUnsupported);                                   \
    }

/* ---- memory.cc ---- */

/* Whether all these bytes lie in one block of device memory. */
bool standin_is_device(const void *at, size_t bytes);
/* The device may touch its memory, from the outermost enter to its leave; the host never. */
void standin_device_enter(void);
void standin_device_leave(void);

/* ---- block.cc ---- */

typedef struct {
    dim3 grid, block;
    size_t shared_bytes;
    void (*thread)(const void *body);
    alignas(16) unsigned char body[];
} standin_grid;
void standin_run_grid(const standin_grid *grid);

/* ---- stream.cc ---- */

/* Puts run(copy of the body) at a stream's end, or into the graph being captured from it. */
cudaError_t standin_put(cudaStream_t stream, void (*run)(void *body), const void *body,
                        size_t bytes);
/* Waits for one stream, or for all. */
void standin_finish(cudaStream_t stream);
void standin_finish_all(void);
/* Breaks captures that forbid a call outside the stream; whether there was one. */
bool standin_capture_break(void);
bool standin_is_capturing(cudaStream_t stream);

template <typename Body> void standin_run_body(void *body) {
    (*static_cast<Body *>(body))();
}
template <typename Body> cudaError_t standin_enqueue(cudaStream_t stream, Body body) {
    static_assert(__is_trivially_copyable(Body), "queued work is copied bytes");
    return standin_put(stream, standin_run_body<Body>, &body, sizeof body);
}

#endif

/*
 * queue.h - work that waits in a stream or stands in a graph, for stream.cc and graph.cc.
 */
#ifndef STANDIN_QUEUE_H
#define STANDIN_QUEUE_H

#include "parts.h"

#include <stdlib.h>
#include <thread>

typedef struct work {
    struct work *next;
    void (*run)(void *body);
    size_t bytes;
    alignas(16) unsigned char body[];
} work;

typedef struct {
    work *first, *last;
} work_list;

struct CUstream_st {
    CUstream_st *next;
    unsigned flags;
    work_list queue, captured;
    bool capturing, broken;
    enum cudaStreamCaptureMode mode;
    std::thread::id capturer;
};
/* Copies the body. */
void work_append(work_list *list, void (*run)(void *), const void *body, size_t bytes);
void work_clear(work_list *list);

bool stream_exists(const CUstream_st *stream); /* 0 does */

/* A zeroed object of the host's, counted. */
template <typename T> T *object_make(size_t *count) {
    T *made = static_cast<T *>(calloc(1, sizeof(T)));
    if (made == NULL) {
        standin_die("out of memory");
    }
    (*count)++;
    return made;
}

/* Frees it, also on a lost device. */
static inline cudaError_t object_drop(void *made, size_t *count, int error) {
    free(made);
    (*count)--;
    return error == 0 ? cudaSuccess : standin_error((cudaError_t)error);
}

#endif

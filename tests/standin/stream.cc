/*
 * stream.cc - streams and events of the stand-in.
 *
 * Work waits in its stream's queue until something asks for it, as late as CUDA allows (forward),
 * or until something asks for any stream, all others first (backward). A program that is right in
 * both orders has, between these extremes, the events and synchronisations it needs.
 * The legacy stream 0 runs its work at once, after that of the streams that it waits for.
 */
#include "queue.h"

#include <time.h>

struct CUevent_st {
    CUstream_st *stream; /* of the latest record */
    uint64_t recorded, done;
    double done_ms;
    bool timed;
};
static CUstream_st *streams; /* newest first */

void work_append(work_list *list, void (*run)(void *), const void *body, size_t bytes) {
    work *item = static_cast<work *>(malloc(sizeof *item + bytes));
    if (item == NULL) {
        standin_die("out of memory for queued work");
    }
    item->next = NULL;
    item->run = run;
    item->bytes = bytes;
    memcpy(item->body, body, bytes);
    *(list->first == NULL ? &list->first : &list->last->next) = item;
    list->last = item;
}

static void run_first(CUstream_st *stream) {
    work *item = stream->queue.first;
    stream->queue.first = item->next;
    if (!standin_lost()) {
        standin_device_enter();
        item->run(item->body);
        standin_device_leave();
    }
    free(item);
}

/* Entered once for all of the queue: what ASan has to mark is all memory there is. */
static void drain(CUstream_st *stream) {
    if (stream->queue.first == NULL) {
        return;
    }
    standin_device_enter();
    while (stream->queue.first != NULL) {
        run_first(stream);
    }
    standin_device_leave();
}

void work_clear(work_list *list) {
    for (work *item = list->first; item != NULL; item = list->first) {
        list->first = item->next;
        free(item);
    }
}

bool stream_exists(const CUstream_st *stream) {
    const CUstream_st *s = streams;
    while (s != NULL && s != stream) {
        s = s->next;
    }
    return s == stream; /* 0 is one */
}

static void run_rivals(const CUstream_st *stream) {
    for (CUstream_st *s = standin_order_now() == STANDIN_BACKWARD ? streams : NULL; s != NULL;
         s = s->next) {
        if (s != stream) {
            drain(s);
        }
    }
}

void standin_finish(cudaStream_t stream) {
    run_rivals(stream);
    if (stream != NULL) {
        drain(stream);
        return;
    }
    for (CUstream_st *s = streams; s != NULL; s = s->next) {
        if (!(s->flags & cudaStreamNonBlocking)) {
            drain(s);
        }
    }
}

/* Oldest first, or newest first when backward. */
static void drain_from(CUstream_st *stream) {
    if (stream == NULL) {
        return;
    }
    if (standin_order_now() == STANDIN_BACKWARD) {
        drain(stream);
    }
    drain_from(stream->next);
    drain(stream);
}

void standin_finish_all(void) {
    drain_from(streams);
}

bool standin_is_capturing(cudaStream_t stream) {
    return stream != NULL && stream->capturing;
}

static bool forbids(const CUstream_st *s) {
    return s->capturing && (s->mode == cudaStreamCaptureModeGlobal ||
                            (s->mode == cudaStreamCaptureModeThreadLocal &&
                             s->capturer == std::this_thread::get_id()));
}

bool standin_capture_break(void) {
    bool broke = false;
    for (CUstream_st *s = streams; s != NULL; s = s->next) {
        if (forbids(s)) {
            s->broken = broke = true;
        }
    }
    return broke;
}

cudaError_t standin_put(cudaStream_t stream, void (*run)(void *body), const void *body,
                        size_t bytes) {
    if (!stream_exists(stream)) {
        return standin_error(cudaErrorInvalidResourceHandle);
    }
    if (stream != NULL) {
        work_append(stream->capturing ? &stream->captured : &stream->queue, run, body, bytes);
        return cudaSuccess;
    }
    if (standin_capture_break()) {
        return standin_error(cudaErrorStreamCaptureImplicit);
    }
    standin_finish(NULL);
    CUstream_st legacy = {};
    work_append(&legacy.queue, run, body, bytes);
    drain(&legacy);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *pStream, unsigned int flags) {
    BEGIN();
    *pStream = object_make<CUstream_st>(&standin_counting()->streams);
    (*pStream)->flags = flags;
    (*pStream)->next = streams;
    streams = *pStream;
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *pStream) {
    return cudaStreamCreateWithFlags(pStream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    standin_lock held(standin_calls);
    int error = standin_begin(__func__, 0);
    CUstream_st **at = &streams;
    while (*at != NULL && *at != stream) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        return standin_error(cudaErrorInvalidResourceHandle);
    }
    drain(stream);
    *at = stream->next;
    work_clear(&stream->captured);
    return object_drop(stream, &standin_counting()->streams, error);
}

/* A capturing stream has nothing to wait for: asking breaks the capture. */
static cudaError_t check_askable(cudaStream_t stream) {
    if (!stream_exists(stream)) {
        return standin_error(cudaErrorInvalidResourceHandle);
    }
    if (standin_is_capturing(stream)) {
        stream->broken = true;
        return standin_error(cudaErrorStreamCaptureUnsupported);
    }
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    BEGIN();
    cudaError_t error = check_askable(stream);
    if (error == cudaSuccess) {
        standin_finish(stream);
    }
    return error;
}

cudaError_t cudaDeviceSynchronize(void) {
    BEGIN_UNCAPTURED();
    standin_finish_all();
    return cudaSuccess;
}

/* Frees nothing: what the program has not freed itself is to show in the counts. */
cudaError_t cudaDeviceReset(void) {
    return cudaDeviceSynchronize();
}

/* A query does a piece of the work, so that a host that asks in a loop gets its answer. */
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    BEGIN();
    cudaError_t error = check_askable(stream);
    if (error != cudaSuccess || stream == NULL || stream->queue.first == NULL) {
        return error;
    }
    run_first(stream);
    return standin_error(cudaErrorNotReady);
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags) {
    BEGIN();
    *event = object_make<CUevent_st>(&standin_counting()->events);
    (*event)->timed = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    standin_lock held(standin_calls);
    int error = standin_begin(__func__, 0);
    standin_finish_all(); /* work may still refer to it */
    return object_drop(event, &standin_counting()->events, error);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    BEGIN();
    cudaError_t error = check_askable(stream);
    if (error != cudaSuccess) {
        return error;
    }
    uint64_t number = ++event->recorded;
    event->stream = stream;
    return standin_enqueue(stream, [=] {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        event->done = number;
        event->done_ms = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
    });
}

static void run_until(CUstream_st *stream, const CUevent_st *event, uint64_t number) {
    while (event->done < number && !standin_lost() && stream->queue.first != NULL) {
        run_first(stream);
    }
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
    BEGIN();
    if (flags != 0) {
        return standin_error(cudaErrorInvalidValue);
    }
    if (standin_is_capturing(stream)) {
        stream->broken = true;
        return standin_error(cudaErrorStreamCaptureIsolation);
    }
    uint64_t number = event->recorded;
    CUstream_st *recorder = event->stream;
    return standin_enqueue(stream, [=] { run_until(recorder, event, number); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    BEGIN();
    run_rivals(event->stream);
    run_until(event->stream, event, event->recorded);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    BEGIN_UNCAPTURED();
    if (event->done == event->recorded) {
        return cudaSuccess;
    }
    if (event->stream->queue.first != NULL) {
        run_first(event->stream);
    }
    return standin_error(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
    BEGIN();
    if (!start->timed || !end->timed || start->recorded == 0 || end->recorded == 0) {
        return standin_error(cudaErrorInvalidResourceHandle);
    }
    if (start->done != start->recorded || end->done != end->recorded) {
        return standin_error(cudaErrorNotReady);
    }
    *ms = (float)(end->done_ms - start->done_ms);
    return cudaSuccess;
}

/*
 * graph.cc - graphs of the stand-in: one stream's work, in its order. An event cannot be part of
 * it.
 */
#include "queue.h"

struct CUgraph_st {
    work_list list;
};
struct CUgraphExec_st {
    work_list list;
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    BEGIN();
    if (stream == NULL || !stream_exists(stream)) {
        return standin_error(cudaErrorStreamCaptureUnsupported);
    }
    if (stream->capturing) {
        return standin_error(cudaErrorInvalidValue);
    }
    stream->capturing = true;
    stream->broken = false;
    stream->mode = mode;
    stream->capturer = std::this_thread::get_id();
    return cudaSuccess;
}

/* Ends it even if the call fails: a program that is told so has no other way to. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *pGraph) {
    standin_lock held(standin_calls);
    int error = standin_begin(__func__, 0);
    *pGraph = NULL;
    if (!stream_exists(stream) || !standin_is_capturing(stream)) {
        return standin_error(cudaErrorInvalidValue);
    }
    work_list list = stream->captured;
    stream->captured = work_list{};
    stream->capturing = false;
    if (error != 0 || stream->broken) {
        work_clear(&list);
        return standin_error(error != 0 ? (cudaError_t)error : cudaErrorStreamCaptureInvalidated);
    }
    *pGraph = object_make<CUgraph_st>(&standin_counting()->graphs);
    (*pGraph)->list = list;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *pGraphExec, cudaGraph_t graph,
                                 unsigned long long flags) {
    BEGIN();
    if (flags != 0) {
        return standin_error(cudaErrorInvalidValue);
    }
    *pGraphExec = object_make<CUgraphExec_st>(&standin_counting()->graphs);
    for (const work *item = graph->list.first; item != NULL; item = item->next) {
        work_append(&(*pGraphExec)->list, item->run, item->body, item->bytes);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream) {
    BEGIN();
    return standin_enqueue(stream, [=] {
        for (work *item = graphExec->list.first; item != NULL; item = item->next) {
            item->run(item->body);
        }
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec) {
    standin_lock held(standin_calls);
    int error = standin_begin(__func__, 0);
    standin_finish_all(); /* a launch of it may be waiting */
    work_clear(&graphExec->list);
    return object_drop(graphExec, &standin_counting()->graphs, error);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    standin_lock held(standin_calls);
    int error = standin_begin(__func__, 0);
    work_clear(&graph->list);
    return object_drop(graph, &standin_counting()->graphs, error);
}

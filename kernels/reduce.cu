/*
 * reduce.cu - a window's score from those of its classes: sum_c (n_c / n) d2_c.
 *
 * Reads W doubles an observation. A warp an observation, always in the same order, so that a
 * score does not depend on the batch it comes in.
 */
#include "stage.cuh"

enum { REDUCE_WARPS = 4 };

static __global__ void reduce(const stage g) {
    uint32_t in_piece = blockIdx.x * REDUCE_WARPS + threadIdx.x / WARP;
    uint32_t o = g.piece_first + in_piece;
    if (in_piece >= g.piece_max || o >= g.counts->observations) {
        return;
    }
    plan_observation window = g.observation[o];
    uint32_t n = min(g.window_rows, window.stored + (window.end - window.first));
    const double *part = g.part + (size_t)in_piece * g.window_rows;
    double sum = 0.0;
    for (uint32_t i = threadIdx.x % WARP; i < n; i += WARP) {
        sum += part[i];
    }
    sum = eigen_warp_sum(sum);
    if (threadIdx.x % WARP == 0) {
        g.score[o] = sum / (double)n;
    }
}

engine_status reduce_scores(const stage *g, size_t observations_max, cudaStream_t stream) {
    LAUNCH(reduce, (unsigned)stage_ceil(observations_max, REDUCE_WARPS), REDUCE_WARPS * WARP, 0,
           stream, *g);
    return ENGINE_OK;
}

/*
 * reduce.cu - what a window's classes amount to (score.h): score, excess, concentration.
 *
 * Reads 16 W bytes an observation, and 32 rungs at most for each of its classes; writes a result,
 * whose memory recall.cu then fills in. A warp an observation, always in the same order, so that a
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
    const stage_part *part = g.part + (size_t)in_piece * g.window_rows;
    score_sums sums = {};
    for (uint32_t i = threadIdx.x % WARP; i < n; i += WARP) {
        if (part[i].rows > 0) {
            score_add(&sums, &g.benign, part[i].class_index, (double)part[i].rows, part[i].d2);
        }
    }
    score_total total = stage_total(sums);
    if (threadIdx.x % WARP == 0) {
        engine_result result = {};
        result.score = total.score;
        result.excess = total.excess;
        result.concentration = total.concentration;
        result.fill = n;
        g.result[o] = result;
    }
}

engine_status reduce_scores(const stage *g, size_t observations_max, cudaStream_t stream) {
    LAUNCH(reduce, (unsigned)stage_ceil(observations_max, REDUCE_WARPS), REDUCE_WARPS * WARP, 0,
           stream, *g);
    return ENGINE_OK;
}

/*
 * append.cu - rows of a batch into their accounts' rings.
 *
 * Reads and writes rank + 2 words a row. A warp a row; rows that a later one of the batch would
 * overwrite have no place.
 */
#include "stage.cuh"

enum { APPEND_WARPS = 4 };

static __global__ void append(const stage g) {
    uint32_t at = blockIdx.x * APPEND_WARPS + threadIdx.x / WARP;
    if (at >= g.counts->rows || g.ring_at[at] == PLAN_NOWHERE) {
        return;
    }
    uint64_t to = g.ring_at[at];
    uint32_t place = g.sequence[at];
    const float *y = g.y + (size_t)place * g.rank;
    for (uint32_t i = threadIdx.x % WARP; i < g.rank; i += WARP) {
        g.ring_y[to * g.rank + i] = y[i];
    }
    if (threadIdx.x % WARP == 0) {
        g.ring_s[to] = g.s[place];
        g.ring_class[to] = g.row[place].class_index;
    }
}

engine_status append_rows(const stage *g, size_t rows_max, cudaStream_t stream) {
    LAUNCH(append, (unsigned)stage_ceil(rows_max, APPEND_WARPS), APPEND_WARPS * WARP, 0, stream,
           *g);
    return ENGINE_OK;
}

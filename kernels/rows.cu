/*
 * rows.cu - rows as they came, less their class's mean, their squared length, and their alignment.
 *
 * Reads dim elements of 2 or 4 bytes and 2 dim floats of its class a row, writes dim + 2 floats:
 * 14 to 16 dim bytes, of which the classes' stay in the cache; 5 dim flops, of which the two sums
 * are in float64. A warp a row.
 */
#include "stage.cuh"

enum { ROWS_WARPS = 4 };

static __device__ float element(const unsigned char *at, uint32_t dtype, uint32_t i) {
    if (dtype == ENGINE_F32) {
        return reinterpret_cast<const float *>(at)[i];
    }
    uint16_t half = reinterpret_cast<const uint16_t *>(at)[i];
    return dtype == ENGINE_F16 ? score_from_f16(half) : score_from_bf16(half);
}

static __global__ void centre(const stage g) {
    uint32_t place = blockIdx.x * ROWS_WARPS + threadIdx.x / WARP;
    if (place >= g.counts->rows) {
        return;
    }
    plan_row row = g.row[place];
    const unsigned char *at = g.embeddings + (size_t)row.offset * PLAN_ALIGNMENT;
    const float *mean = g.mean + (size_t)row.class_index * g.dim;
    const float *direction = g.direction + (size_t)row.class_index * g.dim;
    float *out = g.centred + (size_t)place * g.dim;
    double square = 0.0, along = 0.0;
    for (uint32_t i = threadIdx.x % WARP; i < g.dim; i += WARP) {
        float x = element(at, row.dtype, i) - mean[i];
        out[i] = x;
        square += (double)x * (double)x;
        along += (double)x * (double)direction[i];
    }
    square = eigen_warp_sum(square);
    along = eigen_warp_sum(along);
    if (threadIdx.x % WARP == 0) {
        g.s[place] = (float)square;
        g.alignment[row.row] = score_alignment(square, along, g.direction_square[row.class_index]);
    }
}

engine_status rows_centre(const stage *g, size_t rows_max, cudaStream_t stream) {
    LAUNCH(centre, (unsigned)stage_ceil(rows_max, ROWS_WARPS), ROWS_WARPS * WARP, 0, stream, *g);
    return ENGINE_OK;
}

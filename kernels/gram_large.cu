/*
 * gram_large.cu - Gram matrices of many rows, for cuSOLVER: the rows less their average, or the
 * scatter matrix of the columns where the rank is smaller, in float64, padded with zeros.
 *
 * Reads n rank floats a group once for the averages and again for each of the matrix's tiles,
 * writes order^2 doubles; 2 n rank order flops. A block a tile of 32 x 32, four entries a thread.
 */
#include "stage.cuh"

enum { TILE = 32, LARGE_BLOCK = 256, EACH = TILE * TILE / LARGE_BLOCK, SETTLE_WARPS = 4 };

static __global__ void averages(const stage g, const gram_work work) {
    stage_group group = work.group[blockIdx.x];
    const uint64_t *member = g.member + stage_place(g, group);
    for (uint32_t column = threadIdx.x; column < g.rank; column += blockDim.x) {
        double sum = 0.0;
        for (uint32_t i = 0; i < group.rows; i++) {
            sum += (double)stage_y(g, member[i])[column];
        }
        work.average[(size_t)blockIdx.x * g.rank + column] = sum / (double)group.rows;
    }
}

/* Entries a..a+31 (rows of the matrix) by depth..depth+31 into a tile. A matrix of rows runs over
 * columns and the other way round; what lies outside is zero. */
static __device__ void load(const stage &g, const uint64_t *member, uint32_t rows,
                            const double *average, bool of_rows, uint32_t a, uint32_t depth,
                            double (*tile)[TILE + 1]) {
    for (uint32_t at = threadIdx.x; at < TILE * TILE; at += LARGE_BLOCK) {
        /* Neighbours in a warp read neighbouring columns of one row either way. */
        uint32_t row = (of_rows ? a : depth) + at / TILE;
        uint32_t column = (of_rows ? depth : a) + at % TILE;
        double value = 0.0;
        if (row < rows && column < g.rank) {
            value = (double)stage_y(g, member[row])[column] - average[column];
        }
        tile[of_rows ? at / TILE : at % TILE][of_rows ? at % TILE : at / TILE] = value;
    }
}

static __global__ void __launch_bounds__(LARGE_BLOCK)
    matrices(const stage g, const gram_work work) {
    SHARED_ARRAY(double, left, [TILE][TILE + 1]);
    SHARED_ARRAY(double, right, [TILE][TILE + 1]);
    uint32_t i0 = blockIdx.y / (work.order / TILE) * TILE;
    uint32_t j0 = blockIdx.y % (work.order / TILE) * TILE;
    if (j0 > i0) {
        return; /* the tile on the other side of the diagonal writes both */
    }
    stage_group group = work.group[blockIdx.x];
    const uint64_t *member = g.member + stage_place(g, group);
    const double *average = work.average + (size_t)blockIdx.x * g.rank;
    bool of_rows = group.rows <= g.rank;
    uint32_t depth_end = of_rows ? g.rank : group.rows;
    double sum[EACH] = {};
    for (uint32_t depth = 0; depth < depth_end; depth += TILE) {
        load(g, member, group.rows, average, of_rows, i0, depth, left);
        load(g, member, group.rows, average, of_rows, j0, depth, right);
        __syncthreads();
        for (uint32_t e = 0; e < EACH; e++) {
            uint32_t at = e * LARGE_BLOCK + threadIdx.x;
            for (uint32_t k = 0; k < TILE; k++) {
                sum[e] += left[at / TILE][k] * right[at % TILE][k];
            }
        }
        __syncthreads();
    }
    double *matrix = work.matrix + (size_t)blockIdx.x * work.order * work.order;
    for (uint32_t e = 0; e < EACH; e++) {
        uint32_t at = e * LARGE_BLOCK + threadIdx.x;
        size_t i = i0 + at / TILE, j = j0 + at % TILE;
        matrix[i * work.order + j] = matrix[j * work.order + i] = sum[e];
    }
}

engine_status gram_large(const stage *g, const gram_work *work, cudaStream_t stream) {
    unsigned tiles = work->order / TILE;
    LAUNCH(averages, work->count, LARGE_BLOCK, 0, stream, *g, *work);
    LAUNCH(matrices, dim3(work->count, tiles * tiles), LARGE_BLOCK, 0, stream, *g, *work);
    return ENGINE_OK;
}

static __global__ void settle(const stage g, const gram_work work) {
    uint32_t i = blockIdx.x * SETTLE_WARPS + threadIdx.x / WARP;
    if (i < work.count) {
        stage_settle(g, work.group[i], work.norm[i]);
    }
}

engine_status gram_large_settle(const stage *g, const gram_work *work, cudaStream_t stream) {
    LAUNCH(settle, (unsigned)stage_ceil(work->count, SETTLE_WARPS), SETTLE_WARPS * WARP, 0, stream,
           *g, *work);
    return ENGINE_OK;
}

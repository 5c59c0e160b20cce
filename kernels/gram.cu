/*
 * gram.cu - nuclear norms of small groups, straight from their rows: two and three rows in closed
 * form, more through a Gram matrix in shared memory and eigen_roots.
 *
 * Rows are Helmert rows (score.h), so that n rows make a matrix of order n - 1; where the rank is
 * smaller, the scatter matrix of the columns does. Everything from the y on is float64.
 *
 * Reads n rank floats a group. Flops: n^2 rank for the matrix, 4/3 n^3 and 64 * 6 n for the roots.
 * A warp a group; as many warps as fill the device share the list, whose length only it knows.
 */
#include "stage.cuh"

enum { GRAM_WARPS = 4, BLOCKS_PER_PROCESSOR = 16, TILE = 32, TILE_STRIDE = TILE + 1, AT_ONCE = 4 };

/* ---- two and three rows ---- */

static __device__ double norm_of_few(const stage &g, const stage_group &group) {
    const uint64_t *member = g.member + stage_place(g, group);
    const float *first = stage_y(g, member[0]);
    const float *second = stage_y(g, member[1]);
    const float *third = group.rows == 3 ? stage_y(g, member[2]) : second;
    double a = 0.0, b = 0.0, c = 0.0;
    for (uint32_t i = threadIdx.x % WARP; i < g.rank; i += WARP) {
        double u = ((double)first[i] - (double)second[i]) * score_helmert(1);
        double v = ((double)first[i] + (double)second[i] - 2.0 * (double)third[i]) *
                   (group.rows == 3 ? score_helmert(2) : 0.0);
        a += u * u;
        b += v * v;
        c += u * v;
    }
    return score_nuclear_of_two(eigen_warp_sum(a), eigen_warp_sum(b), eigen_warp_sum(c));
}

static __global__ void few(const stage g) {
    uint32_t warps = gridDim.x * GRAM_WARPS;
    for (uint32_t i = blockIdx.x * GRAM_WARPS + threadIdx.x / WARP; i < *g.few.count; i += warps) {
        stage_group group = g.few.group[i];
        double norm = norm_of_few(g, group);
        stage_settle(g, group, norm);
    }
}

/* ---- orders up to EIGEN_SMALL_MAX ---- */

/* Pair p of (0,0) (1,0) (1,1) (2,0) .. as row and column. */
static __device__ void pair_of(int p, int *i, int *j) {
    int row = (int)((sqrtf(8.0f * (float)p + 1.0f) - 1.0f) * 0.5f);
    row -= row * (row + 1) / 2 > p;
    row += (row + 1) * (row + 2) / 2 <= p;
    *i = row;
    *j = p - row * (row + 1) / 2;
}

/* A lane's share of the products of the tile's rows with each other. */
template <int EACH>
static __device__ void add_products(const double *tile, int pairs, int depth, double *sum) {
/* Without it the sums are in local memory, 136 bytes a lane where EACH is 17. */
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int e = 0; e < EACH; e++) {
        int p = e * WARP + (int)threadIdx.x % WARP, i, j;
        if (p >= pairs) {
            continue;
        }
        pair_of(p, &i, &j);
        for (int k = 0; k < depth; k++) {
            sum[e] += tile[i * TILE_STRIDE + k] * tile[j * TILE_STRIDE + k];
        }
    }
}

/* A lane's own entries of the tile, `stride` apart, from rows first..first + count - 1 to Helmert
 * rows: lane k - first has Helmert's factor of row k. Returns the sum of the rows so far. */
static __device__ double make_helmert(double *own, int stride, int first, int count, double before,
                                      double helmert) {
    for (int k = 0; k < count; k++) {
        double scale = __shfl_sync(EIGEN_ALL_LANES, helmert, k), y = own[k * stride];
        own[k * stride] = (before - (double)(first + k) * y) * scale;
        before += y;
    }
    return before;
}

/* A tile's rows are the Helmert rows, its columns 32 of theirs at a time. Rows are
 * fetched AT_ONCE: one after the other, each would cost a memory's latency. */
template <int EACH>
static __device__ void products_of_rows(const stage &g, const uint64_t *member, int rows,
                                        double *tile, double *sum) {
    int lane = (int)threadIdx.x % WARP;
    double helmert = score_helmert((size_t)lane + 1);
    for (uint32_t first = 0; first < g.rank; first += TILE) {
        uint32_t column = min(first + (uint32_t)lane, g.rank - 1);
        bool mine = first + (uint32_t)lane < g.rank;
        double before = mine ? (double)stage_y(g, member[0])[column] : 0.0;
        for (int k = 1; k < rows; k += AT_ONCE) {
            float y[AT_ONCE];
            /* The last row again rather than a branch, which would end the overlap. */
            for (int i = 0; i < AT_ONCE; i++) {
                y[i] = stage_y(g, member[min(k + i, rows - 1)])[column];
            }
            for (int i = 0; i < AT_ONCE; i++) {
                tile[(min(k + i, rows - 1) - 1) * TILE_STRIDE + lane] = mine ? (double)y[i] : 0.0;
            }
        }
        make_helmert(tile + lane, TILE_STRIDE, 1, rows - 1, before, helmert);
        __syncwarp();
        add_products<EACH>(tile, (rows - 1) * rows / 2, TILE, sum);
        __syncwarp();
    }
}

/* A tile's rows are the columns of y, its columns 32 Helmert rows at a time. */
template <int EACH>
static __device__ void products_of_columns(const stage &g, const uint64_t *member, int rows,
                                           double *tile, double *sum) {
    int lane = (int)threadIdx.x % WARP, order = (int)g.rank;
    bool mine = lane < order;
    double before = mine ? (double)stage_y(g, member[0])[lane] : 0.0;
    for (int first = 1; first < rows; first += TILE) {
        int depth = min((int)TILE, rows - first);
        double helmert = score_helmert((size_t)(first + lane));
        for (int k = 0; k < depth; k++) {
            double y = mine ? (double)stage_y(g, member[first + k])[lane] : 0.0;
            double scale = __shfl_sync(EIGEN_ALL_LANES, helmert, k);
            if (mine) {
                tile[lane * TILE_STRIDE + k] = (before - (double)(first + k) * y) * scale;
            }
            before += y;
        }
        __syncwarp();
        add_products<EACH>(tile, order * (order + 1) / 2, depth, sum);
        __syncwarp();
    }
}

/* EACH pairs a lane are enough for the order. The tile becomes the matrix. */
template <int EACH>
static __device__ double norm_of_small(const stage &g, const stage_group &group, double *tile) {
    const uint64_t *member = g.member + stage_place(g, group);
    int rows = (int)group.rows;
    bool wide = group.rows - 1 <= g.rank;
    int order = wide ? rows - 1 : (int)g.rank;
    double sum[EACH] = {};
    if (wide) {
        products_of_rows<EACH>(g, member, rows, tile, sum);
    } else {
        products_of_columns<EACH>(g, member, rows, tile, sum);
    }
    for (int e = 0; e < EACH; e++) {
        int p = e * WARP + (int)threadIdx.x % WARP, i, j;
        if (p < order * (order + 1) / 2) {
            pair_of(p, &i, &j);
            tile[i * TILE_STRIDE + j] = tile[j * TILE_STRIDE + i] = sum[e];
        }
    }
    __syncwarp();
    double norm = eigen_roots(tile, order, TILE_STRIDE);
    __syncwarp();
    return norm;
}

/* 6 blocks at once, as without the unrolled sums of orders above 15, which spill 28 bytes so. */
static __global__ void __launch_bounds__(GRAM_WARPS *WARP, 6)
    small(const stage g, uint32_t tile_rows) {
    SHARED(double, shared);
    double *tile = shared + (size_t)(threadIdx.x / WARP) * tile_rows * TILE_STRIDE;
    uint32_t warps = gridDim.x * GRAM_WARPS;
    for (uint32_t i = blockIdx.x * GRAM_WARPS + threadIdx.x / WARP; i < *g.small.count;
         i += warps) {
        stage_group group = g.small.group[i];
        uint32_t order = min(group.rows - 1, g.rank);
        double norm = order <= 7    ? norm_of_small<1>(g, group, tile)
                      : order <= 15 ? norm_of_small<4>(g, group, tile)
                                    : norm_of_small<17>(g, group, tile);
        stage_settle(g, group, norm);
    }
}

static uint32_t small_order_max(const stage *g) {
    uint32_t order = stage_least(g->window_rows - 1, g->rank);
    return stage_least(order, EIGEN_SMALL_MAX);
}

/* A group has at least so many rows. */
static unsigned grid_of(const stage *g, size_t observations_max, size_t rows_min) {
    size_t groups_max = observations_max * (g->window_rows / rows_min);
    return stage_least(stage_ceil(groups_max, GRAM_WARPS),
                       (size_t)g->processors * BLOCKS_PER_PROCESSOR);
}

engine_status gram_few(const stage *g, size_t observations_max, cudaStream_t stream) {
    if (g->window_rows >= 2) {
        LAUNCH(few, grid_of(g, observations_max, 2), GRAM_WARPS * WARP, 0, stream, *g);
    }
    return ENGINE_OK;
}

engine_status gram_small(const stage *g, size_t observations_max, cudaStream_t stream) {
    uint32_t order = small_order_max(g);
    if (g->window_rows >= 4) {
        size_t bytes = (size_t)GRAM_WARPS * order * TILE_STRIDE * sizeof(double);
        LAUNCH(small, grid_of(g, observations_max, 4), GRAM_WARPS * WARP, bytes, stream, *g, order);
    }
    return ENGINE_OK;
}

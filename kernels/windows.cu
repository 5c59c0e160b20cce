/*
 * windows.cu - each window's rows put in the order of their class and age, and its classes handed
 * out to who works out their d2.
 *
 * A row's place in that order is the number of rows that come before it: n comparisons a row, n^2 a
 * window, in shared memory (W = 16: 256; W = 256: 65,536, a thread 256). Reads 12 bytes a row,
 * writes 24. A block a window, and as many blocks at once as the device holds.
 *
 * Classes of one row are settled here: d2 = tr S_c + s.
 */
#include "stage.cuh"

enum { BLOCK_MAX = 256 };

/* Row t of a window, from the oldest on. */
static __device__ uint64_t member_at(const stage &g, const plan_observation &window, uint32_t n,
                                     uint32_t t) {
    uint32_t back = n - 1 - t;
    uint32_t fresh = window.end - window.first;
    if (back < fresh) {
        return MEMBER_OF_BATCH | g.sequence[window.end - 1 - back];
    }
    uint32_t in_ring = window.head + g.window_rows - 1 - (back - fresh);
    in_ring = in_ring >= g.window_rows ? in_ring - g.window_rows : in_ring;
    return (uint64_t)window.slot * g.window_rows + in_ring;
}

static __device__ uint32_t class_of(const stage &g, uint64_t member) {
    return member & MEMBER_OF_BATCH ? g.row[member & ~MEMBER_OF_BATCH].class_index
                                    : g.ring_class[member];
}

/* The orders 33..64 are list 0, 65..128 list 1, and so on. */
static __device__ uint32_t large_list(uint32_t order) {
    return (uint32_t)(WARP - __clz((int)(order - 1))) - 6;
}

static __device__ void hand_out(const stage &g, const stage_group &group) {
    uint32_t few = 3;
    uint32_t order = min(group.rows - 1, g.rank);
    const stage_list *list = group.rows <= few ? &g.few
                             : order <= EIGEN_SMALL_MAX
                                 ? &g.small
                                 : &g.large[large_list(min(group.rows, g.rank))];
    list->group[atomicAdd(list->count, 1u)] = group;
}

static __device__ void settle_one(const stage &g, uint32_t in_piece, uint32_t start,
                                  uint32_t class_index, uint64_t member) {
    g.part[(size_t)in_piece * g.window_rows + start].d2 =
        score_d2(g.trace[class_index], (double)stage_s(g, member), 0.0, 1.0);
}

static __device__ void order_window(const stage &g, uint32_t in_piece, uint32_t *shared_class) {
    uint32_t o = g.piece_first + in_piece;
    plan_observation window = g.observation[o];
    uint32_t n = min(g.window_rows, window.stored + (window.end - window.first));
    for (uint32_t t0 = 0; t0 < n; t0 += blockDim.x) {
        uint32_t t = t0 + threadIdx.x;
        uint64_t mine = t < n ? member_at(g, window, n, t) : 0;
        uint32_t my_class = t < n ? class_of(g, mine) : 0;
        uint32_t below = 0, same = 0, older = 0;
        for (uint32_t first = 0; first < n; first += blockDim.x) {
            uint32_t other = first + threadIdx.x;
            __syncthreads();
            if (other < n) {
                shared_class[threadIdx.x] = class_of(g, member_at(g, window, n, other));
            }
            __syncthreads();
            for (uint32_t i = 0; i < blockDim.x && first + i < n; i++) {
                below += shared_class[i] < my_class;
                same += shared_class[i] == my_class;
                older += shared_class[i] == my_class && first + i < t;
            }
        }
        if (t >= n) {
            continue;
        }
        size_t at = (size_t)in_piece * g.window_rows + below + older;
        g.member[at] = mine;
        g.part[at] = stage_part{0.0, older == 0 ? same : 0, my_class};
        if (older == 0 && same == 1) {
            settle_one(g, in_piece, below, my_class, mine);
        } else if (older == 0) {
            hand_out(g, stage_group{o, below, same, my_class});
        }
    }
}

static __global__ void __launch_bounds__(BLOCK_MAX) order_windows(const stage g) {
    SHARED_ARRAY(uint32_t, shared_class, [BLOCK_MAX]);
    uint32_t left = g.counts->observations - min(g.counts->observations, g.piece_first);
    for (uint32_t in_piece = blockIdx.x; in_piece < min(left, g.piece_max); in_piece += gridDim.x) {
        order_window(g, in_piece, shared_class);
    }
}

engine_status windows_group(const stage *g, size_t observations_max, cudaStream_t stream) {
    enum { GRID_MAX = 1 << 16 };
    unsigned block = g->window_rows <= 32 ? 32 : g->window_rows <= 128 ? 128 : BLOCK_MAX;
    TRY(cudaMemsetAsync(g->list_counts, 0, (2 + STAGE_ORDERS) * sizeof *g->list_counts, stream));
    LAUNCH(order_windows, stage_least(observations_max, GRID_MAX), block, 0, stream, *g);
    return ENGINE_OK;
}

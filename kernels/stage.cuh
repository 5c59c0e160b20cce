/*
 * stage.cuh - what the kernels of a batch share: its arrays on the device, and who comes when.
 *
 *     rows_centre -> product_* -> for pieces of the observations: windows_group -> gram_few,
 *     gram_small, gram_large -> reduce_scores -> recall_* (memories) -> append_rows
 *
 * Every function here puts its kernels at the end of a stream. How much there is to do they read
 * from the device where they can, so that a captured graph serves every batch that is small enough;
 * rows_max and the like only size the grids.
 *
 * Lengths in comments: dim, rank, W, and rows, observations of the batch.
 */
#ifndef ADDER_STAGE_CUH
#define ADDER_STAGE_CUH

#include "cuda.cuh"
#include "eigen.cuh"

extern "C" {
#include "grouping.h"
#include "ledger.h"
#include "plan.h"
#include "score.h"
}

static constexpr unsigned WARP = EIGEN_LANES;
enum {
    /* Gram matrices of an order above EIGEN_SMALL_MAX go to cuSOLVER, padded to a power of two:
     * 64, 128, .. 4096. */
    STAGE_ORDERS = 7,
};

/* The rows of one class in one window, n >= 2 of them. */
typedef struct {
    uint32_t observation;
    uint32_t start; /* in the window's members */
    uint32_t rows;
    uint32_t class_index;
} stage_group;

/* A class of a window where it begins; elsewhere no rows. */
typedef struct {
    double d2;
    uint32_t rows;
    uint32_t class_index;
} stage_part;

/* Groups that a kernel is to look at; the list is as long as there can be any. */
typedef struct {
    stage_group *group;
    uint32_t *count;
} stage_list;

typedef struct {
    /* Shapes. */
    uint32_t dim, rank, window_rows;
    uint32_t processors;
    /* The model's reference. */
    const float *mean;                   /* [classes, dim] */
    const float *factor;                 /* [classes, dim, rank] */
    const double *trace;                 /* [classes] */
    const float *direction;              /* [classes, dim] m_c - g, see direction.h */
    const double *direction_square;      /* [classes] */
    engine_benign benign, memory_benign; /* on the device; no rungs: none */
    /* The plan, see plan.h. */
    const plan_counts *counts;
    const plan_row *row;
    const uint32_t *sequence;
    const uint64_t *ring_at;
    const plan_observation *observation;
    const unsigned char *embeddings;
    /* Rows of the batch, by place. */
    float *centred; /* [rows, dim] x - m_c */
    float *s;       /* [rows] */
    float *y;       /* [rows, rank] */
    /* Rings. */
    uint32_t *ring_class; /* [slots, W] */
    float *ring_s;        /* [slots, W] */
    float *ring_y;        /* [slots, W, rank] */
    /* A piece of the observations, from piece_first on. */
    uint32_t piece_first;
    uint32_t piece_max; /* observations */
    uint64_t *member;   /* [piece, W] rows of a window by class, the oldest first; see MEMBER_ */
    stage_part *part;   /* [piece, W] */
    stage_list few;     /* groups of 2 or 3 rows */
    stage_list small;   /* order up to EIGEN_SMALL_MAX */
    stage_list large[STAGE_ORDERS];
    uint32_t *list_counts; /* [2 + STAGE_ORDERS], those of the lists above, in this order */
    /* Results. */
    int *failed;
    engine_result *result; /* [observations] */
    float *alignment;      /* [rows] in the batch's order */
} stage;

/* A member is a row of the batch (its place) or of a ring (slot * W + place in the ring). */
#define MEMBER_OF_BATCH (1ull << 63)

static __device__ inline const float *stage_y(const stage &g, uint64_t member) {
    const float *from = member & MEMBER_OF_BATCH ? g.y : g.ring_y;
    return from + (member & ~MEMBER_OF_BATCH) * g.rank; /* without a branch between two loads */
}

static __device__ inline float stage_s(const stage &g, uint64_t member) {
    return member & MEMBER_OF_BATCH ? g.s[member & ~MEMBER_OF_BATCH] : g.ring_s[member];
}

/* Where a group begins in `member` and `part`. */
static __device__ inline size_t stage_place(const stage &g, const stage_group &group) {
    return (size_t)(group.observation - g.piece_first) * g.window_rows + group.start;
}

/* d2 of a sum that is no number would be 0, and nobody would know. */
static __device__ inline void stage_check(const stage &g, double norm) {
    if (!isfinite(norm)) {
        atomicOr(g.failed, 1);
    }
}

/* Writes d2_c of a group, whose Gram matrix has this sum of roots; by a whole warp. */
static __device__ inline void stage_settle(const stage &g, const stage_group &group, double norm) {
    const uint64_t *member = g.member + stage_place(g, group);
    double s = 0.0;
    for (uint32_t i = threadIdx.x % WARP; i < group.rows; i += WARP) {
        s += (double)stage_s(g, member[i]);
    }
    s = eigen_warp_sum(s);
    if (threadIdx.x % WARP == 0) {
        double n = (double)group.rows;
        stage_check(g, norm);
        g.part[stage_place(g, group)].d2 = score_d2(g.trace[group.class_index], s / n, norm, n);
    }
}

/* Of the sums of a warp's lanes, in the order that every warp adds them up in. */
static __device__ inline score_total stage_total(score_sums sums) {
    sums.n = eigen_warp_sum(sums.n);
    sums.d2 = eigen_warp_sum(sums.d2);
    sums.pairs = eigen_warp_sum(sums.pairs);
    sums.excess = eigen_warp_sum(sums.excess);
    return score_total_of(&sums);
}

static inline unsigned stage_least(size_t a, size_t b) {
    return (unsigned)(a < b ? a : b);
}
static inline size_t stage_ceil(size_t a, size_t b) {
    return (a + b - 1) / b;
}

engine_status rows_centre(const stage *g, size_t rows_max, cudaStream_t stream);

/* y of all rows. Groups are the batch's classes, as cuBLAS wants them. */
typedef struct product product;
engine_status product_open(product **out, size_t groups_max, bool tf32);
void product_close(product *product); /* NULL is allowed */
/* pointers, on the device: [groups] factors, [groups] first centred rows, [groups] first y. */
engine_status product_of_groups(product *product, const stage *g, const class_group *group,
                                size_t groups, const void *const *pointers, cudaStream_t stream);
/* The largest |y_tf32 - y| / |y| of up to 64 random rows of the first class. */
engine_status product_tf32_error(product *product, const stage *g, size_t rows_max,
                                 cudaStream_t stream, double *error);
engine_status product_of_few(const stage *g, size_t rows_max, cudaStream_t stream);

engine_status windows_group(const stage *g, size_t observations_max, cudaStream_t stream);

engine_status gram_few(const stage *g, size_t observations_max, cudaStream_t stream);
engine_status gram_small(const stage *g, size_t observations_max, cudaStream_t stream);
/* Groups of a list whose matrices have room. */
typedef struct {
    const stage_group *group; /* [count] */
    uint32_t count;
    uint32_t order;  /* padded, a multiple of 32 */
    double *matrix;  /* [count, order, order] */
    double *average; /* [count, rank] scratch */
    double *norm;    /* [count] sums of roots, between the two calls */
} gram_work;
engine_status gram_large(const stage *g, const gram_work *work, cudaStream_t stream);
engine_status gram_large_settle(const stage *g, const gram_work *work, cudaStream_t stream);

engine_status reduce_scores(const stage *g, size_t observations_max, cudaStream_t stream);
engine_status append_rows(const stage *g, size_t rows_max, cudaStream_t stream);

/* Memories, see ledger.h. */
typedef struct {
    uint32_t class_index;
    double n, s; /* s: the mean */
} recall_problem;
typedef struct {
    uint32_t rank;                  /* q */
    uint32_t tasks_max, scores_max; /* of the part, or more */
    /* Of all blocks. */
    float *factor; /* [blocks, triangle] R of memory.h, packed by rows */
    double *s;     /* [blocks] */
    double *d2;    /* [blocks] */
    /* A part of a batch. */
    const ledger_used *used;
    const ledger_step *step;
    const ledger_task *task;
    const ledger_share *share;
    const ledger_score *score;
    double *problem_d2; /* [problems] */
    /* Where q is above EIGEN_SMALL_MAX: what d2 will be made of when cuSOLVER is done. */
    recall_problem *problem; /* [problems] */
    double *matrix;          /* [problems, order, order] */
    double *norm;            /* [problems] */
    uint32_t order;          /* padded, or 0 */
} recall;
engine_status recall_add(const stage *g, const recall *r, cudaStream_t stream);
engine_status recall_settle(const stage *g, const recall *r, size_t problems, cudaStream_t stream);
engine_status recall_scores(const stage *g, const recall *r, cudaStream_t stream);

#endif

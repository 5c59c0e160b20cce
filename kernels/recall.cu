/*
 * recall.cu - memories: rows into their blocks, what the blocks amount to, and the scores.
 *
 * A warp a block: it rotates the account's new rows into the factor R (memory.h) one after the
 * other, and where an observation ends works out d2 of what is there. Reads and writes
 * (q + 1)(q + 2) / 2 floats a block and reads q a row; 6 (q + 1)^2 / 2 flops a row, and for each
 * problem q^3 / 3 for the Gram matrix of R and what its roots cost. R is worked on in shared memory
 * where it fits, else in place.
 *
 * A matrix of an order above EIGEN_SMALL_MAX goes to cuSOLVER; recall_settle makes d2 of it.
 */
#include "stage.cuh"

/* What a block may have of shared memory without asking for more. */
enum { RECALL_SHARED_MAX = 48 << 10, SCORE_WARPS = 4, SETTLE_BLOCK = 128 };
enum { MATRIX_STRIDE = EIGEN_SMALL_MAX + 1 };

/* Bytes of a row, and of R and a small matrix where they fit. */
static size_t shared_bytes(const recall *r, bool *r_shared) {
    size_t row = stage_ceil((r->rank + 1) * sizeof(float), sizeof(double)) * sizeof(double);
    size_t factor =
        stage_ceil(score_triangle(r->rank + 1) * sizeof(float), sizeof(double)) * sizeof(double);
    size_t matrix = r->order > 0 ? 0 : (size_t)r->rank * MATRIX_STRIDE * sizeof(double);
    *r_shared = row + factor + matrix <= RECALL_SHARED_MAX;
    return row + matrix + (*r_shared ? factor : 0);
}

/* R <- factor of keep^2 R^T R + v v^T; see memory.c. */
static __device__ void rotate_in(float *r, float *v, uint32_t columns, double keep) {
    for (uint32_t k = 0; k < columns; k++) {
        uint32_t length = columns - k;
        score_rotation turn = score_rotation_of(r[0], v[k], keep);
        __syncwarp(); /* all have read r[0] and v[k] */
        for (uint32_t j = threadIdx.x; turn.turns && j < length; j += WARP) {
            float old = r[j], row = v[k + j];
            r[j] = turn.ck * old + turn.s * row;
            v[k + j] = turn.c * row - turn.sk * old;
        }
        __syncwarp();
        r += length;
    }
}

static __device__ void add_row(const stage &g, const ledger_step &step, uint32_t rank, float *r,
                               float *v, double *s) {
    __syncwarp(); /* the last problem has been read from R */
    if (step.keep < 0.0) {
        for (uint32_t j = threadIdx.x; j < score_triangle(rank + 1); j += WARP) {
            r[j] = 0.0f;
        }
        *s = 0.0;
    }
    const float *y = g.y + (size_t)step.place * g.rank;
    for (uint32_t j = threadIdx.x; j <= rank; j += WARP) {
        v[j] = j == 0 ? 1.0f : y[j - 1];
    }
    __syncwarp();
    double keep = step.keep < 0.0 ? 0.0 : step.keep;
    rotate_in(r, v, rank + 1, sqrt(keep));
    *s = *s * keep + (double)g.s[step.place];
}

/* T T^T of the triangle T below R's first row, into a matrix of which `order` rows and columns are
 * written: those beyond the rank are zero. */
static __device__ void gram_of_triangle(const float *r, uint32_t rank, double *matrix,
                                        uint32_t order, uint32_t stride) {
    const float *t = r + rank + 1;
    for (uint32_t at = threadIdx.x; at < order * order; at += WARP) {
        uint32_t i = at / order, j = at % order;
        if (j > i) {
            continue;
        }
        double sum = 0.0;
        if (i < rank) {
            /* Row i begins with its column i. */
            const float *row_i = t + (size_t)i * rank - (size_t)i * (i - 1) / 2 - i;
            const float *row_j = t + (size_t)j * rank - (size_t)j * (j - 1) / 2 - j;
            for (uint32_t k = i; k < rank; k++) {
                sum += (double)row_i[k] * (double)row_j[k];
            }
        }
        matrix[(size_t)i * stride + j] = matrix[(size_t)j * stride + i] = sum;
    }
}

static __device__ void work_out(const stage &g, const recall &r, const ledger_step &step,
                                const float *factor, double s, double *matrix) {
    if (r.order > 0) {
        gram_of_triangle(factor, r.rank, r.matrix + (size_t)step.problem * r.order * r.order,
                         r.order, r.order);
        if (threadIdx.x == 0) {
            r.problem[step.problem] = recall_problem{step.class_index, step.n, s / step.n};
        }
        return;
    }
    gram_of_triangle(factor, r.rank, matrix, r.rank, MATRIX_STRIDE);
    __syncwarp();
    double norm = eigen_roots(matrix, (int)r.rank, MATRIX_STRIDE);
    if (threadIdx.x == 0) {
        stage_check(g, norm);
        r.problem_d2[step.problem] = score_d2(g.trace[step.class_index], s / step.n, norm, step.n);
    }
}

static __global__ void add(const stage g, const recall r, bool r_shared) {
    SHARED(double, shared);
    uint32_t floats = (uint32_t)score_triangle(r.rank + 1);
    if (blockIdx.x >= r.used->tasks) {
        return;
    }
    ledger_task task = r.task[blockIdx.x];
    double *matrix = shared;
    double *after = matrix + (r.order > 0 ? 0 : r.rank * MATRIX_STRIDE);
    float *v = reinterpret_cast<float *>(after);
    float *stored = r.factor + (size_t)task.block * floats;
    float *factor = r_shared ? reinterpret_cast<float *>(after + (r.rank + 2) / 2) : stored;
    double s = r.s[task.block];
    for (uint32_t j = threadIdx.x; r_shared && j < floats; j += WARP) {
        factor[j] = stored[j];
    }
    __syncwarp();
    for (uint32_t at = task.first; at != LEDGER_NONE; at = r.step[at].next) {
        ledger_step step = r.step[at];
        if (step.place != LEDGER_NONE) {
            add_row(g, step, r.rank, factor, v, &s);
        }
        if (step.problem != LEDGER_NONE) {
            work_out(g, r, step, factor, s, matrix);
        }
    }
    __syncwarp();
    for (uint32_t j = threadIdx.x; r_shared && j < floats; j += WARP) {
        stored[j] = factor[j];
    }
    if (threadIdx.x == 0) {
        r.s[task.block] = s;
    }
}

engine_status recall_add(const stage *g, const recall *r, cudaStream_t stream) {
    bool r_shared;
    size_t bytes = shared_bytes(r, &r_shared);
    LAUNCH(add, r->tasks_max, WARP, bytes, stream, *g, *r, r_shared);
    return ENGINE_OK;
}

static __global__ void settle(const stage g, const recall r) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < r.used->problems) {
        recall_problem problem = r.problem[i];
        r.problem_d2[i] = score_d2(g.trace[problem.class_index], problem.s, r.norm[i], problem.n);
    }
}

engine_status recall_settle(const stage *g, const recall *r, size_t problems, cudaStream_t stream) {
    LAUNCH(settle, (unsigned)stage_ceil(problems, SETTLE_BLOCK), SETTLE_BLOCK, 0, stream, *g, *r);
    return ENGINE_OK;
}

/* ---- scores ---- */

static __global__ void scores(const stage g, const recall r) {
    uint32_t at = blockIdx.x * SCORE_WARPS + threadIdx.x / WARP;
    if (at >= r.used->scores) {
        return;
    }
    ledger_score score = r.score[at];
    score_sums sums = {};
    for (uint32_t i = score.first + threadIdx.x % WARP; i < score.end; i += WARP) {
        ledger_share share = r.share[i];
        double d2 = (share.class_index & LEDGER_PROBLEM ? r.problem_d2 : r.d2)[share.from];
        score_add(&sums, &g.memory_benign, share.class_index & ~LEDGER_PROBLEM, share.weight, d2);
    }
    score_total total = stage_total(sums);
    if (threadIdx.x % WARP == 0) {
        g.result[score.observation].memory_score = total.score;
        g.result[score.observation].memory_excess = total.excess;
    }
}

/* Apart from the scores, which read d2 as it was before. */
static __global__ void keep(const recall r) {
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < r.used->tasks) {
        r.d2[r.task[i].block] = r.problem_d2[r.task[i].problem];
    }
}

engine_status recall_scores(const stage *g, const recall *r, cudaStream_t stream) {
    if (r->scores_max > 0) {
        LAUNCH(scores, (unsigned)stage_ceil(r->scores_max, SCORE_WARPS), SCORE_WARPS * WARP, 0,
               stream, *g, *r);
    }
    if (r->tasks_max > 0) { /* not where the part only has scores that found no room before */
        LAUNCH(keep, (unsigned)stage_ceil(r->tasks_max, SETTLE_BLOCK), SETTLE_BLOCK, 0, stream, *r);
    }
    return ENGINE_OK;
}

/*
 * eigen.cuh - sums of square roots of the eigenvalues of many small symmetric matrices in float64,
 * positive semi-definite but for rounding.
 *
 * eigen_roots is one warp's, for orders to EIGEN_SMALL_MAX, and goes without eigenvalues:
 *
 *     sqrt(x) = (2 / pi) integral over u of e^u x / (x + e^(2u))
 *
 * by the trapezoidal rule, whose relative error is 4 e^(-pi^2 / step) = 3e-10 (the Fourier
 * transform of sech at 2 pi / step; Trefethen and Weideman, SIAM Review 56, 2014). Of a tridiagonal
 * T, sum x / (x + t) is its order less t times the derivative of log det(T + t): one recurrence
 * over the rows, all nodes t = e^(2u) at once, where an eigensolver has a long chain of divisions
 * for each eigenvalue. T is scaled to a trace of 1. Above the last node, e^7.46, the integrand is
 * taken to go as e^-u: 4e-11. Below the first, e^-19, it is taken to go as e^u, so that an x near
 * e^-38 counts for too little, by 1.3e-9 of the root of the trace at most, and what is far below
 * counts for nothing. So the quadrature is good to 4e-8 of the sum in any case, to 3e-10 without
 * eigenvalues below 1e-14 of the trace. Rounding adds to those what it adds to an eigensolver's:
 * some 1e-16 of the trace to each. All in all, of 300,000 random matrices, singular and nearly
 * singular ones of all orders among them, the worst is 1.4e-7.
 *
 * Larger orders, and any in comparisons, go to cuSOLVER in batches, below.
 */
#ifndef ADDER_EIGEN_CUH
#define ADDER_EIGEN_CUH

#include "cuda.cuh"

enum { EIGEN_SMALL_MAX = 32, EIGEN_LANES = 32, EIGEN_LANE_NODES = 2 };

static const unsigned EIGEN_ALL_LANES = 0xffffffffu;

#define EIGEN_FIRST (-19.0)         /* u of the first of 64 nodes */
#define EIGEN_STEP 0.42             /* from node to node */
#define EIGEN_END 2.915849911234919 /* 1 / (1 - e^-step): an end's node and all those beyond */

/* Entries whose squares add up to less than this, of a trace of 1, are taken for zeros: a reflector
 * of what underflows would be none. */
#define EIGEN_SQUARE_MIN 1e-36

static inline __device__ double eigen_warp_sum(double value) {
    for (int flip = EIGEN_LANES / 2; flip > 0; flip /= 2) {
        value += __shfl_xor_sync(EIGEN_ALL_LANES, value, flip);
    }
    return value;
}

/* Householder's step k, a lane a row: makes row k zero right of its second diagonal by reflecting
 * rows and columns k + 1 onward, and returns the entry that stays. Row k then holds the reflector,
 * column k what is subtracted with it. */
static inline __device__ double eigen_reflect(double *a, int order, int stride, int k,
                                              double square_min) {
    int lane = (int)threadIdx.x % EIGEN_LANES;
    bool mine = lane > k && lane < order;
    double *row = a + lane * stride, *reflector = a + k * stride;
    double v = mine ? row[k] : 0.0;
    double square = eigen_warp_sum(lane > k + 1 ? v * v : 0.0);
    double head = __shfl_sync(EIGEN_ALL_LANES, v, k + 1);
    if (square <= square_min) { /* the same in all lanes */
        return head;
    }
    double length = sqrt(square + head * head);
    double below = head > 0.0 ? -length : length;
    double beta = 2.0 / (square + (head - below) * (head - below));
    if (mine) { /* all lanes use one copy: a row and its column differ by rounding */
        v -= lane == k + 1 ? below : 0.0;
        reflector[lane] = v;
    }
    __syncwarp();
    double w = 0.0;
    for (int j = k + 1; mine && j < order; j++) {
        w += row[j] * reflector[j];
    }
    w = beta * (w - 0.5 * beta * eigen_warp_sum(v * w) * v);
    if (mine) {
        row[k] = w;
    }
    __syncwarp();
    for (int j = k + 1; mine && j < order; j++) {
        row[j] -= v * a[j * stride + k] + w * reflector[j];
    }
    return below;
}

/* Leaves the tridiagonal matrix that is similar to a / trace: its diagonal, and right of that the
 * squares of its second one. */
static inline __device__ void eigen_tridiagonal(double *a, int order, int stride, double trace) {
    int lane = (int)threadIdx.x % EIGEN_LANES;
    double kept = 0.0, scale = 1.0 / trace;
    for (int k = 0; k + 1 < order; k++) {
        double below = eigen_reflect(a, order, stride, k, EIGEN_SQUARE_MIN * trace * trace);
        kept = lane == k ? scale * below : kept;
        __syncwarp(); /* a shuffle orders nothing in memory */
    }
    double *at = a + lane * (stride + 1);
    if (lane + 1 < order) {
        at[1] = kept * kept;
    }
    if (lane < order) {
        at[0] *= scale;
    }
    __syncwarp();
}

/* The lane's nodes: pivots d_i of T + t, and f_i = t d_i' / d_i, whose sum is that of t / (x + t)
 * and what is missing from a count of the rows. Where T is semi-definite, d_i is at least t and
 * f_i at most 1. Rounding is held to both: after a pivot that has lost its digits f_i would grow
 * from row to row, to fifty times the sum of nearly equal rows. */
static inline __device__ double eigen_integrate(const double *a, int order, int stride) {
    double e[EIGEN_LANE_NODES], t[EIGEN_LANE_NODES], sum = 0.0;
    double inverse[EIGEN_LANE_NODES] = {}, part[EIGEN_LANE_NODES] = {};
    double lost[EIGEN_LANE_NODES] = {};
    int first = (int)threadIdx.x % EIGEN_LANES * EIGEN_LANE_NODES;
    for (int n = 0; n < EIGEN_LANE_NODES; n++) {
        e[n] = exp(EIGEN_FIRST + EIGEN_STEP * (first + n));
        t[n] = e[n] * e[n];
    }
    double square = 0.0;
    for (int i = 0; i < order; i++) {
        const double *at = a + i * (stride + 1);
        for (int n = 0; n < EIGEN_LANE_NODES; n++) {
            double taken = square * inverse[n];
            double pivot = at[0] + t[n] - taken;
            inverse[n] = 1.0 / (pivot < t[n] ? t[n] : pivot); /* lets NaN through */
            part[n] = (t[n] + taken * part[n]) * inverse[n];
            part[n] = part[n] > 1.0 ? 1.0 : part[n];
            lost[n] += part[n];
        }
        square = i + 1 < order ? at[1] : 0.0;
    }
    for (int n = 0; n < EIGEN_LANE_NODES; n++) {
        int node = first + n;
        bool end = node == 0 || node == EIGEN_LANES * EIGEN_LANE_NODES - 1;
        sum += (end ? EIGEN_END * e[n] : e[n]) * (order - lost[n]);
    }
    return sum;
}

/* By all lanes of a warp, lane = threadIdx.x % 32. a: [order, order] in shared memory, full, rows
 * `stride` doubles apart (odd: then no two lanes want the same bank), 1 <= order <=
 * EIGEN_SMALL_MAX; destroyed. A trace of zero or less gives 0; from 1e-140 to 1e140 it is in range;
 * NaN and infinity give NaN. 2 order^3 + 1200 order flops, 64 order of them divisions. */
static inline __device__ double eigen_roots(double *a, int order, int stride) {
    const double two_by_pi = 0.63661977236758134;
    int lane = (int)threadIdx.x % EIGEN_LANES;
    __syncwarp();
    double trace = eigen_warp_sum(lane < order ? a[lane * (stride + 1)] : 0.0);
    double sum = 0.0;
    if (!(trace <= 0.0)) {
        eigen_tridiagonal(a, order, stride, trace);
        sum = two_by_pi * EIGEN_STEP * sqrt(trace) *
              eigen_warp_sum(eigen_integrate(a, order, stride));
    }
    __syncwarp(); /* the caller may write over a */
    return sum;
}

/* ---- many matrices, eigen.cu ---- */

typedef enum {
    EIGEN_AUTO,  /* the warp's kernel up to EIGEN_SMALL_MAX, the better of cuSOLVER's above */
    EIGEN_WARP,  /* up to EIGEN_SMALL_MAX only */
    EIGEN_SYEV,  /* cusolverDnXsyevBatched */
    EIGEN_SYEVJ, /* cusolverDnDsyevjBatched */
} eigen_way;

typedef struct {
    cudaStream_t stream;
    eigen_way way;
    size_t order_max;        /* 1..EIGEN_ORDER_MAX */
    size_t matrix_bytes_max; /* of the matrices of one eigen_sum; at least one of order_max fits */
} eigen_options;

/* BATCH_MAX is of cuSOLVER: its batched solvers refuse more than some 32,000 matrices, and count
 * bytes in an int. */
enum { EIGEN_ORDER_MAX = 4096, EIGEN_BATCH_MAX = 1 << 14 };

/* Handles and workspaces for one stream, whose work all of this is. */
typedef struct eigen eigen;

/* On failure *out is NULL. All memory is allocated here. */
engine_status eigen_open(eigen **out, const eigen_options *options);
void eigen_close(eigen *e); /* NULL is allowed, and a lost device */

/* The order that a matrix is brought to with zero rows and columns, so that few batches have many:
 * itself up to EIGEN_SMALL_MAX, the next power of two above. */
size_t eigen_padded(size_t order);
/* The most matrices of a padded order that one eigen_sum takes; 0: none of this order. */
size_t eigen_batch_max(const eigen *e, size_t padded_order);

/* matrices: [count, order, order] in device memory, full or at least their lower triangles by
 * columns; destroyed. sum: [count]. *failed: an int of the device, set when a matrix did not
 * converge or its sum is not finite, otherwise left as it is. */
engine_status eigen_sum(eigen *e, double *matrices, size_t order, size_t count, double *sum,
                        int *failed);

#endif

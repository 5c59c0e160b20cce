/*
 * standin_device.h - the device's side of CUDA C++, as far as the kernels use it.
 *
 * A thread is a fibre (block.cc) that runs until it waits for others: in a barrier, or in a warp
 * intrinsic until all lanes of its mask are in it. So between two of those a thread is alone, and
 * atomics are plain arithmetic. The place of a call is passed along, to say where threads hang.
 */
#ifndef STANDIN_DEVICE_H
#define STANDIN_DEVICE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ use_SHARED_or_SHARED_ARRAY_of_cuda_cuh

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {
    }
};
struct __align__(8) float2 {
    float x, y;
};
struct __align__(16) float4 {
    float x, y, z, w;
};
struct __align__(16) double2 {
    double x, y;
};
struct __align__(8) uint2 {
    unsigned x, y;
};
struct __align__(16) uint4 {
    unsigned x, y, z, w;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

static inline float2 make_float2(float x, float y) {
    return float2{x, y};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return float4{x, y, z, w};
}
static inline double2 make_double2(double x, double y) {
    return double2{x, y};
}

/* ---- arithmetic ---- */

static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
static inline double rsqrt(double x) {
    return 1.0 / sqrt(x);
}
template <typename T> T min(T a, T b) {
    return b < a ? b : a;
}
template <typename T> T max(T a, T b) {
    return a < b ? b : a;
}
template <typename T> T __ldg(const T *at) {
    return *at;
}
static inline int __popc(unsigned bits) {
    return __builtin_popcount(bits);
}
static inline int __ffs(int bits) {
    return __builtin_ffs(bits);
}
static inline int __clz(int bits) {
    return bits == 0 ? 32 : __builtin_clz((unsigned)bits);
}

/* ---- atomics: only the types the device has; size_t (unsigned long) is not one of them ---- */

#define STANDIN_ATOMIC(type, name, next)                                                           \
    static inline type name(type *at, type value) {                                                \
        type old = *at;                                                                            \
        *at = (next);                                                                              \
        return old;                                                                                \
    }
#define STANDIN_ATOMICS(type)                                                                      \
    STANDIN_ATOMIC(type, atomicMax, old < value ? value : old)                                     \
    STANDIN_ATOMIC(type, atomicMin, value < old ? value : old)                                     \
    STANDIN_ATOMIC(type, atomicExch, value)                                                        \
    STANDIN_ATOMIC(type, atomicOr, old | value)                                                    \
    static inline type atomicCAS(type *at, type compare, type value) {                             \
        type old = *at;                                                                            \
        *at = old == compare ? value : old;                                                        \
        return old;                                                                                \
    }
STANDIN_ATOMICS(int)
STANDIN_ATOMICS(unsigned)
STANDIN_ATOMICS(unsigned long long)
STANDIN_ATOMIC(int, atomicAdd, (int)((unsigned)old + (unsigned)value))
STANDIN_ATOMIC(unsigned, atomicAdd, old + value)
STANDIN_ATOMIC(unsigned long long, atomicAdd, old + value)
STANDIN_ATOMIC(float, atomicAdd, old + value)
STANDIN_ATOMIC(double, atomicAdd, old + value)

static inline void __threadfence(void) {
}
static inline void __threadfence_block(void) {
}

/* ---- shared memory, for cuda.cuh's macros ---- */

extern "C" {
void *standin_shared(void);
void *standin_shared_array(const void *site, size_t bytes);

/* Waits for all live threads of the block; the number of them that passed a true predicate. */
int standin_barrier(int predicate, const char *file, int line);

typedef enum { STANDIN_SYNCWARP, STANDIN_BALLOT, STANDIN_SHUFFLE } standin_collective;
/* Waits for all lanes of the mask; returns the source lane's bits, or the ballot. */
uint64_t standin_warp(standin_collective what, unsigned mask, uint64_t given, int source,
                      const char *file, int line);
int standin_lane(void);
/* The lane that a shuffle reads. `width` is checked to be a power of two up to 32. */
int standin_segment(int width);
}

#define STANDIN_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(STANDIN_PLACE) {
    standin_barrier(0, file, line);
}
static inline int __syncthreads_count(int predicate, STANDIN_PLACE) {
    return standin_barrier(predicate, file, line);
}
static inline int __syncthreads_or(int predicate, STANDIN_PLACE) {
    return standin_barrier(predicate, file, line) != 0;
}
static inline int __syncthreads_and(int predicate, STANDIN_PLACE) {
    return standin_barrier(!predicate, file, line) == 0;
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, STANDIN_PLACE) {
    standin_warp(STANDIN_SYNCWARP, mask, 0, 0, file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, STANDIN_PLACE) {
    return (unsigned)standin_warp(STANDIN_BALLOT, mask, predicate != 0, 0, file, line);
}
static inline int __any_sync(unsigned mask, int predicate, STANDIN_PLACE) {
    return __ballot_sync(mask, predicate, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, STANDIN_PLACE) {
    return __ballot_sync(mask, !predicate, file, line) == 0;
}

template <typename T>
T standin_shuffle(unsigned mask, T value, int source, const char *file, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "the device shuffles 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = standin_warp(STANDIN_SHUFFLE, mask, bits, source, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32, STANDIN_PLACE) {
    int source = standin_segment(width) + (from & (width - 1));
    return standin_shuffle(mask, value, source, file, line);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, STANDIN_PLACE) {
    int source = standin_lane() - (int)delta;
    source = source < standin_segment(width) ? standin_lane() : source;
    return standin_shuffle(mask, value, source, file, line);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, STANDIN_PLACE) {
    int source = standin_lane() + (int)delta;
    source = source >= standin_segment(width) + width ? standin_lane() : source;
    return standin_shuffle(mask, value, source, file, line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32, STANDIN_PLACE) {
    int source = standin_lane() ^ flip;
    source = source >= standin_segment(width) + width ? standin_lane() : source;
    return standin_shuffle(mask, value, source, file, line);
}

#endif

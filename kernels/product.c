/*
 * product.c - a kernel for AVX-512, one for AVX2, one for the rest; chosen by what the processor
 * says.
 */
#include "product.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Products of PART entries are summed before they are added to the others: one sum over all of dim
 * is off by 1.3e-6 at 4096 (random rows), parts by 4e-7. */
enum { ROWS_MAX = 12, PART = 512 };

/* What rows are multiplied by, and where to. */
typedef struct {
    size_t depth; /* rows of the panel */
    const float *panel;
    float *out;
    size_t out_stride;
    bool more; /* than the first: added to what is there */
} part;

/* Rows at x, task->stride apart, times a part of a panel. */
typedef void (*kernel)(const product_task *task, const float *x, const part *part);

typedef struct {
    const kernel *of_rows; /* [rows_max + 1] */
    size_t rows_max;
} kernels;

size_t product_floats(product_shape shape) {
    size_t panels = (shape.rank + PRODUCT_COLUMNS - 1) / PRODUCT_COLUMNS;
    return panels * PRODUCT_COLUMNS * shape.dim;
}

void product_lay_out(product_shape shape, const float *factor, float *panels) {
    for (size_t first = 0; first < shape.rank; first += PRODUCT_COLUMNS) {
        size_t left = shape.rank - first;
        size_t columns = left < PRODUCT_COLUMNS ? left : PRODUCT_COLUMNS;
        for (size_t k = 0; k < shape.dim; k++) {
            memset(panels, 0, PRODUCT_COLUMNS * sizeof *panels);
            memcpy(panels, factor + k * shape.rank + first, columns * sizeof *panels);
            panels += PRODUCT_COLUMNS;
        }
    }
}

static void plain_1(const product_task *task, const float *x, const part *part) {
    float sum[PRODUCT_COLUMNS] = {0};
    (void)task;
    for (size_t k = 0; k < part->depth; k++) {
        for (size_t l = 0; l < PRODUCT_COLUMNS; l++) {
            sum[l] += x[k] * part->panel[k * PRODUCT_COLUMNS + l];
        }
    }
    for (size_t l = 0; l < PRODUCT_COLUMNS; l++) {
        part->out[l] = part->more ? part->out[l] + sum[l] : sum[l];
    }
}

static const kernel plain[] = {NULL, plain_1};

#if defined(__x86_64__)
/* ROWS x 32 sums stay in registers while k runs: two vectors a row, 24 of 32 registers. */
#define KERNEL_512(ROWS)                                                                           \
    __attribute__((target("avx512f"))) static void avx512_##ROWS(                                  \
        const product_task *task, const float *x, const part *part) {                              \
        const float *panel = part->panel;                                                          \
        __m512 sum[ROWS][2];                                                                       \
        for (size_t i = 0; i < ROWS; i++) {                                                        \
            sum[i][0] = sum[i][1] = _mm512_setzero_ps();                                           \
        }                                                                                          \
        for (size_t k = 0; k < part->depth; k++, panel += PRODUCT_COLUMNS) {                       \
            __m512 left = _mm512_loadu_ps(panel);                                                  \
            __m512 right = _mm512_loadu_ps(panel + 16);                                            \
            _Pragma("GCC unroll 12") for (size_t i = 0; i < ROWS; i++) {                           \
                __m512 value = _mm512_set1_ps(x[i * task->stride + k]);                            \
                sum[i][0] = _mm512_fmadd_ps(value, left, sum[i][0]);                               \
                sum[i][1] = _mm512_fmadd_ps(value, right, sum[i][1]);                              \
            }                                                                                      \
        }                                                                                          \
        for (size_t i = 0; i < ROWS; i++) {                                                        \
            float *out = part->out + i * part->out_stride;                                         \
            if (part->more) {                                                                      \
                sum[i][0] = _mm512_add_ps(_mm512_loadu_ps(out), sum[i][0]);                        \
                sum[i][1] = _mm512_add_ps(_mm512_loadu_ps(out + 16), sum[i][1]);                   \
            }                                                                                      \
            _mm512_storeu_ps(out, sum[i][0]);                                                      \
            _mm512_storeu_ps(out + 16, sum[i][1]);                                                 \
        }                                                                                          \
    }

/* The same in two halves of the panel: 12 of 16 registers. */
#define KERNEL_256(ROWS)                                                                           \
    __attribute__((target("avx2,fma"))) static void avx2_##ROWS(                                   \
        const product_task *task, const float *x, const part *part) {                              \
        for (size_t half = 0; half < PRODUCT_COLUMNS; half += 16) {                                \
            const float *column = part->panel + half;                                              \
            __m256 sum[ROWS][2];                                                                   \
            for (size_t i = 0; i < ROWS; i++) {                                                    \
                sum[i][0] = sum[i][1] = _mm256_setzero_ps();                                       \
            }                                                                                      \
            for (size_t k = 0; k < part->depth; k++, column += PRODUCT_COLUMNS) {                  \
                __m256 left = _mm256_loadu_ps(column);                                             \
                __m256 right = _mm256_loadu_ps(column + 8);                                        \
                _Pragma("GCC unroll 6") for (size_t i = 0; i < ROWS; i++) {                        \
                    __m256 value = _mm256_set1_ps(x[i * task->stride + k]);                        \
                    sum[i][0] = _mm256_fmadd_ps(value, left, sum[i][0]);                           \
                    sum[i][1] = _mm256_fmadd_ps(value, right, sum[i][1]);                          \
                }                                                                                  \
            }                                                                                      \
            for (size_t i = 0; i < ROWS; i++) {                                                    \
                float *out = part->out + i * part->out_stride + half;                              \
                if (part->more) {                                                                  \
                    sum[i][0] = _mm256_add_ps(_mm256_loadu_ps(out), sum[i][0]);                    \
                    sum[i][1] = _mm256_add_ps(_mm256_loadu_ps(out + 8), sum[i][1]);                \
                }                                                                                  \
                _mm256_storeu_ps(out, sum[i][0]);                                                  \
                _mm256_storeu_ps(out + 8, sum[i][1]);                                              \
            }                                                                                      \
        }                                                                                          \
    }

KERNEL_512(1)
KERNEL_512(2)
KERNEL_512(3)
KERNEL_512(4)
KERNEL_512(5)
KERNEL_512(6)
KERNEL_512(7)
KERNEL_512(8)
KERNEL_512(9)
KERNEL_512(10)
KERNEL_512(11)
KERNEL_512(12)
KERNEL_256(1)
KERNEL_256(2)
KERNEL_256(3)
KERNEL_256(4)
KERNEL_256(5)
KERNEL_256(6)

static const kernel avx512[] = {NULL,      avx512_1,  avx512_2, avx512_3, avx512_4,
                                avx512_5,  avx512_6,  avx512_7, avx512_8, avx512_9,
                                avx512_10, avx512_11, avx512_12};
static const kernel avx2[] = {NULL, avx2_1, avx2_2, avx2_3, avx2_4, avx2_5, avx2_6};
#endif

product_kind product_best(void) {
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) {
        return __builtin_cpu_supports("avx512f") ? PRODUCT_AVX512 : PRODUCT_AVX2;
    }
#endif
    return PRODUCT_PLAIN;
}

static kernels kernels_of(product_kind kind) {
    switch (kind) {
#if defined(__x86_64__)
    case PRODUCT_AVX512:
        return (kernels){avx512, sizeof avx512 / sizeof *avx512 - 1};
    case PRODUCT_AVX2:
        return (kernels){avx2, sizeof avx2 / sizeof *avx2 - 1};
#endif
    default:
        return (kernels){plain, sizeof plain / sizeof *plain - 1};
    }
}

static void run_parts(const product_task *t, kernel run, const float *x, part part) {
    for (size_t k = 0; k < t->shape.dim; k += PART) {
        size_t left = t->shape.dim - k;
        part.depth = left < PART ? left : PART;
        part.more = k > 0;
        run(t, x + k, &part);
        part.panel += part.depth * PRODUCT_COLUMNS;
    }
}

/* A panel that is not full is computed aside: its zero columns have no place in y. */
static void run_block(const product_task *t, kernel run, size_t row, size_t rows, size_t first,
                      const float *panel) {
    size_t left = t->shape.rank - first;
    const float *x = t->x + row * t->stride;
    float *y = t->y + row * t->shape.rank + first;
    if (left >= PRODUCT_COLUMNS) {
        run_parts(t, run, x, (part){.panel = panel, .out = y, .out_stride = t->shape.rank});
        return;
    }
    float aside[ROWS_MAX * PRODUCT_COLUMNS];
    run_parts(t, run, x, (part){.panel = panel, .out = aside, .out_stride = PRODUCT_COLUMNS});
    for (size_t i = 0; i < rows; i++) {
        memcpy(y + i * t->shape.rank, aside + i * PRODUCT_COLUMNS, left * sizeof *y);
    }
}

void product_run(const product_task *t) {
    kernels chosen = kernels_of(t->kind);
    size_t blocks = (t->rows + chosen.rows_max - 1) / chosen.rows_max;
    const float *panel = t->panels;
    for (size_t first = 0; first < t->shape.rank; first += PRODUCT_COLUMNS) {
        size_t row = 0;
        for (size_t b = 0; b < blocks; b++) {
            size_t rows = (t->rows - row) / (blocks - b); /* even blocks: 13 rows are 6 and 7 */
            run_block(t, chosen.of_rows[rows], row, rows, first, panel);
            row += rows;
        }
        panel += PRODUCT_COLUMNS * t->shape.dim;
    }
}

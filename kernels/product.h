/*
 * product.h - rows times a factor that was laid out for it once: y = x F, in float32.
 *
 * BLAS lays out the factor anew in every call, which costs as much as forty rows' products; with a
 * hundred classes a batch seldom has more of one. Here the layout is made when the engine opens:
 * panels of PRODUCT_COLUMNS columns, row by row, so that a few rows at a time are multiplied from
 * registers. Each element of y is a sum in the order of dim, part by part, whatever rows it is
 * computed with: batching changes no bit of it. 2 dim rank flops a row.
 */
#ifndef ADDER_PRODUCT_H
#define ADDER_PRODUCT_H

#include <stddef.h>

enum { PRODUCT_COLUMNS = 32 };

typedef struct {
    size_t dim;
    size_t rank;
} product_shape;

/* Floats of a factor in that layout: rank rounded up to whole panels. */
size_t product_floats(product_shape shape);
void product_lay_out(product_shape shape, const float *factor, float *panels);

/* The instructions that a product is worked out with; what the processor has not is not to be asked
 * for. */
typedef enum { PRODUCT_PLAIN, PRODUCT_AVX2, PRODUCT_AVX512, PRODUCT_KINDS } product_kind;
product_kind product_best(void); /* each below it is there too */

/* x [rows, stride], stride >= dim; y [rows, rank]. A stride that is no multiple of 1024 keeps rows
 * out of each other's cache sets. */
typedef struct {
    product_kind kind;
    product_shape shape;
    size_t rows;
    size_t stride;
    const float *x;
    const float *panels;
    float *y;
} product_task;
void product_run(const product_task *task);

#endif

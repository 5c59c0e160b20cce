/*
 * ssyevd.h - the yardstick of a window's score: LAPACK's eigenvalues, without vectors, of one
 * dim x dim float32 covariance matrix a window, as the paper's formula asks for at the least.
 *
 * The matrices are covariances of window_rows rows of the stream. Which number of threads is best
 * depends on dim and machine, so there are two, and calls side by side, which only many windows at
 * once can have.
 */
#ifndef ADDER_BENCH_SSYEVD_H
#define ADDER_BENCH_SSYEVD_H

#include <stdbool.h>
#include <stddef.h>

#include "synthetic.h"

typedef enum {
    SSYEVD_ONE,  /* one call after the other, a thread each */
    SSYEVD_ALL,  /* the same, OpenBLAS' threads in each */
    SSYEVD_SIDE, /* a one-threaded call in each of as many threads of our own */
    SSYEVD_WAYS,
} ssyevd_way;

typedef struct ssyevd ssyevd;
ssyevd *ssyevd_open(const synthetic *data, size_t window_rows,
                    size_t threads); /* NULL: no memory */
void ssyevd_close(ssyevd *ssyevd);   /* NULL is allowed */

/* Seconds of a matrix, the mean of as many as fit `seconds`: one call at least, and a second one
 * before it to warm up where they are short. Leaves OpenBLAS at one thread and its threads asleep.
 */
double ssyevd_time(ssyevd *ssyevd, ssyevd_way way, double seconds);
bool ssyevd_failed(const ssyevd *ssyevd); /* in any call so far */

#endif

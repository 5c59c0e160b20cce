/*
 * mixture.h - which classes an honest account asks about: REFERENCE_ACCOUNT_KINDS kinds of
 * accounts.
 */
#ifndef ADDER_MIXTURE_H
#define ADDER_MIXTURE_H

#include <stddef.h>

#include "sampling.h"

typedef enum {
    MIXTURE_ONE,
    MIXTURE_TWO,
    MIXTURE_THREE,
    MIXTURE_DIRICHLET, /* shares are Dirichlet(0.3) */
    MIXTURE_ALL,       /* as the data has them */
} mixture_kind;

/* Shares of classes that have rows at all, as running sums; count [classes] rows, one of them above
 * 0. */
void mixture_draw(sampling_random *random, mixture_kind kind, const size_t *count, size_t classes,
                  double *running);
/* The first running sum that reaches `at`, in (0, 1), of the last. */
size_t mixture_pick(const double *running, size_t count, double at);
/* Uniform in (0, 1). */
double mixture_unit(sampling_random *random);

#endif

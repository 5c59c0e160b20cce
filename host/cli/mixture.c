/*
 * mixture.c - see mixture.h.
 */
#include "mixture.h"

#include <math.h>

#define ALPHA 0.3

double mixture_unit(sampling_random *random) {
    return ((double)(sampling_next(random) >> 11) + 0.5) * 0x1p-53;
}

/* Gamma of a shape below 1 (Ahrens, Dieter, Computing 1974). */
static double gamma_small(sampling_random *random, double shape) {
    for (;;) {
        double b = 1.0 + shape / exp(1.0);
        double p = b * mixture_unit(random);
        double x = p <= 1.0 ? pow(p, 1.0 / shape) : -log((b - p) / shape);
        double accept = p <= 1.0 ? exp(-x) : pow(x, shape - 1.0);
        if (mixture_unit(random) <= accept) {
            return x;
        }
    }
}

size_t mixture_pick(const double *running, size_t count, double at) {
    double wanted = at * running[count - 1];
    size_t low = 0;
    size_t high = count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (running[middle] < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Keeps `few` of the classes that are present, each as likely; the others' shares become 0. */
static void keep_few(sampling_random *random, size_t few, size_t present, size_t classes,
                     double *share) {
    size_t left = present;
    size_t wanted = few;
    for (size_t c = 0; c < classes; c++) {
        if (share[c] > 0.0 && sampling_next(random) % left-- < wanted) {
            wanted--;
        } else {
            share[c] = 0.0;
        }
    }
}

void mixture_draw(sampling_random *random, mixture_kind kind, const size_t *count, size_t classes,
                  double *running) {
    size_t present = 0;
    size_t few = (size_t)kind + 1;
    for (size_t c = 0; c < classes; c++) {
        running[c] = count[c] == 0               ? 0.0
                     : kind == MIXTURE_DIRICHLET ? gamma_small(random, ALPHA)
                                                 : (double)count[c];
        present += count[c] > 0;
    }
    if (kind <= MIXTURE_THREE && few < present) {
        keep_few(random, few, present, classes, running);
    }
    for (size_t c = 1; c < classes; c++) {
        running[c] += running[c - 1];
    }
}

/*
 * direction.c - sums in float64: those of equal means are exact, and their difference from g is 0.
 */
#include "direction.h"

#include <stdlib.h>

bool directions_open(directions *d, const engine_reference *r) {
    double *middle = calloc(r->dim, sizeof *middle);
    *d = (directions){.vector = malloc(r->classes * r->dim * sizeof *d->vector),
                      .square = calloc(r->classes, sizeof *d->square)};
    if (!middle || !d->vector || !d->square) {
        free(middle);
        directions_close(d);
        return false;
    }
    for (size_t i = 0; i < r->classes * r->dim; i++) {
        middle[i % r->dim] += (double)r->mean[i];
    }
    for (size_t i = 0; i < r->classes * r->dim; i++) {
        float away = (float)((double)r->mean[i] - middle[i % r->dim] / (double)r->classes);
        d->vector[i] = away;
        d->square[i / r->dim] += (double)away * (double)away;
    }
    free(middle);
    return true;
}

void directions_close(directions *d) {
    free(d->square);
    free(d->vector);
    *d = (directions){0};
}

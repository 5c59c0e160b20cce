/*
 * drawer.c - see drawer.h.
 */
#include "drawer.h"

#include <stdlib.h>
#include <string.h>

/* A class that has no more rows is drawn in vain; a rare one must not be waited for. */
enum { TRIES_MAX = 64 };

bool drawer_open(drawer *d, const uint32_t *class_of, size_t first, size_t rows, size_t classes) {
    *d = (drawer){.classes = classes};
    d->first = calloc(classes + 1, sizeof *d->first);
    d->row = calloc(rows, sizeof *d->row);
    d->count = calloc(classes, sizeof *d->count);
    d->left = calloc(classes, sizeof *d->left);
    d->share = calloc(classes, sizeof *d->share);
    if (!d->first || !d->row || !d->count || !d->left || !d->share) {
        return false;
    }
    for (size_t i = 0; i < rows; i++) {
        d->first[class_of[first + i] + 1]++;
    }
    for (size_t c = 0; c < classes; c++) {
        d->first[c + 1] += d->first[c];
    }
    for (size_t i = 0; i < rows; i++) {
        uint32_t c = class_of[first + i];
        d->row[d->first[c] + d->count[c]++] = (uint32_t)(first + i);
    }
    return true;
}

void drawer_close(drawer *d) {
    free(d->share);
    free(d->left);
    free(d->count);
    free(d->row);
    free(d->first);
    *d = (drawer){0};
}

void drawer_new_account(drawer *d, sampling_random *random, mixture_kind kind) {
    mixture_draw(random, kind, d->count, d->classes, d->share);
}

void drawer_new_window(drawer *d) {
    memcpy(d->left, d->count, d->classes * sizeof *d->left);
}

size_t drawer_take(drawer *d, sampling_random *random) {
    for (size_t tries = 0; tries < TRIES_MAX; tries++) {
        size_t c = mixture_pick(d->share, d->classes, mixture_unit(random));
        if (d->left[c] > 0) {
            uint32_t *of_class = d->row + d->first[c];
            size_t pick = (size_t)(sampling_next(random) % d->left[c]--);
            uint32_t row = of_class[pick];
            of_class[pick] = of_class[d->left[c]];
            of_class[d->left[c]] = row;
            return row;
        }
    }
    return SIZE_MAX;
}

/*
 * drawer.c - see drawer.h.
 */
#include "drawer.h"

#include <stdlib.h>
#include <string.h>

/* A class that has no more rows is drawn in vain; a rare one must not be waited for. */
enum { TRIES_MAX = 64 };

static void leave_out_small(drawer *d, size_t least) {
    size_t enough = 0;
    for (size_t c = 0; c < d->classes; c++) {
        enough += d->count[c] >= least;
    }
    for (size_t c = 0; c < d->classes && enough > 0; c++) {
        d->count[c] = d->count[c] >= least ? d->count[c] : 0;
    }
}

bool drawer_open(drawer *d, const drawer_rows *from) {
    *d = (drawer){.classes = from->classes};
    d->first = calloc(from->classes + 1, sizeof *d->first);
    d->row = calloc(from->rows, sizeof *d->row);
    d->count = calloc(from->classes, sizeof *d->count);
    d->left = calloc(from->classes, sizeof *d->left);
    d->share = calloc(from->classes, sizeof *d->share);
    if (!d->first || !d->row || !d->count || !d->left || !d->share) {
        return false;
    }
    const uint32_t *class_of = from->class_of + from->first;
    for (size_t i = 0; i < from->rows; i++) {
        d->first[class_of[i] + 1]++;
    }
    for (size_t c = 0; c < from->classes; c++) {
        d->first[c + 1] += d->first[c];
    }
    for (size_t i = 0; i < from->rows; i++) {
        uint32_t c = class_of[i];
        d->row[d->first[c] + d->count[c]++] = (uint32_t)(from->first + i);
    }
    leave_out_small(d, from->least);
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

/*
 * drawer.h - the windows of an account: rows of one source, of classes in chosen shares, each at
 * most once a window.
 */
#ifndef ADDER_DRAWER_H
#define ADDER_DRAWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mixture.h"

typedef struct {
    size_t classes;
    size_t *first; /* [classes + 1] */
    uint32_t *row; /* [rows] a class's together */
    size_t *count; /* [classes] */
    size_t *left;  /* [classes] that the window has not taken yet */
    double *share; /* [classes] of the account's rows, running */
} drawer;

/* Over rows first .. first + rows - 1 of those whose classes are given. Classes of fewer than
 * `least` rows are left out where there are others. */
typedef struct {
    const uint32_t *class_of;
    size_t first;
    size_t rows;
    size_t classes;
    size_t least;
} drawer_rows;
bool drawer_open(drawer *d, const drawer_rows *from);
void drawer_close(drawer *d); /* zeroed is allowed */
void drawer_new_account(drawer *d, sampling_random *random, mixture_kind kind);
void drawer_new_window(drawer *d);
/* A row of the window; SIZE_MAX when the account's classes have no more. */
size_t drawer_take(drawer *d, sampling_random *random);

#endif

/*
 * window.h - the last W rows of every slot as (class, s, y), and the score of such a window.
 *
 * Storage is one ring a slot, of W * (4 + 4 + 4 rank) bytes. Scoring is apart from storing: a
 * window is a list of rows wherever they lie, so that windows of one batch are scored at once,
 * before its rows are stored.
 */
#ifndef ADDER_WINDOW_H
#define ADDER_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nuclear.h"
#include "packed.h"
#include "score.h"

typedef struct {
    uint32_t class_index;
    float s;
    const float *y; /* [rank], borrowed */
} window_row;

typedef struct windows windows;
windows *windows_open(size_t slots, size_t window_rows, size_t rank); /* NULL: no memory */
void windows_close(windows *windows);                                 /* NULL is allowed */

size_t windows_fill(const windows *windows, uint32_t slot);
/* The slot's row `back` rows before its newest (0), which is less than the fill. */
window_row windows_peek(const windows *windows, uint32_t slot, size_t back);
void windows_append(windows *windows, uint32_t slot, window_row row);
void windows_forget(windows *windows, uint32_t slot);
void windows_populate(windows *windows); /* touches all of it; pages.h */
size_t windows_bytes_per_slot(const windows *windows);

/* Matrices up to this order are worked out side by side (packed.h). */
enum { WINDOW_PACK_ORDER_MAX = 32 };

/* The rows of one class in a window that is being scored. */
typedef struct {
    size_t class_index;
    const uint64_t *key; /* [n] of the scratch */
    size_t n;
    double without_root; /* tr S_c + mean(s) */
    double low, high;    /* between which the nuclear norm lies; equal where it is known */
    /* Of window_side alone. */
    double lengths; /* of all columns, added up; 0: the norm is known */
    double *tail;   /* [WINDOW_LEVELS] lengths of the columns that a level leaves out, added up */
} window_class;

/* Scratch of one thread. */
typedef struct window_scratch {
    size_t rank;
    window_row *row;    /* [W], oldest first */
    uint64_t *key;      /* [W] class and age, sorted */
    uint64_t *other;    /* [W] half-sorted keys */
    const float **y;    /* [W] of one class */
    window_class *seen; /* [W] classes that have rows */
    size_t classes;     /* of these */
    double *length;     /* [rank] */
    double *tail;       /* [W, WINDOW_LEVELS] */
    nuclear *nuclear;
    packed *packed;
    window_class *packed_class[PACKED_LANES]; /* whose matrices are in */
} window_scratch;
bool window_scratch_open(window_scratch *scratch, size_t window_rows, size_t rank);
void window_scratch_close(window_scratch *scratch); /* zeroed is allowed */

/* What a class of the reference is expected to be. */
typedef struct {
    const double *trace;  /* [classes] */
    engine_benign benign; /* no rungs: none */
} window_reference;

/* ADD's score of scratch->row[0..n-1], sum_c (n_c / n) d2_c, and what else is in a total. The rows
 * of a class are taken from old to new, so a window's score does not depend on where its rows lie.
 * False: LAPACK failed, or a norm is no finite number. */
bool window_score(window_scratch *scratch, size_t n, const window_reference *reference,
                  score_total *total);

/* Whether that score is above `threshold`, for what it takes to say so. total->score is then a
 * bound on the threshold's same side: the score is at least that above it, and at most that below
 * it. There is no excess.
 *
 * F_c's columns are ordered by how much honest rows vary along them, so a few columns hold most of
 * Y_c, and those of the rest are nearly orthogonal:
 *
 *     nuclear(Y[:, :m]) <= nuclear(Y) <= nuclear(Y[:, :m]) + sum of |column j|, j >= m
 *
 * (leaving columns out makes no singular value larger, and a nuclear norm is at most the sum of
 * those of its columns). First m = 0, with |Y|_F as the lower bound, at n_c rank flops; then m
 * doubles from WINDOW_COLUMNS_MIN, an m that cannot tell left out (its lower bound is at most the
 * lengths of its columns, added up), until the bounds are on one side or m costs half of what all
 * of Y does. Bounds closer to the threshold than what scores may err are not believed. */
enum { WINDOW_COLUMNS_MIN = 16, WINDOW_LEVELS = 6 };
bool window_side(window_scratch *scratch, size_t n, const window_reference *reference,
                 double threshold, score_total *total);

#endif

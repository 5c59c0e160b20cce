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
size_t windows_bytes_per_slot(const windows *windows);

/* Scratch of one thread. */
typedef struct window_scratch {
    window_row *row; /* [W], oldest first */
    uint64_t *key;   /* [W] class and age, sorted */
    uint64_t *other; /* [W] half-sorted keys */
    const float **y; /* [W] of one class */
    nuclear *nuclear;
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
 * False: LAPACK failed. */
bool window_score(window_scratch *scratch, size_t n, const window_reference *reference,
                  score_total *total);

#endif

/*
 * window.c - rings of rows. Their scores are in window_score.c.
 */
#include "window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

struct windows {
    size_t slots;
    size_t window_rows;
    size_t rank;
    uint32_t *fill;        /* [slots] */
    uint32_t *head;        /* [slots] where the next row goes */
    uint32_t *class_index; /* [slots, W] */
    float *s;              /* [slots, W] */
    float *y;              /* [slots, W, rank] */
};

windows *windows_open(size_t slots, size_t window_rows, size_t rank) {
    windows *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return NULL;
    }
    w->slots = slots;
    w->window_rows = window_rows;
    w->rank = rank;
    w->fill = calloc(slots, sizeof *w->fill);
    w->head = calloc(slots, sizeof *w->head);
    w->class_index = calloc(slots * window_rows, sizeof *w->class_index);
    w->s = calloc(slots * window_rows, sizeof *w->s);
    w->y = calloc(slots * window_rows, rank * sizeof *w->y);
    if (!w->fill || !w->head || !w->class_index || !w->s || !w->y) {
        windows_close(w);
        return NULL;
    }
    return w;
}

void windows_close(windows *w) {
    if (w == NULL) {
        return;
    }
    free(w->y);
    free(w->s);
    free(w->class_index);
    free(w->head);
    free(w->fill);
    free(w);
}

size_t windows_fill(const windows *w, uint32_t slot) {
    return w->fill[slot];
}

window_row windows_peek(const windows *w, uint32_t slot, size_t back) {
    size_t in_ring = (w->head[slot] + w->window_rows - 1 - back) % w->window_rows;
    size_t at = slot * w->window_rows + in_ring;
    return (window_row){w->class_index[at], w->s[at], w->y + at * w->rank};
}

void windows_append(windows *w, uint32_t slot, window_row row) {
    size_t at = slot * w->window_rows + w->head[slot];
    w->class_index[at] = row.class_index;
    w->s[at] = row.s;
    memcpy(w->y + at * w->rank, row.y, w->rank * sizeof *w->y);
    w->head[slot] = (uint32_t)((w->head[slot] + 1) % w->window_rows);
    if (w->fill[slot] < w->window_rows) {
        w->fill[slot]++;
    }
}

void windows_forget(windows *w, uint32_t slot) {
    w->fill[slot] = 0;
    w->head[slot] = 0;
}

size_t windows_bytes_per_slot(const windows *w) {
    size_t row = sizeof *w->class_index + sizeof *w->s + w->rank * sizeof *w->y;
    return sizeof *w->fill + sizeof *w->head + w->window_rows * row;
}

void windows_populate(windows *w) {
    size_t rows = w->slots * w->window_rows;
    pages_populate(w->fill, w->slots * sizeof *w->fill);
    pages_populate(w->head, w->slots * sizeof *w->head);
    pages_populate(w->class_index, rows * sizeof *w->class_index);
    pages_populate(w->s, rows * sizeof *w->s);
    pages_populate(w->y, rows * w->rank * sizeof *w->y);
}

/*
 * window.c - rings of rows, and ADD's score class by class.
 */
#include "window.h"

#include <stdlib.h>
#include <string.h>

enum { INSERTION_MAX = 32, DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

struct windows {
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

bool window_scratch_open(window_scratch *s, size_t window_rows, size_t rank) {
    s->row = calloc(window_rows, sizeof *s->row);
    s->key = calloc(window_rows, sizeof *s->key);
    s->other = calloc(window_rows, sizeof *s->other);
    s->y = calloc(window_rows, sizeof *s->y);
    s->nuclear = nuclear_open(window_rows, rank);
    return s->row && s->key && s->other && s->y && s->nuclear;
}

void window_scratch_close(window_scratch *s) {
    nuclear_close(s->nuclear);
    free(s->y);
    free(s->other);
    free(s->key);
    free(s->row);
}

static void sort_few(uint64_t *key, size_t n) {
    for (size_t i = 1; i < n; i++) {
        uint64_t moving = key[i];
        size_t j = i;
        for (; j > 0 && key[j - 1] > moving; j--) {
            key[j] = key[j - 1];
        }
        key[j] = moving;
    }
}

/* Keys come in the order of age, so sorting them stably by class is enough: a digit of the class at
 * a time, as many as the largest class has. */
static void sort_keys(window_scratch *s, size_t n) {
    uint64_t every = 0;
    if (n <= INSERTION_MAX) {
        sort_few(s->key, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        every |= s->key[i];
    }
    for (unsigned shift = 32; every >> shift != 0; shift += DIGIT_BITS) {
        uint32_t place[DIGITS + 1] = {0};
        for (size_t i = 0; i < n; i++) {
            place[(s->key[i] >> shift) % DIGITS + 1]++;
        }
        for (size_t digit = 0; digit < DIGITS; digit++) {
            place[digit + 1] += place[digit];
        }
        for (size_t i = 0; i < n; i++) {
            s->other[place[(s->key[i] >> shift) % DIGITS]++] = s->key[i];
        }
        uint64_t *sorted = s->other;
        s->other = s->key;
        s->key = sorted;
        if (shift + DIGIT_BITS >= 64) {
            break;
        }
    }
}

/* d2 of the n rows that `key` names, all of one class. */
static bool class_d2(window_scratch *scratch, const uint64_t *key, size_t n, const double *trace,
                     double *d2) {
    double s = 0.0;
    double norm;
    uint32_t class_index = (uint32_t)(key[0] >> 32);
    for (size_t i = 0; i < n; i++) {
        const window_row *row = &scratch->row[(uint32_t)key[i]];
        s += (double)row->s;
        scratch->y[i] = row->y;
    }
    if (!nuclear_of_centred(scratch->nuclear, scratch->y, n, &norm)) {
        return false;
    }
    *d2 = score_d2(trace[class_index], s / (double)n, norm, (double)n);
    return true;
}

bool window_score(window_scratch *scratch, size_t n, const window_reference *reference,
                  score_total *total) {
    score_sums sums = {0};
    for (size_t i = 0; i < n; i++) {
        scratch->key[i] = (uint64_t)scratch->row[i].class_index << 32 | i;
    }
    sort_keys(scratch, n);
    for (size_t first = 0, next; first < n; first = next) {
        double d2;
        next = first + 1;
        while (next < n && scratch->key[next] >> 32 == scratch->key[first] >> 32) {
            next++;
        }
        if (!class_d2(scratch, scratch->key + first, next - first, reference->trace, &d2)) {
            return false;
        }
        score_add(&sums, &reference->benign, scratch->key[first] >> 32, (double)(next - first), d2);
    }
    *total = score_total_of(&sums);
    return true;
}

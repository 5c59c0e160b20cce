/*
 * window.c - rings of rows, and ADD's score class by class.
 */
#include "window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INSERTION_MAX = 32, DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS, BOUND_ROWS_MIN = 64 };

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
    s->rank = rank;
    s->row = calloc(window_rows, sizeof *s->row);
    s->key = calloc(window_rows, sizeof *s->key);
    s->other = calloc(window_rows, sizeof *s->other);
    s->y = calloc(window_rows, sizeof *s->y);
    s->seen = calloc(window_rows, sizeof *s->seen);
    s->length = calloc(rank, sizeof *s->length);
    s->tail = calloc(window_rows * WINDOW_LEVELS, sizeof *s->tail);
    s->nuclear = nuclear_open(window_rows, rank);
    return s->row && s->key && s->other && s->y && s->seen && s->length && s->tail && s->nuclear;
}

void window_scratch_close(window_scratch *s) {
    nuclear_close(s->nuclear);
    free(s->tail);
    free(s->length);
    free(s->seen);
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

/* Which rows are of which class: scratch->seen, by their keys. */
static void find_classes(window_scratch *scratch, size_t n, const double *trace) {
    scratch->classes = 0;
    for (size_t i = 0; i < n; i++) {
        scratch->key[i] = (uint64_t)scratch->row[i].class_index << 32 | i;
    }
    sort_keys(scratch, n);
    for (size_t first = 0, next; first < n; first = next) {
        double s = 0.0;
        for (next = first; next < n && scratch->key[next] >> 32 == scratch->key[first] >> 32;
             next++) {
            s += (double)scratch->row[(uint32_t)scratch->key[next]].s;
        }
        size_t class_index = scratch->key[first] >> 32;
        scratch->seen[scratch->classes] =
            (window_class){.class_index = class_index,
                           .key = scratch->key + first,
                           .n = next - first,
                           .without_root = trace[class_index] + s / (double)(next - first),
                           .tail = scratch->tail + WINDOW_LEVELS * scratch->classes};
        scratch->classes++;
    }
}

static const float *const *rows_of(window_scratch *scratch, const window_class *c) {
    for (size_t i = 0; i < c->n; i++) {
        scratch->y[i] = scratch->row[(uint32_t)c->key[i]].y;
    }
    return scratch->y;
}

static double d2_of(const window_class *c, double norm) {
    return score_d2(c->without_root, 0.0, norm, (double)c->n);
}

bool window_score(window_scratch *scratch, size_t n, const window_reference *reference,
                  score_total *total) {
    score_sums sums = {0};
    find_classes(scratch, n, reference->trace);
    for (size_t i = 0; i < scratch->classes; i++) {
        const window_class *c = &scratch->seen[i];
        double norm;
        if (!nuclear_of_centred(scratch->nuclear, rows_of(scratch, c), c->n, &norm)) {
            return false;
        }
        score_add(&sums, &reference->benign, c->class_index, (double)c->n, d2_of(c, norm));
    }
    *total = score_total_of(&sums);
    return true;
}

/* ---- which side of a threshold ---- */

/* What bounds are off by for rounding, over tr S_c + mean(s): as much as a score. */
#define SIDE_MARGIN 1e-6
/* Of a reduction to a tridiagonal matrix and its roots, over those of the products, each order^3.
 */
#define REDUCTION_FLOPS 4.0

typedef struct {
    score_total low, high;
    double margin;
} side;

static side side_of(const window_scratch *scratch) {
    static const engine_benign none = {0};
    score_sums low = {0}, high = {0};
    double scale = 0.0;
    for (size_t i = 0; i < scratch->classes; i++) {
        const window_class *c = &scratch->seen[i];
        double n = (double)c->n;
        score_add(&low, &none, c->class_index, n, d2_of(c, c->high));
        score_add(&high, &none, c->class_index, n, d2_of(c, c->low));
        scale += n * c->without_root;
    }
    return (side){score_total_of(&low), score_total_of(&high), SIDE_MARGIN * scale / low.n};
}

/* False: it cannot be told yet. Ordered so that what is no number is above. */
static bool decided(const window_scratch *scratch, double threshold, score_total *total) {
    side at = side_of(scratch);
    bool below = at.high.score < threshold - at.margin;
    *total = below ? at.high : at.low;
    return below || !(at.low.score <= threshold + at.margin);
}

static bool norm_whole(window_scratch *scratch, window_class *c) {
    bool found = nuclear_of_centred(scratch->nuclear, rows_of(scratch, c), c->n, &c->low);
    c->high = c->low;
    c->lengths = 0.0;
    return found;
}

static double sum_of(const double *values, size_t first, size_t end) {
    double sum = 0.0;
    for (size_t j = first; j < end; j++) {
        sum += values[j];
    }
    return sum;
}

/* The columns of a few rows are far from orthogonal, and a window of several classes lies near its
 * threshold: bounds of fewer rows took longer than they saved. */
static bool bound_by_lengths(window_scratch *scratch, window_class *c) {
    if (c->n < BOUND_ROWS_MIN) {
        return norm_whole(scratch, c);
    }
    const double *length = scratch->length;
    double square = 0.0;
    nuclear_lengths(scratch->nuclear, rows_of(scratch, c), c->n, scratch->length);
    for (size_t j = 0; j < scratch->rank; j++) {
        square += length[j] * length[j];
    }
    c->low = sqrt(square);
    c->high = c->lengths = sum_of(length, 0, scratch->rank);
    for (size_t level = 0; level < WINDOW_LEVELS; level++) {
        c->tail[level] = sum_of(length, (size_t)WINDOW_COLUMNS_MIN << level, scratch->rank);
    }
    return isfinite(c->high); /* a distance to what is no number is 0 (score.h) */
}

/* Whether a scatter matrix of so many columns is at most half as dear as the smaller side of all:
 * products, and a reduction whose flops are the slower ones. */
static bool pays(const window_class *c, size_t columns, size_t rank) {
    double m = (double)columns, n = (double)c->n, r = (double)rank;
    double whole = n < r ? n * n * (r + REDUCTION_FLOPS * n) : r * r * (n + REDUCTION_FLOPS * r);
    return m < n && m < r && 2.0 * m * m * (n + REDUCTION_FLOPS * m) <= whole;
}

/* By the first columns, or wholly where that is hardly dearer. */
static bool bound_by_leading(window_scratch *scratch, window_class *c, size_t level) {
    size_t columns = (size_t)WINDOW_COLUMNS_MIN << level;
    if (c->lengths == 0.0) {
        return true;
    }
    if (level == WINDOW_LEVELS || !pays(c, columns, scratch->rank)) {
        return norm_whole(scratch, c);
    }
    double norm;
    if (!nuclear_of_leading(scratch->nuclear, rows_of(scratch, c), c->n, columns, &norm)) {
        return false;
    }
    c->low = norm > c->low ? norm : c->low;
    c->high = norm + c->tail[level] < c->high ? norm + c->tail[level] : c->high;
    return true;
}

/* Whether the level could show that the score is below, were it as good as can be. That it is above
 * was seen from the lengths, or it takes more columns than these. */
static bool may_tell(const window_scratch *scratch, size_t level, double threshold) {
    double n = 0.0, most = 0.0, scale = 0.0;
    for (size_t i = 0; level < WINDOW_LEVELS && i < scratch->classes; i++) {
        const window_class *c = &scratch->seen[i];
        double low = c->lengths > 0.0 ? c->lengths - c->tail[level] : c->low;
        n += (double)c->n;
        most += (double)c->n * d2_of(c, low);
        scale += (double)c->n * c->without_root;
    }
    return level == WINDOW_LEVELS || most < n * threshold - SIDE_MARGIN * scale;
}

bool window_side(window_scratch *scratch, size_t n, const window_reference *reference,
                 double threshold, score_total *total) {
    find_classes(scratch, n, reference->trace);
    for (size_t i = 0; i < scratch->classes; i++) {
        if (!bound_by_lengths(scratch, &scratch->seen[i])) {
            return false;
        }
    }
    bool told = decided(scratch, threshold, total);
    for (size_t level = 0; !told && level <= WINDOW_LEVELS; level++) {
        bool worth = may_tell(scratch, level, threshold);
        for (size_t i = 0; worth && i < scratch->classes; i++) {
            if (!bound_by_leading(scratch, &scratch->seen[i], level)) {
                return false;
            }
        }
        told = worth && decided(scratch, threshold, total);
    }
    return true;
}

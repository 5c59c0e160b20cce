/*
 * window_score.c - a window's rows sorted by class, and ADD's score class by class, or the side of
 * a threshold that it lies on.
 */
#include "window.h"

#include <math.h>
#include <stdlib.h>

enum {
    INSERTION_MAX = 32,
    DIGIT_BITS = 8,
    DIGITS = 1 << DIGIT_BITS,
    BOUND_ROWS_MIN = 64,
};

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
    s->packed = packed_open(WINDOW_PACK_ORDER_MAX);
    return s->row && s->key && s->other && s->y && s->seen && s->length && s->tail && s->nuclear &&
           s->packed;
}

void window_scratch_close(window_scratch *s) {
    packed_close(s->packed);
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

/* ---- norms ---- */

static void know(window_class *c, double norm) {
    c->low = c->high = norm;
    c->lengths = 0.0;
}

/* Works out the packed matrices. */
static bool unpack(window_scratch *scratch) {
    double norm[PACKED_LANES];
    size_t count = packed_count(scratch->packed);
    if (count == 0) {
        return true;
    }
    bool fine = packed_sums(scratch->packed, norm);
    for (size_t l = 0; l < count; l++) {
        know(scratch->packed_class[l], norm[l]);
    }
    return fine;
}

/* The norm of a class, now or with the next unpack. */
static bool find_norm(window_scratch *scratch, window_class *c) {
    size_t order;
    double norm = 0.0;
    if (!nuclear_form(scratch->nuclear, rows_of(scratch, c), c->n, &order, &norm)) {
        return false;
    }
    if (order == 0 || order > WINDOW_PACK_ORDER_MAX) {
        bool fine = nuclear_reduce(scratch->nuclear, order, &norm);
        know(c, norm);
        return fine;
    }
    scratch->packed_class[packed_count(scratch->packed)] = c;
    packed_put(scratch->packed, nuclear_gram(scratch->nuclear), order);
    return packed_count(scratch->packed) < PACKED_LANES || unpack(scratch);
}

bool window_score(window_scratch *scratch, size_t n, const window_reference *reference,
                  score_total *total) {
    score_sums sums = {0};
    bool fine = true;
    find_classes(scratch, n, reference->trace);
    for (size_t i = 0; i < scratch->classes; i++) {
        fine = find_norm(scratch, &scratch->seen[i]) && fine;
    }
    fine = unpack(scratch) && fine;
    for (size_t i = 0; i < scratch->classes; i++) {
        const window_class *c = &scratch->seen[i];
        score_add(&sums, &reference->benign, c->class_index, (double)c->n, d2_of(c, c->low));
    }
    *total = score_total_of(&sums);
    return fine;
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
        return find_norm(scratch, c);
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
        return find_norm(scratch, c);
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
    bool fine = true;
    find_classes(scratch, n, reference->trace);
    for (size_t i = 0; i < scratch->classes; i++) {
        fine = bound_by_lengths(scratch, &scratch->seen[i]) && fine;
    }
    fine = unpack(scratch) && fine;
    bool told = decided(scratch, threshold, total);
    for (size_t level = 0; !told && level <= WINDOW_LEVELS; level++) {
        if (!may_tell(scratch, level, threshold)) {
            continue;
        }
        for (size_t i = 0; i < scratch->classes; i++) {
            fine = bound_by_leading(scratch, &scratch->seen[i], level) && fine;
        }
        fine = unpack(scratch) && fine;
        told = decided(scratch, threshold, total);
    }
    return fine;
}

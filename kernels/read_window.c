/*
 * read_window.c - a window's score taken apart, class by class, for people. Slow beside window.c:
 * it reads exported bytes, and works out the squared length of every column of F_c.
 */
#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nuclear.h"
#include "parcel.h"
#include "score.h"

typedef struct {
    const engine_reference *reference;
    parcel_view view;
    nuclear *nuclear;
    float *y;           /* [fill, rank] */
    const float **of_y; /* [fill] of one class */
    bool *done;         /* [fill] */
} reader;

static uint32_t class_at(const reader *r, size_t row) {
    uint32_t class_index;
    memcpy(&class_index, r->view.rows + row * r->view.row_bytes, sizeof class_index);
    return class_index;
}

static double s_at(const reader *r, size_t row) {
    float s;
    memcpy(&s, r->view.rows + row * r->view.row_bytes + sizeof(uint32_t), sizeof s);
    return (double)s;
}

static bool reader_open(reader *r) {
    size_t rank = r->reference->rank;
    size_t fill = r->view.fill;
    r->nuclear = nuclear_open(fill + 1, rank);
    r->y = calloc(fill * rank + 1, sizeof *r->y);
    r->of_y = calloc(fill + 1, sizeof *r->of_y);
    r->done = calloc(fill + 1, sizeof *r->done);
    if (!r->nuclear || !r->y || !r->of_y || !r->done) {
        return false;
    }
    for (size_t i = 0; i < fill; i++) {
        memcpy(r->y + i * rank,
               r->view.rows + i * r->view.row_bytes + sizeof(uint32_t) + sizeof(float),
               rank * sizeof *r->y);
    }
    return true;
}

static void reader_close(reader *r) {
    free(r->done);
    free(r->of_y);
    free(r->y);
    nuclear_close(r->nuclear);
}

/* sum_j ybar_j^2 / lambda_j: y_j is sqrt(lambda_j) times the coordinate of x - m_c. */
static double mean_part(const reader *r, uint32_t class_index, size_t n) {
    size_t rank = r->reference->rank;
    const float *factor = r->reference->factor + class_index * r->reference->dim * rank;
    double part = 0.0;
    for (size_t j = 0; j < rank; j++) {
        double lambda = 0.0;
        double sum = 0.0;
        for (size_t i = 0; i < r->reference->dim; i++) {
            lambda += (double)factor[i * rank + j] * (double)factor[i * rank + j];
        }
        for (size_t i = 0; i < n; i++) {
            sum += (double)r->of_y[i][j];
        }
        part += lambda > 0.0 ? sum / (double)n * (sum / (double)n) / lambda : 0.0;
    }
    return part;
}

/* With what honest rows are like. */
static void compare(const engine_benign *benign, engine_class *class) {
    class->benign_mean = class->benign_deviation = class->excess = (double)NAN;
    if (benign != NULL) {
        size_t at = class->class_index * benign->rungs;
        score_rung rung = score_rung_of(benign->rung, benign->rungs, (double)class->n);
        class->benign_mean = (1.0 - rung.share) * benign->mean[at + rung.below] +
                             rung.share * benign->mean[at + rung.above];
        class->benign_deviation = (1.0 - rung.share) * benign->deviation[at + rung.below] +
                                  rung.share * benign->deviation[at + rung.above];
        class->excess = score_deviations(benign, class->class_index, (double)class->n, class->d2);
    }
}

/* All rows of the class of this one. */
static bool read_class(reader *r, size_t row, engine_class *class) {
    double s = 0.0;
    double norm;
    *class = (engine_class){.class_index = class_at(r, row)};
    for (size_t i = row; i < r->view.fill; i++) {
        if (class_at(r, i) == class->class_index) {
            r->of_y[class->n++] = r->y + i * r->reference->rank;
            s += s_at(r, i);
            r->done[i] = true;
        }
    }
    double n = (double)class->n;
    if (!nuclear_of_centred(r->nuclear, r->of_y, class->n, &norm)) {
        return false;
    }
    class->d2 = score_d2(r->reference->trace[class->class_index], s / n, norm, n);
    class->mean_part = mean_part(r, class->class_index, class->n);
    class->covariance_part = class->d2 - class->mean_part;
    compare(r->reference->benign, class);
    return true;
}

/* Keeps the largest, in order. */
static void keep(engine_class *classes, size_t capacity, size_t *kept, engine_class new) {
    double weight = (double)new.n *new.d2;
    size_t at = *kept < capacity ? (*kept)++ : capacity;
    for (; at > 0 && (double)classes[at - 1].n * classes[at - 1].d2 < weight; at--) {
        if (at < capacity) {
            classes[at] = classes[at - 1];
        }
    }
    if (at < capacity) {
        classes[at] = new;
    }
}

static engine_status read_all(reader *r, engine_class *classes, size_t capacity, size_t *count,
                              score_sums *sums) {
    static const engine_benign none = {0};
    const engine_benign *benign = r->reference->benign != NULL ? r->reference->benign : &none;
    if (!reader_open(r)) {
        return ENGINE_NO_MEMORY;
    }
    for (size_t i = 0; i < r->view.fill; i++) {
        engine_class class;
        if (r->done[i]) {
            continue;
        }
        if (!read_class(r, i, &class)) {
            return ENGINE_INTERNAL;
        }
        score_add(sums, benign, class.class_index, (double)class.n, class.d2);
        keep(classes, capacity, count, class);
    }
    return ENGINE_OK;
}

engine_status engine_read_window(const engine_reference *reference, const void *bytes, size_t used,
                                 engine_class *classes, size_t capacity, size_t *count,
                                 engine_result *total) {
    reader r = {.reference = reference};
    score_sums sums = {0};
    *count = 0;
    if (!parcel_look(reference, bytes, used, &r.view)) {
        return ENGINE_BAD_ARGUMENT;
    }
    for (size_t i = 0; i < r.view.fill; i++) {
        if (class_at(&r, i) >= reference->classes) {
            return ENGINE_BAD_ARGUMENT;
        }
    }
    engine_status status = read_all(&r, classes, capacity, count, &sums);
    score_total found = score_total_of(&sums);
    *total = (engine_result){.score = found.score,
                             .excess = found.excess,
                             .concentration = found.concentration,
                             .fill = (uint32_t)r.view.fill};
    reader_close(&r);
    return status;
}

/*
 * corpus.c - see corpus.h.
 */
#include "corpus.h"

#include <glob.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"

/* Directions of less than this of the largest variance are the file's rounding, not the class. */
#define EIGENVALUE_FLOOR 1e-4

bool corpus_ranges_overlap(dataset_range a, dataset_range b, size_t rows) {
    size_t end = a.end < rows ? a.end : rows;
    for (size_t row = a.first; row < end; row += a.step) {
        if (row >= b.first && row < b.end && (row - b.first) % b.step == 0) {
            return true;
        }
        if (a.step > SIZE_MAX - row) {
            break;
        }
    }
    return false;
}

/* Appends rows to the corpus's arrays. */
static bool append(corpus *p, const dataset *more) {
    dataset *all = &p->data;
    size_t rows = all->rows + more->rows;
    float *embeddings = realloc(all->embeddings, rows * more->dim * sizeof *embeddings);
    if (embeddings != NULL) {
        all->embeddings = embeddings;
    }
    uint32_t *classes = realloc(all->classes, rows * sizeof *classes);
    if (classes != NULL) {
        all->classes = classes;
    }
    if (embeddings == NULL || classes == NULL) {
        return false;
    }
    memcpy(embeddings + all->rows * more->dim, more->embeddings,
           more->rows * more->dim * sizeof *embeddings);
    memcpy(classes + all->rows, more->classes, more->rows * sizeof *classes);
    all->dim = more->dim;
    all->rows = rows;
    return true;
}

static bool add_source(corpus *p, const reference *reference, const corpus_source *source,
                       char *error, size_t error_bytes) {
    dataset data;
    dataset_files files = {.embeddings = source->pair.embeddings,
                           .classes = source->pair.classes,
                           .range = source->range,
                           .dim = reference->statistics.dim,
                           .class_count = reference->statistics.classes};
    if (!dataset_load(&data, &files, error, error_bytes)) {
        return false;
    }
    corpus_source *s = &p->source[p->sources++];
    *s = *source;
    s->first = p->data.rows;
    s->rows = data.rows;
    bool fine = append(p, &data);
    if (!fine) {
        snprintf(error, error_bytes, "out of memory");
    }
    dataset_close(&data);
    return fine;
}

bool corpus_add(corpus *p, const reference *reference, const char *path, corpus_kind kind,
                dataset_range range, char *error, size_t error_bytes) {
    dataset_pair *pairs = calloc(DATASET_PAIRS_MAX, sizeof *pairs);
    if (p->source == NULL) {
        p->source = calloc(CORPUS_SOURCES_MAX, sizeof *p->source);
    }
    if (pairs == NULL || p->source == NULL) {
        snprintf(error, error_bytes, "out of memory");
        free(pairs);
        return false;
    }
    size_t count = dataset_find(pairs, path, error, error_bytes);
    bool fine = count > 0;
    for (size_t i = 0; fine && i < count; i++) {
        corpus_source source = {.pair = pairs[i], .kind = kind, .range = range};
        fine = add_source(p, reference, &source, error, error_bytes);
    }
    free(pairs);
    return fine;
}

/* ---- what a row says by itself ---- */

/* Columns f_j of the factor are orthogonal and |f_j|^2 = lambda_j, so
 * (x - m)^T S^-1 (x - m) = sum_j (f_j . (x - m))^2 / lambda_j^2. `weight` [classes, rank] is
 * 1 / lambda_j^2, or 0 below the floor. */
static void fill_weights(const engine_reference *r, double *weight) {
    for (size_t c = 0; c < r->classes; c++) {
        double *of_class = weight + c * r->rank;
        const float *factor = r->factor + c * r->dim * r->rank;
        double largest = 0.0;
        for (size_t i = 0; i < r->dim; i++) {
            for (size_t j = 0; j < r->rank; j++) {
                double f = (double)factor[i * r->rank + j];
                of_class[j] += f * f;
            }
        }
        for (size_t j = 0; j < r->rank; j++) {
            largest = fmax(largest, of_class[j]);
        }
        for (size_t j = 0; j < r->rank; j++) {
            double lambda = of_class[j];
            of_class[j] = lambda > EIGENVALUE_FLOOR * largest ? 1.0 / (lambda * lambda) : 0.0;
        }
    }
}

static double distance(const engine_reference *r, const double *weight, const float *x,
                       uint32_t class, double *projected) {
    const float *mean = r->mean + class * r->dim;
    const float *factor = r->factor + class * r->dim * r->rank;
    double sum = 0.0;
    memset(projected, 0, r->rank * sizeof *projected);
    for (size_t i = 0; i < r->dim; i++) {
        double d = (double)x[i] - (double)mean[i];
        for (size_t j = 0; j < r->rank; j++) {
            projected[j] += d * (double)factor[i * r->rank + j];
        }
    }
    for (size_t j = 0; j < r->rank; j++) {
        sum += projected[j] * projected[j] * weight[class * r->rank + j];
    }
    return sum;
}

static bool measure_distances(corpus *p, const engine_reference *r) {
    double *weight = calloc(r->classes * r->rank, sizeof *weight);
    double *projected = calloc(r->rank, sizeof *projected);
    bool fine = weight != NULL && projected != NULL;
    if (fine) {
        fill_weights(r, weight);
    }
    for (size_t i = 0; fine && i < p->data.rows; i++) {
        p->mahalanobis[i] =
            distance(r, weight, dataset_row(&p->data, i), p->data.classes[i], projected);
    }
    free(projected);
    free(weight);
    return fine;
}

static bool measure_alignments(corpus *p, scorer *scorer) {
    size_t rows = p->data.rows;
    size_t *first = calloc(rows + 1, sizeof *first);
    uint32_t *row = calloc(rows, sizeof *row);
    engine_result *results = calloc(rows, sizeof *results);
    float *alignments = calloc(rows, sizeof *alignments);
    bool fine = first && row && results && alignments;
    for (size_t i = 0; fine && i < rows; i++) {
        first[i + 1] = i + 1;
        row[i] = (uint32_t)i;
    }
    scorer_windows windows = {
        .data = &p->data, .windows = rows, .first = first, .row = row, .label = "scoring rows"};
    fine = fine && scorer_run(scorer, &windows, results, alignments);
    for (size_t i = 0; fine && i < rows; i++) {
        p->alignment[i] = (double)alignments[i];
    }
    free(alignments);
    free(results);
    free(row);
    free(first);
    return fine;
}

/* ---- logits ---- */

/* The one file of logits beside a source's embeddings. */
static bool find_logits(const corpus_source *s, char *path, size_t path_bytes) {
    char pattern[2 * DATASET_PATH_MAX + 16];
    size_t used = 0;
    const char *name = strrchr(s->pair.embeddings, '/');
    const char *end = strstr(name != NULL ? name : s->pair.embeddings, ".emb");
    for (const char *at = s->pair.embeddings; at < end; at++) {
        if (strchr("*?[\\", *at) != NULL) {
            pattern[used++] = '\\';
        }
        pattern[used++] = *at;
    }
    snprintf(pattern + used, sizeof pattern - used, ".logits*.npy");
    glob_t found;
    bool one = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1;
    one = one && snprintf(path, path_bytes, "%s", found.gl_pathv[0]) < (int)path_bytes;
    globfree(&found);
    return one;
}

static double energy_of(const npy *logits, size_t row) {
    size_t classes = logits->shape[1];
    double highest = -INFINITY;
    double sum = 0.0;
    for (size_t c = 0; c < classes; c++) {
        highest = fmax(highest, npy_float(logits, row * classes + c));
    }
    for (size_t c = 0; c < classes; c++) {
        sum += exp(npy_float(logits, row * classes + c) - highest);
    }
    return -(highest + log(sum));
}

/* No logits are no error: the source goes without. Broken ones are. */
static bool measure_energy(corpus *p, corpus_source *s, char *error, size_t error_bytes) {
    char path[DATASET_PATH_MAX];
    npy logits = {0};
    for (size_t i = 0; i < s->rows; i++) {
        p->energy[s->first + i] = NAN;
    }
    if (!find_logits(s, path, sizeof path)) {
        return true;
    }
    if (!npy_open(&logits, path, error, error_bytes)) {
        return false;
    }
    size_t last = s->range.first + (s->rows - 1) * s->range.step;
    bool fine =
        logits.axes == 2 && npy_is_float(&logits) && logits.shape[0] > last && logits.shape[1] > 0;
    if (!fine) {
        snprintf(error, error_bytes, "%s: expected floats of shape [more than %zu, classes]", path,
                 last);
    }
    for (size_t i = 0; fine && i < s->rows; i++) {
        p->energy[s->first + i] = energy_of(&logits, s->range.first + i * s->range.step);
        if (!isfinite(p->energy[s->first + i])) {
            snprintf(error, error_bytes, "%s: row %zu: expected finite numbers", path,
                     s->range.first + i * s->range.step);
            fine = false;
        }
    }
    s->has_energy = fine;
    npy_close(&logits);
    return fine;
}

bool corpus_measure(corpus *p, const reference *reference, scorer *scorer, char *error,
                    size_t error_bytes) {
    size_t rows = p->data.rows;
    p->alignment = calloc(rows, sizeof *p->alignment);
    p->mahalanobis = calloc(rows, sizeof *p->mahalanobis);
    p->energy = calloc(rows, sizeof *p->energy);
    if (!p->alignment || !p->mahalanobis || !p->energy) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    for (size_t i = 0; i < p->sources; i++) {
        if (!measure_energy(p, &p->source[i], error, error_bytes)) {
            return false;
        }
    }
    if (!measure_distances(p, &reference->statistics) || !measure_alignments(p, scorer)) {
        snprintf(error, error_bytes, "the engine failed, or no memory");
        return false;
    }
    return true;
}

void corpus_close(corpus *p) {
    free(p->energy);
    free(p->mahalanobis);
    free(p->alignment);
    free(p->source);
    dataset_close(&p->data);
    *p = (corpus){0};
}

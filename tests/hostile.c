/* hostile.c - random references and hostile windows; see hostile.h. */
#include "hostile.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const hostile_kind_names[HOSTILE_KINDS] = {
    "honest",    "foreign", "duplicates", "near duplicates",
    "one class", "shifted", "scaled",     "singles",
};

static void *must_have(size_t count, size_t bytes) {
    void *memory = calloc(count ? count : 1, bytes);
    cr_assert(memory, "no memory for %zu times %zu bytes", count, bytes);
    return memory;
}

static uint64_t next(hostile_random *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t hostile_random_below(hostile_random *random, size_t limit) {
    return (size_t)(next(random) % limit);
}

/* Box and Muller; the half keeps the logarithm's argument above zero. */
double hostile_random_normal(hostile_random *random) {
    double u = ((double)(next(random) >> 11) + 0.5) * 0x1p-53;
    double v = (double)(next(random) >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* Covariance G G^T of a Gaussian G [dim, rank] whose column j is 0.8^j as long as the first. */
static void make_covariance(hostile_random *random, size_t dim, size_t rank, double *covariance) {
    double *column = must_have(dim, sizeof *column);
    memset(covariance, 0, dim * dim * sizeof *covariance);
    double size = exp(hostile_random_normal(random));
    for (size_t j = 0; j < rank; j++, size *= 0.8) {
        for (size_t i = 0; i < dim; i++) {
            column[i] = size * hostile_random_normal(random) / sqrt((double)dim);
        }
        for (size_t i = 0; i < dim * dim; i++) {
            covariance[i] += column[i / dim] * column[i % dim];
        }
    }
    free(column);
}

/* Columns of the factor by falling eigenvalue, as engine.h asks; those past `rank` stay zero. */
static void make_factor(double *covariance, size_t dim, size_t rank, size_t columns,
                        float *factor) {
    double *values = must_have(dim, sizeof *values);
    int info = LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'V', 'U', (int)dim, covariance, (int)dim, values);
    cr_assert(info == 0, "dsyev returned %d", info);
    for (size_t j = 0; j < rank; j++) {
        size_t k = dim - 1 - j;
        for (size_t i = 0; i < dim; i++) {
            factor[i * columns + j] = (float)(covariance[i * dim + k] * sqrt(fmax(values[k], 0.0)));
        }
    }
    free(values);
}

engine_reference hostile_reference_make(hostile_random *random, size_t dim, size_t classes) {
    float *mean = must_have(classes * dim, sizeof *mean);
    float *factor = must_have(classes * dim * dim, sizeof *factor);
    double *trace = must_have(classes, sizeof *trace);
    double *covariance = must_have(dim * dim, sizeof *covariance);
    openblas_set_num_threads(1);
    for (size_t c = 0; c < classes; c++) {
        size_t rank = c % 3 == 2 ? 1 + hostile_random_below(random, (dim + 3) / 4) : dim;
        rank = c % 6 == 5 ? 1 : rank;
        float *columns = factor + c * dim * dim;
        for (size_t i = 0; i < dim; i++) {
            mean[c * dim + i] = (float)hostile_random_normal(random);
        }
        make_covariance(random, dim, rank, covariance);
        make_factor(covariance, dim, rank, dim, columns);
        for (size_t i = 0; i < dim * dim; i++) {
            trace[c] += (double)columns[i] * (double)columns[i];
        }
    }
    free(covariance);
    return (engine_reference){.dim = dim,
                              .classes = classes,
                              .rank = dim,
                              .mean = mean,
                              .factor = factor,
                              .trace = trace};
}

void hostile_reference_free(engine_reference *reference) {
    free((void *)reference->mean);
    free((void *)reference->factor);
    free((void *)reference->trace);
    *reference = (engine_reference){0};
}

/* A row of the class's own Gaussian, and noise of its average variance times `noise`. */
static void draw_row(hostile_random *random, const engine_reference *reference, size_t c,
                     double noise, float *row) {
    size_t dim = reference->dim, rank = reference->rank;
    double *weights = must_have(rank, sizeof *weights);
    double spread = noise * sqrt(reference->trace[c] / (double)dim);
    for (size_t j = 0; j < rank; j++) {
        weights[j] = hostile_random_normal(random);
    }
    for (size_t i = 0; i < dim; i++) {
        const float *factor = reference->factor + (c * dim + i) * rank;
        double value = (double)reference->mean[c * dim + i];
        for (size_t j = 0; j < rank; j++) {
            value += (double)factor[j] * weights[j];
        }
        row[i] = (float)(value + spread * hostile_random_normal(random));
    }
    free(weights);
}

/* What the kind does to a row that was drawn; `first` is a row to be copied. */
static void spoil_row(hostile_random *random, hostile_kind kind, size_t dim, const float *first,
                      float *row) {
    for (size_t i = 0; i < dim; i++) {
        switch (kind) {
        case HOSTILE_DUPLICATES:
            row[i] = first[i];
            break;
        case HOSTILE_NEAR_DUPLICATES:
            row[i] = (float)((double)first[i] * (1.0 + 1e-6 * hostile_random_normal(random)));
            break;
        case HOSTILE_SHIFTED:
            row[i] += 100.0f;
            break;
        case HOSTILE_SCALED:
            row[i] *= 1e4f;
            break;
        default:
            break;
        }
    }
}

fixture_rows hostile_window_make(hostile_random *random, const engine_reference *reference,
                                 hostile_kind kind, size_t rows) {
    size_t dim = reference->dim;
    fixture_rows window = fixture_rows_make(rows, dim);
    size_t only = hostile_random_below(random, reference->classes);
    /* Copies are spread over at most three classes, so that several of them meet in one. */
    size_t originals = kind == HOSTILE_DUPLICATES ? 3 : 1;
    for (size_t i = 0; i < rows; i++) {
        float *row = window.embeddings + i * dim;
        size_t original = i % originals;
        bool copies = kind == HOSTILE_DUPLICATES || kind == HOSTILE_NEAR_DUPLICATES;
        size_t c = hostile_random_below(random, reference->classes);
        if (kind == HOSTILE_ONE_CLASS || copies) {
            c = only;
        } else if (kind == HOSTILE_SINGLES) {
            c = i % reference->classes;
        }
        window.classes[i] = (uint32_t)c;
        draw_row(random, reference, c, kind == HOSTILE_HONEST ? 0.0 : 0.5, row);
        if (!copies || i >= originals) {
            spoil_row(random, kind, dim, window.embeddings + original * dim, row);
        }
    }
    return window;
}

fixture_rows hostile_account_make(hostile_random *random, size_t dim, const char *source,
                                  size_t rows) {
    fixture_rows from = fixture_source(dim, source);
    fixture_rows account = fixture_rows_make(rows, dim);
    for (size_t i = 0; i < rows; i++) {
        fixture_rows_copy(&account, i, &from, hostile_random_below(random, from.rows));
    }
    fixture_rows_free(&from);
    return account;
}

double hostile_least_trace(const engine_reference *reference) {
    double least = reference->trace[0];
    for (size_t c = 1; c < reference->classes; c++) {
        least = fmin(least, reference->trace[c]);
    }
    return least;
}

engine_benign hostile_benign_make(hostile_random *random, const engine_reference *reference,
                                  size_t rungs) {
    size_t entries = reference->classes * rungs;
    double *rung = must_have(rungs, sizeof *rung), *mean = must_have(entries, sizeof *mean);
    double *deviation = must_have(entries, sizeof *deviation);
    double at = 0.0;
    for (size_t k = 0; k < rungs; k++) {
        at += 0.25 * (double)(1 + hostile_random_below(random, 4 + 2 * k));
        rung[k] = at;
    }
    for (size_t i = 0; i < entries; i++) {
        double trace = reference->trace[i / rungs];
        mean[i] = trace * (0.5 + 0.01 * (double)hostile_random_below(random, 150));
        deviation[i] = trace * (0.2 + 0.01 * (double)hostile_random_below(random, 30));
    }
    return (engine_benign){.rungs = rungs, .rung = rung, .mean = mean, .deviation = deviation};
}

void hostile_benign_free(engine_benign *benign) {
    free((void *)benign->rung);
    free((void *)benign->mean);
    free((void *)benign->deviation);
    *benign = (engine_benign){0};
}

double hostile_benign_bound(const engine_benign *benign, const engine_reference *reference) {
    double most = 0.0, least_trace = hostile_least_trace(reference);
    for (size_t c = 0; c < reference->classes; c++) {
        const double *mean = benign->mean + c * benign->rungs;
        const double *deviation = benign->deviation + c * benign->rungs;
        double b = mean[0], v = deviation[0];
        for (size_t k = 1; k < benign->rungs; k++) {
            b = fmax(b, mean[k]);
            v = fmin(v, deviation[k]);
        }
        most = fmax(most, (b + 0.04 * least_trace) / v);
    }
    return sqrt((double)reference->classes) * most;
}

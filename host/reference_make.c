/*
 * reference_make.c - a reference from training rows, or from their statistics: one class at a time,
 * so that only one dim x dim matrix is in memory as float64.
 */
#include "reference_parts.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fit.h"
#include "members.h"
#include "npy.h"

enum { CLASS_ROWS_MIN = 2 };

/* A reference under construction and the buffers of the class in hand. */
typedef struct {
    const reference_recipe *recipe;
    reference *made;
    size_t columns;           /* of the factors as allocated; some may turn out to be zero */
    size_t rank;              /* highest so far */
    double *mean;             /* [dim] */
    double *covariance;       /* [dim, dim] */
    double *factor;           /* [dim, dim] */
    const char *mean_path;    /* where the class's mean came from, for errors */
    const char *moments_path; /* ... and its covariance */
    char *error;
    size_t error_bytes;
} maker;

#define FAIL(in, ...) reference_fail((in)->error, (in)->error_bytes, __VA_ARGS__)

static void maker_fini(maker *maker) {
    free(maker->mean);
    free(maker->covariance);
    free(maker->factor);
    reference_close(maker->made);
}

static bool copy_texts(maker *maker) {
    const char *model = maker->recipe->model;
    const char *made = maker->recipe->made;
    model = model == NULL ? REFERENCE_MODEL_DEFAULT : model;
    size_t bytes = strlen(model);
    if (bytes == 0 || bytes > REFERENCE_MODEL_BYTES_MAX || !members_text_is_clean(model)) {
        return FAIL(maker,
                    "model name: 1..%d bytes of UTF-8 without control characters expected, "
                    "%zu bytes came",
                    (int)REFERENCE_MODEL_BYTES_MAX, bytes);
    }
    memcpy(maker->made->model, model, bytes);
    if (made == NULL) {
        return true;
    }
    if (!members_text_is_clean(made)) {
        return FAIL(maker, "made: UTF-8 without control characters expected");
    }
    bytes = strlen(made);
    if (bytes > REFERENCE_MADE_BYTES_MAX) {
        /* Not through the middle of a character. */
        for (bytes = REFERENCE_MADE_BYTES_MAX; (made[bytes] & 0xc0) == 0x80; bytes--) {
        }
    }
    memcpy(maker->made->made, made, bytes);
    return true;
}

static bool maker_init(maker *maker, size_t classes, size_t dim, size_t rank_max) {
    if (dim < 1 || dim > FIT_DIM_MAX || classes < 1 || classes > ENGINE_CLASSES_MAX) {
        return FAIL(maker, "%s: dim %zu and %zu classes; 1..%d and 1..%d expected",
                    maker->mean_path, dim, classes, (int)FIT_DIM_MAX, (int)ENGINE_CLASSES_MAX);
    }
    size_t wanted = maker->recipe->rank_max == 0 ? dim : maker->recipe->rank_max;
    wanted = wanted < rank_max ? wanted : rank_max;
    maker->columns = wanted < dim ? wanted : dim;
    maker->rank = 1; /* the engine wants a column even where all covariances are zero */
    maker->made = reference_new();
    maker->mean = malloc(dim * sizeof(double));
    maker->covariance = malloc(dim * dim * sizeof(double));
    maker->factor = malloc(dim * dim * sizeof(double));
    if (maker->made != NULL) {
        maker->made->statistics.dim = dim;
        maker->made->statistics.classes = classes;
        maker->made->statistics.rank = maker->columns;
    }
    if (maker->made == NULL || maker->mean == NULL || maker->covariance == NULL ||
        maker->factor == NULL || !reference_allocate(maker->made)) {
        return FAIL(maker, "out of memory for %zu classes of dim %zu and rank %zu", classes, dim,
                    maker->columns);
    }
    return copy_texts(maker);
}

static bool fail_fit(const maker *maker, size_t class, fit_status status, double detail) {
    const char *path = maker->moments_path;
    const char *text = fit_status_text(status);
    if (status == FIT_NOT_SYMMETRIC) {
        return FAIL(maker,
                    "%s: class %zu: %s: |S - S^T| is %.3g of the largest entry, at most %g "
                    "expected",
                    path, class, text, detail, FIT_SYMMETRY_TOLERANCE);
    }
    if (status == FIT_INDEFINITE) {
        return FAIL(maker, "%s: class %zu: %s: %.3g of the largest, at least %g expected", path,
                    class, text, detail, -FIT_NEGATIVE_TOLERANCE);
    }
    return FAIL(maker, "%s: class %zu: %s", path, class, text);
}

/* Takes the class's mean and covariance from the buffers into the reference. */
static bool put_class(maker *maker, size_t class) {
    engine_reference *s = &maker->made->statistics;
    size_t rank;
    double detail;
    double *trace = (double *)s->trace + class;
    fit_status status = fit_factor(maker->covariance, s->dim, maker->factor, &rank, trace, &detail);
    if (status != FIT_OK) {
        return fail_fit(maker, class, status, detail);
    }
    size_t columns = maker->columns;
    float *mean = (float *)s->mean + class * s->dim;
    float *factor = (float *)s->factor + class * s->dim * columns;
    for (size_t i = 0; i < s->dim; i++) {
        mean[i] = (float)maker->mean[i];
        for (size_t j = 0; j < columns; j++) {
            factor[i * columns + j] = (float)maker->factor[i * s->dim + j];
        }
    }
    rank = rank < columns ? rank : columns;
    maker->rank = rank > maker->rank ? rank : maker->rank;
    reference_origin origin = {maker->mean_path, maker->moments_path, maker->moments_path};
    if (!reference_check_class(s, class, &origin, maker->error, maker->error_bytes)) {
        return false;
    }
    if (maker->recipe->progress != NULL) {
        maker->recipe->progress(maker->recipe->progress_context, class + 1, s->classes);
    }
    return true;
}

/* Closes up the factors' rows where no class needs all the columns. */
static reference *maker_finish(maker *maker) {
    engine_reference *s = &maker->made->statistics;
    float *factor = (float *)s->factor;
    if (maker->rank < maker->columns) {
        for (size_t row = 0; row < s->classes * s->dim; row++) {
            memmove(factor + row * maker->rank, factor + row * maker->columns,
                    maker->rank * sizeof(*factor));
        }
        s->rank = maker->rank;
    }
    reference *made = maker->made;
    maker->made = NULL;
    return made;
}

static bool check_floats(const maker *maker, const npy *array, size_t axes, const char *path,
                         const char *shape) {
    if (!npy_is_float(array) || array->axes != axes) {
        char have[128];
        return FAIL(maker, "%s: %s %s; floats %s expected", path, npy_dtype_text(array->dtype),
                    npy_shape_text(array->axes, array->shape, have, sizeof(have)), shape);
    }
    return true;
}

/* Which value of the class it was; fit only knows that there was one. */
static bool check_finite(const maker *maker, size_t class) {
    size_t dim = maker->made->statistics.dim;
    for (size_t i = 0; i < dim; i++) {
        if (!isfinite(maker->mean[i])) {
            return FAIL(maker, "%s: class %zu, column %zu is %g; finite numbers expected",
                        maker->mean_path, class, i, maker->mean[i]);
        }
    }
    for (size_t i = 0; i < dim * dim; i++) {
        if (!isfinite(maker->covariance[i])) {
            return FAIL(maker, "%s: class %zu, row %zu, column %zu is %g; finite numbers expected",
                        maker->moments_path, class, i / dim, i % dim, maker->covariance[i]);
        }
    }
    return true;
}

static bool make_from_moments(maker *maker, const npy *mean, const npy *covariance) {
    size_t classes = mean->shape[0];
    size_t dim = mean->shape[1];
    if (covariance->shape[0] != classes || covariance->shape[1] != dim ||
        covariance->shape[2] != dim) {
        char have[128];
        return FAIL(maker, "%s: shape %s; (%zu, %zu, %zu) expected from %s", maker->moments_path,
                    npy_shape_text(3, covariance->shape, have, sizeof(have)), classes, dim, dim,
                    maker->mean_path);
    }
    if (!maker_init(maker, classes, dim, dim)) {
        return false;
    }
    for (size_t c = 0; c < classes; c++) {
        npy_floats(mean, c * dim, dim, maker->mean);
        npy_floats(covariance, c * dim * dim, dim * dim, maker->covariance);
        if (!check_finite(maker, c) || !put_class(maker, c)) {
            return false;
        }
    }
    return true;
}

bool reference_make_from_statistics(reference **out, const char *mean_path,
                                    const char *covariance_path, const reference_recipe *recipe,
                                    char *error, size_t error_bytes) {
    npy mean = {0};
    npy covariance = {0};
    maker maker = {.recipe = recipe,
                   .mean_path = mean_path,
                   .moments_path = covariance_path,
                   .error = error,
                   .error_bytes = error_bytes};
    bool good = npy_open(&mean, mean_path, error, error_bytes) &&
                npy_open(&covariance, covariance_path, error, error_bytes) &&
                check_floats(&maker, &mean, 2, mean_path, "(classes, dim)") &&
                check_floats(&maker, &covariance, 3, covariance_path, "(classes, dim, dim)") &&
                make_from_moments(&maker, &mean, &covariance);
    *out = good ? maker_finish(&maker) : NULL;
    maker_fini(&maker);
    npy_close(&mean);
    npy_close(&covariance);
    return good;
}

/* Rows of a file by class. */
typedef struct {
    const npy *embeddings;
    size_t dim;
    size_t classes;
    size_t *first; /* [classes + 1], where a class begins in `order` */
    size_t *order; /* [rows], row numbers by class, rising within one */
    size_t class;  /* being read */
} sorted_rows;

static bool count_classes(const maker *maker, const npy *labels, const char *path,
                          sorted_rows *rows) {
    for (size_t i = 0; i < labels->count; i++) {
        int64_t label = npy_integer(labels, i);
        if (label < 0 || label >= ENGINE_CLASSES_MAX) {
            return FAIL(maker, "%s: row %zu: label %lld; 0..%d expected", path, i, (long long)label,
                        (int)ENGINE_CLASSES_MAX - 1);
        }
        rows->classes = (size_t)label >= rows->classes ? (size_t)label + 1 : rows->classes;
    }
    return true;
}

/* A counting sort. */
static bool sort_rows(const maker *maker, const npy *labels, const char *path, sorted_rows *rows) {
    rows->first = calloc(rows->classes + 2, sizeof(*rows->first));
    rows->order = malloc(labels->count * sizeof(*rows->order));
    if (rows->first == NULL || rows->order == NULL) {
        return FAIL(maker, "%s: out of memory for %zu rows", path, labels->count);
    }
    /* Counts stand two places up, so that the next loops turn them into starts. */
    for (size_t i = 0; i < labels->count; i++) {
        rows->first[(size_t)npy_integer(labels, i) + 2]++;
    }
    for (size_t c = 0; c < rows->classes; c++) {
        size_t count = rows->first[c + 2];
        if (count < CLASS_ROWS_MIN) {
            return FAIL(maker, "%s: class %zu has %zu row%s; at least %d expected", path, c, count,
                        count == 1 ? "" : "s", (int)CLASS_ROWS_MIN);
        }
        rows->first[c + 2] += rows->first[c + 1];
    }
    for (size_t i = 0; i < labels->count; i++) {
        rows->order[rows->first[(size_t)npy_integer(labels, i) + 1]++] = i;
    }
    return true;
}

static void read_rows(void *context, size_t first, size_t count, double *block) {
    const sorted_rows *rows = context;
    const size_t *order = rows->order + rows->first[rows->class] + first;
    for (size_t i = 0; i < count; i++) {
        npy_floats(rows->embeddings, order[i] * rows->dim, rows->dim, block + i * rows->dim);
    }
}

static bool fail_rows(const maker *maker, const sorted_rows *rows, fit_status status) {
    size_t c = rows->class;
    for (size_t at = rows->first[c]; status == FIT_NOT_FINITE && at < rows->first[c + 1]; at++) {
        for (size_t j = 0; j < rows->dim; j++) {
            double value = npy_float(rows->embeddings, rows->order[at] * rows->dim + j);
            if (!isfinite(value)) {
                return FAIL(maker,
                            "%s: row %zu, column %zu (class %zu) is %g; finite numbers expected",
                            maker->mean_path, rows->order[at], j, c, value);
            }
        }
    }
    return fail_fit(maker, c, status, 0);
}

static bool make_from_sorted(maker *maker, sorted_rows *rows) {
    size_t largest = 0;
    for (size_t c = 0; c < rows->classes; c++) {
        size_t count = rows->first[c + 1] - rows->first[c];
        largest = count > largest ? count : largest;
    }
    /* n rows less their mean span at most n - 1 directions. */
    if (!maker_init(maker, rows->classes, rows->dim, largest - 1)) {
        return false;
    }
    maker->made->counts = calloc(rows->classes, sizeof(size_t));
    if (maker->made->counts == NULL) {
        return FAIL(maker, "out of memory for %zu classes", rows->classes);
    }
    for (size_t c = 0; c < rows->classes; c++) {
        size_t count = rows->first[c + 1] - rows->first[c];
        fit_source source = {.rows = count, .dim = rows->dim, .read = read_rows, .context = rows};
        rows->class = c;
        maker->made->counts[c] = count;
        fit_status status = fit_moments_of(&source, maker->mean, maker->covariance);
        if (status != FIT_OK) {
            return fail_rows(maker, rows, status);
        }
        if (!put_class(maker, c)) {
            return false;
        }
    }
    return true;
}

static bool make_from_labels(maker *maker, const npy *embeddings, const npy *labels,
                             const char *labels_path, sorted_rows *rows) {
    char have[128];
    size_t count = embeddings->shape[0];
    npy_shape_text(labels->axes, labels->shape, have, sizeof(have));
    if (npy_is_float(labels) || labels->axes != 1 || labels->count != count) {
        return FAIL(maker, "%s: %s %s; integers (%zu,) expected from %s", labels_path,
                    npy_dtype_text(labels->dtype), have, count, maker->mean_path);
    }
    if (embeddings->count == 0) {
        return FAIL(maker, "%s: no rows", maker->mean_path);
    }
    rows->embeddings = embeddings;
    rows->dim = embeddings->shape[1];
    return count_classes(maker, labels, labels_path, rows) &&
           sort_rows(maker, labels, labels_path, rows) && make_from_sorted(maker, rows);
}

bool reference_make_from_rows(reference **out, const char *embeddings_path, const char *labels_path,
                              const reference_recipe *recipe, char *error, size_t error_bytes) {
    npy embeddings = {0};
    npy labels = {0};
    sorted_rows rows = {0};
    maker maker = {.recipe = recipe,
                   .mean_path = embeddings_path,
                   .moments_path = embeddings_path,
                   .error = error,
                   .error_bytes = error_bytes};
    bool good = npy_open(&embeddings, embeddings_path, error, error_bytes) &&
                npy_open(&labels, labels_path, error, error_bytes) &&
                check_floats(&maker, &embeddings, 2, embeddings_path, "(rows, dim)") &&
                make_from_labels(&maker, &embeddings, &labels, labels_path, &rows);
    *out = good ? maker_finish(&maker) : NULL;
    maker_fini(&maker);
    free(rows.first);
    free(rows.order);
    npy_close(&embeddings);
    npy_close(&labels);
    return good;
}

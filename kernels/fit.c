/*
 * fit.c - moments by two passes and a blocked rank-k update, factors by LAPACK's divide and
 * conquer. Reads no files and knows nothing of references; host/reference_make.c does.
 */
#include "fit.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <lapacke.h>

enum {
    BLOCK_BYTES = 4 << 20, /* rows converted at a time: large enough for dsyrk's full rate */
    BLOCK_ROWS_MIN = 64,
    TILE = 64, /* side of a tile when a matrix meets its transpose */
};

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t block_rows(const fit_source *source) {
    size_t rows = BLOCK_BYTES / (source->dim * sizeof(double));
    rows = rows < BLOCK_ROWS_MIN ? BLOCK_ROWS_MIN : rows;
    return smaller(rows, source->rows);
}

static fit_status mean_of(const fit_source *source, double *block, size_t step, double *mean) {
    size_t dim = source->dim;
    memset(mean, 0, dim * sizeof(*mean));
    for (size_t first = 0; first < source->rows; first += step) {
        size_t count = smaller(step, source->rows - first);
        source->read(source->context, first, count, block);
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; j < dim; j++) {
                mean[j] += block[i * dim + j];
            }
        }
    }
    for (size_t j = 0; j < dim; j++) {
        mean[j] /= (double)source->rows;
        if (!isfinite(mean[j])) {
            return FIT_NOT_FINITE;
        }
    }
    return FIT_OK;
}

/* Lower triangle of the sum of (x - mean)(x - mean)^T. */
static void scatter_of(const fit_source *source, double *block, size_t step, const double *mean,
                       double *scatter) {
    size_t dim = source->dim;
    memset(scatter, 0, dim * dim * sizeof(*scatter));
    for (size_t first = 0; first < source->rows; first += step) {
        size_t count = smaller(step, source->rows - first);
        source->read(source->context, first, count, block);
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; j < dim; j++) {
                block[i * dim + j] -= mean[j];
            }
        }
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)dim, (int)count, 1.0, block,
                    (int)dim, 1.0, scatter, (int)dim);
    }
}

/* Scales the lower triangle and mirrors it. */
static fit_status finish_covariance(double *matrix, size_t dim, double scale) {
    for (size_t i = 0; i < dim; i++) {
        for (size_t j = 0; j <= i; j++) {
            double value = matrix[i * dim + j] * scale;
            if (!isfinite(value)) {
                return FIT_NOT_FINITE;
            }
            matrix[i * dim + j] = value;
            matrix[j * dim + i] = value;
        }
    }
    return FIT_OK;
}

fit_status fit_moments_of(const fit_source *source, double *mean, double *covariance) {
    assert(source->rows >= 1 && source->dim >= 1 && source->dim <= FIT_DIM_MAX);
    size_t step = block_rows(source);
    double *block = malloc(step * source->dim * sizeof(*block));
    if (block == NULL) {
        return FIT_NO_MEMORY;
    }
    fit_status status = mean_of(source, block, step, mean);
    if (status == FIT_OK) {
        scatter_of(source, block, step, mean, covariance);
        status = finish_covariance(covariance, source->dim, 1.0 / (double)source->rows);
    }
    free(block);
    return status;
}

typedef struct {
    const double *rows;
    size_t dim;
} rows_in_memory;

static void read_memory(void *context, size_t first, size_t count, double *block) {
    const rows_in_memory *memory = context;
    memcpy(block, memory->rows + first * memory->dim, count * memory->dim * sizeof(*block));
}

fit_status fit_moments(const double *rows, size_t count, size_t dim, double *mean,
                       double *covariance) {
    rows_in_memory memory = {.rows = rows, .dim = dim};
    fit_source source = {.rows = count, .dim = dim, .read = read_memory, .context = &memory};
    return fit_moments_of(&source, mean, covariance);
}

typedef struct {
    double largest;   /* magnitude of an entry */
    double asymmetry; /* |S - S^T| */
    bool finite;
} symmetry;

/* One tile against its mirror image: measured, and replaced by their mean. */
static void symmetrise_tile(double *matrix, size_t dim, size_t row, size_t column, symmetry *seen) {
    size_t row_end = smaller(row + TILE, dim);
    for (size_t i = row; i < row_end; i++) {
        size_t column_end = smaller(column + TILE, i + 1);
        for (size_t j = column; j < column_end; j++) {
            double lower = matrix[i * dim + j];
            double upper = matrix[j * dim + i];
            seen->finite = seen->finite && isfinite(lower) && isfinite(upper);
            seen->largest = fmax(seen->largest, fmax(fabs(lower), fabs(upper)));
            seen->asymmetry = fmax(seen->asymmetry, fabs(lower - upper));
            matrix[i * dim + j] = matrix[j * dim + i] = 0.5 * lower + 0.5 * upper;
        }
    }
}

static fit_status symmetrise(double *matrix, size_t dim, double *detail) {
    symmetry seen = {.finite = true};
    for (size_t row = 0; row < dim; row += TILE) {
        for (size_t column = 0; column <= row; column += TILE) {
            symmetrise_tile(matrix, dim, row, column, &seen);
        }
    }
    if (!seen.finite) {
        return FIT_NOT_FINITE;
    }
    if (seen.asymmetry > FIT_SYMMETRY_TOLERANCE * seen.largest) {
        *detail = seen.asymmetry / seen.largest;
        return FIT_NOT_SYMMETRIC;
    }
    return FIT_OK;
}

/* Eigenvalues rise; the vector of eigenvalue k lies in row k of the matrix (a column, to LAPACK).
 */
static fit_status eigen(double *matrix, size_t dim, double *values) {
    lapack_int n = (lapack_int)dim;
    lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', n, matrix, n, values);
    if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR) {
        return FIT_NO_MEMORY;
    }
    return info == 0 ? FIT_OK : FIT_NO_CONVERGENCE;
}

static fit_status check_definite(const double *values, size_t dim, double *detail) {
    double largest = fmax(fabs(values[0]), fabs(values[dim - 1]));
    if (!isfinite(largest)) {
        return FIT_NOT_FINITE;
    }
    if (values[0] < -FIT_NEGATIVE_TOLERANCE * largest) {
        *detail = values[0] / largest;
        return FIT_INDEFINITE;
    }
    return FIT_OK;
}

/* values[k] becomes the scale of vector k: sqrt(lambda), or 0 where it is dropped. */
static fit_status scales(double *values, size_t dim, size_t *rank, double *trace) {
    double floor = (double)dim * DBL_EPSILON * values[dim - 1];
    *rank = 0;
    *trace = 0;
    for (size_t k = dim; k-- > 0;) {
        bool kept = values[k] > 0 && values[k] > floor;
        *rank += kept;
        *trace += kept ? values[k] : 0;
        values[k] = kept ? sqrt(values[k]) : 0;
    }
    return isfinite(*trace) ? FIT_OK : FIT_NOT_FINITE;
}

static void write_factor(const double *vectors, const double *scale, size_t dim, double *factor) {
    for (size_t row = 0; row < dim; row += TILE) {
        size_t row_end = smaller(row + TILE, dim);
        for (size_t j = 0; j < dim; j++) {
            size_t k = dim - 1 - j;
            for (size_t i = row; i < row_end; i++) {
                factor[i * dim + j] = vectors[k * dim + i] * scale[k];
            }
        }
    }
}

fit_status fit_factor(double *covariance, size_t dim, double *factor, size_t *rank, double *trace,
                      double *detail) {
    assert(dim >= 1 && dim <= FIT_DIM_MAX);
    *detail = 0;
    double *values = malloc(dim * sizeof(*values));
    if (values == NULL) {
        return FIT_NO_MEMORY;
    }
    fit_status status = symmetrise(covariance, dim, detail);
    if (status == FIT_OK) {
        status = eigen(covariance, dim, values);
    }
    if (status == FIT_OK) {
        status = check_definite(values, dim, detail);
    }
    if (status == FIT_OK) {
        status = scales(values, dim, rank, trace);
    }
    if (status == FIT_OK) {
        write_factor(covariance, values, dim, factor);
    }
    free(values);
    return status;
}

const char *fit_status_text(fit_status status) {
    switch (status) {
    case FIT_OK:
        return "ok";
    case FIT_NO_MEMORY:
        return "out of memory";
    case FIT_NOT_FINITE:
        return "a value or a sum is not finite";
    case FIT_NOT_SYMMETRIC:
        return "the covariance is not symmetric";
    case FIT_INDEFINITE:
        return "the covariance has a negative eigenvalue";
    case FIT_NO_CONVERGENCE:
        return "the eigensolver did not converge";
    }
    return "unknown status";
}

/*
 * dataset.c - .npy files to float rows, each value checked as the daemon would.
 */
#include "dataset.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "npy.h"
#include "wire.h"

/* Reads a number if there is one; returns where the text goes on. */
static const char *parse_part(const char *text, size_t *value) {
    char *end = NULL;
    if (*text < '0' || *text > '9') {
        return text;
    }
    *value = strtoull(text, &end, 10);
    return end;
}

bool dataset_parse_range(const char *text, dataset_range *range) {
    *range = DATASET_ALL;
    text = parse_part(text, &range->first);
    if (*text++ != ':') {
        return false;
    }
    text = parse_part(text, &range->end);
    if (*text == ':') {
        text = parse_part(text + 1, &range->step);
    }
    return *text == '\0' && range->first < range->end && range->step > 0;
}

static bool shapes_match(const npy *embeddings, const npy *classes, const dataset_files *files,
                         char *error, size_t error_bytes) {
    if (embeddings->axes != 2 || !npy_is_float(embeddings)) {
        snprintf(error, error_bytes, "%s: expected floats of shape [rows, dim]", files->embeddings);
    } else if (files->dim != 0 && embeddings->shape[1] != files->dim) {
        snprintf(error, error_bytes, "%s: expected dim %zu, came %zu", files->embeddings,
                 files->dim, embeddings->shape[1]);
    } else if (classes->axes != 1 || npy_is_float(classes)) {
        snprintf(error, error_bytes, "%s: expected integers of shape [rows]", files->classes);
    } else if (classes->shape[0] != embeddings->shape[0]) {
        snprintf(error, error_bytes, "%s: expected %zu rows as %s has, came %zu", files->classes,
                 embeddings->shape[0], files->embeddings, classes->shape[0]);
    } else {
        return true;
    }
    return false;
}

static bool read_row(dataset *data, size_t row, const npy *embeddings, const npy *classes,
                     size_t source, const dataset_files *files, char *error, size_t error_bytes) {
    int64_t limit = files->class_count != 0 ? (int64_t)files->class_count : UINT32_MAX;
    int64_t class_index = npy_integer(classes, source);
    if (class_index < 0 || class_index >= limit) {
        snprintf(error, error_bytes, "%s: row %zu: expected a class below %lld, came %lld",
                 files->classes, source, (long long)limit, (long long)class_index);
        return false;
    }
    data->classes[row] = (uint32_t)class_index;
    for (size_t j = 0; j < data->dim; j++) {
        double value = npy_float(embeddings, source * data->dim + j);
        if (!(fabs(value) <= (double)WIRE_VALUE_MAX)) {
            snprintf(error, error_bytes,
                     "%s: row %zu column %zu: expected a finite number, came %g", files->embeddings,
                     source, j, value);
            return false;
        }
        data->embeddings[row * data->dim + j] = (float)value;
    }
    return true;
}

static bool read_rows(dataset *data, const npy *embeddings, const npy *classes,
                      const dataset_files *files, char *error, size_t error_bytes) {
    size_t all = embeddings->shape[0];
    size_t end = files->range.end < all ? files->range.end : all;
    if (files->range.first >= end || embeddings->shape[1] == 0) {
        snprintf(error, error_bytes, "%s: holds no rows from %zu on", files->embeddings,
                 files->range.first);
        return false;
    }
    data->rows = (end - files->range.first - 1) / files->range.step + 1;
    data->dim = embeddings->shape[1];
    data->embeddings = calloc(data->rows * data->dim, sizeof *data->embeddings);
    data->classes = calloc(data->rows, sizeof *data->classes);
    if (data->embeddings == NULL || data->classes == NULL) {
        snprintf(error, error_bytes, "%s: out of memory", files->embeddings);
        return false;
    }
    for (size_t row = 0; row < data->rows; row++) {
        size_t source = files->range.first + row * files->range.step;
        if (!read_row(data, row, embeddings, classes, source, files, error, error_bytes)) {
            return false;
        }
    }
    return true;
}

bool dataset_load(dataset *data, const dataset_files *files, char *error, size_t error_bytes) {
    npy embeddings = {0};
    npy classes = {0};
    *data = (dataset){0};
    bool loaded = npy_open(&embeddings, files->embeddings, error, error_bytes) &&
                  npy_open(&classes, files->classes, error, error_bytes) &&
                  shapes_match(&embeddings, &classes, files, error, error_bytes) &&
                  read_rows(data, &embeddings, &classes, files, error, error_bytes);
    npy_close(&classes);
    npy_close(&embeddings);
    if (!loaded) {
        dataset_close(data);
    }
    return loaded;
}

void dataset_close(dataset *data) {
    free(data->classes);
    free(data->embeddings);
    *data = (dataset){0};
}

const float *dataset_row(const dataset *data, size_t row) {
    return data->embeddings + row * data->dim;
}

/* Fills in the pair of an embeddings path; false when its classes are not there. */
static bool pair_of(dataset_pair *pair, const char *path) {
    const char *file = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    const char *mark = strstr(file, ".emb");
    char pattern[DATASET_PATH_MAX];
    glob_t found = {0};
    size_t name = (size_t)(mark - file);
    size_t stem = (size_t)(mark - path);
    if (name == 0 || name >= sizeof pair->name || strlen(path) >= sizeof pair->embeddings) {
        return false;
    }
    snprintf(pattern, sizeof pattern, "%.*s.pred*.npy", (int)stem, path);
    bool one = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1 &&
               strlen(found.gl_pathv[0]) < sizeof pair->classes;
    if (one) {
        snprintf(pair->name, sizeof pair->name, "%.*s", (int)name, file);
        strcpy(pair->embeddings, path);
        strcpy(pair->classes, found.gl_pathv[0]);
    }
    globfree(&found);
    return one;
}

size_t dataset_find(dataset_pair *pairs, const char *path, char *error, size_t error_bytes) {
    struct stat status;
    char pattern[DATASET_PATH_MAX];
    glob_t found = {0};
    size_t count = 0;
    bool directory = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    snprintf(pattern, sizeof pattern, "%s%s*.emb*.npy", path, directory ? "/" : "");
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && count < DATASET_PAIRS_MAX; i++) {
            count += pair_of(&pairs[count], found.gl_pathv[i]) ? 1 : 0;
        }
    }
    globfree(&found);
    if (count == 0) {
        snprintf(error, error_bytes, "%s: no pair of NAME.emb*.npy and NAME.pred*.npy", path);
    }
    return count;
}

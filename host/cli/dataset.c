/*
 * dataset.c - .npy files to float rows, each value checked as the daemon would.
 */
#include "dataset.h"

#include <dirent.h>
#include <errno.h>
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
                     "%s: row %zu column %zu: expected a finite number of at most %g, came %g",
                     files->embeddings, source, j, (double)WIRE_VALUE_MAX, value);
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

/* The part of a name before `mark`, when ".npy" ends it; 0 when it is another kind of name. */
static size_t stem_of(const char *name, const char *mark) {
    const char *at = strstr(name, mark);
    size_t length = strlen(name);
    bool npy = length > 4 && strcmp(name + length - 4, ".npy") == 0;
    return at != NULL && npy ? (size_t)(at - name) : 0;
}

/* A directory's names, sorted. */
typedef struct {
    struct dirent **entry;
    int count;
} listing;

static bool listing_open(listing *l, const char *directory, char *error, size_t error_bytes) {
    l->count = scandir(directory, &l->entry, NULL, alphasort);
    if (l->count < 0) {
        snprintf(error, error_bytes, "%.512s: %s", directory, strerror(errno));
    }
    return l->count >= 0;
}

static void listing_close(listing *l) {
    for (int i = 0; i < l->count; i++) {
        free(l->entry[i]);
    }
    free(l->entry);
}

/* The one name of predictions that goes with a stem, or NULL with an error. */
static const char *predictions_of(const listing *l, const char *embeddings, size_t stem,
                                  char *error, size_t error_bytes) {
    const char *found = NULL;
    int count = 0;
    for (int i = 0; i < l->count; i++) {
        const char *name = l->entry[i]->d_name;
        if (stem_of(name, ".pred") == stem && strncmp(name, embeddings, stem) == 0) {
            found = name;
            count++;
        }
    }
    if (count != 1) {
        snprintf(error, error_bytes, "%.256s: expected one %.*s.pred*.npy beside it, came %d",
                 embeddings, (int)stem, embeddings, count);
    }
    return count == 1 ? found : NULL;
}

static bool pair_of(dataset_pair *pair, const char *directory, const char *embeddings,
                    const char *classes, size_t stem, char *error, size_t error_bytes) {
    int length =
        snprintf(pair->embeddings, sizeof pair->embeddings, "%s/%s", directory, embeddings);
    int other = snprintf(pair->classes, sizeof pair->classes, "%s/%s", directory, classes);
    if (stem >= sizeof pair->name || length >= (int)sizeof pair->embeddings ||
        other >= (int)sizeof pair->classes) {
        snprintf(error, error_bytes, "%.256s: expected a shorter path", embeddings);
        return false;
    }
    /* The name is printed and written as JSON, a file's name may be any bytes. */
    for (size_t i = 0; i < stem; i++) {
        bool plain = embeddings[i] > ' ' && embeddings[i] <= '~';
        pair->name[i] = (char)(plain ? embeddings[i] : '?');
    }
    pair->name[stem] = '\0';
    return true;
}

static size_t find_in(dataset_pair *pairs, const char *directory, const char *prefix, char *error,
                      size_t error_bytes) {
    listing l;
    size_t count = 0;
    bool fine = listing_open(&l, directory, error, error_bytes);
    for (int i = 0; fine && i < l.count; i++) {
        const char *name = l.entry[i]->d_name;
        size_t stem = stem_of(name, ".emb");
        if (stem == 0 || strncmp(name, prefix, strlen(prefix)) != 0) {
            continue;
        }
        if (count == DATASET_PAIRS_MAX) {
            snprintf(error, error_bytes, "%.512s: expected at most %d sources", directory,
                     DATASET_PAIRS_MAX);
            fine = false;
            break;
        }
        const char *classes = predictions_of(&l, name, stem, error, error_bytes);
        fine = classes != NULL &&
               pair_of(&pairs[count++], directory, name, classes, stem, error, error_bytes);
    }
    listing_close(&l);
    if (fine && count == 0) {
        snprintf(error, error_bytes, "%.512s: no NAME.emb*.npy that begins with '%.256s'",
                 directory, prefix);
    }
    return fine ? count : 0;
}

size_t dataset_find(dataset_pair *pairs, const char *path, char *error, size_t error_bytes) {
    struct stat status;
    char directory[DATASET_PATH_MAX];
    if (snprintf(directory, sizeof directory, "%s", path) >= (int)sizeof directory) {
        snprintf(error, error_bytes, "%.256s...: expected a shorter path", path);
        return 0;
    }
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return find_in(pairs, directory, "", error, error_bytes);
    }
    char *slash = strrchr(directory, '/');
    if (slash == NULL) {
        return find_in(pairs, ".", path, error, error_bytes);
    }
    *slash = '\0';
    return find_in(pairs, slash == directory ? "/" : directory, slash + 1, error, error_bytes);
}

/*
 * reference.c - a reference directory as a whole: its arrays loaded, checked and saved, and the
 * table of thresholds. The JSON is reference_json.c's, the making reference_make.c's.
 */
#include "reference_parts.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aside.h"
#include "npy.h"

enum {
    ARRAY_ALIGN = 64, /* a cache line, and the widest vector */
    ARRAYS = 3,
    FILES, /* and the JSON, written last */
    AXES_MAX = 3,
};
/* Below this a trace counts as zero: its factor's squares would be float32 subnormals. */
#define TRACE_TINY 1e-60

static const char json_name[] = "reference.json";

bool reference_fail(char *error, size_t error_bytes, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    return false;
}

reference *reference_new(void) {
    reference *new = calloc(1, sizeof(*new));
    if (new != NULL) {
        new->window_rows = REFERENCE_WINDOW_DEFAULT;
        new->memory_rank = REFERENCE_MEMORY_RANK_DEFAULT;
        new->half_life_rows = REFERENCE_HALF_LIFE_DEFAULT;
    }
    return new;
}

/* One of the three array files. */
typedef struct {
    const char *name;
    npy_dtype dtype;
    size_t axes;
    size_t shape[AXES_MAX];
    const void *data;
} array_file;

static void array_files(const engine_reference *s, array_file files[ARRAYS]) {
    files[0] = (array_file){"mean.npy", NPY_F32, 2, {s->classes, s->dim}, s->mean};
    files[1] = (array_file){"factor.npy", NPY_F32, 3, {s->classes, s->dim, s->rank}, s->factor};
    files[2] = (array_file){"trace.npy", NPY_F64, 1, {s->classes}, s->trace};
}

/* 0 when the size does not fit. */
static size_t array_bytes(const array_file *file) {
    size_t bytes = npy_dtype_bytes(file->dtype);
    for (size_t i = 0; i < file->axes; i++) {
        if (bytes > (SIZE_MAX - ARRAY_ALIGN) / file->shape[i]) {
            return 0;
        }
        bytes *= file->shape[i];
    }
    return bytes;
}

static void *allocate_array(const array_file *file) {
    size_t bytes = array_bytes(file);
    size_t rounded = (bytes + ARRAY_ALIGN - 1) / ARRAY_ALIGN * ARRAY_ALIGN;
    void *array = bytes == 0 ? NULL : aligned_alloc(ARRAY_ALIGN, rounded);
    if (array != NULL) {
        memset(array, 0, rounded);
    }
    return array;
}

bool reference_allocate(reference *reference) {
    engine_reference *s = &reference->statistics;
    array_file files[ARRAYS];
    array_files(s, files);
    s->mean = allocate_array(&files[0]);
    s->factor = allocate_array(&files[1]);
    s->trace = allocate_array(&files[2]);
    return s->mean != NULL && s->factor != NULL && s->trace != NULL;
}

void reference_close(reference *reference) {
    if (reference != NULL) {
        free((void *)reference->statistics.mean);
        free((void *)reference->statistics.factor);
        free((void *)reference->statistics.trace);
        free(reference->counts);
        free(reference);
    }
}

typedef struct {
    const float *values;
    size_t rows;
    size_t columns;
    const char *path;
    const char *what; /* "mean", "factor" */
} float_matrix;

static bool check_values(float_matrix matrix, size_t class, char *error, size_t error_bytes) {
    for (size_t i = 0; i < matrix.rows * matrix.columns; i++) {
        if (!(fabsf(matrix.values[i]) <= REFERENCE_VALUE_MAX)) {
            return reference_fail(error, error_bytes,
                                  "%s: class %zu: %s[%zu, %zu] is %g; finite and at most %g in "
                                  "magnitude expected",
                                  matrix.path, class, matrix.what, i / matrix.columns,
                                  i % matrix.columns, (double)matrix.values[i],
                                  (double)REFERENCE_VALUE_MAX);
        }
    }
    return true;
}

bool reference_check_class(const engine_reference *s, size_t class, const reference_origin *origin,
                           char *error, size_t error_bytes) {
    const float *factor = s->factor + class * s->dim * s->rank;
    float_matrix mean = {s->mean + class * s->dim, 1, s->dim, origin->mean, "mean"};
    float_matrix columns = {factor, s->dim, s->rank, origin->factor, "factor"};
    if (!check_values(mean, class, error, error_bytes) ||
        !check_values(columns, class, error, error_bytes)) {
        return false;
    }
    double trace = s->trace[class];
    double squares = 0;
    for (size_t i = 0; i < s->dim * s->rank; i++) {
        squares += (double)factor[i] * (double)factor[i];
    }
    double slack = REFERENCE_TRACE_TOLERANCE * trace + TRACE_TINY;
    bool whole = s->rank == s->dim;
    if (!(trace >= 0 && isfinite(trace)) || squares > trace + slack ||
        (whole && squares < trace - slack)) {
        return reference_fail(error, error_bytes,
                              "%s: class %zu: trace is %g; %s |factor|^2 = %g expected",
                              origin->trace, class, trace, whole ? "its" : "at least its", squares);
    }
    return true;
}

static bool open_array(npy *array, const array_file *file, const char *path, char *error,
                       size_t error_bytes) {
    if (!npy_open(array, path, error, error_bytes)) {
        return false;
    }
    if (array->dtype == file->dtype && array->axes == file->axes &&
        memcmp(array->shape, file->shape, file->axes * sizeof(size_t)) == 0) {
        return true;
    }
    char have[128];
    char want[128];
    return reference_fail(
        error, error_bytes, "%s: %s %s; %s %s expected from %s", path, npy_dtype_text(array->dtype),
        npy_shape_text(array->axes, array->shape, have, sizeof(have)), npy_dtype_text(file->dtype),
        npy_shape_text(file->axes, file->shape, want, sizeof(want)), json_name);
}

/* The files are opened before memory is taken, so that sizes the JSON made up cost nothing. */
static bool load_arrays(reference *reference, char *const paths[ARRAYS], char *error,
                        size_t error_bytes) {
    array_file files[ARRAYS];
    npy arrays[ARRAYS] = {0};
    bool good = true;
    array_files(&reference->statistics, files);
    for (size_t i = 0; i < ARRAYS && good; i++) {
        good = open_array(&arrays[i], &files[i], paths[i], error, error_bytes);
    }
    if (good && !reference_allocate(reference)) {
        good = reference_fail(error, error_bytes, "out of memory for the reference's arrays");
    }
    if (good) {
        array_files(&reference->statistics, files);
        for (size_t i = 0; i < ARRAYS; i++) {
            memcpy((void *)files[i].data, arrays[i].data, array_bytes(&files[i]));
        }
    }
    for (size_t i = 0; i < ARRAYS; i++) {
        npy_close(&arrays[i]);
    }
    reference_origin origin = {paths[0], paths[1], paths[2]};
    for (size_t c = 0; c < reference->statistics.classes && good; c++) {
        good = reference_check_class(&reference->statistics, c, &origin, error, error_bytes);
    }
    return good;
}

/* Paths of the three arrays and, last, of the JSON. */
static bool join_paths(const char *directory, char *paths[FILES]) {
    engine_reference none = {0};
    array_file files[ARRAYS];
    array_files(&none, files);
    bool good = true;
    for (size_t i = 0; i < FILES; i++) {
        const char *name = i < ARRAYS ? files[i].name : json_name;
        if (asprintf(&paths[i], "%s/%s", directory, name) < 0) {
            paths[i] = NULL;
            good = false;
        }
    }
    return good;
}

static void free_paths(char *paths[FILES]) {
    for (size_t i = 0; i < FILES; i++) {
        free(paths[i]);
    }
}

/* A save removes the JSON before it touches an array: the same JSON after the arrays have been read
 * as before says that they belong to it. */
static bool is_still(const char *path, const struct stat *before) {
    struct stat now;
    return stat(path, &now) == 0 && now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
           now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
           now.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

bool reference_load(reference **out, const char *directory, char *error, size_t error_bytes) {
    char *paths[FILES];
    reference *new = reference_new();
    bool good = join_paths(directory, paths) && new != NULL;
    if (!good) {
        reference_fail(error, error_bytes, "%s: out of memory", directory);
    }
    struct stat before = {0};
    if (good) {
        (void)stat(paths[ARRAYS], &before); /* that it is missing is for the reader to say */
    }
    good = good && reference_read_json(new, paths[ARRAYS], error, error_bytes) &&
           load_arrays(new, paths, error, error_bytes);
    if (good && !is_still(paths[ARRAYS], &before)) {
        good = reference_fail(error, error_bytes, "%s: was replaced while it was read", directory);
    }
    free_paths(paths);
    if (!good) {
        reference_close(new);
        new = NULL;
    }
    *out = new;
    return good;
}

/* What a save that was cut off leaves behind may be replaced: our files, and asides of them. */
static bool is_ours(const char *name) {
    static const char *const ours[] = {"mean.npy", "factor.npy", "trace.npy", json_name};
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        size_t length = strlen(ours[i]);
        if (strncmp(name, ours[i], length) == 0 &&
            (name[length] == '\0' || strncmp(name + length, ".tmp.", 5) == 0)) {
            return true;
        }
    }
    return false;
}

/* Makes the directory, or finds it empty, a reference already, or what is left of one. */
static bool prepare_directory(const char *directory, bool *made, char *error, size_t error_bytes) {
    *made = mkdir(directory, 0777) == 0;
    if (*made && aside_sync_parent(directory)) {
        return true;
    }
    if (errno != EEXIST) {
        return reference_fail(error, error_bytes, "%s: cannot make the directory: %s", directory,
                              strerror(errno));
    }
    DIR *entries = opendir(directory);
    if (entries == NULL) {
        return reference_fail(error, error_bytes, "%s: cannot open the directory: %s", directory,
                              strerror(errno));
    }
    bool foreign = false;
    bool is_reference = false;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        foreign = foreign || !is_ours(entry->d_name);
        is_reference = is_reference || strcmp(entry->d_name, json_name) == 0;
    }
    closedir(entries);
    if (foreign && !is_reference) {
        return reference_fail(error, error_bytes,
                              "%s: holds other files and no %s; a new, an empty or a reference "
                              "directory expected",
                              directory, json_name);
    }
    return true;
}

static bool write_json(aside *file, const char *path, const char *json) {
    return aside_open(file, path) && aside_write(file, json, strlen(json)) && aside_sync(file);
}

static bool write_array(aside *file, const char *path, const array_file *array) {
    return aside_open(file, path) &&
           npy_write(file, array->dtype, array->axes, array->shape, array->data) &&
           aside_sync(file);
}

/* A rename onto a directory fails when it is too late to turn back. */
static bool is_directory(const char *path) {
    struct stat facts;
    bool found = lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
    errno = found ? EISDIR : errno;
    return found;
}

/* All asides are on the disk before the first is committed. Without its JSON a directory is no
 * reference, so that a crash between two renames leaves an error, not a mixture. */
static bool write_files(const reference *reference, char *const paths[FILES], const char *json,
                        char *error, size_t error_bytes) {
    array_file arrays[ARRAYS];
    aside files[FILES] = {0};
    array_files(&reference->statistics, arrays);
    bool good = true;
    size_t at = 0;
    for (size_t i = 0; i < FILES && good; i++) {
        at = i;
        good = i < ARRAYS ? write_array(&files[i], paths[i], &arrays[i])
                          : write_json(&files[i], paths[i], json);
    }
    for (size_t i = 0; i < FILES && good; i++) {
        at = i;
        good = !is_directory(paths[i]);
    }
    good =
        good && (unlink(paths[ARRAYS]) == 0 || errno == ENOENT) && aside_sync_parent(paths[ARRAYS]);
    for (size_t i = 0; i < FILES && good; i++) {
        at = i;
        good = aside_commit(&files[i]);
    }
    if (!good) {
        reference_fail(error, error_bytes, "%s: cannot write: %s", paths[at], strerror(errno));
    }
    for (size_t i = 0; i < FILES; i++) {
        aside_close(&files[i]);
    }
    return good;
}

bool reference_save(const reference *reference, const char *directory, char *error,
                    size_t error_bytes) {
    char *paths[FILES];
    bool made = false;
    char *json = reference_encode_json(reference, error, error_bytes);
    bool joined = join_paths(directory, paths);
    if (json != NULL && !joined) {
        reference_fail(error, error_bytes, "%s: out of memory", directory);
    }
    bool good = json != NULL && joined && prepare_directory(directory, &made, error, error_bytes) &&
                write_files(reference, paths, json, error, error_bytes);
    if (!good && made) {
        rmdir(directory);
    }
    free_paths(paths);
    free(json);
    return good;
}

bool reference_save_json(const reference *reference, const char *directory, char *error,
                         size_t error_bytes) {
    char *paths[FILES];
    aside file = {0};
    char *json = reference_encode_json(reference, error, error_bytes);
    bool joined = join_paths(directory, paths);
    bool good = json != NULL;
    if (good && (!joined || access(paths[ARRAYS], F_OK) != 0)) {
        good =
            reference_fail(error, error_bytes, "%s: holds no %s to rewrite", directory, json_name);
    }
    if (good && !(write_json(&file, paths[ARRAYS], json) && aside_commit(&file))) {
        good = reference_fail(error, error_bytes, "%s: cannot write: %s", paths[ARRAYS],
                              strerror(errno));
    }
    aside_close(&file);
    free_paths(paths);
    free(json);
    return good;
}

const reference_threshold *reference_find_threshold(const reference *reference,
                                                    size_t window_rows) {
    for (size_t i = 0; i < reference->thresholds; i++) {
        if (reference->threshold[i].window_rows == window_rows) {
            return &reference->threshold[i];
        }
    }
    return NULL;
}

bool reference_set_threshold(reference *reference, reference_threshold threshold) {
    size_t i = 0;
    while (i < reference->thresholds &&
           reference->threshold[i].window_rows != threshold.window_rows) {
        i++;
    }
    if (i == REFERENCE_THRESHOLDS_MAX) {
        return false;
    }
    reference->threshold[i] = threshold;
    reference->thresholds += i == reference->thresholds;
    return true;
}

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
    FITTED = 3,       /* mean, factor, trace */
    ARRAYS = FITTED + REFERENCE_BENIGN_ARRAYS,
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

typedef struct {
    const char *name;
    npy_dtype dtype;
    size_t axes;
    size_t shape[AXES_MAX];
    const void *data;
} array_file;

static const char *const array_name[ARRAYS] = {
    "mean.npy",       "factor.npy",           "trace.npy",         "benign_mean.npy",
    "benign_var.npy", "benign_alignment.npy", "benign_excess.npy",
};

/* Returns how many of them there are. */
static size_t array_files(const reference *reference, array_file files[ARRAYS]) {
    const engine_reference *s = &reference->statistics;
    files[0] = (array_file){array_name[0], NPY_F32, 2, {s->classes, s->dim}, s->mean};
    files[1] = (array_file){array_name[1], NPY_F32, 3, {s->classes, s->dim, s->rank}, s->factor};
    files[2] = (array_file){array_name[2], NPY_F64, 1, {s->classes}, s->trace};
    const reference_benign *b = reference->benign;
    if (b == NULL) {
        return FITTED;
    }
    const evidence_options *e = &b->evidence;
    size_t alignments = e->alignment.first[e->alignment.lists];
    size_t excesses = e->excess.first[e->excess.lists];
    files[3] =
        (array_file){array_name[3], NPY_F64, 2, {s->classes, b->window.rungs}, b->window.mean};
    files[4] = (array_file){array_name[4], NPY_F64, 2, {s->classes, b->window.rungs}, b->variance};
    files[5] = (array_file){array_name[5], NPY_F32, 1, {alignments}, e->alignment.value};
    files[6] = (array_file){array_name[6], NPY_F32, 1, {excesses}, e->excess.value};
    return ARRAYS;
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
    array_files(reference, files);
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
        reference_benign_close(reference->benign);
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

static bool check_arrays(reference *reference, char *const paths[ARRAYS], char *error,
                         size_t error_bytes) {
    reference_origin origin = {paths[0], paths[1], paths[2]};
    bool good = true;
    for (size_t c = 0; c < reference->statistics.classes && good; c++) {
        good = reference_check_class(&reference->statistics, c, &origin, error, error_bytes);
    }
    if (reference->benign != NULL) {
        reference->statistics.benign = &reference->benign->window;
        good =
            good && reference_benign_check(reference->benign, paths + FITTED, error, error_bytes);
    }
    return good;
}

/* The files are opened before memory is taken, so that sizes the JSON made up cost nothing. */
static bool load_arrays(reference *reference, char *const paths[ARRAYS], char *error,
                        size_t error_bytes) {
    array_file files[ARRAYS];
    npy arrays[ARRAYS] = {0};
    bool good = true;
    size_t count = array_files(reference, files);
    for (size_t i = 0; i < count && good; i++) {
        good = open_array(&arrays[i], &files[i], paths[i], error, error_bytes);
    }
    if (good && !(reference_allocate(reference) &&
                  (reference->benign == NULL || reference_benign_allocate(reference->benign)))) {
        good = reference_fail(error, error_bytes, "out of memory for the reference's arrays");
    }
    if (good) {
        array_files(reference, files);
        for (size_t i = 0; i < count; i++) {
            memcpy((void *)files[i].data, arrays[i].data, array_bytes(&files[i]));
        }
    }
    for (size_t i = 0; i < count; i++) {
        npy_close(&arrays[i]);
    }
    return good && check_arrays(reference, paths, error, error_bytes);
}

/* Paths of the arrays and, last, of the JSON. */
static bool join_paths(const char *directory, char *paths[FILES]) {
    bool good = true;
    for (size_t i = 0; i < FILES; i++) {
        const char *name = i < ARRAYS ? array_name[i] : json_name;
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
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return true;
    }
    for (size_t i = 0; i < FILES; i++) {
        const char *ours = i < ARRAYS ? array_name[i] : json_name;
        size_t length = strlen(ours);
        if (strncmp(name, ours, length) == 0 &&
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

/* Arrays from `first` on, and the JSON. Those that the reference has not are left out. */
typedef struct {
    const reference *reference;
    const char *json;
    char **paths; /* [FILES] */
    size_t first;
} save;

static bool write_asides(const save *save, aside files[FILES], size_t *at) {
    array_file arrays[ARRAYS];
    size_t count = array_files(save->reference, arrays);
    bool good = true;
    for (size_t i = save->first; i < count && good; i++) {
        *at = i;
        good = write_array(&files[i], save->paths[i], &arrays[i]) && !is_directory(save->paths[i]);
    }
    if (good) {
        *at = ARRAYS;
        good = write_json(&files[ARRAYS], save->paths[ARRAYS], save->json) &&
               !is_directory(save->paths[ARRAYS]);
    }
    return good;
}

/* All asides are on the disk before the first is committed. Without its JSON a directory is no
 * reference, so that a crash between two renames leaves an error, not a mixture. */
static bool write_files(const save *save, char *error, size_t error_bytes) {
    aside files[FILES] = {0};
    array_file arrays[ARRAYS];
    size_t at = ARRAYS;
    size_t count = array_files(save->reference, arrays);
    bool good = write_asides(save, files, &at) &&
                (unlink(save->paths[ARRAYS]) == 0 || errno == ENOENT) &&
                aside_sync_parent(save->paths[ARRAYS]);
    for (size_t i = save->first; i < FILES && good; i++) {
        at = i;
        good = i < count || i == ARRAYS ? aside_commit(&files[i])
                                        : unlink(save->paths[i]) == 0 || errno == ENOENT;
    }
    if (!good) {
        reference_fail(error, error_bytes, "%s: cannot write: %s", save->paths[at],
                       strerror(errno));
    }
    for (size_t i = 0; i < FILES; i++) {
        aside_close(&files[i]);
    }
    return good;
}

static bool save_from(const reference *reference, size_t first, const char *directory, char *error,
                      size_t error_bytes) {
    char *paths[FILES];
    bool made = false;
    char *json = reference_encode_json(reference, error, error_bytes);
    bool joined = join_paths(directory, paths);
    bool good = json != NULL;
    if (good && !joined) {
        good = reference_fail(error, error_bytes, "%s: out of memory", directory);
    }
    if (good && first == 0) {
        good = prepare_directory(directory, &made, error, error_bytes);
    } else if (good && access(paths[ARRAYS], F_OK) != 0) {
        good =
            reference_fail(error, error_bytes, "%s: holds no %s to rewrite", directory, json_name);
    }
    good = good && write_files(&(save){reference, json, paths, first}, error, error_bytes);
    if (!good && made) {
        rmdir(directory);
    }
    free_paths(paths);
    free(json);
    return good;
}

bool reference_save(const reference *reference, const char *directory, char *error,
                    size_t error_bytes) {
    return save_from(reference, 0, directory, error, error_bytes);
}

bool reference_save_calibration(const reference *reference, const char *directory, char *error,
                                size_t error_bytes) {
    return save_from(reference, FITTED, directory, error, error_bytes);
}

bool reference_set_benign(reference *reference, reference_benign *benign, char *error,
                          size_t error_bytes) {
    char *const names[REFERENCE_BENIGN_ARRAYS] = {"benign mean", "benign variance",
                                                  "honest alignments", "honest excesses"};
    if (!reference_benign_check(benign, names, error, error_bytes)) {
        return false;
    }
    reference_benign_close(reference->benign);
    reference->benign = benign;
    reference->statistics.benign = &benign->window;
    return true;
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

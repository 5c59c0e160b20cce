/*
 * reference_fixture.c - the folder and files of the reference tests.
 */
#include "reference_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATHS = 8, PATH_BYTES = 256 };

char fixture_error[FIXTURE_ERROR_BYTES];
static char folder[] = "/tmp/adder-reference-XXXXXX";
static char paths[PATHS][PATH_BYTES];
static size_t path_next;

void fixture_open(void) {
    cr_assert_not_null(mkdtemp(folder));
}

static int remove_one(const char *name, const struct stat *facts, int kind, struct FTW *at) {
    (void)facts;
    (void)kind;
    (void)at;
    return remove(name);
}

void fixture_close(void) {
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fixture_path(const char *name) {
    char *path = paths[path_next++ % PATHS];
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return path;
}

bool fixture_exists(const char *name) {
    struct stat facts;
    return lstat(fixture_path(name), &facts) == 0;
}

size_t fixture_entries(const char *name) {
    DIR *entries = opendir(fixture_path(name));
    cr_assert_not_null(entries);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(entries);
    return count;
}

void fixture_expect_error(const char *text) {
    cr_assert_null(strchr(fixture_error, '\n'), "more than a line: %s", fixture_error);
    cr_assert_not_null(strstr(fixture_error, text), "'%s' lacks '%s'", fixture_error, text);
    memset(fixture_error, 0, sizeof(fixture_error));
}

void fixture_save(const char *name, npy_dtype dtype, const size_t shape[3], const void *data) {
    size_t axes = 0;
    while (axes < 3 && shape[axes] > 0) {
        axes++;
    }
    cr_assert(
        npy_save(fixture_path(name), dtype, axes, shape, data, fixture_error, FIXTURE_ERROR_BYTES),
        "%s", fixture_error);
}

void fixture_write(const char *name, const void *bytes, size_t count) {
    FILE *file = fopen(fixture_path(name), "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, count, file), count);
    cr_assert_eq(fclose(file), 0);
}

fixture_rows fixture_make_rows(size_t count, size_t dim, size_t classes) {
    fixture_rows rows = {.count = count, .dim = dim, .labels_count = count};
    rows.embeddings = calloc(count * dim, sizeof(float));
    rows.labels = calloc(count, sizeof(int32_t));
    uint64_t state = 7;
    for (size_t i = 0; i < count * dim; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        rows.embeddings[i] = (float)(state >> 40) * 0x1p-24f + (float)(i % dim);
    }
    for (size_t i = 0; i < count; i++) {
        rows.labels[i] = (int32_t)(i % classes);
    }
    return rows;
}

void fixture_save_rows(const fixture_rows *rows) {
    size_t shape[] = {rows->count, rows->dim};
    cr_assert(npy_save(fixture_path("e.npy"), NPY_F32, 2, shape, rows->embeddings, fixture_error,
                       FIXTURE_ERROR_BYTES));
    cr_assert(npy_save(fixture_path("l.npy"), NPY_I32, 1, &rows->labels_count, rows->labels,
                       fixture_error, FIXTURE_ERROR_BYTES));
}

void fixture_free_rows(fixture_rows *rows) {
    free(rows->embeddings);
    free(rows->labels);
    *rows = (fixture_rows){0};
}

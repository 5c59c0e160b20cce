/*
 * fuzz_reference.c - a reference directory: loaded, saved, loaded again, and served by an engine.
 */
#include "fuzz_reference.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "npy.h"
#include "reference.h"
#include "reference_input.h"

enum { ERROR_BYTES = 2048, ENGINE_CELLS_MAX = 1 << 16 };

static char folder[FUZZ_FOLDERS][FUZZ_PATH_BYTES];

static void remove_folders(void) {
    for (size_t i = 0; i < FUZZ_FOLDERS; i++) {
        for (size_t k = 0; k < INPUT_FILES && folder[i][0] != '\0'; k++) {
            char path[2 * FUZZ_PATH_BYTES];
            snprintf(path, sizeof path, "%s/%s", folder[i], input_name[k]);
            unlink(path);
        }
        rmdir(folder[i]);
    }
}

const char *fuzz_reference_folder(unsigned which) {
    if (folder[which][0] == '\0') {
        const char *in = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir;
        if (folder[1 - which][0] == '\0') {
            atexit(remove_folders);
        }
        snprintf(folder[which], FUZZ_PATH_BYTES, "%s/fuzz-reference-XXXXXX", in);
        FUZZ_EXPECT(mkdtemp(folder[which]) != NULL);
    }
    return folder[which];
}

/* ---- an input as a directory ---- */

static void write_file(const char *path, const input_file *file) {
    size_t stored = input_stored(file);
    unlink(path);
    if (file->length == INPUT_MISSING) {
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_EXPECT(fd >= 0 && (stored == 0 || write(fd, file->bytes, stored) == (ssize_t)stored));
    close(fd);
}

static void write_directory(const input *in) {
    const input *base = input_base(in->base);
    for (size_t i = 0; i < INPUT_FILES; i++) {
        char path[2 * FUZZ_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", fuzz_reference_folder(FUZZ_FOLDER_LOADED),
                 input_name[i]);
        write_file(path, in->file[i].length == 0 ? &base->file[i] : &in->file[i]);
    }
}

/* ---- what was loaded ---- */

static void expect_numbers(const reference *r) {
    const engine_reference *s = &r->statistics;
    FUZZ_EXPECT(s->dim >= 1 && s->classes >= 1 && s->rank >= 1 && s->rank <= s->dim);
    FUZZ_EXPECT(r->window_rows >= 1 && r->window_rows <= ENGINE_WINDOW_MAX);
    FUZZ_EXPECT(r->memory_rank <= ENGINE_MEMORY_RANK_MAX && r->half_life_rows >= 0);
    FUZZ_EXPECT(r->thresholds <= REFERENCE_THRESHOLDS_MAX && r->model[0] != '\0');
    for (size_t i = 0; i < s->classes * s->dim; i++) {
        FUZZ_EXPECT(fabsf(s->mean[i]) <= REFERENCE_VALUE_MAX);
    }
    for (size_t i = 0; i < s->classes * s->dim * s->rank; i++) {
        FUZZ_EXPECT(fabsf(s->factor[i]) <= REFERENCE_VALUE_MAX);
    }
    for (size_t c = 0; c < s->classes; c++) {
        FUZZ_EXPECT(isfinite(s->trace[c]) && s->trace[c] >= 0);
    }
    FUZZ_EXPECT((r->benign == NULL) == (s->benign == NULL));
}

/* What is held is what stands in the file, all of it. */
static void expect_file(size_t which, const void *held, size_t count) {
    char path[2 * FUZZ_PATH_BYTES], error[ERROR_BYTES];
    npy array;
    snprintf(path, sizeof path, "%s/%s", fuzz_reference_folder(FUZZ_FOLDER_LOADED),
             input_name[which]);
    FUZZ_EXPECT(npy_open(&array, path, error, sizeof error));
    FUZZ_EXPECT(array.count == count);
    FUZZ_EXPECT(memcmp(array.data, held, count * npy_dtype_bytes(array.dtype)) == 0);
    npy_close(&array);
}

static void expect_files(const reference *r) {
    const engine_reference *s = &r->statistics;
    expect_file(INPUT_MEAN, s->mean, s->classes * s->dim);
    expect_file(INPUT_FACTOR, s->factor, s->classes * s->dim * s->rank);
    expect_file(INPUT_TRACE, s->trace, s->classes);
    if (r->benign == NULL) {
        return;
    }
    const evidence_options *e = &r->benign->evidence;
    size_t cells = s->classes * s->benign->rungs;
    expect_file(INPUT_BENIGN_MEAN, s->benign->mean, cells);
    expect_file(INPUT_BENIGN_VAR, r->benign->variance, cells);
    expect_file(INPUT_ALIGNMENT, e->alignment.value, e->alignment.first[e->alignment.lists]);
    expect_file(INPUT_EXCESS, e->excess.value, e->excess.first[e->excess.lists]);
}

static bool same(const void *a, const void *b, size_t bytes) {
    return memcmp(a, b, bytes) == 0;
}

static void expect_same(const reference *a, const reference *b) {
    const engine_reference *x = &a->statistics, *y = &b->statistics;
    size_t rows = x->classes * x->dim;
    FUZZ_EXPECT(x->dim == y->dim && x->classes == y->classes && x->rank == y->rank);
    FUZZ_EXPECT(same(x->mean, y->mean, rows * sizeof(float)) &&
                same(x->factor, y->factor, rows * x->rank * sizeof(float)) &&
                same(x->trace, y->trace, x->classes * sizeof(double)));
    FUZZ_EXPECT(strcmp(a->model, b->model) == 0 && strcmp(a->made, b->made) == 0);
    FUZZ_EXPECT(a->window_rows == b->window_rows && a->memory_rank == b->memory_rank &&
                a->thresholds == b->thresholds);
    FUZZ_EXPECT(same(&a->half_life_rows, &b->half_life_rows, sizeof(double)));
    FUZZ_EXPECT((a->counts == NULL) == (b->counts == NULL));
    FUZZ_EXPECT(a->counts == NULL || same(a->counts, b->counts, x->classes * sizeof(size_t)));
    FUZZ_EXPECT((a->benign == NULL) == (b->benign == NULL));
    if (a->benign != NULL) {
        size_t cells = x->classes * x->benign->rungs;
        FUZZ_EXPECT(x->benign->rungs == y->benign->rungs);
        FUZZ_EXPECT(same(x->benign->rung, y->benign->rung, x->benign->rungs * sizeof(double)));
        FUZZ_EXPECT(same(x->benign->deviation, y->benign->deviation, cells * sizeof(double)));
    }
}

static void save_and_load_again(const reference *loaded) {
    char error[ERROR_BYTES] = "";
    reference *again;
    const char *to = fuzz_reference_folder(FUZZ_FOLDER_SAVED);
    FUZZ_EXPECT(reference_save(loaded, to, error, sizeof error));
    FUZZ_EXPECT(reference_load(&again, to, error, sizeof error));
    expect_same(loaded, again);
    reference_close(again);
}

/* A daemon opens an engine and rules with it; two rows at a class's mean and off it are scored. */
static void serve(const reference *r) {
    const engine_reference *s = &r->statistics;
    char error[ERROR_BYTES] = "";
    engine *engine;
    engine_options options = {.name = "cpu",
                              .window_rows = 2,
                              .memory_rank = 1,
                              .half_life_rows = r->half_life_rows,
                              .memory_blocks = 2,
                              .slots_max = 1,
                              .batch_rows_max = 2,
                              .threads = 1};
    FUZZ_EXPECT(engine_open(&engine, s, &options, error, sizeof error) == ENGINE_OK);
    float *off = calloc(s->dim, sizeof *off);
    FUZZ_EXPECT(off != NULL);
    off[0] = 1;
    const unsigned char *rows[] = {(const unsigned char *)s->mean, (const unsigned char *)off};
    const uint32_t classes[] = {0, (uint32_t)s->classes - 1};
    float alignments[2];
    engine_result result;
    engine_batch batch = {.rows = 2,
                          .embeddings = rows,
                          .classes = classes,
                          .observations = 1,
                          .observation = &(engine_observation){.slot = 0, .row_count = 2},
                          .results = &result,
                          .alignments = alignments};
    FUZZ_EXPECT(engine_submit(engine, &batch) == ENGINE_OK);
    FUZZ_EXPECT(engine_collect(engine) == ENGINE_OK);
    FUZZ_EXPECT(isfinite(result.score) && result.fill == 2);
    FUZZ_EXPECT(fabsf(alignments[0]) <= 1.001f && fabsf(alignments[1]) <= 1.001f);
    free(off);
    engine_close(engine);
    if (r->benign != NULL) {
        evidence_rules *rules = evidence_open(&r->benign->evidence);
        FUZZ_EXPECT(rules != NULL);
        evidence_close(rules);
    }
}

bool fuzz_take(const unsigned char *bytes, size_t size) {
    char error[ERROR_BYTES] = "";
    reference *loaded;
    input in = input_split(bytes, size);
    write_directory(&in);
    if (!reference_load(&loaded, fuzz_reference_folder(FUZZ_FOLDER_LOADED), error, sizeof error)) {
        FUZZ_EXPECT(loaded == NULL);
        fuzz_expect_line(error, sizeof error);
        return false;
    }
    expect_numbers(loaded);
    expect_files(loaded);
    save_and_load_again(loaded);
    if (loaded->statistics.classes * loaded->statistics.dim <= ENGINE_CELLS_MAX) {
        serve(loaded);
    }
    reference_close(loaded);
    return true;
}

/* ---- seeds ---- */

static void seed(const char *name, const input *in) {
    static uint8_t bytes[1 << 16];
    size_t size = input_join(in, bytes, sizeof bytes);
    FUZZ_EXPECT(size > 0);
    fuzz_seed(name, bytes, size);
}

/* Each base as it is; with its JSON written out; with all of its files. */
void fuzz_seeds(void) {
    for (unsigned base = 0; base < REFERENCE_BASES; base++) {
        char name[32];
        input in = {.base = base};
        snprintf(name, sizeof name, "base-%u", base);
        seed(name, &in);
        in.file[INPUT_JSON] = input_base(base)->file[INPUT_JSON];
        snprintf(name, sizeof name, "json-%u", base);
        seed(name, &in);
        snprintf(name, sizeof name, "whole-%u", base);
        seed(name, input_base(base));
    }
}

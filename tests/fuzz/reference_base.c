/*
 * reference_base.c - the valid references behind the inputs, as reference_save writes them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "fuzz_reference.h"
#include "reference_input.h"
#include "reference_parts.h"

enum { ERROR_BYTES = 1024, FILE_BYTES_MAX = 4096, KINDS = 2, RUNGS = 2, LIST = 2 };

typedef struct {
    size_t dim, classes, rank;
    bool has_benign;
} shape;
static const shape shapes[REFERENCE_BASES] = {{3, 2, 2, true}, {2, 3, 2, false}, {1, 1, 1, true}};

/* Factors of ones: the square sum of a class is the trace. */
static reference *make_fitted(const shape *s) {
    reference *r = reference_new();
    FUZZ_EXPECT(r != NULL);
    r->statistics.dim = s->dim;
    r->statistics.classes = s->classes;
    r->statistics.rank = s->rank;
    FUZZ_EXPECT(reference_allocate(r));
    snprintf(r->model, sizeof r->model, "m");
    snprintf(r->made, sizeof r->made, "by hand");
    float *factor = (float *)(uintptr_t)r->statistics.factor;
    double *trace = (double *)(uintptr_t)r->statistics.trace;
    r->counts = calloc(s->classes, sizeof *r->counts);
    FUZZ_EXPECT(r->counts != NULL);
    for (size_t i = 0; i < s->classes * s->dim * s->rank; i++) {
        factor[i] = 1;
    }
    for (size_t c = 0; c < s->classes; c++) {
        trace[c] = (double)(s->dim * s->rank);
        r->counts[c] = 9;
    }
    FUZZ_EXPECT(reference_set_threshold(
        r, (reference_threshold){.window_rows = 4, .fpr = 0.01, .threshold = 5, .rows = 100}));
    return r;
}

/* `LIST` values in each list, rising. */
static void fill_lists(const evidence_honest *honest) {
    float *value = (float *)(uintptr_t)honest->value;
    for (size_t i = 0; i < honest->lists * LIST; i++) {
        value[i] = (float)(i % LIST) / LIST;
    }
}

static void set_lengths(const evidence_honest *honest) {
    size_t *first = (size_t *)(uintptr_t)honest->first;
    for (size_t i = 0; i <= honest->lists; i++) {
        first[i] = i * LIST;
    }
}

static void add_benign(reference *r) {
    char error[ERROR_BYTES];
    size_t classes = r->statistics.classes;
    reference_benign *b = reference_benign_new(classes, KINDS, RUNGS);
    FUZZ_EXPECT(b != NULL);
    evidence_options *e = &b->evidence;
    b->false_alarms = b->fpr = 0.01;
    b->queries = 10000;
    b->rows = 500;
    e->window_rows = 4;
    e->rows_per_class = 50;
    e->tolerance_deviations = 2;
    e->window_limit = 1;
    for (size_t i = 0; i < EVIDENCE_SHARES; i++) {
        e->limit[EVIDENCE_ROWS][i] = e->limit[EVIDENCE_WINDOWS][i] = 10;
    }
    set_lengths(&e->alignment);
    set_lengths(&e->excess);
    FUZZ_EXPECT(reference_benign_allocate(b));
    fill_lists(&e->alignment);
    fill_lists(&e->excess);
    for (size_t i = 0; i < RUNGS; i++) {
        ((double *)(uintptr_t)b->window.rung)[i] = (double)(1 + i);
    }
    for (size_t i = 0; i < classes * RUNGS; i++) {
        ((double *)(uintptr_t)b->window.mean)[i] = 1;
        b->variance[i] = 0.25;
    }
    FUZZ_EXPECT(reference_set_benign(r, b, error, sizeof error));
}

static void read_file(const char *directory, input_file *file, const char *name) {
    char path[FUZZ_PATH_BYTES];
    uint8_t *bytes = malloc(FILE_BYTES_MAX);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    file->length = INPUT_MISSING;
    if (fd >= 0) {
        ssize_t got = read(fd, bytes, FILE_BYTES_MAX);
        FUZZ_EXPECT(got > 0 && got < FILE_BYTES_MAX);
        file->length = (size_t)got;
        close(fd);
    }
    file->bytes = bytes;
}

const input *input_base(unsigned base) {
    static input made[REFERENCE_BASES];
    input *in = &made[base % REFERENCE_BASES];
    const shape *s = &shapes[base % REFERENCE_BASES];
    if (in->file[INPUT_JSON].bytes != NULL) {
        return in;
    }
    char error[ERROR_BYTES] = "";
    const char *folder = fuzz_reference_folder(FUZZ_FOLDER_SAVED);
    reference *r = make_fitted(s);
    if (s->has_benign) {
        add_benign(r);
    }
    FUZZ_EXPECT(reference_save(r, folder, error, sizeof error));
    reference_close(r);
    in->base = base % REFERENCE_BASES;
    for (size_t i = 0; i < INPUT_FILES; i++) {
        read_file(folder, &in->file[i], input_name[i]);
    }
    return in;
}

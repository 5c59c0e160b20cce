/*
 * reference_json.c - reference.json, read with every member's type and range checked, and written.
 */
#include "reference_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "members.h"

enum { FORMAT = 1 };

static const char json_what[] = "reference.json to be written";

static bool get_counts(const members *in, const json_t *root, reference *reference) {
    if (json_object_get(root, "counts") == NULL) {
        return true;
    }
    size_t classes = reference->statistics.classes;
    reference->counts = calloc(classes, sizeof(*reference->counts));
    if (reference->counts == NULL) {
        return members_fail(in, "%s: out of memory", in->path);
    }
    return members_counts(in, root, "counts", reference->counts, classes);
}

static bool get_threshold(const members *in, const json_t *object, reference *reference) {
    reference_threshold one = {0};
    if (!json_is_object(object)) {
        return members_fail(in, "%s: \"thresholds\": an array of objects expected", in->path);
    }
    const members_of_size sizes[] = {
        {.key = "window", .min = 1, .max = ENGINE_WINDOW_MAX, .to = &one.window_rows},
        {.key = "windows", .max = MEMBERS_COUNT_MAX, .to = &one.windows},
        {.key = "rows", .max = MEMBERS_COUNT_MAX, .to = &one.rows},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (!members_size(in, object, sizes[i])) {
            return false;
        }
    }
    members_of_number fpr = {.key = "fpr", .max = 1, .to = &one.fpr};
    members_of_number raw = {.key = "threshold", .min = -1e300, .max = 1e300, .to = &one.threshold};
    if (!members_number(in, object, fpr) || !members_number(in, object, raw)) {
        return false;
    }
    if (reference_find_threshold(reference, one.window_rows) != NULL) {
        return members_fail(in, "%s: \"thresholds\" has window %zu twice", in->path,
                            one.window_rows);
    }
    return reference_set_threshold(reference, one);
}

static bool get_thresholds(const members *in, const json_t *root, reference *reference) {
    const json_t *all = json_object_get(root, "thresholds");
    if (all == NULL) {
        return true;
    }
    if (!json_is_array(all) || json_array_size(all) > REFERENCE_THRESHOLDS_MAX) {
        return members_fail(in, "%s: \"thresholds\" is not an array of at most %d objects",
                            in->path, (int)REFERENCE_THRESHOLDS_MAX);
    }
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (!get_threshold(in, json_array_get(all, i), reference)) {
            return false;
        }
    }
    return true;
}

static bool decode(const members *in, const json_t *root, reference *out) {
    if (!json_is_object(root)) {
        return members_fail(in, "%s: a JSON object expected", in->path);
    }
    engine_reference *shape = &out->statistics;
    size_t format;
    const members_of_size sizes[] = {
        {.key = "format", .min = FORMAT, .max = FORMAT, .to = &format},
        {.key = "dim", .min = 1, .max = ENGINE_DIM_MAX, .to = &shape->dim},
        {.key = "classes", .min = 1, .max = ENGINE_CLASSES_MAX, .to = &shape->classes},
        {"window", 1, ENGINE_WINDOW_MAX, &out->window_rows, true},
        {"memory_rank", 0, ENGINE_MEMORY_RANK_MAX, &out->memory_rank, true},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (!members_size(in, root, sizes[i])) {
            return false;
        }
    }
    members_of_size rank = {.key = "rank", .min = 1, .max = shape->dim, .to = &shape->rank};
    members_of_number half_life = {"half_life", 0, REFERENCE_HALF_LIFE_MAX, &out->half_life_rows,
                                   true};
    members_of_text model = {"model", 1, REFERENCE_MODEL_BYTES_MAX, out->model, false};
    members_of_text made = {"made", 0, REFERENCE_MADE_BYTES_MAX, out->made, true};
    return members_size(in, root, rank) && members_number(in, root, half_life) &&
           members_text(in, root, model) && members_text(in, root, made) &&
           get_counts(in, root, out) && get_thresholds(in, root, out) &&
           reference_benign_decode(in, root, out);
}

/* Reads to the end, or to the size it was opened with. */
static bool read_all(int fd, char *bytes, size_t size, size_t *used) {
    *used = 0;
    while (*used < size) {
        ssize_t got = read(fd, bytes + *used, size - *used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return false;
        }
        if (got == 0) {
            break;
        }
        *used += (size_t)got;
    }
    return true;
}

/* Text for free(), or NULL. */
static char *read_file(const members *in, size_t *used) {
    int fd = open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        members_fail(in, "%s: cannot open: %s", in->path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        members_fail(in, "%s: not a regular file", in->path);
    } else if (facts.st_size > REFERENCE_JSON_BYTES_MAX) {
        members_fail(in, "%s: more than %d bytes", in->path, (int)REFERENCE_JSON_BYTES_MAX);
    } else if ((text = malloc((size_t)facts.st_size + 1)) == NULL) {
        members_fail(in, "%s: out of memory", in->path);
    } else if (!read_all(fd, text, (size_t)facts.st_size, used)) {
        members_fail(in, "%s: cannot read: %s", in->path, strerror(errno));
        free(text);
        text = NULL;
    }
    close(fd);
    return text;
}

/* jansson quotes the file in its messages; a terminal must not see what stands there. */
static void clean_line(char *text) {
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            *text = '?';
        }
    }
}

bool reference_read_json(reference *reference, const char *path, char *error, size_t error_bytes) {
    members in = {.path = path, .error = error, .error_bytes = error_bytes};
    size_t used;
    char *text = read_file(&in, &used);
    if (text == NULL) {
        return false;
    }
    json_error_t why;
    json_t *root = json_loadb(text, used, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (root == NULL) {
        clean_line(why.text);
        return reference_fail(error, error_bytes, "%s: not JSON: line %d: %s", path, why.line,
                              why.text);
    }
    bool decoded = decode(&in, root, reference);
    json_decref(root);
    return decoded;
}

static bool encode_thresholds(const reference *reference, json_t *all) {
    bool good = true;
    for (size_t i = 0; i < reference->thresholds; i++) {
        const reference_threshold *one = &reference->threshold[i];
        json_t *object =
            json_pack("{s:I, s:f, s:f, s:I, s:I}", "window", (json_int_t)one->window_rows, "fpr",
                      one->fpr, "threshold", one->threshold, "windows", (json_int_t)one->windows,
                      "rows", (json_int_t)one->rows);
        good = json_array_append_new(all, object) == 0 && good;
    }
    return good;
}

static bool encode_counts(const reference *reference, json_t *root) {
    if (reference->counts == NULL) {
        return true;
    }
    json_t *counts = json_array();
    bool good = json_object_set_new(root, "counts", counts) == 0;
    for (size_t i = 0; i < reference->statistics.classes && good; i++) {
        json_t *count = json_integer((json_int_t)reference->counts[i]);
        good = json_array_append_new(counts, count) == 0;
    }
    return good;
}

/* What would not load must not be saved. */
static bool check_loads(const json_t *root, char *error, size_t error_bytes) {
    members in = {.path = json_what, .error = error, .error_bytes = error_bytes};
    reference *scratch = reference_new();
    bool good = scratch != NULL ? decode(&in, root, scratch) : members_fail(&in, "out of memory");
    reference_close(scratch);
    return good;
}

char *reference_encode_json(const reference *reference, char *error, size_t error_bytes) {
    const engine_reference *shape = &reference->statistics;
    char *text = NULL;
    reference_fail(error, error_bytes, "%s: a text is not UTF-8, a number not finite, or no memory",
                   json_what);
    json_t *root = json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:[], s:s}", "format",
                             FORMAT, "model", reference->model, "dim", (json_int_t)shape->dim,
                             "classes", (json_int_t)shape->classes, "rank", (json_int_t)shape->rank,
                             "window", (json_int_t)reference->window_rows, "memory_rank",
                             (json_int_t)reference->memory_rank, "half_life",
                             reference->half_life_rows, "thresholds", "made", reference->made);
    if (root != NULL && encode_thresholds(reference, json_object_get(root, "thresholds")) &&
        encode_counts(reference, root) && reference_benign_encode(reference, root) &&
        check_loads(root, error, error_bytes)) {
        /* 17 digits bring every double back exactly. */
        text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    }
    json_decref(root);
    return text;
}

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

enum { FORMAT = 1 };
/* Larger counts would not survive a JSON reader that knows only doubles. */
#define COUNT_MAX ((size_t)1 << 53)

static const char json_what[] = "reference.json to be written";

typedef struct {
    const char *path;
    char *error;
    size_t error_bytes;
} decoder;

#define FAIL(in, ...) reference_fail((in)->error, (in)->error_bytes, __VA_ARGS__)

typedef struct {
    const char *key;
    size_t min;
    size_t max;
    size_t *to;
    bool optional; /* absent: *to is left as it is */
} size_member;

static bool get_size(const decoder *in, const json_t *object, size_member member) {
    const json_t *value = json_object_get(object, member.key);
    if (value == NULL && member.optional) {
        return true;
    }
    json_int_t number = json_integer_value(value); /* 0 for anything else, NULL included */
    if (!json_is_integer(value) || number < 0 || (size_t)number < member.min ||
        (size_t)number > member.max) {
        return FAIL(in, "%s: \"%s\" is %s; an integer %zu..%zu expected", in->path, member.key,
                    value == NULL            ? "missing"
                    : json_is_integer(value) ? "out of range"
                                             : "not an integer",
                    member.min, member.max);
    }
    *member.to = (size_t)number;
    return true;
}

typedef struct {
    const char *key;
    double min;
    double max;
    double *to;
    bool optional;
} number_member;

static bool get_number(const decoder *in, const json_t *object, number_member member) {
    const json_t *value = json_object_get(object, member.key);
    if (value == NULL && member.optional) {
        return true;
    }
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= member.min && number <= member.max)) {
        return FAIL(in, "%s: \"%s\" is %s; a number from %g to %g expected", in->path, member.key,
                    value == NULL           ? "missing"
                    : json_is_number(value) ? "out of range"
                                            : "not a number",
                    member.min, member.max);
    }
    *member.to = number;
    return true;
}

bool reference_text_is_clean(const char *text) {
    json_t *utf8 = json_string(text); /* NULL for what is not UTF-8 */
    if (utf8 == NULL) {
        return false;
    }
    json_decref(utf8);
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
        if (*at < ' ' || *at == 0x7f || c1) {
            return false;
        }
    }
    return true;
}

typedef struct {
    const char *key;
    size_t bytes_min;
    size_t bytes_max; /* without the null; `to` has one more */
    char *to;
    bool optional;
} text_member;

static bool get_text(const decoder *in, const json_t *object, text_member member) {
    const json_t *value = json_object_get(object, member.key);
    if (value == NULL && member.optional) {
        return true;
    }
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length < member.bytes_min || length > member.bytes_max ||
        !reference_text_is_clean(json_string_value(value))) {
        return FAIL(in, "%s: \"%s\": a text of %zu..%zu bytes without control characters expected",
                    in->path, member.key, member.bytes_min, member.bytes_max);
    }
    memcpy(member.to, json_string_value(value), length + 1);
    return true;
}

static bool get_counts(const decoder *in, const json_t *root, reference *reference) {
    const json_t *counts = json_object_get(root, "counts");
    if (counts == NULL) {
        return true;
    }
    size_t classes = reference->statistics.classes;
    if (!json_is_array(counts) || json_array_size(counts) != classes) {
        return FAIL(in, "%s: \"counts\" is not an array of %zu integers", in->path, classes);
    }
    reference->counts = calloc(classes, sizeof(*reference->counts));
    if (reference->counts == NULL) {
        return FAIL(in, "%s: out of memory", in->path);
    }
    for (size_t i = 0; i < classes; i++) {
        const json_t *count = json_array_get(counts, i);
        json_int_t value = json_integer_value(count);
        if (!json_is_integer(count) || value < 0 || (size_t)value > COUNT_MAX) {
            return FAIL(in, "%s: \"counts\", class %zu: an integer 0..%zu expected", in->path, i,
                        COUNT_MAX);
        }
        reference->counts[i] = (size_t)value;
    }
    return true;
}

static bool get_threshold(const decoder *in, const json_t *object, reference *reference) {
    reference_threshold one = {0};
    if (!json_is_object(object)) {
        return FAIL(in, "%s: \"thresholds\": an array of objects expected", in->path);
    }
    const size_member sizes[] = {
        {.key = "window", .min = 1, .max = ENGINE_WINDOW_MAX, .to = &one.window_rows},
        {.key = "windows", .max = COUNT_MAX, .to = &one.windows},
        {.key = "rows", .max = COUNT_MAX, .to = &one.rows},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (!get_size(in, object, sizes[i])) {
            return false;
        }
    }
    number_member fpr = {.key = "fpr", .max = 1, .to = &one.fpr};
    number_member raw = {.key = "threshold", .min = -1e300, .max = 1e300, .to = &one.threshold};
    if (!get_number(in, object, fpr) || !get_number(in, object, raw)) {
        return false;
    }
    if (reference_find_threshold(reference, one.window_rows) != NULL) {
        return FAIL(in, "%s: \"thresholds\" has window %zu twice", in->path, one.window_rows);
    }
    return reference_set_threshold(reference, one);
}

static bool get_thresholds(const decoder *in, const json_t *root, reference *reference) {
    const json_t *all = json_object_get(root, "thresholds");
    if (all == NULL) {
        return true;
    }
    if (!json_is_array(all) || json_array_size(all) > REFERENCE_THRESHOLDS_MAX) {
        return FAIL(in, "%s: \"thresholds\" is not an array of at most %d objects", in->path,
                    (int)REFERENCE_THRESHOLDS_MAX);
    }
    for (size_t i = 0; i < json_array_size(all); i++) {
        if (!get_threshold(in, json_array_get(all, i), reference)) {
            return false;
        }
    }
    return true;
}

static bool decode(const decoder *in, const json_t *root, reference *out) {
    if (!json_is_object(root)) {
        return FAIL(in, "%s: a JSON object expected", in->path);
    }
    engine_reference *shape = &out->statistics;
    size_t format;
    const size_member sizes[] = {
        {.key = "format", .min = FORMAT, .max = FORMAT, .to = &format},
        {.key = "dim", .min = 1, .max = ENGINE_DIM_MAX, .to = &shape->dim},
        {.key = "classes", .min = 1, .max = ENGINE_CLASSES_MAX, .to = &shape->classes},
        {"window", 1, ENGINE_WINDOW_MAX, &out->window_rows, true},
        {"memory_rank", 0, ENGINE_MEMORY_RANK_MAX, &out->memory_rank, true},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (!get_size(in, root, sizes[i])) {
            return false;
        }
    }
    size_member rank = {.key = "rank", .min = 1, .max = shape->dim, .to = &shape->rank};
    number_member half_life = {"half_life", 0, REFERENCE_HALF_LIFE_MAX, &out->half_life_rows, true};
    text_member model = {"model", 1, REFERENCE_MODEL_BYTES_MAX, out->model, false};
    text_member made = {"made", 0, REFERENCE_MADE_BYTES_MAX, out->made, true};
    return get_size(in, root, rank) && get_number(in, root, half_life) &&
           get_text(in, root, model) && get_text(in, root, made) && get_counts(in, root, out) &&
           get_thresholds(in, root, out);
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
static char *read_file(const decoder *in, size_t *used) {
    int fd = open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        FAIL(in, "%s: cannot open: %s", in->path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        FAIL(in, "%s: not a regular file", in->path);
    } else if (facts.st_size > REFERENCE_JSON_BYTES_MAX) {
        FAIL(in, "%s: more than %d bytes", in->path, (int)REFERENCE_JSON_BYTES_MAX);
    } else if ((text = malloc((size_t)facts.st_size + 1)) == NULL) {
        FAIL(in, "%s: out of memory", in->path);
    } else if (!read_all(fd, text, (size_t)facts.st_size, used)) {
        FAIL(in, "%s: cannot read: %s", in->path, strerror(errno));
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
    decoder in = {.path = path, .error = error, .error_bytes = error_bytes};
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
    decoder in = {.path = json_what, .error = error, .error_bytes = error_bytes};
    reference *scratch = reference_new();
    bool good = scratch != NULL ? decode(&in, root, scratch) : FAIL(&in, "out of memory");
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
        encode_counts(reference, root) && check_loads(root, error, error_bytes)) {
        /* 17 digits bring every double back exactly. */
        text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    }
    json_decref(root);
    return text;
}

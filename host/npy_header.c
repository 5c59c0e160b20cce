/*
 * npy_header.c - both directions of an .npy header. It is a Python dict literal; the parser takes
 * what numpy writes and refuses the rest, rather than being a Python.
 */
#include "npy_header.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    MAGIC_BYTES = 6,
    PREFIX_BYTES = 10,      /* magic, version, 16-bit header length */
    PREFIX_LONG_BYTES = 12, /* ... with a 32-bit length, versions 2 and 3 */
    HEADER_ALIGN = 64,      /* numpy pads headers to this */
    WORD_MAX = 32,          /* of a key or a descr */
};
static const char magic[MAGIC_BYTES] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y'};

typedef struct {
    const char *descr; /* without byte order */
    const char *name;
    size_t bytes;
    bool is_float;
} dtype_facts;

static const dtype_facts dtypes[] = {
    [NPY_F16] = {"f2", "float16", 2, true}, [NPY_F32] = {"f4", "float32", 4, true},
    [NPY_F64] = {"f8", "float64", 8, true}, [NPY_I8] = {"i1", "int8", 1, false},
    [NPY_I16] = {"i2", "int16", 2, false},  [NPY_I32] = {"i4", "int32", 4, false},
    [NPY_I64] = {"i8", "int64", 8, false},  [NPY_U8] = {"u1", "uint8", 1, false},
    [NPY_U16] = {"u2", "uint16", 2, false}, [NPY_U32] = {"u4", "uint32", 4, false},
    [NPY_U64] = {"u8", "uint64", 8, false},
};
enum { DTYPES = sizeof(dtypes) / sizeof(dtypes[0]) };

typedef struct {
    const char *at;
    const char *end;
    const char *path;
    char *error;
    size_t error_bytes;
} parser;

static bool fail(const parser *in, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(const parser *in, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(in->error, in->error_bytes, "%s: %s", in->path, text);
    return false;
}

static void skip_spaces(parser *in) {
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n')) {
        in->at++;
    }
}

/* Takes one character, and spaces before it. */
static bool take(parser *in, char wanted) {
    skip_spaces(in);
    if (in->at < in->end && *in->at == wanted) {
        in->at++;
        return true;
    }
    return false;
}

/* A quoted word of printable characters. */
static bool take_word(parser *in, char word[WORD_MAX]) {
    char quote = take(in, '\'') ? '\'' : '"';
    if (quote == '"' && !take(in, '"')) {
        return false;
    }
    for (size_t used = 0; in->at < in->end && used < WORD_MAX; used++) {
        char c = *in->at++;
        if (c == quote) {
            word[used] = '\0';
            return true;
        }
        if (c < ' ' || c > '~' || c == '\\') {
            return false;
        }
        word[used] = c;
    }
    return false;
}

static bool take_name(parser *in, const char *name) {
    skip_spaces(in);
    size_t length = strlen(name);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, name, length) != 0) {
        return false;
    }
    in->at += length;
    return true;
}

static bool take_size(parser *in, size_t *size) {
    skip_spaces(in);
    const char *start = in->at;
    *size = 0;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        size_t digit = (size_t)(*in->at - '0');
        if (*size > (SIZE_MAX - digit) / 10) {
            return false;
        }
        *size = *size * 10 + digit;
    }
    return in->at > start;
}

static bool refuse_descr(const parser *in, const char *descr) {
    const char *why = "not a type that is read here";
    char kind = descr[0] == '\0' ? '\0' : descr[1];
    if (descr[0] == '>') {
        why = "big-endian";
    } else if (kind == 'O') {
        why = "Python objects";
    } else if (kind == 'V') {
        why = "structured or raw";
    } else if (kind == 'b') {
        why = "bool";
    } else if (kind == 'c') {
        why = "complex";
    } else if (kind == 'U' || kind == 'S' || kind == 'a') {
        why = "text";
    }
    return fail(in, "descr '%s' is %s; little-endian float16/32/64 or integers expected", descr,
                why);
}

static bool take_descr(parser *in, npy *array) {
    char descr[WORD_MAX];
    skip_spaces(in);
    if (in->at < in->end && *in->at == '[') {
        return fail(in, "descr is structured; one little-endian number type expected");
    }
    if (!take_word(in, descr)) {
        return fail(in, "descr in the header is not a short quoted string");
    }
    for (size_t i = 0; i < DTYPES && descr[0] != '\0'; i++) {
        bool order = descr[0] == '<' || (descr[0] == '|' && dtypes[i].bytes == 1);
        if (order && strcmp(descr + 1, dtypes[i].descr) == 0) {
            array->dtype = (npy_dtype)i;
            return true;
        }
    }
    return refuse_descr(in, descr);
}

/* (), (3,), (3, 4): with one axis the comma is what makes it a tuple. */
static bool take_shape(parser *in, npy *array) {
    if (!take(in, '(')) {
        return fail(in, "shape in the header is not a tuple");
    }
    array->axes = 0;
    array->count = 1;
    bool comma = true;
    while (!take(in, ')')) {
        size_t size;
        if (!comma || !take_size(in, &size)) {
            return fail(in, "shape in the header is not a tuple of lengths 0..%zu", SIZE_MAX);
        }
        if (array->axes == NPY_AXES_MAX) {
            return fail(in, "more than %d axes", (int)NPY_AXES_MAX);
        }
        if (size != 0 && array->count > SIZE_MAX / size) {
            return fail(in, "shape in the header has more elements than memory can address");
        }
        array->count *= size;
        array->shape[array->axes++] = size;
        comma = take(in, ',');
    }
    if (array->axes == 1 && !comma) {
        return fail(in, "shape in the header is not a tuple");
    }
    return true;
}

typedef struct {
    bool descr;
    bool shape;
    bool order;
    bool fortran;
} keys_seen;

static bool take_order(parser *in, keys_seen *seen) {
    if (take_name(in, "False")) {
        return true;
    }
    seen->fortran = true;
    return take_name(in, "True") || fail(in, "fortran_order in the header is not True or False");
}

static bool take_pair(parser *in, npy *array, keys_seen *seen) {
    char key[WORD_MAX];
    if (!take_word(in, key) || !take(in, ':')) {
        return fail(in, "the header is not the dict that numpy writes");
    }
    bool *flag = strcmp(key, "descr") == 0           ? &seen->descr
                 : strcmp(key, "shape") == 0         ? &seen->shape
                 : strcmp(key, "fortran_order") == 0 ? &seen->order
                                                     : NULL;
    if (flag == NULL || *flag) {
        return fail(in, "%s key '%s' in the header", flag == NULL ? "unknown" : "repeated", key);
    }
    *flag = true;
    if (flag == &seen->descr) {
        return take_descr(in, array);
    }
    return flag == &seen->shape ? take_shape(in, array) : take_order(in, seen);
}

static bool decode_dict(parser *in, npy *array) {
    keys_seen seen = {0};
    bool comma = take(in, '{');
    if (!comma) {
        return fail(in, "the header is not the dict that numpy writes");
    }
    while (!take(in, '}')) {
        if (!comma) {
            return fail(in, "the header is not the dict that numpy writes");
        }
        if (!take_pair(in, array, &seen)) {
            return false;
        }
        comma = take(in, ',');
    }
    skip_spaces(in);
    if (in->at != in->end) {
        return fail(in, "bytes after the header's dict");
    }
    if (!seen.descr || !seen.shape || !seen.order) {
        return fail(in, "the header lacks descr, fortran_order or shape");
    }
    if (seen.fortran && array->axes >= 2) {
        return fail(in, "Fortran order; C order expected (numpy.ascontiguousarray)");
    }
    return true;
}

static bool decode(parser *in, npy *array) {
    const unsigned char *bytes = array->map;
    if (array->map_bytes < PREFIX_BYTES || memcmp(bytes, magic, MAGIC_BYTES) != 0) {
        return fail(in, "not an .npy file");
    }
    unsigned major = bytes[6];
    if (major < 1 || major > 3 || bytes[7] != 0) {
        return fail(in, ".npy version %u.%u; 1.0, 2.0 or 3.0 expected", major, bytes[7]);
    }
    size_t start = major == 1 ? PREFIX_BYTES : PREFIX_LONG_BYTES;
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (major > 1 && array->map_bytes >= PREFIX_LONG_BYTES) {
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    if (length > NPY_HEADER_MAX) {
        return fail(in, "header of %zu bytes; at most %d expected", length, (int)NPY_HEADER_MAX);
    }
    if (array->map_bytes < start || array->map_bytes - start < length) {
        return fail(in, "cut short: the file ends inside its header");
    }
    in->at = (const char *)bytes + start;
    in->end = in->at + length;
    if (!decode_dict(in, array)) {
        return false;
    }
    size_t have = array->map_bytes - start - length;
    size_t each = npy_dtype_bytes(array->dtype);
    if (array->count > SIZE_MAX / each || array->count * each != have) {
        return fail(in, "%zu elements of %zu bytes in the header, but %zu bytes of data follow it",
                    array->count, each, have);
    }
    array->data = bytes + start + length;
    return true;
}

bool npy_header_decode(npy *array, const char *path, char *error, size_t error_bytes) {
    parser in = {.path = path, .error = error, .error_bytes = error_bytes};
    return decode(&in, array);
}

size_t npy_header_encode(npy_dtype dtype, size_t axes, const size_t *shape,
                         char header[NPY_HEADER_WRITTEN_MAX]) {
    char lengths[128];
    size_t used = PREFIX_BYTES;
    used += (size_t)snprintf(header + used, NPY_HEADER_WRITTEN_MAX - used,
                             "{'descr': '%c%s', 'fortran_order': False, 'shape': %s, }",
                             dtypes[dtype].bytes == 1 ? '|' : '<', dtypes[dtype].descr,
                             npy_shape_text(axes, shape, lengths, sizeof(lengths)));
    size_t total = (used + 1 + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    assert(total <= NPY_HEADER_WRITTEN_MAX);
    memset(header + used, ' ', total - used);
    header[total - 1] = '\n';
    memcpy(header, magic, MAGIC_BYTES);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((total - PREFIX_BYTES) & 0xff);
    header[9] = (char)((total - PREFIX_BYTES) >> 8);
    return total;
}

bool npy_is_float(const npy *array) {
    return dtypes[array->dtype].is_float;
}

size_t npy_dtype_bytes(npy_dtype dtype) {
    return dtypes[dtype].bytes;
}

const char *npy_dtype_text(npy_dtype dtype) {
    return dtypes[dtype].name;
}

char *npy_shape_text(size_t axes, const size_t *shape, char *text, size_t text_bytes) {
    size_t used = (size_t)snprintf(text, text_bytes, "(");
    for (size_t i = 0; i < axes && used < text_bytes; i++) {
        used +=
            (size_t)snprintf(text + used, text_bytes - used, "%s%zu", i == 0 ? "" : ", ", shape[i]);
    }
    if (used < text_bytes) {
        snprintf(text + used, text_bytes - used, axes == 1 ? ",)" : ")");
    }
    return text;
}

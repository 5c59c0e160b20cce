/*
 * test_npy.c - .npy files as numpy writes them, files that only look so, and our own.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy.h"

static char folder[] = "/tmp/adder-npy-XXXXXX";
static char path[64];
static char error[512];

static void make_folder(void) {
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.npy", folder);
}

static int remove_one(const char *name, const struct stat *facts, int kind, struct FTW *at) {
    (void)facts;
    (void)kind;
    (void)at;
    return remove(name);
}

static void remove_folder(void) {
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(npy, .init = make_folder, .fini = remove_folder);

static void put(const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, count, file), count);
    cr_assert_eq(fclose(file), 0);
}

/* What a file is made of; the header's length is told as it is unless `told` says otherwise. */
typedef struct {
    unsigned char major;
    unsigned char minor;
    const char *header;
    size_t told;
    const void *data;
    size_t data_bytes;
} pieces;

static size_t put_pieces(pieces parts) {
    unsigned char bytes[512] = {0x93, 'N', 'U', 'M', 'P', 'Y', parts.major, parts.minor};
    size_t length = strlen(parts.header);
    size_t told = parts.told != 0 ? parts.told : length;
    size_t start = parts.major == 1 ? 10 : 12;
    for (size_t i = 8; i < start; i++) {
        bytes[i] = (unsigned char)(told >> 8 * (i - 8));
    }
    cr_assert_leq(start + length + parts.data_bytes, sizeof(bytes));
    memcpy(bytes + start, parts.header, length);
    if (parts.data_bytes > 0) {
        memcpy(bytes + start + length, parts.data, parts.data_bytes);
    }
    put(bytes, start + length + parts.data_bytes);
    return start + length + parts.data_bytes;
}

static bool opens(void) {
    npy array;
    memset(error, 0, sizeof(error));
    bool good = npy_open(&array, path, error, sizeof(error));
    npy_close(&array);
    return good;
}

/* Refused with one line that names the file and holds `text`. */
static void expect_refused(const char *text) {
    npy array;
    memset(&array, 0xff, sizeof(array));
    memset(error, 0, sizeof(error));
    cr_assert_not(npy_open(&array, path, error, sizeof(error)), "opened; %s expected", text);
    cr_assert_null(array.map);
    cr_assert_eq(array.count, 0);
    cr_assert_null(strchr(error, '\n'));
    cr_assert_eq(strncmp(error, path, strlen(path)), 0, "%s", error);
    cr_assert_not_null(strstr(error, text), "'%s' lacks '%s'", error, text);
}

static void expect_header_refused(const char *header, const char *text) {
    put_pieces((pieces){.major = 1, .header = header, .data = "12345678", .data_bytes = 8});
    expect_refused(text);
}

Test(npy, every_dtype_reads_its_elements) {
    static const struct {
        const char *descr;
        npy_dtype dtype;
        unsigned char data[16];
        double first;
        double second;
    } cases[] = {
        {"<f2", NPY_F16, {0x00, 0x3c, 0x00, 0xc0}, 1, -2},
        {"<f4", NPY_F32, {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, 1, -2},
        {"<f8", NPY_F64, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, 1, -2},
        {"|i1", NPY_I8, {0x80, 0x7f}, -128, 127},
        {"<i1", NPY_I8, {0xff, 1}, -1, 1},
        {"<i2", NPY_I16, {0, 0x80, 1, 1}, -32768, 257},
        {"<i4", NPY_I32, {0xfe, 0xff, 0xff, 0xff, 0, 0, 1, 0}, -2, 65536},
        {"<i8", NPY_I64, {0xfe, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 1}, -2, 0x1p32},
        {"|u1", NPY_U8, {0x80, 0xff}, 128, 255},
        {"<u2", NPY_U16, {0, 0x80, 1, 1}, 32768, 257},
        {"<u4", NPY_U32, {0xfe, 0xff, 0xff, 0xff, 7}, 4294967294, 7},
        {"<u8", NPY_U64, {5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 5, 0x1p32},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char header[128];
        snprintf(header, sizeof(header),
                 "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }  \n", cases[i].descr);
        size_t bytes = 2 * npy_dtype_bytes(cases[i].dtype);
        put_pieces(
            (pieces){.major = 1, .header = header, .data = cases[i].data, .data_bytes = bytes});
        npy array;
        cr_assert(npy_open(&array, path, error, sizeof(error)), "%s", error);
        cr_assert_eq(array.dtype, cases[i].dtype);
        cr_assert(array.axes == 1 && array.shape[0] == 2 && array.count == 2);
        bool is_float = npy_is_float(&array);
        double first = is_float ? npy_float(&array, 0) : (double)npy_integer(&array, 0);
        double second = is_float ? npy_float(&array, 1) : (double)npy_integer(&array, 1);
        cr_assert(first == cases[i].first && second == cases[i].second, "%s: %g %g", header, first,
                  second);
        npy_close(&array);
    }
}

Test(npy, versions_1_2_and_3_any_order_quotes_and_spaces_are_read) {
    static const char *const headers[] = {
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }      \n",
        "{'shape': (2, 3), 'descr': '|u1', 'fortran_order': False}\n",
        "  { \"fortran_order\" :False,'shape':(2,3,) , \"descr\":\"|u1\" , }",
    };
    for (unsigned char major = 1; major <= 3; major++) {
        for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
            put_pieces(
                (pieces){.major = major, .header = headers[i], .data = "abcdef", .data_bytes = 6});
            npy array;
            cr_assert(npy_open(&array, path, error, sizeof(error)), "%s", error);
            cr_assert(array.axes == 2 && array.shape[0] == 2 && array.shape[1] == 3);
            cr_assert_eq(npy_integer(&array, 5), 'f');
            npy_close(&array);
        }
    }
}

Test(npy, scalars_empty_arrays_and_flat_fortran_order_open) {
    static const struct {
        const char *header;
        size_t axes;
        size_t count;
    } cases[] = {
        {"{'descr': '|u1', 'fortran_order': False, 'shape': ()}", 0, 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0,)}", 1, 0},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 64)}", 2, 0},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0)}", 2, 0},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (1,)}", 1, 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1, 1)}", 4, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_pieces((pieces){
            .major = 1, .header = cases[i].header, .data = "x", .data_bytes = cases[i].count});
        npy array;
        cr_assert(npy_open(&array, path, error, sizeof(error)), "%s", error);
        cr_assert(array.axes == cases[i].axes && array.count == cases[i].count);
        npy_close(&array);
    }
}

/* Decodes by the definition, with ldexp, for all 65,536 halves. */
Test(npy, every_float16_reads_exactly_subnormals_infinities_and_nan_included) {
    static uint16_t halves[65536];
    size_t shape = 65536;
    for (size_t i = 0; i < shape; i++) {
        halves[i] = (uint16_t)i;
    }
    cr_assert(npy_save(path, NPY_F16, 1, &shape, halves, error, sizeof(error)), "%s", error);
    npy array;
    cr_assert(npy_open(&array, path, error, sizeof(error)), "%s", error);
    for (size_t i = 0; i < shape; i++) {
        int exponent = (int)(i >> 10 & 31);
        double fraction = (double)(i & 1023);
        double want = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
        if (exponent == 31) {
            want = fraction == 0 ? INFINITY : NAN;
        }
        want = (i >> 15) != 0 ? -want : want;
        double got = npy_float(&array, i);
        cr_assert(isnan(want) ? isnan(got) : got == want && signbit(got) == signbit(want),
                  "half %zx reads %g, not %g", i, got, want);
    }
    npy_close(&array);
}

Test(npy, a_uint64_beyond_int64_reads_as_the_largest) {
    uint64_t value = UINT64_MAX;
    size_t shape = 1;
    cr_assert(npy_save(path, NPY_U64, 1, &shape, &value, error, sizeof(error)));
    npy array;
    cr_assert(npy_open(&array, path, error, sizeof(error)));
    cr_assert_eq(npy_integer(&array, 0), INT64_MAX);
    npy_close(&array);
}

Test(npy, what_is_saved_reads_back_and_its_data_begins_at_a_multiple_of_64) {
    float values[24];
    size_t shape[] = {2, 3, 4};
    for (size_t i = 0; i < 24; i++) {
        values[i] = (float)i * 0.1f;
    }
    for (size_t axes = 0; axes <= 3; axes++) {
        cr_assert(npy_save(path, NPY_F32, axes, shape, values, error, sizeof(error)));
        npy array;
        cr_assert(npy_open(&array, path, error, sizeof(error)), "%s", error);
        cr_assert_eq(array.axes, axes);
        cr_assert_eq(memcmp(array.shape, shape, axes * sizeof(size_t)), 0);
        cr_assert_eq((array.map_bytes - 4 * array.count) % 64, 0);
        cr_assert_eq(memcmp(array.data, values, 4 * array.count), 0);
        cr_assert_eq(array.data[-1], '\n');
        npy_close(&array);
    }
}

static bool is_mapped(void) {
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert_not_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        found = found || strstr(line, path) != NULL;
    }
    fclose(maps);
    return found;
}

Test(npy, closing_and_refusing_unmap_the_file) {
    npy array;
    size_t shape = 1;
    cr_assert(npy_save(path, NPY_U8, 1, &shape, "x", error, sizeof(error)));
    cr_assert(npy_open(&array, path, error, sizeof(error)));
    cr_assert(is_mapped());
    npy_close(&array);
    cr_assert_not(is_mapped());
    put("not numpy's", 11);
    expect_refused("not an .npy file");
    cr_assert_not(is_mapped());
}

Test(npy, saving_replaces_the_file_and_leaves_nothing_beside_it) {
    size_t shape = 1;
    for (unsigned char value = 0; value < 2; value++) {
        cr_assert(npy_save(path, NPY_U8, 1, &shape, &value, error, sizeof(error)));
    }
    npy array;
    cr_assert(npy_open(&array, path, error, sizeof(error)));
    cr_assert_eq(npy_integer(&array, 0), 1);
    npy_close(&array);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(folder), 0, "something was left beside the file");
    cr_assert_not(npy_save(path, NPY_U8, 1, &shape, "x", error, sizeof(error)));
    cr_assert_not_null(strstr(error, "cannot write"), "%s", error);
}

/* Or root would have a file in place of /dev/null. */
Test(npy, saving_does_not_replace_what_is_no_file) {
    struct stat facts;
    size_t shape = 1;
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_not(npy_save(path, NPY_U8, 1, &shape, "x", error, sizeof(error)));
    cr_assert(strstr(error, path), "%s", error);
    cr_assert(lstat(path, &facts) == 0 && S_ISFIFO(facts.st_mode));
}

Test(npy, a_file_cut_at_any_byte_or_longer_by_one_is_refused) {
    static unsigned char bytes[512];
    double values[5] = {1, 2, 3, 4, 5};
    size_t size = put_pieces(
        (pieces){.major = 2,
                 .header = "{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }       \n",
                 .data = values,
                 .data_bytes = sizeof(values)});
    FILE *file = fopen(path, "rb");
    cr_assert_eq(fread(bytes, 1, sizeof(bytes), file), size);
    fclose(file);
    cr_assert(opens(), "%s", error);
    for (size_t cut = 0; cut < size; cut++) {
        put(bytes, cut);
        expect_refused("");
    }
    put(bytes, size + 1);
    expect_refused("41 bytes of data");
}

/* Any byte of the header set to anything: opened or refused, but with a file that fits. */
Test(npy, a_header_with_any_byte_changed_never_reads_outside_the_file) {
    static unsigned char good[256];
    size_t size = put_pieces(
        (pieces){.major = 1,
                 .header = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 2), }\n",
                 .data = "aabbccdd",
                 .data_bytes = 8});
    FILE *file = fopen(path, "rb");
    cr_assert_eq(fread(good, 1, sizeof(good), file), size);
    fclose(file);
    static const unsigned char values[] = {0, 1, '\'', '"', '(', ')', ',', '-', '9', '}', ' ', 255};
    for (size_t at = 0; at < size - 8; at++) {
        for (size_t i = 0; i < sizeof(values); i++) {
            unsigned char bytes[256];
            memcpy(bytes, good, size);
            bytes[at] = values[i];
            put(bytes, size);
            npy array;
            if (npy_open(&array, path, error, sizeof(error))) {
                cr_assert_eq(array.data + array.count * npy_dtype_bytes(array.dtype),
                             (unsigned char *)array.map + array.map_bytes);
                if (!npy_is_float(&array) && array.count > 0) {
                    npy_integer(&array, array.count - 1);
                }
            }
            npy_close(&array);
        }
    }
}

#define DESCR_LE "{'descr': '<f8', 'fortran_order': False, "

Test(npy, shapes_that_overflow_are_negative_or_no_tuple_are_refused) {
    expect_header_refused(DESCR_LE "'shape': (4294967296, 4294967296)}", "memory can address");
    expect_header_refused(DESCR_LE "'shape': (2305843009213693952,)}", "8 bytes of data");
    expect_header_refused(DESCR_LE "'shape': (2305843009213693953,)}", "8 bytes of data");
    expect_header_refused(DESCR_LE "'shape': (18446744073709551616,)}", "tuple of lengths");
    expect_header_refused(DESCR_LE "'shape': (99999999999999999999999,)}", "tuple of lengths");
    expect_header_refused(DESCR_LE "'shape': (-1,)}", "tuple of lengths");
    expect_header_refused(DESCR_LE "'shape': (1)}", "not a tuple");
    expect_header_refused(DESCR_LE "'shape': [1]}", "not a tuple");
    expect_header_refused(DESCR_LE "'shape': 1}", "not a tuple");
    expect_header_refused(DESCR_LE "'shape': (,)}", "tuple of lengths");
    expect_header_refused(DESCR_LE "'shape': (1 1)}", "tuple of lengths");
    expect_header_refused(DESCR_LE "'shape': (1.0,)}", "tuple of lengths");
    expect_header_refused(DESCR_LE "'shape': (1, 1, 1, 1, 1)}", "more than 4 axes");
    expect_header_refused(DESCR_LE "'shape': (1", "tuple of lengths");
}

#define ORDER_AND_SHAPE "'fortran_order': False, 'shape': (1,), }"

Test(npy, types_that_are_not_read_are_refused_by_name) {
    expect_header_refused("{'descr': '>f8', " ORDER_AND_SHAPE, "big-endian");
    expect_header_refused("{'descr': '|O', " ORDER_AND_SHAPE, "Python objects");
    expect_header_refused("{'descr': '|b1', " ORDER_AND_SHAPE, "bool");
    expect_header_refused("{'descr': '<c8', " ORDER_AND_SHAPE, "complex");
    expect_header_refused("{'descr': '<U2', " ORDER_AND_SHAPE, "text");
    expect_header_refused("{'descr': '|V8', " ORDER_AND_SHAPE, "structured or raw");
    expect_header_refused("{'descr': [('a', '<f8')], " ORDER_AND_SHAPE, "structured");
    expect_header_refused("{'descr': '<f16', " ORDER_AND_SHAPE, "not a type");
    expect_header_refused("{'descr': '|f8', " ORDER_AND_SHAPE, "not a type");
    expect_header_refused("{'descr': '=f8', " ORDER_AND_SHAPE, "not a type");
    expect_header_refused("{'descr': '', " ORDER_AND_SHAPE, "not a type");
    expect_header_refused("{'descr': '<', " ORDER_AND_SHAPE, "not a type");
    expect_header_refused("{'descr': 8, " ORDER_AND_SHAPE, "quoted string");
    expect_header_refused("{'descr': '<f8\033[2J', " ORDER_AND_SHAPE, "quoted string");
}

Test(npy, fortran_order_of_a_matrix_is_refused) {
    expect_header_refused("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 4)}", "C order");
}

Test(npy, headers_that_are_not_numpys_dict_are_refused) {
    expect_header_refused("", "not the dict");
    expect_header_refused("[]", "not the dict");
    expect_header_refused("{}", "lacks descr");
    expect_header_refused("{'descr': '<f8', 'shape': (1,)}", "lacks descr");
    expect_header_refused("{'descr': '<f8' " ORDER_AND_SHAPE, "not the dict");
    expect_header_refused("{'descr' '<f8', " ORDER_AND_SHAPE, "not the dict");
    expect_header_refused("{'descr': '<f8', 'descr': '<f8', " ORDER_AND_SHAPE, "repeated key");
    expect_header_refused("{'descr': '<f8', 'x': 1, " ORDER_AND_SHAPE, "unknown key 'x'");
    expect_header_refused("{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}", "True or False");
    expect_header_refused("{'descr': '<f8', " ORDER_AND_SHAPE " x", "after the header's dict");
    expect_header_refused("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)", "not the dict");
    expect_header_refused("{'descr", "not the dict");
}

Test(npy, header_lengths_and_versions_that_cannot_be_are_refused) {
    const char *header = "{'descr': '<f8', " ORDER_AND_SHAPE;
    pieces parts = {.major = 1, .header = header, .data = "12345678", .data_bytes = 8};
    put_pieces(parts);
    cr_assert(opens(), "%s", error);
    parts.told = 5000;
    put_pieces(parts);
    expect_refused("inside its header");
    parts.major = 2;
    parts.told = 0xffffffff;
    put_pieces(parts);
    expect_refused("at most 65536");
    parts = (pieces){.major = 4, .header = header};
    put_pieces(parts);
    expect_refused("version 4.0");
    parts = (pieces){.major = 1, .minor = 1, .header = header};
    put_pieces(parts);
    expect_refused("version 1.1");
}

Test(npy, garbage_and_empty_files_are_refused) {
    put("", 0);
    expect_refused("empty");
    put("PK\003\004 this is an npz file", 22);
    expect_refused("not an .npy file");
}

/* A FIFO without a writer: opening it must not wait for one. */
Test(npy, missing_files_directories_and_fifos_are_refused_at_once, .timeout = 20) {
    expect_refused("No such file");
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_refused("not a regular file");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    expect_refused("not a regular file");
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(symlink("a.npy", path), 0);
    expect_refused("cannot open");
}

Test(npy, shapes_read_as_python_writes_them) {
    size_t shape[] = {3, 4, 5};
    char text[64];
    cr_assert_str_eq(npy_shape_text(0, shape, text, sizeof(text)), "()");
    cr_assert_str_eq(npy_shape_text(1, shape, text, sizeof(text)), "(3,)");
    cr_assert_str_eq(npy_shape_text(3, shape, text, sizeof(text)), "(3, 4, 5)");
    cr_assert_str_eq(npy_shape_text(3, shape, text, 5), "(3, ");
}

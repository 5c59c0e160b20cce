/*
 * fuzz_npy.c - .npy files: the input is the file.
 */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "npy_header.h"
#include "npy_mutate.h"

enum { ERROR_BYTES = 1024, LONG_PREFIX_BYTES = 12, SEED_BYTES_MAX = 1024 };

/* Every element can be read, and all of them at once are the same. */
static void read_elements(const npy *array) {
    if (!npy_is_float(array)) {
        for (size_t i = 0; i < array->count; i++) {
            int64_t value = npy_integer(array, i);
            FUZZ_EXPECT(array->dtype < NPY_U8 || value >= 0);
        }
        return;
    }
    double *all = calloc(array->count + 1, sizeof *all);
    FUZZ_EXPECT(all != NULL);
    npy_floats(array, 0, array->count, all);
    for (size_t i = 0; i < array->count; i++) {
        double one = npy_float(array, i);
        FUZZ_EXPECT(memcmp(&one, &all[i], sizeof one) == 0);
    }
    free(all);
}

/* What we would write for it reads as the same array. */
static void write_again(const npy *array) {
    size_t bytes = array->count * npy_dtype_bytes(array->dtype);
    char header[NPY_HEADER_WRITTEN_MAX];
    char error[ERROR_BYTES];
    size_t header_bytes = npy_header_encode(array->dtype, array->axes, array->shape, header);
    unsigned char *whole = malloc(header_bytes + bytes);
    FUZZ_EXPECT(whole != NULL);
    memcpy(whole, header, header_bytes);
    memcpy(whole + header_bytes, array->data, bytes);
    npy again = {.map = whole, .map_bytes = header_bytes + bytes};
    FUZZ_EXPECT(npy_header_decode(&again, "again", error, sizeof error));
    FUZZ_EXPECT(again.dtype == array->dtype && again.axes == array->axes &&
                again.count == array->count && again.data == whole + header_bytes &&
                memcmp(again.shape, array->shape, array->axes * sizeof *array->shape) == 0);
    free(whole);
}

static void check(const npy *array, size_t size) {
    size_t count = 1;
    FUZZ_EXPECT(array->axes <= NPY_AXES_MAX && array->map_bytes == size);
    for (size_t i = 0; i < array->axes; i++) {
        FUZZ_EXPECT(!__builtin_mul_overflow(count, array->shape[i], &count));
    }
    FUZZ_EXPECT(count == array->count);
    const unsigned char *end = (const unsigned char *)array->map + size;
    FUZZ_EXPECT(array->data + count * npy_dtype_bytes(array->dtype) == end);
    read_elements(array);
    write_again(array);
}

bool fuzz_take(const unsigned char *bytes, size_t size) {
    static fuzz_file file;
    char error[ERROR_BYTES] = "";
    npy array;
    if (file.path[0] == '\0') {
        fuzz_file_open(&file);
    }
    fuzz_file_put(&file, bytes, size);
    if (!npy_open(&array, file.path, error, sizeof error)) {
        fuzz_expect_line(error, sizeof error);
        FUZZ_EXPECT(array.map == NULL && array.data == NULL && array.count == 0);
        return false;
    }
    check(&array, size);
    npy_close(&array);
    return true;
}

/* ---- seeds ---- */

static void seed_of(const char *name, npy_dtype dtype, size_t axes, const size_t *shape) {
    static const unsigned char data[SEED_BYTES_MAX] = {0x00, 0x3c, 0x00, 0x7c, 0x80, 0x3f, 0xff};
    char file[SEED_BYTES_MAX];
    size_t header_bytes = npy_header_encode(dtype, axes, shape, file);
    size_t bytes = npy_dtype_bytes(dtype);
    for (size_t i = 0; i < axes; i++) {
        bytes *= shape[i];
    }
    memcpy(file + header_bytes, data, bytes);
    fuzz_seed(name, file, header_bytes + bytes);
}

/* Version 2, with a header that numpy would not write, but others do. */
static void seed_version_2(void) {
    static const char header[] =
        "{\"shape\":(2,2),\"fortran_order\":False,\"descr\":\"|u1\"\t}  \n";
    static const char data[4] = "abcd";
    char file[SEED_BYTES_MAX] = "\x93NUMPY\2\0";
    file[8] = (char)(sizeof header - 1);
    memcpy(file + LONG_PREFIX_BYTES, header, sizeof header - 1);
    memcpy(file + LONG_PREFIX_BYTES + sizeof header - 1, data, sizeof data);
    fuzz_seed("version-2", file, LONG_PREFIX_BYTES + sizeof header - 1 + sizeof data);
}

void fuzz_seeds(void) {
    const size_t shape[NPY_AXES_MAX] = {3, 2, 1, 2};
    const size_t empty[] = {0, 4};
    for (npy_dtype dtype = NPY_F16; dtype <= NPY_U64; dtype++) {
        seed_of(npy_dtype_text(dtype), dtype, 2, shape);
    }
    seed_of("scalar", NPY_F64, 0, shape);
    seed_of("vector", NPY_U16, 1, shape);
    seed_of("cube", NPY_F32, 3, shape);
    seed_of("four-axes", NPY_F16, 4, shape);
    seed_of("no-rows", NPY_F32, 2, empty);
    seed_version_2();
}

/* ---- mutation ---- */

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed) {
    uint64_t state = seed;
    size_t choice = fuzz_random(&state, 4);
    if (choice == 0) {
        return npy_mutate_shape(bytes, size, size_max, &state);
    }
    size = LLVMFuzzerMutate(bytes, size, size_max);
    return choice == 1 ? size : npy_mend(bytes, size, size_max);
}

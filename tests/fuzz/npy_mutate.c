/*
 * npy_mutate.c - see npy_mutate.h.
 */
#include "npy_mutate.h"

#include <string.h>

#include "fuzz.h"
#include "npy_header.h"

enum { PREFIX_BYTES = 10, ERROR_BYTES = 1024, DTYPES = NPY_U64 + 1 };

/* Cuts the data, or adds zeros, to the array's count, which may be a product that overflowed. */
static size_t fit_data(uint8_t *bytes, size_t size, size_t size_max, size_t header_bytes,
                       const npy *array) {
    size_t each = npy_dtype_bytes(array->dtype);
    if (header_bytes > size_max || array->count > (size_max - header_bytes) / each) {
        return 0;
    }
    size_t fit = header_bytes + array->count * each;
    if (fit > size) {
        memset(bytes + size, 0, fit - size);
    }
    return fit;
}

static void change_shape(npy *array, uint64_t *random) {
    static const size_t lengths[] = {0, 1, 2, 3, 5, 1ull << 31, 1ull << 32, 1ull << 63, SIZE_MAX};
    size_t choice = fuzz_random(random, 8);
    size_t axis = array->axes > 0 ? fuzz_random(random, array->axes) : 0;
    if (choice == 0) {
        array->dtype = (npy_dtype)fuzz_random(random, DTYPES);
    } else if ((choice == 1 || array->axes == 0) && array->axes < NPY_AXES_MAX) {
        array->shape[array->axes++] = 1 + fuzz_random(random, 2);
    } else if (choice == 2) {
        array->axes--;
    } else if (choice < 6) {
        array->shape[axis] += fuzz_random(random, 2) ? 1 : (size_t)-1;
    } else {
        array->shape[axis] = lengths[fuzz_random(random, sizeof lengths / sizeof *lengths)];
    }
}

size_t npy_mutate_shape(uint8_t *bytes, size_t size, size_t size_max, uint64_t *random) {
    char error[ERROR_BYTES], header[NPY_HEADER_WRITTEN_MAX];
    npy array = {.map = bytes, .map_bytes = size};
    if (!npy_header_decode(&array, "shape", error, sizeof error)) {
        return size;
    }
    size_t data_bytes = array.count * npy_dtype_bytes(array.dtype);
    change_shape(&array, random);
    array.count = 1;
    for (size_t i = 0; i < array.axes; i++) {
        array.count *= array.shape[i];
    }
    size_t header_bytes = npy_header_encode(array.dtype, array.axes, array.shape, header);
    if (data_bytes > size_max - header_bytes || header_bytes > size_max) {
        return size;
    }
    memmove(bytes + header_bytes, array.data, data_bytes);
    memcpy(bytes, header, header_bytes);
    size_t fit = fit_data(bytes, header_bytes + data_bytes, size_max, header_bytes, &array);
    return fit > 0 ? fit : header_bytes + data_bytes;
}

size_t npy_mend(uint8_t *bytes, size_t size, size_t size_max) {
    uint8_t *line_end =
        size > PREFIX_BYTES ? memchr(bytes + PREFIX_BYTES, '\n', size - PREFIX_BYTES) : NULL;
    if (line_end == NULL || bytes[6] != 1) {
        return size;
    }
    size_t header = (size_t)(line_end + 1 - (bytes + PREFIX_BYTES));
    bytes[8] = (uint8_t)(header & 0xff);
    bytes[9] = (uint8_t)(header >> 8);
    char error[ERROR_BYTES];
    npy array = {.map = bytes, .map_bytes = size};
    if (npy_header_decode(&array, "mended", error, sizeof error)) {
        return size;
    }
    size_t fit = fit_data(bytes, size, size_max, PREFIX_BYTES + header, &array);
    return fit > 0 ? fit : size;
}

/*
 * npy.c - maps .npy files, reads their elements, writes new ones. Their headers are npy_header.c's.
 */
#include "npy.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy_header.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are read as they lie");

static bool fail(const char *path, const char *what, char *error, size_t error_bytes) {
    snprintf(error, error_bytes, "%s: %s", path, what);
    return false;
}

static bool fail_errno(const char *path, const char *what, char *error, size_t error_bytes) {
    snprintf(error, error_bytes, "%s: cannot %s: %s", path, what, strerror(errno));
    return false;
}

static bool map_file(npy *array, const char *path, char *error, size_t error_bytes) {
    /* Without O_NONBLOCK a FIFO would hold us here until somebody writes to it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return fail_errno(path, "open", error, error_bytes);
    }
    struct stat facts;
    bool mapped = false;
    if (fstat(fd, &facts) != 0) {
        fail_errno(path, "stat", error, error_bytes);
    } else if (!S_ISREG(facts.st_mode)) {
        fail(path, "not a regular file", error, error_bytes);
    } else if (facts.st_size == 0) {
        fail(path, "not an .npy file: it is empty", error, error_bytes);
    } else {
        void *map = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        mapped = map != MAP_FAILED;
        array->map = mapped ? map : NULL;
        array->map_bytes = mapped ? (size_t)facts.st_size : 0;
        if (!mapped) {
            fail_errno(path, "map", error, error_bytes);
        }
    }
    close(fd);
    return mapped;
}

bool npy_open(npy *array, const char *path, char *error, size_t error_bytes) {
    *array = (npy){0};
    if (map_file(array, path, error, error_bytes) &&
        npy_header_decode(array, path, error, error_bytes)) {
        return true;
    }
    npy_close(array);
    return false;
}

void npy_close(npy *array) {
    if (array->map != NULL) {
        munmap(array->map, array->map_bytes);
    }
    *array = (npy){0};
}

/* Exact, subnormals, infinities and NaN included. */
static double half_to_double(uint16_t half) {
    uint64_t sign = (uint64_t)(half >> 15) << 63;
    uint64_t exponent = half >> 10 & 0x1f;
    uint64_t fraction = half & 0x3ff;
    if (exponent == 0) {
        double tiny = (double)fraction * 0x1p-24;
        return sign != 0 ? -tiny : tiny;
    }
    exponent = exponent == 0x1f ? 0x7ff : exponent - 15 + 1023;
    uint64_t bits = sign | exponent << 52 | fraction << 42;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

void npy_floats(const npy *array, size_t first, size_t count, double *out) {
    assert(npy_is_float(array) && first <= array->count && count <= array->count - first);
    const unsigned char *at = array->data + first * npy_dtype_bytes(array->dtype);
    if (array->dtype == NPY_F64) {
        memcpy(out, at, count * sizeof(*out));
    } else if (array->dtype == NPY_F32) {
        for (size_t i = 0; i < count; i++) {
            float value;
            memcpy(&value, at + i * sizeof(value), sizeof(value));
            out[i] = value;
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            uint16_t value;
            memcpy(&value, at + i * sizeof(value), sizeof(value));
            out[i] = half_to_double(value);
        }
    }
}

double npy_float(const npy *array, size_t index) {
    double value;
    npy_floats(array, index, 1, &value);
    return value;
}

int64_t npy_integer(const npy *array, size_t index) {
    assert(!npy_is_float(array) && index < array->count);
    size_t bytes = npy_dtype_bytes(array->dtype);
    uint64_t value = 0;
    memcpy(&value, array->data + index * bytes, bytes);
    switch (array->dtype) {
    case NPY_I8:
        return (int8_t)value;
    case NPY_I16:
        return (int16_t)value;
    case NPY_I32:
        return (int32_t)value;
    case NPY_I64:
        return (int64_t)value;
    default:
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
}

bool npy_write(aside *file, npy_dtype dtype, size_t axes, const size_t *shape, const void *data) {
    assert(axes <= NPY_AXES_MAX);
    size_t bytes = npy_dtype_bytes(dtype);
    for (size_t i = 0; i < axes; i++) {
        bytes *= shape[i];
    }
    char header[NPY_HEADER_WRITTEN_MAX];
    size_t header_bytes = npy_header_encode(dtype, axes, shape, header);
    return aside_write(file, header, header_bytes) && aside_write(file, data, bytes);
}

bool npy_save(const char *path, npy_dtype dtype, size_t axes, const size_t *shape, const void *data,
              char *error, size_t error_bytes) {
    aside file = {0};
    bool saved = aside_open(&file, path) && npy_write(&file, dtype, axes, shape, data) &&
                 aside_sync(&file) && aside_commit(&file);
    if (!saved) {
        fail_errno(path, "write", error, error_bytes);
    }
    aside_close(&file);
    return saved;
}

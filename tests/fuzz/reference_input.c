/*
 * reference_input.c - see reference_input.h.
 */
#include "reference_input.h"

#include <string.h>

#include "bytes.h"

const char *const input_name[INPUT_FILES] = {
    "reference.json",  "mean.npy",       "factor.npy",           "trace.npy",
    "benign_mean.npy", "benign_var.npy", "benign_alignment.npy", "benign_excess.npy",
};

size_t input_stored(const input_file *file) {
    return file->length > INPUT_LENGTH_MAX ? 0 : file->length;
}

input input_split(const uint8_t *bytes, size_t size) {
    bytes_reader r = {.at = bytes, .left = size, .ok = true};
    input in = {.base = (unsigned)bytes_get(&r, 1)};
    for (size_t i = 0; i < INPUT_FILES; i++) {
        in.file[i].length = (size_t)bytes_get(&r, 2);
    }
    for (size_t i = 0; i < INPUT_FILES; i++) {
        input_file *file = &in.file[i];
        size_t stored = input_stored(file);
        if (stored > r.left) {
            file->length = stored = r.left;
        }
        file->bytes = bytes_take(&r, stored);
    }
    return in;
}

size_t input_join(const input *in, uint8_t *bytes, size_t size_max) {
    size_t size = INPUT_HEAD_BYTES;
    for (size_t i = 0; i < INPUT_FILES; i++) {
        size += input_stored(&in->file[i]);
    }
    if (size > size_max) {
        return 0;
    }
    uint8_t *at = bytes_put(bytes, in->base, 1);
    for (size_t i = 0; i < INPUT_FILES; i++) {
        at = bytes_put(at, in->file[i].length, 2);
    }
    for (size_t i = 0; i < INPUT_FILES; i++) {
        size_t stored = input_stored(&in->file[i]);
        if (stored > 0) {
            memcpy(at, in->file[i].bytes, stored);
            at += stored;
        }
    }
    return size;
}

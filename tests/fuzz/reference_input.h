/*
 * reference_input.h - an input of fuzz_reference: a reference directory in a row of bytes.
 *
 *     base    1 byte: which valid reference stands behind it (REFERENCE_BASES)
 *     length  2 bytes for each of the files, in the order of input_name
 *     bytes   of those files, one after another
 *
 * A file of length 0 is the base's, so that a change of one file meets valid others; a length of
 * INPUT_MISSING is no file at all, and INPUT_EMPTY one of no bytes. Any bytes are an input: what is
 * cut off counts as length 0.
 */
#ifndef ADDER_FUZZ_REFERENCE_INPUT_H
#define ADDER_FUZZ_REFERENCE_INPUT_H

#include <stddef.h>
#include <stdint.h>

enum {
    INPUT_JSON,
    INPUT_MEAN,
    INPUT_FACTOR,
    INPUT_TRACE,
    INPUT_BENIGN_MEAN,
    INPUT_BENIGN_VAR,
    INPUT_ALIGNMENT,
    INPUT_EXCESS,
    INPUT_FILES,
    INPUT_HEAD_BYTES = 1 + 2 * INPUT_FILES,
    INPUT_MISSING = 0xffff,
    INPUT_EMPTY = 0xfffe,
    INPUT_LENGTH_MAX = 0xfffd,
};
extern const char *const input_name[INPUT_FILES];

typedef struct {
    const uint8_t *bytes;
    size_t length; /* or INPUT_MISSING, INPUT_EMPTY */
} input_file;

typedef struct {
    unsigned base;
    input_file file[INPUT_FILES];
} input;

/* How many bytes of a file lie in the input. */
size_t input_stored(const input_file *file);
/* Points into the bytes. */
input input_split(const uint8_t *bytes, size_t size);
/* The bytes again, which may not be where the files point to; 0: they do not fit. */
size_t input_join(const input *in, uint8_t *bytes, size_t size_max);

/* Valid references, made once: with and without what calibration adds, one of dim 1. */
enum { REFERENCE_BASES = 3 };
const input *input_base(unsigned base);

#endif

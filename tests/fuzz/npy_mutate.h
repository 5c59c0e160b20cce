/*
 * npy_mutate.h - changes of an .npy file that byte changes hardly ever make, since a file must be
 * as long as its header says.
 */
#ifndef ADDER_FUZZ_NPY_MUTATE_H
#define ADDER_FUZZ_NPY_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* Another length of an axis, one axis more or fewer, or another type; the data become as long as
 * that says, in size_t's arithmetic. The new size; the old one where it is no .npy file or does not
 * fit. */
size_t npy_mutate_shape(uint8_t *bytes, size_t size, size_t size_max, uint64_t *random);
/* After any change: the header's length becomes what it is, and likewise the data's. */
size_t npy_mend(uint8_t *bytes, size_t size, size_t size_max);

#endif

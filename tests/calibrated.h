/*
 * calibrated.h - the fixtures' references, calibrated on every other honest row of tests/data.
 */
#ifndef ADDER_TESTS_CALIBRATED_H
#define ADDER_TESTS_CALIBRATED_H

#include <stddef.h>

/* Adds to the reference in the directory, of this dim, what `adder calibrate` would. */
void calibrated_make(const char *directory, size_t dim, size_t window_rows);

#endif

/*
 * arguments.h - numbers on a command line, for argp parsers: a bad one ends with argp's error and
 * exit 2.
 */
#ifndef ADDER_ARGUMENTS_H
#define ADDER_ARGUMENTS_H

#include <argp.h>
#include <stddef.h>

/* A whole number from least to most. */
size_t arguments_count(struct argp_state *state, const char *flag, const char *text, size_t least,
                       size_t most);
/* A finite number from least to most. */
double arguments_number(struct argp_state *state, const char *flag, const char *text, double least,
                        double most);

#endif

/*
 * arguments.c - see arguments.h.
 */
#include "arguments.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

size_t arguments_count(struct argp_state *state, const char *flag, const char *text, size_t least,
                       size_t most) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least ||
        value > most) {
        argp_error(state, "--%s: expected a whole number from %zu to %zu, came '%s'", flag, least,
                   most, text);
    }
    return (size_t)value;
}

double arguments_number(struct argp_state *state, const char *flag, const char *text, double least,
                        double most) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < least || value > most) {
        argp_error(state, "--%s: expected a number from %g to %g, came '%s'", flag, least, most,
                   text);
    }
    return value;
}

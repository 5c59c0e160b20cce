/*
 * interval.h - how sure a counted share is: Wilson's score interval (JASA 1927), 95 %.
 */
#ifndef ADDER_INTERVAL_H
#define ADDER_INTERVAL_H

#include <stddef.h>

typedef struct {
    double share;
    double low;
    double high;
} interval;

/* of > 0. */
interval interval_wilson(size_t hits, size_t of);

#endif

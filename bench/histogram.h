/*
 * histogram.h - how often each time was measured, to 1 % of it: buckets of equal width within every
 * power of two, as HdrHistogram has them. Of any number of measurements it takes the same memory,
 * so none is left out, and those of several threads add up.
 */
#ifndef ADDER_BENCH_HISTOGRAM_H
#define ADDER_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_PART_BITS = 7, /* buckets within a power of two, as a power of two */
    HISTOGRAM_OCTAVES = 40,  /* from 1 ns to 18 minutes; what is longer counts as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_OCTAVES - HISTOGRAM_PART_BITS + 1) << HISTOGRAM_PART_BITS,
};

/* Zeroed it is empty. */
typedef struct {
    uint64_t count[HISTOGRAM_BUCKETS];
    uint64_t total;
} histogram;

void histogram_add(histogram *h, double seconds);
void histogram_merge(histogram *into, const histogram *from);
/* Seconds that so many percent of the measurements do not exceed, by nearest rank; 0 of none. */
double histogram_percentile(const histogram *h, double percent);
/* Drawn on stdout, a line each doubling of time, from the shortest to the longest measured. */
void histogram_print(const histogram *h);

#endif

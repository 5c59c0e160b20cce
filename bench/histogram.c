/*
 * histogram.c - see histogram.h.
 */
#include "histogram.h"

#include <math.h>
#include <stdio.h>

enum { BAR_COLUMNS = 50 };

#define NS_MAX ((1ull << HISTOGRAM_OCTAVES) - 1)

/* Below two powers of PARTS a bucket is one nanosecond; above, the leading bits say which. */
static size_t bucket_of(uint64_t ns) {
    unsigned shift = 0;
    while (ns >> shift >> (HISTOGRAM_PART_BITS + 1) != 0) {
        shift++;
    }
    return ((size_t)shift << HISTOGRAM_PART_BITS) + (size_t)(ns >> shift);
}

/* The bucket's middle. */
static double middle_ns(size_t bucket) {
    size_t octave = bucket >> HISTOGRAM_PART_BITS;
    unsigned shift = octave < 2 ? 0 : (unsigned)octave - 1;
    uint64_t lead = bucket - ((size_t)shift << HISTOGRAM_PART_BITS);
    return ldexp((double)lead + (shift > 0 ? 0.5 : 0.0), (int)shift);
}

void histogram_add(histogram *h, double seconds) {
    double ns = seconds * 1e9;
    uint64_t whole = ns < 0.0 ? 0 : ns < (double)NS_MAX ? (uint64_t)ns : NS_MAX;
    h->count[bucket_of(whole)]++;
    h->total++;
}

void histogram_merge(histogram *into, const histogram *from) {
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->count[i] += from->count[i];
    }
    into->total += from->total;
}

double histogram_percentile(const histogram *h, double percent) {
    double rank = ceil((double)h->total * percent / 100.0);
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (h->count[i] > 0 && (double)seen >= rank) {
            return 1e-9 * middle_ns(i);
        }
    }
    return 0.0;
}

void histogram_print(const histogram *h) {
    uint64_t octave[HISTOGRAM_OCTAVES + 1] = {0};
    uint64_t most = 1;
    size_t first = HISTOGRAM_OCTAVES, last = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->count[i] > 0) {
            size_t power = (size_t)fmax(0.0, floor(log2(fmax(middle_ns(i), 1.0))));
            octave[power] += h->count[i];
            most = octave[power] > most ? octave[power] : most;
            first = power < first ? power : first;
            last = power > last ? power : last;
        }
    }
    for (size_t power = first; h->total > 0 && power <= last; power++) {
        size_t bar = (size_t)ceil((double)BAR_COLUMNS * (double)octave[power] / (double)most);
        printf("  up to %10.1f us %9.4f %% ", 1e-3 * ldexp(1.0, (int)power + 1),
               100.0 * (double)octave[power] / (double)h->total);
        for (size_t i = 0; i < bar; i++) {
            putchar('#');
        }
        putchar('\n');
    }
}

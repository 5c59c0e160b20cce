/*
 * interval.c - see interval.h. Wilson's, because shares here are often 0 or 1, where the textbook's
 * interval has no width.
 */
#include "interval.h"

#include <math.h>

static const double deviations = 1.959963984540054; /* 95 % of a normal distribution, both sides */

interval interval_wilson(size_t hits, size_t of) {
    double n = (double)of;
    double p = (double)hits / n;
    double z2 = deviations * deviations;
    double centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    double half = deviations / (1.0 + z2 / n) * sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n));
    return (interval){.share = p,
                      .low = hits == 0 ? 0.0 : fmax(0.0, centre - half),
                      .high = hits == of ? 1.0 : fmin(1.0, centre + half)};
}

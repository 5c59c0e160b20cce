/*
 * hostile.h - seeded random references, and windows that go wrong where arithmetic is careless.
 */
#ifndef ADDER_TESTS_HOSTILE_H
#define ADDER_TESTS_HOSTILE_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "fixture.h"

/* The same on every machine (splitmix64). */
typedef struct {
    uint64_t state;
} hostile_random;
size_t hostile_random_below(hostile_random *random, size_t limit); /* 0..limit-1 */
double hostile_random_normal(hostile_random *random);

/* A reference with random directions and a falling spectrum; every third class is of low rank, some
 * of rank 1. Freed with hostile_reference_free. */
engine_reference hostile_reference_make(hostile_random *random, size_t dim, size_t classes);
void hostile_reference_free(engine_reference *reference);

/* Tables with random rungs, some below 1 row, and means and deviations of each class's tr S_c, so
 * that neighbouring rungs tell apart. Freed with hostile_benign_free. */
engine_benign hostile_benign_make(hostile_random *random, const engine_reference *reference,
                                  size_t rungs);
void hostile_benign_free(engine_benign *benign);
/* What an excess may lack at most of a sum of positive terms sqrt(n_c / n) (d2_c + 4 % of the least
 * trace) / v_c: with it added, a relative error of the sum is at most that of a d2_c, which is what
 * an engine promises. */
double hostile_benign_bound(const engine_benign *benign, const engine_reference *reference);

typedef enum {
    HOSTILE_HONEST,          /* none: drawn from the reference itself */
    HOSTILE_FOREIGN,         /* drawn from it, with noise in every direction */
    HOSTILE_DUPLICATES,      /* three rows, each many times */
    HOSTILE_NEAR_DUPLICATES, /* one row of a class, every copy off by 1e-6 of itself */
    HOSTILE_ONE_CLASS,       /* all rows of one class */
    HOSTILE_SHIFTED,         /* 100 away in every direction */
    HOSTILE_SCALED,          /* 1e4 times as large */
    HOSTILE_SINGLES,         /* as few rows of a class as there can be */
    HOSTILE_KINDS,
} hostile_kind;
extern const char *const hostile_kind_names[HOSTILE_KINDS];
fixture_rows hostile_window_make(hostile_random *random, const engine_reference *reference,
                                 hostile_kind kind, size_t rows);

/* An account that draws its rows from a source of tests/data, some of them more than once. */
fixture_rows hostile_account_make(hostile_random *random, size_t dim, const char *source,
                                  size_t rows);

/* The smallest tr S_c. A distance is what is left of tr S_c + mean(s) less twice the root trace, so
 * what float32 rows are off by is a share of tr S_c, however little is left. */
double hostile_least_trace(const engine_reference *reference);

#endif

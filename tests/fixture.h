/*
 * fixture.h - what the engine tests start from: real rows, golden windows, random references, and
 * an engine to feed them to.
 *
 * A test of an engine is written once, with ENGINE_TEST, and runs once for every engine named in
 * FIXTURE_ENGINES. What fails ends the test with a sentence.
 */
#ifndef ADDER_TESTS_FIXTURE_H
#define ADDER_TESTS_FIXTURE_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "oracle.h"
#include "reference.h"

/* The engines under test, one line each. */
#ifdef ADDER_CUDA
#define FIXTURE_ENGINES(CLAIM)                                                                     \
    FIXTURE_ENGINE(cpu, CLAIM)                                                                     \
    FIXTURE_ENGINE(cuda, CLAIM)
#else
#define FIXTURE_ENGINES(CLAIM) FIXTURE_ENGINE(cpu, CLAIM)
#endif

#define FIXTURE_ENGINE(NAME, CLAIM)                                                                \
    Test(NAME, CLAIM) {                                                                            \
        CLAIM(#NAME);                                                                              \
    }
/* ENGINE_TEST(claim) { ... `name` is the engine's ... } */
#define ENGINE_TEST(CLAIM)                                                                         \
    static void CLAIM(const char *name);                                                           \
    FIXTURE_ENGINES(CLAIM)                                                                         \
    static void CLAIM(const char *name)

/* Whether the engine runs on the CUDA stand-in, a thousand times slower than a device: tests that
 * would take minutes then look at fewer cases, and say at which. */
bool fixture_simulated(const char *name);

/* Rows of one account, in its order. */
typedef struct {
    size_t rows;
    size_t dim;
    float *embeddings; /* [rows, dim], owned */
    uint32_t *classes; /* [rows], owned */
} fixture_rows;
fixture_rows fixture_rows_make(size_t rows, size_t dim);
void fixture_rows_free(fixture_rows *rows);
void fixture_rows_copy(fixture_rows *to, size_t at, const fixture_rows *from, size_t row);

/* Rows of tests/data, dim 64, 256 or 512; classes are the predicted ones. */
fixture_rows fixture_source(size_t dim, const char *source);
/* The reference of that dim as `adder fit` makes it, and the oracle of the same files. */
reference *fixture_reference(size_t dim);
oracle *fixture_oracle(size_t dim);

typedef struct {
    char name[64]; /* which it is, for messages */
    double score;
    fixture_rows rows;
} fixture_window;
typedef struct {
    size_t windows;
    fixture_window *window;
} fixture_golden;
fixture_golden fixture_golden_load(size_t dim);
void fixture_golden_free(fixture_golden *golden);

/* One thread, 4 slots, no memory, batches of up to 4096 rows: what a test then changes. */
engine_options fixture_options(const char *name, size_t window_rows);
engine *fixture_open(const engine_reference *reference, engine_options options);

/* Sends rows `first` .. `first + count - 1` to a slot, `observation_rows` to an observation and
 * `batch_observations` of these to a batch (0 is 1). */
typedef struct {
    uint32_t slot;
    const fixture_rows *rows;
    size_t first;
    size_t count;
    size_t observation_rows;
    size_t batch_observations;
    float *alignments; /* [count], or NULL */
} fixture_feeding;
/* Returns the last result; results, unless NULL, gets one per observation. */
engine_result fixture_feed(engine *engine, fixture_feeding feeding, engine_result *results);
/* submit and collect, both of which must succeed. */
void fixture_run(engine *engine, const engine_batch *batch);

/* The largest relative error seen, and where. An expected value below `least` counts as `least`. */
typedef struct {
    double least;
    double error;
    double got;
    double want;
    size_t compared;
    char where[128];
} fixture_worst;
__attribute__((format(printf, 4, 5))) void fixture_compare(fixture_worst *worst, double got,
                                                           double want, const char *where, ...);
/* Prints it, and fails the test when it is beyond the tolerance. */
void fixture_settle(const fixture_worst *worst, double tolerance, const char *claim);

#endif

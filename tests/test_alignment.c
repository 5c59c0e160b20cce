/* test_alignment.c - alignments of rows against float64, also where they are hard to tell. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"
#include "score.h"

/* What engine.h promises. Alignments are compared by their absolute error: `least` of a
 * fixture_worst is 1. */
static const double tolerance = 1e-5;

enum { ROWS_MAX = 512 };

static void compare_rows(const char *name, const engine_reference *reference,
                         const fixture_rows *rows, const char *what, fixture_worst *worst) {
    static float alignments[ROWS_MAX];
    cr_assert(rows->rows <= ROWS_MAX);
    memset(alignments, 0xff, sizeof alignments);
    engine *engine = fixture_open(reference, fixture_options(name, 1));
    fixture_feeding feeding = {.rows = rows,
                               .count = rows->rows,
                               .observation_rows = 1,
                               .batch_observations = rows->rows,
                               .alignments = alignments};
    fixture_feed(engine, feeding, NULL);
    for (size_t i = 0; i < rows->rows; i++) {
        double want =
            oracle_alignment(reference, rows->classes[i], rows->embeddings + i * rows->dim);
        fixture_compare(worst, (double)alignments[i], want, "%s, dim %zu, row %zu", what, rows->dim,
                        i);
    }
    engine_close(engine);
}

ENGINE_TEST(real_rows_are_aligned_within_1e5) {
    const char *const sources[] = {"benign_test", "atk_cifar100"};
    const size_t dims[] = {64, 256, 512};
    fixture_worst worst = {.least = 1.0};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        reference *reference = fixture_reference(dims[d]);
        for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
            fixture_rows rows = fixture_source(dims[d], sources[i]);
            rows.rows = rows.rows < ROWS_MAX ? rows.rows : ROWS_MAX;
            compare_rows(name, &reference->statistics, &rows, sources[i], &worst);
            fixture_rows_free(&rows);
        }
        reference_close(reference);
    }
    fixture_settle(&worst, tolerance, "alignments of real rows");
}

ENGINE_TEST(hostile_rows_of_random_references_are_aligned_within_1e5) {
    const size_t shapes[][2] = {{1, 2}, {2, 3}, {3, 12}, {8, 6}, {33, 6}, {96, 2}, {7, 1}};
    hostile_random random = {71};
    fixture_worst worst = {.least = 1.0};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        engine_reference reference =
            hostile_reference_make(&random, shapes[shape][0], shapes[shape][1]);
        for (hostile_kind kind = 0; kind < HOSTILE_KINDS; kind++) {
            fixture_rows rows = hostile_window_make(&random, &reference, kind, 40);
            compare_rows(name, &reference, &rows, hostile_kind_names[kind], &worst);
            fixture_rows_free(&rows);
        }
        hostile_reference_free(&reference);
    }
    fixture_settle(&worst, tolerance, "alignments of hostile rows");
}

/* A row of class c at g + far (m_c - g). */
static void put_between(const engine_reference *reference, size_t c, double far, float *row) {
    for (size_t j = 0; j < reference->dim; j++) {
        double middle = 0.0, mean = (double)reference->mean[c * reference->dim + j];
        for (size_t k = 0; k < reference->classes; k++) {
            middle += (double)reference->mean[k * reference->dim + j];
        }
        middle /= (double)reference->classes;
        row[j] = (float)(middle + far * (mean - middle));
    }
}

ENGINE_TEST(rows_at_the_means_on_the_way_and_far_beyond_are_aligned_as_they_lie) {
    enum { DIM = 24, CLASSES = 5, PLACES = 9 };
    const double far[PLACES] = {1.0, -1.0, 0.0, 0.02, -0.02, 1e3, -1e6, 1e11, -1e11};
    hostile_random random = {72};
    fixture_worst worst = {.least = 1.0};
    engine_reference reference = hostile_reference_make(&random, DIM, CLASSES);
    fixture_rows rows = fixture_rows_make(CLASSES * (PLACES + 2), DIM);
    for (size_t i = 0; i < rows.rows; i++) {
        float *row = rows.embeddings + i * DIM;
        rows.classes[i] = (uint32_t)(i % CLASSES);
        if (i / CLASSES < PLACES) {
            put_between(&reference, i % CLASSES, far[i / CLASSES], row);
            continue;
        }
        for (size_t j = 0; j < DIM; j++) { /* the largest that an engine takes */
            row[j] = i / CLASSES == PLACES || j % 2 ? 1e12f : -1e12f;
        }
    }
    memcpy(rows.embeddings, reference.mean, CLASSES * DIM * sizeof(float));
    compare_rows(name, &reference, &rows, "on the way", &worst);
    fixture_settle(&worst, tolerance, "alignments between and beyond the means");
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

/* Alignments of one row of each class where means are at the ends of float32, or all the same. */
static void feed_flat(const char *name, const float *level, float *alignments) {
    enum { DIM = 3, CLASSES = 3 };
    hostile_random random = {73};
    engine_reference reference = hostile_reference_make(&random, DIM, CLASSES);
    float mean[CLASSES * DIM], *own = (float *)(uintptr_t)reference.mean;
    for (size_t i = 0; i < CLASSES * DIM; i++) {
        mean[i] = level[i / DIM];
    }
    fixture_rows rows = fixture_rows_make(CLASSES, DIM);
    for (uint32_t c = 0; c < CLASSES; c++) {
        rows.classes[c] = c;
    }
    reference.mean = mean;
    engine *engine = fixture_open(&reference, fixture_options(name, 1));
    fixture_feeding feeding = {
        .rows = &rows, .count = CLASSES, .observation_rows = 1, .alignments = alignments};
    fixture_feed(engine, feeding, NULL);
    engine_close(engine);
    reference.mean = own;
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

ENGINE_TEST(an_alignment_is_always_a_number) {
    const float ends[] = {3.4e38f, -3.4e38f, -3.4e38f}, same[] = {0.1f, 0.1f, 0.1f};
    float alignments[3];
    feed_flat(name, ends, alignments);
    /* m_0 - g is beyond float32; the others' is not, and a row at 0 is on the other side of g. */
    cr_assert(alignments[0] == -1.0f, "%g", (double)alignments[0]);
    cr_assert(fabsf(alignments[1] + 1.0f) < 1e-5f, "%g", (double)alignments[1]);
    feed_flat(name, same, alignments);
    for (size_t c = 0; c < 3; c++) {
        cr_assert(alignments[c] == 0.0f, "class %zu of equal means: %g", c, (double)alignments[c]);
    }
}

/* What no finite row and mean lead to, but an engine's caller may have overlooked. */
Test(score, an_alignment_of_what_is_no_number_is_that_of_the_worst_row) {
    const double odd[] = {(double)INFINITY, -(double)INFINITY, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        cr_assert(score_alignment(odd[i], 1.0, 1.0) == -1.0f, "s = %g", odd[i]);
        cr_assert(score_alignment(1.0, odd[i], 1.0) == -1.0f, "t = %g", odd[i]);
        cr_assert(score_alignment(1.0, 1.0, odd[i]) == -1.0f, "a = %g", odd[i]);
    }
    cr_assert(score_alignment(1e200, 1e200, 1e300) == 1.0f, "what has no square but is finite");
    cr_assert(score_alignment((double)INFINITY, 0.0, 0.0) == 0.0f, "a class at the middle");
}

/* Each row by itself, in batches of every way to send them, whatever its class's other rows are. */
ENGINE_TEST(batching_changes_no_alignment) {
    enum { ROWS = 300 };
    static float want[ROWS], got[ROWS];
    hostile_random random = {74};
    fixture_worst worst = {.least = 1.0};
    engine_reference reference = hostile_reference_make(&random, 37, 7);
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, ROWS);
    engine *engine = fixture_open(&reference, fixture_options(name, 16));
    fixture_feeding feeding = {
        .rows = &rows, .count = ROWS, .observation_rows = 1, .alignments = want};
    const size_t batches[] = {1, 2, 5, 30, ROWS};
    fixture_feed(engine, feeding, NULL);
    feeding.alignments = got;
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        feeding.observation_rows = b % 2 ? 1 : 16;
        feeding.batch_observations = batches[b];
        memset(got, 0xff, sizeof got);
        fixture_feed(engine, feeding, NULL);
        for (size_t i = 0; i < ROWS; i++) {
            fixture_compare(&worst, (double)got[i], (double)want[i], "row %zu of batches of %zu", i,
                            batches[b]);
        }
    }
    /* A row's sums do not depend on its neighbours: float32 rounding of the result at most. */
    fixture_settle(&worst, 1e-7, "alignments, batched and one by one");
    engine_close(engine);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

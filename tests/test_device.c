/*
 * test_device.c - a CUDA device that is missing, too small, failing or lost, on the stand-in.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"
#include "standin.h"

enum { DIM = 40, CLASSES = 3, WINDOW = 40, SLOTS = 4, OBSERVATIONS = 6, ROWS = 60 };

/* The CPU engine does the same arithmetic in another order. */
static const double engines_tolerance = 1e-5;

/* What leaves the process unable to use CUDA; the daemon must go on. */
static const int losses[] = {226, 700, 702, 714, 719, 911};

/* W and the rank above 33, q above 32: all kernels and both libraries take part. */
static engine_options options_of(const char *name) {
    return (engine_options){.name = name,
                            .window_rows = WINDOW,
                            .memory_rank = 36,
                            .half_life_rows = 64,
                            .memory_blocks = 256,
                            .slots_max = SLOTS,
                            .batch_rows_max = 128,
                            .threads = 1};
}

/* Batches of six observations of ten rows; a slot has several in one batch. */
typedef struct {
    engine_reference reference;
    fixture_rows rows;
    const unsigned char *embeddings[ROWS];
    engine_observation observation[OBSERVATIONS];
    engine_benign benign;
} traffic;

/* What becomes of a batch. */
typedef struct {
    engine_result results[OBSERVATIONS];
    float alignments[ROWS];
} answers;

static void traffic_make(traffic *t) {
    hostile_random random = {31};
    t->reference = hostile_reference_make(&random, DIM, CLASSES);
    t->benign = hostile_benign_make(&random, &t->reference, 5);
    t->reference.benign = t->reference.memory_benign = &t->benign;
    t->rows = hostile_window_make(&random, &t->reference, HOSTILE_FOREIGN, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        /* Half of the rows of one class, so that its Gram matrix grows large. */
        t->rows.classes[i] = i % 2 ? 0 : t->rows.classes[i];
        t->embeddings[i] = (const unsigned char *)(t->rows.embeddings + i * DIM);
    }
    for (uint32_t o = 0; o < OBSERVATIONS; o++) {
        t->observation[o] = (engine_observation){o % SLOTS, o * 10, 10, ENGINE_F32};
    }
}

static void traffic_free(traffic *t) {
    fixture_rows_free(&t->rows);
    hostile_benign_free(&t->benign);
    hostile_reference_free(&t->reference);
}

static engine_batch batch_of(const traffic *t, answers *answers) {
    return (engine_batch){.rows = ROWS,
                          .embeddings = t->embeddings,
                          .classes = t->rows.classes,
                          .observations = OBSERVATIONS,
                          .observation = t->observation,
                          .results = answers->results,
                          .alignments = answers->alignments};
}

static engine *open_engine(const traffic *t, const char *name) {
    return fixture_open(&t->reference, options_of(name));
}

/* Each figure to the engines' tolerance of itself or of what it is measured in. */
static void compare_one(const char *what, const char *figure, double got, double want,
                        double least) {
    cr_assert(fabs(got - want) <= engines_tolerance * fmax(fabs(want), least),
              "%s: the %s is %.9g, not %.9g", what, figure, got, want);
}

static void compare(const traffic *t, const answers *got, const answers *want, const char *what) {
    double bound = hostile_benign_bound(&t->benign, &t->reference);
    for (size_t o = 0; o < OBSERVATIONS; o++) {
        const engine_result *a = &got->results[o], *b = &want->results[o];
        cr_assert(a->fill == b->fill, "%s: observation %zu has fill %u, not %u", what, o, a->fill,
                  b->fill);
        compare_one(what, "score", a->score, b->score, 0.0);
        compare_one(what, "memory's score", a->memory_score, b->memory_score, 0.0);
        compare_one(what, "excess", a->excess, b->excess, bound);
        compare_one(what, "memory's excess", a->memory_excess, b->memory_excess, bound);
        compare_one(what, "concentration", a->concentration, b->concentration, 0.0);
    }
    for (size_t i = 0; i < ROWS; i++) {
        compare_one(what, "alignment", (double)got->alignments[i], (double)want->alignments[i],
                    1.0);
    }
}

/* ---- which engine ---- */

Test(device, auto_is_cuda_where_a_device_answers_and_else_cpu_and_says_why) {
    traffic t;
    traffic_make(&t);
    engine *engine = open_engine(&t, "auto");
    cr_assert_str_eq(engine_describe(engine).name, "cuda");
    engine_close(engine);
    standin_set_devices(0);
    engine = open_engine(&t, "auto");
    engine_facts facts = engine_describe(engine);
    cr_assert_str_eq(facts.name, "cpu");
    cr_assert(strstr(facts.note, "no cuda device answers"), "the note is \"%s\"", facts.note);
    cr_assert(!facts.degraded);
    engine_close(engine);
    char error[256] = "";
    engine_options options = options_of("cuda");
    cr_assert(engine_open(&engine, &t.reference, &options, error, sizeof error) ==
              ENGINE_BAD_ARGUMENT);
    cr_assert(!engine && strstr(error, "no cuda device answers"), "the text is \"%s\"", error);
    standin_reset();
    traffic_free(&t);
}

/* ---- too small ---- */

Test(device, a_device_without_room_is_refused_with_how_many_accounts_would_fit) {
    traffic t;
    char error[256] = "";
    engine *engine = NULL;
    traffic_make(&t);
    engine_options options = options_of("cuda");
    options.memory_rank = 0;
    options.slots_max = 1 << 20;
    standin_set_memory(64 << 20);
    cr_assert(engine_open(&engine, &t.reference, &options, error, sizeof error) ==
              ENGINE_NO_MEMORY);
    const char *fit = strrchr(error, ':');
    cr_assert(!engine && fit && strstr(fit, "accounts would fit") && !strchr(error, '\n'),
              "the text is \"%s\"", error);
    size_t slots = strtoul(fit + 1, NULL, 10);
    cr_assert(slots > 0 && slots < options.slots_max, "%s", error);
    options.slots_max = slots;
    cr_assert(engine_open(&engine, &t.reference, &options, error, sizeof error) == ENGINE_OK,
              "%zu: %s", slots, error);
    engine_close(engine);
    options.slots_max = slots + slots / 100 + 1;
    cr_assert(engine_open(&engine, &t.reference, &options, error, sizeof error) == ENGINE_NO_MEMORY,
              "%zu fit as well", options.slots_max);
    standin_reset();
    traffic_free(&t);
}

/* ---- failing ---- */

static void nothing_left(const char *what, size_t nth) {
    standin_counts left = standin_count();
    cr_assert(left.device_blocks == 0 && left.host_blocks == 0 && left.streams == 0 &&
                  left.events == 0 && left.graphs == 0 && left.handles == 0,
              "%s, call %zu: %zu device and %zu host blocks, %zu streams, %zu events, %zu graphs, "
              "%zu handles are left",
              what, nth, left.device_blocks, left.host_blocks, left.streams, left.events,
              left.graphs, left.handles);
}

static void every_call_fails_at_open(const traffic *t, engine_options options) {
    size_t opened = 0;
    for (unsigned nth = 1; !opened; nth++) {
        char error[256] = "";
        engine *engine = NULL;
        standin_fail(NULL, nth, 2);
        engine_status status = engine_open(&engine, &t->reference, &options, error, sizeof error);
        standin_reset();
        if (status == ENGINE_OK) {
            opened = nth;
            engine_close(engine);
        } else {
            cr_assert(!engine && strlen(error) > 8 && !strchr(error, '\n'), "call %u: \"%s\"", nth,
                      error);
        }
        nothing_left("open", nth);
    }
    printf("%zu calls of CUDA and its libraries failed at open, one after the other\n", opened - 1);
}

Test(device, a_call_that_fails_at_open_is_said_and_leaves_nothing_behind) {
    traffic t;
    traffic_make(&t);
    every_call_fails_at_open(&t, options_of("cuda"));
    engine_options small = options_of("cuda");
    small.window_rows = 16; /* with a graph */
    small.memory_rank = 8;
    every_call_fails_at_open(&t, small);
    traffic_free(&t);
}

/* As many in flight as the engine takes. */
static void push(engine *engine, const engine_batch *batch, size_t *collected) {
    engine_status status = engine_submit(engine, batch);
    if (status == ENGINE_BUSY) {
        cr_assert(engine_collect(engine) == ENGINE_OK);
        *collected += 1;
        status = engine_submit(engine, batch);
    }
    cr_assert(status == ENGINE_OK, "%s, %s", engine_status_text(status),
              engine_describe(engine).note);
}

enum { BATCHES = 3 };

/* The CPU engine begins with empty windows at some batch, from where on it has seen what a fresh
 * engine has. */
static void compare_all(const traffic *t, const answers got[BATCHES], const answers fresh[BATCHES],
                        const char *what) {
    size_t seen = 0;
    for (size_t b = 0; b < BATCHES; b++, seen++) {
        seen = got[b].results[0].fill == 10 ? 0 : seen;
        compare(t, &got[b], &fresh[seen], what);
    }
}

/* Call `nth` after opening fails. Returns whether there was one. */
static bool lose(const traffic *t, unsigned nth, int code, const answers fresh[BATCHES]) {
    answers got[BATCHES];
    engine_batch batch[BATCHES];
    size_t collected = 0;
    char what[64];
    memset(got, 0xff, sizeof got);
    engine *engine = open_engine(t, "cuda");
    size_t before = standin_count().calls;
    standin_fail(NULL, nth, code);
    for (size_t b = 0; b < BATCHES; b++) {
        batch[b] = batch_of(t, &got[b]);
        push(engine, &batch[b], &collected);
    }
    while (engine_collect(engine) == ENGINE_OK) {
        collected++;
    }
    bool lost = standin_count().calls - before >= nth;
    engine_facts facts = engine_describe(engine);
    snprintf(what, sizeof what, "call %u failing with %d", nth, code);
    cr_assert(collected == BATCHES, "%s: %zu batches were answered", what, collected);
    cr_assert(facts.degraded == lost, "%s: degraded is %d", what, facts.degraded);
    cr_assert_str_eq(facts.name, lost ? "cpu" : "cuda");
    cr_assert(!lost || strncmp(facts.note, "cuda lost: ", 11) == 0, "%s: \"%s\"", what, facts.note);
    compare_all(t, got, fresh, what);
    engine_close(engine);
    standin_reset();
    nothing_left(what, nth);
    return lost;
}

Test(device, a_device_lost_at_any_call_costs_windows_but_no_answer) {
    traffic t;
    answers fresh[BATCHES];
    traffic_make(&t);
    engine *cpu = open_engine(&t, "cpu");
    for (size_t b = 0; b < BATCHES; b++) {
        engine_batch batch = batch_of(&t, &fresh[b]);
        fixture_run(cpu, &batch);
    }
    engine_close(cpu);
    unsigned calls = 1;
    while (lose(&t, calls, losses[calls % (sizeof losses / sizeof *losses)], fresh)) {
        calls++;
    }
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        cr_assert(lose(&t, 7, losses[i], fresh), "%d", losses[i]);
    }
    printf("%u calls failed, one after the other\n", calls - 1);
    cr_assert(calls > 60, "only %u calls", calls);
    traffic_free(&t);
}

Test(device, a_device_and_memory_lost_together_are_told) {
    traffic t;
    answers answers;
    traffic_make(&t);
    engine *engine = open_engine(&t, "cuda");
    standin_fail("cudaEventSynchronize", 1, 700);
    engine_batch batch = batch_of(&t, &answers);
    cr_assert(engine_submit(engine, &batch) == ENGINE_OK);
    cr_assert(engine_collect(engine) == ENGINE_OK);
    cr_assert(engine_describe(engine).degraded);
    size_t used = 0;
    cr_assert(engine_export(engine, 0, NULL, 0, &used) == ENGINE_OK && used > 0);
    engine_close(engine);
    standin_reset();
    traffic_free(&t);
}

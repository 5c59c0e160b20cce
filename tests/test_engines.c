/*
 * test_engines.c - the CUDA engine against the CPU engine, operation by operation.
 *
 * Each round opens both on a random reference with random options, then does the same to both:
 * batches of mixed types and several observations of a slot, one or two of them in flight, slots
 * forgotten, exported, imported, merged. What either returns must be what the other returns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"

/* What engine.h promises for a window and for a memory, each relative to the score or, below 4 % of
 * the smallest trace, to that. */
static const double score_tolerance = 1e-5;
static const double memory_tolerance = 1e-4;
static const double small_share = 0.04;

/* An alignment is off by 1e-7, whichever engine's sums it is of, unless the row is near the middle
 * of all means, where engine.h promises this. */
static const double alignment_tolerance = 1e-5;

/* The same sum of whole numbers. */
static const double concentration_tolerance = 1e-15;

enum {
    FIRST_SEED = 20260,
    ROUNDS = 160,
    STEPS = 8,
    ROWS_MAX = 100,
    SLOTS_MAX = 6,
    DIM_MAX = 80,
    ELEMENT_BYTES_MAX = 4,
    ENGINES = 2,
    FLIGHTS = 2,
};

typedef enum {
    SCORE,
    MEMORY,
    EXCESS,
    MEMORY_EXCESS,
    CONCENTRATION,
    ALIGNMENT,
    FIGURES,
} figure;
static const char *const figure_names[FIGURES] = {
    "windows", "memories", "excesses", "excesses of memories", "concentrations", "alignments"};
static double tolerance_of(figure figure) {
    const double tolerance[FIGURES] = {score_tolerance,         memory_tolerance,
                                       score_tolerance,         memory_tolerance,
                                       concentration_tolerance, alignment_tolerance};
    return tolerance[figure];
}

typedef struct {
    hostile_random random;
    size_t round;
    engine_reference reference;
    engine_options options;
    engine *engine[ENGINES];             /* cpu, cuda */
    engine_benign benign, memory_benign; /* where the reference has any */
    double bound, memory_bound;          /* see hostile_benign_bound */
    fixture_worst worst[FIGURES];
} duel;

/* A batch and what each engine made of it. */
typedef struct {
    unsigned char *bytes; /* rows behind each other, the first at an odd address */
    const unsigned char *embeddings[ROWS_MAX];
    uint32_t classes[ROWS_MAX];
    engine_observation observation[ROWS_MAX];
    engine_result results[ENGINES][ROWS_MAX];
    float alignments[ENGINES][ROWS_MAX];
    engine_batch batch[ENGINES];
} draft;

static size_t below(duel *d, size_t limit) {
    return hostile_random_below(&d->random, limit);
}

/* ---- what a round starts with ---- */

static void *must_have(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);
    cr_assert(memory, "no memory for %zu times %zu bytes", count, bytes);
    return memory;
}

/* The first `rank` columns of a larger reference's factors are a reference, too. */
static void cut_rank(engine_reference *r, size_t rank) {
    float *factor = must_have(r->classes * r->dim * rank, sizeof *factor);
    double *trace = must_have(r->classes, sizeof *trace);
    for (size_t i = 0; i < r->classes * r->dim; i++) {
        memcpy(factor + i * rank, r->factor + i * r->rank, rank * sizeof *factor);
        for (size_t j = 0; j < rank; j++) {
            double value = (double)factor[i * rank + j];
            trace[i / r->dim] += value * value;
        }
    }
    free((void *)r->factor);
    free((void *)r->trace);
    r->factor = factor;
    r->trace = trace;
    r->rank = rank;
}

static engine_options random_options(duel *d) {
    const double half_lives[] = {0.0, 3.0, 100.0};
    size_t rows = 1 + below(d, ROWS_MAX), window = 1 + below(d, DIM_MAX);
    size_t blocks = below(d, 3) == 0 ? rows + 1000 : rows + below(d, 12); /* some run out */
    return (engine_options){.window_rows = below(d, 2) ? window : 1 + window / 5,
                            .memory_rank = below(d, 4) ? below(d, 41) : 0,
                            .half_life_rows = half_lives[below(d, 3)],
                            .memory_blocks = blocks,
                            .slots_max = 1 + below(d, SLOTS_MAX),
                            .batch_rows_max = rows,
                            .threads = 1 + below(d, 2)};
}

static void open_engines(duel *d) {
    const char *const names[ENGINES] = {"cpu", "cuda"};
    memset(d->worst, 0, sizeof d->worst);
    d->worst[SCORE].least = d->worst[MEMORY].least =
        small_share * hostile_least_trace(&d->reference);
    d->worst[ALIGNMENT].least = 1.0;
    for (size_t i = 0; i < ENGINES; i++) {
        d->options.name = names[i];
        d->engine[i] = fixture_open(&d->reference, d->options);
    }
}

/* Tables for three of four. */
static const engine_benign *random_table(duel *d, engine_benign *benign, double *bound) {
    if (below(d, 4) == 0) {
        return NULL;
    }
    *benign = hostile_benign_make(&d->random, &d->reference, 1 + below(d, below(d, 2) ? 4 : 32));
    *bound = hostile_benign_bound(benign, &d->reference);
    return benign;
}

static void open_duel(duel *d) {
    size_t dim = 1 + below(d, DIM_MAX);
    d->reference = hostile_reference_make(&d->random, dim, 1 + below(d, below(d, 3) ? 6 : 40));
    cut_rank(&d->reference, below(d, 3) ? dim : 1 + below(d, dim));
    d->options = random_options(d);
    d->reference.benign = random_table(d, &d->benign, &d->bound);
    d->reference.memory_benign = random_table(d, &d->memory_benign, &d->memory_bound);
    open_engines(d);
}

static void close_duel(duel *d) {
    for (size_t i = 0; i < ENGINES; i++) {
        engine_close(d->engine[i]);
    }
    hostile_benign_free(&d->benign);
    hostile_benign_free(&d->memory_benign);
    d->bound = d->memory_bound = 0.0;
    hostile_reference_free(&d->reference);
}

/* ---- batches ---- */

/* bfloat16 by cutting; float16 by the compiler's own conversion, of values in its range. */
static size_t put_element(engine_dtype dtype, float value, unsigned char *at) {
    if (dtype == ENGINE_F32) {
        memcpy(at, &value, sizeof value);
        return sizeof value;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t brain = (uint16_t)(bits >> 16);
    _Float16 half = (_Float16)value;
    memcpy(at, dtype == ENGINE_BF16 ? (const void *)&brain : (const void *)&half, sizeof brain);
    return sizeof brain;
}

static void put_rows(duel *d, draft *draft, size_t rows) {
    size_t dim = d->reference.dim;
    hostile_kind kind = (hostile_kind)below(d, HOSTILE_KINDS);
    fixture_rows drawn = hostile_window_make(&d->random, &d->reference, kind, rows);
    unsigned char *at = draft->bytes + 1;
    for (size_t o = 0, i = 0; i < rows; i++) {
        while (i >= draft->observation[o].row_first + draft->observation[o].row_count) {
            o++;
        }
        draft->classes[i] = drawn.classes[i];
        draft->embeddings[i] = at;
        for (size_t j = 0; j < dim; j++) {
            /* Half precision ends at 65504. */
            float value = drawn.embeddings[i * dim + j];
            value = value > 6e4f ? 6e4f : value < -6e4f ? -6e4f : value;
            at += put_element(draft->observation[o].dtype, value, at);
        }
    }
    fixture_rows_free(&drawn);
}

static void lay_batches(draft *draft, size_t rows, size_t observations, bool aligned) {
    for (size_t i = 0; i < ENGINES; i++) {
        memset(draft->results[i], 0x5a, sizeof draft->results[i]);
        memset(draft->alignments[i], 0x5a, sizeof draft->alignments[i]);
        draft->batch[i] = (engine_batch){.rows = rows,
                                         .embeddings = draft->embeddings,
                                         .classes = draft->classes,
                                         .observations = observations,
                                         .observation = draft->observation,
                                         .results = draft->results[i],
                                         .alignments = aligned ? draft->alignments[i] : NULL};
    }
}

static void make_batch(duel *d, draft *draft) {
    const engine_options *o = &d->options;
    size_t rows = 1 + below(d, o->batch_rows_max), observations = 0;
    size_t most = below(d, 2) ? 3 : o->window_rows; /* rows of an observation */
    most = most < o->window_rows ? most : o->window_rows;
    draft->bytes = must_have(1 + rows * d->reference.dim, ELEMENT_BYTES_MAX);
    for (size_t row = 0; row < rows; observations++) {
        size_t count = 1 + below(d, most);
        count = count < rows - row ? count : rows - row;
        draft->observation[observations] = (engine_observation){
            .slot = (uint32_t)below(d, o->slots_max),
            .row_first = (uint32_t)row,
            .row_count = (uint32_t)count,
            .dtype = (engine_dtype)below(d, 3),
        };
        row += count;
    }
    put_rows(d, draft, rows);
    lay_batches(draft, rows, observations, below(d, 4) > 0);
}

static void compare_one(duel *d, figure figure, double cuda, double cpu) {
    const engine_options *p = &d->options;
    fixture_compare(&d->worst[figure], cuda, cpu,
                    "round %zu, dim %zu, rank %zu, W %zu, q %zu, half-life %g, %zu blocks",
                    d->round, d->reference.dim, d->reference.rank, p->window_rows, p->memory_rank,
                    p->half_life_rows, p->memory_blocks);
}

static void compare(duel *d, const draft *draft) {
    for (size_t o = 0; o < draft->batch[0].observations; o++) {
        const engine_result *cpu = &draft->results[0][o], *cuda = &draft->results[1][o];
        cr_assert(cpu->fill == cuda->fill, "round %zu: fill %u, not %u", d->round, cuda->fill,
                  cpu->fill);
        compare_one(d, SCORE, cuda->score, cpu->score);
        compare_one(d, MEMORY, cuda->memory_score, cpu->memory_score);
        compare_one(d, EXCESS, cuda->excess + d->bound, cpu->excess + d->bound);
        compare_one(d, MEMORY_EXCESS, cuda->memory_excess + d->memory_bound,
                    cpu->memory_excess + d->memory_bound);
        compare_one(d, CONCENTRATION, cuda->concentration, cpu->concentration);
    }
    bool aligned = draft->batch[0].alignments != NULL;
    for (size_t i = 0; aligned && i < draft->batch[0].rows; i++) {
        compare_one(d, ALIGNMENT, (double)draft->alignments[1][i], (double)draft->alignments[0][i]);
    }
}

/* The CUDA engine takes as many before the first is collected. */
static void run_batches(duel *d, size_t flights) {
    draft *drafts = must_have(FLIGHTS, sizeof *drafts);
    for (size_t i = 0; i < flights; i++) {
        make_batch(d, &drafts[i]);
        fixture_run(d->engine[0], &drafts[i].batch[0]);
        engine_status status = engine_submit(d->engine[1], &drafts[i].batch[1]);
        cr_assert(status == ENGINE_OK, "submit %zu: %s", i, engine_status_text(status));
    }
    for (size_t i = 0; i < flights; i++) {
        engine_status status = engine_collect(d->engine[1]);
        cr_assert(status == ENGINE_OK, "collect %zu: %s", i, engine_status_text(status));
        compare(d, &drafts[i]);
        free(drafts[i].bytes);
    }
    cr_assert(engine_collect(d->engine[1]) == ENGINE_EMPTY);
    free(drafts);
}

/* ---- slots ---- */

/* Either engine's bytes go to both, so that what one writes the other reads. */
static void move(duel *d) {
    uint32_t from = (uint32_t)below(d, d->options.slots_max);
    uint32_t to = (uint32_t)below(d, d->options.slots_max);
    size_t used[ENGINES];
    unsigned char *bytes[ENGINES];
    for (size_t i = 0; i < ENGINES; i++) {
        cr_assert(engine_export(d->engine[i], from, NULL, 0, &used[i]) == ENGINE_OK);
        bytes[i] = must_have(used[i], 1);
        cr_assert(engine_export(d->engine[i], from, bytes[i], used[i], &used[i]) == ENGINE_OK);
    }
    cr_assert(used[0] == used[1], "round %zu: %zu bytes, not %zu", d->round, used[1], used[0]);
    size_t whose = below(d, ENGINES);
    engine_status cpu = engine_import(d->engine[0], to, bytes[whose], used[whose]);
    engine_status cuda = engine_import(d->engine[1], to, bytes[whose], used[whose]);
    cr_assert(cpu == cuda, "round %zu: import into %u: %s, not %s", d->round, to,
              engine_status_text(cuda), engine_status_text(cpu));
    for (size_t i = 0; i < ENGINES; i++) {
        free(bytes[i]);
    }
}

static void forget(duel *d) {
    uint32_t slot = (uint32_t)below(d, d->options.slots_max);
    for (size_t i = 0; i < ENGINES; i++) {
        cr_assert(engine_forget(d->engine[i], slot) == ENGINE_OK);
    }
}

/* Keeps the worse of the two; where the round is beyond the tolerance, it is the one to tell of. */
static void keep_worse(fixture_worst *worst, const fixture_worst *round) {
    size_t compared = worst->compared + round->compared;
    *worst = round->error >= worst->error ? *round : *worst;
    worst->compared = compared;
}

static void take_step(duel *d) {
    switch (below(d, 5)) {
    case 0:
        forget(d);
        break;
    case 1:
        move(d);
        break;
    default:
        run_batches(d, 1 + below(d, FLIGHTS));
    }
}

Test(cuda, is_the_cpu_engine_in_every_operation) {
    duel d = {0};
    fixture_worst worst[FIGURES] = {0};
    for (d.round = 0; d.round < ROUNDS; d.round++) {
        d.random.state = FIRST_SEED + d.round;
        open_duel(&d);
        for (size_t step = 0; step < STEPS; step++) {
            take_step(&d);
        }
        run_batches(&d, 1);
        engine_facts facts = engine_describe(d.engine[1]);
        cr_assert(!facts.degraded, "round %zu: %s", d.round, facts.note);
        for (figure figure = 0; figure < FIGURES; figure++) {
            keep_worse(&worst[figure], &d.worst[figure]);
        }
        close_duel(&d);
    }
    for (figure figure = 0; figure < FIGURES; figure++) {
        fixture_settle(&worst[figure], tolerance_of(figure), figure_names[figure]);
    }
}

/* Together they have more blocks than the shares of one part of a batch, so that the second
 * account's score is all that the next part has to do. */
Test(cuda, two_accounts_of_many_classes_are_scored_in_one_batch) {
    enum { CLASSES = 600, DIM = 2, ACCOUNTS = 2, QUERIED = 530 };
    duel d = {.random = {FIRST_SEED}};
    d.reference = hostile_reference_make(&d.random, DIM, CLASSES);
    d.options = (engine_options){.window_rows = 4,
                                 .memory_rank = DIM,
                                 .memory_blocks = ACCOUNTS * CLASSES,
                                 .slots_max = ACCOUNTS,
                                 .batch_rows_max = ACCOUNTS};
    d.memory_benign = hostile_benign_make(&d.random, &d.reference, 8);
    d.memory_bound = hostile_benign_bound(&d.memory_benign, &d.reference);
    d.reference.memory_benign = &d.memory_benign;
    open_engines(&d);
    for (uint32_t c = 0; c < QUERIED; c++) {
        draft draft = {.bytes = must_have(1 + ACCOUNTS * DIM, ELEMENT_BYTES_MAX)};
        for (uint32_t slot = 0; slot < ACCOUNTS; slot++) {
            draft.observation[slot] =
                (engine_observation){.slot = slot, .row_first = slot, .row_count = 1};
        }
        put_rows(&d, &draft, ACCOUNTS);
        draft.classes[0] = draft.classes[1] = c;
        lay_batches(&draft, ACCOUNTS, ACCOUNTS, true);
        for (size_t i = 0; i < ENGINES; i++) {
            fixture_run(d.engine[i], &draft.batch[i]);
        }
        compare(&d, &draft);
        free(draft.bytes);
    }
    engine_facts facts = engine_describe(d.engine[1]);
    cr_assert(!facts.degraded, "%s", facts.note);
    fixture_settle(&d.worst[MEMORY], memory_tolerance, "memories of many classes");
    fixture_settle(&d.worst[MEMORY_EXCESS], memory_tolerance, "  their excesses");
    close_duel(&d);
}

/* test_arguments.c - what an engine refuses, that a refusal changes nothing, and forgetting. */
#include <math.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"

enum { DIM = 8, CLASSES = 3, WINDOW = 4, SLOTS = 2, BATCH_ROWS = 6 };

static engine_options small_options(const char *name) {
    return (engine_options){.name = name,
                            .window_rows = WINDOW,
                            .memory_rank = 4,
                            .half_life_rows = 32,
                            .memory_blocks = 8,
                            .slots_max = SLOTS,
                            .batch_rows_max = BATCH_ROWS,
                            .threads = 1};
}

static void refuses_open(const engine_reference *reference, engine_options options,
                         const char *what) {
    char error[256] = "";
    int nothing = 0;
    engine *engine = (void *)&nothing; /* to see that it is set to NULL */
    engine_status status = engine_open(&engine, reference, &options, error, sizeof error);
    cr_assert(status == ENGINE_BAD_ARGUMENT, "%s: %s", what, engine_status_text(status));
    cr_assert(!engine, "%s: not NULL", what);
    cr_assert(strlen(error) > 8 && !strchr(error, '\n'), "%s: the text is \"%s\"", what, error);
}

/* One field at a time is made wrong; `#field = value` is what the message says. */
#define REFUSES_OPTION(FIELD, VALUE)                                                               \
    do {                                                                                           \
        engine_options wrong = small_options(name);                                                \
        wrong.FIELD = (VALUE);                                                                     \
        refuses_open(&reference, wrong, #FIELD " = " #VALUE);                                      \
    } while (0)
#define REFUSES_REFERENCE(FIELD, VALUE)                                                            \
    do {                                                                                           \
        engine_reference wrong = reference;                                                        \
        wrong.FIELD = (VALUE);                                                                     \
        refuses_open(&wrong, small_options(name), #FIELD " = " #VALUE);                            \
    } while (0)

ENGINE_TEST(bad_options_and_references_are_refused_with_a_text) {
    hostile_random random = {1};
    engine_reference reference = hostile_reference_make(&random, DIM, CLASSES);
    engine *good = fixture_open(&reference, small_options(name));
    engine_close(good);
    REFUSES_OPTION(name, "abacus");
    REFUSES_OPTION(name, "");
    REFUSES_OPTION(window_rows, 0);
    REFUSES_OPTION(window_rows, ENGINE_WINDOW_MAX + 1);
    REFUSES_OPTION(window_rows, SIZE_MAX);
    REFUSES_OPTION(memory_rank, ENGINE_MEMORY_RANK_MAX + 1);
    REFUSES_OPTION(memory_rank, SIZE_MAX);
    REFUSES_OPTION(half_life_rows, -1.0);
    REFUSES_OPTION(half_life_rows, (double)NAN);
    REFUSES_OPTION(half_life_rows, (double)INFINITY);
    REFUSES_OPTION(memory_blocks, 0);
    REFUSES_OPTION(memory_blocks, BATCH_ROWS - 1);
    REFUSES_OPTION(memory_blocks, SIZE_MAX);
    REFUSES_OPTION(slots_max, 0);
    REFUSES_OPTION(slots_max, (size_t)ENGINE_SLOTS_MAX + 1);
    REFUSES_OPTION(slots_max, SIZE_MAX);
    REFUSES_OPTION(batch_rows_max, 0);
    REFUSES_OPTION(batch_rows_max, ENGINE_BATCH_ROWS_MAX + 1);
    REFUSES_OPTION(threads, ENGINE_THREADS_MAX + 1);
    REFUSES_REFERENCE(dim, 0);
    REFUSES_REFERENCE(dim, ENGINE_DIM_MAX + 1);
    REFUSES_REFERENCE(classes, 0);
    REFUSES_REFERENCE(classes, ENGINE_CLASSES_MAX + 1);
    REFUSES_REFERENCE(rank, 0);
    REFUSES_REFERENCE(rank, DIM + 1);
    hostile_reference_free(&reference);
}

/* Both tables are checked alike; one entry at a time is made wrong. */
static void refuses_table(const char *name, engine_benign table, const char *what) {
    hostile_random random = {1};
    engine_reference reference = hostile_reference_make(&random, DIM, CLASSES);
    reference.benign = &table;
    refuses_open(&reference, small_options(name), what);
    reference.benign = NULL;
    reference.memory_benign = &table;
    refuses_open(&reference, small_options(name), what);
    hostile_reference_free(&reference);
}

#define REFUSES_ENTRY(ARRAY, AT, VALUE)                                                            \
    do {                                                                                           \
        double right = ARRAY[AT];                                                                  \
        ARRAY[AT] = (VALUE);                                                                       \
        refuses_table(name, table, #ARRAY "[" #AT "] = " #VALUE);                                  \
        ARRAY[AT] = right;                                                                         \
    } while (0)

ENGINE_TEST(bad_benign_tables_are_refused_with_a_text) {
    enum { RUNGS = ENGINE_RUNGS_MAX + 1, LAST = CLASSES * 4 - 1 };
    double rung[RUNGS], mean[CLASSES * RUNGS], deviation[CLASSES * RUNGS];
    for (size_t i = 0; i < CLASSES * RUNGS; i++) {
        rung[i % RUNGS] = 1.0 + (double)(i % RUNGS);
        mean[i] = -3.0;
        deviation[i] = 1e-9;
    }
    engine_benign table = {.rungs = 4, .rung = rung, .mean = mean, .deviation = deviation};
    hostile_random random = {1};
    engine_reference reference = hostile_reference_make(&random, DIM, CLASSES);
    reference.benign = reference.memory_benign = &table;
    engine_close(fixture_open(&reference, small_options(name)));
    hostile_reference_free(&reference);
    REFUSES_ENTRY(rung, 0, 0.0);
    REFUSES_ENTRY(rung, 0, -1.0);
    REFUSES_ENTRY(rung, 1, 1.0);
    REFUSES_ENTRY(rung, 2, 1.5);
    REFUSES_ENTRY(rung, 3, (double)INFINITY);
    REFUSES_ENTRY(rung, 0, (double)NAN);
    REFUSES_ENTRY(mean, LAST, (double)NAN);
    REFUSES_ENTRY(mean, 0, (double)-INFINITY);
    REFUSES_ENTRY(deviation, LAST, 0.0);
    REFUSES_ENTRY(deviation, 0, -1.0);
    REFUSES_ENTRY(deviation, LAST, (double)NAN);
    REFUSES_ENTRY(deviation, 5, (double)INFINITY);
    table.rungs = 0;
    refuses_table(name, table, "no rungs");
    table.rungs = RUNGS;
    refuses_table(name, table, "a rung too many");
}

ENGINE_TEST(an_engine_that_was_never_opened_may_be_closed) {
    (void)name;
    engine_close(NULL);
}

ENGINE_TEST(facts_say_what_is_in_force) {
    hostile_random random = {2};
    engine_reference reference = hostile_reference_make(&random, DIM, CLASSES);
    engine_options options = small_options(name);
    options.memory_rank = 100;
    engine *engine = fixture_open(&reference, options);
    engine_facts facts = engine_describe(engine);
    cr_assert_str_eq(facts.name, name);
    cr_assert(!facts.degraded);
    cr_assert(facts.memory_rank == DIM, "rank %zu, more than the reference's", facts.memory_rank);
    cr_assert(facts.bytes_per_slot >= WINDOW * DIM * sizeof(float), "%zu", facts.bytes_per_slot);
    cr_assert(facts.bytes_per_block > 0);
    cr_assert(facts.threads == 1);
    engine_close(engine);
    hostile_reference_free(&reference);
}

/* A batch that is right, whose parts a case then spoils. */
typedef struct {
    fixture_rows rows;
    const unsigned char *embeddings[BATCH_ROWS + 1];
    uint32_t classes[BATCH_ROWS + 1];
    engine_observation observation[3];
    engine_result results[3];
    float alignments[BATCH_ROWS + 1];
    engine_batch batch;
} draft;

static void draft_make(draft *draft, const fixture_rows *rows) {
    for (size_t i = 0; i < BATCH_ROWS + 1; i++) {
        draft->embeddings[i] = (const unsigned char *)(rows->embeddings + i * DIM);
        draft->classes[i] = rows->classes[i];
    }
    draft->observation[0] = (engine_observation){.slot = 0, .row_first = 0, .row_count = 2};
    draft->observation[1] = (engine_observation){.slot = 1, .row_first = 2, .row_count = 2};
    draft->observation[2] = (engine_observation){.slot = 0, .row_first = 4, .row_count = 1};
    memset(draft->results, 0x5a, sizeof draft->results);
    memset(draft->alignments, 0x5a, sizeof draft->alignments);
    draft->batch = (engine_batch){.rows = 5,
                                  .embeddings = draft->embeddings,
                                  .classes = draft->classes,
                                  .observations = 3,
                                  .observation = draft->observation,
                                  .results = draft->results,
                                  .alignments = draft->alignments};
}

enum { SPOILS = 15 };

/* Makes one thing of the batch wrong and says what. */
static const char *spoil(draft *draft, size_t which) {
    engine_observation *observation = draft->observation;
    switch (which) {
    case 0:
        draft->classes[4] = CLASSES;
        return "class just out of range, in the last row";
    case 1:
        draft->classes[0] = UINT32_MAX;
        return "class far out of range";
    case 2:
        observation[2].slot = SLOTS;
        return "slot just out of range, in the last observation";
    case 3:
        observation[0].slot = UINT32_MAX;
        return "slot far out of range";
    case 4:
        observation[1].row_first = 3;
        observation[1].row_count = 1;
        return "gap between observations";
    case 5:
        observation[1].row_first = 1;
        return "overlapping observations";
    case 6:
        observation[0].row_first = 1;
        observation[0].row_count = 1;
        return "first row in no observation";
    case 7:
        draft->batch.observations = 2;
        return "last row in no observation";
    case 8:
        draft->batch.rows = 4;
        return "observation beyond the rows";
    case 9:
        observation[2].row_count = 0;
        draft->batch.rows = 4;
        return "observation of no rows";
    case 10:
        observation[0].row_count = WINDOW + 1;
        draft->batch.observations = 1;
        return "observation longer than the window";
    case 11:
        observation[1].row_count = 3;
        observation[2] = (engine_observation){.slot = 0, .row_first = 5, .row_count = 2};
        draft->batch.rows = BATCH_ROWS + 1;
        return "more rows than a batch may have";
    case 12:
        observation[2].row_first = UINT32_MAX;
        observation[2].row_count = 2;
        return "row_first + row_count beyond 32 bits";
    case 13:
        observation[2].row_count = UINT32_MAX;
        return "row_count beyond all";
    default:
        observation[1].dtype = (engine_dtype)17;
        return "element type that does not exist";
    }
}

/* Twins: the same rows in two engines, of which one is also sent what must be refused. */
typedef struct {
    engine_reference reference;
    fixture_rows rows;
    engine *plain;
    engine *tried;
} twins;

static twins twins_make(const char *name) {
    hostile_random random = {3};
    twins twins = {.reference = hostile_reference_make(&random, DIM, CLASSES)};
    twins.rows = hostile_window_make(&random, &twins.reference, HOSTILE_FOREIGN, 64);
    twins.plain = fixture_open(&twins.reference, small_options(name));
    twins.tried = fixture_open(&twins.reference, small_options(name));
    return twins;
}

static void twins_free(twins *twins) {
    engine_close(twins->plain);
    engine_close(twins->tried);
    fixture_rows_free(&twins->rows);
    hostile_reference_free(&twins->reference);
}

/* Both get the next rows and must answer alike, to the bit. */
static void twins_compare(const twins *twins, uint32_t slot, size_t first, const char *what) {
    fixture_feeding feeding = {
        .slot = slot, .rows = &twins->rows, .first = first, .count = 1, .observation_rows = 1};
    engine_result plain = fixture_feed(twins->plain, feeding, NULL);
    engine_result tried = fixture_feed(twins->tried, feeding, NULL);
    cr_assert(plain.fill == tried.fill && plain.score == tried.score &&
                  plain.memory_score == tried.memory_score,
              "%s: slot %u scores %.17g and %.17g, not %.17g and %.17g", what, slot, tried.score,
              tried.memory_score, plain.score, plain.memory_score);
}

ENGINE_TEST(a_bad_batch_is_refused_and_changes_nothing) {
    twins twins = twins_make(name);
    draft draft;
    for (size_t which = 0; which < SPOILS; which++) {
        draft_make(&draft, &twins.rows);
        const char *what = spoil(&draft, which);
        engine_result untouched[3];
        float unaligned[BATCH_ROWS + 1];
        memcpy(untouched, draft.results, sizeof untouched);
        memcpy(unaligned, draft.alignments, sizeof unaligned);
        engine_status status = engine_submit(twins.tried, &draft.batch);
        cr_assert(status == ENGINE_BAD_ARGUMENT, "%s: %s", what, engine_status_text(status));
        cr_assert(memcmp(untouched, draft.results, sizeof untouched) == 0, "%s: results", what);
        cr_assert(memcmp(unaligned, draft.alignments, sizeof unaligned) == 0, "%s: alignments",
                  what);
        status = engine_collect(twins.tried);
        cr_assert(status == ENGINE_EMPTY, "%s: collect: %s", what, engine_status_text(status));
        twins_compare(&twins, 0, 2 * which, what);
        twins_compare(&twins, 1, 2 * which + 1, what);
    }
    draft_make(&draft, &twins.rows);
    fixture_run(twins.plain, &draft.batch);
    fixture_run(twins.tried, &draft.batch);
    twins_compare(&twins, 0, 63, "after a good batch");
    twins_free(&twins);
}

ENGINE_TEST(a_slot_out_of_range_is_refused_everywhere) {
    twins twins = twins_make(name);
    unsigned char bytes[8192];
    size_t used = 0;
    cr_assert(engine_forget(twins.tried, SLOTS) == ENGINE_BAD_ARGUMENT);
    cr_assert(engine_export(twins.tried, SLOTS, bytes, sizeof bytes, &used) == ENGINE_BAD_ARGUMENT);
    cr_assert(engine_export(twins.tried, 0, bytes, sizeof bytes, &used) == ENGINE_OK);
    cr_assert(engine_import(twins.tried, SLOTS, bytes, used) == ENGINE_BAD_ARGUMENT);
    twins_free(&twins);
}

ENGINE_TEST(what_was_submitted_is_collected_once) {
    twins twins = twins_make(name);
    enum { FLIGHTS_MAX = 8 };
    static draft draft[FLIGHTS_MAX];
    size_t flights = 0;
    cr_assert(engine_collect(twins.tried) == ENGINE_EMPTY);
    while (flights < FLIGHTS_MAX) {
        draft_make(&draft[flights], &twins.rows);
        engine_status status = engine_submit(twins.tried, &draft[flights].batch);
        if (status == ENGINE_BUSY) {
            break;
        }
        cr_assert(status == ENGINE_OK, "%s", engine_status_text(status));
        flights++;
    }
    cr_assert(flights > 0);
    for (size_t i = 0; i < flights; i++) {
        cr_assert(engine_collect(twins.tried) == ENGINE_OK);
        /* The plain engine takes one batch after the other. */
        struct draft_result {
            engine_result results[3];
        } got;
        memcpy(got.results, draft[i].results, sizeof got.results);
        draft_make(&draft[i], &twins.rows);
        fixture_run(twins.plain, &draft[i].batch);
        for (size_t j = 0; j < 3; j++) {
            cr_assert(got.results[j].score == draft[i].results[j].score, "flight %zu", i);
        }
    }
    cr_assert(engine_collect(twins.tried) == ENGINE_EMPTY);
    twins_free(&twins);
}

ENGINE_TEST(a_forgotten_slot_is_as_new) {
    twins twins = twins_make(name);
    fixture_feeding feeding = {
        .rows = &twins.rows, .first = 32, .count = 20, .observation_rows = 3};
    for (feeding.slot = 0; feeding.slot < SLOTS; feeding.slot++) {
        fixture_feed(twins.tried, feeding, NULL);
    }
    /* Slot 1 keeps its rows, so the plain engine is given them too. */
    feeding.slot = 1;
    fixture_feed(twins.plain, feeding, NULL);
    cr_assert(engine_forget(twins.tried, 0) == ENGINE_OK);
    for (size_t i = 0; i < WINDOW + 2; i++) {
        twins_compare(&twins, 0, i, "forgotten");
        twins_compare(&twins, 1, i, "its neighbour");
    }
    cr_assert(engine_forget(twins.tried, 0) == ENGINE_OK);
    cr_assert(engine_forget(twins.tried, 0) == ENGINE_OK, "forgetting an empty slot");
    twins_free(&twins);
}

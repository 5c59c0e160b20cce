/* test_engine.c - an engine against the paper's formula on random data, and its promises to
 * callers: element types, batching, forgetting, refusing. Memories are test_memory.c's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "hostile.h"

/* Rows are projected in float32; grouping them otherwise may add up the products in another order.
 */
static const double grouping_tolerance = 1e-6;

/* Element types. */

/* The value of a half-precision pattern, by its definition. */
static float from_f16(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float magnitude =
        exponent ? ldexpf((float)(fraction + 1024), exponent - 25) : ldexpf((float)fraction, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static float from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* A random pattern whose value an engine must take: finite and at most 1e12. */
static uint16_t random_pattern(hostile_random *random, engine_dtype dtype) {
    for (;;) {
        uint16_t bits = (uint16_t)hostile_random_below(random, 65536);
        bool finite = dtype == ENGINE_F16 ? (bits >> 10 & 31) < 31 : (bits >> 7 & 255) < 255;
        if (finite && (dtype == ENGINE_F16 || fabsf(from_bf16(bits)) <= 1e12f)) {
            return bits;
        }
    }
}

/* One observation of packed rows that start at `bytes`, which need not be aligned. */
static engine_result feed_bytes(engine *engine, uint32_t slot, const unsigned char *bytes,
                                size_t row_bytes, const uint32_t *classes, size_t count,
                                engine_dtype dtype) {
    enum { COUNT_MAX = 64 };
    const unsigned char *rows[COUNT_MAX];
    engine_result result;
    cr_assert(count <= COUNT_MAX);
    for (size_t i = 0; i < count; i++) {
        rows[i] = bytes + i * row_bytes;
    }
    engine_observation observation = {.slot = slot, .row_count = (uint32_t)count, .dtype = dtype};
    engine_batch batch = {.rows = count,
                          .embeddings = rows,
                          .classes = classes,
                          .observations = 1,
                          .observation = &observation,
                          .results = &result};
    fixture_run(engine, &batch);
    return result;
}

/* Every other row gets ordinary values, so that large ones do not drown a wrong small one. */
static void fill_patterns(hostile_random *random, engine_dtype dtype, size_t rows, size_t dim,
                          uint16_t *narrow, float *wide) {
    for (size_t i = 0; i < rows * dim; i++) {
        uint16_t bits = random_pattern(random, dtype);
        if (i / dim % 2) {
            uint16_t one = dtype == ENGINE_F16 ? 0x3c00 : 0x3f80;
            bits = (uint16_t)((bits & 0x807f) | one);
        }
        narrow[i] = bits;
        wide[i] = dtype == ENGINE_F16 ? from_f16(bits) : from_bf16(bits);
    }
}

ENGINE_TEST(narrow_types_at_odd_addresses_score_exactly_as_their_f32_values) {
    enum { ROWS = 32, DIM = 37, CLASSES = 4 };
    hostile_random random = {16};
    engine_reference reference = hostile_reference_make(&random, DIM, CLASSES);
    engine *engine = fixture_open(&reference, fixture_options(name, ROWS));
    uint16_t narrow[ROWS * DIM];
    float wide[ROWS * DIM];
    uint32_t classes[ROWS];
    unsigned char bytes[sizeof wide + 3];
    for (size_t round = 0; round < 60; round++) {
        engine_dtype dtype = round % 2 ? ENGINE_F16 : ENGINE_BF16;
        size_t count = round < 40 ? 1 : ROWS, offset = 1 + round % 3;
        fill_patterns(&random, dtype, ROWS, DIM, narrow, wide);
        for (size_t i = 0; i < ROWS; i++) {
            classes[i] = (uint32_t)hostile_random_below(&random, CLASSES);
        }
        for (uint32_t slot = 0; slot < 3; slot++) {
            cr_assert(engine_forget(engine, slot) == ENGINE_OK);
        }
        const unsigned char *straight = (const unsigned char *)wide;
        engine_result want = feed_bytes(engine, 0, straight, DIM * 4, classes, count, ENGINE_F32);
        memcpy(bytes + offset, narrow, sizeof narrow);
        engine_result got = feed_bytes(engine, 1, bytes + offset, DIM * 2, classes, count, dtype);
        memcpy(bytes + offset, wide, sizeof wide);
        engine_result odd =
            feed_bytes(engine, 2, bytes + offset, DIM * 4, classes, count, ENGINE_F32);
        cr_assert(isfinite(want.score), "round %zu: %g", round, want.score);
        cr_assert(got.score == want.score, "round %zu, dtype %d: %.17g, as f32 %.17g", round, dtype,
                  got.score, want.score);
        cr_assert(odd.score == want.score, "round %zu, f32 %zu off: %.17g, straight %.17g", round,
                  offset, odd.score, want.score);
    }
    engine_close(engine);
    hostile_reference_free(&reference);
}

/* What an engine gives where nothing is computed must not be what an earlier batch left there. */
ENGINE_TEST(without_memory_every_memory_score_is_zero_whatever_batch_came_before) {
    const size_t observations[] = {60, 60, 90, 90, 60, 60, 40, 40, 7, 7, 90, 90};
    hostile_random random = {41};
    static engine_result results[90];
    engine_reference reference = hostile_reference_make(&random, 8, 3);
    engine *engine = fixture_open(&reference, fixture_options(name, 4));
    fixture_rows rows = hostile_window_make(&random, &reference, HOSTILE_FOREIGN, 90);
    for (size_t b = 0; b < sizeof observations / sizeof *observations; b++) {
        fixture_feeding feeding = {.rows = &rows,
                                   .count = observations[b],
                                   .observation_rows = 1,
                                   .batch_observations = observations[b]};
        fixture_feed(engine, feeding, results);
        for (size_t i = 0; i < observations[b]; i++) {
            cr_assert(results[i].memory_score == 0.0, "batch %zu, observation %zu: %g", b, i,
                      results[i].memory_score);
        }
    }
    engine_close(engine);
    fixture_rows_free(&rows);
    hostile_reference_free(&reference);
}

/* Batching. */

enum { STREAM_SLOTS = 200, STREAM_ROWS_EACH = 20, STREAM_ROWS = STREAM_SLOTS * STREAM_ROWS_EACH };

/* Rows of many accounts, interleaved. */
typedef struct {
    fixture_rows rows;
    uint32_t slot[STREAM_ROWS];
} stream;

/* How a stream is cut: rows of a batch and of an observation are at most these many; random cuts
 * are drawn below them. `mixed` keeps the stream's order, one row an observation. */
typedef struct {
    const char *name;
    size_t batch_rows;
    size_t observation_rows;
    bool random;
    bool mixed;
    size_t threads;
} grouping;

static void stream_make(stream *stream, hostile_random *random) {
    const char *const sources[] = {"benign_test", "atk_cifar100", "atk_jbda", "atk_noise_gauss"};
    fixture_rows source[4];
    for (size_t i = 0; i < 4; i++) {
        source[i] = fixture_source(64, sources[i]);
    }
    stream->rows = fixture_rows_make(STREAM_ROWS, 64);
    for (size_t i = 0; i < STREAM_ROWS; i++) {
        stream->slot[i] = (uint32_t)(i % STREAM_SLOTS);
    }
    for (size_t i = STREAM_ROWS; i-- > 1;) {
        size_t j = hostile_random_below(random, i + 1);
        uint32_t slot = stream->slot[i];
        stream->slot[i] = stream->slot[j];
        stream->slot[j] = slot;
    }
    for (size_t i = 0; i < STREAM_ROWS; i++) {
        const fixture_rows *from = &source[stream->slot[i] % 4];
        fixture_rows_copy(&stream->rows, i, from, hostile_random_below(random, from->rows));
    }
    for (size_t i = 0; i < 4; i++) {
        fixture_rows_free(&source[i]);
    }
}

static size_t cut(hostile_random *random, const grouping *grouping, size_t limit) {
    return grouping->random ? 1 + hostile_random_below(random, limit) : limit;
}

/* Positions first..first+count-1 of the stream in the order a batch sends them: by slot, and within
 * a slot as they came, unless `mixed`. */
static void order_batch(const stream *stream, bool mixed, size_t first, size_t count,
                        size_t *position) {
    size_t at = 0;
    for (uint32_t slot = 0; slot < (mixed ? 1 : STREAM_SLOTS); slot++) {
        for (size_t i = first; i < first + count; i++) {
            if (mixed || stream->slot[i] == slot) {
                position[at++] = i;
            }
        }
    }
}

/* Sends one batch; by_position[i] gets what was scored right after row i, where something was. */
static void send_batch(engine *engine, const stream *stream, hostile_random *random,
                       const grouping *grouping, size_t first, size_t count,
                       engine_result *by_position) {
    size_t *position = calloc(count, sizeof *position);
    const unsigned char **rows = calloc(count, sizeof *rows);
    uint32_t *classes = calloc(count, sizeof *classes);
    engine_observation *observation = calloc(count, sizeof *observation);
    engine_result *results = calloc(count, sizeof *results);
    cr_assert(position && rows && classes && observation && results);
    order_batch(stream, grouping->mixed, first, count, position);
    engine_batch batch = {.rows = count,
                          .embeddings = rows,
                          .classes = classes,
                          .observation = observation,
                          .results = results};
    size_t left = 0; /* rows the open observation may still take */
    for (size_t i = 0; i < count; i++) {
        rows[i] = (const unsigned char *)(stream->rows.embeddings + position[i] * 64);
        classes[i] = stream->rows.classes[position[i]];
        uint32_t slot = stream->slot[position[i]];
        if (left == 0 || slot != observation[batch.observations - 1].slot) {
            observation[batch.observations++] =
                (engine_observation){.slot = slot, .row_first = (uint32_t)i, .dtype = ENGINE_F32};
            left = cut(random, grouping, grouping->observation_rows);
        }
        observation[batch.observations - 1].row_count++;
        left--;
    }
    fixture_run(engine, &batch);
    for (size_t i = 0; i < batch.observations; i++) {
        size_t last = observation[i].row_first + observation[i].row_count - 1;
        by_position[position[last]] = results[i];
    }
    free(position);
    free(rows);
    free(classes);
    free(observation);
    free(results);
}

/* by_position must come zeroed: a fill of 0 says that nothing was scored there. */
static void send_stream(const char *name, const engine_reference *reference, const stream *stream,
                        const grouping *grouping, engine_result *by_position) {
    engine_options options = fixture_options(name, 16);
    options.memory_rank = 16;
    options.half_life_rows = 64;
    options.slots_max = STREAM_SLOTS;
    options.memory_blocks = STREAM_ROWS;
    options.batch_rows_max = STREAM_ROWS;
    options.threads = grouping->threads;
    engine *engine = fixture_open(reference, options);
    hostile_random random = {grouping->batch_rows};
    for (size_t done = 0; done < STREAM_ROWS;) {
        size_t count = cut(&random, grouping, grouping->batch_rows);
        count = count < STREAM_ROWS - done ? count : STREAM_ROWS - done;
        send_batch(engine, stream, &random, grouping, done, count, by_position);
        done += count;
    }
    engine_close(engine);
}

ENGINE_TEST(grouping_rows_otherwise_changes_no_score) {
    const grouping one_by_one = {"row by row", 1, 1, false, false, 1};
    const grouping groupings[] = {
        {"all in one batch", STREAM_ROWS, 16, false, false, 1},
        {"all in one batch, single rows mixed", STREAM_ROWS, 1, false, true, 1},
        {"all in one batch, observations of up to 5", STREAM_ROWS, 5, true, false, 2},
        {"64 rows a batch", 64, 16, false, false, 1},
        {"up to 700 rows a batch", 700, 16, true, false, 2},
        {"up to 9 rows a batch, mixed", 9, 1, true, true, 1},
    };
    hostile_random random = {200};
    static stream stream;
    static engine_result want[STREAM_ROWS], got[STREAM_ROWS];
    reference *reference = fixture_reference(64);
    stream_make(&stream, &random);
    send_stream(name, &reference->statistics, &stream, &one_by_one, want);
    for (size_t g = 0; g < sizeof groupings / sizeof *groupings; g++) {
        fixture_worst score = {0}, memory = {0};
        char claim[128];
        memset(got, 0, sizeof got);
        send_stream(name, &reference->statistics, &stream, &groupings[g], got);
        for (size_t i = 0; i < STREAM_ROWS; i++) {
            if (got[i].fill == 0) {
                continue;
            }
            cr_assert(got[i].fill == want[i].fill, "row %zu: fill %u", i, got[i].fill);
            fixture_compare(&score, got[i].score, want[i].score, "row %zu", i);
            fixture_compare(&memory, got[i].memory_score, want[i].memory_score, "row %zu", i);
        }
        bool identical = score.error == 0.0 && memory.error == 0.0;
        snprintf(claim, sizeof claim, "%s (bit-identical: %s), windows", groupings[g].name,
                 identical ? "yes" : "no");
        fixture_settle(&score, grouping_tolerance, claim);
        fixture_settle(&memory, grouping_tolerance, "  its memories");
    }
    fixture_rows_free(&stream.rows);
    reference_close(reference);
}

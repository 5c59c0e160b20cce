/*
 * snapshot_stage.c - see snapshot_stage.h.
 */
#include "snapshot_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "fuzz.h"
#include "snapshot_parts.h"

enum { ERROR_BYTES = 1024, NAME_BYTES = 32, HALF_LIFE = 8 };

static const unsigned char secret[ACCOUNTS_SECRET_BYTES];

static float draw(uint64_t *random) {
    return (float)fuzz_random(random, 1 << 16) / (float)(1 << 15) - 1.0f;
}

static evidence_rules *open_rules(void) {
    static const size_t first[STAGE_CLASSES + 1] = {0, 2, 4, 6, 8, 10};
    static const float value[2 * STAGE_CLASSES] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
    evidence_options options = {.classes = STAGE_CLASSES,
                                .kinds = 1,
                                .alignment = {STAGE_CLASSES, first, value},
                                .excess = {1, first, value},
                                .window_rows = STAGE_WINDOW,
                                .rows_per_class = 2,
                                .tolerance_deviations = 1,
                                .window_limit = 1};
    for (size_t i = 0; i < EVIDENCE_SHARES; i++) {
        options.limit[EVIDENCE_ROWS][i] = options.limit[EVIDENCE_WINDOWS][i] = 1.0;
    }
    return evidence_open(&options);
}

static const reference *draw_reference(void) {
    static float mean[STAGE_CLASSES * STAGE_DIM];
    static float factor[STAGE_CLASSES * STAGE_DIM * STAGE_RANK];
    static double trace[STAGE_CLASSES];
    static reference toy = {.model = "toy",
                            .statistics = {.dim = STAGE_DIM,
                                           .classes = STAGE_CLASSES,
                                           .rank = STAGE_RANK,
                                           .mean = mean,
                                           .factor = factor,
                                           .trace = trace}};
    uint64_t random = 5;
    for (size_t i = 0; i < sizeof mean / sizeof *mean; i++) {
        mean[i] = draw(&random);
    }
    for (size_t i = 0; i < sizeof factor / sizeof *factor; i++) {
        factor[i] = draw(&random);
        trace[i / (STAGE_DIM * STAGE_RANK)] += (double)(factor[i] * factor[i]);
    }
    return &toy;
}

static engine *open_engine(const reference *reference) {
    char error[ERROR_BYTES];
    engine *engine;
    FUZZ_EXPECT(engine_open(&engine, &reference->statistics,
                            &(engine_options){.name = "cpu",
                                              .window_rows = STAGE_WINDOW,
                                              .memory_rank = STAGE_RANK,
                                              .half_life_rows = HALF_LIFE,
                                              .memory_blocks = STAGE_BLOCKS,
                                              .slots_max = STAGE_PLACES,
                                              .batch_rows_max = STAGE_BATCH,
                                              .threads = 1},
                            error, sizeof error) == ENGINE_OK);
    return engine;
}

stage *stage_get(void) {
    static stage s;
    if (s.rules != NULL) {
        return &s;
    }
    FUZZ_EXPECT(sodium_init() >= 0);
    s.reference = draw_reference();
    s.identity = snapshot_identity_of(s.reference, STAGE_WINDOW, STAGE_RANK, HALF_LIFE);
    s.rules = open_rules();
    accounts *accounts = accounts_open(STAGE_PLACES);
    FUZZ_EXPECT(accounts != NULL);
    accounts_set_secret(accounts, secret); /* or no two runs would do the same */
    s.state = (snapshot_state){
        .engine = open_engine(s.reference),
        .accounts = accounts,
        .judge = judge_open(&(judge_options){.terms = {.rules = s.rules, .release_after = 10},
                                             .accounts = accounts,
                                             .slots_max = STAGE_PLACES,
                                             .window_rows = STAGE_WINDOW,
                                             .observations_max = STAGE_BATCH}),
        .answers = answers_open(STAGE_ANSWER_ROWS),
        .digest_key = s.key,
        .accounts_max = STAGE_PLACES};
    FUZZ_EXPECT(s.rules && s.state.accounts && s.state.judge && s.state.answers);
    return &s;
}

/* ---- a life ---- */

/* A row through the engine, and into the verdict where one is held. */
static bool one_row(stage *s, uint32_t slot, uint64_t *random) {
    float x[STAGE_DIM];
    const unsigned char *row = (const unsigned char *)x;
    uint32_t class_index = (uint32_t)fuzz_random(random, STAGE_CLASSES);
    float alignment;
    engine_result result;
    for (size_t i = 0; i < STAGE_DIM; i++) {
        x[i] = draw(random);
    }
    engine_batch batch = {.rows = 1,
                          .embeddings = &row,
                          .classes = &class_index,
                          .observations = 1,
                          .observation = &(engine_observation){.slot = slot, .row_count = 1},
                          .results = &result,
                          .alignments = &alignment};
    if (engine_submit(s->state.engine, &batch) != ENGINE_OK ||
        engine_collect(s->state.engine) != ENGINE_OK) {
        return false;
    }
    verdict_record record = *judge_record(s->state.judge, slot);
    evidence_observe(s->rules, &record.evidence,
                     &(evidence_observation){.rows = 1,
                                             .classes = &class_index,
                                             .alignments = &alignment,
                                             .excess = result.excess,
                                             .fill = result.fill,
                                             .concentration = result.concentration});
    record.queries++;
    judge_restore(s->state.judge, slot, &record);
    judge_level(s->state.judge, &record, WIRE_NO_REASON);
    return true;
}

/* Every third account is flagged at its first row. */
static void flag(stage *s, uint32_t slot) {
    verdict_record record = *judge_record(s->state.judge, slot);
    record.verdict = WIRE_FLAGGED;
    record.reason = WIRE_BY_ROWS;
    record.flagged_at = record.first_flagged_at = 1;
    record.history[0] = (verdict_kept){.query = 1, .verdict = WIRE_FLAGGED, .score = 3};
    record.entered = 1;
    judge_restore(s->state.judge, slot, &record);
}

static void one_answer(stage *s, uint64_t seq) {
    answer *a = answers_put(s->state.answers, (answer_key){99, seq}, seq * 31, 1 + seq % 3);
    for (size_t i = 0; i < a->rows; i++) {
        a->row[i] = (answer_row){.account = {1, 2, 3, WIRE_FLAGGED},
                                 .fill = (uint32_t)i,
                                 .decision = WIRE_POISON,
                                 .verdict = WIRE_FLAGGED,
                                 .reason = WIRE_BY_ROWS};
    }
    a->degraded = seq % 2 == 1;
    a->pending = false;
}

void stage_live(stage *s, size_t accounts, size_t rows) {
    uint64_t random = 7;
    for (size_t i = 0; i < rows; i++) {
        char text[NAME_BYTES];
        bool fresh;
        size_t who = i % accounts; /* an account and a group of each name */
        snprintf(text, sizeof text, "name-%zu", who / 2);
        uint32_t slot = accounts_touch(s->state.accounts,
                                       (accounts_name){text, strlen(text), who % 2 == 1}, &fresh);
        FUZZ_EXPECT(one_row(s, slot, &random));
        if (who % 3 == 0) {
            flag(s, slot);
        }
        one_answer(s, i);
    }
}

bool stage_use(stage *s) {
    uint64_t random = 11;
    uint32_t slot = ACCOUNTS_NONE;
    while ((slot = accounts_next(s->state.accounts, slot)) != ACCOUNTS_NONE) {
        if (!one_row(s, slot, &random)) {
            return false;
        }
    }
    return true;
}

void stage_clear(stage *s) {
    uint32_t slot;
    while ((slot = accounts_next(s->state.accounts, ACCOUNTS_NONE)) != ACCOUNTS_NONE) {
        engine_forget(s->state.engine, slot);
        judge_forget(s->state.judge, slot);
        accounts_remove(s->state.accounts, accounts_name_of(s->state.accounts, slot));
    }
    judge_clear_absent(s->state.judge);
    accounts_set_secret(s->state.accounts, secret);
    answers_clear(s->state.answers);
    memset(s->key, 0, sizeof s->key);
}

/* ---- files ---- */

void stage_seal(unsigned char *file, size_t bytes) {
    size_t hashed = bytes - SNAPSHOT_HASH_BYTES;
    crypto_generichash(file + hashed, SNAPSHOT_HASH_BYTES, file, hashed, NULL, 0);
}

unsigned char *stage_write(stage *s, size_t *bytes) {
    static fuzz_file file;
    struct stat facts;
    if (file.path[0] == '\0') {
        fuzz_file_open(&file);
    }
    fuzz_file_put(&file, "", 0);
    FUZZ_EXPECT(lseek(file.fd, 0, SEEK_SET) == 0);
    aside into = {.fd = file.fd}; /* not opened, so not closed either */
    FUZZ_EXPECT(snapshot_write(&s->state, &s->identity, &into) == 0);
    FUZZ_EXPECT(fstat(file.fd, &facts) == 0);
    *bytes = (size_t)facts.st_size;
    unsigned char *copy = malloc(*bytes);
    FUZZ_EXPECT(copy != NULL && pread(file.fd, copy, *bytes, 0) == (ssize_t)*bytes);
    bytes_put(copy + SNAPSHOT_MAGIC_BYTES + 4, 0, 8);
    stage_seal(copy, *bytes);
    return copy;
}

/*
 * snapshot_stage.c - see snapshot_stage.h.
 */
#include "snapshot_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "fuzz.h"
#include "snapshot_parts.h"

enum { ERROR_BYTES = 1024, NAME_BYTES = 32, HALF_LIFE = 8 };

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

static judge *open_judge(const stage *s) {
    judge *judge = judge_open(&(judge_options){.terms = {.rules = s->rules, .release_after = 10},
                                               .accounts = s->state.accounts,
                                               .slots_max = STAGE_PLACES,
                                               .window_rows = STAGE_WINDOW,
                                               .observations_max = STAGE_BATCH});
    FUZZ_EXPECT(judge != NULL);
    return judge;
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
    s.batch = batch_open(&(batch_options){.rows_max = STAGE_BATCH,
                                          .places_max = STAGE_BATCH,
                                          .slots_max = STAGE_PLACES,
                                          .window_rows = STAGE_WINDOW});
    s.state = (snapshot_state){.engine = open_engine(s.reference),
                               .accounts = accounts_open(STAGE_PLACES),
                               .answers = answers_open(STAGE_ANSWER_ROWS),
                               .digest_key = s.key,
                               .accounts_max = STAGE_PLACES};
    FUZZ_EXPECT(s.rules && s.batch && s.state.accounts && s.state.answers);
    s.state.judge = open_judge(&s);
    stage_clear(&s);
    return &s;
}

/* ---- a life ---- */

/* Who is believed to have asked how often. */
typedef struct {
    accounts_key key;
    uint64_t queries;
} believed;

static size_t believe(const stage *s, believed who[STAGE_PLACES]) {
    size_t count = 0;
    uint32_t slot = ACCOUNTS_NONE;
    while ((slot = accounts_next(s->state.accounts, slot)) != ACCOUNTS_NONE) {
        who[count++] = (believed){accounts_key_at(s->state.accounts, slot),
                                  judge_record(s->state.judge, slot)->queries};
    }
    return count;
}

static bool has_place(const stage *s, const accounts_key *key) {
    uint32_t slot = ACCOUNTS_NONE;
    while ((slot = accounts_next(s->state.accounts, slot)) != ACCOUNTS_NONE) {
        accounts_key at = accounts_key_at(s->state.accounts, slot);
        if (memcmp(&at, key, sizeof at) == 0) {
            return true;
        }
    }
    return false;
}

/* Who lost his place has a record, unless all are taken by what says more. */
static void expect_remembered(const stage *s, const believed *before, size_t count) {
    const records *records = judge_records(s->state.judge);
    for (size_t i = 0; i < count; i++) {
        verdict_record found;
        if (before[i].queries == 0 || has_place(s, &before[i].key)) {
            continue;
        }
        FUZZ_EXPECT(judge_absent(s->state.judge, &before[i].key, &found)
                        ? found.queries == before[i].queries
                        : records_held(records) == records_places(records));
    }
}

static bool observe(stage *s, uint32_t slot, uint64_t *random) {
    float x[STAGE_DIM];
    uint32_t class_index = (uint32_t)fuzz_random(random, STAGE_CLASSES);
    for (size_t i = 0; i < STAGE_DIM; i++) {
        x[i] = draw(random);
    }
    wire_request row = {.rows = 1,
                        .classes = (const unsigned char *)&class_index,
                        .dtype = WIRE_F32,
                        .embeddings = (const unsigned char *)x};
    batch_put(s->batch, &(batch_key){&row, STAGE_DIM, &slot});
    if (engine_submit(s->state.engine, batch_engine(s->batch)) != ENGINE_OK ||
        engine_collect(s->state.engine) != ENGINE_OK) {
        return false;
    }
    judge_observe(s->state.judge, s->batch);
    return true;
}

/* A row of the account, as the service takes it; its slot, or ACCOUNTS_NONE where the engine
 * failed. */
static uint32_t one_row(stage *s, accounts_name name, uint64_t *random) {
    bool fresh;
    believed before[STAGE_PLACES];
    size_t held = believe(s, before);
    verdict_record known = {.queries = 0};
    accounts_key key = accounts_key_of(s->state.accounts, name);
    bool absent = judge_absent(s->state.judge, &key, &known);
    batch_clear(s->batch);
    accounts_begin(s->state.accounts);
    uint32_t slot = accounts_touch(s->state.accounts, name, &fresh);
    if (fresh) {
        engine_forget(s->state.engine, slot);
        batch_arrive(s->batch, slot, key);
    }
    if (!observe(s, slot, random)) {
        return ACCOUNTS_NONE;
    }
    const verdict_record *now = judge_record(s->state.judge, slot);
    FUZZ_EXPECT(!fresh || now->queries == (absent ? known.queries : 0) + 1);
    FUZZ_EXPECT(!fresh || !judge_absent(s->state.judge, &key, &known));
    expect_remembered(s, before, held);
    return slot;
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

static accounts_name name_of(char text[NAME_BYTES], const char *kind, size_t i) {
    snprintf(text, NAME_BYTES, "%s-%zu", kind, i / 2); /* an account and a group of each name */
    return (accounts_name){text, strlen(text), i % 2 == 1};
}

void stage_live(stage *s, size_t accounts, size_t rows) {
    uint64_t random = 7;
    for (size_t i = 0; i < rows; i++) {
        char text[NAME_BYTES];
        size_t who = i % accounts;
        uint32_t slot = one_row(s, name_of(text, "name", who), &random);
        FUZZ_EXPECT(slot != ACCOUNTS_NONE);
        if (who % 3 == 0) {
            flag(s, slot);
        }
        one_answer(s, i);
    }
}

void stage_leave_records(stage *s, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char text[NAME_BYTES];
        bool flagged = i % 3 == 2;
        accounts_key key = accounts_key_of(s->state.accounts, name_of(text, "gone", i));
        verdict_belief belief = {.queries = 2 + i,
                                 .verdict = flagged ? WIRE_FLAGGED : WIRE_CLEAN,
                                 .reason = flagged ? WIRE_BY_WINDOW : WIRE_NO_REASON,
                                 .first_flagged_at = flagged ? 1 : 0,
                                 .flagged_at = flagged ? 2 : 0};
        belief.evidence.sum[EVIDENCE_ROWS][i % EVIDENCE_SHARES] = i % 3 == 1 ? 0.5f : 0.0f;
        judge_restore_absent(s->state.judge, &key, &belief);
    }
    const records *left = judge_records(s->state.judge);
    for (records_kind kind = RECORDS_SLIGHT; count >= 3 && kind <= RECORDS_FLAGGED; kind++) {
        FUZZ_EXPECT(records_held_of(left, kind) > 0);
    }
}

bool stage_use(stage *s) {
    char held[STAGE_PLACES][ACCOUNTS_NAME_BYTES_MAX];
    accounts_name name[3 * STAGE_PLACES];
    char fresh[STAGE_PLACES][NAME_BYTES];
    size_t count = 0;
    uint64_t random = 11;
    uint32_t slot = ACCOUNTS_NONE;
    while ((slot = accounts_next(s->state.accounts, slot)) != ACCOUNTS_NONE) {
        name[count] = accounts_name_of(s->state.accounts, slot);
        memcpy(held[count], name[count].bytes, name[count].length);
        name[count].bytes = held[count];
        count++;
    }
    size_t first = count;
    for (size_t i = 0; i < STAGE_PLACES; i++) {
        name[count++] = name_of(fresh[i], "gone", i);
    }
    memcpy(name + count, name, first * sizeof *name);
    count += first;
    for (size_t i = 0; i < count; i++) {
        if (one_row(s, name[i], &random) == ACCOUNTS_NONE) {
            return false;
        }
    }
    return true;
}

void stage_clear(stage *s) {
    static const unsigned char zero[ACCOUNTS_SECRET_BYTES];
    uint32_t slot;
    while ((slot = accounts_next(s->state.accounts, ACCOUNTS_NONE)) != ACCOUNTS_NONE) {
        engine_forget(s->state.engine, slot);
        accounts_remove(s->state.accounts, accounts_name_of(s->state.accounts, slot));
    }
    accounts_set_secret(s->state.accounts, zero);
    judge_close(s->state.judge);
    s->state.judge = open_judge(s);
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

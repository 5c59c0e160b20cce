/*
 * snapshot_fixture.c - see snapshot_fixture.h.
 */
#include "snapshot_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evidence.h"
#include "snapshot_parts.h"

static float draw(stage *s) {
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (float)(s->random >> 40) / (float)(1 << 23) - 1.0f;
}

static evidence_rules *some_rules(void) {
    static const size_t first[CLASSES + 1] = {0, 2, 4, 6, 8, 10};
    static const float value[2 * CLASSES] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
    evidence_options options = {.classes = CLASSES,
                                .kinds = 1,
                                .alignment = {CLASSES, first, value},
                                .excess = {1, first, value},
                                .window_rows = WINDOW,
                                .rows_per_class = 2,
                                .tolerance_deviations = 1,
                                .window_limit = 1};
    for (size_t i = 0; i < EVIDENCE_SHARES; i++) {
        options.limit[EVIDENCE_ROWS][i] = options.limit[EVIDENCE_WINDOWS][i] = 1.0;
    }
    return evidence_open(&options);
}

void stage_open_parts(stage *s, size_t places) {
    char error[ERROR_BYTES];
    cr_assert_eq(engine_open(&s->engine, &s->reference.statistics,
                             &(engine_options){.name = "cpu",
                                               .window_rows = WINDOW,
                                               .memory_rank = RANK,
                                               .half_life_rows = 8,
                                               .memory_blocks = places * CLASSES,
                                               .slots_max = places,
                                               .batch_rows_max = BATCH,
                                               .threads = 1},
                             error, sizeof error),
                 ENGINE_OK, "%s", error);
    s->accounts = accounts_open(places);
    s->judge = judge_open(&(judge_options){.terms = {.rules = s->rules, .release_after = 10},
                                           .accounts = s->accounts,
                                           .slots_max = places,
                                           .window_rows = WINDOW,
                                           .observations_max = BATCH});
    s->answers = answers_open(64);
    cr_assert(s->accounts && s->judge && s->answers);
}

void stage_close_parts(stage *s) {
    answers_close(s->answers);
    judge_close(s->judge);
    accounts_close(s->accounts);
    engine_close(s->engine);
}

void stage_open(stage *s) {
    static float mean[CLASSES * DIM];
    static float factor[CLASSES * DIM * RANK];
    static double trace[CLASSES];
    *s = (stage){.random = 5};
    cr_assert(sodium_init() >= 0);
    child_folder_make(s->folder);
    snprintf(s->path, sizeof s->path, "%s/state", s->folder);
    for (size_t i = 0; i < CLASSES * DIM; i++) {
        mean[i] = draw(s);
    }
    for (size_t i = 0; i < CLASSES * DIM * RANK; i++) {
        factor[i] = draw(s);
        trace[i / (DIM * RANK)] += (double)(factor[i] * factor[i]);
    }
    s->reference = (reference){.model = "toy",
                               .statistics = {.dim = DIM,
                                              .classes = CLASSES,
                                              .rank = RANK,
                                              .mean = mean,
                                              .factor = factor,
                                              .trace = trace}};
    s->rules = some_rules();
    cr_assert_not_null(s->rules);
    memset(s->key, 7, sizeof s->key);
    s->identity = snapshot_identity_of(&s->reference, WINDOW, RANK, 8);
    stage_open_parts(s, PLACES);
}

void stage_close(stage *s) {
    stage_close_parts(s);
    evidence_close(s->rules);
    child_folder_remove(s->folder);
}

snapshot_state stage_state(stage *s, size_t places) {
    return (snapshot_state){.engine = s->engine,
                            .accounts = s->accounts,
                            .judge = s->judge,
                            .answers = s->answers,
                            .digest_key = s->key,
                            .accounts_max = places};
}

/* ---- a life ---- */

accounts_name stage_name(size_t i, char text[32]) {
    snprintf(text, 32, "name-%zu", i / 2); /* an account and a group of each name */
    return (accounts_name){text, strlen(text), i % 2 == 1};
}

/* Of an account of another name that has lost its place; of each kind some. */
static void leave_record(stage *s, size_t account) {
    char text[32];
    accounts_key key = accounts_key_of(s->accounts, stage_name(account, text));
    verdict_belief belief = {.queries = 5 + account, .reason = WIRE_NO_REASON};
    belief.evidence.sum[EVIDENCE_ROWS][account % EVIDENCE_SHARES] = (float)(account % 3) / 2.0f;
    if (account % 4 == 0) {
        belief.verdict = WIRE_FLAGGED;
        belief.reason = WIRE_BY_WINDOW;
        belief.first_flagged_at = 2;
        belief.flagged_at = 3;
        belief.clean_run = 1;
    }
    judge_restore_absent(s->judge, &key, &belief);
}

/* A row of the account: engine and verdict. */
void stage_row(stage *s, size_t account) {
    char text[32];
    bool fresh;
    float x[DIM];
    uint32_t class_index = (uint32_t)(account * 7 + (s->random >> 60)) % CLASSES;
    uint32_t slot = accounts_touch(s->accounts, stage_name(account, text), &fresh);
    const unsigned char *row = (const unsigned char *)x;
    engine_result result;
    float alignment;
    for (size_t i = 0; i < DIM; i++) {
        x[i] = draw(s);
    }
    if (fresh) {
        cr_assert_eq(engine_forget(s->engine, slot), ENGINE_OK);
        judge_forget(s->judge, slot);
        leave_record(s, account + 1000);
    }
    engine_batch batch = {.rows = 1,
                          .embeddings = &row,
                          .classes = &class_index,
                          .observations = 1,
                          .observation = &(engine_observation){.slot = slot, .row_count = 1},
                          .results = &result,
                          .alignments = &alignment};
    cr_assert_eq(engine_submit(s->engine, &batch), ENGINE_OK);
    cr_assert_eq(engine_collect(s->engine), ENGINE_OK);
    verdict_record record = *judge_record(s->judge, slot);
    evidence_observe(s->rules, &record.evidence,
                     &(evidence_observation){.rows = 1,
                                             .classes = &class_index,
                                             .alignments = &alignment,
                                             .excess = result.excess,
                                             .fill = result.fill,
                                             .concentration = result.concentration});
    record.queries++;
    record.memory_score = (float)result.memory_score;
    bool flagged = account % 3 == 0;
    record.verdict = flagged ? WIRE_FLAGGED : WIRE_CLEAN;
    record.reason = flagged ? WIRE_BY_ROWS : WIRE_NO_REASON;
    record.flagged_at = record.first_flagged_at = flagged ? 1 : 0;
    record.history[record.entered++ % VERDICT_HISTORY] =
        (verdict_kept){.query = (uint32_t)record.queries & 0x3fffffff,
                       .verdict = (uint32_t)record.verdict & 3u,
                       .score = (float)result.score,
                       .excess = 0x3f80,
                       .evidence = 0x4000};
    judge_restore(s->judge, slot, &record);
}

static void one_answer(stage *s, uint64_t seq) {
    size_t rows = 1 + (size_t)(seq % 5);
    answer *a = answers_put(s->answers, (answer_key){99, seq}, seq * 31, rows);
    for (size_t i = 0; i < rows; i++) {
        a->row[i] = (answer_row){.account = {draw(s), draw(s), draw(s), WIRE_FLAGGED},
                                 .group = {draw(s), draw(s), draw(s), WIRE_UNDECIDED},
                                 .memory_score = draw(s),
                                 .fill = (uint32_t)i,
                                 .decision = 1,
                                 .verdict = 1,
                                 .reason = 2};
    }
    a->degraded = seq % 2 == 1;
    a->pending = seq % 11 == 10;
}

void stage_live(stage *s, size_t held, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        stage_row(s, (i * 5 + i / 7) % held);
    }
    for (uint64_t seq = 0; seq < rows; seq++) {
        one_answer(s, seq);
    }
}

void stage_save(stage *s) {
    aside file;
    snapshot_state state = stage_state(s, PLACES);
    cr_assert(aside_open_own(&file, s->path));
    cr_assert_eq(snapshot_write(&state, &s->identity, &file), 0);
    cr_assert(aside_sync(&file) && aside_keep_old(&file) && aside_commit(&file));
    aside_close(&file);
}

bool stage_inherit(stage *s, size_t places, size_t *believed) {
    snapshot *from;
    char error[ERROR_BYTES];
    snapshot_state state = stage_state(s, places);
    if (!snapshot_open(&from, s->path, error, sizeof error)) {
        return false;
    }
    bool ok = snapshot_inherit(from, &s->identity, &state, believed);
    snapshot_close(from);
    return ok;
}

bool stage_load(stage *s, size_t places, size_t *restored, char *error) {
    snapshot *from;
    snapshot_state state = stage_state(s, places);
    if (!snapshot_open(&from, s->path, error, ERROR_BYTES)) {
        return false;
    }
    bool ok = snapshot_restore(from, &s->identity, &state, restored, error, ERROR_BYTES);
    snapshot_close(from);
    return ok;
}

/* It is refused in one line that names the file and has the word, and nothing came in. */
void stage_refuses(stage *s, const char *word) {
    char error[ERROR_BYTES] = "";
    size_t restored;
    uint64_t place = 0;
    cr_assert_not(stage_load(s, PLACES, &restored, error), "%s was expected", word);
    cr_assert(strstr(error, s->path) && strstr(error, word) && !strchr(error, '\n'),
              "'%s' is not in: %s", word, error);
    cr_assert_eq(accounts_held(s->accounts), 0);
    cr_assert_null(answers_next(s->answers, &place));
}

void stage_write_sealed(const stage *s, unsigned char *whole, size_t bytes) {
    crypto_generichash(whole + bytes - SNAPSHOT_HASH_BYTES, SNAPSHOT_HASH_BYTES, whole,
                       bytes - SNAPSHOT_HASH_BYTES, NULL, 0);
    child_write(s->path, whole, bytes);
}

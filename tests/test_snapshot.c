/*
 * test_snapshot.c - the file of a daemon's state: what goes in comes out bit for bit, and nothing
 * else than such a file comes in.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch.h"
#include "child.h"
#include "evidence.h"
#include "snapshot.h"
#include "snapshot_parts.h"

enum {
    DIM = 3,
    CLASSES = 5,
    RANK = 2,
    WINDOW = 4,
    PLACES = 24,
    BATCH = 8,
    ERROR_BYTES = 1024,
    PATH_BYTES = CHILD_PATH_BYTES + 32
};

/* A service's state without the service. */
typedef struct {
    char folder[CHILD_PATH_BYTES];
    char path[PATH_BYTES];
    reference reference;
    evidence_rules *rules;
    engine *engine;
    accounts *accounts;
    judge *judge;
    answers *answers;
    unsigned char key[crypto_shorthash_KEYBYTES];
    snapshot_identity identity;
    uint64_t random;
} stage;

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

static void open_parts(stage *s, size_t places) {
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

static void close_parts(stage *s) {
    answers_close(s->answers);
    judge_close(s->judge);
    accounts_close(s->accounts);
    engine_close(s->engine);
}

static void stage_open(stage *s) {
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
    open_parts(s, PLACES);
}

static void stage_close(stage *s) {
    close_parts(s);
    evidence_close(s->rules);
    child_folder_remove(s->folder);
}

static snapshot_state state_of(stage *s, size_t places) {
    return (snapshot_state){.engine = s->engine,
                            .accounts = s->accounts,
                            .judge = s->judge,
                            .answers = s->answers,
                            .digest_key = s->key,
                            .accounts_max = places};
}

/* ---- a life ---- */

static accounts_name name_of(size_t i, char text[32]) {
    snprintf(text, 32, "name-%zu", i / 2); /* an account and a group of each name */
    return (accounts_name){text, strlen(text), i % 2 == 1};
}

/* Of an account of another name that has lost its place; of each kind some. */
static void leave_record(stage *s, size_t account) {
    char text[32];
    accounts_key key = accounts_key_of(s->accounts, name_of(account, text));
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
static void one_row(stage *s, size_t account) {
    char text[32];
    bool fresh;
    float x[DIM];
    uint32_t class_index = (uint32_t)(account * 7 + (s->random >> 60)) % CLASSES;
    uint32_t slot = accounts_touch(s->accounts, name_of(account, text), &fresh);
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

static void live(stage *s, size_t held, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        one_row(s, (i * 5 + i / 7) % held);
    }
    for (uint64_t seq = 0; seq < rows; seq++) {
        one_answer(s, seq);
    }
}

static void save(stage *s) {
    aside file;
    snapshot_state state = state_of(s, PLACES);
    cr_assert(aside_open_own(&file, s->path));
    cr_assert_eq(snapshot_write(&state, &s->identity, &file), 0);
    cr_assert(aside_sync(&file) && aside_keep_old(&file) && aside_commit(&file));
    aside_close(&file);
}

static bool load(stage *s, size_t places, size_t *restored, char *error) {
    snapshot *from;
    snapshot_state state = state_of(s, places);
    if (!snapshot_open(&from, s->path, error, ERROR_BYTES)) {
        return false;
    }
    bool ok = snapshot_restore(from, &s->identity, &state, restored, error, ERROR_BYTES);
    snapshot_close(from);
    return ok;
}

/* It is refused in one line that names the file and has the word, and nothing came in. */
static void refused(stage *s, const char *word) {
    char error[ERROR_BYTES] = "";
    size_t restored;
    uint64_t place = 0;
    cr_assert_not(load(s, PLACES, &restored, error), "%s was expected", word);
    cr_assert(strstr(error, s->path) && strstr(error, word) && !strchr(error, '\n'),
              "'%s' is not in: %s", word, error);
    cr_assert_eq(accounts_held(s->accounts), 0);
    cr_assert_null(answers_next(s->answers, &place));
}

/* ---- there and back ---- */

static void same_slot(const stage *a, uint32_t of_a, const stage *b, uint32_t of_b) {
    static unsigned char left[4096], right[4096];
    size_t left_bytes, right_bytes;
    cr_assert_eq(engine_export(a->engine, of_a, left, sizeof left, &left_bytes), ENGINE_OK);
    cr_assert_eq(engine_export(b->engine, of_b, right, sizeof right, &right_bytes), ENGINE_OK);
    cr_assert_eq(left_bytes, right_bytes);
    cr_assert_eq(memcmp(left, right, left_bytes), 0);
    verdict_encode(judge_record(a->judge, of_a), left);
    verdict_encode(judge_record(b->judge, of_b), right);
    cr_assert_eq(memcmp(left, right, VERDICT_BYTES), 0);
}

static bool same_side(const answer_side *a, const answer_side *b) {
    return memcmp(&a->score, &b->score, sizeof(float)) == 0 &&
           memcmp(&a->excess, &b->excess, sizeof(float)) == 0 &&
           memcmp(&a->evidence, &b->evidence, sizeof(float)) == 0 && a->verdict == b->verdict;
}

/* Bit for bit, but for what the compiler puts between members. */
static bool same_row(const answer_row *a, const answer_row *b) {
    return same_side(&a->account, &b->account) && same_side(&a->group, &b->group) &&
           memcmp(&a->memory_score, &b->memory_score, sizeof(float)) == 0 && a->fill == b->fill &&
           a->decision == b->decision && a->verdict == b->verdict && a->reason == b->reason;
}

static void same_answers(const stage *a, const stage *b) {
    uint64_t left_place = 0, right_place = 0;
    for (const answer *left; (left = answers_next(a->answers, &left_place)) != NULL;) {
        const answer *right = answers_next(b->answers, &right_place);
        cr_assert_not_null(right);
        cr_assert(left->key.client == right->key.client && left->key.seq == right->key.seq &&
                  left->digest == right->digest && left->rows == right->rows &&
                  left->degraded == right->degraded);
        for (size_t i = 0; i < left->rows; i++) {
            cr_assert(same_row(&left->row[i], &right->row[i]));
        }
        cr_assert_not_null(answers_find(b->answers, left->key));
    }
    cr_assert_null(answers_next(b->answers, &right_place));
}

/* Of both the same records, in the same order; how many. */
static size_t same_records(const stage *a, const stage *b) {
    const records *left = judge_records(a->judge), *right = judge_records(b->judge);
    uint32_t of_a = records_next(left, RECORDS_NONE), of_b = records_next(right, RECORDS_NONE);
    for (; of_a != RECORDS_NONE;
         of_a = records_next(left, of_a), of_b = records_next(right, of_b)) {
        unsigned char one[VERDICT_BELIEF_BYTES], other[VERDICT_BELIEF_BYTES];
        cr_assert_neq(of_b, RECORDS_NONE);
        verdict_encode_belief(records_belief(left, of_a), one);
        verdict_encode_belief(records_belief(right, of_b), other);
        cr_assert_eq(memcmp(one, other, sizeof one), 0);
        cr_assert_eq(memcmp(records_key(left, of_a), records_key(right, of_b), ACCOUNTS_KEY_BYTES),
                     0);
    }
    cr_assert_eq(of_b, RECORDS_NONE);
    return records_held(left);
}

static bool same_name(accounts_name a, accounts_name b) {
    return a.length == b.length && a.is_group == b.is_group &&
           memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* b has the last accounts of a, and nothing else; how many. */
static size_t same_accounts(const stage *a, const stage *b) {
    size_t held = accounts_held(b->accounts);
    uint32_t left = accounts_next(a->accounts, ACCOUNTS_NONE);
    for (size_t i = held; i < accounts_held(a->accounts); i++) {
        left = accounts_next(a->accounts, left);
    }
    uint32_t right = accounts_next(b->accounts, ACCOUNTS_NONE);
    for (size_t i = 0; i < held; i++) {
        cr_assert(
            same_name(accounts_name_of(a->accounts, left), accounts_name_of(b->accounts, right)),
            "account %zu in the order of use", i);
        same_slot(a, left, b, right);
        left = accounts_next(a->accounts, left);
        right = accounts_next(b->accounts, right);
    }
    return held;
}

Test(snapshot, what_was_saved_comes_back_bit_for_bit_and_goes_on_alike) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored;
    stage_open(&a);
    live(&a, PLACES + 6, 400); /* some were evicted, so slots are in no order */
    save(&a);
    b = a;
    open_parts(&b, PLACES);
    memset(b.key, 0, sizeof b.key);
    cr_assert(load(&b, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, PLACES);
    cr_assert_eq(same_accounts(&a, &b), PLACES);
    same_answers(&a, &b);
    cr_assert_geq(same_records(&a, &b), PLACES + 6);
    cr_assert_eq(memcmp(a.key, b.key, sizeof a.key), 0);
    /* ... and further rows find them alike. */
    b.random = a.random;
    for (size_t i = 0; i < 200; i++) {
        one_row(&a, i % (PLACES + 3));
        one_row(&b, i % (PLACES + 3));
    }
    cr_assert_eq(same_accounts(&a, &b), PLACES);
    close_parts(&b);
    stage_close(&a);
}

Test(snapshot, a_state_with_nothing_in_it_is_one_too) {
    stage s;
    char error[ERROR_BYTES] = "";
    size_t restored = 1;
    stage_open(&s);
    save(&s);
    cr_assert(load(&s, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, 0);
    stage_close(&s);
}

Test(snapshot, with_fewer_places_the_most_recently_used_accounts_come_back) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored;
    stage_open(&a);
    live(&a, PLACES, 300);
    save(&a);
    b = a;
    open_parts(&b, 10);
    cr_assert(load(&b, 10, &restored, error), "%s", error);
    cr_assert_eq(restored, 10);
    cr_assert_eq(same_accounts(&a, &b), 10);
    close_parts(&b);
    stage_close(&a);
}

Test(snapshot, what_was_at_the_name_is_kept_and_others_may_not_read_it) {
    stage s;
    char older[PATH_BYTES + 2];
    char error[ERROR_BYTES] = "";
    struct stat status;
    snapshot *from;
    stage_open(&s);
    save(&s);
    live(&s, 3, 5);
    save(&s);
    snprintf(older, sizeof older, "%s.1", s.path);
    cr_assert(snapshot_open(&from, older, error, sizeof error), "%s", error);
    cr_assert_eq(snapshot_describe(from).accounts, 0);
    snapshot_close(from);
    cr_assert(snapshot_open(&from, s.path, error, sizeof error), "%s", error);
    snapshot_facts facts = snapshot_describe(from);
    cr_assert(facts.accounts == 3 && facts.groups == 1 && facts.flagged == 1);
    cr_assert(facts.records == 3 && facts.records_flagged == 1 && facts.version == 2);
    cr_assert(facts.answers == 5 && facts.answered_rows == 15);
    snapshot_close(from);
    cr_assert(stat(s.path, &status) == 0 && (status.st_mode & 0777) == 0600);
    stage_close(&s);
}

static void write_sealed(const stage *s, unsigned char *whole, size_t bytes) {
    crypto_generichash(whole + bytes - SNAPSHOT_HASH_BYTES, SNAPSHOT_HASH_BYTES, whole,
                       bytes - SNAPSHOT_HASH_BYTES, NULL, 0);
    child_write(s->path, whole, bytes);
}

/* Who has no room among the accounts is a record, the last to have gone. */
Test(snapshot, with_fewer_places_the_others_come_back_as_records) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored;
    stage_open(&a);
    live(&a, PLACES + 6, 400);
    save(&a);
    b = a;
    open_parts(&b, 10);
    cr_assert(load(&b, 10, &restored, error), "%s", error);
    cr_assert_eq(restored, 10);
    cr_assert_eq(accounts_held(a.accounts), PLACES);
    uint32_t slot = ACCOUNTS_NONE;
    for (size_t i = 0; i < PLACES - 10; i++) {
        verdict_record found;
        slot = accounts_next(a.accounts, slot);
        accounts_key key = accounts_key_of(b.accounts, accounts_name_of(a.accounts, slot));
        cr_assert(judge_absent(b.judge, &key, &found), "account %zu", i);
        cr_assert_eq(found.queries, judge_record(a.judge, slot)->queries);
        cr_assert_eq(found.verdict, judge_record(a.judge, slot)->verdict);
    }
    close_parts(&b);
    stage_close(&a);
}

/* What a daemon of the version before has left: the head lacks the secret and the count. */
Test(snapshot, a_file_of_version_1_is_read_and_has_no_records) {
    stage a, b;
    char error[ERROR_BYTES] = "";
    size_t restored, bytes;
    stage_open(&a);
    live(&a, 5, 60);
    save(&a);
    unsigned char *whole = (unsigned char *)child_read(a.path, &bytes);
    size_t accounts = 8 + 4 + 8 + 1 + strlen("toy") + 5 * 8 + 8 + SNAPSHOT_HASH_BYTES +
                      crypto_shorthash_KEYBYTES + 16 + ACCOUNTS_SECRET_BYTES + 8;
    snapshot *from;
    cr_assert(snapshot_open(&from, a.path, error, sizeof error), "%s", error);
    size_t records_at = accounts + (size_t)(from->records.at - from->accounts.at);
    size_t records = (size_t)(from->answers.at - from->records.at);
    snapshot_close(from);
    cr_assert_gt(records, 0);
    memmove(whole + records_at, whole + records_at + records, bytes - records_at - records);
    bytes -= records;
    size_t left_out = ACCOUNTS_SECRET_BYTES + 8;
    memmove(whole + accounts - left_out, whole + accounts, bytes - accounts);
    bytes -= left_out;
    whole[8] = 1;
    write_sealed(&a, whole, bytes);
    b = a;
    open_parts(&b, PLACES);
    cr_assert(load(&b, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, 5);
    cr_assert_eq(same_accounts(&a, &b), 5);
    cr_assert_eq(records_held(judge_records(b.judge)), 0);
    same_answers(&a, &b);
    close_parts(&b);
    free(whole);
    stage_close(&a);
}

/* A row of the account in the slot, which the engine says nothing of. */
static void ask(stage *s, uint32_t slot, batch *batch) {
    static const uint32_t class_index;
    static const float x[DIM];
    batch_clear(batch);
    batch_put(batch, &(batch_key){&(wire_request){.rows = 1,
                                                  .classes = (const unsigned char *)&class_index,
                                                  .dtype = WIRE_F32,
                                                  .embeddings = (const unsigned char *)x},
                                  DIM, &slot});
    judge_observe(s->judge, batch);
}

/* A daemon without rules for evidence saved it, one with them goes on. */
Test(snapshot, an_account_without_a_verdict_is_remembered_as_itself_when_it_loses_its_place) {
    stage s;
    char error[ERROR_BYTES] = "", text[32];
    size_t restored;
    bool fresh;
    stage_open(&s);
    judge_close(s.judge);
    s.judge = judge_open(&(judge_options){.accounts = s.accounts,
                                          .slots_max = PLACES,
                                          .window_rows = WINDOW,
                                          .observations_max = BATCH});
    cr_assert_not_null(s.judge);
    accounts_touch(s.accounts, name_of(0, text), &fresh);
    save(&s);
    close_parts(&s);
    open_parts(&s, PLACES);
    cr_assert(load(&s, PLACES, &restored, error), "%s", error);
    cr_assert_eq(restored, 1);
    batch *batch = batch_open(&(batch_options){
        .rows_max = BATCH, .places_max = BATCH, .slots_max = PLACES, .window_rows = WINDOW});
    cr_assert_not_null(batch);
    accounts_key key = accounts_key_of(s.accounts, name_of(0, text));
    uint32_t slot = accounts_find(s.accounts, name_of(0, text));
    ask(&s, slot, batch);
    batch_clear(batch);
    batch_arrive(batch, slot, accounts_key_of(s.accounts, name_of(1, text)));
    judge_skip(s.judge, batch);
    verdict_record found;
    cr_assert(judge_absent(s.judge, &key, &found));
    cr_assert_eq(found.queries, 1);
    batch_close(batch);
    stage_close(&s);
}

/* ---- torn, changed ---- */

/* A small file's bytes; the state is empty afterwards. */
static unsigned char *small_file(stage *s, size_t *bytes) {
    stage_open(s);
    live(s, 3, 6);
    save(s);
    close_parts(s);
    open_parts(s, PLACES);
    return (unsigned char *)child_read(s->path, bytes);
}

Test(snapshot, a_file_torn_at_any_length_is_refused, .timeout = 120) {
    stage s;
    size_t bytes;
    unsigned char *whole = small_file(&s, &bytes);
    for (size_t length = 0; length < bytes; length++) {
        child_write(s.path, whole, length);
        refused(&s, length < 8 ? "" : "torn");
    }
    child_write(s.path, whole, bytes + 1); /* and a NUL */
    refused(&s, "torn");
    printf("torn at %zu lengths\n", bytes);
    free(whole);
    stage_close(&s);
}

Test(snapshot, a_file_with_any_byte_changed_is_refused, .timeout = 120) {
    stage s;
    size_t bytes;
    unsigned char *whole = small_file(&s, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        whole[i] ^= (unsigned char)(1 << i % 8);
        child_write(s.path, whole, bytes);
        refused(&s, "");
        whole[i] ^= (unsigned char)(1 << i % 8);
    }
    free(whole);
    stage_close(&s);
}

/* ---- with a checksum made for it ---- */

/* Any byte to any of a few values: it is refused, or is a state that can be restored; a sanitizer
 * sees the rest. */
Test(snapshot, a_sealed_file_with_any_byte_changed_does_no_harm, .timeout = 300) {
    static const unsigned char values[] = {0x00, 0xff, 0x80, 0x7f};
    stage s;
    size_t bytes, taken = 0, tried = 0;
    char error[ERROR_BYTES];
    unsigned char *whole = small_file(&s, &bytes);
    for (size_t i = 0; i < bytes - SNAPSHOT_HASH_BYTES; i++) {
        unsigned char was = whole[i];
        for (size_t v = 0; v < sizeof values; v++, tried++) {
            size_t restored;
            whole[i] = values[v];
            write_sealed(&s, whole, bytes);
            if (load(&s, PLACES, &restored, error)) {
                taken++;
                close_parts(&s);
                open_parts(&s, PLACES);
            } else {
                refused(&s, "");
            }
        }
        whole[i] = was;
    }
    printf("%zu sealed files, %zu of them possible states\n", tried, taken);
    free(whole);
    stage_close(&s);
}

Test(snapshot, sealed_cut_files_and_absurd_lengths_are_refused, .timeout = 120) {
    stage s;
    size_t bytes;
    unsigned char *whole = small_file(&s, &bytes);
    unsigned char *copy = malloc(bytes);
    cr_assert_not_null(copy);
    for (size_t length = SNAPSHOT_HASH_BYTES + 1; length < bytes; length++) {
        memcpy(copy, whole, length);
        write_sealed(&s, copy, length);
        refused(&s, "");
    }
    /* The head ends with two counts, a secret and another count; the first account follows. */
    size_t counts =
        8 + 4 + 8 + 1 + strlen("toy") + 5 * 8 + 8 + SNAPSHOT_HASH_BYTES + crypto_shorthash_KEYBYTES;
    size_t head = counts + 16 + ACCOUNTS_SECRET_BYTES + 8;
    size_t exported_at = head + 2 + strlen("name-0") + 1 + VERDICT_BYTES;
    const size_t places[] = {counts, counts + 8, head - 8, exported_at};
    for (size_t i = 0; i < 4; i++) {
        memcpy(copy, whole, bytes);
        memset(copy + places[i], 0xff, 8);
        write_sealed(&s, copy, bytes);
        refused(&s, i < 3 ? "head" : "account 1 of 3");
    }
    memcpy(copy, whole, bytes);
    copy[exported_at + 8] ^= 1; /* the engine's own */
    write_sealed(&s, copy, bytes);
    refused(&s, "account 1 of 3 has no window and memory of this shape");
    memcpy(copy, whole, bytes);
    copy[head + 1] = 0; /* no name */
    write_sealed(&s, copy, bytes);
    refused(&s, "account 1 of 3");
    free(copy);
    free(whole);
    stage_close(&s);
}

/* ---- foreign ---- */

Test(snapshot, a_file_of_another_reference_window_or_memory_is_refused_by_name) {
    stage s;
    size_t bytes;
    free(small_file(&s, &bytes));
    snapshot_identity ours = s.identity;
    const struct {
        const char *word;
        snapshot_identity identity;
    } foreign[] = {
        {"window 8, came one of 4", snapshot_identity_of(&s.reference, 8, RANK, 8)},
        {"memory rank 1, came one of 2", snapshot_identity_of(&s.reference, WINDOW, 1, 8)},
        {"half-life 9, came one of 8", snapshot_identity_of(&s.reference, WINDOW, RANK, 9)},
    };
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        s.identity = foreign[i].identity;
        refused(&s, foreign[i].word);
    }
    s.identity = ours;
    snprintf(s.identity.model, sizeof s.identity.model, "other");
    refused(&s, "model other, came one of toy");
    s.identity = ours;
    s.identity.rank++;
    refused(&s, "rank 3, came one of 2");
    float *factor = (float *)(uintptr_t)s.reference.statistics.factor;
    factor[0] += 1e-3f;
    s.identity = snapshot_identity_of(&s.reference, WINDOW, RANK, 8);
    refused(&s, "of another");
    stage_close(&s);
}

Test(snapshot, what_is_no_snapshot_is_refused) {
    stage s;
    stage_open(&s);
    refused(&s, "No such file");
    cr_assert_eq(mkdir(s.path, 0700), 0);
    refused(&s, "plain file");
    cr_assert_eq(rmdir(s.path), 0);
    cr_assert_eq(mkfifo(s.path, 0600), 0);
    refused(&s, "plain file");
    cr_assert_eq(unlink(s.path), 0);
    child_write(s.path, "{\"format\": 1, \"model\": \"toy\"}", 29);
    refused(&s, "another kind of file");
    child_write(s.path, SNAPSHOT_MAGIC "\3\0\0\0", 12);
    refused(&s, "version 1 to 2, came 3");
    child_write(s.path, SNAPSHOT_MAGIC "\0\0\0\0", 12);
    refused(&s, "version 1 to 2, came 0");
    stage_close(&s);
}

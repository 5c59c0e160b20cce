/*
 * fuzz_snapshot.c - snapshots: opened, restored into a small state, and that state used, saved and
 * restored again.
 */
#include "fuzz_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "fuzz.h"
#include "snapshot_claims.h"
#include "snapshot_parts.h"
#include "snapshot_stage.h"

enum { ERROR_BYTES = 1024, EXPORT_BYTES_MAX = 1 << 16 };
/* The head's end: two counts, and what version 1 has not: the secret and another count. */
enum { SINCE_2_BYTES = ACCOUNTS_SECRET_BYTES + 8, COUNTS_BYTES = 16 + SINCE_2_BYTES };

/* Of a file of our own state, in which nothing is held. */
static const unsigned char *our_head(size_t *bytes) {
    static unsigned char *head;
    static size_t head_bytes;
    if (head == NULL) {
        head = stage_write(stage_get(), &head_bytes);
        head_bytes -= SNAPSHOT_HASH_BYTES;
    }
    *bytes = head_bytes;
    return head;
}

/* Our own with the input's version, counts and secret; how many bytes. */
static size_t make_head(unsigned char head[SNAPSHOT_HEAD_BYTES_MAX], const unsigned char *input) {
    size_t bytes;
    const unsigned char *ours = our_head(&bytes);
    uint64_t version = 1 + input[FUZZ_SNAPSHOT_VERSION] % 2;
    memcpy(head, ours, bytes);
    bytes_put(head + SNAPSHOT_MAGIC_BYTES, version, 4);
    unsigned char *at = bytes_put(head + bytes - COUNTS_BYTES, input[FUZZ_SNAPSHOT_ACCOUNTS], 8);
    at = bytes_put(at, input[FUZZ_SNAPSHOT_ANSWERS], 8);
    memcpy(at, input + FUZZ_SNAPSHOT_SECRET, ACCOUNTS_SECRET_BYTES);
    bytes_put(at + ACCOUNTS_SECRET_BYTES, input[FUZZ_SNAPSHOT_RECORDS], 8);
    return version == 1 ? bytes - SINCE_2_BYTES : bytes;
}

/* The file that the input stands for; the caller frees. NULL: none. */
static unsigned char *file_of(const unsigned char *bytes, size_t size, size_t *file_bytes) {
    unsigned char head[SNAPSHOT_HEAD_BYTES_MAX];
    unsigned kind =
        size > 0 ? bytes[FUZZ_SNAPSHOT_KIND] % FUZZ_SNAPSHOT_KINDS : FUZZ_SNAPSHOT_KINDS;
    size_t before = kind == FUZZ_SNAPSHOT_PARTS ? FUZZ_SNAPSHOT_HEAD_BYTES : 1;
    if (size < before || kind == FUZZ_SNAPSHOT_KINDS) {
        return NULL;
    }
    size_t offset = kind == FUZZ_SNAPSHOT_PARTS ? make_head(head, bytes) : 0;
    size_t tail = kind == FUZZ_SNAPSHOT_WHOLE ? 0 : SNAPSHOT_HASH_BYTES;
    *file_bytes = offset + size - before + tail;
    unsigned char *file = malloc(*file_bytes + 1);
    FUZZ_EXPECT(file != NULL);
    memcpy(file, head, offset);
    memcpy(file + offset, bytes + before, size - before);
    if (tail > 0) {
        stage_seal(file, *file_bytes);
    }
    return file;
}

/* ---- reading ---- */

/* What was believed, into an empty state, which it is again afterwards. */
static void inherit(stage *s, const snapshot *from) {
    bool ours = strcmp(snapshot_describe(from).identity.model, s->identity.model) == 0;
    size_t believed;
    FUZZ_EXPECT(snapshot_inherit(from, &s->identity, &s->state, &believed) == ours);
    FUZZ_EXPECT(ours || believed == 0);
    FUZZ_EXPECT(accounts_held(s->state.accounts) == 0);
    stage_clear(s);
}

/* Opens, inherits and restores; a refusal says why, and leaves the state as it was. */
static bool load(stage *s, const unsigned char *file, size_t bytes) {
    static fuzz_file at;
    char error[ERROR_BYTES] = "";
    snapshot *from;
    size_t restored;
    if (at.path[0] == '\0') {
        fuzz_file_open(&at);
    }
    fuzz_file_put(&at, file, bytes);
    bool ok = snapshot_open(&from, at.path, error, sizeof error);
    FUZZ_EXPECT(ok == (from != NULL));
    if (ok) {
        expect_facts(from, bytes);
        inherit(s, from);
        ok = snapshot_restore(from, &s->identity, &s->state, &restored, error, sizeof error);
        if (ok) {
            expect_restored(from, s, restored);
        }
        snapshot_close(from);
    }
    if (!ok) {
        FUZZ_EXPECT(error[0] != '\0' && strchr(error, '\n') == NULL);
        expect_empty(s);
    }
    return ok;
}

/* What `explain` does with every window. */
static void read_windows(const stage *s) {
    static unsigned char exported[EXPORT_BYTES_MAX];
    engine_class classes[STAGE_CLASSES];
    uint32_t slot = ACCOUNTS_NONE;
    while ((slot = accounts_next(s->state.accounts, slot)) != ACCOUNTS_NONE) {
        size_t used, count;
        engine_result total;
        FUZZ_EXPECT(engine_export(s->state.engine, slot, exported, sizeof exported, &used) ==
                    ENGINE_OK);
        FUZZ_EXPECT(engine_read_window(&s->reference->statistics, exported, used, classes,
                                       STAGE_CLASSES, &count, &total) == ENGINE_OK);
        FUZZ_EXPECT(count <= STAGE_CLASSES && total.fill <= STAGE_WINDOW);
    }
}

/* What is held is saved, and that file comes in. */
static void save_and_load(stage *s) {
    size_t bytes;
    unsigned char *file = stage_write(s, &bytes);
    stage_clear(s);
    FUZZ_EXPECT(load(s, file, bytes));
    size_t again_bytes;
    unsigned char *again = stage_write(s, &again_bytes);
    FUZZ_EXPECT(bytes == again_bytes && memcmp(file, again, bytes) == 0);
    free(file);
    free(again);
}

bool fuzz_take(const unsigned char *bytes, size_t size) {
    stage *s = stage_get();
    size_t file_bytes;
    unsigned char *file = file_of(bytes, size, &file_bytes);
    if (file == NULL) {
        return false;
    }
    bool ok = load(s, file, file_bytes);
    if (ok) {
        save_and_load(s);
        stage_clear(s);
        FUZZ_EXPECT(load(s, file, file_bytes)); /* the input's own, not what we made of it */
        FUZZ_EXPECT(stage_use(s));
        read_windows(s);
        save_and_load(s);
    }
    free(file);
    stage_clear(s);
    return ok;
}

/* ---- seeds ---- */

static void seed(const char *name, unsigned kind, const unsigned char *bytes, size_t size) {
    unsigned char *input = malloc(size + 1);
    FUZZ_EXPECT(input != NULL);
    input[FUZZ_SNAPSHOT_KIND] = (unsigned char)kind;
    memcpy(input + 1, bytes, size);
    fuzz_seed(name, input, size + 1);
    free(input);
}

/* Where the records of a file begin whose accounts do at `offset`. */
static size_t records_at(const unsigned char *file, size_t bytes, size_t offset, size_t accounts) {
    bytes_reader r = {.at = file + offset, .left = bytes - offset, .ok = true};
    snapshot_account account;
    for (size_t i = 0; i < accounts; i++) {
        FUZZ_EXPECT(snapshot_read_account(&r, &account));
    }
    return bytes - r.left;
}

/* A file's version, counts, secret and parts; of version 1 without its records. */
static void seed_parts(const char *name, unsigned version, const unsigned char *file,
                       size_t bytes) {
    size_t head_bytes;
    our_head(&head_bytes);
    const unsigned char *counts = file + head_bytes - COUNTS_BYTES;
    const unsigned char *records = file + records_at(file, bytes, head_bytes, counts[0]);
    size_t left_out = version == 1 ? counts[COUNTS_BYTES - 8] * (size_t)SNAPSHOT_RECORD_BYTES : 0;
    size_t accounts_bytes = (size_t)(records - file) - head_bytes;
    size_t parts_bytes = bytes - SNAPSHOT_HASH_BYTES - head_bytes - left_out;
    unsigned char *input = malloc(FUZZ_SNAPSHOT_HEAD_BYTES + parts_bytes);
    FUZZ_EXPECT(input != NULL);
    input[FUZZ_SNAPSHOT_VERSION] = (unsigned char)(version - 1);
    input[FUZZ_SNAPSHOT_ACCOUNTS] = counts[0];
    input[FUZZ_SNAPSHOT_ANSWERS] = counts[8];
    input[FUZZ_SNAPSHOT_RECORDS] = version == 1 ? 0 : counts[COUNTS_BYTES - 8];
    memcpy(input + FUZZ_SNAPSHOT_SECRET, counts + 16, ACCOUNTS_SECRET_BYTES);
    memcpy(input + FUZZ_SNAPSHOT_HEAD_BYTES, file + head_bytes, accounts_bytes);
    memcpy(input + FUZZ_SNAPSHOT_HEAD_BYTES + accounts_bytes, records + left_out,
           parts_bytes - accounts_bytes);
    seed(name, FUZZ_SNAPSHOT_PARTS, input + 1, FUZZ_SNAPSHOT_HEAD_BYTES + parts_bytes - 1);
    free(input);
}

/* As a daemon without rules for evidence writes it: the first account has no verdict. */
static void seed_without_verdict(const char *name, unsigned char *file, size_t bytes) {
    size_t at;
    our_head(&at);
    at += 2 + (size_t)file[at + 1];
    file[at++] = 0;
    memmove(file + at, file + at + VERDICT_BYTES, bytes - at - VERDICT_BYTES);
    seed(name, FUZZ_SNAPSHOT_SEALED, file, bytes - VERDICT_BYTES - SNAPSHOT_HASH_BYTES);
}

/* Written before any seed is taken, which leaves the state empty. */
static unsigned char *file_with(size_t accounts, size_t rows, size_t records, size_t *bytes) {
    stage *s = stage_get();
    stage_live(s, accounts, rows);
    stage_leave_records(s, records);
    unsigned char *file = stage_write(s, bytes);
    stage_clear(s);
    return file;
}

/* The file as all three kinds. */
static void seed_file(const char *const names[FUZZ_SNAPSHOT_KINDS], const unsigned char *file,
                      size_t bytes) {
    seed(names[FUZZ_SNAPSHOT_WHOLE], FUZZ_SNAPSHOT_WHOLE, file, bytes);
    seed(names[FUZZ_SNAPSHOT_SEALED], FUZZ_SNAPSHOT_SEALED, file, bytes - SNAPSHOT_HASH_BYTES);
    seed_parts(names[FUZZ_SNAPSHOT_PARTS], 2, file, bytes);
}

void fuzz_seeds(void) {
    static const char *const name[][FUZZ_SNAPSHOT_KINDS] = {
        {"empty-parts", "empty-sealed", "empty-whole"},
        {"one-parts", "one-sealed", "one-whole"},
        {"full-parts", "full-sealed", "full-whole"}};
    static const struct {
        size_t accounts, rows, records;
    } life[] = {{0, 0, 0}, {1, 1, 3}, {STAGE_PLACES + 2, 5 * STAGE_PLACES, STAGE_RECORDS}};
    for (size_t i = 0; i < sizeof life / sizeof *life; i++) {
        size_t bytes;
        unsigned char *file = file_with(life[i].accounts, life[i].rows, life[i].records, &bytes);
        seed_file(name[i], file, bytes);
        if (i == 1) {
            seed_parts("one-version-1", 1, file, bytes);
            seed_without_verdict("one-without-verdict", file, bytes);
        }
        free(file);
    }
}

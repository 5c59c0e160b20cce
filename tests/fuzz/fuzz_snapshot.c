/*
 * fuzz_snapshot.c - snapshots: opened, restored into a small state, and that state used, saved and
 * restored again.
 */
#include "fuzz_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "fuzz.h"
#include "snapshot_parts.h"
#include "snapshot_stage.h"

enum {
    ERROR_BYTES = 1024,
    COUNTS_BYTES = 16 + ACCOUNTS_SECRET_BYTES + 8,
    EXPORT_BYTES_MAX = 1 << 16
};

/* The head of a file of our own state, in which nothing is held; two counts, a secret and another
 * count end it. */
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

/* The file that the input stands for; the caller frees. NULL: none. */
static unsigned char *file_of(const unsigned char *bytes, size_t size, size_t *file_bytes) {
    size_t head_bytes;
    const unsigned char *head = our_head(&head_bytes);
    unsigned kind = size > 0 ? bytes[0] % FUZZ_SNAPSHOT_KINDS : FUZZ_SNAPSHOT_KINDS;
    size_t before = kind == FUZZ_SNAPSHOT_RECORDS ? FUZZ_SNAPSHOT_COUNTS : 1;
    if (size < before || kind == FUZZ_SNAPSHOT_KINDS) {
        return NULL;
    }
    size_t offset = kind == FUZZ_SNAPSHOT_RECORDS ? head_bytes : 0;
    size_t tail = kind == FUZZ_SNAPSHOT_WHOLE ? 0 : SNAPSHOT_HASH_BYTES;
    *file_bytes = offset + size - before + tail;
    unsigned char *file = malloc(*file_bytes + 1);
    FUZZ_EXPECT(file != NULL);
    memcpy(file + offset, bytes + before, size - before);
    if (kind == FUZZ_SNAPSHOT_RECORDS) {
        memcpy(file, head, head_bytes);
        bytes_put(file + head_bytes - COUNTS_BYTES, bytes[1], 8);
        bytes_put(file + head_bytes - COUNTS_BYTES + 8, bytes[2], 8);
        bytes_put(file + head_bytes - 8, bytes[3], 8);
    }
    if (tail > 0) {
        stage_seal(file, *file_bytes);
    }
    return file;
}

/* ---- reading ---- */

static void expect_facts(const snapshot *from, size_t bytes) {
    snapshot_facts facts = snapshot_describe(from);
    FUZZ_EXPECT(facts.bytes == bytes && facts.groups <= facts.accounts);
    FUZZ_EXPECT(facts.flagged <= facts.accounts && facts.answered_rows >= facts.answers);
    FUZZ_EXPECT(strnlen(facts.identity.model, sizeof facts.identity.model) <=
                REFERENCE_MODEL_BYTES_MAX);
}

static void expect_empty(const stage *s) {
    uint64_t place = 0;
    FUZZ_EXPECT(accounts_held(s->state.accounts) == 0);
    FUZZ_EXPECT(answers_next(s->state.answers, &place) == NULL);
}

/* Opens and restores; a refusal of either says why, and leaves the state as it was. */
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
        ok = snapshot_restore(from, &s->identity, &s->state, &restored, error, sizeof error);
        FUZZ_EXPECT(restored == (ok ? accounts_held(s->state.accounts) : 0));
        FUZZ_EXPECT(restored <= snapshot_describe(from).accounts && restored <= STAGE_PLACES);
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

/* What came in is saved; that file comes in too, and is saved as the same. */
static void save_and_load_again(stage *s) {
    size_t first_bytes, second_bytes;
    unsigned char *first = stage_write(s, &first_bytes);
    stage_clear(s);
    FUZZ_EXPECT(load(s, first, first_bytes));
    unsigned char *second = stage_write(s, &second_bytes);
    FUZZ_EXPECT(first_bytes == second_bytes && memcmp(first, second, first_bytes) == 0);
    free(first);
    free(second);
}

bool fuzz_take(const unsigned char *bytes, size_t size) {
    stage *s = stage_get();
    size_t file_bytes;
    unsigned char *file = file_of(bytes, size, &file_bytes);
    if (file == NULL) {
        return false;
    }
    bool ok = load(s, file, file_bytes);
    free(file);
    if (ok) {
        save_and_load_again(s);
        FUZZ_EXPECT(stage_use(s));
        read_windows(s);
    }
    stage_clear(s);
    return ok;
}

/* ---- seeds ---- */

static void seed(const char *name, unsigned kind, const unsigned char *bytes, size_t size) {
    unsigned char *input = malloc(size + 1);
    FUZZ_EXPECT(input != NULL);
    input[0] = (unsigned char)kind;
    memcpy(input + 1, bytes, size);
    fuzz_seed(name, input, size + 1);
    free(input);
}

/* The file as all three kinds. */
static void seed_file(const char *const names[FUZZ_SNAPSHOT_KINDS], size_t accounts, size_t rows) {
    stage *s = stage_get();
    size_t bytes, head_bytes;
    our_head(&head_bytes);
    if (accounts > 0) {
        stage_live(s, accounts, rows);
    }
    unsigned char *file = stage_write(s, &bytes);
    stage_clear(s);
    seed(names[FUZZ_SNAPSHOT_WHOLE], FUZZ_SNAPSHOT_WHOLE, file, bytes);
    seed(names[FUZZ_SNAPSHOT_SEALED], FUZZ_SNAPSHOT_SEALED, file, bytes - SNAPSHOT_HASH_BYTES);
    const unsigned char counts[] = {file[head_bytes - COUNTS_BYTES],
                                    file[head_bytes - COUNTS_BYTES + 8], file[head_bytes - 8]};
    unsigned char *records = file + head_bytes - sizeof counts;
    memcpy(records, counts, sizeof counts);
    seed(names[FUZZ_SNAPSHOT_RECORDS], FUZZ_SNAPSHOT_RECORDS, records,
         bytes - SNAPSHOT_HASH_BYTES - head_bytes + sizeof counts);
    free(file);
}

void fuzz_seeds(void) {
    static const char *const empty[] = {"empty-records", "empty-sealed", "empty-whole"};
    static const char *const one[] = {"one-records", "one-sealed", "one-whole"};
    static const char *const full[] = {"full-records", "full-sealed", "full-whole"};
    seed_file(empty, 0, 0);
    seed_file(one, 1, 1);
    seed_file(full, STAGE_PLACES + 2, 5 * STAGE_PLACES);
}

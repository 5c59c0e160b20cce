/*
 * snapshot_read.c - a file to records, all of them checked before the first is handed out.
 *
 * First the length and the checksum, which tell a torn file; then the head, and every record behind
 * it, as if the checksum had been made by whoever wants to do harm.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "members.h"
#include "snapshot_parts.h"

typedef struct {
    const char *path;
    char *error;
    size_t error_bytes;
} complaint;

/* The file is at fault: one line. Always false. */
__attribute__((format(printf, 2, 3))) static bool refuse(const complaint *to, const char *format,
                                                         ...) {
    int length = snprintf(to->error, to->error_bytes, "%s: ", to->path);
    va_list arguments;
    if (length < 0 || (size_t)length >= to->error_bytes) {
        return false;
    }
    va_start(arguments, format);
    vsnprintf(to->error + length, to->error_bytes - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

static bool name_possible(const unsigned char *name, size_t length) {
    return length > 0 && members_text_is_utf8((const char *)name, length);
}

bool snapshot_read_account(bytes_reader *r, snapshot_account *a) {
    uint64_t is_group = bytes_get(r, 1);
    size_t length = (size_t)bytes_get(r, 1);
    const unsigned char *name = bytes_take(r, length);
    uint64_t has_verdict = bytes_get(r, 1);
    if (!r->ok || is_group > 1 || has_verdict > 1 || length > ACCOUNTS_NAME_BYTES_MAX ||
        !name_possible(name, length)) {
        return false;
    }
    *a = (snapshot_account){
        .name = {.bytes = (const char *)name, .length = length, .is_group = is_group != 0},
        .has_verdict = has_verdict != 0};
    if (a->has_verdict) {
        const unsigned char *verdict = bytes_take(r, VERDICT_BYTES);
        if (verdict == NULL || !verdict_decode(&a->verdict, verdict)) {
            return false;
        }
    }
    uint64_t exported = bytes_get(r, 8);
    if (!r->ok || exported == 0 || exported > r->left) {
        return false;
    }
    a->exported_bytes = (size_t)exported;
    a->exported = bytes_take(r, a->exported_bytes);
    return true;
}

bool snapshot_read_record(bytes_reader *r, snapshot_record *record) {
    const unsigned char *key = bytes_take(r, ACCOUNTS_KEY_BYTES);
    const unsigned char *belief = bytes_take(r, VERDICT_BELIEF_BYTES);
    if (key == NULL || belief == NULL) {
        return false;
    }
    memcpy(record->key.bytes, key, ACCOUNTS_KEY_BYTES);
    return verdict_decode_belief(&record->belief, belief);
}

bool snapshot_read_answer(bytes_reader *r, snapshot_answer *a) {
    a->key.client = bytes_get(r, 8);
    a->key.seq = bytes_get(r, 8);
    a->digest = bytes_get(r, 8);
    a->rows = (size_t)bytes_get(r, 4);
    uint64_t degraded = bytes_get(r, 1);
    a->degraded = degraded != 0;
    return r->ok && degraded <= 1 && a->rows > 0 && a->rows <= r->left / SNAPSHOT_ROW_BYTES;
}

static bool get_side(bytes_reader *r, answer_side *side) {
    side->score = bytes_get_f32(r);
    side->excess = bytes_get_f32(r);
    side->evidence = bytes_get_f32(r);
    side->verdict = (uint8_t)bytes_get(r, 1);
    return side->verdict <= WIRE_UNDECIDED;
}

bool snapshot_read_row(bytes_reader *r, answer_row *row) {
    bool possible = get_side(r, &row->account);
    possible = get_side(r, &row->group) && possible;
    row->memory_score = bytes_get_f32(r);
    row->fill = (uint32_t)bytes_get(r, 4);
    row->decision = (uint8_t)bytes_get(r, 1);
    row->verdict = (uint8_t)bytes_get(r, 1);
    row->reason = (uint8_t)bytes_get(r, 1);
    return r->ok && possible && row->decision <= WIRE_LABEL_ONLY &&
           row->verdict <= WIRE_UNDECIDED && row->reason <= WIRE_ALLOWED;
}

/* ---- the head ---- */

static bool model_possible(const unsigned char *model, size_t length) {
    char text[REFERENCE_MODEL_BYTES_MAX + 1] = "";
    if (length > REFERENCE_MODEL_BYTES_MAX || !name_possible(model, length)) {
        return false;
    }
    memcpy(text, model, length);
    return members_text_is_clean(text);
}

static bool identity_possible(const snapshot_identity *i) {
    return i->dim >= 1 && i->dim <= ENGINE_DIM_MAX && i->classes >= 1 &&
           i->classes <= ENGINE_CLASSES_MAX && i->rank >= 1 && i->rank <= i->dim &&
           i->window_rows >= 1 && i->window_rows <= ENGINE_WINDOW_MAX &&
           i->memory_rank <= ENGINE_MEMORY_RANK_MAX && isfinite(i->half_life_rows) &&
           i->half_life_rows >= 0.0;
}

static bool read_head(bytes_reader *r, snapshot_facts *facts) {
    snapshot_identity *identity = &facts->identity;
    facts->saved_at_s = bytes_get(r, 8);
    size_t length = (size_t)bytes_get(r, 1);
    const unsigned char *model = bytes_take(r, length);
    if (model == NULL || !model_possible(model, length)) {
        return false;
    }
    memcpy(identity->model, model, length);
    identity->dim = bytes_get(r, 8);
    identity->classes = bytes_get(r, 8);
    identity->rank = bytes_get(r, 8);
    identity->window_rows = bytes_get(r, 8);
    identity->memory_rank = bytes_get(r, 8);
    identity->half_life_rows = bytes_get_f64(r);
    const unsigned char *reference = bytes_take(r, SNAPSHOT_HASH_BYTES);
    const unsigned char *key = bytes_take(r, crypto_shorthash_KEYBYTES);
    facts->accounts = bytes_get(r, 8);
    facts->answers = bytes_get(r, 8);
    const unsigned char *secret = NULL;
    if (facts->version > 1) {
        secret = bytes_take(r, ACCOUNTS_SECRET_BYTES);
        facts->records = bytes_get(r, 8);
    }
    if (!r->ok || !identity_possible(identity)) {
        return false;
    }
    if (secret != NULL) {
        memcpy(facts->accounts_secret, secret, ACCOUNTS_SECRET_BYTES);
    }
    memcpy(identity->reference, reference, SNAPSHOT_HASH_BYTES);
    memcpy(facts->digest_key, key, crypto_shorthash_KEYBYTES);
    return facts->accounts <= ENGINE_SLOTS_MAX && facts->answers <= ANSWERS_MAX &&
           facts->accounts <= r->left / SNAPSHOT_ACCOUNT_BYTES_MIN &&
           facts->records <= r->left / SNAPSHOT_RECORD_BYTES &&
           facts->answers <= r->left / (SNAPSHOT_ANSWER_BYTES + SNAPSHOT_ROW_BYTES);
}

/* ---- the records ---- */

static bool check_accounts(bytes_reader *r, snapshot_facts *facts, const complaint *to) {
    accounts *seen = facts->accounts > 0 ? accounts_open((size_t)facts->accounts) : NULL;
    if (facts->accounts > 0 && seen == NULL) {
        return refuse(to, "out of memory for the names of %" PRIu64 " accounts", facts->accounts);
    }
    bool ok = true;
    for (uint64_t i = 0; i < facts->accounts && ok; i++) {
        snapshot_account a;
        bool fresh = true;
        ok = snapshot_read_account(r, &a);
        if (ok) {
            accounts_touch(seen, a.name, &fresh);
            facts->groups += a.name.is_group;
            facts->flagged += a.has_verdict && a.verdict.verdict == WIRE_FLAGGED;
        }
        if (!ok || !fresh) {
            ok = refuse(to, "account %" PRIu64 " of %" PRIu64 " %s", i + 1, facts->accounts,
                        ok ? "is there twice" : "is none that a daemon can have written");
        }
    }
    accounts_close(seen);
    return ok;
}

static bool check_records(bytes_reader *r, snapshot_facts *facts, const complaint *to) {
    for (uint64_t i = 0; i < facts->records; i++) {
        snapshot_record record;
        if (!snapshot_read_record(r, &record)) {
            return refuse(to,
                          "record %" PRIu64 " of %" PRIu64 " is none that a daemon can have "
                          "written",
                          i + 1, facts->records);
        }
        facts->records_flagged += record.belief.verdict == WIRE_FLAGGED;
    }
    return true;
}

static int compare_keys(const void *left, const void *right) {
    const answer_key *a = left;
    const answer_key *b = right;
    if (a->client != b->client) {
        return a->client < b->client ? -1 : 1;
    }
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static bool keys_differ(answer_key *key, size_t count) {
    qsort(key, count, sizeof *key, compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (compare_keys(&key[i - 1], &key[i]) == 0) {
            return false;
        }
    }
    return true;
}

static bool check_answer(bytes_reader *r, snapshot_answer *a) {
    answer_row row;
    bool ok = snapshot_read_answer(r, a);
    for (size_t i = 0; ok && i < a->rows; i++) {
        ok = snapshot_read_row(r, &row);
    }
    return ok;
}

static bool check_answers(bytes_reader *r, snapshot_facts *facts, const complaint *to) {
    answer_key *key = calloc((size_t)facts->answers + 1, sizeof *key);
    if (key == NULL) {
        return refuse(to, "out of memory for %" PRIu64 " answers", facts->answers);
    }
    bool ok = true;
    for (uint64_t i = 0; i < facts->answers && ok; i++) {
        snapshot_answer a;
        ok = check_answer(r, &a);
        if (!ok) {
            refuse(to, "answer %" PRIu64 " of %" PRIu64 " is none that a daemon can have written",
                   i + 1, facts->answers);
            break;
        }
        key[i] = a.key;
        facts->answered_rows += a.rows;
    }
    if (ok && !keys_differ(key, (size_t)facts->answers)) {
        ok = refuse(to, "two answers to the same (client, seq)");
    }
    free(key);
    return ok;
}

/* ---- the file ---- */

static bool check(snapshot *s, const complaint *to) {
    unsigned char hash[SNAPSHOT_HASH_BYTES];
    bytes_reader r = {.at = s->map, .left = s->map_bytes, .ok = true};
    const unsigned char *magic = bytes_take(&r, SNAPSHOT_MAGIC_BYTES);
    if (magic == NULL || memcmp(magic, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_BYTES) != 0) {
        return refuse(to, "expected a snapshot, came %s",
                      magic == NULL ? "too few bytes" : "another kind of file");
    }
    uint64_t version = bytes_get(&r, 4);
    if (r.ok && (version < SNAPSHOT_VERSION_OLDEST || version > SNAPSHOT_VERSION)) {
        return refuse(to, "expected a snapshot of version %d to %d, came %" PRIu64,
                      SNAPSHOT_VERSION_OLDEST, SNAPSHOT_VERSION, version);
    }
    if (r.left < SNAPSHOT_HASH_BYTES) {
        return refuse(to, "torn: %zu bytes hold no checksum", s->map_bytes);
    }
    r.left -= SNAPSHOT_HASH_BYTES;
    size_t hashed = s->map_bytes - SNAPSHOT_HASH_BYTES;
    crypto_generichash(hash, sizeof hash, s->map, hashed, NULL, 0);
    if (memcmp(hash, (const unsigned char *)s->map + hashed, sizeof hash) != 0) {
        return refuse(to, "torn or changed: the checksum over %zu bytes does not match", hashed);
    }
    s->facts = (snapshot_facts){.bytes = s->map_bytes, .version = version};
    if (!read_head(&r, &s->facts)) {
        return refuse(to, "its head is none that a daemon can have written");
    }
    s->accounts = r;
    if (!check_accounts(&r, &s->facts, to)) {
        return false;
    }
    s->records = r;
    if (!check_records(&r, &s->facts, to)) {
        return false;
    }
    s->answers = r;
    if (!check_answers(&r, &s->facts, to)) {
        return false;
    }
    return r.left == 0 || refuse(to, "%zu bytes are left after its last record", r.left);
}

/* A plain file, mapped. */
static bool map(snapshot *s, const complaint *to) {
    int fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not hold the start */
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        refuse(to, "%s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    bool ok = S_ISREG(status.st_mode) && status.st_size > 0;
    if (!ok) {
        refuse(to, S_ISREG(status.st_mode) ? "torn: empty" : "expected a plain file");
    } else {
        s->map_bytes = (size_t)status.st_size;
        s->map = mmap(NULL, s->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (s->map == MAP_FAILED) {
            s->map = NULL;
            ok = refuse(to, "%s", strerror(errno));
        }
    }
    close(fd);
    return ok;
}

bool snapshot_open(snapshot **out, const char *path, char *error, size_t error_bytes) {
    const complaint to = {path, error, error_bytes};
    snapshot *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        return refuse(&to, "out of memory");
    }
    if (!map(s, &to) || !check(s, &to)) {
        snapshot_close(s);
        return false;
    }
    *out = s;
    return true;
}

void snapshot_close(snapshot *s) {
    if (s == NULL) {
        return;
    }
    if (s->map != NULL) {
        munmap(s->map, s->map_bytes);
    }
    free(s->path);
    free(s);
}

snapshot_facts snapshot_describe(const snapshot *s) {
    return s->facts;
}

/*
 * snapshot_write.c - a state to a file, one record after another through one buffer.
 *
 * A forked child may be what runs this: a copy of one thread of many, in which any lock may be held
 * for ever by a thread that is not there. So nothing here calls malloc, stdio or the log; the
 * buffer is mapped, records are copied out of memory that is the child's own, and what libsodium
 * does is arithmetic.
 */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "snapshot_parts.h"

enum { BUFFER_BYTES = 1 << 20 };

typedef struct {
    crypto_generichash_state hash;
    aside *file;
    unsigned char *bytes; /* mapped */
    size_t capacity;
    size_t used;
    int error; /* errno; 0: none yet */
} writer;

static bool writer_init(writer *w, aside *file) {
    *w = (writer){.file = file, .capacity = BUFFER_BYTES};
    crypto_generichash_init(&w->hash, NULL, 0, SNAPSHOT_HASH_BYTES);
    w->bytes = mmap(NULL, w->capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return w->bytes != MAP_FAILED;
}

static void flush(writer *w) {
    if (w->error == 0) {
        crypto_generichash_update(&w->hash, w->bytes, w->used);
        w->error = aside_write(w->file, w->bytes, w->used) ? 0 : errno;
    }
    w->used = 0;
}

/* Room for so many bytes; NULL after an error. */
static unsigned char *room(writer *w, size_t count) {
    if (count > w->capacity - w->used) {
        flush(w);
    }
    if (w->error == 0 && count > w->capacity) {
        void *larger = mremap(w->bytes, w->capacity, count, MREMAP_MAYMOVE);
        if (larger == MAP_FAILED) {
            w->error = errno;
        } else {
            w->bytes = larger;
            w->capacity = count;
        }
    }
    return w->error == 0 ? w->bytes + w->used : NULL;
}

static void wrote(writer *w, const unsigned char *end) {
    w->used = (size_t)(end - w->bytes);
}

static uint64_t count_answers(const answers *answers) {
    uint64_t count = 0;
    for (uint64_t place = 0; answers_next(answers, &place) != NULL;) {
        count++;
    }
    return count;
}

static void write_head(writer *w, const snapshot_state *state, const snapshot_identity *identity) {
    size_t length = strlen(identity->model);
    unsigned char *at = room(w, SNAPSHOT_HEAD_BYTES_MAX);
    if (at == NULL) {
        return;
    }
    memcpy(at, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_BYTES);
    at = bytes_put(at + SNAPSHOT_MAGIC_BYTES, SNAPSHOT_VERSION, 4);
    at = bytes_put(at, (uint64_t)time(NULL), 8);
    at = bytes_put(at, length, 1);
    memcpy(at, identity->model, length);
    at = bytes_put(at + length, identity->dim, 8);
    at = bytes_put(at, identity->classes, 8);
    at = bytes_put(at, identity->rank, 8);
    at = bytes_put(at, identity->window_rows, 8);
    at = bytes_put(at, identity->memory_rank, 8);
    at = bytes_put_f64(at, identity->half_life_rows);
    memcpy(at, identity->reference, sizeof identity->reference);
    at += sizeof identity->reference;
    memcpy(at, state->digest_key, crypto_shorthash_KEYBYTES);
    at += crypto_shorthash_KEYBYTES;
    at = bytes_put(at, accounts_held(state->accounts), 8);
    at = bytes_put(at, count_answers(state->answers), 8);
    memcpy(at, accounts_secret(state->accounts), ACCOUNTS_SECRET_BYTES);
    at = bytes_put(at + ACCOUNTS_SECRET_BYTES, records_held(judge_records(state->judge)), 8);
    wrote(w, at);
}

static void write_account(writer *w, const snapshot_state *state, uint32_t slot) {
    accounts_name name = accounts_name_of(state->accounts, slot);
    const verdict_record *verdict = judge_kept(state->judge, slot);
    size_t exported = 0;
    engine_status status = engine_export(state->engine, slot, NULL, 0, &exported);
    unsigned char *at = room(w, SNAPSHOT_ACCOUNT_BYTES_MAX + exported);
    if (at == NULL) {
        return;
    }
    at = bytes_put(at, name.is_group, 1);
    at = bytes_put(at, name.length, 1);
    memcpy(at, name.bytes, name.length);
    at = bytes_put(at + name.length, verdict != NULL, 1);
    if (verdict != NULL) {
        verdict_encode(verdict, at);
        at += VERDICT_BYTES;
    }
    at = bytes_put(at, exported, 8);
    if (status == ENGINE_OK) {
        status = engine_export(state->engine, slot, at, exported, &exported);
    }
    if (status != ENGINE_OK) {
        w->error = EIO; /* a device was lost just now */
    }
    wrote(w, at + exported);
}

static void write_records(writer *w, const records *records) {
    uint32_t i = records_next(records, RECORDS_NONE);
    for (; i != RECORDS_NONE && w->error == 0; i = records_next(records, i)) {
        unsigned char *at = room(w, SNAPSHOT_RECORD_BYTES);
        if (at != NULL) {
            memcpy(at, records_key(records, i)->bytes, ACCOUNTS_KEY_BYTES);
            verdict_encode_belief(records_belief(records, i), at + ACCOUNTS_KEY_BYTES);
            wrote(w, at + SNAPSHOT_RECORD_BYTES);
        }
    }
}

static unsigned char *put_side(unsigned char *at, const answer_side *side) {
    at = bytes_put_f32(at, side->score);
    at = bytes_put_f32(at, side->excess);
    at = bytes_put_f32(at, side->evidence);
    return bytes_put(at, side->verdict, 1);
}

static void write_row(writer *w, const answer_row *row) {
    unsigned char *at = room(w, SNAPSHOT_ROW_BYTES);
    if (at == NULL) {
        return;
    }
    at = put_side(at, &row->account);
    at = put_side(at, &row->group);
    at = bytes_put_f32(at, row->memory_score);
    at = bytes_put(at, row->fill, 4);
    at = bytes_put(at, row->decision, 1);
    at = bytes_put(at, row->verdict, 1);
    at = bytes_put(at, row->reason, 1);
    wrote(w, at);
}

static void write_answer(writer *w, const answer *answer) {
    unsigned char *at = room(w, SNAPSHOT_ANSWER_BYTES);
    if (at == NULL) {
        return;
    }
    at = bytes_put(at, answer->key.client, 8);
    at = bytes_put(at, answer->key.seq, 8);
    at = bytes_put(at, answer->digest, 8);
    at = bytes_put(at, answer->rows, 4);
    at = bytes_put(at, answer->degraded, 1);
    wrote(w, at);
    for (size_t i = 0; i < answer->rows; i++) {
        write_row(w, &answer->row[i]);
    }
}

static void write_tail(writer *w) {
    unsigned char hash[SNAPSHOT_HASH_BYTES];
    flush(w);
    crypto_generichash_final(&w->hash, hash, sizeof hash);
    if (w->error == 0 && !aside_write(w->file, hash, sizeof hash)) {
        w->error = errno;
    }
}

int snapshot_write(const snapshot_state *state, const snapshot_identity *identity, aside *file) {
    writer w;
    if (!writer_init(&w, file)) {
        return errno;
    }
    write_head(&w, state, identity);
    uint32_t slot = accounts_next(state->accounts, ACCOUNTS_NONE);
    for (; slot != ACCOUNTS_NONE && w.error == 0; slot = accounts_next(state->accounts, slot)) {
        write_account(&w, state, slot);
    }
    write_records(&w, judge_records(state->judge));
    const answer *answer;
    for (uint64_t place = 0;
         w.error == 0 && (answer = answers_next(state->answers, &place)) != NULL;) {
        write_answer(&w, answer);
    }
    write_tail(&w);
    munmap(w.bytes, w.capacity);
    return w.error;
}

/*
 * answers.c - a ring of answers, a ring of their rows, and uthash over the first.
 */
#include "answers.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A failed allocation inside the table must not end the daemon. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef struct {
    answer answer;
    uint64_t row_first; /* counted from the beginning of time; modulo rows_max its place */
    UT_hash_handle hh;
} entry;

struct answers {
    entry *entry;       /* [ANSWERS_MAX] ring */
    uint64_t entry_old; /* counted from the beginning of time, as are the next three */
    uint64_t entry_new;
    uint64_t row_old;
    uint64_t row_new;
    answer_row *row; /* [rows_max] ring; an answer's rows lie together */
    size_t rows_max;
    entry *table;
};

answers *answers_open(size_t rows_max) {
    answers *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->rows_max = rows_max;
    a->entry = calloc(ANSWERS_MAX, sizeof *a->entry);
    a->row = calloc(rows_max, sizeof *a->row);
    if (a->entry == NULL || a->row == NULL) {
        answers_close(a);
        return NULL;
    }
    return a;
}

size_t answers_bytes(size_t rows_max) {
    return ANSWERS_MAX * sizeof(entry) + rows_max * sizeof(answer_row);
}

void answers_close(answers *a) {
    if (a == NULL) {
        return;
    }
    HASH_CLEAR(hh, a->table);
    free(a->row);
    free(a->entry);
    free(a);
}

static entry *entry_at(answers *a, uint64_t number) {
    return &a->entry[number % ANSWERS_MAX];
}

answer *answers_find(answers *a, answer_key key) {
    entry *found;
    HASH_FIND(hh, a->table, &key, sizeof key, found);
    return found == NULL ? NULL : &found->answer;
}

static void drop_oldest(answers *a) {
    entry *e = entry_at(a, a->entry_old++);
    if (e->hh.tbl != NULL) { /* or it has been forgotten */
        HASH_DELETE(hh, a->table, e);
    }
    a->row_old = a->entry_old == a->entry_new ? a->row_new : entry_at(a, a->entry_old)->row_first;
}

answer *answers_put(answers *a, answer_key key, uint64_t digest, size_t rows) {
    size_t at = a->row_new % a->rows_max;
    if (rows > a->rows_max - at) {
        a->row_new += a->rows_max - at; /* rows of an answer do not wrap around */
    }
    while (a->entry_new > a->entry_old && (a->entry_new - a->entry_old == ANSWERS_MAX ||
                                           a->row_new + rows - a->row_old > a->rows_max)) {
        drop_oldest(a);
    }
    entry *e = entry_at(a, a->entry_new);
    *e = (entry){.answer = {.key = key,
                            .digest = digest,
                            .rows = rows,
                            .row = a->row + a->row_new % a->rows_max,
                            .pending = true},
                 .row_first = a->row_new};
    HASH_ADD(hh, a->table, answer.key, sizeof e->answer.key, e);
    if (e->hh.tbl == NULL) {
        return NULL;
    }
    if (a->entry_new == a->entry_old) {
        a->row_old = a->row_new;
    }
    a->entry_new++;
    a->row_new += rows;
    return &e->answer;
}

const answer *answers_next(const answers *a, uint64_t *place) {
    uint64_t at = *place < a->entry_old ? a->entry_old : *place;
    for (; at < a->entry_new; at++) {
        const entry *e = &a->entry[at % ANSWERS_MAX];
        if (e->hh.tbl != NULL && !e->answer.pending) { /* or it has been forgotten */
            *place = at + 1;
            return &e->answer;
        }
    }
    *place = at;
    return NULL;
}

size_t answers_rows_max(const answers *a) {
    return a->rows_max;
}

void answers_clear(answers *a) {
    while (a->entry_new > a->entry_old) {
        drop_oldest(a);
    }
}

void answers_forget(answers *a, answer *answer) {
    entry *e = (entry *)((char *)answer - offsetof(entry, answer));
    HASH_DELETE(hh, a->table, e);
    e->hh.tbl = NULL;
}

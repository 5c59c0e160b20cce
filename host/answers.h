/*
 * answers.h - what was answered to (client, seq), so that a request sent twice counts once.
 *
 * NNG's REQ re-sends a request whose connection dropped; the second copy gets the answer of the
 * first. The newest ANSWERS_MAX answers are kept, as far as their rows fit rows_max.
 * Threads: one at a time.
 */
#ifndef ADDER_ANSWERS_H
#define ADDER_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ANSWERS_MAX = 65536, ANSWERS_ROWS_MAX = 1 << 20 };

/* What an account or a group was answered for one of its rows. */
typedef struct {
    float score;
    float excess;
    float evidence;
    uint8_t verdict; /* wire_verdict */
} answer_side;

/* What a row was answered. */
typedef struct {
    answer_side account;
    answer_side group; /* zero where the row has none */
    float memory_score;
    uint32_t fill;
    uint8_t decision; /* wire_decision */
    uint8_t verdict;  /* wire_verdict, of account and group together */
    uint8_t reason;   /* wire_reason */
} answer_row;

typedef struct {
    uint64_t client;
    uint64_t seq;
} answer_key;

/* The rows of a score, or one row for a forget, whose `verdict` says whether it was known. */
typedef struct {
    answer_key key;
    uint64_t digest; /* of what was asked: the same seq for another request is an error */
    size_t rows;
    answer_row *row; /* [rows], owned by the table; valid until an answers_put needs the room */
    bool degraded;   /* scored after the engine had lost its device */
    bool pending;    /* put, but its rows are not written yet */
} answer;

typedef struct answers answers;
answers *answers_open(size_t rows_max); /* NULL: no memory */
void answers_close(answers *answers);   /* NULL is allowed */
size_t answers_bytes(size_t rows_max);  /* of all that it can hold */

answer *answers_find(answers *answers, answer_key key);
/* Makes room for an answer, dropping the oldest that are in its way; pending until the caller has
 * written its rows and cleared the flag. rows is 1..rows_max. NULL: no memory for the table; the
 * request then has no protection. */
answer *answers_put(answers *answers, answer_key key, uint64_t digest, size_t rows);
/* The answers that are complete, oldest first: from *place = 0 on, which it moves, to NULL. */
const answer *answers_next(const answers *answers, uint64_t *place);
size_t answers_rows_max(const answers *answers);
/* Drops all. */
void answers_clear(answers *answers);
/* Takes an answer that came to nothing out of the table; its room comes back in its turn. */
void answers_forget(answers *answers, answer *answer);

#endif

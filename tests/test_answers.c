/*
 * test_answers.c - what was answered to (client, seq) is found again, until newer answers need the
 * room; compared with a plain array of everything ever put.
 */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "answers.h"

static void write_rows(answer *answer, float value) {
    for (size_t i = 0; i < answer->rows; i++) {
        answer->row[i] = (answer_row){.memory_score = value, .fill = (uint32_t)i};
    }
    answer->pending = false;
}

Test(answers, an_answer_is_found_by_its_key_alone) {
    answers *a = answers_open(100);
    answer *put = answers_put(a, (answer_key){1, 2}, 77, 3);
    cr_assert(put->pending);
    write_rows(put, 5.0f);
    const answer *found = answers_find(a, (answer_key){1, 2});
    cr_assert_not_null(found);
    cr_assert_eq(found->digest, 77);
    cr_assert_eq(found->rows, 3);
    cr_assert_eq(found->row[2].fill, 2);
    cr_assert_null(answers_find(a, (answer_key){2, 1}));
    cr_assert_null(answers_find(a, (answer_key){1, 3}));
    answers_close(a);
}

Test(answers, one_that_came_to_nothing_is_forgotten_and_its_room_comes_back) {
    answers *a = answers_open(10);
    answer *first = answers_put(a, (answer_key){1, 1}, 0, 4);
    write_rows(answers_put(a, (answer_key){1, 2}, 0, 6), 2.0f);
    answers_forget(a, first);
    cr_assert_null(answers_find(a, (answer_key){1, 1}));
    cr_assert_not_null(answers_find(a, (answer_key){1, 2}), "a later one stays");
    write_rows(answers_put(a, (answer_key){1, 1}, 0, 4), 1.0f);
    cr_assert_not_null(answers_find(a, (answer_key){1, 1}), "the same key again");
    cr_assert_not_null(answers_find(a, (answer_key){1, 2}), "in the room of the forgotten");
    answers_forget(a, answers_find(a, (answer_key){1, 2}));
    answers_forget(a, answers_find(a, (answer_key){1, 1}));
    write_rows(answers_put(a, (answer_key){1, 3}, 0, 10), 3.0f);
    cr_assert_not_null(answers_find(a, (answer_key){1, 3}));
    answers_close(a);
}

enum { ROWS = 64, PUTS = 20000 };

Test(answers, live_answers_are_intact_and_only_the_oldest_are_dropped) {
    answers *a = answers_open(ROWS);
    size_t *rows = calloc(PUTS, sizeof *rows);
    uint64_t random = 3;
    for (uint64_t seq = 0; seq < PUTS; seq++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        rows[seq] = 1 + (size_t)(random >> 40) % 40;
        write_rows(answers_put(a, (answer_key){9, seq}, seq, rows[seq]), (float)seq);
        bool alive = true;
        size_t sum = 0;
        for (uint64_t back = 0; back <= seq && back < ROWS + 1; back++) {
            const answer *found = answers_find(a, (answer_key){9, seq - back});
            cr_assert(alive || found == NULL, "an older answer outlived a newer one");
            alive = found != NULL;
            if (alive) {
                sum += found->rows;
                cr_assert_eq(found->rows, rows[seq - back]);
                cr_assert_eq(found->row[0].memory_score, (float)(seq - back));
                cr_assert_eq(found->row[found->rows - 1].fill, found->rows - 1);
            }
        }
        cr_assert_leq(sum, ROWS);
        cr_assert_not_null(answers_find(a, (answer_key){9, seq}));
    }
    free(rows);
    answers_close(a);
}

Test(answers, the_number_of_answers_is_bounded_too) {
    answers *a = answers_open(ANSWERS_ROWS_MAX);
    for (uint64_t seq = 0; seq < 2 * ANSWERS_MAX; seq++) {
        write_rows(answers_put(a, (answer_key){9, seq}, seq, 1), 0.0f);
    }
    cr_assert_null(answers_find(a, (answer_key){9, ANSWERS_MAX - 1}));
    cr_assert_not_null(answers_find(a, (answer_key){9, ANSWERS_MAX}));
    answers_close(a);
}

/*
 * test_queue.c - order, bounds and the end of the queue, from one thread and from several.
 */
#include <criterion/criterion.h>

#include <pthread.h>

#include "queue.h"

Test(queue, entries_come_out_in_order_and_no_more_than_asked_for) {
    queue *q = queue_open(4, 100);
    int entry[4];
    void *taken[4];
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(queue_put(q, &entry[i], 1), QUEUE_OK);
    }
    cr_assert(queue_own(q));
    cr_assert_eq(queue_take(q, taken, 3, false), 3);
    cr_assert_eq(taken[0], &entry[0]);
    cr_assert_eq(taken[2], &entry[2]);
    cr_assert_eq(queue_take(q, taken, 3, false), 1);
    cr_assert_eq(taken[0], &entry[3]);
    queue_close(q);
}

Test(queue, rows_past_the_bound_are_refused_until_some_are_taken) {
    queue *q = queue_open(8, 10);
    int entry;
    void *taken[8];
    cr_assert_eq(queue_put(q, &entry, 50), QUEUE_OK, "one request of any size may wait alone");
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_FULL);
    cr_assert(queue_own(q));
    cr_assert_eq(queue_take(q, taken, 8, false), 1);
    cr_assert_eq(queue_put(q, &entry, 6), QUEUE_OK);
    cr_assert_eq(queue_put(q, &entry, 5), QUEUE_FULL);
    cr_assert_eq(queue_put(q, &entry, 4), QUEUE_OK);
    cr_assert_eq(queue_put(q, &entry, 0), QUEUE_OK, "a forget has no rows");
    cr_assert_eq(queue_put(q, &entry, (size_t)-1), QUEUE_FULL, "sizes do not wrap");
    queue_close(q);
}

Test(queue, after_the_end_what_waits_comes_out_and_nothing_goes_in) {
    queue *q = queue_open(2, 10);
    int entry;
    void *taken[2];
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_OK);
    queue_end(q);
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_CLOSED);
    cr_assert(queue_own(q));
    cr_assert_eq(queue_take(q, taken, 2, false), 1);
    cr_assert_eq(queue_take(q, taken, 2, false), 0);
    queue_close(q);
}

Test(queue, one_owns_it_until_nothing_is_left_for_him) {
    queue *q = queue_open(4, 10);
    int entry;
    void *taken[4];
    cr_assert_not(queue_own(q), "nothing waits");
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_OK);
    cr_assert(queue_own(q));
    cr_assert_not(queue_own(q), "somebody has it");
    cr_assert_eq(queue_take(q, taken, 4, false), 1);
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_OK);
    cr_assert_not(queue_own(q), "he has not seen it empty");
    cr_assert_eq(queue_take(q, taken, 4, false), 1);
    cr_assert_eq(queue_take(q, taken, 4, true), 0);
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_OK);
    cr_assert_not(queue_own(q), "he stayed");
    cr_assert_eq(queue_take(q, taken, 4, true), 1);
    cr_assert_eq(queue_take(q, taken, 4, false), 0);
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_OK);
    cr_assert(queue_own(q), "he left");
    queue_close(q);
}

Test(queue, who_leaves_is_told_whether_somebody_must_come) {
    queue *q = queue_open(4, 10);
    int entry;
    void *taken[4];
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_OK);
    cr_assert(queue_own(q));
    cr_assert(queue_disown(q, false), "an entry waits");
    cr_assert(queue_own(q));
    cr_assert_eq(queue_take(q, taken, 4, false), 1);
    cr_assert(queue_disown(q, true), "it is unfinished");
    cr_assert(queue_own(q), "also where nothing waits");
    cr_assert_not(queue_disown(q, false));
    cr_assert_not(queue_own(q));
    queue_close(q);
}

Test(queue, what_was_left_unfinished_is_the_next_owners_and_nobody_elses) {
    queue *q = queue_open(4, 10);
    int entry;
    void *taken[4];
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_OK);
    cr_assert(queue_own(q));
    cr_assert_eq(queue_take(q, taken, 4, false), 1);
    cr_assert(queue_disown(q, true));
    cr_assert(queue_own(q));
    cr_assert_eq(queue_take(q, taken, 4, true), 0, "he finishes it");
    cr_assert_eq(queue_take(q, taken, 4, false), 0);
    cr_assert_not(queue_own(q), "nothing waits or is unfinished");
    queue_close(q);
}

enum { WRITERS = 4, ENTRIES = 5000, PATIENCE = 3 };
typedef struct {
    queue *queue;
    int value[ENTRIES];
} writer;

/* What the owners have taken; written without a lock, since there is one of them at a time. */
static writer writers[WRITERS];
static int next[WRITERS];
static size_t disorder;

static void check(const int *value) {
    for (int i = 0; i < WRITERS; i++) {
        if (value >= writers[i].value && value < writers[i].value + ENTRIES) {
            disorder += *value != next[i]++;
        }
    }
}

/* Puts, and works off what waits when it is let in; leaves before the end now and then. */
static void take_some(queue *q) {
    void *taken[16];
    size_t count;
    bool again = queue_own(q);
    while (again) {
        again = false;
        for (int i = 0; (count = queue_take(q, taken, 16, false)) > 0; i++) {
            for (size_t k = 0; k < count; k++) {
                check(taken[k]);
            }
            if (i == PATIENCE) {
                again = queue_disown(q, false) && queue_own(q);
                break;
            }
        }
    }
}

static void *write_all(void *argument) {
    writer *w = argument;
    for (int i = 0; i < ENTRIES;) {
        w->value[i] = i;
        i += queue_put(w->queue, &w->value[i], 1) == QUEUE_OK ? 1 : 0;
        take_some(w->queue);
    }
    return NULL;
}

Test(queue, nothing_is_lost_or_reordered_by_threads_that_own_it_in_turn) {
    queue *q = queue_open(16, 16);
    pthread_t thread[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i].queue = q;
        pthread_create(&thread[i], NULL, write_all, &writers[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
    }
    cr_assert_eq(disorder, 0);
    for (int i = 0; i < WRITERS; i++) {
        cr_assert_eq(next[i], ENTRIES);
    }
    queue_close(q);
}

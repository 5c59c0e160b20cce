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
    cr_assert_eq(queue_take(q, taken, 3), 3);
    cr_assert_eq(taken[0], &entry[0]);
    cr_assert_eq(taken[2], &entry[2]);
    cr_assert_eq(queue_take(q, taken, 3), 1);
    cr_assert_eq(taken[0], &entry[3]);
    queue_close(q);
}

Test(queue, rows_past_the_bound_are_refused_until_some_are_taken) {
    queue *q = queue_open(8, 10);
    int entry;
    void *taken[8];
    cr_assert_eq(queue_put(q, &entry, 50), QUEUE_OK, "one request of any size may wait alone");
    cr_assert_eq(queue_put(q, &entry, 1), QUEUE_FULL);
    cr_assert_eq(queue_take(q, taken, 8), 1);
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
    cr_assert_eq(queue_take(q, taken, 2), 1);
    cr_assert_eq(queue_take(q, taken, 2), 0);
    queue_close(q);
}

enum { WRITERS = 4, ENTRIES = 5000 };
typedef struct {
    queue *queue;
    int value[ENTRIES];
} writer;

static void *write_all(void *argument) {
    writer *w = argument;
    for (int i = 0; i < ENTRIES;) {
        w->value[i] = i;
        i += queue_put(w->queue, &w->value[i], 1) == QUEUE_OK ? 1 : 0;
    }
    return NULL;
}

Test(queue, nothing_is_lost_or_reordered_between_threads) {
    static writer w[WRITERS];
    queue *q = queue_open(16, 16);
    pthread_t thread[WRITERS];
    int next[WRITERS] = {0};
    void *taken[16];
    for (int i = 0; i < WRITERS; i++) {
        w[i].queue = q;
        pthread_create(&thread[i], NULL, write_all, &w[i]);
    }
    for (size_t done = 0; done < WRITERS * ENTRIES;) {
        size_t count = queue_take(q, taken, 16);
        for (size_t k = 0; k < count; k++) {
            int *value = taken[k];
            for (int i = 0; i < WRITERS; i++) {
                if (value >= w[i].value && value < w[i].value + ENTRIES) {
                    cr_assert_eq(*value, next[i]++);
                }
            }
        }
        done += count;
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
        cr_assert_eq(next[i], ENTRIES);
    }
    queue_close(q);
}

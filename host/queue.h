/*
 * queue.h - requests from NNG's threads to the one that owns the accounts: bounded, first in first
 * out.
 */
#ifndef ADDER_QUEUE_H
#define ADDER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct queue queue;

typedef enum {
    QUEUE_OK,
    QUEUE_FULL,   /* more rows wait than may */
    QUEUE_CLOSED, /* the daemon is draining */
} queue_status;

/* entries_max: callers never put more at once. rows_max: rows that may wait, though one request of
 * any size may when nothing else does. NULL: no memory. */
queue *queue_open(size_t entries_max, size_t rows_max);
void queue_close(queue *queue); /* NULL is allowed */

queue_status queue_put(queue *queue, void *entry, size_t rows); /* any thread */
/* Takes all that waits, at most `entries` of them; waits for the first. 0: ended and empty. */
size_t queue_take(queue *queue, void **entry, size_t entries);
/* The same without waiting; 0: nothing waits. */
size_t queue_try(queue *queue, void **entry, size_t entries);
/* From now on queue_put refuses; queue_take empties the queue and then returns 0. Any thread. */
void queue_end(queue *queue);

#endif

/*
 * queue.h - requests from the threads that received them to the one that carries them out: bounded,
 * first in first out.
 *
 * Who carries them out is settled here too. A thread that has put a request asks with queue_own;
 * at most one at a time is told that it is the one, and stays so until queue_take finds nothing
 * left for it. Whoever is refused may leave: the owner takes what was put before.
 */
#ifndef ADDER_QUEUE_H
#define ADDER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
/* True: something waits or is unfinished, nobody owned the queue, and now the caller does. Any
 * thread. */
bool queue_own(queue *queue);
/* Likewise, whether something waits or not. */
bool queue_seize(queue *queue);
/* Of the owner: takes all that waits, at most `entries` of them. 0: nothing waits, and unless it
 * wants to stay the caller is the owner no more. */
size_t queue_take(queue *queue, void **entry, size_t entries, bool stay);
/* The owner is so no more, and may leave something of what it took unfinished. True: somebody must
 * ask to own it again, since something waits or is unfinished. */
bool queue_disown(queue *queue, bool unfinished);
/* What waits now. Any thread. */
void queue_waiting(queue *queue, size_t *entries, size_t *rows);
/* How often the owner has taken from it, or found nothing there; busy: something waits, is
 * unfinished or at work. Any thread. */
void queue_pulse(queue *queue, uint64_t *takes, bool *busy);
/* From now on queue_put refuses. Any thread. */
void queue_end(queue *queue);

#endif

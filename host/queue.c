/*
 * queue.c - a ring under a lock that is held for a few instructions.
 */
#include "queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

typedef struct {
    void *entry;
    size_t rows;
} place;

struct queue {
    pthread_mutex_t lock;
    place *place; /* [entries_max] ring */
    size_t entries_max;
    size_t rows_max;
    size_t first;
    size_t entries;
    size_t rows;
    bool owned;
    bool unfinished; /* while nobody owns it */
    bool ended;
    uint64_t takes;
};

queue *queue_open(size_t entries_max, size_t rows_max) {
    queue *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return NULL;
    }
    q->place = calloc(entries_max, sizeof *q->place);
    if (q->place == NULL) {
        free(q);
        return NULL;
    }
    q->entries_max = entries_max;
    q->rows_max = rows_max;
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

void queue_close(queue *q) {
    if (q == NULL) {
        return;
    }
    pthread_mutex_destroy(&q->lock);
    free(q->place);
    free(q);
}

static queue_status put_locked(queue *q, void *entry, size_t rows) {
    if (q->ended) {
        return QUEUE_CLOSED;
    }
    bool fits = q->rows <= q->rows_max && rows <= q->rows_max - q->rows;
    if (q->entries == q->entries_max || (q->entries > 0 && !fits)) {
        return QUEUE_FULL;
    }
    q->place[(q->first + q->entries) % q->entries_max] = (place){entry, rows};
    q->entries++;
    q->rows += rows;
    return QUEUE_OK;
}

queue_status queue_put(queue *q, void *entry, size_t rows) {
    pthread_mutex_lock(&q->lock);
    queue_status status = put_locked(q, entry, rows);
    pthread_mutex_unlock(&q->lock);
    return status;
}

static size_t take_locked(queue *q, void **entry, size_t entries) {
    size_t taken = 0;
    for (; taken < entries && q->entries > 0; taken++) {
        const place *p = &q->place[q->first];
        entry[taken] = p->entry;
        q->rows -= p->rows;
        q->first = (q->first + 1) % q->entries_max;
        q->entries--;
    }
    return taken;
}

bool queue_own(queue *q) {
    pthread_mutex_lock(&q->lock);
    bool mine = !q->owned && (q->entries > 0 || q->unfinished);
    q->owned = q->owned || mine;
    q->unfinished = q->unfinished && !mine; /* it is his to finish */
    pthread_mutex_unlock(&q->lock);
    return mine;
}

bool queue_seize(queue *q) {
    pthread_mutex_lock(&q->lock);
    bool mine = !q->owned;
    q->owned = true;
    pthread_mutex_unlock(&q->lock);
    return mine;
}

/* To find nothing and to leave are one: what is put afterwards finds no owner. */
size_t queue_take(queue *q, void **entry, size_t entries, bool stay) {
    pthread_mutex_lock(&q->lock);
    assert(q->owned);
    size_t taken = take_locked(q, entry, entries);
    q->owned = taken > 0 || stay;
    q->takes++;
    pthread_mutex_unlock(&q->lock);
    return taken;
}

bool queue_disown(queue *q, bool unfinished) {
    pthread_mutex_lock(&q->lock);
    assert(q->owned);
    q->owned = false;
    q->unfinished = unfinished;
    bool more = q->entries > 0 || unfinished;
    pthread_mutex_unlock(&q->lock);
    return more;
}

void queue_waiting(queue *q, size_t *entries, size_t *rows) {
    pthread_mutex_lock(&q->lock);
    *entries = q->entries;
    *rows = q->rows;
    pthread_mutex_unlock(&q->lock);
}

void queue_pulse(queue *q, uint64_t *takes, bool *busy) {
    pthread_mutex_lock(&q->lock);
    *takes = q->takes;
    *busy = q->entries > 0 || q->owned || q->unfinished;
    pthread_mutex_unlock(&q->lock);
}

void queue_end(queue *q) {
    pthread_mutex_lock(&q->lock);
    q->ended = true;
    pthread_mutex_unlock(&q->lock);
}

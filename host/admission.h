/*
 * admission.h - which requests get a place in the queue, and what the others are told.
 *
 * Under overload what is refused must cost little, or refusing takes the time that the rest needs:
 * so a request that cannot get a place is refused before it is decoded. It is told when to come
 * again: when what waits now will have been carried out, by the time that rows took lately.
 *
 * Threads: any number at once; admission_carried is the queue owner's.
 */
#ifndef ADDER_ADMISSION_H
#define ADDER_ADMISSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue.h"
#include "request.h"
#include "server.h"

enum {
    ADMISSION_SCORE_BYTES = 256, /* a longer message is taken for a score without a look at it */
    ADMISSION_RETRY_MS_MAX = 10000,
    ADMISSION_ROW_NS = 20000, /* until one has been measured */
};

typedef struct {
    queue *queue; /* borrowed */
    size_t queue_rows_max;
    size_t batch_rows_max;
    size_t poison_rows_max;      /* of a request that wants poison of so many ... */
    size_t classes;              /* ... classes */
    atomic_uint_fast64_t row_ns; /* what a row took lately; 0: none has been carried out */
    atomic_size_t rows_at_work;  /* taken from the queue */
} admission;

uint64_t admission_clock_ns(void);

/* No more rows may wait. */
bool admission_is_full(const admission *a);
/* Refuses as overload. */
void admission_shed(const admission *a, request *r, bool excess);
/* Puts a decoded request into the queue. False: it has been refused; else it is the owner's. */
bool admission_puts(admission *a, request *r);
/* Its turn has come: whether its caller waits no longer. */
bool admission_is_late(const request *r);
/* Refuses as that. */
void admission_expire(request *r);
/* The owner has taken so many rows from the queue, and has carried them out since began_ns. */
void admission_taken(admission *a, size_t rows);
void admission_carried(admission *a, size_t rows, uint64_t began_ns);
/* 1..ADMISSION_RETRY_MS_MAX */
uint32_t admission_retry_ms(const admission *a);

#endif

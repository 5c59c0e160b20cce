/*
 * admission.c - see admission.h.
 */
#include "admission.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_MS UINT64_C(1000000)

enum { SMOOTHING = 8 }; /* a batch counts for one part of so many */

uint64_t admission_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

uint32_t admission_retry_ms(const admission *a) {
    size_t entries, rows;
    queue_waiting(a->queue, &entries, &rows);
    uint64_t row_ns = atomic_load_explicit(&a->row_ns, memory_order_relaxed);
    double ms = (double)(rows + atomic_load_explicit(&a->rows_at_work, memory_order_relaxed)) *
                (double)(row_ns > 0 ? row_ns : ADMISSION_ROW_NS) / (double)NS_PER_MS;
    return ms >= ADMISSION_RETRY_MS_MAX ? ADMISSION_RETRY_MS_MAX : 1 + (uint32_t)ms;
}

void admission_shed(const admission *a, request *r, bool excess) {
    request_refuse(
        r, WIRE_OVERLOADED,
        excess ? "too many requests are at work, of this connection or of all; send again later"
               : "too many rows wait for their answer; send again later");
    r->retry_after_ms = admission_retry_ms(a);
}

bool admission_is_full(const admission *a) {
    size_t entries, rows;
    queue_waiting(a->queue, &entries, &rows);
    return rows >= a->queue_rows_max;
}

static bool is_too_large(const admission *a, request *r) {
    if (r->engine_rows > a->batch_rows_max) {
        r->code = WIRE_TOO_LARGE;
        snprintf(r->text, sizeof r->text,
                 "groups: expected at most %zu rows, each with a group counted twice, came %zu",
                 a->batch_rows_max, r->engine_rows);
        return true;
    }
    if (r->wire.want_poison && r->wire.rows > a->poison_rows_max) {
        r->code = WIRE_TOO_LARGE;
        snprintf(r->text, sizeof r->text,
                 "accounts: expected at most %zu where poison of %zu classes is wanted, came %zu",
                 a->poison_rows_max, a->classes, r->wire.rows);
        return true;
    }
    return false;
}

bool admission_puts(admission *a, request *r) {
    r->deadline_ns = 0;
    r->engine_rows = request_engine_rows(r);
    if (is_too_large(a, r)) {
        return false;
    }
    if (server_call_excess(r->call)) {
        admission_shed(a, r, true);
        return false;
    }
    if (r->wire.deadline_ms > 0) {
        uint64_t now = admission_clock_ns();
        r->deadline_ns = r->wire.deadline_ms < (UINT64_MAX - now) / NS_PER_MS
                             ? now + r->wire.deadline_ms * NS_PER_MS
                             : 0;
    }
    switch (queue_put(a->queue, r, r->engine_rows)) {
    case QUEUE_OK:
        return true;
    case QUEUE_FULL:
        admission_shed(a, r, false);
        return false;
    default:
        request_refuse(r, WIRE_DRAINING, "the daemon is ending; ask another one");
        return false;
    }
}

bool admission_is_late(const request *r) {
    return r->deadline_ns != 0 && admission_clock_ns() >= r->deadline_ns;
}

void admission_expire(request *r) {
    request_refuse(r, WIRE_EXPIRED,
                   "deadline_ms: it had passed when the request's turn came; nothing was counted");
}

void admission_taken(admission *a, size_t rows) {
    atomic_store_explicit(&a->rows_at_work, rows, memory_order_relaxed);
}

void admission_carried(admission *a, size_t rows, uint64_t began_ns) {
    admission_taken(a, 0);
    if (rows == 0) {
        return;
    }
    uint64_t took = (admission_clock_ns() - began_ns) / rows;
    uint64_t before = atomic_load_explicit(&a->row_ns, memory_order_relaxed);
    uint64_t mean = before > 0 ? before - before / SMOOTHING + took / SMOOTHING : took;
    atomic_store_explicit(&a->row_ns, mean, memory_order_relaxed);
}

/*
 * log_ring.c - see log_ring.h.
 *
 * stderr may be a pipe whose reader has stopped, and cannot be made non-blocking: others may have
 * the same file description. The writer polls before it writes, and then writes at most PIPE_BUF
 * bytes, for which a pipe that polls as writable has room.
 */
#include "log_ring.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 100, REPORT_EVERY_S = 1 };

struct log_ring {
    int file;
    log_ring_report report;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken; /* the writer */
    pthread_cond_t ended; /* who closes */
    /* Under the lock. */
    size_t first, used; /* bytes of the ring; a line is its length in two bytes, then itself */
    uint64_t dropped;   /* lines, not reported yet */
    bool nudged;
    bool leaving;
    bool gone;                /* the writer */
    struct timespec deadline; /* once leaving */
    /* Of the writer. */
    struct timespec reported;
    char line[LOG_LINE_BYTES_MAX];
    char ring[LOG_RING_BYTES];
};

/* There is one stderr. Not allocated: a writer that hangs on it is left behind at the end, with
 * what it uses. */
static log_ring the_ring;

static struct timespec now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t;
}

static bool is_past(const struct timespec *limit) {
    struct timespec t = now();
    return t.tv_sec > limit->tv_sec || (t.tv_sec == limit->tv_sec && t.tv_nsec >= limit->tv_nsec);
}

/* ---- the bytes ---- */

static void copy_in(log_ring *r, const void *bytes, size_t count) {
    size_t at = (r->first + r->used) % LOG_RING_BYTES;
    size_t before_end = LOG_RING_BYTES - at < count ? LOG_RING_BYTES - at : count;
    memcpy(r->ring + at, bytes, before_end);
    memcpy(r->ring, (const char *)bytes + before_end, count - before_end);
    r->used += count;
}

static void copy_out(log_ring *r, void *bytes, size_t count) {
    size_t before_end = LOG_RING_BYTES - r->first < count ? LOG_RING_BYTES - r->first : count;
    memcpy(bytes, r->ring + r->first, before_end);
    memcpy((char *)bytes + before_end, r->ring, count - before_end);
    r->first = (r->first + count) % LOG_RING_BYTES;
    r->used -= count;
}

void log_ring_put(log_ring *r, const char *line, size_t bytes) {
    uint16_t length = (uint16_t)bytes;
    pthread_mutex_lock(&r->lock);
    if (sizeof length + bytes > LOG_RING_BYTES - r->used) {
        r->dropped++;
    } else {
        copy_in(r, &length, sizeof length);
        copy_in(r, line, bytes);
        pthread_cond_signal(&r->woken);
    }
    pthread_mutex_unlock(&r->lock);
}

void log_ring_nudge(log_ring *r) {
    pthread_mutex_lock(&r->lock);
    r->nudged = true;
    pthread_cond_signal(&r->woken);
    pthread_mutex_unlock(&r->lock);
}

/* ---- the writer ---- */

static bool may_wait(log_ring *r) {
    pthread_mutex_lock(&r->lock);
    bool waits = !r->leaving || !is_past(&r->deadline);
    pthread_mutex_unlock(&r->lock);
    return waits;
}

/* False: it is lost, or the rest of it. */
static bool write_line(log_ring *r, const char *line, size_t bytes) {
    while (bytes > 0) {
        struct pollfd want = {.fd = r->file, .events = POLLOUT};
        if (poll(&want, 1, POLL_MS) <= 0) {
            if (!may_wait(r)) {
                return false;
            }
            continue;
        }
        ssize_t written = write(r->file, line, bytes < PIPE_BUF ? bytes : PIPE_BUF);
        if (written < 0 && errno != EINTR && errno != EAGAIN) {
            return false;
        }
        line += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

/* With the lock held, which is let go meanwhile. */
static void write_next(log_ring *r) {
    uint16_t length;
    copy_out(r, &length, sizeof length);
    copy_out(r, r->line, length);
    pthread_mutex_unlock(&r->lock);
    bool written = write_line(r, r->line, length);
    pthread_mutex_lock(&r->lock);
    r->dropped += !written;
}

/* Likewise. */
static void write_report(log_ring *r) {
    uint64_t dropped = r->dropped;
    r->dropped = 0;
    r->nudged = false;
    r->reported = now();
    pthread_mutex_unlock(&r->lock);
    bool written = true;
    size_t length = r->report(dropped, r->line);
    while (length > 0 && written) {
        written = write_line(r, r->line, length);
        dropped = written ? 0 : dropped;
        length = written ? r->report(0, r->line) : 0;
    }
    pthread_mutex_lock(&r->lock);
    r->dropped += dropped; /* those are still untold */
}

/* With the lock held, which waiting lets go. False: all is written, or nobody reads any more. */
static bool write_some(log_ring *r) {
    struct timespec due = r->reported;
    due.tv_sec += REPORT_EVERY_S;
    bool reports = r->dropped > 0 || r->nudged;
    if (r->leaving && (r->used == 0 || is_past(&r->deadline))) {
        if (reports && r->used == 0) {
            write_report(r);
        }
        return false;
    }
    if (reports && !r->leaving && is_past(&due)) {
        write_report(r);
    } else if (r->used > 0) {
        write_next(r);
    } else if (reports) {
        pthread_cond_timedwait(&r->woken, &r->lock, &due);
    } else {
        pthread_cond_wait(&r->woken, &r->lock);
    }
    return true;
}

static void *run(void *argument) {
    log_ring *r = argument;
    pthread_mutex_lock(&r->lock);
    while (write_some(r)) {
    }
    r->gone = true;
    pthread_cond_signal(&r->ended);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- opening and closing ---- */

log_ring *log_ring_open(int file, log_ring_report report) {
    log_ring *r = &the_ring;
    pthread_condattr_t monotonic;
    memset(r, 0, offsetof(log_ring, line));
    r->file = file;
    r->report = report;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->woken, &monotonic);
    pthread_cond_init(&r->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&r->lock, NULL);
    return pthread_create(&r->thread, NULL, run, r) == 0 ? r : NULL;
}

void log_ring_close(log_ring *r) {
    struct timespec limit = now();
    limit.tv_sec += LOG_CLOSE_MS / 1000;
    limit.tv_nsec += LOG_CLOSE_MS % 1000 * 1000000L;
    limit.tv_sec += limit.tv_nsec / 1000000000;
    limit.tv_nsec %= 1000000000;
    pthread_mutex_lock(&r->lock);
    r->leaving = true;
    r->deadline = limit;
    pthread_cond_signal(&r->woken);
    /* It polls once more after the deadline; only a write that hangs although its file polled as
     * writable keeps it longer, and such a writer is left behind. */
    limit.tv_sec += 1;
    while (!r->gone && pthread_cond_timedwait(&r->ended, &r->lock, &limit) != ETIMEDOUT) {
    }
    bool gone = r->gone;
    pthread_mutex_unlock(&r->lock);
    if (gone) {
        pthread_join(r->thread, NULL);
    }
}

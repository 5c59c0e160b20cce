/*
 * log.c - see log.h.
 */
#include "log.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bucket.h"
#include "log_line.h"
#include "log_ring.h"

enum { MESSAGE_BYTES = PATH_MAX + 1024 };

static struct {
    log_options options;
    log_ring *ring; /* NULL: not open */
    bool hashed;
    unsigned char name_key[NAME_HASH_KEY_BYTES];
    pthread_mutex_t lock; /* of the bucket */
    bucket audit;
    atomic_uint_fast64_t suppressed; /* audit lines, not told yet */
} the_log = {.options = {.format = LOG_TEXT, .level = LOG_INFO, .file = STDERR_FILENO},
             .lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* All but the time. */
static size_t compose(char line[LOG_LINE_BYTES_MAX], log_entry entry) {
    entry.format = the_log.options.format;
    entry.name_key = the_log.hashed ? the_log.name_key : NULL;
    clock_gettime(CLOCK_REALTIME, &entry.time);
    return log_line_compose(line, &entry);
}

static void put(log_entry entry) {
    char line[LOG_LINE_BYTES_MAX];
    size_t bytes = compose(line, entry);
    if (the_log.ring != NULL) {
        log_ring_put(the_log.ring, line, bytes);
        return;
    }
    ssize_t written = write(the_log.options.file, line, bytes);
    (void)written; /* there is nowhere to say that stderr is gone */
}

void log_event(log_level level, const char *event, const char *format, ...) {
    char text[MESSAGE_BYTES];
    va_list arguments;
    if (level < the_log.options.level) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put((log_entry){.level = level, .event = event, .message = text});
}

/* ---- audit ---- */

static bool may_tell(void) {
    pthread_mutex_lock(&the_log.lock);
    bool may = bucket_take(&the_log.audit, clock_ns());
    pthread_mutex_unlock(&the_log.lock);
    return may;
}

void log_audit(const char *event, const char *message, const log_field *field, size_t fields) {
    if (the_log.options.level > LOG_INFO) {
        return;
    }
    if (the_log.ring != NULL && !may_tell()) {
        if (atomic_fetch_add(&the_log.suppressed, 1) == 0) {
            log_ring_nudge(the_log.ring);
        }
        return;
    }
    put((log_entry){
        .level = LOG_INFO, .event = event, .message = message, .field = field, .fields = fields});
}

/* ---- what the writer tells of itself ---- */

static size_t tell_count(char line[LOG_LINE_BYTES_MAX], const char *event, const char *what,
                         uint64_t count) {
    char text[128];
    log_field field = {.key = event, .kind = LOG_FIELD_COUNT, .count = count};
    snprintf(text, sizeof text, "%" PRIu64 " %s", count, what);
    return compose(
        line,
        (log_entry){
            .level = LOG_WARNING, .event = event, .message = text, .field = &field, .fields = 1});
}

static size_t report(uint64_t dropped, char line[LOG_LINE_BYTES_MAX]) {
    if (dropped > 0) {
        return tell_count(line, "dropped", "lines of the log were dropped: stderr was not read",
                          dropped);
    }
    uint64_t suppressed = atomic_exchange(&the_log.suppressed, 0);
    return suppressed == 0 ? 0
                           : tell_count(line, "suppressed",
                                        "changes of verdicts were not told: more than --audit-rate",
                                        suppressed);
}

/* ---- opening and closing ---- */

bool log_open(const log_options *options) {
    the_log.options = *options;
    the_log.audit = bucket_full(options->audit_per_s,
                                options->audit_per_s * LOG_AUDIT_BURST_SECONDS, clock_ns());
    the_log.ring = log_ring_open(options->file, report);
    return the_log.ring != NULL;
}

void log_close(void) {
    if (the_log.ring != NULL) {
        log_ring_close(the_log.ring);
        the_log.ring = NULL;
    }
}

void log_hash_names(const unsigned char key[NAME_HASH_KEY_BYTES]) {
    memcpy(the_log.name_key, key, sizeof the_log.name_key);
    the_log.hashed = true;
}

/*
 * log.h - lines on stderr, each a JSON object: time (UTC), level, event, message, and what the
 * event has besides. Or plain text, "adderd: " before the message and the rest behind it.
 *
 *     {"time":"2026-01-31T12:00:00.000Z","level":"info","event":"verdict","message":"flagged by its
 *      queries","account":"mallory", ...}
 *
 * Once open, a line goes into a bounded ring and a thread writes it: who logs never waits for who
 * reads stderr, and allocates nothing. A line for which there is no room is dropped and counted,
 * and the count is told when there is room again. Before log_open and after log_close lines are
 * written at once, so that no start ends without a word.
 *
 * There is one log a process, as there is one stderr: its state is the only one that no struct of
 * the daemon's holds. Threads: any, but log_open, log_close and log_hash_names, which are for the
 * main thread before and after all others.
 */
#ifndef ADDER_LOG_H
#define ADDER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "name_hash.h"

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR } log_level;
typedef enum { LOG_JSON, LOG_TEXT } log_format;

enum {
    LOG_LINE_BYTES_MAX = 8192, /* a message that does not fit is cut */
    LOG_RING_BYTES = 1 << 20,  /* that wait to be written */
    LOG_AUDIT_RATE_DEFAULT = 100,
    LOG_AUDIT_RATE_MAX = 1000000,
    LOG_AUDIT_BURST_SECONDS = 10, /* of the rate may come at once */
    LOG_CLOSE_MS = 1000,          /* for a reader who reads no more */
};

typedef struct {
    log_format format;
    log_level level;    /* lines below it are left out */
    int file;           /* STDERR_FILENO; borrowed */
    size_t audit_per_s; /* lines of log_audit a second in the long run */
} log_options;

/* False: no thread to be had. */
bool log_open(const log_options *options);
/* Writes what waits, for LOG_CLOSE_MS at most. */
void log_close(void);
/* Names in fields are told as their keyed hash from now on. */
void log_hash_names(const unsigned char key[NAME_HASH_KEY_BYTES]);

/* event: a stable word for programs that read the log; message: a sentence for people. */
void log_event(log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef enum {
    LOG_FIELD_TEXT,
    LOG_FIELD_NAME, /* of an account or a group: other people's bytes */
    LOG_FIELD_COUNT,
    LOG_FIELD_NUMBER, /* one that is not finite is null */
} log_field_kind;

typedef struct {
    const char *key;
    log_field_kind kind;
    const char *text; /* a text's, null-terminated, or a name's */
    size_t length;    /* of a name */
    uint64_t count;
    double number;
} log_field;

/* An audit line, at LOG_INFO. More of them than audit_per_s are suppressed and counted, and the
 * count is told at most once a second. */
void log_audit(const char *event, const char *message, const log_field *field, size_t fields);

#endif

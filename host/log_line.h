/*
 * log_line.h - one line of the log, composed in the caller's bytes: nothing is allocated, whatever
 * the bytes of names and messages are.
 *
 * What is written is always a whole line: a message is cut to leave room for the fields, and a
 * field that does not fit is left out. Control characters and those that turn the direction of
 * writing are escaped, in text too, where they could write to an operator's terminal or make a name
 * look like another; what is not UTF-8 becomes U+FFFD. Threads: any.
 */
#ifndef ADDER_LOG_LINE_H
#define ADDER_LOG_LINE_H

#include <time.h>

#include "log.h"

typedef struct {
    log_format format;
    struct timespec time; /* since 1970 */
    log_level level;
    const char *event;
    const char *message;
    const log_field *field;
    size_t fields;
    const unsigned char *name_key; /* [NAME_HASH_KEY_BYTES]; NULL: names as they are */
} log_entry;

/* The line with its end, not null-terminated; how many bytes. */
size_t log_line_compose(char line[LOG_LINE_BYTES_MAX], const log_entry *entry);

#endif

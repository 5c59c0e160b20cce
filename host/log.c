/*
 * log.c - see log.h.
 */
#include "log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = PATH_MAX + 1024 };

void log_line(log_level level, const char *format, ...) {
    static const char *const name[] = {"", "warning: ", "error: "};
    char text[LINE_BYTES_MAX - 64];
    char line[LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int length = snprintf(line, sizeof line, "adderd: %s%s\n", name[level], text);
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    (void)written; /* there is nowhere to say that stderr is gone */
}

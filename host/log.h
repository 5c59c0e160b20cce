/*
 * log.h - lines on stderr. One call is one write, so lines of several threads do not mix.
 */
#ifndef ADDER_LOG_H
#define ADDER_LOG_H

typedef enum { LOG_INFO, LOG_WARNING, LOG_ERROR } log_level;

void log_line(log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

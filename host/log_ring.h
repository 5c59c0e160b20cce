/*
 * log_ring.h - lines that wait to be written, and the thread that writes them.
 *
 * The writer asks `report` for a line of its own when lines have been dropped and there is room
 * again, and when `log_ring_nudge` says that there is something to tell; at most once a second, and
 * once more at the end.
 *
 * Threads: any for log_ring_put and log_ring_nudge, which wait for a lock that is held while a line
 * is copied; one for the others. There may be one ring at a time.
 */
#ifndef ADDER_LOG_RING_H
#define ADDER_LOG_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

/* The writer's next line of its own; 0: it has none. Called on the writer's thread until it has
 * none. `dropped` lines since the last call. */
typedef size_t (*log_ring_report)(uint64_t dropped, char line[LOG_LINE_BYTES_MAX]);

typedef struct log_ring log_ring;
log_ring *log_ring_open(int file, log_ring_report report); /* NULL: no thread to be had */
/* Writes what waits, as long as that takes less than LOG_CLOSE_MS. */
void log_ring_close(log_ring *ring);

/* At most LOG_LINE_BYTES_MAX bytes. */
void log_ring_put(log_ring *ring, const char *line, size_t bytes);
/* There is something to report. */
void log_ring_nudge(log_ring *ring);

#endif

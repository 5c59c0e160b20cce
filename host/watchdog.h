/*
 * watchdog.h - tells a service manager that the daemon is alive, for as long as it is.
 *
 * A thread that pings whatever happens would say only that it runs itself. This one looks twice in
 * the manager's interval whether every part of the service works: where nothing of it is at work
 * and nothing waits, or something was taken from its queue since the last look, it says so. Where
 * something waits or is at work and nothing has moved since the last look, it does not, and the log
 * says that once; the manager ends a daemon that it has not heard of for its whole interval.
 */
#ifndef ADDER_WATCHDOG_H
#define ADDER_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t steps; /* that the service has made; any number, which changes while it works */
    bool busy;      /* something waits, or is at work */
} watchdog_pulse;

enum { WATCHDOG_PARTS_MAX = 64 };

typedef struct {
    uint64_t interval_us; /* the manager's */
    void *host;
    /* On the watchdog's thread: of each part of the service by itself; how many. */
    size_t (*look)(void *host, watchdog_pulse pulse[WATCHDOG_PARTS_MAX]);
    int (*tell)(void); /* notify_alive */
} watchdog_options;

typedef struct watchdog watchdog;
watchdog *watchdog_open(const watchdog_options *options); /* NULL: no memory or no thread */
void watchdog_close(watchdog *watchdog);                  /* NULL is allowed */

#endif

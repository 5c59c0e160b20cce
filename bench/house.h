/*
 * house.h - who answers under load: Adder, or a null echo that takes the same bytes, does nothing,
 * and gives the same number of bytes back. Both behind the same server (ipc/server.h).
 *
 * It lives in a process of its own, as the daemon does, unless the address is inproc. NNG does not
 * survive a fork: houses are opened before this process uses NNG, inproc ones last.
 */
#ifndef ADDER_BENCH_HOUSE_H
#define ADDER_BENCH_HOUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "service.h"

typedef struct {
    const char *url;
    const service_options *service; /* Adder's; NULL: the null echo */
    bool watched; /* all is counted, and written out once a second while requests come */
    size_t contexts;
    size_t connections_max;
    size_t message_bytes_max; /* of the echo */
} house_options;

typedef struct house house;
/* Returns when it listens. False: one line in error. */
bool house_open(house **out, const house_options *options, char *error, size_t error_bytes);
void house_close(house *house); /* NULL is allowed */

/* Of one that is watched: the rows that were told of when it was written out last. */
size_t house_rows_told(const house *house);
/* How long the echo's replies are from now on. */
void house_set_reply_bytes(house *house, size_t bytes);

#endif

/*
 * endpoint.h - a TCP port to listen at, as it is written on a command line: [HOST:]PORT, a numeric
 * IPv6 address in brackets; without a host the loopback address.
 */
#ifndef ADDER_ENDPOINT_H
#define ADDER_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

enum { ENDPOINT_TEXT_MAX = 300, ENDPOINT_PORT_MAX = 65535 };

typedef struct {
    int fd;
    bool loopback;                /* nobody outside this machine can connect */
    char text[ENDPOINT_TEXT_MAX]; /* HOST:PORT, with the port that a 0 came to */
} endpoint;

/* The socket is the caller's to close. False: one line in error, and no socket. */
bool endpoint_listen(endpoint *out, const char *address, char *error, size_t error_bytes);

#endif

/*
 * storm.h - very many requests over very many connections, at little cost to the machine that the
 * daemon shares with it: SP over plain sockets from one thread, requests encoded once, of a reply
 * no more than its status looked at. A connection has one request out at a time.
 *
 * Closed loop: each connection asks again as soon as it is answered. Open loop: request i is due at
 * i / rate; where every connection waits for an answer it stays unsent, and is counted as that.
 */
#ifndef ADDER_BENCH_STORM_H
#define ADDER_BENCH_STORM_H

#include <stdbool.h>
#include <stddef.h>

#include "histogram.h"

typedef struct {
    unsigned char *bytes; /* framed, as they go out */
    size_t length;
} storm_message;

typedef struct {
    const char *url; /* ipc:// or tcp:// with a numeric address */
    const storm_message *message;
    size_t messages; /* sent in turn */
    size_t connections;
    double requests_per_s; /* 0: closed loop */
    double seconds;
    size_t requests_max; /* ends it earlier; 0: it does not */
} storm_options;

typedef struct {
    double seconds; /* until nothing was sent any more */
    size_t due, unsent;
    size_t sent, scored, shed, failed; /* failed: refused otherwise, or hung up on */
    size_t unanswered;
    size_t scored_in_time; /* before nothing was sent any more: what a rate may be made of */
    histogram scored_took, shed_took; /* from sending to the reply */
} storm_result;

/* False: one line in error. */
bool storm_run(const storm_options *options, storm_result *result, char *error, size_t error_bytes);

/* A socket that has connected, and no more; -1: errno says why. */
int storm_connect(const char *url);
/* ... and has exchanged the SP handshake. */
int storm_open(const char *url);
/* Bytes of the frame's head before a message of so many bytes, its REQ id included. */
size_t storm_head(const char *url, size_t bytes, unsigned char head[16]);

#endif

/*
 * admin.h - the admin port: health, metrics and a page for the operator over HTTP.
 *
 *     /livez     200 as long as the process can answer at all
 *     /readyz    200 when requests are served, else 503 and why
 *     /metrics   Prometheus text format
 *     /api/...   JSON, see api.h
 *     /          a page that shows them; /page.css and /page.js belong to it
 *
 * GET and HEAD, one request a connection. With a token all but the two probes, which tell nothing
 * that is not seen from outside and which orchestrators ask for without secrets, and the page's
 * files, which hold nothing of the daemon's, want "Authorization: Bearer TOKEN". Without one, at a
 * loopback address, all but the probes want to be called by a name of that address. Connections are
 * few, their memory is bounded, and the oldest goes when a newcomer would take the last place, so
 * that nobody shuts others out by being slow.
 *
 * Threads: one of its own, on which the host is asked; it shares none with requests.
 */
#ifndef ADDER_ADMIN_H
#define ADDER_ADMIN_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics.h"
#include "service.h"

enum {
    ADMIN_CONNECTIONS_MAX = 32,
    ADMIN_CONNECTION_BYTES_MAX = 8192, /* with its request line and headers */
    ADMIN_IDLE_S = 10,
    ADMIN_TOKEN_MAX = 512, /* bytes */
};

typedef struct {
    const char *address;    /* see endpoint.h */
    const char *token;      /* "": none is asked for; copied */
    const metrics *metrics; /* borrowed until admin_close */
    void *host;
    /* Why requests are not served now, one or a few words; NULL: they are. */
    const char *(*unready)(void *host);
    void (*look)(void *host, metrics_now *now);   /* into a zeroed one */
    bool (*hello)(void *host, wire_hello *hello); /* as in api.h, as the next */
    bool (*visit)(void *host, const char *model, service_visitor visitor, void *context);
} admin_options;

typedef struct admin admin;

/* Listens and answers from now on, and logs where. False: one line in error. */
bool admin_open(admin **out, const admin_options *options, char *error, size_t error_bytes);
/* The host is not asked any more afterwards. NULL is allowed. */
void admin_close(admin *admin);

/* Reads a file that holds a token: one line of printable characters without blanks. Warns where
 * others than its owner may open it. */
bool admin_read_token(const char *path, char token[ADMIN_TOKEN_MAX + 1], char *error,
                      size_t error_bytes);

#endif

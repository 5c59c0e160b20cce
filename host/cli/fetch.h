/*
 * fetch.h - JSON documents from a daemon's admin port, over HTTP.
 *
 * What answers need not be an adderd: it is asked over plain HTTP alone, followed nowhere, and
 * believed for a limited time and length. Errors: NULL or false, with one printable line in error.
 * Threads: one at a time.
 */
#ifndef ADDER_FETCH_H
#define ADDER_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

enum { FETCH_REPLY_BYTES_MAX = 4 << 20 };

/* It begins as what fetch_open takes. */
bool fetch_is_url(const char *url);

typedef struct fetch fetch;
/* url: http://HOST:PORT; token_file: as --admin-token-file of adderd, NULL: none. */
bool fetch_open(fetch **out, const char *url, const char *token_file, size_t timeout_ms,
                char *error, size_t error_bytes);
void fetch_close(fetch *fetch); /* NULL is allowed */

typedef struct {
    const char *name;
    const char *value; /* NULL: it is left out */
} fetch_parameter;
/* GET; the parameters end with one whose name is NULL. The object is the caller's. *status is that
 * of HTTP, 0 where there was no answer; other than 200 is an error, and the line is the daemon's.
 */
json_t *fetch_get(fetch *fetch, const char *path, const fetch_parameter *parameters, long *status,
                  char *error, size_t error_bytes);

#endif

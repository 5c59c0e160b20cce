/*
 * query.h - what a request to the JSON API asks about, from the part of its address after the `?`.
 *
 * Names and values come percent-encoded, and are decoded here: strictly, since what is nearly a
 * name is another account's. Errors: one line that says which parameter and what was expected, and
 * repeats nothing that came.
 */
#ifndef ADDER_QUERY_H
#define ADDER_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.h"

enum { QUERY_ERROR_BYTES = 160, QUERY_LIMIT_MAX = 100 };

typedef struct {
    char bytes[WIRE_ACCOUNT_BYTES_MAX + 1]; /* with a NUL after them */
    size_t length;                          /* 0: it did not come */
} query_text;

typedef struct {
    query_text model, account, group; /* UTF-8 without a NUL */
    size_t limit;                     /* 1..QUERY_LIMIT_MAX; 0: it did not come */
    bool failed;
    char error[QUERY_ERROR_BYTES];
} query;

/* Takes a parameter into a query that was zeroed, as it stands in the address; value NULL: none.
 * False, and from then on: it is refused. */
bool query_take(query *query, const char *name, const char *value);

#endif

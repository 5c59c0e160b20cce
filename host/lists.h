/*
 * lists.h - names that an operator allows or denies, read from files.
 *
 * A name a line, 1..WIRE_ACCOUNT_BYTES_MAX bytes of UTF-8; empty lines are skipped, a carriage
 * return before the line's end too. Threads: never written after lists_load.
 */
#ifndef ADDER_LISTS_H
#define ADDER_LISTS_H

#include <stdbool.h>
#include <stddef.h>

#include "policy.h"

enum { LISTS_NAMES_MAX = 1 << 20, LISTS_BYTES_MAX = 64 << 20 };

typedef struct lists lists;
lists *lists_open(void);        /* of nothing; NULL: no memory */
void lists_close(lists *lists); /* NULL is allowed */

/* Adds the names of a file. A name that is allowed and denied is denied. False with one line in
 * error that names the file and the line. */
typedef struct {
    const char *path;
    bool groups; /* names of groups, not accounts */
    policy_listing listing;
} lists_file;
bool lists_load(lists *lists, lists_file file, char *error, size_t error_bytes);

policy_listing lists_find(const lists *lists, bool group, const char *name, size_t length);

#endif

/*
 * name_hash.h - an account's or a group's name as a log may tell it: "h:" and 128 bits of keyed
 * BLAKE2b in hexadecimal. Who has the key finds an account in the log; who has the log finds no
 * name.
 *
 * Threads: any.
 */
#ifndef ADDER_NAME_HASH_H
#define ADDER_NAME_HASH_H

#include <stdbool.h>
#include <stddef.h>

enum {
    NAME_HASH_KEY_BYTES = 32,
    NAME_HASH_BYTES = 16,
    NAME_HASH_TEXT_BYTES = 2 + 2 * NAME_HASH_BYTES + 1, /* with the null */
};

void name_hash(char text[NAME_HASH_TEXT_BYTES], const char *name, size_t length,
               const unsigned char key[NAME_HASH_KEY_BYTES]);

/* Reads a file of exactly NAME_HASH_KEY_BYTES; false with one line in error that names it.
 * *open_to_others: than its owner; may be NULL. */
bool name_hash_read_key(const char *path, unsigned char key[NAME_HASH_KEY_BYTES],
                        bool *open_to_others, char *error, size_t error_bytes);

#endif

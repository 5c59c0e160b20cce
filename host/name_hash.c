/*
 * name_hash.c - see name_hash.h.
 */
#include "name_hash.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "private_file.h"

void name_hash(char text[NAME_HASH_TEXT_BYTES], const char *name, size_t length,
               const unsigned char key[NAME_HASH_KEY_BYTES]) {
    unsigned char hash[NAME_HASH_BYTES];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)name, length, key,
                       NAME_HASH_KEY_BYTES);
    memcpy(text, "h:", 2);
    sodium_bin2hex(text + 2, NAME_HASH_TEXT_BYTES - 2, hash, sizeof hash);
}

bool name_hash_read_key(const char *path, unsigned char key[NAME_HASH_KEY_BYTES],
                        bool *open_to_others, char *error, size_t error_bytes) {
    private_file file;
    if (!private_file_read(&file, path, key, NAME_HASH_KEY_BYTES, error, error_bytes)) {
        return false;
    }
    if (file.count != NAME_HASH_KEY_BYTES) {
        snprintf(error, error_bytes, "%s: expected a file of exactly %d bytes", path,
                 NAME_HASH_KEY_BYTES);
        return false;
    }
    if (open_to_others != NULL) {
        *open_to_others = file.open_to_others;
    }
    return true;
}

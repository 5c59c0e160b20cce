/*
 * private_file.h - a small file that only its owner should be able to open: a secret, a token.
 */
#ifndef ADDER_PRIVATE_FILE_H
#define ADDER_PRIVATE_FILE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    size_t count;        /* bytes read; 0 also where it is no plain file, or longer than there is
                          * room for */
    bool open_to_others; /* than its owner */
} private_file;

/* Reads the whole of it. False: it cannot be opened, and error says why. */
bool private_file_read(private_file *file, const char *path, void *bytes, size_t capacity,
                       char *error, size_t error_bytes);
/* A warning where others may open it; `what` it holds. */
void private_file_warn(const private_file *file, const char *path, const char *what);

#endif

/*
 * file_lock.h - that a file has one user: a lock on its name with .lock, which the system gives
 * back however the process ends. The file beside it stays: whoever removed it could lock another
 * one of the same name.
 */
#ifndef ADDER_FILE_LOCK_H
#define ADDER_FILE_LOCK_H

#include <stdbool.h>

typedef enum {
    FILE_LOCK_TAKEN,
    FILE_LOCK_HELD, /* by another process */
    FILE_LOCK_NONE, /* errno: no such file can be made there */
} file_lock_outcome;

/* *fd is the lock, for file_lock_release; -1 where it was not taken. */
file_lock_outcome file_lock_take(int *fd, const char *path);
void file_lock_release(int fd); /* -1 is allowed */

#endif

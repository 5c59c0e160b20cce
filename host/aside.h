/*
 * aside.h - a file that is written aside, synced, and only then renamed to its name.
 *
 * Who reads the name sees the old file or the whole new one. Several files can be opened, written
 * and synced before the first is committed. Errors: false with errno set. Owner: the caller; not
 * shared between threads.
 */
#ifndef ADDER_ASIDE_H
#define ADDER_ASIDE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    int fd;          /* -1 once synced */
    char *path;      /* the name it will have; NULL when closed */
    char *temporary; /* the name it has, beside it */
} aside;

/* On failure *file is zeroed; path may name a file or nothing, not a device or a folder. */
bool aside_open(aside *file, const char *path);
/* Likewise, but under the name PATH.tmp, which takes the place of what a writer that was killed has
 * left there, and for the owner's eyes alone. For a file that one process writes again and again.
 */
bool aside_open_own(aside *file, const char *path);
bool aside_write(aside *file, const void *bytes, size_t count);
/* Puts the bytes on the disk; nothing can be written after. */
bool aside_sync(aside *file);
/* Renames what is at the path, if anything is, to PATH.1; the directory is not synced. */
bool aside_keep_old(const aside *file);
/* Renames a synced file to its path, and puts the directory on the disk. */
bool aside_commit(aside *file);
/* Puts the directory that holds `path` on the disk. */
bool aside_sync_parent(const char *path);
/* Frees, and removes what was not committed. Zeroed is allowed; errno is kept. */
void aside_close(aside *file);

#endif

/*
 * file_lock.c - see file_lock.h.
 */
#include "file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { MODE = 0600 };

/* flock, not a lock of fcntl's: that would go with any other descriptor of the file that this
 * process closes. */
file_lock_outcome file_lock_take(int *fd, const char *path) {
    char *name;
    *fd = -1;
    if (asprintf(&name, "%s.lock", path) < 0) {
        errno = ENOMEM;
        return FILE_LOCK_NONE;
    }
    int opened = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, MODE);
    free(name);
    if (opened < 0) {
        return FILE_LOCK_NONE;
    }
    if (flock(opened, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        close(opened);
        errno = error;
        return error == EWOULDBLOCK ? FILE_LOCK_HELD : FILE_LOCK_NONE;
    }
    *fd = opened;
    return FILE_LOCK_TAKEN;
}

void file_lock_release(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

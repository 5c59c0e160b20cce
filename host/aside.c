/*
 * aside.c - write, fsync, rename, fsync of the directory; in that order, or a crash may leave an
 * empty file under the right name.
 */
#include "aside.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 16 };

/* A name of its own beside `path`: process numbers will not do, since two containers that share a
 * folder may both be number 1. */
static bool create_beside(aside *file) {
    for (int i = 0; i < TRIES; i++) {
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random ||
            asprintf(&file->temporary, "%s.tmp.%016" PRIx64, file->path, random) < 0) {
            file->temporary = NULL;
            return false;
        }
        file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->fd >= 0) {
            return true;
        }
        int why = errno;
        free(file->temporary); /* it is not ours to remove */
        file->temporary = NULL;
        errno = why;
        if (why != EEXIST) {
            return false;
        }
    }
    return false;
}

/* To rename onto a device or a pipe would take it away. */
static bool replaceable(const char *path) {
    struct stat facts;
    if (lstat(path, &facts) != 0 || S_ISREG(facts.st_mode) || S_ISLNK(facts.st_mode)) {
        return true;
    }
    errno = S_ISDIR(facts.st_mode) ? EISDIR : ENOTSUP;
    return false;
}

bool aside_open(aside *file, const char *path) {
    *file = (aside){0};
    if (!replaceable(path)) {
        return false;
    }
    *file = (aside){.fd = -1, .path = strdup(path)};
    if (file->path != NULL && create_beside(file)) {
        return true;
    }
    int why = errno;
    free(file->path);
    *file = (aside){0};
    errno = why;
    return false;
}

bool aside_open_own(aside *file, const char *path) {
    *file = (aside){.fd = -1, .path = strdup(path)};
    if (file->path != NULL && asprintf(&file->temporary, "%s.tmp", path) < 0) {
        file->temporary = NULL;
    }
    if (file->temporary != NULL) {
        /* Removed first, lest it be a link to elsewhere, or open to others. */
        unlink(file->temporary);
        file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file->fd >= 0) {
            return true;
        }
    }
    int why = errno;
    free(file->temporary); /* it is not ours to remove */
    free(file->path);
    *file = (aside){0};
    errno = why;
    return false;
}

bool aside_write(aside *file, const void *bytes, size_t count) {
    assert(file->fd >= 0);
    const unsigned char *at = bytes;
    while (count > 0) {
        ssize_t written = write(file->fd, at, count);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return false;
        }
        at += written;
        count -= (size_t)written;
    }
    return true;
}

bool aside_sync(aside *file) {
    assert(file->fd >= 0);
    bool synced = fsync(file->fd) == 0;
    int why = errno;
    bool closed = close(file->fd) == 0;
    file->fd = -1;
    if (!synced) {
        errno = why;
    }
    return synced && closed;
}

bool aside_sync_parent(const char *path) {
    char *copy = strdup(path); /* dirname writes into its argument */
    if (copy == NULL) {
        return false;
    }
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0) {
        return false;
    }
    /* Some file systems cannot sync a directory, and say EINVAL. */
    bool synced = fsync(fd) == 0 || errno == EINVAL;
    int why = errno;
    close(fd);
    errno = why;
    return synced;
}

bool aside_keep_old(const aside *file) {
    char *kept;
    if (asprintf(&kept, "%s.1", file->path) < 0) {
        return false;
    }
    bool renamed = rename(file->path, kept) == 0 || errno == ENOENT;
    int why = errno;
    free(kept);
    errno = why;
    return renamed;
}

bool aside_commit(aside *file) {
    assert(file->path != NULL && file->fd < 0);
    if (rename(file->temporary, file->path) != 0) {
        return false;
    }
    free(file->temporary);
    file->temporary = NULL;
    return aside_sync_parent(file->path);
}

void aside_close(aside *file) {
    int why = errno;
    if (file->path != NULL && file->fd >= 0) {
        close(file->fd);
    }
    if (file->temporary != NULL) {
        unlink(file->temporary);
    }
    free(file->temporary);
    free(file->path);
    *file = (aside){0};
    errno = why;
}

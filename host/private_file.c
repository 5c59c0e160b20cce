/*
 * private_file.c - see private_file.h.
 */
#include "private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

bool private_file_read(private_file *file, const char *path, void *bytes, size_t capacity,
                       char *error, size_t error_bytes) {
    struct stat facts;
    *file = (private_file){0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not hold the start */
    if (fd < 0) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
        return false;
    }
    if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size <= (off_t)capacity) {
        ssize_t count = read(fd, bytes, capacity);
        file->count = count > 0 ? (size_t)count : 0;
        file->open_to_others = (facts.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    }
    close(fd);
    return true;
}

void private_file_warn(const private_file *file, const char *path, const char *what) {
    if (file->open_to_others) {
        log_event(LOG_WARNING, "file_mode", "%s: others than its owner may open the %s; chmod 600",
                  path, what);
    }
}

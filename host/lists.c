/*
 * lists.c - see lists.h.
 */
#include "lists.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "members.h"

typedef struct {
    UT_hash_handle hh;
    policy_listing listing;
    size_t length;
    char name[];
} entry;

struct lists {
    entry *table[2]; /* accounts, groups */
};

lists *lists_open(void) {
    return calloc(1, sizeof(lists));
}

void lists_close(lists *l) {
    for (size_t i = 0; l != NULL && i < 2; i++) {
        entry *e;
        entry *next;
        HASH_ITER(hh, l->table[i], e, next) {
            HASH_DELETE(hh, l->table[i], e);
            free(e);
        }
    }
    free(l);
}

static entry *find(const lists *l, bool group, const char *name, size_t length) {
    entry *found;
    HASH_FIND(hh, l->table[group], name, length, found);
    return found;
}

policy_listing lists_find(const lists *l, bool group, const char *name, size_t length) {
    const entry *found = find(l, group, name, length);
    return found == NULL ? POLICY_UNLISTED : found->listing;
}

static bool add(lists *l, const lists_file *file, const char *name, size_t length) {
    entry *known = find(l, file->groups, name, length);
    if (known != NULL) {
        known->listing = known->listing == POLICY_DENIED ? POLICY_DENIED : file->listing;
        return true;
    }
    entry *new = calloc(1, sizeof *new + length);
    if (new == NULL) {
        return false;
    }
    new->listing = file->listing;
    new->length = length;
    memcpy(new->name, name, length);
    HASH_ADD_KEYPTR(hh, l->table[file->groups], new->name, length, new);
    if (new->hh.tbl == NULL) {
        free(new);
        return false;
    }
    return true;
}

/* Lines of a whole file. */
static bool add_lines(lists *l, const lists_file *file, const char *text, size_t bytes, char *error,
                      size_t error_bytes) {
    size_t line = 1;
    for (size_t at = 0; at < bytes; line++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t length = end == NULL ? bytes - at : (size_t)(end - (text + at));
        size_t next = at + length + 1;
        length -= length > 0 && text[at + length - 1] == '\r';
        if (length > WIRE_ACCOUNT_BYTES_MAX ||
            (length > 0 && !members_text_is_utf8(text + at, length))) {
            snprintf(error, error_bytes,
                     "%s: line %zu: a name of at most %d bytes of UTF-8 expected", file->path, line,
                     WIRE_ACCOUNT_BYTES_MAX);
            return false;
        }
        if (HASH_COUNT(l->table[file->groups]) >= LISTS_NAMES_MAX) {
            snprintf(error, error_bytes, "%s: line %zu: more than %d names", file->path, line,
                     LISTS_NAMES_MAX);
            return false;
        }
        if (length > 0 && !add(l, file, text + at, length)) {
            snprintf(error, error_bytes, "%s: out of memory", file->path);
            return false;
        }
        at = next;
    }
    return true;
}

/* The whole of an open file, for free(); NULL with one line in error. */
static char *read_all(int fd, const char *path, size_t *bytes, char *error, size_t error_bytes) {
    struct stat facts;
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size > LISTS_BYTES_MAX) {
        snprintf(error, error_bytes, "%s: a regular file of at most %d bytes expected", path,
                 LISTS_BYTES_MAX);
        return NULL;
    }
    char *text = malloc((size_t)facts.st_size + 1);
    if (text == NULL) {
        snprintf(error, error_bytes, "%s: out of memory", path);
        return NULL;
    }
    *bytes = 0;
    ssize_t got;
    while (*bytes < (size_t)facts.st_size &&
           ((got = read(fd, text + *bytes, (size_t)facts.st_size - *bytes)) > 0 ||
            (got < 0 && errno == EINTR))) {
        *bytes += got > 0 ? (size_t)got : 0;
    }
    if (*bytes < (size_t)facts.st_size) {
        snprintf(error, error_bytes, "%s: cannot read all of it", path);
        free(text);
        return NULL;
    }
    return text;
}

bool lists_load(lists *l, lists_file file, char *error, size_t error_bytes) {
    int fd =
        open(file.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold the start */
    if (fd < 0) {
        snprintf(error, error_bytes, "%s: %s", file.path, strerror(errno));
        return false;
    }
    size_t bytes = 0;
    char *text = read_all(fd, file.path, &bytes, error, error_bytes);
    close(fd);
    bool fine = text != NULL && add_lines(l, &file, text, bytes, error, error_bytes);
    free(text);
    return fine;
}

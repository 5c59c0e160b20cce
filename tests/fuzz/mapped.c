/*
 * mapped.c - mmap and munmap as the readers call them (the linker's --wrap). The last page of a
 * mapped file goes on after the file's end, in zeros that AddressSanitizer knows nothing of: here
 * it learns that they are not to be read.
 */
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t bytes);

/* From the mapping's end to the end of its last page. */
static size_t rest_of(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (page - bytes % page) % page;
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    void *map = __real_mmap(at, bytes, protection, flags, fd, offset);
    if (map != MAP_FAILED && fd >= 0) {
        ASAN_POISON_MEMORY_REGION((char *)map + bytes, rest_of(bytes));
    }
    return map;
}

int __wrap_munmap(void *at, size_t bytes) {
    ASAN_UNPOISON_MEMORY_REGION((char *)at, bytes + rest_of(bytes));
    return __real_munmap(at, bytes);
}

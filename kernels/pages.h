/*
 * pages.h - memory that is touched at once, instead of as it is first used: then a limit on it is
 * met or missed at the start, and no request waits for a page.
 */
#ifndef ADDER_PAGES_H
#define ADDER_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The whole pages of `bytes` bytes, whose values stay. Where the system will not (Linux before 5.14
 * has no such advice) they are touched when they are used, as they would be anyway. */
static inline void pages_populate(void *at, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)at + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)at + bytes) / page * page;
    if (end > first) {
        (void)madvise((void *)first, end - first, MADV_POPULATE_WRITE);
    }
}

#endif

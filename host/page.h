/*
 * page.h - the files of the page at `/` of the admin port, which the program carries in itself
 * (host/page; host/page/embed.cmake).
 */
#ifndef ADDER_PAGE_H
#define ADDER_PAGE_H

#include <stddef.h>

typedef struct {
    const char *path;
    const char *type; /* of its content */
    const unsigned char *bytes;
    size_t count;
} page_file;

/* NULL: there is none at that path. */
const page_file *page_find(const char *path);

#endif

/*
 * manager.h - a service manager's side of sd_notify's protocol. Knows nothing of Criterion: what
 * fails prints a sentence and aborts.
 */
#ifndef ADDER_TESTS_MANAGER_H
#define ADDER_TESTS_MANAGER_H

#include <stdbool.h>

/* Listens at a path, or with a leading @ at an abstract name; NOTIFY_SOCKET says so to children and
 * to this process. */
int manager_open(const char *path);
void manager_close(int manager);
/* Waits for the next datagram; it must come. */
void manager_read(int manager, char text[256]);
/* Reads on until one of these words comes. */
void manager_await(int manager, const char *words);
bool manager_waits(int manager); /* a datagram is there now */

#endif

/*
 * listener.h - the server's socket: which addresses, how it listens, how it is closed. Internal to
 * the server.
 */
#ifndef ADDER_LISTENER_H
#define ADDER_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include <nng/nng.h>

/* ipc://, tcp:// or inproc:// and something after it. */
bool listener_url_known(const char *url);
/* Listens with messages of at most message_bytes_max; an ipc socket gets mode 0600. 0 or an NNG
 * error. */
int listener_open(nng_socket socket, const char *url, size_t message_bytes_max);
/* nng_close that gives up after timeout_ms. False: it is still at it, and what the socket's pipe
 * callbacks use must stay. */
bool listener_close(nng_socket socket, int timeout_ms);

#endif

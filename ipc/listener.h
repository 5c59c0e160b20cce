/*
 * listener.h - the server's socket: which addresses, how it listens, how it is closed. Internal to
 * the server.
 */
#ifndef ADDER_LISTENER_H
#define ADDER_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

/* ipc://, tcp://, tls+tcp:// or inproc:// and something after it. */
bool listener_url_known(const char *url);
/* Listens with messages of at most message_bytes_max. An ipc socket gets ipc_mode; tls, borrowed,
 * is for tls+tcp alone and NULL else. 0 or an NNG error. */
typedef struct {
    const char *url;
    size_t message_bytes_max;
    int ipc_mode;
    nng_tls_config *tls;
} listener_options;
int listener_open(nng_socket socket, const listener_options *options);
/* nng_close that gives up after timeout_ms. False: it is still at it, and what the socket's pipe
 * callbacks use must stay. */
bool listener_close(nng_socket socket, int timeout_ms);

#endif

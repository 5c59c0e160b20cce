/*
 * handshakes.h - connections that NNG has accepted and that have not shaken hands yet. Internal to
 * the server.
 *
 * NNG 1.5.2 hangs up after 10 s on who says nothing over tcp and ipc; over TLS it never does, and
 * such a connection counts as none: a peer without any certificate could come to hold every file
 * that the process may open. So libnng's accept() is this file's. It hangs up on those of the
 * network that take longer than HANDSHAKES_MS, whenever somebody else comes, and on a newcomer that
 * would take one of the last files, which the admin port and snapshots need.
 *
 * There is one table a process, because accept() is told nothing but a file. Threads: any.
 */
#ifndef ADDER_HANDSHAKES_H
#define ADDER_HANDSHAKES_H

#include <nng/nng.h>

enum {
    HANDSHAKES_MS = 10000,
    HANDSHAKES_MAX = 8192,     /* at once; for one more the oldest is hung up on */
    HANDSHAKES_FILES_KEPT = 64 /* for others; of a small limit an eighth */
};

/* The pipe is about to be added: its handshake is over. */
void handshakes_done(nng_pipe pipe);

#endif

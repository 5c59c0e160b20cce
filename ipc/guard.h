/*
 * guard.h - keeps an ipc address answering. Internal to the server.
 *
 * NNG 1.5.2's ipc listener accepts no more once a peer has hung up before the handshake
 * (nanomsg/nng #1518); a client that is killed at the wrong moment is such a peer. The guard knocks
 * now and then, and where nobody speaks it opens the listener anew. Connections of the old listener
 * are dropped then; REQ connects and sends again by itself.
 */
#ifndef ADDER_GUARD_H
#define ADDER_GUARD_H

#include <nng/nng.h>

typedef enum {
    GUARD_REFUSED, /* nobody listens at the path */
    GUARD_SILENT,  /* it connects, but nobody speaks */
    GUARD_SPEAKS,
} guard_answer;

/* Knocks at a socket's path. Hangs up only after the handshake's first bytes, for the sake of a
 * listener that is NNG 1.5.2. Waits a second at most. */
guard_answer guard_knock(const char *path);

typedef struct guard guard;
/* Watches the listener, which it then owns, of a socket at an ipc URL. 0 or an NNG error. */
int guard_open(guard **out, nng_socket socket, nng_listener listener, const char *url);
void guard_close(guard *guard); /* before the socket is closed; NULL is allowed */

/* Makes and starts an ipc listener with mode 0600; 0 or an NNG error. */
int guard_listen(nng_socket socket, nng_listener *listener, const char *url);

#endif

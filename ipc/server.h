/*
 * server.h - NNG rep0 with parallel contexts; who answers and how is the host's.
 *
 * Each context carries one call at a time: receive -> begin() -> [the host works] -> encode() ->
 * send. begin() and work() run on NNG's threads. The host gives a call back from any thread, in one
 * of two ways: server_answer encodes and sends there and then, which wakes nobody but the peer;
 * server_finish leaves that to one of NNG's threads, which is for replies that take long.
 */
#ifndef ADDER_SERVER_H
#define ADDER_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include <nng/nng.h>

#include "tls.h"

enum {
    SERVER_CONTEXTS_MAX = 256,
    SERVER_SPARE_PART = 8,
    SERVER_ROUNDS_MAX = 8,  /* of work() in the callback of a connection */
    SERVER_CROWD_US = 1000, /* callers within this time are several at once */
    SERVER_LINGER_MS = 200,
    SERVER_KEPT_BLOCK_BYTES = 32 << 20, /* once used, blocks of so many stay ours, and ... */
    SERVER_KEPT_BYTES = 64 << 20,       /* ... so many free ones in each of malloc's arenas */
    SERVER_IPC_MODE = 0600,
    SERVER_SEND_MS = 10000, /* the default of send_ms */
    SERVER_CLOSE_MS = 2000, /* NNG 1.5.2 may hang in closing a busy socket; then it is left */
};

typedef struct server server;
typedef struct server_call server_call;

typedef struct {
    const char *url; /* ipc://, tcp://, tls+tcp:// or inproc:// */
    tls_files tls;   /* of tls+tcp://, all but the server's name; else none. Clients must
                      * show a certificate that ca_file has signed */
    int ipc_mode;    /* of an ipc socket's file; 0: SERVER_IPC_MODE */
    size_t contexts; /* calls at once, 1..SERVER_CONTEXTS_MAX */
    size_t connection_calls_max; /* of one connection that may be at work, 1..contexts; 0: half */
    size_t message_bytes_max;    /* longer messages: NNG drops the connection */
    size_t connections_max;      /* further peers are turned away */
    int send_ms; /* a peer that does not take its reply in this time is cut off, lest
                  * it hold a context for ever; 0: SERVER_SEND_MS */
    void *host;
    /* A request has come. True: answer now. False: the host will call server_answer or
     * server_finish, once. */
    bool (*begin)(void *host, server_call *call, const void *message, size_t bytes);
    /* After a begin() that returned false: carries out what waits, this call and others, in at most
     * `rounds` rounds. On the same thread for a lone caller, else soon on another of NNG's. True:
     * more waits, and it is to be called again. Until it returns NNG cannot clean up after the
     * connection that the call came by, nor after any other (1.5.2), which is why the rounds are
     * limited; where they do not suffice it goes on without such a limit, on another of NNG's
     * threads, of which there are two for each core. NULL: the host has threads of its own. */
    bool (*work)(void *host, size_t rounds);
    /* Appends the reply to an empty message; 0 or an NNG error (then the call is dropped). The
     * request's bytes are still valid. */
    int (*encode)(void *host, server_call *call, nng_msg *reply);
} server_options;

/* Opens the socket and listens. False: one line in error ("... address in use ..."). */
bool server_open(server **out, const server_options *options, char *error, size_t error_bytes);
/* Call number 0..contexts-1: the host's own state for it lives in an array of its own. */
size_t server_call_index(const server_call *call);
/* Whether the call is one more than its connection, or all together, may have at work: the host is
 * to refuse it, unless it costs nothing. SERVER_SPARE_PART of the contexts is kept for such
 * refusals. A connection that leaves a quarter of all contexts waiting to refuse it is not
 * answered any more while that is so. In begin() only. */
bool server_call_excess(const server_call *call);
/* The host is done with a call that begin() left to it: once a call, by one of the two, from any
 * thread, also before begin() has returned. Afterwards the next request may have come as this call.
 */
void server_answer(server_call *call);
void server_finish(server_call *call);
/* Calls between begin() and the end of their send. */
size_t server_in_flight(server *server);
/* Connections refused because of connections_max. */
size_t server_connections_refused(const server *server);
/* Waits until the calls now in flight are done, then SERVER_LINGER_MS more, because NNG 1.5 reports
 * a send done when its transport has taken it and drops what is unsent on close. The host must by
 * then refuse new work. Then stops all contexts. Not from a callback. */
void server_drain(server *server);
/* Abandons the calls that the host still has: threads of its own must not be giving them back any
 * more. Returns when no thread is in begin(), work() or encode(). Not from a callback. NULL is
 * allowed; drained or not.
 */
void server_close(server *server);

#endif

/*
 * listener.c - what NNG 1.5.2 needs around its listen and close.
 *
 * Two of its faults are met here: a peer that hangs up before the handshake ends an ipc listener,
 * and nng_close can wait for ever for a connection that was closed between a message's head and its
 * body: so it is not waited for without limit.
 */
#include "listener.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_ID_BYTES = 4 }; /* what REQ puts before a message; NNG's limit counts it */

static const char ipc_scheme[] = "ipc://";

bool listener_url_known(const char *url) {
    static const char *const schemes[] = {ipc_scheme, "tcp://", "tls+tcp://", "inproc://"};
    for (size_t i = 0; url != NULL && i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i]);
        if (strncmp(url, schemes[i], length) == 0 && url[length] != '\0') {
            return true;
        }
    }
    return false;
}

/* libnng's sendmsg. NNG 1.5.2 takes EPIPE in a handshake for the end of its own listener and never
 * accepts again (nanomsg/nng #1518), so a peer that connects to an ipc socket and leaves at once,
 * as NNG's own look whether an address is in use does, would end the service. Told of a reset
 * instead, NNG goes on accepting. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
    if (sent < 0 && errno == EPIPE) {
        errno = ECONNRESET;
    }
    return sent;
}

int listener_open(nng_socket socket, const listener_options *o) {
    nng_listener listener;
    int error =
        nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, o->message_bytes_max + REQUEST_ID_BYTES);
    if (error == 0) {
        error = nng_listener_create(&listener, socket, o->url);
    }
    if (error == 0 && strncmp(o->url, ipc_scheme, strlen(ipc_scheme)) == 0) {
        error = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, o->ipc_mode);
    }
    if (error == 0 && o->tls != NULL) {
        error = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, o->tls);
    }
    return error != 0 ? error : nng_listener_start(listener, 0);
}

/* A close under way; freed by whoever leaves it last. */
typedef struct {
    nng_socket socket;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    bool left; /* by the one who waited */
} closing;

static void closing_free(closing *c) {
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void *closing_run(void *argument) {
    closing *c = argument;
    nng_close(c->socket);
    pthread_mutex_lock(&c->lock);
    c->done = true;
    bool left = c->left;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    if (left) {
        closing_free(c);
    }
    return NULL;
}

static closing *closing_start(nng_socket socket) {
    closing *c = calloc(1, sizeof *c);
    pthread_condattr_t attributes;
    pthread_t thread;
    if (c == NULL) {
        return NULL;
    }
    c->socket = socket;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&thread, NULL, closing_run, c) != 0) {
        closing_free(c);
        return NULL;
    }
    pthread_detach(thread);
    return c;
}

bool listener_close(nng_socket socket, int timeout_ms) {
    closing *c = closing_start(socket);
    if (c == NULL) {
        return nng_close(socket) == 0; /* without a thread it has to be waited for */
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&c->lock);
    while (!c->done && pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0) {
    }
    bool done = c->done;
    c->left = true;
    pthread_mutex_unlock(&c->lock);
    if (done) {
        closing_free(c);
    }
    return done;
}

/*
 * handshakes.c - see handshakes.h.
 */
#include "handshakes.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NO_FILE = -1, ADDRESS_BYTES = 16 };

/* Who is at the other end, from the network. */
typedef struct {
    uint16_t port; /* in network order, as the address; 0: not from the network */
    unsigned char address[ADDRESS_BYTES];
} peer;

typedef struct {
    int file; /* NO_FILE: it is over */
    peer from;
    uint64_t since_ms;
} handshake;

static struct {
    pthread_mutex_t lock;
    size_t first, count; /* of the ring; the oldest first */
    handshake ring[HANDSHAKES_MAX];
} pending = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static peer peer_of(int file) {
    struct sockaddr_storage from = {0};
    socklen_t length = sizeof from;
    peer p = {0};
    if (getpeername(file, (struct sockaddr *)&from, &length) != 0) {
        return p;
    }
    if (from.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&from;
        p.port = four->sin_port;
        memcpy(p.address, &four->sin_addr, sizeof four->sin_addr);
    } else if (from.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&from;
        p.port = six->sin6_port;
        memcpy(p.address, &six->sin6_addr, sizeof six->sin6_addr);
    }
    return p;
}

static bool is_same(const peer *a, const peer *b) {
    return a->port == b->port && memcmp(a->address, b->address, sizeof a->address) == 0;
}

/* ---- with the lock ---- */

static handshake *at(size_t i) {
    return &pending.ring[(pending.first + i) % HANDSHAKES_MAX];
}

/* NNG may have closed the file meanwhile, and it may be somebody else's by now. */
static void drop_first(void) {
    const handshake *h = at(0);
    peer from = h->file != NO_FILE ? peer_of(h->file) : (peer){0};
    if (from.port != 0 && is_same(&from, &h->from)) {
        shutdown(h->file, SHUT_RDWR); /* NNG reads an end, and closes it */
    }
    pending.first = (pending.first + 1) % HANDSHAKES_MAX;
    pending.count--;
}

static void drop_late(uint64_t now) {
    while (pending.count > 0 &&
           (at(0)->file == NO_FILE || at(0)->since_ms + HANDSHAKES_MS <= now)) {
        drop_first();
    }
}

static void begin(int file, const peer *from, uint64_t now) {
    for (size_t i = 0; i < pending.count; i++) {
        if (at(i)->file == file) {
            at(i)->file = NO_FILE; /* that one has been closed */
        }
    }
    if (pending.count == HANDSHAKES_MAX) {
        drop_first();
    }
    pending.count++;
    *at(pending.count - 1) = (handshake){.file = file, .from = *from, .since_ms = now};
}

/* ---- libnng's accept ---- */

/* Files are numbered from below, so the number tells how many are open. */
static bool takes_the_last(int file) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return false;
    }
    rlim_t eighth = limit.rlim_cur / 8;
    rlim_t kept = eighth < HANDSHAKES_FILES_KEPT ? eighth : HANDSHAKES_FILES_KEPT;
    return (rlim_t)file >= limit.rlim_cur - kept;
}

int accept(int listener, __SOCKADDR_ARG address, socklen_t *restrict length) {
    int file = (int)syscall(SYS_accept4, listener, address.__sockaddr__, length, 0);
    if (file < 0) {
        return file;
    }
    uint64_t now = now_ms();
    bool refused = takes_the_last(file);
    peer from = peer_of(file);
    pthread_mutex_lock(&pending.lock);
    drop_late(now);
    if (!refused && from.port != 0) {
        begin(file, &from, now);
    }
    pthread_mutex_unlock(&pending.lock);
    if (refused) {
        close(file);
        errno = ECONNABORTED; /* as of one that has left again, which NNG passes over */
        return -1;
    }
    return file;
}

void handshakes_done(nng_pipe pipe) {
    nng_sockaddr remote;
    peer from = {0};
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &remote) != 0) {
        return;
    }
    if (remote.s_family == NNG_AF_INET) {
        from.port = remote.s_in.sa_port;
        memcpy(from.address, &remote.s_in.sa_addr, sizeof remote.s_in.sa_addr);
    } else if (remote.s_family == NNG_AF_INET6) {
        from.port = remote.s_in6.sa_port;
        memcpy(from.address, remote.s_in6.sa_addr, sizeof remote.s_in6.sa_addr);
    }
    if (from.port == 0) {
        return;
    }
    pthread_mutex_lock(&pending.lock);
    for (size_t i = 0; i < pending.count; i++) {
        if (is_same(&at(i)->from, &from)) {
            at(i)->file = NO_FILE;
        }
    }
    pthread_mutex_unlock(&pending.lock);
}

/*
 * guard.c - a thread that sleeps, knocks, and seldom has to do more.
 */
#include "guard.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    SOCKET_MODE = 0600,
    ANSWER_MS = 1000, /* for a living listener's first bytes */
    KNOCK_MS = 1000,  /* between knocks */
    SILENT_MAX = 2,   /* knocks without an answer: a busy machine may miss one */
};

struct guard {
    nng_socket socket;
    nng_listener listener;
    char *url;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ending;
    bool ended;
};

static const char *path_of(const char *url) {
    return url + strlen("ipc://");
}

guard_answer guard_knock(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    guard_answer answer = GUARD_REFUSED;
    if (strlen(path) >= sizeof address.sun_path) {
        return GUARD_REFUSED; /* NNG says so too */
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return GUARD_REFUSED;
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        int ready;
        while ((ready = poll(&readable, 1, ANSWER_MS)) < 0 && errno == EINTR) {
        }
        answer = ready > 0 ? GUARD_SPEAKS : GUARD_SILENT;
    } else if (errno == EAGAIN) {
        answer = GUARD_SILENT; /* connections wait that nobody takes */
    }
    close(fd);
    return answer;
}

int guard_listen(nng_socket socket, nng_listener *listener, const char *url) {
    int error = nng_listener_create(listener, socket, url);
    if (error == 0) {
        error = nng_listener_set_int(*listener, NNG_OPT_IPC_PERMISSIONS, SOCKET_MODE);
    }
    return error != 0 ? error : nng_listener_start(*listener, 0);
}

/* Sleeps until the next knock; false when the guard is to end. */
static bool wait_for_next(guard *g) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += KNOCK_MS / 1000;
    until.tv_nsec += KNOCK_MS % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&g->lock);
    while (!g->ended && pthread_cond_timedwait(&g->ending, &g->lock, &until) == 0) {
    }
    bool ended = g->ended;
    pthread_mutex_unlock(&g->lock);
    return !ended;
}

static void *guard_main(void *argument) {
    guard *g = argument;
    int silent = 0;
    while (wait_for_next(g)) {
        silent = guard_knock(path_of(g->url)) == GUARD_SPEAKS ? 0 : silent + 1;
        if (silent >= SILENT_MAX) {
            nng_listener_close(g->listener);
            /* Where it fails, the next knock finds nobody, and it is tried again. */
            if (guard_listen(g->socket, &g->listener, g->url) == 0) {
                silent = 0;
            }
        }
    }
    return NULL;
}

static void guard_free(guard *g) {
    pthread_cond_destroy(&g->ending);
    pthread_mutex_destroy(&g->lock);
    free(g->url);
    free(g);
}

int guard_open(guard **out, nng_socket socket, nng_listener listener, const char *url) {
    pthread_condattr_t attributes;
    guard *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return NNG_ENOMEM;
    }
    g->socket = socket;
    g->listener = listener;
    g->url = strdup(url);
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&g->ending, &attributes);
    pthread_condattr_destroy(&attributes);
    if (g->url == NULL || pthread_create(&g->thread, NULL, guard_main, g) != 0) {
        guard_free(g);
        return NNG_ENOMEM;
    }
    *out = g;
    return 0;
}

void guard_close(guard *g) {
    if (g == NULL) {
        return;
    }
    pthread_mutex_lock(&g->lock);
    g->ended = true;
    pthread_cond_signal(&g->ending);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
    guard_free(g);
}

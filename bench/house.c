/*
 * house.c - the same rooms in a child or here: open, say so, stay until told to leave.
 */
#include "house.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "front.h"
#include "metrics.h"
#include "server.h"

enum {
    ERROR_BYTES = 512,
    PATH_BYTES = 128,
    FROM_CHILD = 0,
    TO_CHILD = 1,
    WATCH_LOOK_NS = 50000000,
    WATCH_LOOKS = 20, /* between one writing and the next */
};

/* What parent and child both see. */
typedef struct {
    atomic_size_t reply_bytes;
    atomic_size_t rows_told;
    bool opened; /* written before the child says so */
    char error[ERROR_BYTES];
} shared;

/* What works, wherever it lives. */
typedef struct {
    shared *shared;
    metrics *metrics; /* NULL: nobody watches, as the next */
    pthread_t watcher;
    bool watched; /* by the watcher */
    atomic_bool unwatched;
    service *service; /* NULL: the echo */
    front *front;
    server *server;
} rooms;

struct house {
    shared *shared;
    rooms rooms;                  /* inproc */
    pid_t child;                  /* 0: inproc */
    int leave;                    /* closed: the child ends */
    char socket_path[PATH_BYTES]; /* of ipc, the child's; else empty */
};

/* ---- the echo ---- */

static bool echo_begin(void *host, server_call *call, const void *message, size_t bytes) {
    (void)host, (void)call, (void)message, (void)bytes;
    return true;
}

static int echo_encode(void *host, server_call *call, nng_msg *reply) {
    const rooms *r = host;
    (void)call;
    return nng_msg_realloc(reply, atomic_load(&r->shared->reply_bytes));
}

/* ---- who watches ---- */

static void write_out(rooms *r) {
    static metrics_now now;
    static metrics_totals totals;
    size_t bytes;
    now.serving = true;
    front_look(r->front, &now);
    metrics_read(r->metrics, &totals);
    free(metrics_text(r->metrics, &now, &bytes));
    atomic_store(&r->shared->rows_told, (size_t)totals.rows);
}

/* Not while nobody asks: then another house may be measured. */
static void *watch(void *argument) {
    static const struct timespec pause = {.tv_nsec = WATCH_LOOK_NS};
    static metrics_now now;
    rooms *r = argument;
    uint64_t rows = 0;
    for (size_t looks = 0; !atomic_load(&r->unwatched);) {
        nanosleep(&pause, NULL);
        front_look(r->front, &now);
        looks += now.model[0].rows != rows;
        rows = now.model[0].rows;
        if (looks == WATCH_LOOKS) {
            looks = 0;
            write_out(r);
        }
    }
    return NULL;
}

/* ---- the rooms ---- */

static bool open_service(rooms *r, const house_options *o, shared *shared) {
    service_options options = *o->service;
    options.metrics = r->metrics = o->watched ? metrics_open() : NULL;
    if (o->watched && r->metrics == NULL) {
        snprintf(shared->error, ERROR_BYTES, "out of memory");
        return false;
    }
    if (!service_open(&r->service, &options, shared->error, ERROR_BYTES)) {
        return false;
    }
    r->front = front_open(&(front_options){
        .contexts = o->service->contexts, .rows_max = o->service->rows_max, .metrics = r->metrics});
    if (r->front == NULL || !front_serve(r->front, &r->service, 1)) {
        snprintf(shared->error, ERROR_BYTES, "out of memory");
        return false;
    }
    r->watched = o->watched && pthread_create(&r->watcher, NULL, watch, r) == 0;
    if (r->watched != o->watched) {
        snprintf(shared->error, ERROR_BYTES, "no thread to watch from");
    }
    return r->watched == o->watched;
}

static bool rooms_open(rooms *r, const house_options *o, shared *shared) {
    bool echo = o->service == NULL;
    *r = (rooms){.shared = shared};
    if (!echo && !open_service(r, o, shared)) {
        return false;
    }
    server_options options = {.url = o->url,
                              .contexts = o->contexts,
                              .message_bytes_max = echo ? o->message_bytes_max
                                                        : service_message_bytes_max(r->service),
                              .connections_max = o->connections_max,
                              .host = echo ? (void *)r : (void *)r->front,
                              .begin = echo ? echo_begin : front_begin,
                              .work = echo ? NULL : front_work,
                              .encode = echo ? echo_encode : front_encode};
    return server_open(&r->server, &options, shared->error, ERROR_BYTES);
}

static void rooms_close(rooms *r) {
    if (r->watched) {
        atomic_store(&r->unwatched, true);
        pthread_join(r->watcher, NULL);
    }
    if (r->service != NULL) {
        service_end(r->service);
    }
    if (r->server != NULL) {
        server_drain(r->server);
    }
    server_close(r->server);
    front_close(r->front);
    service_close(r->service);
    metrics_close(r->metrics);
}

/* ---- a process of its own ---- */

/* It leaves when its parent does, however that ends: signals that are for both are the parent's. */
static void child_main(const house_options *o, shared *shared, int said, int leave) {
    char byte = 0;
    rooms r;
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    shared->opened = rooms_open(&r, o, shared);
    if (write(said, &byte, 1) == 1 && shared->opened) {
        while (read(leave, &byte, 1) < 0 && errno == EINTR) {
        }
    }
    rooms_close(&r);
    _exit(EXIT_SUCCESS);
}

static bool fork_child(house *h, const house_options *o) {
    int said[2], leave[2];
    char byte;
    if (pipe(said) != 0) {
        return false;
    }
    if (pipe(leave) != 0) {
        close(said[0]);
        close(said[1]);
        return false;
    }
    fflush(stdout);
    h->child = fork();
    if (h->child == 0) {
        close(said[FROM_CHILD]);
        close(leave[TO_CHILD]);
        child_main(o, h->shared, said[TO_CHILD], leave[FROM_CHILD]);
    }
    close(said[TO_CHILD]);
    close(leave[FROM_CHILD]);
    h->leave = leave[TO_CHILD];
    bool heard = h->child > 0 && read(said[FROM_CHILD], &byte, 1) == 1;
    close(said[FROM_CHILD]);
    return heard && h->shared->opened;
}

static const char ipc[] = "ipc://";

bool house_open(house **out, const house_options *options, char *error, size_t error_bytes) {
    *out = NULL;
    house *h = calloc(1, sizeof *h);
    if (h == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    h->leave = -1;
    h->shared =
        mmap(NULL, sizeof *h->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (h->shared == MAP_FAILED) {
        snprintf(error, error_bytes, "out of memory");
        free(h);
        return false;
    }
    snprintf(h->shared->error, ERROR_BYTES, "the process for %s ended", options->url);
    if (strncmp(options->url, ipc, strlen(ipc)) == 0) {
        snprintf(h->socket_path, PATH_BYTES, "%s", options->url + strlen(ipc));
    }
    bool opened = strncmp(options->url, "inproc:", strlen("inproc:")) == 0
                      ? rooms_open(&h->rooms, options, h->shared)
                      : fork_child(h, options);
    if (!opened) {
        snprintf(error, error_bytes, "%s", h->shared->error);
        house_close(h);
        return false;
    }
    *out = h;
    return true;
}

void house_close(house *h) {
    if (h == NULL) {
        return;
    }
    if (h->leave >= 0) {
        close(h->leave);
    }
    if (h->child > 0) {
        while (waitpid(h->child, NULL, 0) < 0 && errno == EINTR) {
        }
        if (h->socket_path[0] != '\0') {
            unlink(h->socket_path); /* a child that was killed has left it */
        }
    } else {
        rooms_close(&h->rooms);
    }
    munmap(h->shared, sizeof *h->shared);
    free(h);
}

size_t house_rows_told(const house *h) {
    return atomic_load(&h->shared->rows_told);
}

void house_set_reply_bytes(house *h, size_t bytes) {
    atomic_store(&h->shared->reply_bytes, bytes);
}

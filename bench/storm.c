/*
 * storm.c - see storm.h: one thread and epoll.
 */
#include "storm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

enum {
    HEAD_MAX = 9,
    LOOK_BYTES = 64, /* of a reply, in which its status and code are */
    READ_BYTES = 1 << 16,
    EVENTS = 256,
    LAST_ANSWERS_S = 20,
    HANDSHAKE_BYTES = 8,
    REQUEST_ID_BYTES = 4,
};

typedef struct {
    int fd;
    bool waits; /* for an answer */
    bool lost;
    double sent_at;
    const storm_message *out;
    size_t out_at;
    unsigned char in[HEAD_MAX + LOOK_BYTES];
    size_t in_bytes;   /* of the reply so far */
    size_t reply_ends; /* at so many; 0: its head has not come */
} connection;

typedef struct {
    const storm_options *options;
    storm_result *result;
    connection *connection;
    size_t *idle; /* [connections] a stack of those that do not wait */
    size_t idles;
    size_t head_bytes;
    size_t next; /* message */
    double start;
    int epoll;
} storm;

static bool is_ipc(const char *url) {
    return strncmp(url, "ipc://", 6) == 0;
}

int storm_connect(const char *url) {
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bool ipc = is_ipc(url);
    if (ipc) {
        snprintf(path.sun_path, sizeof path.sun_path, "%s", url + 6);
    } else {
        inet.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    }
    int fd = socket(ipc ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int code = -1;
    while (fd >= 0 &&
           (code = ipc ? connect(fd, (struct sockaddr *)&path, sizeof path)
                       : connect(fd, (struct sockaddr *)&inet, sizeof inet)) != 0 &&
           errno == EINTR) {
    }
    if (fd >= 0 && code != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int storm_open(const char *url) {
    static const unsigned char ours[HANDSHAKE_BYTES] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    unsigned char theirs[HANDSHAKE_BYTES];
    int fd = storm_connect(url);
    if (fd < 0) {
        return -1;
    }
    struct timeval patience = {.tv_sec = LAST_ANSWERS_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, ours, sizeof ours, MSG_NOSIGNAL) != sizeof ours ||
        recv(fd, theirs, sizeof theirs, MSG_WAITALL) != sizeof theirs) {
        close(fd);
        return -1;
    }
    return fd;
}

size_t storm_head(const char *url, size_t bytes, unsigned char head[16]) {
    static const unsigned char id[REQUEST_ID_BYTES] = {0x80, 0, 0, 1};
    size_t at = 0;
    if (is_ipc(url)) {
        head[at++] = 1;
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        head[at++] = (unsigned char)((bytes + REQUEST_ID_BYTES) >> shift);
    }
    memcpy(head + at, id, sizeof id);
    return at + sizeof id;
}

/* ---- one connection ---- */

static void lose(storm *s, connection *c) {
    if (!c->lost) {
        c->lost = true;
        s->result->failed += c->waits;
        c->waits = false;
        close(c->fd);
    }
}

static void watch(storm *s, connection *c, bool writing) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0),
                                .data.u64 = (uint64_t)(c - s->connection)};
    epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void write_out(storm *s, connection *c) {
    ssize_t n = send(c->fd, c->out->bytes + c->out_at, c->out->length - c->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose(s, c);
        return;
    }
    bool begun = c->out_at > 0;
    c->out_at += n > 0 ? (size_t)n : 0;
    bool done = c->out_at == c->out->length;
    if (!done || begun) {
        watch(s, c, !done);
    }
}

static void ask(storm *s, connection *c, double now) {
    c->out = &s->options->message[s->next++ % s->options->messages];
    c->out_at = 0;
    c->waits = true;
    c->sent_at = now;
    s->result->sent++;
    write_out(s, c);
}

/* A reply has come wholly. */
static void count(storm *s, connection *c, double now) {
    storm_result *r = s->result;
    size_t have = c->in_bytes < sizeof c->in ? c->in_bytes : sizeof c->in;
    if (memmem(c->in, have, "overloaded", 10) != NULL) {
        r->shed++;
        histogram_add(&r->shed_took, now - c->sent_at);
    } else if (memmem(c->in, have, "error", 5) != NULL) {
        r->failed++;
    } else {
        r->scored++;
        histogram_add(&r->scored_took, now - c->sent_at);
    }
    c->waits = false;
    c->in_bytes = c->reply_ends = 0;
    s->idle[s->idles++] = (size_t)(c - s->connection);
}

static void read_in(storm *s, connection *c) {
    static unsigned char bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        lose(s, c);
        return;
    }
    for (size_t at = 0; n > 0 && at < (size_t)n && c->waits; at++) {
        if (c->in_bytes < sizeof c->in) {
            c->in[c->in_bytes] = bytes[at];
        } else { /* the rest is not looked at */
            size_t rest = c->reply_ends - c->in_bytes - 1, left = (size_t)n - at - 1;
            size_t skip = rest < left ? rest : left;
            c->in_bytes += skip;
            at += skip;
        }
        c->in_bytes++;
        if (c->in_bytes == s->head_bytes) {
            size_t length = 0;
            for (size_t i = s->head_bytes - 8; i < s->head_bytes; i++) {
                length = length << 8 | c->in[i];
            }
            c->reply_ends = s->head_bytes + length;
        }
        if (c->in_bytes == c->reply_ends) {
            count(s, c, bench_now());
        }
    }
}

/* ---- all of them ---- */

static void attend(storm *s, int timeout_ms) {
    struct epoll_event event[EVENTS];
    int count = epoll_wait(s->epoll, event, EVENTS, timeout_ms);
    for (int i = 0; i < count; i++) {
        connection *c = &s->connection[event[i].data.u64];
        if (!c->lost && (event[i].events & EPOLLOUT) != 0) {
            write_out(s, c);
        }
        if (!c->lost && (event[i].events & ~(uint32_t)EPOLLOUT) != 0) {
            read_in(s, c);
        }
    }
}

/* A connection that waits for nothing; NULL: there is none. */
static connection *take_idle(storm *s) {
    while (s->idles > 0) {
        connection *c = &s->connection[s->idle[--s->idles]];
        if (!c->lost) {
            return c;
        }
    }
    return NULL;
}

/* Sends what is due; returns whether nothing more will be. */
static bool send_due(storm *s, double now) {
    const storm_options *o = s->options;
    storm_result *r = s->result;
    bool over = now >= s->start + o->seconds || (o->requests_max > 0 && r->sent >= o->requests_max);
    if (o->requests_per_s > 0.0) {
        double elapsed = now - s->start < o->seconds ? now - s->start : o->seconds;
        size_t due = (size_t)(elapsed * o->requests_per_s);
        while (r->due < due) {
            connection *c = take_idle(s);
            r->due++;
            if (c != NULL) {
                ask(s, c, now);
            } else {
                r->unsent++;
            }
        }
    } else {
        connection *c;
        while (!over && (c = take_idle(s)) != NULL) {
            r->due++;
            ask(s, c, now);
        }
    }
    return over;
}

static size_t count_waiting(const storm *s) {
    size_t waiting = 0;
    for (size_t i = 0; i < s->options->connections; i++) {
        waiting += s->connection[i].waits;
    }
    return waiting;
}

static void run(storm *s) {
    s->start = bench_now();
    while (!send_due(s, bench_now())) {
        attend(s, 1);
    }
    s->result->seconds = bench_now() - s->start;
    s->result->scored_in_time = s->result->scored;
    double until = bench_now() + LAST_ANSWERS_S;
    while ((s->result->unanswered = count_waiting(s)) > 0 && bench_now() < until) {
        attend(s, 1);
    }
}

static bool open_all(storm *s, char *error, size_t error_bytes) {
    for (size_t i = 0; i < s->options->connections; i++) {
        connection *c = &s->connection[i];
        c->fd = storm_open(s->options->url);
        if (c->fd < 0) {
            snprintf(error, error_bytes, "%s: connection %zu: %s", s->options->url, i,
                     strerror(errno));
            c->lost = true;
            return false;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
            epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) {
            snprintf(error, error_bytes, "epoll: %s", strerror(errno));
            return false;
        }
        s->idle[s->idles++] = i;
    }
    return true;
}

bool storm_run(const storm_options *options, storm_result *result, char *error,
               size_t error_bytes) {
    size_t count = options->connections;
    storm s = {.options = options,
               .result = result,
               .connection = calloc(count, sizeof *s.connection),
               .idle = calloc(count, sizeof *s.idle),
               .head_bytes = is_ipc(options->url) ? HEAD_MAX : HEAD_MAX - 1,
               .epoll = epoll_create1(EPOLL_CLOEXEC)};
    *result = (storm_result){0};
    bool fine = s.connection != NULL && s.idle != NULL && s.epoll >= 0;
    if (!fine) {
        snprintf(error, error_bytes, "out of memory");
    }
    for (size_t i = 0; fine && i < count; i++) {
        s.connection[i].fd = -1;
    }
    if (fine && (fine = open_all(&s, error, error_bytes))) {
        run(&s);
    }
    for (size_t i = 0; s.connection != NULL && i < count; i++) {
        if (!s.connection[i].lost && s.connection[i].fd >= 0) {
            close(s.connection[i].fd);
        }
    }
    if (s.epoll >= 0) {
        close(s.epoll);
    }
    free(s.idle);
    free(s.connection);
    return fine;
}

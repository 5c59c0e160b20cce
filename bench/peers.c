/*
 * peers.c - `adder-bench peers`: a good client alone, then beside very many peers that connect and
 * say nothing, not even the handshake, and as many that send half a message.
 *
 * A silent peer is hung up on by NNG after ten seconds and comes again at once, as one that means
 * harm would; one with half a message stays.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "stand.h"

#define NAME "adder-bench peers"

enum { BAD = 1000, QUICK_BAD = 100, CONNECTIONS_SPARE = 64, ROUNDS = 5 };

typedef struct {
    const char *url;
    int *silent;
    int *half;
    size_t count; /* of each */
    size_t came_again;
} crowd;

static void half_message(const stand *s, int fd) {
    const storm_message *m = &s->message[0];
    ssize_t sent = send(fd, m->bytes, m->length / 2, MSG_NOSIGNAL);
    (void)sent; /* who is turned away stays away */
}

static bool crowd_open(crowd *c, stand *s, size_t count) {
    *c = (crowd){
        .url = s->url, .silent = malloc(count * sizeof(int)), .half = malloc(count * sizeof(int))};
    if (c->silent == NULL || c->half == NULL) {
        snprintf(s->error, STAND_ERROR_BYTES, "out of memory");
        return false;
    }
    for (; c->count < count; c->count++) {
        size_t i = c->count;
        c->silent[i] = storm_connect(s->url);
        c->half[i] = storm_open(s->url);
        if (c->silent[i] < 0 || c->half[i] < 0) {
            snprintf(s->error, STAND_ERROR_BYTES, "%s: peer %zu: %s", s->url, i, strerror(errno));
            return false;
        }
        half_message(s, c->half[i]);
    }
    return true;
}

/* Those that were hung up on come again. */
static void crowd_return(crowd *c) {
    for (size_t i = 0; i < c->count; i++) {
        struct pollfd ended = {.fd = c->silent[i], .events = POLLRDHUP};
        if (c->silent[i] >= 0 && poll(&ended, 1, 0) == 1) {
            close(c->silent[i]);
            c->silent[i] = storm_connect(c->url);
            c->came_again++;
        }
    }
}

static void crowd_close(crowd *c) {
    for (size_t i = 0; i < c->count; i++) {
        if (c->silent[i] >= 0) {
            close(c->silent[i]);
        }
        close(c->half[i]);
    }
    free(c->silent);
    free(c->half);
    *c = (crowd){0};
}

/* One caller that asks again as soon as it is answered. */
static bool measure(stand *s, crowd *c, double seconds, histogram *took) {
    static storm_result r;
    *took = (histogram){0};
    for (int round = 0; round < ROUNDS; round++) {
        if (c != NULL) {
            crowd_return(c);
        }
        storm_options o = {.url = s->url,
                           .message = s->message,
                           .messages = STAND_ACCOUNTS,
                           .connections = 1,
                           .seconds = seconds / ROUNDS};
        if (!storm_run(&o, &r, s->error, STAND_ERROR_BYTES)) {
            return false;
        }
        if (r.scored != r.sent) {
            snprintf(s->error, STAND_ERROR_BYTES,
                     "%zu of %zu requests of a good client were shed "
                     "or failed",
                     r.sent - r.scored, r.sent);
            return false;
        }
        histogram_merge(took, &r.scored_took);
    }
    return true;
}

static void print_took(const char *when, const histogram *took) {
    printf("%-34s p50 %7.3f, p99 %7.3f, p99.9 %7.3f ms of %llu requests\n", when,
           1e3 * histogram_percentile(took, 50.0), 1e3 * histogram_percentile(took, 99.0),
           1e3 * histogram_percentile(took, 99.9), (unsigned long long)took->total);
    fflush(stdout);
}

/* Before, with them, and after they have gone. */
static bool run(stand *s) {
    static histogram before, with, after;
    crowd c = {0};
    double seconds = (double)s->options.seconds;
    bool fine = measure(s, NULL, seconds, &before);
    if (fine) {
        print_took("a good client alone", &before);
        fine = crowd_open(&c, s, s->options.connections) && measure(s, &c, seconds, &with);
    }
    if (fine) {
        char when[64];
        snprintf(when, sizeof when, "beside %zu silent, %zu half-sent", c.count, c.count);
        print_took(when, &with);
        printf("%-34s %zu\n", "silent ones that came again", c.came_again);
    }
    crowd_close(&c);
    if (fine && (fine = measure(s, NULL, seconds, &after))) {
        print_took("after they have gone", &after);
        printf("%-34s %.2f\n", "p99 with them over p99 alone",
               histogram_percentile(&with, 99.0) / histogram_percentile(&before, 99.0));
    }
    return fine;
}

int bench_peers(int argc, char **argv) {
    stand_options o = {.name = NAME,
                       .dim = 256,
                       .classes = 10,
                       .window_rows = 16,
                       .rows = 16,
                       .seconds = 30,
                       .times = 1,
                       .connections = BAD};
    int status = stand_parse(&o,
                             "Times a good client alone, then beside --connections (1000) peers "
                             "that connect and say nothing and as many that send half a message.",
                             argc, argv);
    if (status != 0) {
        return status;
    }
    if (o.quick) {
        o.dim = 32;
        o.seconds = 1;
        o.connections = QUICK_BAD;
    }
    return stand_run(&o, o.connections + CONNECTIONS_SPARE, run);
}

/*
 * watchdog.c - see watchdog.h.
 */
#include "watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"

struct watchdog {
    watchdog_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool leaving;
    /* Of its thread. */
    watchdog_pulse last[WATCHDOG_PARTS_MAX];
    size_t parts;
    bool stuck;
};

static void look(watchdog *w) {
    watchdog_pulse pulse[WATCHDOG_PARTS_MAX];
    size_t parts = w->options.look(w->options.host, pulse);
    bool stuck = false;
    for (size_t i = 0; i < parts; i++) { /* one that is new has moved */
        stuck = stuck || (i < w->parts && pulse[i].busy && pulse[i].steps == w->last[i].steps);
        w->last[i] = pulse[i];
    }
    w->parts = parts;
    if (stuck && !w->stuck) {
        log_event(LOG_WARNING, "stuck",
                  "requests wait and nothing has moved for half of the watchdog's interval");
    }
    w->stuck = stuck;
    if (!stuck) {
        w->options.tell();
    }
}

static struct timespec later(struct timespec t, uint64_t us) {
    t.tv_sec += (time_t)(us / 1000000);
    t.tv_nsec += (long)(us % 1000000) * 1000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *run(void *argument) {
    watchdog *w = argument;
    struct timespec now;
    pthread_mutex_lock(&w->lock);
    while (!w->leaving) {
        pthread_mutex_unlock(&w->lock);
        look(w);
        clock_gettime(CLOCK_MONOTONIC, &now);
        struct timespec next = later(now, w->options.interval_us / 2);
        pthread_mutex_lock(&w->lock);
        while (!w->leaving && pthread_cond_timedwait(&w->woken, &w->lock, &next) != ETIMEDOUT) {
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

watchdog *watchdog_open(const watchdog_options *options) {
    pthread_condattr_t monotonic;
    watchdog *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return NULL;
    }
    w->options = *options;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->woken, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        pthread_cond_destroy(&w->woken);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return NULL;
    }
    return w;
}

void watchdog_close(watchdog *w) {
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->leaving = true;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->woken);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

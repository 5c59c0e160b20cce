/*
 * adderd.c - the daemon: opens the house, waits for the signal to leave, and closes it in order.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "config.h"
#include "log.h"
#include "reference.h"
#include "server.h"
#include "service.h"

enum { ERROR_BYTES = 512 };

typedef struct {
    config config;
    reference *reference;
    service *service;
    server *server;
    pthread_t owner;
} daemon_state;

static void *owner_main(void *argument) {
    service *service = argument;
    while (service_step(service)) {
    }
    return NULL;
}

static bool open_service(daemon_state *d, char *error) {
    const config *c = &d->config;
    unsigned char secret[POISON_SECRET_BYTES];
    if (c->secret_file != NULL && !config_read_secret(c->secret_file, secret, error, ERROR_BYTES)) {
        return false;
    }
    bool opened = service_open(&d->service,
                               &(service_options){.reference = d->reference,
                                                  .engine = c->engine,
                                                  .window_rows = c->window_rows,
                                                  .memory_rank = c->memory_rank,
                                                  .half_life_rows = c->half_life_rows,
                                                  .threads = c->threads,
                                                  .accounts_max = c->accounts_max,
                                                  .rows_max = c->rows_max,
                                                  .queue_rows_max = c->queue_rows_max,
                                                  .contexts = c->contexts,
                                                  .policy = {.has_threshold = c->has_threshold,
                                                             .threshold = c->threshold,
                                                             .fill_min = c->fill_min},
                                                  .hard_label = c->hard_label,
                                                  .secret = c->secret_file ? secret : NULL},
                               error, ERROR_BYTES);
    sodium_memzero(secret, sizeof secret);
    return opened;
}

static bool open_server(daemon_state *d, char *error) {
    return server_open(&d->server,
                       &(server_options){.url = d->config.listen,
                                         .contexts = d->config.contexts,
                                         .message_bytes_max = service_message_bytes_max(d->service),
                                         .connections_max = d->config.connections_max,
                                         .host = d->service,
                                         .begin = service_begin,
                                         .encode = service_encode},
                       error, ERROR_BYTES);
}

static void announce(const daemon_state *d) {
    const config *c = &d->config;
    const engine_reference *r = &d->reference->statistics;
    log_line(LOG_INFO, "serving %s (dim %zu, %zu classes, rank %zu) at %s, engine %s, window %zu",
             d->reference->model, r->dim, r->classes, r->rank, c->listen,
             service_engine(d->service), c->window_rows);
    if (c->has_threshold) {
        log_line(LOG_INFO, "a window of %zu rows or more scoring above %.6g is poisoned",
                 c->fill_min, c->threshold);
    } else {
        log_line(LOG_WARNING,
                 "no threshold for window %zu: scores are served, every decision is "
                 "allow; run adder calibrate or give --threshold",
                 c->window_rows);
    }
}

/* Signals are taken by sigwait alone, so every thread, NNG's too, must be born with them blocked.
 */
static sigset_t block_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return set;
}

static bool open_all(daemon_state *d, char *error) {
    if (sodium_init() < 0) {
        snprintf(error, ERROR_BYTES, "libsodium could not start");
        return false;
    }
    if (!reference_load(&d->reference, d->config.reference, error, ERROR_BYTES)) {
        return false;
    }
    config_complete(&d->config, d->reference);
    return open_service(d, error) && open_server(d, error);
}

static void close_all(daemon_state *d) {
    server_close(d->server);
    service_close(d->service);
    reference_close(d->reference);
}

int main(int argc, char **argv) {
    daemon_state d = {0};
    char error[ERROR_BYTES];
    int signal_number;
    sigset_t signals = block_signals();
    config_parse(&d.config, argc, argv);
    if (!open_all(&d, error)) {
        log_line(LOG_ERROR, "%s", error);
        close_all(&d);
        return EXIT_FAILURE;
    }
    if (pthread_create(&d.owner, NULL, owner_main, d.service) != 0) {
        log_line(LOG_ERROR, "no thread to be had");
        close_all(&d);
        return EXIT_FAILURE;
    }
    announce(&d);
    sigwait(&signals, &signal_number);
    log_line(LOG_INFO, "ending: answering what was accepted");
    service_end(d.service);
    pthread_join(d.owner, NULL);
    server_drain(d.server);
    close_all(&d);
    return EXIT_SUCCESS;
}

/*
 * adderd.c - the daemon: opens the house, waits for the signal to leave, and closes it in order.
 */
#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "admin.h"
#include "config.h"
#include "keeper.h"
#include "log.h"
#include "metrics.h"
#include "reference.h"
#include "server.h"
#include "service.h"
#include "transport.h"

enum { ERROR_BYTES = PATH_MAX + 512 }; /* a path and what is wrong with it */

/* For the admin port's thread: what it may read of the rest. */
typedef enum { LOADING, SERVING, DRAINING } stage;

typedef struct {
    config config;
    int ipc_mode;
    atomic_int stage; /* past LOADING, service and server are open */
    metrics *metrics; /* NULL: no admin port */
    admin *admin;
    reference *reference;
    lists *lists;
    service *service;
    keeper *keeper; /* NULL: nothing is kept */
    server *server;
} daemon_state;

static bool open_service(daemon_state *d, char *error) {
    const config *c = &d->config;
    unsigned char secret[POISON_SECRET_BYTES];
    bool opened =
        c->secret_file == NULL || config_read_secret(c->secret_file, secret, error, ERROR_BYTES);
    opened =
        opened && service_open(&d->service,
                               &(service_options){.reference = d->reference,
                                                  .engine = c->engine,
                                                  .window_rows = c->window_rows,
                                                  .memory_rank = c->memory_rank,
                                                  .half_life_rows = c->half_life_rows,
                                                  .threads = c->threads,
                                                  .tf32 = c->tf32,
                                                  .accounts_max = c->accounts_max,
                                                  .rows_max = c->rows_max,
                                                  .queue_rows_max = c->queue_rows_max,
                                                  .contexts = c->contexts,
                                                  .policy = {.mode = c->mode,
                                                             .action = c->action,
                                                             .has_threshold = c->has_threshold,
                                                             .threshold = c->threshold,
                                                             .decisions_only = c->decisions_only,
                                                             .fill_min = c->fill_min},
                                                  .lists = d->lists,
                                                  .release_after = c->release_after,
                                                  .hard_label = c->hard_label,
                                                  .poison = c->poison,
                                                  .secret = c->secret_file ? secret : NULL,
                                                  .metrics = d->metrics},
                               error, ERROR_BYTES);
    sodium_memzero(secret, sizeof secret);
    return opened;
}

static bool open_keeper(daemon_state *d, char *error) {
    return d->config.snapshot == NULL ||
           keeper_open(&d->keeper,
                       &(keeper_options){.path = d->config.snapshot,
                                         .reference = d->reference,
                                         .service = d->service,
                                         .window_rows = d->config.window_rows,
                                         .half_life_rows = d->config.half_life_rows,
                                         .every_s = d->config.snapshot_every_s},
                       error, ERROR_BYTES);
}

static transport_options transport_of(const config *c) {
    return (transport_options){.listen = c->listen,
                               .tls = c->tls,
                               .ipc_mode = c->ipc_mode,
                               .connections_max = c->connections_max};
}

static bool open_server(daemon_state *d, char *error) {
    const config *c = &d->config;
    size_t connection_calls =
        c->connection_requests_max < c->contexts ? c->connection_requests_max : c->contexts;
    return server_open(&d->server,
                       &(server_options){.url = d->config.listen,
                                         .tls = d->config.tls,
                                         .ipc_mode = d->ipc_mode,
                                         .contexts = d->config.contexts,
                                         .connection_calls_max = connection_calls,
                                         .message_bytes_max = service_message_bytes_max(d->service),
                                         .connections_max = d->config.connections_max,
                                         .host = d->service,
                                         .begin = service_begin,
                                         .work = service_work,
                                         .encode = service_encode},
                       error, ERROR_BYTES);
}

/* ---- on the admin port's thread ---- */

static const char *why_unready(void *host) {
    static const char *const reasons[] = {"loading", NULL, "draining"};
    daemon_state *d = host;
    return reasons[atomic_load(&d->stage)];
}

static void look(void *host, metrics_now *now) {
    daemon_state *d = host;
    now->serving = atomic_load(&d->stage) != LOADING;
    if (now->serving) {
        service_look(d->service, now);
        now->in_flight = server_in_flight(d->server);
        now->connections_refused = server_connections_refused(d->server);
    }
}

/* ---- */

/* Before the reference is loaded, so that who asks is told so. */
static bool open_admin(daemon_state *d, char *error) {
    const config *c = &d->config;
    char token[ADMIN_TOKEN_MAX + 1] = "";
    if (c->admin == NULL) {
        return true;
    }
    d->metrics = metrics_open();
    if (d->metrics == NULL) {
        snprintf(error, ERROR_BYTES, "out of memory");
        return false;
    }
    bool opened = c->admin_token_file == NULL ||
                  admin_read_token(c->admin_token_file, token, error, ERROR_BYTES);
    opened = opened && admin_open(&d->admin,
                                  &(admin_options){.address = c->admin,
                                                   .token = token,
                                                   .metrics = d->metrics,
                                                   .host = d,
                                                   .unready = why_unready,
                                                   .look = look},
                                  error, ERROR_BYTES);
    sodium_memzero(token, sizeof token);
    return opened;
}

/* One line on what decides, and one where that is less than an operator may expect. */
static void announce_policy(const daemon_state *d) {
    static const char *const modes[] = {"enforce", "shadow", "off"};
    static const char *const actions[] = {"poison", "label_only", "flag"};
    const config *c = &d->config;
    const reference_benign *benign = d->reference->benign;
    bool matches = benign != NULL && benign->evidence.window_rows == c->window_rows;
    if (benign != NULL && !matches) {
        log_line(LOG_WARNING,
                 "the reference is calibrated for window %zu: no evidence is kept for window %zu",
                 benign->evidence.window_rows, c->window_rows);
    }
    if (c->mode == WIRE_OFF) {
        log_line(LOG_WARNING, "mode off: no verdicts are reached, every decision is allow");
    } else if (c->has_threshold) {
        log_line(LOG_INFO,
                 "mode %s, action %s: a window of %zu rows or more scoring above %.6g is "
                 "malicious%s",
                 modes[c->mode], actions[c->action], c->fill_min, c->threshold,
                 c->decisions_only ? "; decisions only: scores are bounds" : "");
    } else if (matches) {
        log_line(LOG_INFO,
                 "mode %s, action %s: accounts are flagged by their evidence, at most %g of honest "
                 "ones in %zu queries",
                 modes[c->mode], actions[c->action], benign->false_alarms, benign->queries);
    } else {
        log_line(LOG_WARNING,
                 "no threshold for window %zu: scores are served, %s; run adder calibrate or give "
                 "--threshold",
                 c->window_rows,
                 d->lists == NULL ? "every decision is allow" : "only who is denied is flagged");
    }
}

static void announce(const daemon_state *d) {
    const config *c = &d->config;
    const engine_reference *r = &d->reference->statistics;
    engine_facts facts = service_facts(d->service);
    log_line(LOG_INFO,
             "serving %s (dim %zu, %zu classes, rank %zu) at %s, engine %s%s%s%s, window %zu",
             d->reference->model, r->dim, r->classes, r->rank, c->listen, facts.name,
             facts.note[0] ? " (" : "", facts.note, facts.note[0] ? ")" : "", c->window_rows);
    log_line(LOG_INFO,
             "an account costs %zu bytes, and %zu for each class it has asked about in its memory",
             facts.bytes_per_slot, facts.bytes_per_block);
    if (c->tf32 && facts.tf32_error > 0.0) {
        log_line(LOG_WARNING, "tf32: projections of random rows are off by up to %.2g",
                 facts.tf32_error);
    }
    if (service_rows_max(d->service) < c->rows_max) {
        log_line(LOG_WARNING, "requests are limited to %zu rows, as many as accounts",
                 service_rows_max(d->service));
    }
    announce_policy(d);
}

/* OpenBLAS starts its threads before main, with every signal open, so blocking and sigwait cannot
 * keep a signal from them: a handler can. It may run on any thread; sem_post is allowed in it, and
 * what it posts must be global. */
static sem_t leave;

static void on_signal(int number) {
    (void)number;
    int error = errno;
    sem_post(&leave);
    errno = error;
}

static void catch_signals(void) {
    sem_init(&leave, 0, 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool open_all(daemon_state *d, char *error) {
    if (sodium_init() < 0) {
        snprintf(error, ERROR_BYTES, "libsodium could not start");
        return false;
    }
    transport_options transport = transport_of(&d->config);
    if (!transport_check(&transport, &d->ipc_mode, error, ERROR_BYTES)) {
        return false;
    }
    transport_prepare(&transport);
    if (!open_admin(d, error) ||
        !reference_load(&d->reference, d->config.reference, error, ERROR_BYTES)) {
        return false;
    }
    config_complete(&d->config, d->reference);
    if (d->config.decisions_only && !d->config.has_threshold) {
        snprintf(error, ERROR_BYTES,
                 "--decisions-only: expected a --threshold, on the side of which "
                 "windows are decided");
        return false;
    }
    return config_read_lists(&d->config, &d->lists, error, ERROR_BYTES) && open_service(d, error) &&
           open_keeper(d, error) && open_server(d, error);
}

static void close_all(daemon_state *d) {
    admin_close(d->admin); /* it asks the others */
    server_close(d->server);
    keeper_close(d->keeper);
    service_close(d->service);
    lists_close(d->lists);
    reference_close(d->reference);
    metrics_close(d->metrics);
}

int main(int argc, char **argv) {
    daemon_state d = {0};
    char error[ERROR_BYTES];
    catch_signals();
    config_parse(&d.config, argc, argv);
    if (!open_all(&d, error)) {
        log_line(LOG_ERROR, "%s", error);
        close_all(&d);
        return EXIT_FAILURE;
    }
    announce(&d);
    atomic_store(&d.stage, SERVING);
    while (sem_wait(&leave) != 0) {
    }
    log_line(LOG_INFO, "ending: answering what was accepted");
    atomic_store(&d.stage, DRAINING);
    service_end(d.service);
    server_drain(d.server);
    keeper_finish(d.keeper);
    close_all(&d);
    return EXIT_SUCCESS;
}

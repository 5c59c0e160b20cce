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
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "admin.h"
#include "config.h"
#include "keeper.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "reference.h"
#include "server.h"
#include "service.h"
#include "watchdog.h"

enum { ERROR_BYTES = PATH_MAX + 512 }; /* a path and what is wrong with it */

/* For the admin port's thread: what it may read of the rest. */
typedef enum { LOADING, SERVING, DRAINING } stage;

typedef struct {
    config config;
    atomic_int stage; /* past LOADING, service and server are open */
    metrics *metrics; /* NULL: no admin port */
    admin *admin;
    reference *reference;
    lists *lists;
    service *service;
    keeper *keeper; /* NULL: nothing is kept */
    server *server;
    watchdog *watchdog; /* NULL: no service manager asks */
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

static bool open_server(daemon_state *d, char *error) {
    return server_open(&d->server,
                       &(server_options){.url = d->config.listen,
                                         .contexts = d->config.contexts,
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

/* Before anything that could tell a name. */
static bool open_names(const config *c, char *error) {
    unsigned char key[NAME_HASH_KEY_BYTES];
    bool open_to_others = false;
    if (!c->log_hashed) {
        return true;
    }
    if (c->log_key_file == NULL) {
        randombytes_buf(key, sizeof key);
        log_event(LOG_WARNING, "log_key",
                  "names in the log are hashed with a random key: they are others after a restart, "
                  "and adder hash-name cannot find them; give --log-key-file");
    } else if (!name_hash_read_key(c->log_key_file, key, &open_to_others, error, ERROR_BYTES)) {
        return false;
    }
    if (open_to_others) {
        log_event(LOG_WARNING, "file_mode",
                  "%s: others than its owner may open the key of names; chmod 600",
                  c->log_key_file);
    }
    log_hash_names(key);
    sodium_memzero(key, sizeof key);
    return true;
}

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
        log_event(LOG_WARNING, "policy",
                  "the reference is calibrated for window %zu: no evidence is kept for window %zu",
                  benign->evidence.window_rows, c->window_rows);
    }
    if (c->mode == WIRE_OFF) {
        log_event(LOG_WARNING, "policy",
                  "mode off: no verdicts are reached, every decision is allow");
    } else if (c->has_threshold) {
        log_event(LOG_INFO, "policy",
                  "mode %s, action %s: a window of %zu rows or more scoring above %.6g is "
                  "malicious%s",
                  modes[c->mode], actions[c->action], c->fill_min, c->threshold,
                  c->decisions_only ? "; decisions only: scores are bounds" : "");
    } else if (matches) {
        log_event(
            LOG_INFO, "policy",
            "mode %s, action %s: accounts are flagged by their evidence, at most %g of honest "
            "ones in %zu queries",
            modes[c->mode], actions[c->action], benign->false_alarms, benign->queries);
    } else {
        log_event(LOG_WARNING, "policy",
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
    log_event(LOG_INFO, "serving",
              "serving %s (dim %zu, %zu classes, rank %zu) at %s, engine %s%s%s%s, window %zu",
              d->reference->model, r->dim, r->classes, r->rank, c->listen, facts.name,
              facts.note[0] ? " (" : "", facts.note, facts.note[0] ? ")" : "", c->window_rows);
    log_event(LOG_INFO, "account_bytes",
              "an account costs %zu bytes, and %zu for each class it has asked about in its memory",
              facts.bytes_per_slot, facts.bytes_per_block);
    if (c->tf32 && facts.tf32_error > 0.0) {
        log_event(LOG_WARNING, "tf32", "tf32: projections of random rows are off by up to %.2g",
                  facts.tf32_error);
    }
    if (service_rows_max(d->service) < c->rows_max) {
        log_event(LOG_WARNING, "rows_limited",
                  "requests are limited to %zu rows, as many as accounts",
                  service_rows_max(d->service));
    }
    announce_policy(d);
}

/* ---- on the watchdog's thread ---- */

static watchdog_pulse pulse_of(void *host) {
    const daemon_state *d = host;
    metrics_now now = {0};
    service_look(d->service, &now);
    return (watchdog_pulse){.steps = now.queue_takes, .busy = now.queue_busy};
}

/* ---- */

static void tell_manager_ready(daemon_state *d) {
    uint64_t interval_us = notify_watchdog_us();
    int told = notify_ready();
    if (told < 0) {
        log_event(LOG_WARNING, "manager", "the service manager could not be told: %s",
                  strerror(-told));
    }
    if (told > 0 && interval_us > 0) {
        d->watchdog = watchdog_open(&(watchdog_options){
            .interval_us = interval_us, .host = d, .look = pulse_of, .tell = notify_alive});
        if (d->watchdog == NULL) {
            log_event(LOG_WARNING, "manager", "no thread to be had for the watchdog");
        }
    }
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
    if (!open_names(&d->config, error) || !open_admin(d, error) ||
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

static bool open_log(const config *c) {
    return log_open(&(log_options){.format = c->log_format,
                                   .level = c->log_level,
                                   .file = STDERR_FILENO,
                                   .audit_per_s = c->audit_per_s});
}

static void close_all(daemon_state *d) {
    admin_close(d->admin); /* it asks the others */
    server_close(d->server);
    keeper_close(d->keeper);
    service_close(d->service);
    lists_close(d->lists);
    reference_close(d->reference);
    metrics_close(d->metrics);
    log_close();
}

int main(int argc, char **argv) {
    daemon_state d = {0};
    char error[ERROR_BYTES];
    catch_signals();
    config_parse(&d.config, argc, argv);
    if (!open_log(&d.config)) {
        log_event(LOG_ERROR, "failed", "no thread to be had for the log");
        return EXIT_FAILURE;
    }
    if (!open_all(&d, error)) {
        log_event(LOG_ERROR, "failed", "%s", error);
        close_all(&d);
        return EXIT_FAILURE;
    }
    announce(&d);
    atomic_store(&d.stage, SERVING);
    tell_manager_ready(&d);
    while (sem_wait(&leave) != 0) {
    }
    log_event(LOG_INFO, "draining", "ending: answering what was accepted");
    atomic_store(&d.stage, DRAINING);
    watchdog_close(d.watchdog); /* from here on it has a limit of its own */
    notify_stopping();
    service_end(d.service);
    server_drain(d.server);
    keeper_finish(d.keeper);
    close_all(&d);
    return EXIT_SUCCESS;
}

/*
 * adderd.c - the daemon: opens the house, takes the signals to reload and to leave, and closes it
 * in order.
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
#include "front.h"
#include "log.h"
#include "metrics.h"
#include "models.h"
#include "server.h"
#include "transport.h"

enum { ERROR_BYTES = PATH_MAX + 512 }; /* a path and what is wrong with it */

/* For the admin port's thread: what it may read of the rest. */
typedef enum { LOADING, SERVING, DRAINING } stage;

typedef struct {
    config_flags flags;
    config *config;
    int ipc_mode;
    atomic_int stage; /* past LOADING, front and server are open */
    atomic_size_t reloads, reloads_failed;
    metrics *metrics; /* NULL: no admin port */
    admin *admin;
    front *front;
    models *models;
    server *server;
} daemon_state;

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
        front_look(d->front, now);
        now->in_flight = server_in_flight(d->server);
        now->connections_refused = server_connections_refused(d->server);
        now->reloads = atomic_load(&d->reloads);
        now->reloads_failed = atomic_load(&d->reloads_failed);
    }
}

/* ---- opening and closing ---- */

static bool read_secret(const config *c, unsigned char secret[POISON_SECRET_BYTES], char *error) {
    if (c->secret_file == NULL || config_read_secret(c->secret_file, secret, error, ERROR_BYTES)) {
        return true;
    }
    config_blame(c, 0, "secret-file", error, ERROR_BYTES);
    return false;
}

static bool read_token(const config *c, char token[ADMIN_TOKEN_MAX + 1], char *error) {
    token[0] = '\0';
    if (c->admin_token_file == NULL ||
        admin_read_token(c->admin_token_file, token, error, ERROR_BYTES)) {
        return true;
    }
    config_blame(c, 0, "admin-token-file", error, ERROR_BYTES);
    return false;
}

/* Before the references are loaded, so that who asks is told so. */
static bool open_admin(daemon_state *d, char *error) {
    char token[ADMIN_TOKEN_MAX + 1];
    if (d->config->admin == NULL) {
        return true;
    }
    d->metrics = metrics_open();
    if (d->metrics == NULL) {
        snprintf(error, ERROR_BYTES, "out of memory");
        return false;
    }
    bool opened = read_token(d->config, token, error) &&
                  admin_open(&d->admin,
                             &(admin_options){.address = d->config->admin,
                                              .token = token,
                                              .metrics = d->metrics,
                                              .host = d,
                                              .unready = why_unready,
                                              .look = look},
                             error, ERROR_BYTES);
    sodium_memzero(token, sizeof token);
    return opened;
}

static bool open_models(daemon_state *d, char *error) {
    unsigned char secret[POISON_SECRET_BYTES];
    const config *c = d->config;
    d->front = front_open(
        &(front_options){.contexts = c->contexts, .rows_max = c->rows_max, .metrics = d->metrics});
    if (d->front == NULL) {
        snprintf(error, ERROR_BYTES, "out of memory for requests of %zu rows", c->rows_max);
        return false;
    }
    bool opened = read_secret(c, secret, error) &&
                  models_open(&d->models,
                              &(models_options){.config = c,
                                                .secret = c->secret_file ? secret : NULL,
                                                .metrics = d->metrics,
                                                .front = d->front},
                              error, ERROR_BYTES);
    sodium_memzero(secret, sizeof secret);
    return opened;
}

static bool check_transport(daemon_state *d, transport_options *options, char *error) {
    const config *c = d->config;
    *options = (transport_options){.listen = c->listen,
                                   .tls = c->tls,
                                   .ipc_mode = c->ipc_mode,
                                   .connections_max = c->connections_max};
    return transport_check(options, &d->ipc_mode, error, ERROR_BYTES);
}

static bool open_server(daemon_state *d, char *error) {
    const config *c = d->config;
    size_t connection_calls =
        c->connection_requests_max < c->contexts ? c->connection_requests_max : c->contexts;
    return server_open(&d->server,
                       &(server_options){.url = d->config->listen,
                                         .tls = d->config->tls,
                                         .ipc_mode = d->ipc_mode,
                                         .contexts = d->config->contexts,
                                         .connection_calls_max = connection_calls,
                                         .message_bytes_max = models_message_bytes_max(d->models),
                                         .connections_max = d->config->connections_max,
                                         .host = d->front,
                                         .begin = front_begin,
                                         .work = front_work,
                                         .encode = front_encode},
                       error, ERROR_BYTES);
}

static bool open_all(daemon_state *d, char *error) {
    transport_options transport;
    if (!check_transport(d, &transport, error)) {
        return false;
    }
    transport_prepare(&transport);
    return open_admin(d, error) && open_models(d, error) && open_server(d, error);
}

static void close_all(daemon_state *d) {
    admin_close(d->admin); /* it asks the others */
    server_close(d->server);
    models_close(d->models);
    front_close(d->front);
    metrics_close(d->metrics);
    config_close(d->config);
}

/* ---- signals ---- */

/* OpenBLAS starts its threads before main, with every signal open, so blocking and sigwait cannot
 * keep a signal from them: a handler can. It may run on any thread; sem_post is allowed in it, and
 * what it posts must be global, as what it says. */
static sem_t came;
static atomic_bool to_leave, to_reload;

static void on_signal(int number) {
    int error = errno;
    atomic_store(number == SIGHUP ? &to_reload : &to_leave, true);
    sem_post(&came);
    errno = error;
}

static void catch_signals(void) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    sem_init(&came, 0, 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* All of a new configuration, or nothing of it. */
static void reload(daemon_state *d) {
    char error[ERROR_BYTES];
    config *new;
    bool taken = config_load(&new, &d->flags, error, sizeof error) &&
                 models_reload(d->models, new, error, sizeof error);
    if (!taken) {
        config_close(new);
        atomic_fetch_add(&d->reloads_failed, 1);
        log_line(LOG_ERROR, "reload refused, nothing has changed: %s", error);
        return;
    }
    config_close(d->config);
    d->config = new;
    atomic_fetch_add(&d->reloads, 1);
    log_line(LOG_INFO, "reloaded");
    models_announce(d->models);
}

static void serve(daemon_state *d) {
    while (!atomic_load(&to_leave)) {
        if (atomic_exchange(&to_reload, false)) {
            reload(d);
        }
        while (sem_wait(&came) != 0) {
        }
    }
}

/* ---- */

static bool check_tls(const config *c, char *error) {
    nng_tls_config *tls;
    char text[TLS_ERROR_BYTES];
    if (!tls_given(&c->tls)) {
        return true;
    }
    if (!tls_open(&tls, NNG_TLS_MODE_SERVER, &c->tls, c->listen, text)) {
        snprintf(error, ERROR_BYTES, "%s", text);
        return false;
    }
    nng_tls_config_free(tls);
    return true;
}

/* As the daemon would at its start, but for what it opens. */
static bool check(daemon_state *d, char *error) {
    const config *c = d->config;
    transport_options transport;
    unsigned char secret[POISON_SECRET_BYTES];
    char token[ADMIN_TOKEN_MAX + 1];
    bool good = check_transport(d, &transport, error) && check_tls(c, error) &&
                read_secret(c, secret, error) && read_token(c, token, error) &&
                models_check(c, error, ERROR_BYTES);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(token, sizeof token);
    return good;
}

static bool inspect(daemon_state *d, char *error) {
    if (d->flags.task == CONFIG_CHECK) {
        if (!check(d, error)) {
            return false;
        }
        printf("the configuration is good: %zu model%s\n", d->config->models,
               d->config->models == 1 ? "" : "s");
        return true;
    }
    snprintf(error, ERROR_BYTES, "the configuration could not be written");
    return config_print(d->config, stdout);
}

static bool run(daemon_state *d, char *error) {
    if (sodium_init() < 0) {
        snprintf(error, ERROR_BYTES, "libsodium could not start");
        return false;
    }
    if (!config_load(&d->config, &d->flags, error, ERROR_BYTES)) {
        return false;
    }
    if (d->flags.task != CONFIG_SERVE) {
        return inspect(d, error);
    }
    if (!open_all(d, error)) {
        return false;
    }
    models_announce(d->models);
    atomic_store(&d->stage, SERVING);
    serve(d);
    log_line(LOG_INFO, "ending: answering what was accepted");
    atomic_store(&d->stage, DRAINING);
    front_end(d->front);
    server_drain(d->server);
    models_finish(d->models);
    return true;
}

int main(int argc, char **argv) {
    daemon_state d = {0};
    char error[ERROR_BYTES];
    catch_signals();
    config_parse(&d.flags, argc, argv);
    bool good = run(&d, error);
    if (!good) {
        log_line(LOG_ERROR, "%s", error);
    }
    close_all(&d);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

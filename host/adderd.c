/*
 * adderd.c - the daemon: opens the house, takes the signals to reload and to leave, and closes it
 * in order.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
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
#include "front.h"
#include "log.h"
#include "metrics.h"
#include "models.h"
#include "name_hash.h"
#include "notify.h"
#include "server.h"
#include "transport.h"
#include "watchdog.h"

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
    watchdog *watchdog; /* NULL: no service manager asks */
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

static bool hello(void *host, wire_hello *out) {
    daemon_state *d = host;
    bool known = atomic_load(&d->stage) != LOADING;
    if (known) {
        front_hello(d->front, out);
    }
    return known;
}

static bool visit(void *host, const char *model, service_visitor visitor, void *context) {
    daemon_state *d = host;
    return front_visit(d->front, model, visitor, context);
}

/* ---- on the watchdog's thread ---- */

static_assert((int)WATCHDOG_PARTS_MAX >= (int)WIRE_MODELS_MAX, "each model is a part");

static size_t look_at_pulses(void *host, watchdog_pulse pulse[WATCHDOG_PARTS_MAX]) {
    const daemon_state *d = host;
    metrics_now now = {0};
    front_look(d->front, &now);
    for (size_t i = 0; i < now.models; i++) {
        pulse[i] = (watchdog_pulse){now.model[i].queue_takes, now.model[i].queue_busy};
    }
    return now.models;
}

/* ---- opening and closing ---- */

static bool open_log(const config *c, char *error) {
    bool opened = log_open(&(log_options){.format = c->log_format,
                                          .level = c->log_level,
                                          .file = STDERR_FILENO,
                                          .audit_per_s = c->audit_per_s});
    if (!opened) {
        snprintf(error, ERROR_BYTES, "no thread to be had for the log");
    }
    return opened;
}

static bool read_name_key(const config *c, unsigned char key[NAME_HASH_KEY_BYTES], char *error) {
    bool open_to_others = false;
    if (c->log_key_file == NULL) {
        randombytes_buf(key, NAME_HASH_KEY_BYTES);
        return true;
    }
    if (!name_hash_read_key(c->log_key_file, key, &open_to_others, error, ERROR_BYTES)) {
        config_blame(c, 0, "log-key-file", error, ERROR_BYTES);
        return false;
    }
    if (open_to_others) {
        log_event(LOG_WARNING, "file_mode", "%s: others than its owner may open the key; chmod 600",
                  c->log_key_file);
    }
    return true;
}

/* Before anything that could tell a name. */
static bool open_names(const config *c, char *error) {
    unsigned char key[NAME_HASH_KEY_BYTES];
    if (c->log_names == 0) {
        return true;
    }
    if (!read_name_key(c, key, error)) {
        return false;
    }
    if (c->log_key_file == NULL) {
        log_event(LOG_WARNING, "log_key",
                  "names in the log are hashed with a random key: they are others after a restart, "
                  "and adder hash-name cannot find them; give --log-key-file");
    }
    log_hash_names(key);
    sodium_memzero(key, sizeof key);
    return true;
}

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
                                              .look = look,
                                              .hello = hello,
                                              .visit = visit},
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
    if (!open_log(d->config, error) || !open_names(d->config, error) ||
        !check_transport(d, &transport, error)) {
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
    log_close();
}

/* ---- the service manager ---- */

static void tell_manager(int told) {
    if (told < 0) {
        log_event(LOG_WARNING, "manager", "the service manager could not be told: %s",
                  strerror(-told));
    }
}

static void open_watchdog(daemon_state *d) {
    uint64_t interval_us = notify_watchdog_us();
    if (interval_us == 0) {
        return;
    }
    d->watchdog = watchdog_open(&(watchdog_options){
        .interval_us = interval_us, .host = d, .look = look_at_pulses, .tell = notify_alive});
    if (d->watchdog == NULL) {
        log_event(LOG_WARNING, "manager", "no thread to be had for the watchdog");
    }
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
    tell_manager(notify_reloading());
    bool taken = config_load(&new, &d->flags, error, sizeof error) &&
                 models_reload(d->models, new, error, sizeof error);
    if (!taken) {
        config_close(new);
        atomic_fetch_add(&d->reloads_failed, 1);
        log_event(LOG_ERROR, "reload_refused", "reload refused, nothing has changed: %s", error);
        return;
    }
    config_close(d->config);
    d->config = new;
    atomic_fetch_add(&d->reloads, 1);
    log_event(LOG_INFO, "reloaded", "reloaded");
    models_announce(d->models);
}

static void serve(daemon_state *d) {
    while (!atomic_load(&to_leave)) {
        if (atomic_exchange(&to_reload, false)) {
            reload(d);
            tell_manager(notify_ready());
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
    unsigned char key[NAME_HASH_KEY_BYTES];
    bool good = check_transport(d, &transport, error) && check_tls(c, error) &&
                read_secret(c, secret, error) && read_token(c, token, error) &&
                read_name_key(c, key, error) && models_check(c, error, ERROR_BYTES);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(token, sizeof token);
    sodium_memzero(key, sizeof key);
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
    tell_manager(notify_ready());
    open_watchdog(d);
    serve(d);
    log_event(LOG_INFO, "draining", "ending: answering what was accepted");
    atomic_store(&d->stage, DRAINING);
    watchdog_close(d->watchdog); /* the end has a limit of its own there */
    tell_manager(notify_stopping());
    front_end(d->front);
    server_drain(d->server);
    models_finish(d->models);
    return true;
}

/* Who starts us with one of them closed would have the log, or the child of a snapshot, write into
 * whatever is opened next. */
static void hold_standard_files(void) {
    int file = STDIN_FILENO;
    while (file >= 0 && file <= STDERR_FILENO) {
        file = open("/dev/null", O_RDWR); /* the lowest that is free */
    }
    if (file > STDERR_FILENO) {
        close(file);
    }
}

int main(int argc, char **argv) {
    daemon_state d = {0};
    char error[ERROR_BYTES];
    hold_standard_files();
    catch_signals();
    config_parse(&d.flags, argc, argv);
    bool good = run(&d, error);
    if (!good) {
        log_event(LOG_ERROR, "failed", "%s", error);
    }
    close_all(&d);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/*
 * admin.c - libmicrohttpd with one polling thread; see admin.h.
 */
#include "admin.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>
#include <sodium.h>

#include "api.h"
#include "endpoint.h"
#include "log.h"
#include "page.h"
#include "private_file.h"

enum { SCHEME_LENGTH = 7 /* "Bearer " */ };

struct admin {
    admin_options options;
    api *api;
    bool has_token;
    bool for_loopback; /* answers only who calls it by a name of this machine's own */
    unsigned char token_hash[crypto_generichash_BYTES];
    struct MHD_Daemon *http;
    /* Of its thread: open connections, oldest first. */
    int connection[ADMIN_CONNECTIONS_MAX];
    size_t connections;
};

/* ---- connections ---- */

static int socket_of(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static void forget_connection(admin *a, int fd) {
    for (size_t i = 0; i < a->connections; i++) {
        if (a->connection[i] == fd) {
            a->connections--;
            memmove(&a->connection[i], &a->connection[i + 1],
                    (a->connections - i) * sizeof *a->connection);
            return;
        }
    }
}

/* libmicrohttpd bounds how long a connection is silent, not how long it lives, and accepts none
 * while all places are taken: so one place is kept free. */
static void on_connection(void *argument, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    (void)context;
    admin *a = argument;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        forget_connection(a, socket_of(connection));
        return;
    }
    assert(a->connections < ADMIN_CONNECTIONS_MAX); /* libmicrohttpd's limit is the same */
    a->connection[a->connections++] = socket_of(connection);
    if (a->connections == ADMIN_CONNECTIONS_MAX) {
        shutdown(a->connection[0], SHUT_RDWR); /* which its next poll tells */
    }
}

/* ---- the token ---- */

static void hash_token(unsigned char hash[crypto_generichash_BYTES], const char *token) {
    crypto_generichash(hash, crypto_generichash_BYTES, (const unsigned char *)token, strlen(token),
                       NULL, 0);
}

/* Of hashes, so that neither the time nor a length tells how much of a guess is right. */
static bool is_authorized(const admin *a, struct MHD_Connection *connection) {
    unsigned char hash[crypto_generichash_BYTES];
    const char *came =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (!a->has_token) {
        return true;
    }
    if (came == NULL || strncasecmp(came, "Bearer ", SCHEME_LENGTH) != 0) {
        return false;
    }
    hash_token(hash, came + SCHEME_LENGTH);
    return sodium_memcmp(hash, a->token_hash, sizeof hash) == 0;
}

/* One line of so many bytes, with or without its end. */
static bool take_token(const char *line, size_t length, char token[ADMIN_TOKEN_MAX + 1]) {
    length -= length > 0 && line[length - 1] == '\n';
    bool good = length > 0 && length <= ADMIN_TOKEN_MAX;
    for (size_t i = 0; good && i < length; i++) {
        good = line[i] > ' ' && line[i] <= '~';
    }
    if (good) {
        memcpy(token, line, length);
        token[length] = '\0';
    }
    return good;
}

bool admin_read_token(const char *path, char token[ADMIN_TOKEN_MAX + 1], char *error,
                      size_t error_bytes) {
    char line[ADMIN_TOKEN_MAX + 1];
    private_file file;
    if (!private_file_read(&file, path, line, sizeof line, error, error_bytes)) {
        return false;
    }
    bool good = take_token(line, file.count, token);
    sodium_memzero(line, sizeof line);
    if (!good) {
        snprintf(error, error_bytes,
                 "%s: expected a file with one line of 1 to %d printable characters, no blanks",
                 path, ADMIN_TOKEN_MAX);
        return false;
    }
    private_file_warn(&file, path, "token");
    return true;
}

/* ---- answers ---- */

/* The page's own files and nothing else, nothing inline; and no other page may frame it. */
#define CONTENT_POLICY                                                                             \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_JSON "application/json"

/* Owns the response; NULL: no memory, and the connection is closed. */
static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status,
                                     struct MHD_Response *response, const char *type) {
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    MHD_add_response_header(response, "Content-Security-Policy", CONTENT_POLICY);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    if (status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"adderd\"");
    }
    enum MHD_Result sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result send_line(struct MHD_Connection *connection, unsigned status,
                                 const char *words) {
    char line[128];
    int length = snprintf(line, sizeof line, "%s\n", words);
    assert(length > 0 && (size_t)length < sizeof line);
    return send_response(
        connection, status,
        MHD_create_response_from_buffer((size_t)length, line, MHD_RESPMEM_MUST_COPY), TEXT_PLAIN);
}

/* Owns the text, which may be NULL. */
static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status, char *text,
                                 size_t bytes, const char *type) {
    if (text == NULL) {
        return send_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(bytes, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
    }
    return send_response(connection, status, response, type);
}

static enum MHD_Result send_json(struct MHD_Connection *connection, api_answer answer) {
    return send_text(connection, answer.status, answer.text,
                     answer.text != NULL ? strlen(answer.text) : 0, TEXT_JSON);
}

static bool is_api(const char *path) {
    return strncmp(path, "/api/", 5) == 0;
}

/* In the words of whom it goes to. */
static enum MHD_Result send_refusal(struct MHD_Connection *connection, const char *path,
                                    unsigned status, const char *words) {
    return is_api(path) ? send_json(connection, api_error(status, words))
                        : send_line(connection, status, words);
}

static enum MHD_Result answer_livez(const admin *a, struct MHD_Connection *connection) {
    (void)a;
    return send_line(connection, MHD_HTTP_OK, "ok");
}

static enum MHD_Result answer_readyz(const admin *a, struct MHD_Connection *connection) {
    const char *reason = a->options.unready(a->options.host);
    return reason == NULL ? send_line(connection, MHD_HTTP_OK, "ok")
                          : send_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, reason);
}

static enum MHD_Result answer_metrics(const admin *a, struct MHD_Connection *connection) {
    metrics_now now = {0};
    size_t bytes = 0;
    a->options.look(a->options.host, &now);
    char *text = metrics_text(a->options.metrics, &now, &bytes);
    return send_text(connection, MHD_HTTP_OK, text, bytes, TEXT_METRICS);
}

static enum MHD_Result answer_file(struct MHD_Connection *connection, const page_file *file) {
    /* The bytes are the program's own, which libmicrohttpd takes as not const. */
    return send_response(connection, MHD_HTTP_OK,
                         MHD_create_response_from_buffer(
                             file->count, (void *)(uintptr_t)file->bytes, MHD_RESPMEM_PERSISTENT),
                         file->type);
}

static enum MHD_Result take_parameter(void *context, enum MHD_ValueKind kind, const char *name,
                                      const char *value) {
    (void)kind;
    return query_take(context, name, value) ? MHD_YES : MHD_NO;
}

static enum MHD_Result answer_api(const admin *a, struct MHD_Connection *connection,
                                  const char *path) {
    query query = {0};
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_parameter, &query);
    return send_json(connection, api_get(a->api, path, &query));
}

static const struct {
    const char *path;
    bool open; /* without a token, and by whatever name */
    enum MHD_Result (*answer)(const admin *admin, struct MHD_Connection *connection);
} pages[] = {
    {"/livez", true, answer_livez},
    {"/readyz", true, answer_readyz},
    {"/metrics", false, answer_metrics},
};
enum { PAGES = sizeof pages / sizeof *pages };

/* Any of 127.0.0.0/8, at each of which the port may have been opened. */
static bool is_loopback_address(const char *host) {
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    size_t length = strcspn(host, ":");
    if (length >= sizeof text) {
        return false;
    }
    memcpy(text, host, length);
    text[length] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The host's name of "NAME", "NAME:PORT" or "[ADDRESS]:PORT" is one that only this machine itself
 * can have answered to. */
static bool is_own_name(const char *host) {
    static const char *const names[] = {"localhost", "[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (strncasecmp(host, names[i], length) == 0 &&
            (host[length] == '\0' || host[length] == ':')) {
            return true;
        }
    }
    return is_loopback_address(host);
}

/* A page of somebody else's, in a browser on this machine, could give its own name this machine's
 * address (DNS rebinding), and then read from here what is meant for nobody but the machine's
 * users. Such a request bears that name. Where there is a token, the page has not got it. */
static bool is_called_rightly(const admin *a, struct MHD_Connection *connection) {
    const char *host =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    return !a->for_loopback || host == NULL || is_own_name(host);
}

/* Which paths there are is told to nobody without the token, but for the page's files, which hold
 * nothing of the daemon's. */
static enum MHD_Result on_request(void *argument, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_bytes, void **context) {
    (void)version, (void)body, (void)body_bytes, (void)context;
    const admin *a = argument;
    const page_file *file = page_find(path);
    size_t at = 0;
    while (at < PAGES && strcmp(path, pages[at].path) != 0) {
        at++;
    }
    bool probe = at < PAGES && pages[at].open;
    if (!probe && !is_called_rightly(a, connection)) {
        return send_refusal(connection, path, MHD_HTTP_MISDIRECTED_REQUEST,
                            "expected localhost, an address 127.x.x.x or [::1] as the host's name");
    }
    if (!probe && file == NULL && !is_authorized(a, connection)) {
        return send_refusal(connection, path, MHD_HTTP_UNAUTHORIZED, "expected the admin token");
    }
    if (at == PAGES && file == NULL && !is_api(path)) {
        return send_line(connection, MHD_HTTP_NOT_FOUND,
                         "not found: /, /livez, /readyz, /metrics, /api/info");
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        return send_refusal(connection, path, MHD_HTTP_METHOD_NOT_ALLOWED, "expected GET or HEAD");
    }
    return file != NULL ? answer_file(connection, file)
           : at < PAGES ? pages[at].answer(a, connection)
                        : answer_api(a, connection, path);
}

/* ---- opening and closing ---- */

/* Paths are compared and parameters decoded as they came: libmicrohttpd's own decoding lets pass
 * what is malformed. */
static size_t leave_encoded(void *argument, struct MHD_Connection *connection, char *text) {
    (void)argument, (void)connection;
    return strlen(text);
}

static struct MHD_Daemon *start(admin *a, int fd) {
    return MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, a,
                            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)ADMIN_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)ADMIN_CONNECTION_BYTES_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)ADMIN_IDLE_S, MHD_OPTION_NOTIFY_CONNECTION, on_connection, a,
                            MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL, MHD_OPTION_END);
}

bool admin_open(admin **out, const admin_options *options, char *error, size_t error_bytes) {
    endpoint at;
    *out = NULL;
    admin *a = calloc(1, sizeof *a);
    if (a == NULL) {
        snprintf(error, error_bytes, "admin port: out of memory");
        return false;
    }
    a->options = *options;
    a->has_token = options->token[0] != '\0';
    hash_token(a->token_hash, options->token);
    a->options.address = a->options.token = NULL; /* the caller's, not kept */
    if (!endpoint_listen(&at, options->address, error, error_bytes)) {
        free(a);
        return false;
    }
    a->for_loopback = at.loopback && !a->has_token;
    a->api = api_open(&(api_options){.metrics = options->metrics,
                                     .host = options->host,
                                     .unready = options->unready,
                                     .look = options->look,
                                     .hello = options->hello,
                                     .visit = options->visit});
    a->http = a->api != NULL ? start(a, at.fd) : NULL;
    if (a->http == NULL) {
        snprintf(error, error_bytes, "admin port %s: the HTTP server did not start", at.text);
        close(at.fd);
        api_close(a->api);
        free(a);
        return false;
    }
    log_event(LOG_INFO, "admin", "admin port at http://%s%s", at.text,
              a->has_token ? ", with a token" : "");
    if (!at.loopback && !a->has_token) {
        log_event(LOG_WARNING, "admin_open",
                  "the admin port can be reached from other machines, and asks for no "
                  "token; give --admin-token-file");
    }
    *out = a;
    return true;
}

void admin_close(admin *a) {
    if (a == NULL) {
        return;
    }
    MHD_stop_daemon(a->http);
    api_close(a->api);
    sodium_memzero(a->token_hash, sizeof a->token_hash);
    free(a);
}

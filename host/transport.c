/*
 * transport.c - see transport.h.
 */
#include "transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "log.h"
#include "private_file.h"

enum {
    MODE_MAX = 0777,
    KEY_BYTES_MAX = 1 << 16,
    FILES_SPARE = 256, /* besides connections: NNG's, the admin port's, a snapshot's, a device's */
};

static const char tcp_scheme[] = "tcp://";
static const char ipc_scheme[] = "ipc://";

static bool has_scheme(const char *url, const char *scheme) {
    return strncmp(url, scheme, strlen(scheme)) == 0;
}

/* Names other than localhost may be anybody's, so they count as open. */
bool transport_is_open(const char *url) {
    static const char *const loopback[] = {"127.", "localhost:", "[::1]:"};
    if (!has_scheme(url, tcp_scheme)) {
        return false;
    }
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        if (has_scheme(url + strlen(tcp_scheme), loopback[i])) {
            return false;
        }
    }
    return true;
}

static bool read_mode(const transport_options *o, int *mode, char *error, size_t error_bytes) {
    char *end = NULL;
    *mode = 0;
    if (o->ipc_mode == NULL) {
        return true;
    }
    if (!has_scheme(o->listen, ipc_scheme)) {
        snprintf(error, error_bytes, "--ipc-mode: expected with ipc://PATH alone, came with %s",
                 o->listen);
        return false;
    }
    long value = strtol(o->ipc_mode, &end, 8);
    bool octal = o->ipc_mode[0] >= '0' && o->ipc_mode[0] <= '7' && *end == '\0';
    if (!octal || value < 0600 || value > MODE_MAX || (value & 0600) != 0600) {
        snprintf(error, error_bytes,
                 "--ipc-mode: expected octal 600 to 777 that lets the owner read and write, came "
                 "'%.16s'",
                 o->ipc_mode);
        return false;
    }
    *mode = (int)value;
    return true;
}

bool transport_check(const transport_options *o, int *ipc_mode, char *error, size_t error_bytes) {
    char text[TLS_ERROR_BYTES];
    if (!tls_check(&o->tls, o->listen, "--tls-", text)) {
        snprintf(error, error_bytes, "%s", text);
        return false;
    }
    return read_mode(o, ipc_mode, error, error_bytes);
}

/* The limit that a shell gives is often 1,024, and a daemon that cannot accept says nothing. */
static void raise_files(size_t connections_max) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections_max + FILES_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        log_event(LOG_WARNING, "files",
                  "%zu connections need %llu open files, and %llu are allowed: raise the limit "
                  "(ulimit -n, LimitNOFILE) or lower --max-connections",
                  connections_max, (unsigned long long)wanted, (unsigned long long)limit.rlim_cur);
    }
}

static void warn_of_key(const char *path) {
    static char bytes[KEY_BYTES_MAX];
    char error[TLS_ERROR_BYTES];
    private_file file;
    if (private_file_read(&file, path, bytes, sizeof bytes, error, sizeof error)) {
        private_file_warn(&file, path, "key");
    }
    explicit_bzero(bytes, sizeof bytes);
}

void transport_prepare(const transport_options *o) {
    raise_files(o->connections_max);
    if (o->tls.key_file != NULL) {
        warn_of_key(o->tls.key_file);
    }
    if (transport_is_open(o->listen)) {
        log_event(LOG_WARNING, "unencrypted",
                  "%s: accounts and embeddings cross the network unencrypted, and anybody who can "
                  "connect is answered; use tls+tcp://",
                  o->listen);
    }
}

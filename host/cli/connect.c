/*
 * connect.c - see connect.h.
 */
#include "connect.h"

enum { KEY_CA = 2000, KEY_CERT, KEY_KEY, KEY_NAME };

static const struct argp_option options[] = {
    {"tls-ca", KEY_CA, "FILE", 0, "tls+tcp: who signed the daemon's certificate (PEM)", 3},
    {"tls-cert", KEY_CERT, "FILE", 0, "tls+tcp: our certificate (PEM)", 3},
    {"tls-key", KEY_KEY, "FILE", 0, "tls+tcp: its key, unencrypted (PEM)", 3},
    {"tls-name", KEY_NAME, "NAME", 0,
     "tls+tcp: what the daemon's certificate is for (the URL's host)", 3},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    connect_tls *tls = state->input;
    switch (key) {
    case KEY_CA:
        tls->ca_file = value;
        break;
    case KEY_CERT:
        tls->cert_file = value;
        break;
    case KEY_KEY:
        tls->key_file = value;
        break;
    case KEY_NAME:
        tls->server_name = value;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {.options = options, .parser = parse_option};
const struct argp_child connect_children[] = {{&argp, 0, NULL, 0}, {0}};

adder_options connect_options(const connect_tls *tls, size_t timeout_ms) {
    return (adder_options){.timeout_ms = (int)timeout_ms,
                           .tls_ca_file = tls->ca_file,
                           .tls_cert_file = tls->cert_file,
                           .tls_key_file = tls->key_file,
                           .tls_server_name = tls->server_name};
}

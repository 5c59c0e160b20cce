/*
 * connect.c - see connect.h.
 */
#include "connect.h"

#include "arguments.h"
#include "cli.h"

enum { KEY_MODEL = 'm', KEY_CA = 2000, KEY_CERT, KEY_KEY, KEY_NAME };

static const struct argp_option options[] = {
    {"connect", 'u', "URL", 0, "The daemon", 1},
    {"timeout", 't', "MS", 0, "For an answer (5000)", 1},
    {"model", KEY_MODEL, "MODEL", 0, "Which one, where several are served", 2},
    {"tls-ca", KEY_CA, "FILE", 0, "tls+tcp: who signed the daemon's certificate (PEM)", 3},
    {"tls-cert", KEY_CERT, "FILE", 0, "tls+tcp: our certificate (PEM)", 3},
    {"tls-key", KEY_KEY, "FILE", 0, "tls+tcp: its key, unencrypted (PEM)", 3},
    {"tls-name", KEY_NAME, "NAME", 0,
     "tls+tcp: what the daemon's certificate is for (the URL's host)", 3},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    connect_flags *flags = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        flags->timeout_ms = ADDER_TIMEOUT_MS_DEFAULT;
        break;
    case 'u':
        flags->url = value;
        break;
    case 't':
        flags->timeout_ms = arguments_count(state, "timeout", value, 1, CLI_TIMEOUT_MS_MAX);
        break;
    case KEY_MODEL:
        flags->model = value;
        break;
    case KEY_CA:
        flags->ca_file = value;
        break;
    case KEY_CERT:
        flags->cert_file = value;
        break;
    case KEY_KEY:
        flags->key_file = value;
        break;
    case KEY_NAME:
        flags->server_name = value;
        break;
    case ARGP_KEY_END:
        if (flags->url == NULL) {
            argp_error(state, "--connect is needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {.options = options, .parser = parse_option};
const struct argp_child connect_children[] = {{&argp, 0, NULL, 0}, {0}};

adder_options connect_options(const connect_flags *flags) {
    return (adder_options){.timeout_ms = (int)flags->timeout_ms,
                           .model = flags->model,
                           .tls_ca_file = flags->ca_file,
                           .tls_cert_file = flags->cert_file,
                           .tls_key_file = flags->key_file,
                           .tls_server_name = flags->server_name};
}

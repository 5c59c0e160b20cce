/*
 * config.c - one argp table.
 */
#include "config.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "engine.h"
#include "keeper.h"
#include "private_file.h"
#include "server.h"
#include "service.h"
#include "verdict.h"

enum {
    ACCOUNTS_DEFAULT = 16384,
    CONTEXTS_DEFAULT = 256,
    CONNECTIONS_DEFAULT = 4096,
    CONNECTIONS_MAX = 1 << 20,
    QUEUE_ROWS_DEFAULT = 8 * SERVICE_ROWS_DEFAULT,
    QUEUE_ROWS_MAX = 1 << 26,
    RELEASE_MAX = 1 << 30,
};

#define THRESHOLD_MAX 1e30

enum {
    KEY_REFERENCE = 'r',
    KEY_LISTEN = 'l',
    KEY_WINDOW = 'w',
    KEY_THRESHOLD = 't',
    KEY_MEMORY_RANK = 1000,
    KEY_HALF_LIFE,
    KEY_FILL_MIN,
    KEY_ACCOUNTS,
    KEY_ROWS,
    KEY_QUEUE_ROWS,
    KEY_CONTEXTS,
    KEY_CONNECTIONS,
    KEY_ENGINE,
    KEY_THREADS,
    KEY_TF32,
    KEY_OUTPUT,
    KEY_POISON,
    KEY_SECRET,
    KEY_MODE,
    KEY_ACTION,
    KEY_RELEASE,
    KEY_ALLOW,
    KEY_DENY,
    KEY_ALLOW_GROUPS,
    KEY_DENY_GROUPS,
    KEY_DECISIONS_ONLY,
    KEY_ADMIN,
    KEY_ADMIN_TOKEN,
    KEY_SNAPSHOT,
    KEY_SNAPSHOT_EVERY,
    KEY_TLS_CA,
    KEY_TLS_CERT,
    KEY_TLS_KEY,
    KEY_IPC_MODE,
    KEY_CONNECTION_REQUESTS,
};

static const struct argp_option options[] = {
    {"reference", KEY_REFERENCE, "DIR", 0, "the model's reference (needed)", 1},
    {"listen", KEY_LISTEN, "URL", 0, "ipc://PATH, tcp://HOST:PORT or tls+tcp://HOST:PORT (needed)",
     1},
    {"tls-ca", KEY_TLS_CA, "FILE", 0,
     "tls+tcp: who signs clients' certificates, without one of which nobody is answered (PEM)", 1},
    {"tls-cert", KEY_TLS_CERT, "FILE", 0, "tls+tcp: the daemon's certificate and its chain (PEM)",
     1},
    {"tls-key", KEY_TLS_KEY, "FILE", 0, "tls+tcp: its key, unencrypted (PEM)", 1},
    {"ipc-mode", KEY_IPC_MODE, "OCTAL", 0, "ipc: who may connect, as the socket's mode (600)", 1},
    {"window", KEY_WINDOW, "ROWS", 0, "rows of an account that are scored together", 2},
    {"threshold", KEY_THRESHOLD, "SCORE", 0,
     "decide by windows alone: a score above this is malicious (by the account's evidence, where "
     "the reference has been calibrated for this window)",
     2},
    {"decisions-only", KEY_DECISIONS_ONLY, NULL, 0,
     "with a threshold: decide without working out scores, which are then bounds on the "
     "threshold's "
     "same side; no memory and no excess",
     2},
    {"min-fill", KEY_FILL_MIN, "ROWS", 0,
     "a window of fewer rows is warming (and at most: the window)", 2},
    {"memory-rank", KEY_MEMORY_RANK, "Q", 0, "leading dimensions of the memory; 0 is off", 2},
    {"half-life", KEY_HALF_LIFE, "ROWS", 0, "of the memory; 0 never forgets", 2},
    {"mode", KEY_MODE, "MODE", 0,
     "enforce (default), shadow (verdicts are reached and told, every decision is allow) or off",
     3},
    {"action", KEY_ACTION, "ACTION", 0,
     "for rows of who is flagged: poison (default), label_only, or flag (only said)", 3},
    {"release-after", KEY_RELEASE, "QUERIES", 0,
     "clean queries in a row that free a flagged account; 0: none do (1000)", 3},
    {"allow", KEY_ALLOW, "FILE", 0, "accounts that are never flagged, a name a line", 3},
    {"deny", KEY_DENY, "FILE", 0, "accounts that always are", 3},
    {"allow-groups", KEY_ALLOW_GROUPS, "FILE", 0, "groups that flag none of their accounts", 3},
    {"deny-groups", KEY_DENY_GROUPS, "FILE", 0, "groups that flag all of them", 3},
    {"output", KEY_OUTPUT, "KIND", 0, "poison is soft (probabilities, default) or hard (a label)",
     3},
    {"poison", KEY_POISON, "KIND", 0,
     "soft poison is plausible (as confident as a network, default) or random (the paper's)", 3},
    {"secret-file", KEY_SECRET, "FILE", 0, "32 bytes that key the poison (random at each start)",
     3},
    {"max-accounts", KEY_ACCOUNTS, "N", 0, "accounts held; the least recently used goes (16384)",
     4},
    {"max-rows", KEY_ROWS, "N", 0, "rows of a request, at most the accounts (8192)", 4},
    {"max-queue-rows", KEY_QUEUE_ROWS, "N", 0, "rows that may wait; more is overloaded (65536)", 4},
    {"contexts", KEY_CONTEXTS, "N", 0,
     "requests at once; of these an eighth only to be refused (256)", 4},
    {"max-connection-requests", KEY_CONNECTION_REQUESTS, "N", 0,
     "of one connection at once; more is overloaded (half of the contexts)", 4},
    {"max-connections", KEY_CONNECTIONS, "N", 0, "connections at once (4096)", 4},
    {"snapshot", KEY_SNAPSHOT, "FILE", 0,
     "restore what was learnt from FILE, or the one before it, FILE.1, and keep it there", 4},
    {"snapshot-every", KEY_SNAPSHOT_EVERY, "SECONDS", 0,
     "write it so often, and at the end; 0: only at the end (60)", 4},
    {"engine", KEY_ENGINE, "NAME", 0, "auto (cuda where a device answers, default), cpu or cuda",
     5},
    {"threads", KEY_THREADS, "N", 0,
     "threads of the cpu engine, or that feed the cuda engine; 0 is all cores (default)", 5},
    {"tf32", KEY_TF32, 0, 0, "cuda: project in TF32; its error is measured and logged", 5},
    {"admin", KEY_ADMIN, "[HOST:]PORT", 0,
     "health and metrics over HTTP (off); without a host at 127.0.0.1, IPv6 in brackets", 6},
    {"admin-token-file", KEY_ADMIN_TOKEN, "FILE", 0,
     "a line that must come with requests for metrics, as a bearer token", 6},
    {0},
};

/* Whether the flag's value is `other` and not `usual`. */
static bool parse_choice(struct argp_state *state, const char *flag, const char *value,
                         const char *usual, const char *other) {
    if (strcmp(value, usual) != 0 && strcmp(value, other) != 0) {
        argp_error(state, "--%s: expected %s or %s, came '%s'", flag, usual, other, value);
    }
    return strcmp(value, other) == 0;
}

/* The number of the value among the choices. */
static int parse_of_three(struct argp_state *state, const char *flag, const char *value,
                          const char *const choice[3]) {
    int at = 0;
    while (at < 3 && strcmp(value, choice[at]) != 0) {
        at++;
    }
    if (at == 3) {
        argp_error(state, "--%s: expected %s, %s or %s, came '%s'", flag, choice[0], choice[1],
                   choice[2], value);
    }
    return at;
}

/* Who looks after the daemon. */
static error_t parse_admin(int key, char *value, struct argp_state *state) {
    config *c = state->input;
    switch (key) {
    case KEY_ADMIN:
        c->admin = value;
        break;
    case KEY_ADMIN_TOKEN:
        c->admin_token_file = value;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Who may connect. */
static error_t parse_transport(int key, char *value, struct argp_state *state) {
    config *c = state->input;
    switch (key) {
    case KEY_TLS_CA:
        c->tls.ca_file = value;
        break;
    case KEY_TLS_CERT:
        c->tls.cert_file = value;
        break;
    case KEY_TLS_KEY:
        c->tls.key_file = value;
        break;
    case KEY_IPC_MODE:
        c->ipc_mode = value;
        break;
    case KEY_CONNECTION_REQUESTS:
        c->connection_requests_max =
            arguments_count(state, "max-connection-requests", value, 1, SERVER_CONTEXTS_MAX);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What is kept across restarts. */
static error_t parse_snapshot(int key, char *value, struct argp_state *state) {
    config *c = state->input;
    switch (key) {
    case KEY_SNAPSHOT:
        c->snapshot = value;
        break;
    case KEY_SNAPSHOT_EVERY:
        c->snapshot_every_s =
            arguments_count(state, "snapshot-every", value, 0, KEEPER_EVERY_S_MAX);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What is done about accounts. */
static error_t parse_policy(int key, char *value, struct argp_state *state) {
    static const char *const modes[] = {"enforce", "shadow", "off"};
    static const char *const actions[] = {"poison", "label_only", "flag"};
    config *c = state->input;
    switch (key) {
    case KEY_MODE:
        c->mode = (wire_mode)parse_of_three(state, "mode", value, modes);
        break;
    case KEY_ACTION:
        c->action = (wire_action)parse_of_three(state, "action", value, actions);
        break;
    case KEY_RELEASE:
        c->release_after = arguments_count(state, "release-after", value, 0, RELEASE_MAX);
        break;
    case KEY_ALLOW:
        c->allow = value;
        break;
    case KEY_DENY:
        c->deny = value;
        break;
    case KEY_ALLOW_GROUPS:
        c->allow_groups = value;
        break;
    case KEY_DENY_GROUPS:
        c->deny_groups = value;
        break;
    default:
        if (parse_admin(key, value, state) == 0 || parse_transport(key, value, state) == 0) {
            return 0;
        }
        return parse_snapshot(key, value, state);
    }
    return 0;
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    config *c = state->input;
    switch (key) {
    case KEY_REFERENCE:
        c->reference = value;
        break;
    case KEY_LISTEN:
        c->listen = value;
        break;
    case KEY_ENGINE:
        c->engine = value;
        break;
    case KEY_TF32:
        c->tf32 = true;
        break;
    case KEY_SECRET:
        c->secret_file = value;
        break;
    case KEY_WINDOW:
        c->window_rows = arguments_count(state, "window", value, 1, ENGINE_WINDOW_MAX);
        break;
    case KEY_MEMORY_RANK:
        c->memory_rank = arguments_count(state, "memory-rank", value, 0, ENGINE_MEMORY_RANK_MAX);
        break;
    case KEY_FILL_MIN:
        c->fill_min = arguments_count(state, "min-fill", value, 1, ENGINE_WINDOW_MAX);
        break;
    case KEY_ACCOUNTS:
        c->accounts_max = arguments_count(state, "max-accounts", value, 1, ENGINE_SLOTS_MAX);
        break;
    case KEY_ROWS:
        c->rows_max = arguments_count(state, "max-rows", value, 1, ENGINE_BATCH_ROWS_MAX);
        break;
    case KEY_QUEUE_ROWS:
        c->queue_rows_max = arguments_count(state, "max-queue-rows", value, 1, QUEUE_ROWS_MAX);
        break;
    case KEY_CONTEXTS:
        c->contexts = arguments_count(state, "contexts", value, 1, SERVER_CONTEXTS_MAX);
        break;
    case KEY_CONNECTIONS:
        c->connections_max = arguments_count(state, "max-connections", value, 1, CONNECTIONS_MAX);
        break;
    case KEY_THREADS:
        c->threads = arguments_count(state, "threads", value, 0, ENGINE_THREADS_MAX);
        break;
    case KEY_HALF_LIFE:
        c->half_life_rows =
            arguments_number(state, "half-life", value, 0.0, REFERENCE_HALF_LIFE_MAX);
        break;
    case KEY_THRESHOLD:
        c->threshold = arguments_number(state, "threshold", value, 0.0, THRESHOLD_MAX);
        c->has_threshold = true;
        break;
    case KEY_DECISIONS_ONLY:
        c->decisions_only = true;
        break;
    case KEY_OUTPUT:
        c->hard_label = parse_choice(state, "output", value, "soft", "hard");
        break;
    case KEY_POISON:
        c->poison = parse_choice(state, "poison", value, "plausible", "random") ? POISON_RANDOM
                                                                                : POISON_PLAUSIBLE;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    case ARGP_KEY_END:
        if (c->reference == NULL || c->listen == NULL) {
            argp_error(state, "%s is needed", c->reference == NULL ? "--reference" : "--listen");
        }
        if (c->admin_token_file != NULL && c->admin == NULL) {
            argp_error(state, "--admin-token-file: expected --admin, whose token it is");
        }
        break;
    default:
        return parse_policy(key, value, state);
    }
    return 0;
}

void config_parse(config *c, int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Serve scores, decisions and poison for one model over NNG request/reply.\v"
               "Flags override what the reference says. Without calibration, and without "
               "--threshold, every decision is allow.",
    };
    *c = (config){.engine = "auto",
                  .window_rows = CONFIG_UNSET,
                  .memory_rank = CONFIG_UNSET,
                  .fill_min = CONFIG_UNSET,
                  .half_life_rows = -1.0,
                  .release_after = VERDICT_RELEASE_DEFAULT,
                  .snapshot_every_s = KEEPER_EVERY_S_DEFAULT,
                  .accounts_max = ACCOUNTS_DEFAULT,
                  .rows_max = SERVICE_ROWS_DEFAULT,
                  .queue_rows_max = QUEUE_ROWS_DEFAULT,
                  .contexts = CONTEXTS_DEFAULT,
                  .connections_max = CONNECTIONS_DEFAULT};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, c);
}

void config_complete(config *c, const reference *reference) {
    if (c->window_rows == CONFIG_UNSET) {
        c->window_rows = reference->window_rows;
    }
    if (c->memory_rank == CONFIG_UNSET || c->decisions_only) {
        c->memory_rank = c->decisions_only ? 0 : reference->memory_rank;
    }
    if (c->half_life_rows < 0.0) {
        c->half_life_rows = reference->half_life_rows;
    }
    if (c->fill_min == CONFIG_UNSET || c->fill_min > c->window_rows) {
        c->fill_min = c->window_rows;
    }
    const reference_threshold *found = reference_find_threshold(reference, c->window_rows);
    bool evidence =
        reference->benign != NULL && reference->benign->evidence.window_rows == c->window_rows;
    if (!c->has_threshold && !evidence && found != NULL) {
        c->has_threshold = true;
        c->threshold = found->threshold;
    }
}

bool config_read_lists(const config *c, lists **out, char *error, size_t error_bytes) {
    const lists_file files[] = {
        {c->allow, false, POLICY_ALLOWED},
        {c->deny, false, POLICY_DENIED},
        {c->allow_groups, true, POLICY_ALLOWED},
        {c->deny_groups, true, POLICY_DENIED},
    };
    *out = NULL;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i].path == NULL) {
            continue;
        }
        if (*out == NULL && (*out = lists_open()) == NULL) {
            snprintf(error, error_bytes, "out of memory");
            return false;
        }
        if (!lists_load(*out, files[i], error, error_bytes)) {
            return false;
        }
    }
    return true;
}

bool config_read_secret(const char *path, unsigned char secret[POISON_SECRET_BYTES], char *error,
                        size_t error_bytes) {
    private_file file;
    if (!private_file_read(&file, path, secret, POISON_SECRET_BYTES, error, error_bytes)) {
        return false;
    }
    if (file.count != POISON_SECRET_BYTES) {
        snprintf(error, error_bytes, "%s: expected a file of exactly %d bytes", path,
                 POISON_SECRET_BYTES);
        return false;
    }
    private_file_warn(&file, path, "secret");
    return true;
}

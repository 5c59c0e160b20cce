/*
 * settings.c - the table, and the check of a value against its line.
 */
#include "settings.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "engine.h"
#include "keeper.h"
#include "log.h"
#include "server.h"

enum {
    CONNECTIONS_MAX = 1 << 20,
    QUEUE_ROWS_MAX = 1 << 26,
    RELEASE_MAX = 1 << 30,
    SHOWN_BYTES = 64, /* of a value that is refused */
};

#define THRESHOLD_MAX 1e30
#define BYTES_MAX ((size_t)1 << 50)

/* Where a setting goes, and who may have it. */
#define HOUSE(MEMBER) .at = offsetof(config, MEMBER), .restart = true
#define MODEL(MEMBER) .at = offsetof(config_model, MEMBER), .of_model = true
#define TEXT .kind = SETTING_TEXT
#define COUNT(LEAST, MOST) .kind = SETTING_COUNT, .least = (LEAST), .most = (double)(MOST)
#define BYTES .kind = SETTING_BYTES, .least = 1.0, .most = (double)BYTES_MAX
#define NUMBER(LEAST, MOST) .kind = SETTING_NUMBER, .least = (LEAST), .most = (MOST)
#define CHOICE(...) .kind = SETTING_CHOICE, .choice = {__VA_ARGS__}
#define SWITCH .kind = SETTING_SWITCH

const setting settings[SETTINGS] = {
    {"reference", "DIR", "the model's reference (needed)", 'r', 1, TEXT, MODEL(reference)},
    {"listen", "URL", "ipc://PATH, tcp://HOST:PORT or tls+tcp://HOST:PORT (needed)", 'l', 1, TEXT,
     HOUSE(listen)},
    {"tls-ca", "FILE",
     "tls+tcp: who signs clients' certificates, without one of which nobody is answered (PEM)", 0,
     1, TEXT, HOUSE(tls.ca_file)},
    {"tls-cert", "FILE", "tls+tcp: the daemon's certificate and its chain (PEM)", 0, 1, TEXT,
     HOUSE(tls.cert_file)},
    {"tls-key", "FILE", "tls+tcp: its key, unencrypted (PEM)", 0, 1, TEXT, HOUSE(tls.key_file)},
    {"ipc-mode", "OCTAL", "ipc: who may connect, as the socket's mode (600)", 0, 1, TEXT,
     HOUSE(ipc_mode)},
    {"window", "ROWS", "rows of an account that are scored together", 'w', 2,
     COUNT(1, ENGINE_WINDOW_MAX), MODEL(window_rows)},
    {"threshold", "SCORE",
     "decide by windows alone: a score above this is malicious (by the account's evidence, where "
     "the reference has been calibrated for this window)",
     't', 2, NUMBER(0.0, THRESHOLD_MAX), MODEL(threshold)},
    {"decisions-only", NULL,
     "with a threshold: decide without working out scores, which are then bounds on the "
     "threshold's same side; no memory and no excess",
     0, 2, SWITCH, MODEL(decisions_only), .restart = true},
    {"min-fill", "ROWS", "a window of fewer rows is warming (and at most: the window)", 0, 2,
     COUNT(1, ENGINE_WINDOW_MAX), MODEL(fill_min)},
    {"memory-rank", "Q", "leading dimensions of the memory; 0 is off", 0, 2,
     COUNT(0, ENGINE_MEMORY_RANK_MAX), MODEL(memory_rank)},
    {"half-life", "ROWS", "of the memory; 0 never forgets", 0, 2,
     NUMBER(0.0, REFERENCE_HALF_LIFE_MAX), MODEL(half_life_rows)},
    {"mode", "MODE",
     "enforce (default), shadow (verdicts are reached and told, every decision is allow) or off", 0,
     3, CHOICE("enforce", "shadow", "off"), MODEL(mode)},
    {"action", "ACTION",
     "for rows of who is flagged: poison (default), label_only, or flag (only said)", 0, 3,
     CHOICE("poison", "label_only", "flag"), MODEL(action)},
    {"release-after", "QUERIES",
     "clean queries in a row that free a flagged account; 0: none do (1000)", 0, 3,
     COUNT(0, RELEASE_MAX), MODEL(release_after)},
    {"allow", "FILE", "accounts that are never flagged, a name a line", 0, 3, TEXT, MODEL(allow)},
    {"deny", "FILE", "accounts that always are", 0, 3, TEXT, MODEL(deny)},
    {"allow-groups", "FILE", "groups that flag none of their accounts", 0, 3, TEXT,
     MODEL(allow_groups)},
    {"deny-groups", "FILE", "groups that flag all of them", 0, 3, TEXT, MODEL(deny_groups)},
    {"output", "KIND", "poison is soft (probabilities, default) or hard (a label)", 0, 3,
     CHOICE("soft", "hard"), MODEL(output), .restart = true},
    {"poison", "KIND",
     "soft poison is plausible (as confident as a network, default) or random (the paper's)", 0, 3,
     CHOICE("plausible", "random"), MODEL(poison), .restart = true},
    {"secret-file", "FILE", "32 bytes that key the poison (random at each start)", 0, 3, TEXT,
     HOUSE(secret_file)},
    {"max-accounts", "N", "accounts held; the least recently used goes (16384)", 0, 4,
     COUNT(1, ENGINE_SLOTS_MAX), MODEL(accounts_max), .restart = true},
    {"max-bytes", "SIZE",
     "memory that the daemon may take with all places held, like 512M or 4G, taken at the start; "
     "as many accounts as fit it, and at most --max-accounts",
     0, 4, BYTES, MODEL(bytes_max), .restart = true},
    {"max-rows", "N", "rows of a request, at most the accounts (8192)", 0, 4,
     COUNT(1, ENGINE_BATCH_ROWS_MAX), HOUSE(rows_max)},
    {"max-queue-rows", "N", "rows that may wait; more is overloaded (65536)", 0, 4,
     COUNT(1, QUEUE_ROWS_MAX), HOUSE(queue_rows_max)},
    {"contexts", "N", "requests at once; of these an eighth only to be refused (256)", 0, 4,
     COUNT(1, SERVER_CONTEXTS_MAX), HOUSE(contexts)},
    {"max-connection-requests", "N",
     "of one connection at once; more is overloaded (half of the contexts)", 0, 4,
     COUNT(1, SERVER_CONTEXTS_MAX), HOUSE(connection_requests_max)},
    {"max-connections", "N", "connections at once (4096)", 0, 4, COUNT(1, CONNECTIONS_MAX),
     HOUSE(connections_max)},
    {"snapshot", "FILE",
     "restore what was learnt from FILE, or the one before it, FILE.1, and keep it there", 0, 4,
     TEXT, MODEL(snapshot), .restart = true},
    {"snapshot-every", "SECONDS", "write it so often, and at the end; 0: only at the end (60)", 0,
     4, COUNT(0, KEEPER_EVERY_S_MAX), HOUSE(snapshot_every_s)},
    {"engine", "NAME", "auto (cuda where a device answers, default), cpu or cuda", 0, 5, TEXT,
     HOUSE(engine)},
    {"threads", "N",
     "threads of the cpu engine, or that feed the cuda engine; 0 is all cores (default)", 0, 5,
     COUNT(0, ENGINE_THREADS_MAX), HOUSE(threads)},
    {"tf32", NULL, "cuda: project in TF32; its error is measured and logged", 0, 5, SWITCH,
     HOUSE(tf32)},
    {"admin", "[HOST:]PORT",
     "health and metrics over HTTP (off); without a host at 127.0.0.1, IPv6 in brackets", 0, 6,
     TEXT, HOUSE(admin)},
    {"admin-token-file", "FILE",
     "a line that must come with requests for metrics, as a bearer token", 0, 6, TEXT,
     HOUSE(admin_token_file)},
    {"log-format", "FORMAT", "of lines on stderr: json (default) or text", 0, 6,
     CHOICE("json", "text"), HOUSE(log_format)},
    {"log-level", "LEVEL", "the least that is told: debug, info (default), warning or error", 0, 6,
     CHOICE("debug", "info", "warning", "error"), HOUSE(log_level)},
    {"audit-rate", "N",
     "changes of verdicts told a second in the long run, and ten times as many at once (100)", 0, 6,
     COUNT(1, LOG_AUDIT_RATE_MAX), HOUSE(audit_per_s)},
    {"log-account-names", "HOW",
     "names of accounts and groups in the log: plain (default) or hashed, as adder hash-name does",
     0, 6, CHOICE("plain", "hashed"), HOUSE(log_names)},
    {"log-key-file", "FILE", "32 bytes that key the hash of names (random at each start)", 0, 6,
     TEXT, HOUSE(log_key_file)},
};
static_assert(sizeof(wire_mode) == sizeof(int) && sizeof(wire_action) == sizeof(int) &&
                  sizeof(poison_kind) == sizeof(int) && sizeof(log_format) == sizeof(int) &&
                  sizeof(log_level) == sizeof(int),
              "a choice is written as an int");

size_t setting_find(const char *name, size_t length) {
    size_t i = 0;
    while (i < SETTINGS &&
           (strlen(settings[i].name) != length || memcmp(settings[i].name, name, length) != 0)) {
        i++;
    }
    return i;
}

void setting_shown(char *text) {
    for (char *c = text; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    }
}

/* What came, as far as it is fit to be shown. */
static void came(char *error, size_t error_bytes, const char *text) {
    size_t at = strlen(error);
    snprintf(error + at, error_bytes - at, ", came '%.*s%s'", SHOWN_BYTES, text,
             strlen(text) > SHOWN_BYTES ? "..." : "");
    setting_shown(error + at);
}

static bool put_count(const setting *s, const char *text, size_t *to) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
        value < (unsigned long long)s->least || value > (unsigned long long)s->most) {
        return false;
    }
    *to = (size_t)value;
    return true;
}

static bool put_bytes(const char *text, size_t *to) {
    static const char units[] = "KMG";
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
    if (text[0] < '0' || text[0] > '9' || errno != 0 || (*end != '\0' && unit == NULL) ||
        (unit != NULL && end[1] != '\0') || value == 0 || value > BYTES_MAX >> shift) {
        return false;
    }
    *to = (size_t)value << shift;
    return true;
}

static bool put_number(const setting *s, const char *text, double *to) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < s->least || value > s->most) {
        return false;
    }
    *to = value;
    return true;
}

static bool put_choice(const setting *s, const char *text, int *to) {
    for (int i = 0; i < SETTING_CHOICES_MAX && s->choice[i] != NULL; i++) {
        if (strcmp(text, s->choice[i]) == 0) {
            *to = i;
            return true;
        }
    }
    return false;
}

static bool put_switch(const char *text, bool *to) {
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        return false;
    }
    *to = text[0] == 't';
    return true;
}

static void expected(const setting *s, char *error, size_t error_bytes) {
    size_t at;
    switch (s->kind) {
    case SETTING_TEXT:
        snprintf(error, error_bytes, "expected 1 to %d bytes", SETTING_TEXT_BYTES_MAX);
        break;
    case SETTING_COUNT:
        snprintf(error, error_bytes, "expected a whole number from %.0f to %.0f", s->least,
                 s->most);
        break;
    case SETTING_BYTES:
        snprintf(error, error_bytes, "expected a size like 1073741824, 512M or 4G");
        break;
    case SETTING_NUMBER:
        snprintf(error, error_bytes, "expected a number from %g to %g", s->least, s->most);
        break;
    case SETTING_SWITCH:
        snprintf(error, error_bytes, "expected true or false");
        break;
    case SETTING_CHOICE:
        snprintf(error, error_bytes, "expected %s", s->choice[0]);
        for (int i = 1; i < SETTING_CHOICES_MAX && s->choice[i] != NULL; i++) {
            bool last = i + 1 == SETTING_CHOICES_MAX || s->choice[i + 1] == NULL;
            at = strlen(error);
            snprintf(error + at, error_bytes - at, "%s%s", last ? " or " : ", ", s->choice[i]);
        }
        break;
    }
}

bool setting_put(const setting *s, const char *text, void *to, char *error, size_t error_bytes) {
    void *member = (char *)to + s->at;
    size_t length = strlen(text);
    bool good = false;
    switch (s->kind) {
    case SETTING_TEXT:
        good = length > 0 && length <= SETTING_TEXT_BYTES_MAX;
        if (good) {
            *(const char **)member = text;
        }
        break;
    case SETTING_COUNT:
        good = put_count(s, text, member);
        break;
    case SETTING_BYTES:
        good = put_bytes(text, member);
        break;
    case SETTING_NUMBER:
        good = put_number(s, text, member);
        break;
    case SETTING_CHOICE:
        good = put_choice(s, text, member);
        break;
    case SETTING_SWITCH:
        good = put_switch(text, member);
        break;
    }
    if (!good) {
        expected(s, error, error_bytes);
        came(error, error_bytes, text);
    }
    return good;
}

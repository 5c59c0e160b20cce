/*
 * top.c - `adder top`: what a daemon does, once a second, from its admin port.
 */
#include "cli.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "fetch.h"
#include "top_frame.h"

enum { COLUMNS_DEFAULT = 120, HEAD_LINES = 9, ACCOUNTS_DEFAULT = 15, ACCOUNTS_MAX = 100 };

typedef struct {
    const char *url;
    const char *token_file;
    const char *model;
    size_t every_ms;
    size_t timeout_ms;
    size_t accounts;
    bool once;
} top_options;

static const struct argp_option options[] = {
    {"connect", 'u', "URL", 0, "The daemon's admin port, http://HOST:PORT", 1},
    {"token-file", 'T', "FILE", 0, "Holds the admin token", 1},
    {"model", 'm', "NAME", 0, "Whose accounts (needed where several models are served)", 1},
    {"once", '1', 0, 0, "Show one frame, of the first interval, and end", 2},
    {"every", 'e', "MS", 0, "From frame to frame (1000)", 2},
    {"accounts", 'n', "COUNT", 0, "How many of the riskiest (15; on a terminal as fit it)", 2},
    {"timeout", 't', "MS", 0, "For an answer (5000)", 2},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    top_options *o = state->input;
    switch (key) {
    case 'u':
        o->url = value;
        break;
    case 'T':
        o->token_file = value;
        break;
    case 'm':
        o->model = value;
        break;
    case '1':
        o->once = true;
        break;
    case 'e':
        o->every_ms = arguments_count(state, "every", value, 100, CLI_TIMEOUT_MS_MAX);
        break;
    case 'n':
        o->accounts = arguments_count(state, "accounts", value, 1, ACCOUNTS_MAX);
        break;
    case 't':
        o->timeout_ms = arguments_count(state, "timeout", value, 1, CLI_TIMEOUT_MS_MAX);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    case ARGP_KEY_END:
        if (o->url == NULL) {
            argp_error(state, "--connect is needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The documents of one look; each NULL or owned. */
typedef struct {
    json_t *info, *live, *accounts;
} look;

static void look_free(look *l) {
    json_decref(l->info);
    json_decref(l->live);
    json_decref(l->accounts);
    *l = (look){0};
}

/* Of accounts it is no failure that there are none to be had: while the daemon loads, or where a
 * model must be named. */
static bool look_take(look *l, fetch *fetch, const top_options *o, char *error) {
    char limit[16], refusal[CLI_ERROR_BYTES];
    long status;
    const fetch_parameter none[] = {{NULL, NULL}};
    const fetch_parameter of[] = {{"model", o->model}, {"limit", limit}, {NULL, NULL}};
    snprintf(limit, sizeof limit, "%d", ACCOUNTS_MAX);
    *l = (look){0};
    l->info = fetch_get(fetch, "/api/info", none, &status, error, CLI_ERROR_BYTES);
    l->live = l->info == NULL
                  ? NULL
                  : fetch_get(fetch, "/api/live", none, &status, error, CLI_ERROR_BYTES);
    if (l->live == NULL) {
        look_free(l);
        return false;
    }
    bool wanted = o->model != NULL;
    l->accounts = fetch_get(fetch, "/api/accounts", of, &status, refusal, sizeof refusal);
    if (l->accounts == NULL && (status == 0 || (wanted && status == 404))) {
        snprintf(error, CLI_ERROR_BYTES, "%s", refusal);
        look_free(l);
        return false;
    }
    return true;
}

static void wait_ms(size_t ms) {
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void show(const look *before, const look *now, const top_options *o, bool terminal) {
    struct winsize size = {0};
    top_frame frame = {.where = o->url,
                       .info = now->info,
                       .before = before->live,
                       .now = now->live,
                       .accounts = now->accounts,
                       .columns = COLUMNS_DEFAULT,
                       .accounts_max = o->accounts > 0 ? o->accounts : ACCOUNTS_DEFAULT};
    if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
        size_t room = size.ws_row > HEAD_LINES ? size.ws_row - HEAD_LINES : 0;
        frame.columns = size.ws_col;
        frame.accounts_max = o->accounts == 0 || o->accounts > room ? room : o->accounts;
    }
    if (terminal) {
        fputs("\033[H\033[2J", stdout); /* to the corner, and clear */
    }
    top_frame_write(&frame, stdout);
    if (!terminal && !o->once) {
        fputc('\n', stdout);
    }
    fflush(stdout);
}

/* Frame after frame, each against the look before it, until the daemon is gone, or the reader. */
static bool watch(fetch *fetch, const top_options *o, char *error) {
    bool terminal = !o->once && isatty(STDOUT_FILENO), good;
    look before, now;
    if (!look_take(&before, fetch, o, error)) {
        return false;
    }
    do {
        wait_ms(o->every_ms);
        good = look_take(&now, fetch, o, error);
        if (good) {
            show(&before, &now, o, terminal);
            look_free(&before);
            before = now;
        }
    } while (good && !o->once && !ferror(stdout));
    look_free(&before);
    return good;
}

int cli_top(int argc, char **argv) {
    static const struct argp argp = {
        options,
        parse_option,
        NULL,
        "Show what a daemon does, once a second, and its riskiest accounts: from its admin port. "
        "In "
        "a pipe frames follow each other, with an empty line after each.",
        NULL,
        NULL,
        NULL};
    top_options o = {.every_ms = 1000, .timeout_ms = 5000};
    char error[CLI_ERROR_BYTES] = "";
    fetch *fetch = NULL;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    bool good = fetch_open(&fetch, o.url, o.token_file, o.timeout_ms, error, sizeof error) &&
                watch(fetch, &o, error);
    fetch_close(fetch);
    if (!good) {
        fprintf(stderr, "%s: %s\n", argv[0], error);
        return CLI_EXIT_FAILURE;
    }
    return 0;
}

/*
 * ask.c - `adder ping`, `info`, `explain` and `forget`: one question to the daemon each.
 */
#include "cli.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "adder.h"
#include "connect.h"
#include "explain_print.h"
#include "fetch.h"
#include "remote.h"
#include "stream.h"

typedef struct {
    const char *token_file;
    const char *account;
    bool takes_account;
    bool is_group;
    connect_flags connect;
} ask_options;

#define TOKEN_FILE                                                                                 \
    { "token-file", 'T', "FILE", 0, "With http://: holds the admin token", 1 }
#define GROUP                                                                                      \
    { "group", 'g', 0, 0, "NAME is a group's", 1 }
static const struct argp_option info_options[] = {TOKEN_FILE, {0}};
static const struct argp_option explain_options[] = {GROUP, TOKEN_FILE, {0}};
static const struct argp_option forget_options[] = {GROUP, {0}};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    ask_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->connect;
        break;
    case 'T':
        o->token_file = value;
        break;
    case 'g':
        o->is_group = true;
        break;
    case ARGP_KEY_ARG:
        if (!o->takes_account || o->account != NULL) {
            argp_error(state, "unexpected argument '%s'", value);
        }
        o->account = value;
        break;
    case ARGP_KEY_END:
        if (o->takes_account && o->account == NULL) {
            argp_error(state, "a NAME is needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static adder_status ping(adder_client *client, const ask_options *o, adder_error *error) {
    double sent_ms = stream_now_ms();
    adder_status status = adder_ping(client, error);
    (void)o;
    if (status == ADDER_OK) {
        printf("answered in %.3f ms\n", stream_now_ms() - sent_ms);
    }
    return status;
}

static adder_status forget(adder_client *client, const ask_options *o, adder_error *error) {
    bool known;
    adder_status status = o->is_group ? adder_forget_group(client, o->account, &known, error)
                                      : adder_forget(client, o->account, &known, error);
    if (status == ADDER_OK) {
        printf("%s\n", known ? "forgotten" : "not known");
    }
    return status;
}

/* Owns the explanation, which may be NULL. */
static void print_explanation(adder_explanation *explanation) {
    if (explanation == NULL) {
        printf("not known\n");
        return;
    }
    explain_print(explanation);
    adder_explanation_free(explanation);
}

static adder_status explain(adder_client *client, const ask_options *o, adder_error *error) {
    adder_explanation *explanation = NULL;
    adder_status status = adder_explain(client, o->account, o->is_group, &explanation, error);
    if (status == ADDER_OK) {
        print_explanation(explanation);
    }
    return status;
}

static void print_model(const adder_model *model) {
    printf("model            %s\n", model->name);
    printf("  dim            %" PRIu64 "\n  classes        %" PRIu64 "\n  rank           %" PRIu64
           "\n",
           model->dim, model->classes, model->rank);
    printf("  window         %" PRIu64 " rows\n", model->window);
    printf("  memory         rank %" PRIu64 ", half-life %g rows\n", model->memory_rank,
           model->half_life_rows);
    static const char *const modes[] = {"enforce", "shadow", "off"};
    static const char *const actions[] = {"poison", "label_only", "flag"};
    printf("  mode           %s, action %s, poison is %s\n", modes[model->mode],
           actions[model->action], model->hard_label ? "a label" : "probabilities");
    if (model->has_threshold) {
        printf("  threshold      %.6g on the window's score, warming below %" PRIu64 " rows%s\n",
               model->threshold, model->min_fill,
               model->decisions_only ? "; decisions only, scores are bounds" : "");
    } else if (model->evidence_threshold > 0.0) {
        printf("  evidence       flags at most %g of honest accounts\n", model->false_alarms);
    } else {
        printf("  threshold      none: every decision is allow\n");
    }
}

static void print_info(const adder_info *info) {
    printf("version          %s\n", info->version);
    printf("engine           %s%s\n", info->engine, info->degraded ? " (degraded)" : "");
    printf("up               %.0f s\n", info->uptime_s);
    printf("accounts         %" PRIu64 " of at most %" PRIu64 "\n", info->accounts,
           info->accounts_max);
    printf("rows scored      %" PRIu64 " (requests answered: %" PRIu64 ")\n", info->rows,
           info->requests);
    printf("limits           %" PRIu64 " rows, %" PRIu64 " bytes a request\n", info->rows_max,
           info->message_bytes_max);
    for (size_t i = 0; i < info->models; i++) {
        print_model(&info->model[i]);
    }
}

static adder_status info(adder_client *client, const ask_options *o, adder_error *error) {
    adder_info info;
    adder_status status = adder_hello(client, &info, error);
    (void)o;
    if (status == ADDER_OK) {
        print_info(&info);
    }
    return status;
}

/* ---- the same over HTTP ---- */

static bool info_over_http(fetch *fetch, const ask_options *o, adder_error *error) {
    adder_info info;
    bool good = remote_info(fetch, &info, error->text, sizeof error->text);
    (void)o;
    if (good) {
        print_info(&info);
    }
    return good;
}

static bool explain_over_http(fetch *fetch, const ask_options *o, adder_error *error) {
    adder_explanation *explanation = NULL;
    bool good = remote_explain(fetch, &(remote_question){o->account, o->is_group, o->connect.model},
                               &explanation, error->text, sizeof error->text);
    if (good) {
        print_explanation(explanation);
    }
    return good;
}

/* ---- */

typedef struct {
    const struct argp *argp;
    bool takes_account;
    adder_status (*ask)(adder_client *client, const ask_options *o, adder_error *error);
    bool (*ask_over_http)(fetch *fetch, const ask_options *o,
                          adder_error *error); /* NULL: cannot */
} question;

static bool ask_wire(const question *q, const ask_options *o, adder_error *error) {
    adder_client *client = NULL;
    adder_options client_options = connect_options(&o->connect);
    bool good = adder_open(&client, o->connect.url, &client_options, error) == ADDER_OK &&
                q->ask(client, o, error) == ADDER_OK;
    adder_close(client);
    return good;
}

static bool ask_http(const question *q, const ask_options *o, adder_error *error) {
    fetch *fetch = NULL;
    bool good = fetch_open(&fetch, o->connect.url, o->token_file, o->connect.timeout_ms,
                           error->text, sizeof error->text) &&
                q->ask_over_http(fetch, o, error);
    fetch_close(fetch);
    return good;
}

static int ask(int argc, char **argv, const question *q) {
    ask_options o = {.takes_account = q->takes_account};
    adder_error error = {0};
    argp_parse(q->argp, argc, argv, 0, NULL, &o);
    bool http = q->ask_over_http != NULL && fetch_is_url(o.connect.url);
    if (http ? !ask_http(q, &o, &error) : !ask_wire(q, &o, &error)) {
        fprintf(stderr, "%s: %s\n", argv[0], error.text);
        return CLI_EXIT_FAILURE;
    }
    return 0;
}

int cli_ping(int argc, char **argv) {
    static const struct argp argp = {.parser = parse_option,
                                     .doc = "See whether the daemon answers.",
                                     .children = connect_children};
    return ask(argc, argv, &(question){&argp, false, ping, NULL});
}

int cli_info(int argc, char **argv) {
    static const struct argp argp = {.options = info_options,
                                     .parser = parse_option,
                                     .doc =
                                         "Print what the daemon serves and its limits. URL may be "
                                         "http://HOST:PORT of its admin port.",
                                     .children = connect_children};
    return ask(argc, argv, &(question){&argp, false, info, info_over_http});
}

int cli_explain(int argc, char **argv) {
    static const struct argp argp = {.options = explain_options,
                                     .parser = parse_option,
                                     .args_doc = "NAME",
                                     .doc = "Print why an account, or a group, has its verdict. "
                                            "For operators, never for end users. URL may be "
                                            "http://HOST:PORT of its admin port.",
                                     .children = connect_children};
    return ask(argc, argv, &(question){&argp, true, explain, explain_over_http});
}

int cli_forget(int argc, char **argv) {
    static const struct argp argp = {
        .options = forget_options,
        .parser = parse_option,
        .args_doc = "NAME",
        .doc = "Drop an account's, or a group's, window, memory and evidence.",
        .children = connect_children};
    return ask(argc, argv, &(question){&argp, true, forget, NULL});
}

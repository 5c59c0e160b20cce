/*
 * explain.c - `adder explain`: why an account or a group has its verdict, for the analyst.
 */
#include "cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "adder.h"
#include "arguments.h"

typedef struct {
    const char *url;
    const char *name;
    bool is_group;
    size_t timeout_ms;
} explain_options;

static const struct argp_option options[] = {
    {"connect", 'u', "URL", 0, "The daemon", 1},
    {"group", 'g', 0, 0, "NAME is a group's", 1},
    {"timeout", 't', "MS", 0, "For the answer (5000)", 1},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    explain_options *o = state->input;
    switch (key) {
    case 'u':
        o->url = value;
        break;
    case 'g':
        o->is_group = true;
        break;
    case 't':
        o->timeout_ms = arguments_count(state, "timeout", value, 1, CLI_TIMEOUT_MS_MAX);
        break;
    case ARGP_KEY_ARG:
        if (o->name != NULL) {
            argp_error(state, "unexpected argument '%s'", value);
        }
        o->name = value;
        break;
    case ARGP_KEY_END:
        if (o->url == NULL || o->name == NULL) {
            argp_error(state, "%s", o->url == NULL ? "--connect is needed" : "a NAME is needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char *verdict_text(adder_verdict verdict) {
    static const char *const text[] = {"clean", "flagged", "undecided: too few queries yet"};
    return text[verdict];
}

static const char *reason_text(adder_reason reason) {
    static const char *const text[] = {"",
                                       ", by what its queries add up to",
                                       ", by its windows",
                                       ", by its memory",
                                       ", by its group",
                                       ", by the deny-list",
                                       ", by the allow-list"};
    return text[reason];
}

/* A real that is not known is a dash. */
static const char *number(double value, char text[24]) {
    if (isnan(value)) {
        return "-";
    }
    snprintf(text, 24, "%.4g", value);
    return text;
}

static void print_verdict(const adder_explanation *e) {
    char text[24];
    printf("verdict          %s%s\n", verdict_text(e->verdict), reason_text(e->reason));
    printf("queries          %" PRIu64 "\n", e->queries);
    if (e->first_flagged_at > 0) {
        printf("first flagged    at its query %" PRIu64 "\n", e->first_flagged_at);
    }
    if (e->flagged_at > 0) {
        printf("flagged          since its query %" PRIu64 "; ", e->flagged_at);
        if (e->release_after > 0) {
            printf("freed after %" PRIu64 " clean queries in a row, %" PRIu64 " so far\n",
                   e->release_after, e->clean_run);
        } else {
            printf("until it is forgotten\n");
        }
    }
    printf("evidence         %s of what flags it", number(e->evidence, text));
    printf(" (queries %s", number(e->evidence_rows, text));
    printf(", windows %s)\n", number(e->evidence_window, text));
    printf("window           %" PRIu64 " of %" PRIu64 " rows\n", e->fill, e->window);
    printf("score            %s", number(e->score, text));
    printf(" (threshold %s)\n", number(e->window_threshold, text));
    printf("excess           %s standard deviations above honest windows of the same classes\n",
           number(e->excess, text));
    printf("memory score     %s\n", number(e->memory_score, text));
}

static void print_classes(const adder_explanation *e) {
    printf("\n%6s %5s %13s %9s %9s %11s %9s %9s %8s\n", "class", "rows", "of the score", "distance",
           "mean", "covariance", "honest", "+-", "excess");
    for (size_t i = 0; i < e->classes; i++) {
        const adder_explained_class *c = &e->by_class[i];
        char text[6][24];
        printf("%6" PRIu64 " %5" PRIu64 " %13s %9s %9s %11s", c->class_id, c->n,
               number(c->contribution, text[0]), number(c->d2, text[1]),
               number(c->mean_part, text[2]), number(c->covariance_part, text[3]));
        printf(" %9s %9s %8s\n", number(c->benign_mean, text[0]), number(c->benign_sd, text[1]),
               number(c->excess, text[2]));
    }
}

static void print_history(const adder_explanation *e) {
    if (e->windows == 0) {
        return;
    }
    printf("\n%10s %9s %9s %9s  %s\n", "at query", "score", "excess", "evidence", "verdict");
    for (size_t i = 0; i < e->windows; i++) {
        const adder_explained_window *w = &e->history[i];
        char text[3][24];
        printf("%10" PRIu64 " %9s %9s %9s  %s\n", w->query, number(w->score, text[0]),
               number(w->excess, text[1]), number(w->evidence, text[2]), verdict_text(w->verdict));
    }
}

int cli_explain(int argc, char **argv) {
    static const struct argp argp = {
        options,
        parse_option,
        "NAME",
        "Print why an account, or a group, has its verdict. For operators, never for end users.",
        NULL,
        NULL,
        NULL};
    explain_options o = {.timeout_ms = ADDER_TIMEOUT_MS_DEFAULT};
    adder_client *client = NULL;
    adder_explanation *explanation = NULL;
    adder_error error = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    adder_options client_options = {.timeout_ms = (int)o.timeout_ms};
    adder_status status = adder_open(&client, o.url, &client_options, &error);
    if (status == ADDER_OK) {
        status = adder_explain(client, o.name, o.is_group, &explanation, &error);
    }
    adder_close(client);
    if (status != ADDER_OK || explanation == NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], status != ADDER_OK ? error.text : "not known");
        return CLI_EXIT_FAILURE;
    }
    print_verdict(explanation);
    print_classes(explanation);
    print_history(explanation);
    adder_explanation_free(explanation);
    return 0;
}

/*
 * fit.c - `adder fit`: a reference directory from training embeddings, or from statistics.
 */
#include "cli.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "reference.h"

typedef struct {
    const char *embeddings;
    const char *labels;
    const char *mean;
    const char *covariance;
    const char *out;
    const char *model;
    size_t rank_max;
    size_t window_rows;
} fit_options;

static const struct argp_option options[] = {
    {"embeddings", 'e', "FILE", 0, "Training embeddings, .npy [rows, dim]", 1},
    {"labels", 'l', "FILE", 0, "Their true labels, .npy [rows], 0 and up", 1},
    {"mean", 'm', "FILE", 0, "Mean of each class, .npy [classes, dim]", 2},
    {"covariance", 'c', "FILE", 0, "Population covariance of each class, .npy [classes, dim, dim]",
     2},
    {"out", 'o', "DIRECTORY", 0, "Where the reference goes: new, empty, or one to replace", 3},
    {"model", 'n', "NAME", 0, "The model's name on the wire (" REFERENCE_MODEL_DEFAULT ")", 3},
    {"rank", 'r', "R", 0, "Keep at most R columns of each factor (all)", 3},
    {"window", 'w', "W", 0, "Rows in a window unless adderd is told otherwise (16)", 3},
    {0},
};

static void check_usage(const fit_options *fit, struct argp_state *state) {
    bool rows = fit->embeddings != NULL && fit->labels != NULL;
    bool statistics = fit->mean != NULL && fit->covariance != NULL;
    bool half_rows = fit->embeddings != NULL || fit->labels != NULL;
    bool half_statistics = fit->mean != NULL || fit->covariance != NULL;
    if ((!rows || half_statistics) && (!statistics || half_rows)) {
        argp_error(state, "either --embeddings and --labels, or --mean and --covariance expected");
    }
    if (fit->out == NULL) {
        argp_error(state, "--out expected");
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state) {
    fit_options *fit = state->input;
    switch (key) {
    case 'e':
        fit->embeddings = argument;
        break;
    case 'l':
        fit->labels = argument;
        break;
    case 'm':
        fit->mean = argument;
        break;
    case 'c':
        fit->covariance = argument;
        break;
    case 'o':
        fit->out = argument;
        break;
    case 'n':
        fit->model = argument;
        break;
    case 'r':
        fit->rank_max = arguments_count(state, "rank", argument, 1, ENGINE_DIM_MAX);
        break;
    case 'w':
        fit->window_rows = arguments_count(state, "window", argument, 1, ENGINE_WINDOW_MAX);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", argument);
        break;
    case ARGP_KEY_END:
        check_usage(fit, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Paths may hold any bytes, the reference only readable ones. */
static void describe(const fit_options *fit, char *made, size_t made_bytes) {
    if (fit->embeddings != NULL) {
        snprintf(made, made_bytes, "adder fit --embeddings %s --labels %s", fit->embeddings,
                 fit->labels);
    } else {
        snprintf(made, made_bytes, "adder fit --mean %s --covariance %s", fit->mean,
                 fit->covariance);
    }
    for (char *at = made; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '?';
        }
    }
}

static void show_progress(void *context, size_t done, size_t all) {
    (void)context;
    cli_progress("fitting classes", done, all);
}

static bool make(const fit_options *fit, reference **made, char *error, size_t error_bytes) {
    char text[REFERENCE_MADE_BYTES_MAX + 1];
    describe(fit, text, sizeof(text));
    reference_recipe recipe = {
        .model = fit->model, .made = text, .rank_max = fit->rank_max, .progress = show_progress};
    if (fit->embeddings != NULL) {
        return reference_make_from_rows(made, fit->embeddings, fit->labels, &recipe, error,
                                        error_bytes);
    }
    return reference_make_from_statistics(made, fit->mean, fit->covariance, &recipe, error,
                                          error_bytes);
}

int cli_fit(int argc, char **argv) {
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "--embeddings FILE --labels FILE --out DIRECTORY\n"
                    "--mean FILE --covariance FILE --out DIRECTORY",
        .doc = "Makes a reference: what a model's benign data looks like, per class.",
    };
    fit_options fit = {.window_rows = REFERENCE_WINDOW_DEFAULT};
    argp_parse(&argp, argc, argv, 0, NULL, &fit);

    char error[CLI_ERROR_BYTES];
    reference *made = NULL;
    bool good = make(&fit, &made, error, sizeof(error));
    if (good) {
        made->window_rows = fit.window_rows;
        good = reference_save(made, fit.out, error, sizeof(error));
    }
    if (good) {
        const engine_reference *s = &made->statistics;
        printf("wrote %s: %zu classes, dim %zu, rank %zu\n", fit.out, s->classes, s->dim, s->rank);
    }
    reference_close(made);
    if (!good) {
        cli_progress_clear();
        fprintf(stderr, "%s: %s\n", argv[0], error);
    }
    return good ? 0 : CLI_EXIT_FAILURE;
}

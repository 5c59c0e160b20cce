/*
 * calibrate.c - `adder calibrate`: the raw threshold that a stated share of honest windows exceeds.
 *
 * Held-out honest rows only: thresholds from training rows let 4 to 99 % of honest windows through
 * as hostile where 0.1 to 1 % was asked.
 */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "arguments.h"
#include "dataset.h"
#include "reference.h"
#include "sampling.h"

enum { WINDOWS_MAX = 10000000, WINDOWS_DEFAULT = 20000, TAIL_WINDOWS = 50, APART_MIN = 50 };

typedef struct {
    const char *reference;
    dataset_files files;
    size_t window_rows; /* 0: the reference's */
    size_t windows;     /* 0: enough for the rate */
    double fpr;
    size_t seed;
} calibrate_options;

static const struct argp_option options[] = {
    {"reference", 'r', "DIR", 0, "Where the threshold goes", 1},
    {"embeddings", 'e', "FILE", 0, "Held-out honest embeddings, .npy [rows, dim]", 1},
    {"classes", 'c', "FILE", 0, "Their predicted classes, .npy [rows]", 1},
    {"rows", 'R', "FIRST:END:STEP", 0, "Take only these rows of the files (all)", 1},
    {"window", 'w', "W", 0, "Rows in a window (the reference's)", 2},
    {"fpr", 'f', "SHARE", 0, "Share of honest windows to lie above the threshold (0.001)", 2},
    {"windows", 'n', "N", 0, "Windows to draw (20000, or 50 / fpr if that is more)", 2},
    {"seed", 's', "N", 0, "Of the draw (1)", 2},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    calibrate_options *o = state->input;
    switch (key) {
    case 'r':
        o->reference = value;
        break;
    case 'e':
        o->files.embeddings = value;
        break;
    case 'c':
        o->files.classes = value;
        break;
    case 'R':
        if (!dataset_parse_range(value, &o->files.range)) {
            argp_error(state, "--rows: expected FIRST:END:STEP, came '%s'", value);
        }
        break;
    case 'w':
        o->window_rows = arguments_count(state, "window", value, 1, ENGINE_WINDOW_MAX);
        break;
    case 'f':
        o->fpr = arguments_number(state, "fpr", value, 1e-6, 0.5);
        break;
    case 'n':
        o->windows = arguments_count(state, "windows", value, 1, WINDOWS_MAX);
        break;
    case 's':
        o->seed = arguments_count(state, "seed", value, 0, SIZE_MAX);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    case ARGP_KEY_END:
        if (!o->reference || !o->files.embeddings || !o->files.classes) {
            argp_error(state, "--reference, --embeddings and --classes are needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Draws, sorts and reads the threshold off. */
static bool measure(const calibrate_options *o, const reference *reference, const dataset *data,
                    reference_threshold *found, char *error) {
    size_t enough = (size_t)ceil(TAIL_WINDOWS / o->fpr);
    size_t windows = o->windows != 0            ? o->windows
                     : enough > WINDOWS_DEFAULT ? enough
                                                : WINDOWS_DEFAULT;
    size_t window_rows = o->window_rows != 0 ? o->window_rows : reference->window_rows;
    if ((double)windows * o->fpr < 1.0) {
        snprintf(error, CLI_ERROR_BYTES, "--windows: expected at least 1 / fpr (%.0f), came %zu",
                 ceil(1.0 / o->fpr), windows);
        return false;
    }
    double *scores = calloc(windows, sizeof *scores);
    sampling_plan plan = {.reference = reference,
                          .window_rows = window_rows,
                          .windows = windows,
                          .seed = o->seed,
                          .label = "scoring honest windows"};
    if (scores == NULL) {
        snprintf(error, CLI_ERROR_BYTES, "out of memory");
        return false;
    }
    bool scored = sampling_scores(&plan, data, scores, error, CLI_ERROR_BYTES);
    if (scored) {
        sampling_sort(scores, windows);
        if (data->rows / window_rows < APART_MIN) {
            cli_progress_clear();
            fprintf(stderr,
                    "adder calibrate: warning: only %zu windows of %zu rows share no row; "
                    "the threshold is uncertain, give it more honest queries\n",
                    data->rows / window_rows, window_rows);
        }
        *found = (reference_threshold){.window_rows = window_rows,
                                       .fpr = o->fpr,
                                       .threshold = sampling_upper(scores, windows, o->fpr),
                                       .windows = windows,
                                       .rows = data->rows};
    }
    free(scores);
    return scored;
}

static bool calibrate(calibrate_options *o, char *error) {
    reference *reference = NULL;
    dataset data = {0};
    reference_threshold found;
    bool fine = reference_load(&reference, o->reference, error, CLI_ERROR_BYTES);
    if (fine) {
        o->files.dim = reference->statistics.dim;
        o->files.class_count = reference->statistics.classes;
        fine = dataset_load(&data, &o->files, error, CLI_ERROR_BYTES) &&
               measure(o, reference, &data, &found, error);
    }
    if (fine && !reference_set_threshold(reference, found)) {
        snprintf(error, CLI_ERROR_BYTES, "%s: already holds %d thresholds", o->reference,
                 REFERENCE_THRESHOLDS_MAX);
        fine = false;
    }
    fine = fine && reference_save_calibration(reference, o->reference, error, CLI_ERROR_BYTES);
    if (fine) {
        printf("threshold %.6g: at most %g of %zu honest windows of %zu rows lie above it (drawn "
               "from %zu rows)\n",
               found.threshold, found.fpr, found.windows, found.window_rows, found.rows);
    }
    dataset_close(&data);
    reference_close(reference);
    return fine;
}

int cli_calibrate(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Find the threshold on the window score from held-out honest queries, and write it "
               "into the reference.\vNever give it training data: the threshold would be far too "
               "low.",
    };
    char error[CLI_ERROR_BYTES];
    calibrate_options o = {.files.range = DATASET_ALL, .fpr = 0.001, .seed = 1};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!calibrate(&o, error)) {
        cli_progress_clear();
        fprintf(stderr, "%s: %s\n", argv[0], error);
        return CLI_EXIT_FAILURE;
    }
    return 0;
}

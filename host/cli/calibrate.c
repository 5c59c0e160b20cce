/*
 * calibrate.c - `adder calibrate`: the raw threshold that a stated share of honest windows exceeds,
 * and all that the evidence needs to know of honest queries.
 *
 * Held-out honest rows only: thresholds from training rows let 4 to 99 % of honest windows through
 * as hostile where 0.1 to 1 % was asked.
 */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "alarms.h"
#include "arguments.h"
#include "benign.h"
#include "dataset.h"
#include "reference.h"
#include "sampling.h"

enum { QUERIES_MAX = 10000000, ACCOUNTS_MAX = 1000000 };
enum { WINDOWS_MAX = 10000000, WINDOWS_DEFAULT = 20000, TAIL_WINDOWS = 50, APART_MIN = 50 };

typedef struct {
    const char *reference;
    dataset_files files[EVIDENCE_KINDS_MAX]; /* the usual queries, and other honest ones */
    size_t kinds;
    size_t window_rows; /* 0: the reference's */
    size_t windows;     /* 0: enough for the rate */
    double fpr;
    double false_alarms;
    double tolerance;
    size_t queries;
    size_t accounts;
    size_t seed;
} calibrate_options;

enum { OPTION_FALSE_ALARMS = 256, OPTION_QUERIES, OPTION_ACCOUNTS, OPTION_TOLERANCE };

static const struct argp_option options[] = {
    {"reference", 'r', "DIR", 0, "Where the threshold goes", 1},
    {"embeddings", 'e', "FILE", 0, "Held-out honest embeddings, .npy [rows, dim]", 1},
    {"classes", 'c', "FILE", 0, "Their predicted classes, .npy [rows]", 1},
    {"rows", 'R', "FIRST:END:STEP", 0, "Take only these rows of the files (all)", 1},
    {"also-embeddings", 'E', "FILE", 0,
     "Other honest embeddings, from cameras or users that the usual ones lack; 7 times at most. "
     "A query then counts as the kindest of them all would have it",
     1},
    {"also-classes", 'C', "FILE", 0, "Their predicted classes", 1},
    {"also-rows", 'S', "FIRST:END:STEP", 0, "Take only these rows of them (all)", 1},
    {"window", 'w', "W", 0, "Rows in a window (the reference's)", 2},
    {"fpr", 'f', "SHARE", 0, "Share of honest windows to lie above a threshold (0.001)", 2},
    {"false-alarms", OPTION_FALSE_ALARMS, "SHARE", 0,
     "Share of honest accounts that may be flagged (0.001) ...", 2},
    {"queries", OPTION_QUERIES, "N", 0, "... in so many queries (10000)", 2},
    {"tolerance", OPTION_TOLERANCE, "Z", 0,
     "Standard deviations by which the honest sample may mislead (5)", 2},
    {"accounts", OPTION_ACCOUNTS, "N", 0, "Honest accounts to simulate of each kind (1000)", 2},
    {"windows", 'n', "N", 0, "Windows to draw (20000, or 50 / fpr if that is more)", 2},
    {"seed", 's', "N", 0, "Of the draw (1)", 2},
    {0},
};

static void parse_rows(struct argp_state *state, const char *flag, const char *value,
                       dataset_range *range) {
    if (!dataset_parse_range(value, range)) {
        argp_error(state, "--%s: expected FIRST:END:STEP, came '%s'", flag, value);
    }
}

/* The other honest files that were named last. */
static dataset_files *last_other(struct argp_state *state, calibrate_options *o, const char *flag) {
    if (o->kinds < 2) {
        argp_error(state, "--%s: after --also-embeddings only", flag);
    }
    return &o->files[o->kinds - 1];
}

static void check_files(struct argp_state *state, const calibrate_options *o) {
    if (!o->reference || !o->files[0].embeddings || !o->files[0].classes) {
        argp_error(state, "--reference, --embeddings and --classes are needed");
    }
    for (size_t k = 1; k < o->kinds; k++) {
        if (!o->files[k].classes) {
            argp_error(state, "--also-classes is needed after each --also-embeddings");
        }
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    calibrate_options *o = state->input;
    switch (key) {
    case 'r':
        o->reference = value;
        break;
    case 'e':
        o->files[0].embeddings = value;
        break;
    case 'c':
        o->files[0].classes = value;
        break;
    case 'R':
        parse_rows(state, "rows", value, &o->files[0].range);
        break;
    case 'E':
        if (o->kinds == EVIDENCE_KINDS_MAX) {
            argp_error(state, "--also-embeddings: at most %d times", EVIDENCE_KINDS_MAX - 1);
        }
        o->files[o->kinds++] = (dataset_files){.embeddings = value, .range = DATASET_ALL};
        break;
    case 'C':
        last_other(state, o, "also-classes")->classes = value;
        break;
    case 'S':
        parse_rows(state, "also-rows", value, &last_other(state, o, "also-rows")->range);
        break;
    case 'w':
        o->window_rows = arguments_count(state, "window", value, 1, ENGINE_WINDOW_MAX);
        break;
    case 'f':
        o->fpr = arguments_number(state, "fpr", value, 1e-6, 0.5);
        break;
    case OPTION_FALSE_ALARMS:
        o->false_alarms = arguments_number(state, "false-alarms", value, 1e-9, 0.05);
        break;
    case OPTION_QUERIES:
        o->queries = arguments_count(state, "queries", value, 1, QUERIES_MAX);
        break;
    case OPTION_TOLERANCE:
        o->tolerance = arguments_number(state, "tolerance", value, 0, 100);
        break;
    case OPTION_ACCOUNTS:
        o->accounts = arguments_count(state, "accounts", value, ALARMS_ACCOUNTS_MIN, ACCOUNTS_MAX);
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
        check_files(state, o);
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

static bool measure_benign(const calibrate_options *o, const dataset *data, size_t window_rows,
                           reference *reference, char *error) {
    benign_plan plan = {.data = data,
                        .kinds = o->kinds,
                        .window_rows = window_rows,
                        .fpr = o->fpr,
                        .false_alarms = o->false_alarms,
                        .queries = o->queries,
                        .tolerance = o->tolerance,
                        .accounts = o->accounts,
                        .seed = o->seed};
    return benign_measure(&plan, reference, error, CLI_ERROR_BYTES);
}

static bool load_all(calibrate_options *o, const reference *reference, dataset *data, char *error) {
    bool fine = true;
    for (size_t k = 0; fine && k < o->kinds; k++) {
        o->files[k].dim = reference->statistics.dim;
        o->files[k].class_count = reference->statistics.classes;
        fine = dataset_load(&data[k], &o->files[k], error, CLI_ERROR_BYTES);
    }
    return fine;
}

static void print_findings(const reference *reference, const reference_threshold *found) {
    const reference_benign *b = reference->benign;
    evidence_rules *rules = evidence_open(&b->evidence);
    printf("threshold %.6g: at most %g of %zu honest windows of %zu rows lie above it (drawn from "
           "%zu rows)\n",
           found->threshold, found->fpr, found->windows, found->window_rows, found->rows);
    printf("evidence: at most %g of honest accounts are flagged in %zu queries (by %zu rows of "
           "%zu kinds)\n",
           b->false_alarms, b->queries, b->rows, b->evidence.kinds);
    if (rules != NULL) {
        printf("an account can be flagged from its query %zu on\n", evidence_rows_min(rules));
    }
    evidence_close(rules);
}

static bool calibrate(calibrate_options *o, char *error) {
    reference *reference = NULL;
    dataset data[EVIDENCE_KINDS_MAX] = {0};
    reference_threshold found;
    bool fine = reference_load(&reference, o->reference, error, CLI_ERROR_BYTES) &&
                load_all(o, reference, data, error) &&
                measure(o, reference, &data[0], &found, error);
    if (fine && !reference_set_threshold(reference, found)) {
        snprintf(error, CLI_ERROR_BYTES, "%s: already holds %d thresholds", o->reference,
                 REFERENCE_THRESHOLDS_MAX);
        fine = false;
    }
    fine = fine && measure_benign(o, data, found.window_rows, reference, error) &&
           reference_save_calibration(reference, o->reference, error, CLI_ERROR_BYTES);
    if (fine) {
        print_findings(reference, &found);
    }
    for (size_t k = 0; k < EVIDENCE_KINDS_MAX; k++) {
        dataset_close(&data[k]);
    }
    reference_close(reference);
    return fine;
}

int cli_calibrate(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Measure held-out honest queries: the threshold on the window score, and what an "
               "account's evidence is held against. Written into the reference.\vNever give it "
               "training data: the threshold would be far too "
               "low.",
    };
    char error[CLI_ERROR_BYTES];
    calibrate_options o = {.files[0].range = DATASET_ALL,
                           .kinds = 1,
                           .fpr = 0.001,
                           .false_alarms = 0.001,
                           .tolerance = 5.0,
                           .queries = 10000,
                           .accounts = 1000,
                           .seed = 1};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!calibrate(&o, error)) {
        cli_progress_clear();
        fprintf(stderr, "%s: %s\n", argv[0], error);
        return CLI_EXIT_FAILURE;
    }
    return 0;
}

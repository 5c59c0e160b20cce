/*
 * evaluate.c - `adder evaluate`: honest and hostile queries, offline, as a report.
 *
 * Prints a table and leaves evaluate.json, report.html and histogram.tsv (for a plot) in the
 * report's directory.
 */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arguments.h"
#include "aside.h"
#include "evaluation.h"
#include "report.h"

enum {
    WINDOWS_DEFAULT = 5000,
    WINDOWS_MAX = 1000000,
    ACCOUNTS_DEFAULT = 1000,
    ACCOUNTS_MAX = 1000000,
    QUERIES_DEFAULT = 10000,
    QUERIES_MAX = 10000000,
};

typedef struct {
    const char *reference;
    const char *out;
    evaluation_plan plan;
} evaluate_options;

enum { OPTION_SHIFTED_ROWS = 256, OPTION_ACCOUNTS, OPTION_QUERIES, OPTION_IN_ORDER };

static const struct argp_option options[] = {
    {"reference", 'r', "DIR", 0, "A calibrated reference", 1},
    {"benign", 'b', "PATH", 0,
     "Honest queries: a directory of NAME.emb*.npy with NAME.pred*.npy, or "
     "the beginning of such paths",
     1},
    {"attack", 'a', "PATH", 0, "Hostile queries, likewise", 1},
    {"shifted", 'S', "PATH", 0, "Honest queries unlike the usual ones, likewise", 1},
    {"out", 'o', "DIR", 0, "Where the report goes", 1},
    {"benign-rows", 'R', "FIRST:END:STEP", 0,
     "Take only these rows of the honest files: those that were "
     "not calibrated on",
     2},
    {"calibration-rows", 'C', "FIRST:END:STEP", 0,
     "Rows of the honest files that the thresholds of the detectors beside this one are read off",
     2},
    {"shifted-rows", OPTION_SHIFTED_ROWS, "FIRST:END:STEP", 0,
     "Take only these rows of the shifted files", 2},
    {"in-order", OPTION_IN_ORDER, "NAME", 0,
     "The file of this source is in query order, as *jbda* are; may be given often", 2},
    {"window", 'w', "W", 0, "Rows in a window (the reference's)", 3},
    {"windows", 'n', "N", 0, "Windows to draw from each source (5000)", 3},
    {"accounts", OPTION_ACCOUNTS, "N", 0, "Accounts to simulate of each kind (1000)", 3},
    {"queries", OPTION_QUERIES, "N", 0, "Queries of an honest account (10000)", 3},
    {"seed", 's', "N", 0, "Of the draw (2)", 3},
    {0},
};

static void parse_range(struct argp_state *state, const char *flag, const char *value,
                        dataset_range *range) {
    if (!dataset_parse_range(value, range)) {
        argp_error(state, "--%s: expected FIRST:END:STEP, came '%s'", flag, value);
    }
}

static error_t parse_rows(int key, char *value, struct argp_state *state) {
    evaluation_plan *plan = &((evaluate_options *)state->input)->plan;
    switch (key) {
    case 'R':
        parse_range(state, "benign-rows", value, &plan->benign_rows);
        break;
    case 'C':
        parse_range(state, "calibration-rows", value, &plan->calibration_rows);
        plan->has_calibration = true;
        break;
    case OPTION_SHIFTED_ROWS:
        parse_range(state, "shifted-rows", value, &plan->shifted_rows);
        break;
    case OPTION_IN_ORDER:
        if (plan->in_order_count == EVALUATION_IN_ORDER_MAX) {
            argp_error(state, "--in-order: expected at most %d times", EVALUATION_IN_ORDER_MAX);
        }
        plan->in_order[plan->in_order_count++] = value;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_number(int key, char *value, struct argp_state *state) {
    evaluation_plan *plan = &((evaluate_options *)state->input)->plan;
    switch (key) {
    case 'w':
        plan->window_rows = arguments_count(state, "window", value, 1, ENGINE_WINDOW_MAX);
        break;
    case 'n':
        plan->windows = arguments_count(state, "windows", value, 1, WINDOWS_MAX);
        break;
    case OPTION_ACCOUNTS:
        plan->accounts = arguments_count(state, "accounts", value, 1, ACCOUNTS_MAX);
        break;
    case OPTION_QUERIES:
        plan->queries = arguments_count(state, "queries", value, 1, QUERIES_MAX);
        break;
    case 's':
        plan->seed = arguments_count(state, "seed", value, 0, SIZE_MAX);
        break;
    default:
        return parse_rows(key, value, state);
    }
    return 0;
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    evaluate_options *o = state->input;
    switch (key) {
    case 'r':
        o->reference = value;
        break;
    case 'b':
        o->plan.benign = value;
        break;
    case 'a':
        o->plan.attack = value;
        break;
    case 'S':
        o->plan.shifted = value;
        break;
    case 'o':
        o->out = value;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    case ARGP_KEY_END:
        if (!o->reference || !o->plan.benign || !o->plan.attack || !o->out) {
            argp_error(state, "--reference, --benign, --attack and --out are needed");
        }
        break;
    default:
        return parse_number(key, value, state);
    }
    return 0;
}

static bool write_file(const char *directory, const char *name, const char *text, char *error) {
    char path[CLI_ERROR_BYTES];
    aside file = {0};
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        snprintf(error, CLI_ERROR_BYTES, "%.256s...: expected a shorter path", directory);
        return false;
    }
    bool written = aside_open(&file, path) && aside_write(&file, text, strlen(text)) &&
                   aside_sync(&file) && aside_commit(&file);
    if (!written) {
        snprintf(error, CLI_ERROR_BYTES, "%.900s: %s", path, strerror(errno));
    }
    aside_close(&file);
    return written;
}

typedef struct {
    char *text;
    size_t bytes;
    FILE *out;
} page;

static bool page_open(page *p) {
    p->out = open_memstream(&p->text, &p->bytes);
    return p->out != NULL;
}

/* Whether all that was written is in the text. */
static bool page_end(page *p) {
    bool fine = ferror(p->out) == 0;
    return fclose(p->out) == 0 && fine;
}

static bool write_report(const evaluation *e, const json_t *report, const char *directory,
                         char *error) {
    page histogram = {0};
    page html = {0};
    char *text = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    bool fine = text != NULL && page_open(&histogram);
    if (fine) {
        report_histogram(e, histogram.out);
        fine = page_end(&histogram) && page_open(&html);
    }
    if (fine) {
        report_html(report, html.out);
        fine = page_end(&html);
    }
    if (!fine) {
        snprintf(error, CLI_ERROR_BYTES, "out of memory");
    }
    fine = fine && write_file(directory, "evaluate.json", text, error) &&
           write_file(directory, "histogram.tsv", histogram.text, error) &&
           write_file(directory, "report.html", html.text, error);
    free(html.text);
    free(histogram.text);
    free(text);
    return fine;
}

static bool open_report(evaluate_options *o, reference **reference, char *error) {
    if (!reference_load(reference, o->reference, error, CLI_ERROR_BYTES)) {
        return false;
    }
    if (o->plan.window_rows == 0) {
        o->plan.window_rows = (*reference)->window_rows;
    }
    if (reference_find_threshold(*reference, o->plan.window_rows) == NULL) {
        snprintf(error, CLI_ERROR_BYTES,
                 "%s: no threshold for a window of %zu rows; run adder "
                 "calibrate first",
                 o->reference, o->plan.window_rows);
        return false;
    }
    if (mkdir(o->out, 0777) != 0 && errno != EEXIST) {
        snprintf(error, CLI_ERROR_BYTES, "%s: %s", o->out, strerror(errno));
        return false;
    }
    return true;
}

static bool evaluate(evaluate_options *o, char *error) {
    reference *reference = NULL;
    evaluation e = {0};
    json_t *report = NULL;
    bool fine = open_report(o, &reference, error) &&
                evaluation_run(&e, &o->plan, reference, error, CLI_ERROR_BYTES);
    if (fine) {
        report = report_json(&e);
        fine = report != NULL;
        if (!fine) {
            snprintf(error, CLI_ERROR_BYTES, "out of memory");
        }
    }
    fine = fine && write_report(&e, report, o->out, error);
    if (fine) {
        report_table(report, stdout);
    }
    json_decref(report);
    evaluation_close(&e);
    reference_close(reference);
    return fine;
}

int cli_evaluate(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Judge windows and simulated accounts of honest and hostile queries offline: this "
               "detector, the paper's raw score and per-query baselines side by side.\vWithout "
               "--calibration-rows the baselines have no thresholds and only ROC curves.",
    };
    char error[CLI_ERROR_BYTES];
    evaluate_options o = {.plan = {.benign_rows = DATASET_ALL,
                                   .shifted_rows = DATASET_ALL,
                                   .windows = WINDOWS_DEFAULT,
                                   .accounts = ACCOUNTS_DEFAULT,
                                   .queries = QUERIES_DEFAULT,
                                   .seed = 2}};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!evaluate(&o, error)) {
        cli_progress_clear();
        fprintf(stderr, "%s: %s\n", argv[0], error);
        return CLI_EXIT_FAILURE;
    }
    return 0;
}

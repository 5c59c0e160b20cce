/*
 * evaluate.c - `adder evaluate`: raw ADD on folders of honest and hostile queries, offline.
 *
 * Prints AUROC and the share of windows above the reference's threshold for every source, and
 * leaves evaluate.json and histogram.tsv (for a plot) in the report's directory.
 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "arguments.h"
#include "aside.h"
#include "dataset.h"
#include "reference.h"
#include "sampling.h"

enum { WINDOWS_DEFAULT = 5000, WINDOWS_MAX = 1000000, BINS = 120 };

typedef struct {
    const char *reference;
    const char *benign;
    const char *attack;
    const char *out;
    dataset_range benign_rows;
    size_t window_rows;
    size_t windows;
    size_t seed;
} evaluate_options;

/* Scores of one source, sorted. */
typedef struct {
    dataset_pair pair;
    bool hostile;
    double *scores; /* [windows] */
} source;

typedef struct {
    const evaluate_options *options;
    reference *reference;
    size_t window_rows;
    const reference_threshold *threshold;
    dataset_pair *pairs; /* [DATASET_PAIRS_MAX] */
    source *source;      /* [2 * DATASET_PAIRS_MAX], honest ones first */
    size_t sources;
    double *honest; /* all honest scores, sorted */
    size_t honest_count;
} evaluation;

static const struct argp_option options[] = {
    {"reference", 'r', "DIR", 0, "A calibrated reference", 1},
    {"benign", 'b', "PATH", 0,
     "Honest queries: a directory of NAME.emb*.npy with NAME.pred*.npy, or "
     "the beginning of such paths",
     1},
    {"attack", 'a', "PATH", 0, "Hostile queries, likewise", 1},
    {"out", 'o', "DIR", 0, "Where the report goes", 1},
    {"benign-rows", 'R', "FIRST:END:STEP", 0,
     "Take only these rows of the honest files: those that were "
     "not calibrated on",
     2},
    {"window", 'w', "W", 0, "Rows in a window (the reference's)", 2},
    {"windows", 'n', "N", 0, "Windows to draw from each source (5000)", 2},
    {"seed", 's', "N", 0, "Of the draw (2)", 2},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    evaluate_options *o = state->input;
    switch (key) {
    case 'r':
        o->reference = value;
        break;
    case 'b':
        o->benign = value;
        break;
    case 'a':
        o->attack = value;
        break;
    case 'o':
        o->out = value;
        break;
    case 'R':
        if (!dataset_parse_range(value, &o->benign_rows)) {
            argp_error(state, "--benign-rows: expected FIRST:END:STEP, came '%s'", value);
        }
        break;
    case 'w':
        o->window_rows = arguments_count(state, "window", value, 1, ENGINE_WINDOW_MAX);
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
        if (!o->reference || !o->benign || !o->attack || !o->out) {
            argp_error(state, "--reference, --benign, --attack and --out are needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static bool score_source(evaluation *e, const dataset_pair *pair, bool hostile, char *error) {
    dataset data;
    const evaluate_options *o = e->options;
    source *s = &e->source[e->sources++];
    *s = (source){.pair = *pair, .hostile = hostile};
    s->scores = calloc(o->windows, sizeof *s->scores);
    if (s->scores == NULL) {
        snprintf(error, CLI_ERROR_BYTES, "out of memory");
        return false;
    }
    dataset_files files = {.embeddings = pair->embeddings,
                           .classes = pair->classes,
                           .range = hostile ? DATASET_ALL : o->benign_rows,
                           .dim = e->reference->statistics.dim,
                           .class_count = e->reference->statistics.classes};
    if (!dataset_load(&data, &files, error, CLI_ERROR_BYTES)) {
        return false;
    }
    sampling_plan plan = {.reference = e->reference,
                          .window_rows = e->window_rows,
                          .windows = o->windows,
                          .seed = o->seed,
                          .label = pair->name};
    bool scored = sampling_scores(&plan, &data, s->scores, error, CLI_ERROR_BYTES);
    sampling_sort(s->scores, o->windows);
    dataset_close(&data);
    return scored;
}

static bool score_folder(evaluation *e, const char *path, bool hostile, char *error) {
    size_t count = dataset_find(e->pairs, path, error, CLI_ERROR_BYTES);
    for (size_t i = 0; i < count; i++) {
        if (!score_source(e, &e->pairs[i], hostile, error)) {
            return false;
        }
    }
    return count > 0;
}

/* AUROC is against all honest windows together. */
static bool pool_honest(evaluation *e, char *error) {
    size_t windows = e->options->windows;
    e->honest = calloc(e->sources * windows, sizeof *e->honest);
    if (e->honest == NULL) {
        snprintf(error, CLI_ERROR_BYTES, "out of memory");
        return false;
    }
    for (size_t i = 0; i < e->sources && !e->source[i].hostile; i++) {
        memcpy(e->honest + e->honest_count, e->source[i].scores, windows * sizeof *e->honest);
        e->honest_count += windows;
    }
    sampling_sort(e->honest, e->honest_count);
    return true;
}

static void print_table(const evaluation *e) {
    size_t windows = e->options->windows;
    printf("window %zu rows, %zu windows a source, threshold %.6g (%g of honest windows when "
           "calibrated)\n",
           e->window_rows, windows, e->threshold->threshold, e->threshold->fpr);
    printf("%-24s %-8s %8s %8s %8s %8s %9s\n", "source", "kind", "1 %", "median", "99 %", "AUROC",
           "above");
    for (size_t i = 0; i < e->sources; i++) {
        const source *s = &e->source[i];
        char auroc[16] = "-";
        if (s->hostile) {
            snprintf(auroc, sizeof auroc, "%.4f",
                     sampling_auroc(e->honest, e->honest_count, s->scores, windows));
        }
        printf("%-24.24s %-8s %8.3f %8.3f %8.3f %8s %9.4f\n", s->pair.name,
               s->hostile ? "attack" : "honest", sampling_upper(s->scores, windows, 0.99),
               sampling_upper(s->scores, windows, 0.5), sampling_upper(s->scores, windows, 0.01),
               auroc, sampling_share_above(s->scores, windows, e->threshold->threshold));
    }
}

static json_t *report_of(const evaluation *e) {
    size_t windows = e->options->windows;
    json_t *sources = json_array();
    for (size_t i = 0; i < e->sources; i++) {
        const source *s = &e->source[i];
        json_t *entry = json_pack(
            "{s:s, s:b, s:I, s:f, s:f}", "name", s->pair.name, "hostile", s->hostile, "windows",
            (json_int_t)windows, "median", sampling_upper(s->scores, windows, 0.5), "above",
            sampling_share_above(s->scores, windows, e->threshold->threshold));
        if (s->hostile) {
            json_object_set_new(
                entry, "auroc",
                json_real(sampling_auroc(e->honest, e->honest_count, s->scores, windows)));
        }
        if (json_array_append_new(sources, entry) != 0) {
            json_decref(sources);
            return NULL;
        }
    }
    return json_pack("{s:s, s:I, s:f, s:f, s:o}", "model", e->reference->model, "window",
                     (json_int_t)e->window_rows, "threshold", e->threshold->threshold, "fpr",
                     e->threshold->fpr, "sources", sources);
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

/* Share of each source's windows in bins that are equally wide on a logarithmic scale. */
static void write_histogram(const evaluation *e, FILE *out) {
    size_t windows = e->options->windows;
    double low = e->source[0].scores[0];
    double high = low;
    for (size_t i = 0; i < e->sources; i++) {
        low = fmin(low, e->source[i].scores[0]);
        high = fmax(high, e->source[i].scores[windows - 1]);
    }
    low = fmax(low, 1e-6) * 0.98;
    double step = pow(high * 1.02 / low, 1.0 / BINS);
    fprintf(out, "score");
    for (size_t i = 0; i < e->sources; i++) {
        fprintf(out, "\t%s", e->source[i].pair.name);
    }
    for (size_t bin = 0; bin < BINS; bin++) {
        double from = low * pow(step, (double)bin);
        fprintf(out, "\n%.6g", from * sqrt(step));
        for (size_t i = 0; i < e->sources; i++) {
            const double *scores = e->source[i].scores;
            fprintf(out, "\t%.6g",
                    sampling_share_above(scores, windows, from) -
                        sampling_share_above(scores, windows, from * step));
        }
    }
    fprintf(out, "\n");
}

static bool write_report(const evaluation *e, char *error) {
    char *histogram = NULL;
    size_t bytes;
    FILE *out = open_memstream(&histogram, &bytes);
    json_t *report = report_of(e);
    char *text = report != NULL ? json_dumps(report, JSON_INDENT(2)) : NULL;
    bool fine = out != NULL && text != NULL; /* jansson passes a failed part on as NULL */
    if (out != NULL) {
        write_histogram(e, out);
        fclose(out);
    }
    if (!fine) {
        snprintf(error, CLI_ERROR_BYTES, "out of memory");
    }
    fine = fine && write_file(e->options->out, "evaluate.json", text, error) &&
           write_file(e->options->out, "histogram.tsv", histogram, error);
    free(text);
    json_decref(report);
    free(histogram);
    return fine;
}

static bool open_evaluation(evaluation *e, char *error) {
    const evaluate_options *o = e->options;
    if (!reference_load(&e->reference, o->reference, error, CLI_ERROR_BYTES)) {
        return false;
    }
    e->window_rows = o->window_rows != 0 ? o->window_rows : e->reference->window_rows;
    e->threshold = reference_find_threshold(e->reference, e->window_rows);
    if (e->threshold == NULL) {
        snprintf(error, CLI_ERROR_BYTES,
                 "%s: no threshold for a window of %zu rows; run adder "
                 "calibrate first",
                 o->reference, e->window_rows);
        return false;
    }
    if (mkdir(o->out, 0777) != 0 && errno != EEXIST) {
        snprintf(error, CLI_ERROR_BYTES, "%s: %s", o->out, strerror(errno));
        return false;
    }
    e->pairs = calloc(DATASET_PAIRS_MAX, sizeof *e->pairs);
    e->source = calloc(2 * DATASET_PAIRS_MAX, sizeof *e->source);
    if (e->pairs == NULL || e->source == NULL) {
        snprintf(error, CLI_ERROR_BYTES, "out of memory");
        return false;
    }
    return true;
}

int cli_evaluate(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Score windows of honest and hostile queries offline and say how well the paper's "
               "raw score tells them apart.",
    };
    char error[CLI_ERROR_BYTES];
    evaluate_options o = {.benign_rows = DATASET_ALL, .windows = WINDOWS_DEFAULT, .seed = 2};
    evaluation e = {.options = &o};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    bool fine = open_evaluation(&e, error) && score_folder(&e, o.benign, false, error) &&
                score_folder(&e, o.attack, true, error) && pool_honest(&e, error) &&
                write_report(&e, error);
    if (fine) {
        print_table(&e);
    } else {
        cli_progress_clear();
        fprintf(stderr, "%s: %s\n", argv[0], error);
    }
    for (size_t i = 0; i < e.sources; i++) {
        free(e.source[i].scores);
    }
    free(e.honest);
    free(e.source);
    free(e.pairs);
    reference_close(e.reference);
    return fine ? 0 : CLI_EXIT_FAILURE;
}

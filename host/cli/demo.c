/*
 * demo.c - `adder demo`: a day at the API, with honest accounts and thieves of every kind at once.
 *
 * All accounts send 16 queries a request in turn, over NNG, to a running daemon. Honest queries
 * come from rows that calibration has not seen (--benign-rows); an account's rows are drawn without
 * replacement. Everything in the table is counted from the daemon's replies.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adder.h"
#include "arguments.h"
#include "dataset.h"
#include "sampling.h"
#include "stream.h"

enum { REQUEST_ROWS = 16, QUERIES_DEFAULT = 512, QUERIES_MAX = 1 << 20, SOURCES_MAX = 16 };

typedef struct {
    const char *name;
    const char *kind; /* what it does, for the table */
    bool hostile;
    const char *source;    /* of its hostile queries, or of all when honest */
    unsigned hostile_16th; /* of 16 queries so many come from `source`, the rest are honest */
    unsigned classes;      /* predicted classes it keeps to, from first_class on; 0: all */
    unsigned first_class;
    bool in_order; /* rows in the order of the file, as the attack queried */
} role;

/* 16 of 16 hostile, unless it mixes. */
static const role roles[] = {
    {"alice", "honest, all classes", false, "benign_test", 16, 0, 0, false},
    {"bob", "honest, all classes", false, "benign_test", 16, 0, 0, false},
    {"carol", "honest, all classes", false, "benign_test", 16, 0, 0, false},
    {"dave", "honest, all classes", false, "benign_test", 16, 0, 0, false},
    {"erin", "honest, three classes", false, "benign_test", 16, 3, 4, false},
    {"frank", "honest, two classes", false, "benign_test", 16, 2, 0, false},
    {"grace", "honest, one class", false, "benign_test", 16, 1, 8, false},
    {"heidi", "honest, one class", false, "benign_test", 16, 1, 3, false},
    {"ivan", "honest, shifted images", false, "benign_shift", 16, 0, 0, false},
    {"mallory-1", "CIFAR-100", true, "atk_cifar100", 16, 0, 0, false},
    {"mallory-2", "Tiny ImageNet", true, "atk_tinyimagenet", 16, 0, 0, false},
    {"mallory-3", "near-boundary (JBDA)", true, "atk_jbda", 16, 0, 0, true},
    {"mallory-4", "data-free generator", true, "atk_gen_untrained", 16, 0, 0, false},
    {"mallory-5", "uniform noise", true, "atk_noise_uniform", 16, 0, 0, false},
    {"mallory-6", "gaussian noise", true, "atk_noise_gauss", 16, 0, 0, false},
    {"trudy-75", "75 % CIFAR-100, rest honest", true, "atk_cifar100", 12, 0, 0, false},
    {"trudy-50", "50 % CIFAR-100, rest honest", true, "atk_cifar100", 8, 0, 0, false},
    {"trudy-25", "25 % CIFAR-100, rest honest", true, "atk_cifar100", 4, 0, 0, false},
    {"oscar", "CIFAR-100, one class", true, "atk_cifar100", 16, 1, 6, false},
};
enum { ROLES = sizeof roles / sizeof *roles };

typedef struct {
    const char *url;
    const char *data;
    dataset_range benign_rows;
    size_t queries;
} demo_options;

/* Rows of one source that a role may send, in the order it sends them. */
typedef struct {
    const dataset *data;
    uint32_t *row;
    size_t rows;
    size_t next;
} supply;

typedef struct {
    const role *role;
    supply own;
    supply honest; /* to mix in */
    stream stream;
    stream_tally tally;
} actor;

typedef struct {
    const demo_options *options;
    adder_client *client;
    adder_info info;
    dataset_pair *pairs; /* [DATASET_PAIRS_MAX] */
    dataset data[SOURCES_MAX];
    const char *data_name[SOURCES_MAX];
    size_t sources;
    actor actor[ROLES];
    stream_clock clock;
    double seconds;
} demo;

static const struct argp_option options[] = {
    {"connect", 'u', "URL", 0, "The daemon", 1},
    {"data", 'd', "DIR", 0, "The bundled sources, NAME.emb*.npy and NAME.pred*.npy", 1},
    {"benign-rows", 'R', "FIRST:END:STEP", 0,
     "Take only these rows of the honest files: those that were "
     "not calibrated on",
     2},
    {"queries", 'q', "N", 0, "Of each account (512)", 2},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    demo_options *o = state->input;
    switch (key) {
    case 'u':
        o->url = value;
        break;
    case 'd':
        o->data = value;
        break;
    case 'R':
        if (!dataset_parse_range(value, &o->benign_rows)) {
            argp_error(state, "--benign-rows: expected FIRST:END:STEP, came '%s'", value);
        }
        break;
    case 'q':
        o->queries = arguments_count(state, "queries", value, 1, QUERIES_MAX);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    case ARGP_KEY_END:
        if (o->url == NULL || o->data == NULL) {
            argp_error(state, "--connect and --data are needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- preparing ---- */

static bool load_source(demo *d, const char *name, char *error) {
    size_t pairs = dataset_find(d->pairs, d->options->data, error, CLI_ERROR_BYTES);
    bool honest = strncmp(name, "benign", strlen("benign")) == 0;
    for (size_t i = 0; i < pairs; i++) {
        if (strcmp(d->pairs[i].name, name) == 0) {
            dataset_files files = {.embeddings = d->pairs[i].embeddings,
                                   .classes = d->pairs[i].classes,
                                   .range = honest ? d->options->benign_rows : DATASET_ALL,
                                   .dim = (size_t)d->info.model[0].dim,
                                   .class_count = (size_t)d->info.model[0].classes};
            d->data_name[d->sources] = name;
            return dataset_load(&d->data[d->sources++], &files, error, CLI_ERROR_BYTES);
        }
    }
    if (pairs > 0) {
        snprintf(error, CLI_ERROR_BYTES, "%s: no source '%s'", d->options->data, name);
    }
    return false;
}

static const dataset *find_source(demo *d, const char *name, char *error) {
    for (size_t i = 0; i < d->sources; i++) {
        if (strcmp(d->data_name[i], name) == 0) {
            return &d->data[i];
        }
    }
    return load_source(d, name, error) ? &d->data[d->sources - 1] : NULL;
}

static bool supply_open(supply *supply, const dataset *data, const role *role, size_t rows,
                        uint64_t seed, char *error) {
    sampling_random random = {seed};
    unsigned end = role->classes == 0 ? UINT32_MAX : role->first_class + role->classes;
    supply->data = data;
    supply->row = calloc(data->rows, sizeof *supply->row);
    if (supply->row == NULL) {
        snprintf(error, CLI_ERROR_BYTES, "out of memory");
        return false;
    }
    for (size_t i = 0; i < data->rows; i++) {
        if (data->classes[i] >= role->first_class && data->classes[i] < end) {
            supply->row[supply->rows++] = (uint32_t)i;
        }
    }
    if (supply->rows == 0) {
        snprintf(error, CLI_ERROR_BYTES, "no rows for '%s'", role->name);
        return false;
    }
    if (!role->in_order) {
        sampling_shuffle(&random, supply->row, supply->rows,
                         rows < supply->rows ? rows : supply->rows);
    }
    return true;
}

static bool prepare_actor(demo *d, size_t number, char *error) {
    actor *a = &d->actor[number];
    a->role = &roles[number];
    const dataset *own = find_source(d, a->role->source, error);
    const dataset *honest = own != NULL ? find_source(d, "benign_test", error) : NULL;
    a->stream = (stream){.client = d->client,
                         .account = a->role->name,
                         .dim = (size_t)d->info.model[0].dim,
                         .window_rows = (size_t)d->info.model[0].window,
                         .clock = &d->clock};
    return honest != NULL &&
           supply_open(&a->own, own, a->role, d->options->queries, 100 + number, error) &&
           supply_open(&a->honest, honest, a->role, d->options->queries, 200 + number, error);
}

/* ---- streaming ---- */

/* The next row; a source that is used up begins again. */
static uint32_t take(supply *supply) {
    return supply->row[supply->next++ % supply->rows];
}

/* Hostile and honest queries are spread evenly over a request. */
static adder_status act(actor *a, size_t rows, float *embeddings, uint32_t *classes,
                        adder_error *error) {
    size_t dim = a->stream.dim;
    for (size_t i = 0; i < rows; i++) {
        bool own = i * a->role->hostile_16th % REQUEST_ROWS < a->role->hostile_16th;
        supply *from = own ? &a->own : &a->honest;
        uint32_t row = take(from);
        memcpy(embeddings + i * dim, dataset_row(from->data, row), dim * sizeof *embeddings);
        classes[i] = from->data->classes[row];
    }
    return stream_send(&a->stream, rows, embeddings, classes, &a->tally, error);
}

static bool stream_all(demo *d, adder_error *error) {
    uint32_t classes[REQUEST_ROWS];
    size_t queries = d->options->queries;
    size_t done = 0;
    float *embeddings = calloc(REQUEST_ROWS * (size_t)d->info.model[0].dim, sizeof *embeddings);
    bool fine = embeddings != NULL;
    double start_ms = stream_now_ms();
    for (size_t sent = 0; fine && sent < queries; sent += REQUEST_ROWS) {
        size_t rows = queries - sent < REQUEST_ROWS ? queries - sent : REQUEST_ROWS;
        for (size_t i = 0; fine && i < ROLES; i++) {
            fine = act(&d->actor[i], rows, embeddings, classes, error) == ADDER_OK;
            done += rows;
            cli_progress("streaming", done, queries * ROLES);
        }
    }
    d->seconds = (stream_now_ms() - start_ms) / 1e3;
    free(embeddings);
    return fine;
}

/* ---- the end ---- */

static void print_table(const demo *d) {
    printf("%-10s %-28s %8s %8s %9s %8s\n", "account", "kind", "queries", "flagged", "poisoned",
           "mean");
    printf("%-10s %-28s %8s %8s %9s %8s\n", "", "", "", "at query", "", "excess");
    for (size_t i = 0; i < ROLES; i++) {
        const role *r = &roles[i];
        const stream_tally *t = &d->actor[i].tally;
        char flagged[24] = "never";
        if (t->first_flagged > 0) {
            snprintf(flagged, sizeof flagged, "%zu", t->first_flagged);
        }
        printf("%-10s %-28s %8zu %8s %8.1f%% %8.2f\n", r->name, r->kind, t->queries, flagged,
               100.0 * (double)t->poisoned / (double)t->queries,
               t->excess_sum / (double)t->queries);
    }
}

static void print_summary(demo *d) {
    size_t thieves = 0;
    size_t caught = 0;
    size_t honest = 0;
    size_t accused = 0;
    size_t queries = 0;
    size_t honest_queries = 0;
    size_t honest_poisoned = 0;
    for (size_t i = 0; i < ROLES; i++) {
        const stream_tally *t = &d->actor[i].tally;
        bool flagged = t->first_flagged > 0;
        queries += t->queries;
        if (roles[i].hostile) {
            thieves++;
            caught += flagged;
        } else {
            honest++;
            accused += flagged;
            honest_queries += t->queries;
            honest_poisoned += t->poisoned;
        }
    }
    printf("\ndetection        %zu of %zu thieves flagged (%.1f %%)\n", caught, thieves,
           100.0 * (double)caught / (double)thieves);
    printf("false positives  %zu of %zu honest accounts flagged; %zu of their %zu queries poisoned "
           "(%.2f %%)\n",
           accused, honest, honest_poisoned, honest_queries,
           100.0 * (double)honest_poisoned / (double)honest_queries);
    printf("throughput       %.0f queries/s, one client, %d queries a request, engine %s\n",
           (double)queries / d->seconds, REQUEST_ROWS, d->info.engine);
    printf("latency          p50 %.3f ms, p99 %.3f ms a request\n",
           stream_clock_quantile(&d->clock, 0.5), stream_clock_quantile(&d->clock, 0.99));
}

static void demo_close(demo *d) {
    for (size_t i = 0; i < ROLES; i++) {
        free(d->actor[i].own.row);
        free(d->actor[i].honest.row);
    }
    for (size_t i = 0; i < d->sources; i++) {
        dataset_close(&d->data[i]);
    }
    stream_clock_close(&d->clock);
    free(d->pairs);
    adder_close(d->client);
}

static bool prepare(demo *d, adder_error *error) {
    size_t requests = ROLES * (d->options->queries / REQUEST_ROWS + 1);
    d->pairs = calloc(DATASET_PAIRS_MAX, sizeof *d->pairs);
    if (d->pairs == NULL || !stream_clock_open(&d->clock, requests)) {
        snprintf(error->text, sizeof error->text, "out of memory");
        return false;
    }
    if (adder_open(&d->client, d->options->url, NULL, error) != ADDER_OK ||
        adder_hello(d->client, &d->info, error) != ADDER_OK) {
        return false;
    }
    if (!d->info.model[0].has_tables) {
        snprintf(error->text, sizeof error->text, "the daemon's reference is not calibrated");
        return false;
    }
    for (size_t i = 0; i < ROLES; i++) {
        char text[CLI_ERROR_BYTES];
        if (!prepare_actor(d, i, text)) {
            snprintf(error->text, sizeof error->text, "%.*s", (int)sizeof error->text - 1, text);
            return false;
        }
    }
    return true;
}

int cli_demo(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Stream honest accounts and thieves of every kind in the bundled data to a running "
               "daemon, and print how each fared.",
    };
    demo_options o = {.benign_rows = DATASET_ALL, .queries = QUERIES_DEFAULT};
    demo d = {.options = &o};
    adder_error error = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    bool fine = prepare(&d, &error) && stream_all(&d, &error);
    if (fine) {
        print_table(&d);
        print_summary(&d);
    } else {
        cli_progress_clear();
        fprintf(stderr, "%s: %s\n", argv[0], error.text);
    }
    demo_close(&d);
    return fine ? 0 : CLI_EXIT_FAILURE;
}

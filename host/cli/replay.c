/*
 * replay.c - `adder replay`: streams a file of queries to the daemon as one account.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "adder.h"
#include "arguments.h"
#include "connect.h"
#include "dataset.h"
#include "stream.h"

typedef struct {
    const char *account;
    dataset_files files;
    size_t batch_rows;
    connect_flags connect;
} replay_options;

static const struct argp_option options[] = {
    {"account", 'a', "NAME", 0, "The account to be", 1},
    {"embeddings", 'e', "FILE", 0, "Queries, .npy [rows, dim]", 1},
    {"classes", 'c', "FILE", 0, "Their predicted classes, .npy [rows]", 1},
    {"rows", 'R', "FIRST:END:STEP", 0, "Send only these rows of the files (all)", 2},
    {"batch", 'b', "ROWS", 0, "Rows in a request (16)", 2},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    replay_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->connect;
        break;
    case 'a':
        o->account = value;
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
    case 'b':
        o->batch_rows = arguments_count(state, "batch", value, 1, STREAM_ROWS_MAX);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    case ARGP_KEY_END:
        if (!o->account || !o->files.embeddings || !o->files.classes) {
            argp_error(state, "--account, --embeddings and --classes are needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void print_tally(const stream_tally *tally, double seconds, stream_clock *clock) {
    printf("queries          %zu\n", tally->queries);
    if (tally->first_flagged > 0) {
        printf("first flagged at %zu\n", tally->first_flagged);
    } else {
        printf("first flagged at never\n");
    }
    printf("poisoned         %zu (%.1f %%)\n", tally->poisoned,
           100.0 * (double)tally->poisoned / (double)tally->queries);
    printf("score            last %.4g, highest of full windows %.4g\n", tally->score_last,
           tally->score_max);
    printf("queries/s        %.0f\n", (double)tally->queries / seconds);
    printf("latency          p50 %.3f ms, p99 %.3f ms\n", stream_clock_quantile(clock, 0.5),
           stream_clock_quantile(clock, 0.99));
}

static bool send_all(const replay_options *o, const stream *stream, const dataset *data,
                     stream_tally *tally, adder_error *error) {
    for (size_t row = 0; row < data->rows;) {
        size_t count = data->rows - row < o->batch_rows ? data->rows - row : o->batch_rows;
        if (stream_send(stream, count, dataset_row(data, row), data->classes + row, tally, error) !=
            ADDER_OK) {
            return false;
        }
        row += count;
        cli_progress("replaying", row, data->rows);
    }
    return true;
}

static size_t window_of(const adder_info *info, const char *model) {
    size_t i = 0;
    while (model != NULL && i + 1 < info->models && strcmp(info->model[i].name, model) != 0) {
        i++;
    }
    return (size_t)info->model[i].window;
}

static bool replay(const replay_options *o, adder_error *error) {
    dataset data = {0};
    stream_clock clock = {0};
    stream_tally tally = {0};
    adder_info info;
    adder_client *client = NULL;
    adder_options client_options = connect_options(&o->connect);
    bool fine = dataset_load(&data, &o->files, error->text, sizeof error->text) &&
                adder_open(&client, o->connect.url, &client_options, error) == ADDER_OK &&
                adder_hello(client, &info, error) == ADDER_OK;
    if (fine && !stream_clock_open(&clock, data.rows)) {
        snprintf(error->text, sizeof error->text, "out of memory");
        fine = false;
    }
    if (fine) {
        stream stream = {.client = client,
                         .account = o->account,
                         .dim = data.dim,
                         .window_rows = window_of(&info, o->connect.model),
                         .clock = &clock};
        double start_ms = stream_now_ms();
        fine = send_all(o, &stream, &data, &tally, error);
        if (fine) {
            print_tally(&tally, (stream_now_ms() - start_ms) / 1e3, &clock);
        }
    }
    adder_close(client);
    stream_clock_close(&clock);
    dataset_close(&data);
    return fine;
}

int cli_replay(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Stream a file of queries to the daemon as one account and say how it fared.",
        .children = connect_children,
    };
    adder_error error = {0};
    replay_options o = {.files.range = DATASET_ALL, .batch_rows = 16};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!replay(&o, &error)) {
        cli_progress_clear();
        fprintf(stderr, "%s: %s\n", argv[0], error.text);
        return CLI_EXIT_FAILURE;
    }
    return 0;
}

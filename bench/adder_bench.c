/*
 * adder_bench.c - `adder-bench`: hands the command line to the measurement it names.
 */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

typedef struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} command;

static const command commands[] = {
    {"engine", bench_engine, "the engine alone, beside sgemm and LAPACK"},
    {"serve", bench_serve, "a daemon over NNG, beside a null echo"},
    {"overload", bench_overload, "a daemon offered many times what it can do"},
    {"peers", bench_peers, "a good client beside thousands that say nothing, or half of it"},
    {"watched", bench_watched, "a daemon whose metrics are counted, beside one whose are not"},
    {"flood", bench_flood, "a running daemon, asked about more accounts than it can hold"},
    {"compare", bench_compare, "windows of a file, Adder's side of bench/compare/compare.py"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

typedef struct {
    const command *command;
    int first; /* argv[first] is the command's name */
} choice;

/* What went wrong is one line: argp's own hint after it is turned off by err_stream. */
static error_t parse_option(int key, char *argument, struct argp_state *state) {
    choice *chosen = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL;
        return 0;
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < COMMANDS; i++) {
            if (strcmp(argument, commands[i].name) == 0) {
                *chosen = (choice){&commands[i], state->next - 1};
                state->next = state->argc;
                return 0;
            }
        }
        fprintf(stderr, "adder-bench: no command '%s'; see adder-bench --help\n", argument);
        return EINVAL;
    case ARGP_KEY_NO_ARGS:
        fprintf(stderr, "adder-bench: a command expected; see adder-bench --help\n");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The list of commands, after argp's own text of --help. */
static char *help(int key, const char *text, void *input) {
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC) {
        return (char *)text;
    }
    char *list = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&list, &bytes);
    if (out == NULL) {
        return NULL;
    }
    fputs("Commands:\n", out);
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].what);
    }
    fputs("Each has a --help of its own.", out);
    fclose(out);
    return list;
}

int main(int argc, char **argv) {
    static char name[] = "adder-bench";
    const struct argp argp = {
        .parser = parse_option,
        .args_doc = "COMMAND [OPTION...]",
        .doc = "Measures Adder on this machine; every figure printed is measured in the run.\v ",
        .help_filter = help,
    };
    choice chosen = {0};
    argv[0] = name; /* what getopt puts before its messages */
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &chosen) != 0) {
        return BENCH_EXIT_USAGE;
    }
    int status = chosen.command->run(argc - chosen.first, argv + chosen.first);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "adder-bench: cannot write to standard output\n");
        return BENCH_EXIT_FAILURE;
    }
    return status;
}

/*
 * adder.c - the command line: picks the subcommand.
 */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "cli.h"

typedef struct {
    const char *name;
    char *title; /* what argp prints as the program's name */
    int (*run)(int argc, char **argv);
    const char *help;
} command;

static char fit_title[] = "adder fit";
static char calibrate_title[] = "adder calibrate";
static char evaluate_title[] = "adder evaluate";
static char replay_title[] = "adder replay";
static char demo_title[] = "adder demo";
static char ping_title[] = "adder ping";
static char info_title[] = "adder info";
static char top_title[] = "adder top";
static char explain_title[] = "adder explain";
static char forget_title[] = "adder forget";
static char hash_name_title[] = "adder hash-name";
static char snapshot_title[] = "adder snapshot";

static const command commands[] = {
    {"fit", fit_title, cli_fit, "make a reference from training data or statistics"},
    {"calibrate", calibrate_title, cli_calibrate, "measure held-out honest queries"},
    {"evaluate", evaluate_title, cli_evaluate, "score honest and hostile queries offline"},
    {"replay", replay_title, cli_replay, "stream a file to the daemon as one account"},
    {"demo", demo_title, cli_demo, "stream honest accounts and thieves and print how they fared"},
    {"ping", ping_title, cli_ping, "see whether the daemon answers"},
    {"info", info_title, cli_info, "print what the daemon serves and its limits"},
    {"top", top_title, cli_top, "show what the daemon does, and its riskiest accounts"},
    {"explain", explain_title, cli_explain, "print why an account or a group has its verdict"},
    {"forget", forget_title, cli_forget, "drop an account's window, memory and evidence"},
    {"hash-name", hash_name_title, cli_hash_name, "print what an account is called in a log"},
    {"snapshot", snapshot_title, cli_snapshot, "check a daemon's snapshot and print what is in it"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fprintf(out, "Usage: adder COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    }
    fprintf(out, "\nadder COMMAND --help tells more.\n");
}

/* What was printed may not have arrived: a full disk is a failure too. */
static int finish(int status, const char *title) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: cannot write to standard output\n", title);
        return CLI_EXIT_FAILURE;
    }
    return status;
}

int main(int argc, char **argv) {
    argp_err_exit_status = CLI_EXIT_USAGE;
    if (sodium_init() < 0) {
        fprintf(stderr, "adder: libsodium could not start\n");
        return CLI_EXIT_FAILURE;
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        print_help(stdout);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            argv[1] = commands[i].title;
            return finish(commands[i].run(argc - 1, argv + 1), commands[i].title);
        }
    }
    fprintf(stderr, "adder: %s; adder --help lists the commands\n",
            argc < 2 ? "a command is needed" : "no such command");
    return CLI_EXIT_USAGE;
}

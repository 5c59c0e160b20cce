/*
 * cli.h - the subcommands of `adder`, one file each, and what they share.
 *
 * A subcommand takes the arguments after "adder" (argv[0] is its own name), and returns the exit
 * status: 0 success, 1 failure after one line on stderr. Wrong usage exits with CLI_EXIT_USAGE.
 */
#ifndef ADDER_CLI_H
#define ADDER_CLI_H

#include <stddef.h>

enum {
    CLI_EXIT_FAILURE = 1,
    CLI_EXIT_USAGE = 2,
    CLI_ERROR_BYTES = 1024,
    CLI_TIMEOUT_MS_MAX = 3600 * 1000,
};

int cli_fit(int argc, char **argv);
int cli_calibrate(int argc, char **argv);
int cli_evaluate(int argc, char **argv);
int cli_replay(int argc, char **argv);
int cli_demo(int argc, char **argv);
int cli_ping(int argc, char **argv);
int cli_info(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_forget(int argc, char **argv);
int cli_hash_name(int argc, char **argv);
int cli_snapshot(int argc, char **argv);

/* Draws `label` and a bar on stderr when that is a terminal, at most ten times a second, and ends
 * the line at done == all. One bar at a time, from one thread. */
void cli_progress(const char *label, size_t done, size_t all);
/* Wipes a bar that has not come to its end, so that an error has the line to itself. */
void cli_progress_clear(void);

#endif

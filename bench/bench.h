/*
 * bench.h - what the subcommands of adder-bench share: exit codes, the clock, order statistics and
 * the lines that say where a measurement was made.
 */
#ifndef ADDER_BENCH_H
#define ADDER_BENCH_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

enum { BENCH_EXIT_FAILURE = 1, BENCH_EXIT_USAGE = 2 };

/* A subcommand takes the arguments after "adder-bench" (argv[0] is its own name) and returns the
 * exit status: 0, or one of the above after one line on stderr. */
int bench_engine(int argc, char **argv);
int bench_serve(int argc, char **argv);
int bench_overload(int argc, char **argv);
int bench_peers(int argc, char **argv);
int bench_watched(int argc, char **argv);
int bench_flood(int argc, char **argv);
int bench_compare(int argc, char **argv);

/* Seconds on a clock that never goes back. */
double bench_now(void);

/* Both put the values in order; count >= 1. A percentile is the nearest rank's value. */
double bench_median(double *values, size_t count);
double bench_percentile(double *values, size_t count, double percent);

/* Bytes of this machine's memory that a program may still take; SIZE_MAX where that is unknown. */
size_t bench_memory_available(void);

/* Two lines on stdout: CPU, cores, load and date; build, compiler and BLAS. The load is there since
 * a machine that does other work as well gives other numbers. */
void bench_print_machine(void);

/* A subcommand's command line, which is options alone. */
typedef struct {
    const char *name;
    const struct argp_option *options;
    const char *doc;
    /* Both say what is wrong, in one line on stderr, and return false. */
    bool (*take)(int key, const char *text, void *to); /* one option; text NULL: it has none */
    bool (*complete)(void *to);                        /* after the last; NULL: nothing to do */
} bench_usage;
/* 0, or BENCH_EXIT_USAGE after one line. */
int bench_parse_arguments(const bench_usage *usage, int argc, char **argv, void *to);

/* "name: --option is 'text'; least..most expected" on stderr, and false, when it is not a number in
 * that range. */
typedef struct {
    const char *name; /* the subcommand */
    const char *option;
    size_t least;
    size_t most;
} bench_range;
bool bench_parse(const bench_range *range, const char *text, size_t *value);

/* The same for numbers with commas between, at most BENCH_LIST_MAX of them. */
enum { BENCH_LIST_MAX = 8 };
typedef struct {
    size_t value[BENCH_LIST_MAX];
    size_t count;
} bench_list;
bool bench_parse_list(const bench_range *range, const char *text, bench_list *list);

#endif

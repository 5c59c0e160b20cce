/*
 * bench.c - clock, order statistics, machine lines and numbers from the command line.
 */
#include "bench.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cblas.h>

enum { CPU_NAME_BYTES = 128, LINE_BYTES = 512, NUMBER_BYTES = 32 };

double bench_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int value_order(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_median(double *values, size_t count) {
    qsort(values, count, sizeof *values, value_order);
    size_t middle = count / 2;
    return count % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

double bench_percentile(double *values, size_t count, double percent) {
    qsort(values, count, sizeof *values, value_order);
    size_t at = (size_t)((double)count * percent / 100.0);
    return values[at < count ? at : count - 1];
}

size_t bench_memory_available(void) {
    char line[LINE_BYTES];
    size_t bytes = SIZE_MAX, kib;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "MemAvailable: %zu kB", &kib) == 1) {
            bytes = kib * 1024;
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

/* "model name" is what x86 kernels call it; others say nothing as plain. */
static void cpu_name(char *name, size_t name_bytes) {
    char line[LINE_BYTES];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, name_bytes, "unknown CPU");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) == 0 && colon != NULL) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(name, name_bytes, "%.*s", (int)name_bytes - 1,
                     colon + 1 + strspn(colon + 1, " "));
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static const char *build_kind(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return " with sanitizers: its figures mean nothing";
#elif !defined(__OPTIMIZE__)
    return " without optimisation: its figures mean nothing";
#else
    return "";
#endif
}

/* OpenBLAS takes a processor that it does not know for its oldest. */
static bool blas_outdated(void) {
#if defined(__x86_64__)
    return strcmp(openblas_get_corename(), "Prescott") == 0 && __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

void bench_print_machine(void) {
    char name[CPU_NAME_BYTES];
    char date[NUMBER_BYTES] = "";
    double load = 0.0;
    time_t now = time(NULL);
    struct tm utc;
    cpu_name(name, sizeof name);
    if (gmtime_r(&now, &utc) != NULL) {
        strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
    }
    getloadavg(&load, 1);
    printf("machine  %s, %ld cores, load %.2f at start, %s\n", name, sysconf(_SC_NPROCESSORS_ONLN),
           load, date);
    printf("build    %s%s, compiler %s; %s\n", BENCH_BUILD, build_kind(), __VERSION__,
           openblas_get_config());
    if (blas_outdated()) {
        printf("warning  OpenBLAS does not know this processor and runs without its vector units: "
               "what is beside\n         sgemm and LAPACK is flattered, and the engine slowed; "
               "set OPENBLAS_CORETYPE=Haswell or SkylakeX\n");
    }
}

typedef struct {
    const bench_usage *usage;
    void *to;
} taking;

/* Without argp's hint after an error's line. */
static error_t take_option(int key, char *text, struct argp_state *state) {
    const taking *t = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->err_stream = NULL;
        return 0;
    case ARGP_KEY_ARG:
        fprintf(stderr, "%s: unexpected argument '%s'\n", t->usage->name, text);
        return EINVAL;
    case ARGP_KEY_END:
        return t->usage->complete == NULL || t->usage->complete(t->to) ? 0 : EINVAL;
    case ARGP_KEY_ARGS:
    case ARGP_KEY_NO_ARGS:
    case ARGP_KEY_SUCCESS:
    case ARGP_KEY_ERROR:
    case ARGP_KEY_FINI:
        return ARGP_ERR_UNKNOWN;
    default:
        return t->usage->take(key, text, t->to) ? 0 : EINVAL;
    }
}

int bench_parse_arguments(const bench_usage *usage, int argc, char **argv, void *to) {
    const struct argp argp = {.options = usage->options, .parser = take_option, .doc = usage->doc};
    argv[0] = (char *)usage->name; /* what getopt puts before its messages */
    return argp_parse(&argp, argc, argv, 0, NULL, &(taking){usage, to}) == 0 ? 0 : BENCH_EXIT_USAGE;
}

bool bench_parse(const bench_range *range, const char *text, size_t *value) {
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < range->least ||
        number > range->most) {
        fprintf(stderr, "%s: --%s is '%s'; %zu..%zu expected\n", range->name, range->option, text,
                range->least, range->most);
        return false;
    }
    *value = (size_t)number;
    return true;
}

bool bench_parse_list(const bench_range *range, const char *text, bench_list *list) {
    list->count = 0;
    for (const char *at = text;; at++) {
        char number[NUMBER_BYTES];
        size_t length = strcspn(at, ",");
        if (list->count == BENCH_LIST_MAX) {
            fprintf(stderr, "%s: --%s is '%s'; at most %d numbers expected\n", range->name,
                    range->option, text, BENCH_LIST_MAX);
            return false;
        }
        /* Cut off at 31 characters it is still too large a number, or none. */
        snprintf(number, sizeof number, "%.*s",
                 length < sizeof number ? (int)length : (int)sizeof number - 1, at);
        if (!bench_parse(range, number, &list->value[list->count])) {
            return false;
        }
        list->count++;
        at += length;
        if (*at == '\0') {
            return true;
        }
    }
}

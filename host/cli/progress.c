/*
 * progress.c - the progress bar of long commands: on a terminal, never in a pipe.
 */
#include "cli.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 40, REDRAW_MS = 100 };

/* A process has one stderr and so one bar; this is what stands on it. */
static struct {
    bool drawn;
    long long drawn_ms;
} bar;

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void cli_progress(const char *label, size_t done, size_t all) {
    bool last = done >= all;
    if (!isatty(STDERR_FILENO) || (bar.drawn && !last && now_ms() - bar.drawn_ms < REDRAW_MS)) {
        return;
    }
    double share = last || all == 0 ? 1 : (double)done / (double)all;
    int filled = (int)(share * BAR_WIDTH);
    char marks[BAR_WIDTH + 1];
    memset(marks, '#', (size_t)filled);
    memset(marks + filled, '.', (size_t)(BAR_WIDTH - filled));
    marks[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %3d %% (%zu of %zu)%s", label, marks, (int)(share * 100), done, all,
            last ? "\n" : "");
    bar.drawn = !last;
    bar.drawn_ms = now_ms();
}

void cli_progress_clear(void) {
    if (bar.drawn) {
        fprintf(stderr, "\r\033[K");
        bar.drawn = false;
    }
}

/*
 * watched.c - `adder-bench watched`: what it costs to be watched. Two daemons, of one of which all
 * is counted and written out as for a scrape once a second, get the same load in turns.
 */
#include <stdio.h>

#include "bench.h"
#include "stand.h"

#define NAME "adder-bench watched"

enum { ROUNDS = 60, QUICK_ROUNDS = 4, CONNECTIONS_SPARE = 64 };

static bool measure(stand *s, const char *url, double seconds, double *requests_per_s) {
    static storm_result r;
    storm_options o = {.url = url,
                       .message = s->message,
                       .messages = STAND_ACCOUNTS,
                       .connections = s->options.connections,
                       .seconds = seconds};
    if (!storm_run(&o, &r, s->error, STAND_ERROR_BYTES)) {
        return false;
    }
    *requests_per_s = (double)r.scored_in_time / r.seconds;
    if (r.scored != r.sent || r.scored_in_time == 0) {
        snprintf(s->error, STAND_ERROR_BYTES, "%zu of %zu requests were scored", r.scored, r.sent);
        return false;
    }
    return true;
}

/* Who comes first in a round alternates: a machine that grows slower wrongs neither. */
static bool run(stand *s) {
    double alone[ROUNDS], watched[ROUNDS], ratio[ROUNDS];
    size_t rounds = s->options.quick ? QUICK_ROUNDS : ROUNDS;
    double seconds = (double)s->options.seconds / (double)(2 * rounds);
    for (size_t i = 0; i < rounds; i++) {
        bool first = i % 2 == 0;
        if ((first && !measure(s, s->watched_url, seconds, &watched[i])) ||
            !measure(s, s->url, seconds, &alone[i]) ||
            (!first && !measure(s, s->watched_url, seconds, &watched[i]))) {
            return false;
        }
        ratio[i] = watched[i] / alone[i];
    }
    double rows = (double)s->options.rows;
    printf("%zu callers at once, medians of %zu rounds of %.2f s each\n", s->options.connections,
           rounds, seconds);
    printf("not watched  %.0f rows/s\n", rows * bench_median(alone, rounds));
    printf("watched      %.0f rows/s\n", rows * bench_median(watched, rounds));
    printf("of a round   %.4f of the rows/s (quartiles %.4f and %.4f)\n",
           bench_median(ratio, rounds), bench_percentile(ratio, rounds, 25.0),
           bench_percentile(ratio, rounds, 75.0));
    return true;
}

int bench_watched(int argc, char **argv) {
    stand_options o = {.name = NAME,
                       .dim = 256,
                       .classes = 10,
                       .window_rows = 16,
                       .rows = 16,
                       .seconds = 60,
                       .connections = 8,
                       .beside_watched = true};
    int status = stand_parse(&o,
                             "Compares the rows/s of a daemon whose metrics are counted, and "
                             "written out once a second, with those of one without.",
                             argc, argv);
    if (status != 0) {
        return status;
    }
    if (o.quick) {
        o.dim = 32;
        o.seconds = 1;
    }
    return stand_run(&o, o.connections + CONNECTIONS_SPARE, run);
}

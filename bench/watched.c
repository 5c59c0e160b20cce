/*
 * watched.c - `adder-bench watched`: what it costs to be watched. Two daemons, of one of which all
 * is counted, and written out once a second it is asked in, get the same load in turns. What an
 * HTTP server takes to send that is not in it.
 */
#include <math.h>
#include <stdio.h>

#include "bench.h"
#include "stand.h"

#define NAME "adder-bench watched"

enum {
    ROUNDS = 400,
    QUICK_ROUNDS = 4,
    QUICK_REQUESTS = 400, /* of a half of a round, however long they take */
    QUICK_SECONDS = 60,
    CONNECTIONS_SPARE = 64,
};

static bool measure(stand *s, const char *url, double seconds, double *requests_per_s) {
    static storm_result r;
    storm_options o = {.url = url,
                       .message = s->message,
                       .messages = STAND_ACCOUNTS,
                       .connections = s->options.connections,
                       .seconds = seconds,
                       .requests_max = s->options.quick ? QUICK_REQUESTS : 0};
    if (!storm_run(&o, &r, s->error, STAND_ERROR_BYTES)) {
        return false;
    }
    *requests_per_s = (double)r.scored_in_time / r.seconds;
    if (r.scored != r.sent || r.scored_in_time == 0) {
        snprintf(s->error, STAND_ERROR_BYTES,
                 "of %zu requests %zu were scored, %zu of them in time", r.sent, r.scored,
                 r.scored_in_time);
        return false;
    }
    return true;
}

/* Its order statistics between which the median of what the values are drawn from lies, with 95 %
 * confidence: ranks n / 2 -+ 0.98 sqrt(n), by the normal approximation of the binomial. */
static void print_ratio(double *ratio, size_t rounds) {
    double half = 98.0 / sqrt((double)rounds), middle = bench_median(ratio, rounds);
    printf("of a round   %.4f of the rows/s (95 %% interval of the median %.4f to %.4f)\n", middle,
           bench_percentile(ratio, rounds, half < 50.0 ? 50.0 - half : 0.0),
           bench_percentile(ratio, rounds, half < 50.0 ? 50.0 + half : 100.0));
}

/* Who comes first in a round alternates: a machine that grows slower wrongs neither. */
static bool run(stand *s) {
    static double alone[ROUNDS], watched[ROUNDS], ratio[ROUNDS];
    size_t rounds = s->options.quick ? QUICK_ROUNDS : ROUNDS;
    double seconds =
        s->options.quick ? QUICK_SECONDS : (double)s->options.seconds / (double)(2 * rounds);
    for (size_t i = 0; i < rounds; i++) {
        bool first = i % 2 == 0;
        if ((first && !measure(s, s->beside_url, seconds, &watched[i])) ||
            !measure(s, s->url, seconds, &alone[i]) ||
            (!first && !measure(s, s->beside_url, seconds, &watched[i]))) {
            return false;
        }
        ratio[i] = watched[i] / alone[i];
    }
    double rows = (double)s->options.rows;
    printf("%zu callers at once, medians of %zu rounds\n", s->options.connections, rounds);
    printf("not watched  %.0f rows/s\n", rows * bench_median(alone, rounds));
    printf("watched      %.0f rows/s\n", rows * bench_median(watched, rounds));
    print_ratio(ratio, rounds);
    if (!s->options.quick && house_rows_told(s->beside) == 0) {
        snprintf(s->error, STAND_ERROR_BYTES, "the metrics told of no row");
        return false;
    }
    return true;
}

int bench_watched(int argc, char **argv) {
    stand_options o = {.name = NAME,
                       .dim = 256,
                       .classes = 10,
                       .window_rows = 16,
                       .rows = 16,
                       .seconds = 200,
                       .connections = 8,
                       .beside = STAND_WATCHED};
    int status = stand_parse(&o,
                             "Compares the rows/s of a daemon whose metrics are counted, and "
                             "written out once a second, with those of one without.",
                             argc, argv);
    if (status != 0) {
        return status;
    }
    o.dim = o.quick ? 32 : o.dim;
    return stand_run(&o, o.connections + CONNECTIONS_SPARE, run);
}

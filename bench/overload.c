/*
 * overload.c - `adder-bench overload`: what a daemon still does when it is offered many times what
 * it can do.
 *
 * The peak is that of closed loops, the best of a few numbers of connections. Then requests are due
 * at a multiple of it, whatever becomes of those before. Load and daemon share this machine, so the
 * load takes from what the daemon could do; and to refuse a request costs the kernel's copies and
 * NNG's way through its threads, however little Adder does. Both are in the figures; what a server
 * carries that does nothing at all is beside them.
 */
#include <stdio.h>

#include "bench.h"
#include "stand.h"

#define NAME "adder-bench overload"

enum {
    ROUNDS = 3,
    PEAKS = 4,
    CONNECTIONS = 1500,
    CONNECTIONS_SPARE = 64,
    QUICK_CONNECTIONS = 400,
    ECHO_CONNECTIONS = 128,
};
static const size_t peak_connections[PEAKS] = {4, 8, 32, 128};

#define ECHO_SECONDS 1.0
#define PEAK_PART 0.25 /* of a round's time, for each number of connections */

/* Of all rounds. */
typedef struct {
    double echo;         /* requests/s that a server carries which does nothing */
    double peak[ROUNDS]; /* requests/s */
    double goodput[ROUNDS];
    double ratio[ROUNDS];
    storm_result sum;
} figures;

static double rate_of(const storm_result *r) {
    return (double)r->scored_in_time / r->seconds;
}

static bool storm_at(stand *s, const char *url, size_t connections, double requests_per_s,
                     double seconds, storm_result *result) {
    storm_options o = {.url = url,
                       .message = s->message,
                       .messages = STAND_ACCOUNTS,
                       .connections = connections,
                       .requests_per_s = requests_per_s,
                       .seconds = seconds};
    return storm_run(&o, result, s->error, STAND_ERROR_BYTES);
}

/* Requests/s of the best closed loop; 0: one line in s->error. */
static double find_peak(stand *s, double seconds) {
    static storm_result r;
    double peak = 0.0;
    for (size_t i = 0; i < PEAKS; i++) {
        if (!storm_at(s, s->url, peak_connections[i], 0.0, PEAK_PART * seconds, &r)) {
            return 0.0;
        }
        peak = rate_of(&r) > peak ? rate_of(&r) : peak;
    }
    if (peak <= 0.0) {
        snprintf(s->error, STAND_ERROR_BYTES, "nothing was scored");
    }
    return peak;
}

/* What says of no error counts as scored. */
static bool measure_echo(stand *s, double *requests_per_s) {
    static storm_result r;
    if (!storm_at(s, s->beside_url, ECHO_CONNECTIONS, 0.0, ECHO_SECONDS, &r)) {
        return false;
    }
    *requests_per_s = rate_of(&r);
    return true;
}

static void add(storm_result *sum, const storm_result *r) {
    sum->seconds += r->seconds;
    sum->due += r->due;
    sum->unsent += r->unsent;
    sum->sent += r->sent;
    sum->scored += r->scored;
    sum->shed += r->shed;
    sum->failed += r->failed;
    sum->unanswered += r->unanswered;
    histogram_merge(&sum->scored_took, &r->scored_took);
    histogram_merge(&sum->shed_took, &r->shed_took);
}

/* The peak is found anew right before each round, since a machine that does other work changes. */
static bool press(stand *s, figures *f) {
    static storm_result r;
    double seconds = (double)s->options.seconds / ROUNDS;
    if (!measure_echo(s, &f->echo)) {
        return false;
    }
    for (size_t i = 0; i < ROUNDS; i++) {
        f->peak[i] = find_peak(s, seconds);
        if (f->peak[i] <= 0.0 || !storm_at(s, s->url, s->options.connections,
                                           (double)s->options.times * f->peak[i], seconds, &r)) {
            return false;
        }
        f->goodput[i] = rate_of(&r);
        f->ratio[i] = f->goodput[i] / f->peak[i];
        printf("round %zu  peak %.1f requests/s; offered %.1f times that, sent %.1f; scored %.1f "
               "requests/s, %.3f of the peak\n",
               i + 1, f->peak[i], (double)r.due / r.seconds / f->peak[i],
               (double)r.sent / r.seconds / f->peak[i], f->goodput[i], f->ratio[i]);
        fflush(stdout);
        add(&f->sum, &r);
    }
    return true;
}

static void print_took(const char *what, size_t count, const histogram *took) {
    printf("%s %zu; p50 %.2f, p99 %.2f, p99.9 %.2f, longest %.2f ms\n", what, count,
           1e3 * histogram_percentile(took, 50.0), 1e3 * histogram_percentile(took, 99.0),
           1e3 * histogram_percentile(took, 99.9), 1e3 * histogram_percentile(took, 100.0));
}

static void print_figures(figures *f) {
    const storm_result *r = &f->sum;
    printf("echo     a server that does nothing carries %.1f requests/s\n", f->echo);
    printf("all      %zu due in %.1f s, %zu not sent because every connection waited, %zu sent\n",
           r->due, r->seconds, r->unsent, r->sent);
    print_took("scored  ", r->scored, &r->scored_took);
    print_took("shed    ", r->shed, &r->shed_took);
    printf("failed   %zu, unanswered %zu\n", r->failed, r->unanswered);
    printf("goodput  %.3f of the peak (median of %d rounds)\n", bench_median(f->ratio, ROUNDS),
           ROUNDS);
}

/* What must be so on any machine, however busy: rates are not. */
static bool holds(figures *f, char *error) {
    const storm_result *r = &f->sum;
    if (r->unanswered > 0 || r->failed > 0 || r->scored + r->shed != r->sent) {
        snprintf(error, STAND_ERROR_BYTES, "%zu of %zu requests were not answered, %zu failed",
                 r->unanswered, r->sent, r->failed);
        return false;
    }
    if (r->shed == 0 || r->scored == 0) {
        snprintf(error, STAND_ERROR_BYTES,
                 "expected some requests shed and some scored, came %zu and %zu", r->shed,
                 r->scored);
        return false;
    }
    return true;
}

static bool run(stand *s) {
    static figures f;
    if (!press(s, &f)) {
        return false;
    }
    print_figures(&f);
    return !s->options.quick || holds(&f, s->error);
}

int bench_overload(int argc, char **argv) {
    stand_options o = {.name = NAME,
                       .dim = 256,
                       .classes = 1,
                       .window_rows = 256,
                       .rows = 1,
                       .seconds = 30,
                       .times = 10,
                       .connections = CONNECTIONS,
                       .beside = STAND_ECHO};
    int status = stand_parse(&o,
                             "Finds what a daemon can do, then offers it many times that, and says "
                             "what became of the requests. By default windows of 256 rows of one "
                             "class, dim 256, a query a request.",
                             argc, argv);
    if (status != 0) {
        return status;
    }
    if (o.quick) { /* not smaller: then a request would cost hardly more than its refusal */
        o.seconds = 3;
        o.connections = QUICK_CONNECTIONS;
    }
    return stand_run(&o, o.connections + CONNECTIONS_SPARE, run);
}

/*
 * serve.c - `adder-bench serve`: who answers, what is asked, and the table.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "adder.h"
#include "bench.h"
#include "house.h"
#include "reference.h"
#include "serve_measure.h"
#include "serve_options.h"
#include "service.h"
#include "stream.h"
#include "synthetic.h"

#define NAME SERVE_BENCH_NAME
#define FULL_SECONDS 30.0
#define QUICK_SECONDS 1.0

enum {
    SEED = 20250312,
    ERROR_BYTES = 512,
    URL_BYTES = 128,
    ACCOUNT_BYTES = 40,
    CONTEXTS = 256,        /* the daemon's default */
    CONNECTIONS_SPARE = 8, /* some that are closing */
    QUEUE_ROWS_MAX = 1 << 20,
    ECHO_BYTES_MAX = 1 << 30, /* it is opened before a daemon's dim is known */
    HOUSES_MAX = 1 + BENCH_LIST_MAX,
    PORT_FIRST = 20000,
    PORTS = 1000, /* how many runs at once may have ports of their own */
    KEPT_BLOCK_BYTES = 32 << 20,
    KEPT_BYTES = 256 << 20,
};

#define HALF_LIFE_ROWS 1000.0

/* Who answers with one rank of the memory, and its engine by itself. */
typedef struct {
    size_t memory_rank;
    house *house; /* NULL with --connect */
    char url[URL_BYTES];
    stream engine;
} contender;

typedef struct {
    serve_options options;
    reference *loaded; /* --reference */
    reference made_up; /* statistics are those of `data` */
    synthetic data;    /* what is asked, and what the engines alone work on */
    contender contender[BENCH_LIST_MAX];
    size_t contenders;
    house *echo;
    char echo_url[URL_BYTES];
    char (*account)[ACCOUNT_BYTES]; /* [accounts] */
    const char **accounts;          /* [accounts] */
    char error[ERROR_BYTES];
} serving;

static size_t largest_rows(const serve_options *o) {
    size_t most = 0;
    for (size_t i = 0; i < o->rows.count; i++) {
        most = o->rows.value[i] > most ? o->rows.value[i] : most;
    }
    return most;
}

/* ---- what is served ---- */

/* Takes dim, classes and window from the daemon. */
static bool ask_daemon(serving *s) {
    adder_client *client = NULL;
    adder_info info;
    adder_error error = {""};
    bool answered = adder_open(&client, s->options.connect, NULL, &error) == ADDER_OK &&
                    adder_hello(client, &info, &error) == ADDER_OK;
    adder_close(client);
    if (!answered || info.models == 0) {
        snprintf(s->error, ERROR_BYTES, "%s: %s", s->options.connect,
                 answered ? "no model is served" : error.text);
        return false;
    }
    s->options.dim = info.model[0].dim;
    s->options.classes = info.model[0].classes;
    s->options.window_rows = info.model[0].window;
    s->options.memory_ranks = (bench_list){{info.model[0].memory_rank}, 1};
    return true;
}

static bool load_reference(serving *s) {
    serve_options *o = &s->options;
    if (!reference_load(&s->loaded, o->reference, s->error, ERROR_BYTES)) {
        return false;
    }
    o->dim = s->loaded->statistics.dim;
    o->classes = s->loaded->statistics.classes;
    o->window_rows = o->window_rows > 0 ? o->window_rows : s->loaded->window_rows;
    return true;
}

/* Batches of the engine alone have as many rows as all callers' requests together. */
static bool make_data(serving *s) {
    const serve_options *o = &s->options;
    const engine_reference *r = s->loaded != NULL ? &s->loaded->statistics : NULL;
    size_t rows = largest_rows(o) * o->callers;
    size_t each = o->account_rows < largest_rows(o) ? o->account_rows : largest_rows(o);
    each = each < o->window_rows ? each : o->window_rows;
    size_t accounts = rows / each < o->accounts ? rows / each : o->accounts;
    size_t groups = (o->accounts - 1) / accounts + 1;
    synthetic_shape shape = {.dim = o->dim,
                             .rank = r != NULL ? r->rank : o->dim,
                             .classes = o->classes,
                             .accounts = accounts,
                             .groups_max = groups,
                             .observation_rows = each,
                             .batches = stream_ring(o->window_rows, each, &groups, 1),
                             .seed = SEED,
                             .reference = r};
    if (synthetic_bytes(&shape) > bench_memory_available() / 2 ||
        !synthetic_init(&s->data, &shape)) {
        snprintf(s->error, ERROR_BYTES, "not enough memory for the rows of dim %zu", o->dim);
        return false;
    }
    s->data.reference.benign = r != NULL ? r->benign : NULL;
    return true;
}

static bool name_accounts(serving *s) {
    size_t count = s->options.accounts;
    s->account = calloc(count, sizeof *s->account);
    s->accounts = calloc(count, sizeof *s->accounts);
    if (s->account == NULL || s->accounts == NULL) {
        snprintf(s->error, ERROR_BYTES, "out of memory");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(s->account[i], ACCOUNT_BYTES, "adder-bench %zu", i);
        s->accounts[i] = s->account[i];
    }
    return true;
}

/* ---- who answers ---- */

/* House 0 is the echo. */
static void write_url(const serving *s, char *url, size_t house) {
    switch (s->options.transport) {
    case SERVE_TCP:
        snprintf(url, URL_BYTES, "tcp://127.0.0.1:%zu",
                 PORT_FIRST + (size_t)getpid() % PORTS * HOUSES_MAX + house);
        break;
    default:
        snprintf(url, URL_BYTES, "%s:///tmp/adder-bench-%d-%zu.sock",
                 serve_transport_name(s->options.transport), (int)getpid(), house);
    }
}

static bool open_adder(serving *s, contender *c) {
    const serve_options *o = &s->options;
    size_t slots = s->data.groups * s->data.shape.accounts;
    service_options service = {
        .reference = s->loaded != NULL ? s->loaded : &s->made_up,
        .engine = "cpu",
        .window_rows = o->window_rows,
        .memory_rank = c->memory_rank,
        .half_life_rows = HALF_LIFE_ROWS,
        .threads = o->threads,
        .accounts_max = slots > SERVICE_ROWS_DEFAULT ? slots : SERVICE_ROWS_DEFAULT,
        .rows_max = SERVICE_ROWS_DEFAULT,
        .queue_rows_max = QUEUE_ROWS_MAX,
        .contexts = CONTEXTS,
    };
    write_url(s, c->url, 1 + (size_t)(c - s->contender));
    return house_open(&c->house,
                      &(house_options){.url = c->url,
                                       .service = &service,
                                       .contexts = CONTEXTS,
                                       .connections_max = o->callers + CONNECTIONS_SPARE},
                      s->error, ERROR_BYTES);
}

static bool open_echo(serving *s) {
    const serve_options *o = &s->options;
    write_url(s, s->echo_url, 0);
    return house_open(&s->echo,
                      &(house_options){.url = s->echo_url,
                                       .contexts = CONTEXTS,
                                       .connections_max = o->callers + CONNECTIONS_SPARE,
                                       .message_bytes_max = ECHO_BYTES_MAX},
                      s->error, ERROR_BYTES);
}

static bool open_contenders(serving *s) {
    const serve_options *o = &s->options;
    s->made_up = (reference){.model = "adder-bench", .statistics = s->data.reference};
    s->contenders = o->memory_ranks.count;
    for (size_t i = 0; i < s->contenders; i++) {
        contender *c = &s->contender[i];
        c->memory_rank = o->memory_ranks.value[i];
        if (o->connect != NULL) {
            snprintf(c->url, URL_BYTES, "%s", o->connect);
        } else if (!open_adder(s, c)) {
            return false;
        }
    }
    return true;
}

static bool open_engines(serving *s) {
    for (size_t i = 0; i < s->contenders; i++) {
        stream_options options = {.engine = "cpu",
                                  .window_rows = s->options.window_rows,
                                  .memory_rank = s->contender[i].memory_rank,
                                  .threads = s->options.threads};
        if (stream_open(&s->contender[i].engine, &s->data, &options, s->error, ERROR_BYTES) !=
            ENGINE_OK) {
            return false;
        }
    }
    return true;
}

/* Houses before this process uses NNG; but a daemon that runs is asked what it serves first, and
 * that is after the echo's is open. */
static bool open_all(serving *s) {
    serve_options *o = &s->options;
    if (o->reference != NULL && o->connect == NULL && !load_reference(s)) {
        return false;
    }
    bool asked = o->connect == NULL || (open_echo(s) && ask_daemon(s));
    o->window_rows = o->window_rows > 0 ? o->window_rows : REFERENCE_WINDOW_DEFAULT;
    return asked && make_data(s) && name_accounts(s) && open_contenders(s) &&
           (o->connect != NULL || open_echo(s)) && open_engines(s);
}

/* The daemon keeps nothing of what this put into it. */
static void forget_accounts(const serving *s) {
    adder_client *client = NULL;
    adder_error error;
    bool known;
    if (adder_open(&client, s->options.connect, NULL, &error) == ADDER_OK) {
        for (size_t i = 0; i < s->options.accounts; i++) {
            adder_forget(client, s->accounts[i], &known, &error);
        }
    }
    adder_close(client);
}

static void close_all(serving *s) {
    if (s->options.connect != NULL && s->accounts != NULL) {
        forget_accounts(s);
    }
    house_close(s->echo);
    for (size_t i = s->contenders; i-- > 0;) {
        stream_close(&s->contender[i].engine);
        house_close(s->contender[i].house);
    }
    free(s->accounts);
    free(s->account);
    synthetic_fini(&s->data);
    reference_close(s->loaded);
}

/* ---- the table ---- */

static void print_head(const serving *s) {
    const serve_options *o = &s->options;
    bench_print_machine();
    printf("run      %s, dim %zu, %zu classes, window %zu, %s; %zu accounts, %zu rows of each\n"
           "         in a request at most; one caller, then %zu; medians of %d rounds\n",
           o->connect != NULL ? o->connect : serve_transport_name(o->transport), o->dim, o->classes,
           o->window_rows,
           s->loaded != NULL && s->loaded->benign != NULL ? "calibrated" : "no benign tables",
           o->accounts, o->account_rows, o->callers, SERVE_ROUNDS);
}

static void print_load(const char *who, size_t callers, const serve_figures *f, size_t rows) {
    printf("  %-10s %7zu %9.1f %9.1f %9.1f %9.1f %11.0f %11.0f\n", who, callers, f->p50_us,
           f->p90_us, f->p99_us, f->p999_us, f->requests_per_s, (double)rows * f->requests_per_s);
}

static void print_result(const serving *s, const contender *c, const serve_result *r) {
    size_t callers = s->options.callers;
    printf("\n%zu rows a request, memory rank %zu, replies of %zu bytes\n", r->request_rows,
           c->memory_rank, r->reply_bytes);
    printf("  %-10s %7s %9s %9s %9s %9s %11s %11s\n", "", "callers", "p50 us", "p90 us", "p99 us",
           "p99.9 us", "requests/s", "rows/s");
    print_load("null echo", 1, &r->echo_one, r->request_rows);
    print_load("adder", 1, &r->adder_one, r->request_rows);
    print_load("null echo", callers, &r->echo_many, r->request_rows);
    print_load("adder", callers, &r->adder_many, r->request_rows);
    printf("  %-10s %71.0f\n", "engine", r->engine_rows_per_s);
    printf("  p50 of one caller over the null echo's        %6.2f\n", r->p50_over_echo);
    printf("  rows/s over the lesser of echo and engine     %6.2f\n", r->rows_over_lesser);
    printf("  rows/s over echo and engine taking turns      %6.2f\n", r->rows_over_turns);
    if (r->overloaded > 0) {
        printf("  refused as overloaded                         %6zu\n", r->overloaded);
    }
    const histogram *h = &r->open.latency;
    printf(
        "  open loop, %.0f requests/s: p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f us, %zu answered, "
        "%zu overloaded\n",
        r->open_requests_per_s, 1e6 * histogram_percentile(h, 50.0),
        1e6 * histogram_percentile(h, 90.0), 1e6 * histogram_percentile(h, 99.0),
        1e6 * histogram_percentile(h, 99.9), r->open.answered, r->open.overloaded);
    histogram_print(h);
    fflush(stdout);
}

static bool run_rows(serving *s, contender *c, size_t rows) {
    const serve_options *o = &s->options;
    const synthetic_shape *shape = &s->data.shape;
    size_t all = shape->batches * shape->accounts * shape->observation_rows;
    load_rows asked = {.dim = shape->dim,
                       .rows = rows,
                       .account_rows = o->account_rows < rows ? o->account_rows : rows,
                       .ring_rows = all / rows * rows,
                       .embeddings = s->data.embeddings,
                       .classes = s->data.classes,
                       .accounts = s->accounts,
                       .accounts_count = o->accounts};
    double seconds = o->seconds > 0 ? (double)o->seconds : o->quick ? QUICK_SECONDS : FULL_SECONDS;
    serve_plan plan = {.rows = &asked,
                       .adder_url = c->url,
                       .echo_url = s->echo_url,
                       .echo = s->echo,
                       .window_rows = o->window_rows,
                       .engine = &c->engine,
                       .callers = o->callers,
                       .requests_per_s = (double)o->requests_per_s,
                       .seconds = seconds};
    serve_result result;
    if (!serve_measure(&plan, &result, s->error, ERROR_BYTES)) {
        return false;
    }
    print_result(s, c, &result);
    return true;
}

int bench_serve(int argc, char **argv) {
    serving s = {0};
    int status = serve_options_parse(argc, argv, &s.options);
    if (status != 0) {
        return status;
    }
    /* Callers keep the memory of their messages, or this program would spend its time in page
     * faults, and be the bottleneck. */
    mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    bool done = sodium_init() >= 0 && open_all(&s);
    if (done) {
        print_head(&s);
    }
    size_t runs = s.options.rows.count * s.contenders;
    for (size_t i = 0; done && i < runs; i++) {
        done = run_rows(&s, &s.contender[i % s.contenders], s.options.rows.value[i / s.contenders]);
    }
    if (!done) {
        fprintf(stderr, NAME ": %s\n", s.error);
    }
    close_all(&s);
    return done ? 0 : BENCH_EXIT_FAILURE;
}

/*
 * stand.c - see stand.h.
 */
#include "stand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"
#include "engine.h"
#include "service.h"
#include "stream.h"
#include "wire.h"

enum {
    SEED = 20250312,
    CONTEXTS = 256, /* the daemon's default, as the next */
    QUEUE_ROWS_MAX = 65536,
    CLASSES_MAX = 10000,
    ROWS_MAX = 256,
    SECONDS_MAX = 3600,
    TIMES_MAX = 100,
    CONNECTIONS_MAX = 20000,
    PORT_FIRST = 12000, /* below those that the kernel hands out */
    PORTS = 10000,
    FILES_SPARE = 256,
    WARM_CONNECTIONS = 8,
    ECHO_BYTES_MAX = 64 << 20,
};

#define HALF_LIFE_ROWS 1000.0
#define THRESHOLD 1e9 /* decisions are made, and are all "allow" */

enum { KEY_QUICK = 256, KEY_TCP };

static const struct argp_option options[] = {
    {"dim", 'd', "D", 0, "Floats in an embedding", 1},
    {"classes", 'c', "C", 0, "Classes of the made-up reference", 1},
    {"window", 'w', "W", 0, "Rows in a window", 1},
    {"rows", 'r', "R", 0, "Rows of a request, of one account", 1},
    {"tcp", KEY_TCP, NULL, 0, "Over tcp, not ipc", 1},
    {"threads", 'T', "N", 0, "Of the engine; 0: all cores (0)", 1},
    {"seconds", 's', "S", 0, "To measure each thing", 2},
    {"times", 't', "N", 0, "What the daemon can do is offered so many times over", 2},
    {"connections", 'n', "N", 0, "To offer it by, or of each bad kind", 2},
    {"quick", KEY_QUICK, NULL, 0, "Small and short, to see that it works", 2},
    {0},
};

static bool parse(const stand_options *o, const char *option, size_t least, size_t most,
                  const char *text, size_t *value) {
    return bench_parse(&(bench_range){o->name, option, least, most}, text, value);
}

static bool take_option(int key, const char *text, void *to) {
    stand_options *o = to;
    switch (key) {
    case KEY_TCP:
        o->tcp = true;
        return true;
    case KEY_QUICK:
        o->quick = true;
        return true;
    case 'd':
        return parse(o, "dim", 1, ENGINE_DIM_MAX, text, &o->dim);
    case 'c':
        return parse(o, "classes", 1, CLASSES_MAX, text, &o->classes);
    case 'w':
        return parse(o, "window", 1, ENGINE_WINDOW_MAX, text, &o->window_rows);
    case 'r':
        return parse(o, "rows", 1, ROWS_MAX, text, &o->rows);
    case 'T':
        return parse(o, "threads", 0, ENGINE_THREADS_MAX, text, &o->threads);
    case 's':
        return parse(o, "seconds", 1, SECONDS_MAX, text, &o->seconds);
    case 't':
        return parse(o, "times", 1, TIMES_MAX, text, &o->times);
    case 'n':
        return parse(o, "connections", 1, CONNECTIONS_MAX, text, &o->connections);
    default:
        return false;
    }
}

int stand_parse(stand_options *o, const char *doc, int argc, char **argv) {
    return bench_parse_arguments(
        &(bench_usage){.name = o->name, .options = options, .doc = doc, .take = take_option}, argc,
        argv, o);
}

/* ---- requests ---- */

static bool encode(stand *s, size_t account) {
    const stand_options *o = &s->options;
    const char *accounts[ROWS_MAX];
    char name[32];
    unsigned char head[16];
    nng_msg *message = NULL;
    snprintf(name, sizeof name, "adder-bench %zu", account);
    for (size_t i = 0; i < o->rows; i++) {
        accounts[i] = name;
    }
    size_t first = account * o->rows;
    wire_outgoing request = {.op = WIRE_SCORE,
                             .rows = o->rows,
                             .accounts = accounts,
                             .classes = s->data.classes + first,
                             .dim = o->dim,
                             .embeddings = s->data.embeddings + first * o->dim};
    bool fine = nng_msg_alloc(&message, 0) == 0 && wire_encode_request(message, &request) == 0;
    storm_message *m = &s->message[account];
    if (fine) {
        size_t head_bytes = storm_head(s->url, nng_msg_len(message), head);
        m->length = head_bytes + nng_msg_len(message);
        m->bytes = malloc(m->length);
        fine = m->bytes != NULL;
        if (fine) {
            memcpy(m->bytes, head, head_bytes);
            memcpy(m->bytes + head_bytes, nng_msg_body(message), nng_msg_len(message));
        }
    }
    nng_msg_free(message);
    return fine;
}

static bool make_requests(stand *s) {
    for (size_t i = 0; i < STAND_ACCOUNTS; i++) {
        if (!encode(s, i)) {
            snprintf(s->error, STAND_ERROR_BYTES, "out of memory");
            return false;
        }
    }
    return true;
}

/* ---- the daemon ---- */

static bool make_data(stand *s) {
    const stand_options *o = &s->options;
    synthetic_shape shape = {.dim = o->dim,
                             .rank = o->dim,
                             .classes = o->classes,
                             .accounts = STAND_ACCOUNTS,
                             .groups_max = 1,
                             .observation_rows = o->rows,
                             .batches = 1,
                             .seed = SEED};
    if (synthetic_bytes(&shape) > bench_memory_available() / 2 ||
        !synthetic_init(&s->data, &shape)) {
        snprintf(s->error, STAND_ERROR_BYTES, "not enough memory for rows of dim %zu", o->dim);
        return false;
    }
    s->made_up = (reference){.model = "adder-bench", .statistics = s->data.reference};
    return true;
}

static void make_urls(stand *s) {
    int process = (int)getpid(), port = PORT_FIRST + process % PORTS;
    if (s->options.tcp) {
        snprintf(s->url, STAND_URL_BYTES, "tcp://127.0.0.1:%d", port);
        snprintf(s->beside_url, STAND_URL_BYTES, "tcp://127.0.0.1:%d", port + PORTS);
    } else {
        snprintf(s->url, STAND_URL_BYTES, "ipc:///tmp/adder-bench-%d.sock", process);
        snprintf(s->beside_url, STAND_URL_BYTES, "ipc:///tmp/adder-bench-%d-beside.sock", process);
    }
}

static bool open_house(stand *s, size_t connections_max, stand_beside kind) {
    const stand_options *o = &s->options;
    service_options service = {.reference = &s->made_up,
                               .engine = "cpu",
                               .window_rows = o->window_rows,
                               .half_life_rows = HALF_LIFE_ROWS,
                               .threads = o->threads,
                               .accounts_max = SERVICE_ROWS_DEFAULT,
                               .rows_max = SERVICE_ROWS_DEFAULT,
                               .queue_rows_max = QUEUE_ROWS_MAX,
                               .contexts = CONTEXTS,
                               .policy = {.has_threshold = true, .threshold = THRESHOLD}};
    return house_open(kind == STAND_ALONE ? &s->house : &s->beside,
                      &(house_options){.url = kind == STAND_ALONE ? s->url : s->beside_url,
                                       .watched = kind == STAND_WATCHED,
                                       .service = kind == STAND_ECHO ? NULL : &service,
                                       .contexts = CONTEXTS,
                                       .connections_max = connections_max,
                                       .message_bytes_max = ECHO_BYTES_MAX},
                      s->error, STAND_ERROR_BYTES);
}

/* As the daemon does for itself; this process has as many. */
static void raise_files(size_t files) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < files) {
        limit.rlim_cur = limit.rlim_max < files ? limit.rlim_max : files;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool fill_windows(stand *s, const char *url) {
    static storm_result result;
    size_t turns = (s->options.window_rows + s->options.rows - 1) / s->options.rows;
    storm_options o = {.url = url,
                       .message = s->message,
                       .messages = STAND_ACCOUNTS,
                       .connections = WARM_CONNECTIONS,
                       .seconds = SECONDS_MAX,
                       .requests_max = turns * STAND_ACCOUNTS};
    return storm_run(&o, &result, s->error, STAND_ERROR_BYTES);
}

static bool open_stand(stand *s, const stand_options *o, size_t connections_max) {
    *s = (stand){.options = *o};
    raise_files(connections_max + FILES_SPARE);
    make_urls(s);
    return make_data(s) && open_house(s, connections_max, STAND_ALONE) &&
           (o->beside == STAND_ALONE || open_house(s, connections_max, o->beside)) &&
           make_requests(s) && fill_windows(s, s->url) &&
           (o->beside != STAND_WATCHED || fill_windows(s, s->beside_url));
}

static void close_stand(stand *s) {
    for (size_t i = 0; i < STAND_ACCOUNTS; i++) {
        free(s->message[i].bytes);
    }
    house_close(s->beside); /* opened last: it has inherited what keeps the other one */
    house_close(s->house);
    synthetic_fini(&s->data);
}

static void print_stand(const stand *s) {
    const stand_options *o = &s->options;
    bench_print_machine();
    printf("run      %s, dim %zu, %zu classes, window %zu, no memory; requests of %zu rows, %zu "
           "bytes\n",
           o->tcp ? "tcp" : "ipc", o->dim, o->classes, o->window_rows, o->rows,
           s->message[0].length);
    fflush(stdout);
}

int stand_run(const stand_options *o, size_t connections_max, bool (*run)(stand *s)) {
    static stand s;
    bool done = open_stand(&s, o, connections_max);
    if (done) {
        print_stand(&s);
        done = run(&s);
    }
    if (!done) {
        fprintf(stderr, "%s: %s\n", o->name, s.error);
    }
    close_stand(&s);
    return done ? 0 : BENCH_EXIT_FAILURE;
}

/*
 * metrics.c - see metrics.h: first what is counted, then how it is written.
 */
#include "metrics.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

enum {
    OPS = METRICS_OPS,
    MODES = WIRE_OFF + 1,
    ACTIONS = WIRE_ACT_FLAG + 1,
    DECISIONS = METRICS_DECISIONS,
    BUCKETS_MAX = METRICS_BUCKETS_MAX
};

/* Upper bounds, rising, in what is counted, and as they are written. */
typedef struct {
    size_t count; /* at most BUCKETS_MAX - 1 */
    const uint64_t *bound;
    const char *const *text;
    uint64_t unit; /* of bounds and sum: 1, or how many of what is counted are a whole */
} buckets;

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
static const uint64_t second_bounds[] = {10 * US,
                                         25 * US,
                                         50 * US,
                                         100 * US,
                                         250 * US,
                                         500 * US,
                                         1 * MS,
                                         25 * MS / 10,
                                         5 * MS,
                                         10 * MS,
                                         25 * MS,
                                         50 * MS,
                                         100 * MS,
                                         250 * MS,
                                         500 * MS,
                                         NS_PER_S,
                                         25 * NS_PER_S / 10,
                                         5 * NS_PER_S,
                                         10 * NS_PER_S};
static const char *const second_texts[] = {
    "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01",
    "0.025", "0.05",    "0.1",   "0.25",   "0.5",     "1",      "2.5",   "5",      "10"};
static const buckets seconds = {sizeof second_bounds / sizeof *second_bounds, second_bounds,
                                second_texts, NS_PER_S};

static const uint64_t row_bounds[] = {1,   2,    4,    8,    16,   32,    64,    128,    256,
                                      512, 1024, 2048, 4096, 8192, 16384, 65536, 262144, 1048576};
static const char *const row_texts[] = {"1",    "2",    "4",     "8",     "16",     "32",
                                        "64",   "128",  "256",   "512",   "1024",   "2048",
                                        "4096", "8192", "16384", "65536", "262144", "1048576"};
static const buckets rows_bounds = {sizeof row_bounds / sizeof *row_bounds, row_bounds, row_texts,
                                    1};

/* In parts of LEVEL_UNIT. A level is rounded to one of them, but what is above 1 stays above 1, and
 * cut at LEVEL_MAX, so that no thief's sum wraps around in years. Evidence goes up to 2. */
#define LEVEL_UNIT UINT64_C(1000000)
#define LEVEL_MAX 1000.0
#define LEVEL_TENTH (LEVEL_UNIT / 10)
static const uint64_t level_bounds[] = {
    LEVEL_TENTH * 0,  LEVEL_TENTH * 1,  LEVEL_TENTH * 2,  LEVEL_TENTH * 3,  LEVEL_TENTH * 4,
    LEVEL_TENTH * 5,  LEVEL_TENTH * 6,  LEVEL_TENTH * 7,  LEVEL_TENTH * 8,  LEVEL_TENTH * 9,
    LEVEL_TENTH * 10, LEVEL_TENTH * 12, LEVEL_TENTH * 14, LEVEL_TENTH * 16, LEVEL_TENTH * 18,
    LEVEL_TENTH * 20, LEVEL_TENTH * 30, LEVEL_TENTH * 50, LEVEL_TENTH * 100};
static const char *const level_texts[] = {"0",   "0.1", "0.2", "0.3", "0.4", "0.5", "0.6",
                                          "0.7", "0.8", "0.9", "1",   "1.2", "1.4", "1.6",
                                          "1.8", "2",   "3",   "5",   "10"};
static const buckets level_buckets = {sizeof level_bounds / sizeof *level_bounds, level_bounds,
                                      level_texts, LEVEL_UNIT};

typedef struct {
    atomic_uint_fast64_t
        in[BUCKETS_MAX]; /* each bucket alone; the last one used: above all bounds */
    atomic_uint_fast64_t sum;
} histogram;

struct metrics_model {
    metrics *of;
    char name[WIRE_MODEL_BYTES_MAX + 1];
    atomic_uint_fast64_t rows;
    atomic_uint_fast64_t decided[MODES][ACTIONS][DECISIONS];
};

struct metrics {
    metrics_model model[METRICS_MODELS_MAX];
    atomic_size_t models; /* named, so that they are written */
    atomic_uint_fast64_t poisoned;
    double started_s;                       /* since 1970 */
    atomic_uint_fast64_t received[OPS + 1]; /* by op; the last: not understood */
    atomic_uint_fast64_t refused[WIRE_CODES];
    histogram stage[METRICS_STAGES];
    histogram request;
    histogram batch;
    histogram level;
};

static void add(atomic_uint_fast64_t *counter, uint64_t count) {
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

static uint64_t read_counter(const atomic_uint_fast64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static size_t bucket_of(const buckets *b, uint64_t value) {
    size_t at = 0;
    while (at < b->count && value > b->bound[at]) {
        at++;
    }
    return at;
}

static void observe_times(histogram *h, const buckets *b, uint64_t value, uint64_t times) {
    add(&h->in[bucket_of(b, value)], times);
    add(&h->sum, value * times);
}

static void observe(histogram *h, const buckets *b, uint64_t value) {
    observe_times(h, b, value, 1);
}

metrics *metrics_open(void) {
    metrics *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    m->started_s = (double)now.tv_sec + (double)now.tv_nsec / (double)NS_PER_S;
    return m;
}

void metrics_close(metrics *m) {
    free(m);
}

metrics_model *metrics_model_of(metrics *m, const char *name) {
    size_t models = m == NULL ? METRICS_MODELS_MAX : atomic_load(&m->models);
    for (size_t i = 0; m != NULL && i < models; i++) {
        if (strcmp(m->model[i].name, name) == 0) {
            return &m->model[i];
        }
    }
    if (models == METRICS_MODELS_MAX) {
        return NULL;
    }
    metrics_model *new = &m->model[models];
    new->of = m;
    snprintf(new->name, sizeof new->name, "%s", name);
    atomic_store(&m->models, models + 1);
    return new;
}

/* ---- counting ---- */

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t metrics_clock_ns(const metrics *m) {
    return m != NULL ? clock_ns() : 0;
}

void metrics_received(metrics *m, wire_code code, wire_op op) {
    if (m != NULL) {
        add(&m->received[code == WIRE_OK ? op : OPS], 1);
    }
}

void metrics_stage_took(metrics *m, metrics_stage stage, uint64_t took_ns) {
    if (m != NULL) {
        observe(&m->stage[stage], &seconds, took_ns);
    }
}

void metrics_stage_since(metrics *m, metrics_stage stage, uint64_t start_ns) {
    if (m != NULL) {
        observe(&m->stage[stage], &seconds, clock_ns() - start_ns);
    }
}

void metrics_batch(metrics *m, size_t rows) {
    if (m != NULL) {
        observe(&m->batch, &rows_bounds, rows);
    }
}

/* Compilers count equals in vectors, three times as fast as a counter a decision. */
static uint64_t count_of(const uint8_t *decisions, size_t rows, uint8_t decision) {
    uint64_t count = 0;
    for (size_t i = 0; i < rows; i++) {
        count += decisions[i] == decision;
    }
    return count;
}

void metrics_decided(metrics_model *m, const metrics_decisions *d) {
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < DECISIONS; i++) {
        uint64_t count = count_of(d->decisions, d->rows, (uint8_t)i);
        add(&m->decided[d->mode][d->action][i], count);
        if (i == WIRE_POISON && d->poisoned) {
            add(&m->of->poisoned, count);
        }
    }
    add(&m->rows, d->rows);
}

/* What is no number counts as above all: it is not honest. */
static uint64_t level_parts(double level) {
    double cut = level < LEVEL_MAX ? level : LEVEL_MAX;
    uint64_t parts = cut > 0.0 ? (uint64_t)llround(cut * (double)LEVEL_UNIT) : 0;
    return parts + (cut > 1.0 && parts == LEVEL_UNIT);
}

size_t metrics_level_bucket(double level) {
    return bucket_of(&level_buckets, level_parts(level));
}

void metrics_levels(metrics *m, const float *values, size_t rows, double limit) {
    if (m == NULL || !(limit > 0.0)) {
        return;
    }
    for (size_t first = 0, end; first < rows; first = end) {
        end = first + 1;
        while (end < rows && values[end] == values[first]) {
            end++; /* rows of an observation have the same */
        }
        observe_times(&m->level, &level_buckets, level_parts((double)values[first] / limit),
                      end - first);
    }
}

void metrics_replied(metrics *m, wire_code code, wire_op op, uint64_t received_ns,
                     uint64_t encode_ns) {
    if (m == NULL) {
        return;
    }
    if (code != WIRE_OK) {
        add(&m->refused[code], 1);
    } else if (op == WIRE_SCORE) {
        uint64_t now = clock_ns();
        observe(&m->stage[METRICS_ENCODE], &seconds, now - encode_ns);
        observe(&m->request, &seconds, now - received_ns);
    }
}

/* ---- reading ---- */

static const char *const op_texts[OPS + 1] = {"score",  "hello",   "ping",
                                              "forget", "explain", "unknown"};
static const char *const decision_texts[DECISIONS] = {"allow", "poison", "warming", "label_only"};
static const char *const stage_texts[METRICS_STAGES] = {"wait", "engine", "decide", "encode"};

static uint64_t resident_bytes(void) {
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &size, &resident) != 2) {
        resident = 0;
    }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void read_histogram(metrics_distribution *out, const histogram *h, const buckets *b) {
    out->bounds = b->count;
    out->sum = (double)read_counter(&h->sum) / (double)b->unit;
    for (size_t i = 0; i <= b->count; i++) {
        out->bound[i] = i < b->count ? (double)b->bound[i] / (double)b->unit : (double)INFINITY;
        out->in[i] = read_counter(&h->in[i]);
    }
}

metrics_distribution metrics_level_bounds(void) {
    static const histogram none;
    metrics_distribution out = {0};
    read_histogram(&out, &none, &level_buckets);
    return out;
}

static void read_model(metrics_totals *out, const metrics_model *m) {
    out->rows += read_counter(&m->rows);
    for (size_t i = 0; i < (size_t)MODES * ACTIONS * DECISIONS; i++) {
        size_t mode = i / (ACTIONS * DECISIONS), action = i / DECISIONS % ACTIONS;
        out->decided[i % DECISIONS] += read_counter(&m->decided[mode][action][i % DECISIONS]);
    }
}

void metrics_read(const metrics *m, metrics_totals *out) {
    *out = (metrics_totals){.clock_ns = clock_ns(),
                            .started_s = m->started_s,
                            .resident_bytes = resident_bytes(),
                            .poisoned = read_counter(&m->poisoned)};
    for (size_t i = 0; i <= OPS; i++) {
        out->received[i] = read_counter(&m->received[i]);
    }
    for (size_t i = 0; i < WIRE_CODES; i++) {
        out->refused[i] = read_counter(&m->refused[i]);
    }
    for (size_t i = 0; i < atomic_load(&m->models); i++) {
        read_model(out, &m->model[i]);
    }
    for (size_t i = 0; i < METRICS_STAGES; i++) {
        read_histogram(&out->stage[i], &m->stage[i], &seconds);
    }
    read_histogram(&out->request, &m->request, &seconds);
    read_histogram(&out->batch, &m->batch, &rows_bounds);
    read_histogram(&out->level, &m->level, &level_buckets);
}

const char *metrics_op_name(size_t op) {
    return op_texts[op];
}

const char *metrics_decision_name(size_t decision) {
    return decision_texts[decision];
}

const char *metrics_stage_name(metrics_stage stage) {
    return stage_texts[stage];
}

/* ---- writing ---- */

static const char *const mode_texts[] = {"enforce", "shadow", "off"};
static const char *const action_texts[] = {"poison", "label_only", "flag"};

static void write_head(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_escaped(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            fputs("\\n", out);
        } else if (*text == '\\' || *text == '"') {
            fprintf(out, "\\%c", *text);
        } else {
            fputc(*text, out);
        }
    }
}

static void write_label(FILE *out, const char *before, const char *name, const char *value) {
    fprintf(out, "%s%s=\"", before, name);
    write_escaped(out, value);
    fputc('"', out);
}

static void write_one(FILE *out, const char *name, const char *type, const char *help,
                      uint64_t value) {
    write_head(out, name, type, help);
    fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

/* A number that is labelled with the model alone. */
static void write_of_model(FILE *out, const char *name, const char *model, uint64_t value) {
    fputs(name, out);
    write_label(out, "{", "model", model);
    fprintf(out, "} %llu\n", (unsigned long long)value);
}

static void write_sum(FILE *out, uint64_t sum, uint64_t unit) {
    if (unit == 1) {
        fprintf(out, " %llu\n", (unsigned long long)sum);
    } else {
        int digits = unit == NS_PER_S ? 9 : 6;
        fprintf(out, " %llu.%0*llu\n", (unsigned long long)(sum / unit), digits,
                (unsigned long long)(sum % unit));
    }
}

/* stage: the value of that label; NULL: none. The count is of the same reading as the buckets. */
static void write_histogram(FILE *out, const char *name, const char *stage, const histogram *h,
                            const buckets *b) {
    const char *comma = stage != NULL ? "," : "";
    char label[32] = "";
    uint64_t below = 0;
    if (stage != NULL) {
        snprintf(label, sizeof label, "stage=\"%s\"", stage);
    }
    for (size_t i = 0; i <= b->count; i++) {
        below += read_counter(&h->in[i]);
        fprintf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, label, comma,
                i < b->count ? b->text[i] : "+Inf", (unsigned long long)below);
    }
    const char *open = stage != NULL ? "{" : "", *close = stage != NULL ? "}" : "";
    fprintf(out, "%s_sum%s%s%s", name, open, label, close);
    write_sum(out, read_counter(&h->sum), b->unit);
    fprintf(out, "%s_count%s%s%s %llu\n", name, open, label, close, (unsigned long long)below);
}

static void write_traffic(FILE *out, const metrics *m) {
    write_head(out, "adder_requests_total", "counter", "Requests received, by what they ask for.");
    for (size_t i = 0; i <= OPS; i++) {
        fprintf(out, "adder_requests_total{op=\"%s\"} %llu\n", op_texts[i],
                (unsigned long long)read_counter(&m->received[i]));
    }
    write_head(out, "adder_refusals_total", "counter", "Requests refused, by the code they got.");
    for (size_t i = WIRE_OK + 1; i < WIRE_CODES; i++) {
        fprintf(out, "adder_refusals_total{code=\"%s\"} %llu\n", wire_code_name((wire_code)i),
                (unsigned long long)read_counter(&m->refused[i]));
    }
    write_one(out, "adder_poisoned_rows_total", "counter",
              "Rows scored and answered with poison in place of the model's output.",
              read_counter(&m->poisoned));
    write_head(out, "adder_stage_seconds", "histogram",
               "Time by stage: wait and encode of a request, engine and decide of a batch.");
    for (size_t i = 0; i < METRICS_STAGES; i++) {
        write_histogram(out, "adder_stage_seconds", stage_texts[i], &m->stage[i], &seconds);
    }
    write_head(out, "adder_request_seconds", "histogram",
               "Time from receipt to encoded reply of score requests carried out.");
    write_histogram(out, "adder_request_seconds", NULL, &m->request, &seconds);
    write_head(out, "adder_batch_rows", "histogram",
               "Rows of a batch given to the engine, those with a group twice.");
    write_histogram(out, "adder_batch_rows", NULL, &m->batch, &rows_bounds);
    write_head(out, "adder_row_level", "histogram",
               "Of rows scored, what decides over its limit: evidence, or the window's score.");
    write_histogram(out, "adder_row_level", NULL, &m->level, &level_buckets);
}

/* Those in force, zero or not, and those that have been. */
static void write_decisions(FILE *out, const metrics_model *m, const metrics_model_now *now) {
    for (size_t i = 0; i < (size_t)MODES * ACTIONS * DECISIONS; i++) {
        size_t mode = i / (ACTIONS * DECISIONS), action = i / DECISIONS % ACTIONS;
        uint64_t count = read_counter(&m->decided[mode][action][i % DECISIONS]);
        bool in_force = now != NULL && mode == now->mode && action == now->action;
        if (in_force || count > 0) {
            write_label(out, "adder_decisions_total{", "model", m->name);
            fprintf(out, ",mode=\"%s\",action=\"%s\",decision=\"%s\"} %llu\n", mode_texts[mode],
                    action_texts[action], decision_texts[i % DECISIONS], (unsigned long long)count);
        }
    }
}

static const metrics_model_now *model_now(const metrics_now *now, const char *name) {
    for (size_t i = 0; i < now->models; i++) {
        if (strcmp(now->model[i].name, name) == 0) {
            return &now->model[i];
        }
    }
    return NULL;
}

static void write_models(FILE *out, const metrics *m, const metrics_now *now) {
    size_t models = atomic_load(&m->models);
    write_head(out, "adder_rows_total", "counter", "Rows scored.");
    for (size_t i = 0; i < models; i++) {
        write_of_model(out, "adder_rows_total", m->model[i].name, read_counter(&m->model[i].rows));
    }
    write_head(out, "adder_decisions_total", "counter", "Rows scored, by their decision.");
    for (size_t i = 0; i < models; i++) {
        write_decisions(out, &m->model[i], model_now(now, m->model[i].name));
    }
}

/* A gauge, or what a service counts itself, of each model that is served. */
typedef struct {
    const char *name, *type, *help;
    uint64_t (*value)(const metrics_model_now *model);
} of_models;

#define VALUE_OF(MEMBER)                                                                           \
    static uint64_t value_of_##MEMBER(const metrics_model_now *model) {                            \
        return model->MEMBER;                                                                      \
    }
VALUE_OF(accounts)
VALUE_OF(accounts_max)
VALUE_OF(account_bytes)
VALUE_OF(block_bytes)
VALUE_OF(bytes_held)
VALUE_OF(evictions)
VALUE_OF(queue_requests)
VALUE_OF(queue_rows)
VALUE_OF(degraded)

static const of_models model_series[] = {
    {"adder_accounts", "gauge", "Accounts and groups held.", value_of_accounts},
    {"adder_accounts_max", "gauge", "Accounts and groups that can be held.", value_of_accounts_max},
    {"adder_account_bytes", "gauge", "Bytes of one account in the engine.", value_of_account_bytes},
    {"adder_block_bytes", "gauge",
     "Bytes of one class in an account's memory, beside adder_account_bytes.",
     value_of_block_bytes},
    {"adder_accounts_bytes", "gauge",
     "Bytes of all that is held of accounts and groups, and of those that have lost their place.",
     value_of_bytes_held},
    {"adder_evictions_total", "counter",
     "Accounts and groups that gave their place to another one.", value_of_evictions},
    {"adder_queue_requests", "gauge", "Requests that wait for the engine.",
     value_of_queue_requests},
    {"adder_queue_rows", "gauge",
     "Rows of requests that wait for the engine, those with a group twice.", value_of_queue_rows},
    {"adder_engine_degraded", "gauge", "1: the device was lost and the CPU engine has taken over.",
     value_of_degraded},
};

static void write_gauges(FILE *out, const metrics_now *now) {
    write_head(out, "adder_build_info", "gauge", "Always 1.");
    write_label(out, "adder_build_info{", "version", now->version);
    write_label(out, ",", "engine", now->engine);
    fputs("} 1\n", out);
    for (size_t s = 0; s < sizeof model_series / sizeof *model_series; s++) {
        const of_models *series = &model_series[s];
        write_head(out, series->name, series->type, series->help);
        for (size_t i = 0; i < now->models; i++) {
            write_of_model(out, series->name, now->model[i].name, series->value(&now->model[i]));
        }
    }
    write_one(out, "adder_in_flight", "gauge", "Requests received and not answered yet.",
              now->in_flight);
    write_one(out, "adder_connections_refused_total", "counter",
              "Connections turned away because there were too many.", now->connections_refused);
    write_one(out, "adder_reloads_total", "counter", "Reloads of the configuration that were made.",
              now->reloads);
    write_one(out, "adder_reloads_failed_total", "counter",
              "Reloads that were refused, so that the configuration before stayed.",
              now->reloads_failed);
}

char *metrics_text(const metrics *m, const metrics_now *now, size_t *bytes) {
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes);
    if (out == NULL) {
        return NULL;
    }
    if (now->serving) {
        write_models(out, m, now);
        write_gauges(out, now);
    }
    write_traffic(out, m);
    write_head(out, "process_start_time_seconds", "gauge", "When the daemon started, since 1970.");
    fprintf(out, "process_start_time_seconds %.3f\n", m->started_s);
    write_one(out, "process_resident_memory_bytes", "gauge", "Memory that is resident.",
              resident_bytes());
    bool written = ferror(out) == 0;
    if (fclose(out) != 0 || !written) {
        free(text);
        return NULL;
    }
    return text;
}

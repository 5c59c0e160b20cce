/*
 * flood.c - `adder-bench flood`: what becomes of a running daemon's memory, of a thief it has
 * flagged, of one it nearly has, and of a good client's latency, while fresh accounts ask.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adder.h"
#include "bench.h"
#include "flood_load.h"

#define NAME "adder-bench flood"
#define SUSPECT_EVIDENCE 0.5f
#define ALONE_SECONDS 3.0
#define GOOD_PER_S 500.0
#define MIB (1024.0 * 1024.0)

enum {
    ACCOUNTS = 1000000,
    RATE = 20000,
    REQUEST_ROWS = 64,
    GOOD_ROWS = 16,
    ROUNDS = 10,
    KNOWN = 1000,
    TRIES_MAX = 2000,
    THIEF_ROWS = 16,
    ACCOUNTS_MIN = 20000, /* more than are held, and some requests a round */
    ACCOUNTS_MAX = 1000000000,
    BYTES_MIB_MAX = 1 << 24,
};

enum { KEY_HONEST = 256, KEY_THIEF, KEY_PID, KEY_LIMIT, KEY_RATE };

typedef struct {
    const char *url, *honest, *thief;
    size_t process, limit_mib, accounts, rate, rows;
    dataset good, bad;
    adder_client *client;
    size_t capacity;
    char error[FLOOD_ERROR_BYTES];
} flooding;

static const struct argp_option options[] = {
    {"connect", 'C', "URL", 0, "A running daemon, calibrated, which need not be empty (needed)", 1},
    {"pid", KEY_PID, "N", 0, "Its process, whose memory is looked at (needed)", 1},
    {"limit", KEY_LIMIT, "MIB", 0, "Its --max-bytes in MiB, to compare with", 1},
    {"honest", KEY_HONEST, "PATH", 0,
     "What NAME.emb*.npy and NAME.pred*.npy begin with: queries of the good client and of the "
     "fresh accounts (needed)",
     2},
    {"thief", KEY_THIEF, "PATH", 0, "The same for the thief's (needed)", 2},
    {"accounts", 'a', "N", 0, "Fresh accounts, a query of each (1000000)", 3},
    {"rate", KEY_RATE, "N", 0, "So many a second (20000)", 3},
    {"rows", 'n', "N", 0, "In a request (64)", 3},
    {0},
};

static bool parse_size(const char *option, size_t least, size_t most, const char *text,
                       size_t *value) {
    return bench_parse(&(bench_range){NAME, option, least, most}, text, value);
}

static bool take_option(int key, const char *text, void *to) {
    flooding *f = to;
    switch (key) {
    case 'C':
        f->url = text;
        return true;
    case KEY_HONEST:
        f->honest = text;
        return true;
    case KEY_THIEF:
        f->thief = text;
        return true;
    case KEY_PID:
        return parse_size("pid", 1, 1 << 30, text, &f->process);
    case KEY_LIMIT:
        return parse_size("limit", 1, BYTES_MIB_MAX, text, &f->limit_mib);
    case 'a':
        return parse_size("accounts", ACCOUNTS_MIN, ACCOUNTS_MAX, text, &f->accounts);
    case KEY_RATE:
        return parse_size("rate", 1, ACCOUNTS_MAX, text, &f->rate);
    case 'n':
        return parse_size("rows", 1, 1024, text, &f->rows);
    default:
        return false;
    }
}

static bool complete(void *to) {
    const flooding *f = to;
    if (f->url == NULL || f->honest == NULL || f->thief == NULL || f->process == 0) {
        fprintf(stderr, NAME ": --connect, --pid, --honest and --thief expected\n");
        return false;
    }
    return true;
}

/* ---- the daemon and what it is asked ---- */

static bool load(flooding *f, const char *path, dataset *data) {
    static dataset_pair pair[DATASET_PAIRS_MAX];
    return dataset_find(pair, path, f->error, sizeof f->error) > 0 &&
           dataset_load(data,
                        &(dataset_files){.embeddings = pair[0].embeddings,
                                         .classes = pair[0].classes,
                                         .range = DATASET_ALL},
                        f->error, sizeof f->error);
}

static bool open_all(flooding *f) {
    adder_error error = {""};
    adder_info info;
    if (!load(f, f->honest, &f->good) || !load(f, f->thief, &f->bad)) {
        return false;
    }
    if (f->good.rows <= f->rows + GOOD_ROWS || f->bad.rows <= THIEF_ROWS) {
        snprintf(f->error, sizeof f->error, "more rows than a request's expected in the files");
        return false;
    }
    if (adder_open(&f->client, f->url, NULL, &error) != ADDER_OK ||
        adder_hello(f->client, &info, &error) != ADDER_OK) {
        snprintf(f->error, sizeof f->error, "%s: %s", f->url, error.text);
        return false;
    }
    f->capacity = info.accounts_max;
    return true;
}

static void close_all(flooding *f) {
    adder_close(f->client);
    dataset_close(&f->good);
    dataset_close(&f->bad);
}

/* What the daemon believes after the rows. */
static bool steal(flooding *f, const char *account, size_t first, size_t count, bool *flagged,
                  float *evidence) {
    const char *names[THIEF_ROWS];
    adder_reply *reply = NULL;
    adder_error error = {""};
    for (size_t i = 0; i < count; i++) {
        names[i] = account;
    }
    first = first % (f->bad.rows - count);
    adder_rows rows = {.count = count,
                       .dim = f->bad.dim,
                       .accounts = names,
                       .classes = f->bad.classes + first,
                       .embeddings = dataset_row(&f->bad, first),
                       .want_detail = true};
    bool done = adder_score(f->client, &rows, &reply, &error) == ADDER_OK &&
                reply->verdicts != NULL && reply->evidence != NULL;
    if (done) {
        *flagged = reply->verdicts[count - 1] == ADDER_FLAGGED;
        *evidence = reply->evidence[count - 1];
    } else {
        snprintf(f->error, sizeof f->error, "%s",
                 error.text[0] != '\0' ? error.text : "expected a daemon that keeps evidence");
    }
    adder_reply_free(reply);
    return done;
}

/* Row by row, or by sixteen, until it is flagged, or has so much evidence. Queries it took. */
static bool steal_until(flooding *f, const char *account, size_t each, float enough,
                        size_t *queries, float *evidence) {
    bool flagged = false;
    *evidence = 0.0f;
    for (size_t k = 0; !flagged && *evidence < enough && k < TRIES_MAX; k++, *queries += each) {
        if (!steal(f, account, *queries * 7, each, &flagged, evidence)) {
            return false;
        }
    }
    return true;
}

static bool explain(flooding *f, const char *account, const char *what) {
    adder_explanation *why = NULL;
    adder_error error = {""};
    if (adder_explain(f->client, account, false, &why, &error) != ADDER_OK) {
        snprintf(f->error, sizeof f->error, "%s", error.text);
        return false;
    }
    if (why == NULL) {
        printf("%-10s unknown\n", what);
    } else {
        printf("%-10s %s, %zu queries, evidence %.2f of what flags, window of %zu rows\n", what,
               why->verdict == ADDER_FLAGGED ? "flagged" : "not flagged", (size_t)why->queries,
               why->evidence, (size_t)why->fill);
    }
    adder_explanation_free(why);
    return true;
}

/* ---- the run ---- */

/* Others that share the machine slow down whatever is measured just then: so the three take turns.
 */
typedef struct {
    const char *what;
    size_t accounts; /* of a round */
    size_t names;
    size_t asked;
    flood_result sum;
} turn;

static bool take_turn(flooding *f, turn *t, size_t round) {
    static flood_result r;
    bool fresh = t->names > KNOWN;
    flood_plan plan = {.url = f->url,
                       .honest = &f->good,
                       .accounts = t->accounts,
                       .names = t->names,
                       .name_first = fresh ? KNOWN + round * t->accounts : 0,
                       .request_rows = f->rows,
                       .accounts_per_s = (double)f->rate,
                       .good_rows = GOOD_ROWS,
                       .good_per_s = GOOD_PER_S,
                       .seconds = ALONE_SECONDS,
                       .daemon = (int)f->process};
    if (!flood_run(&plan, &r, f->error)) {
        return false;
    }
    flood_result *sum = &t->sum;
    histogram_merge(&sum->good, &r.good);
    t->asked += t->accounts;
    sum->seconds += r.seconds;
    sum->behind_s = r.behind_s > sum->behind_s ? r.behind_s : sum->behind_s;
    sum->resident_bytes =
        r.resident_bytes > sum->resident_bytes ? r.resident_bytes : sum->resident_bytes;
    return true;
}

static void print_turn(const turn *t) {
    const histogram *h = &t->sum.good;
    printf("%-32s %8zu %8.1f %8.1f %9.3f %9.3f %9.3f %10.1f\n", t->what, t->asked, t->sum.seconds,
           1e3 * t->sum.behind_s, 1e3 * histogram_percentile(h, 50.0),
           1e3 * histogram_percentile(h, 99.0), 1e3 * histogram_percentile(h, 99.9),
           (double)t->sum.resident_bytes / MIB);
}

static bool take_turns(flooding *f) {
    enum { ALONE, HELD, FRESH, TURNS };
    static turn turns[TURNS];
    size_t each = f->accounts / ROUNDS / f->rows * f->rows;
    turns[ALONE] = (turn){.what = "alone", .names = 1};
    turns[HELD] = (turn){.what = "beside accounts that are held", .accounts = each, .names = KNOWN};
    turns[FRESH] = (turn){.what = "beside fresh accounts", .accounts = each, .names = f->accounts};
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < TURNS; i++) {
            if (!take_turn(f, &turns[i], round)) {
                return false;
            }
        }
    }
    printf("\n%-32s %8s %8s %8s %9s %9s %9s %10s\n", "the good client's latency, ms", "accounts",
           "seconds", "late ms", "p50", "p99", "p99.9", "MiB");
    double p99[TURNS];
    for (size_t i = 0; i < TURNS; i++) {
        print_turn(&turns[i]);
        p99[i] = histogram_percentile(&turns[i].sum.good, 99.0);
    }
    printf("\np99        %.2f of that beside as many held accounts, %.2f of that alone\n",
           p99[FRESH] / p99[HELD], p99[FRESH] / p99[ALONE]);
    return true;
}

static void print_memory(const flooding *f) {
    double resident = (double)flood_resident_bytes((int)f->process) / MIB;
    printf("\nresident   %.1f MiB", resident);
    if (f->limit_mib > 0) {
        printf(" of a limit of %zu: %.3f of it", f->limit_mib, resident / (double)f->limit_mib);
    }
    printf("\n");
}

static bool flood(flooding *f) {
    size_t thief = 0, suspect = 0, before;
    float evidence;
    bench_print_machine();
    printf("run      %s, room for %zu accounts; then %zu fresh ones, a query of each, %zu in a\n"
           "         request, %zu a second; a good client, %d queries a request, %.0f requests a "
           "second; %d rounds\n\n",
           f->url, f->capacity, f->accounts, f->rows, f->rate, GOOD_ROWS, GOOD_PER_S, ROUNDS);
    if (!steal_until(f, "thief", THIEF_ROWS, 1e9f, &thief, &evidence) ||
        !steal_until(f, "suspect", 1, SUSPECT_EVIDENCE, &suspect, &evidence) ||
        !explain(f, "thief", "thief") || !explain(f, "suspect", "suspect")) {
        return false;
    }
    if (!take_turns(f)) {
        return false;
    }
    print_memory(f);
    before = suspect;
    if (!explain(f, "thief", "thief") || !explain(f, "suspect", "suspect") ||
        !steal_until(f, "suspect", 1, 1e9f, &suspect, &evidence)) {
        return false;
    }
    printf("%-10s flagged after %zu queries more\n", "suspect", suspect - before);
    return true;
}

int bench_flood(int argc, char **argv) {
    static const bench_usage usage = {
        .name = NAME,
        .options = options,
        .doc = "Asks a running daemon about fresh accounts, far more than it has room for, and "
               "prints what it takes of memory, whether a thief that was flagged before still is, "
               "whether one that nearly was goes on where he was, and the latency of a good client "
               "before and meanwhile, from when each request was due.",
        .take = take_option,
        .complete = complete,
    };
    flooding f = {.accounts = ACCOUNTS, .rate = RATE, .rows = REQUEST_ROWS};
    int status = bench_parse_arguments(&usage, argc, argv, &f);
    if (status != 0) {
        return status;
    }
    bool done = open_all(&f) && flood(&f);
    if (!done) {
        fprintf(stderr, NAME ": %s\n", f.error);
    }
    close_all(&f);
    return done ? 0 : BENCH_EXIT_FAILURE;
}

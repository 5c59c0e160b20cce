/*
 * load.c - the daemon and its clients under a mixed load from many threads, built with
 * ThreadSanitizer: a race in either fails the run.
 *
 * A plain program, because Criterion does not start under ThreadSanitizer. First a bounded number
 * of requests, each of whose answers is checked; then the same until the daemon, told to go, is
 * gone. Exit status 0: all was well.
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include "daemon_fixture.h"
#include "scrape.h"

enum {
    THREADS = 8,
    CLIENTS = 3,    /* shared by the threads */
    REQUESTS = 150, /* of each thread before the signal */
    AFTER_REQUESTS = 200,
    RELOAD_MS = 50, /* of all threads together, before the signal comes */
    ACCOUNTS = 24,  /* shared by the threads; the daemon holds fewer */
    ACCOUNTS_HELD = 20,
    ROWS_MAX = 20, /* as many as accounts are held */
    DIM = 64,
    CLASSES = 10,
    WINDOW = 16,
    RUN_S = 240, /* a hang ends here */
    LAST_TIMEOUT_MS = 3000,
};

typedef struct {
    daemon_fixture d;
    adder_client *client[CLIENTS];
    char account[ACCOUNTS][16];
    char snapshot[CHILD_PATH_BYTES * 2];
    char config[CHILD_PATH_BYTES * 2];
    atomic_size_t after; /* requests of the second part */
    atomic_bool signalled;
    int admin_port;
    size_t scrapes; /* of the scraper alone, as the next one */
    double rows;    /* scored, as last told */
} load;

typedef struct {
    load *load;
    uint64_t random;
    adder_client *client;
    size_t ok;
    size_t refused; /* as they had to be */
    size_t overloaded;
    size_t draining;
    size_t lost;
    size_t poisoned;
    const char *accounts[ROWS_MAX];
    uint32_t classes[ROWS_MAX];
    float embeddings[ROWS_MAX * DIM];
} sender;

static uint64_t draw(sender *s, uint64_t limit) {
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % limit;
}

static void check(bool claim, const char *what) {
    if (!claim) {
        child_fail("load: %s", what);
    }
}

/* Counts a status; whether the daemon is still there to ask. */
static bool settle(sender *s, adder_status status, adder_status expected, const char *text) {
    bool signalled = atomic_load(&s->load->signalled);
    if (status == expected) {
        s->ok += status == ADDER_OK;
        s->refused += status != ADDER_OK;
        return true;
    }
    if (status == ADDER_OVERLOADED) {
        s->overloaded++;
        return true;
    }
    if (signalled && status == ADDER_DRAINING) {
        s->draining++;
        return true;
    }
    if (signalled && (status == ADDER_TIMED_OUT || status == ADDER_UNREACHABLE)) {
        s->lost++;
        return false;
    }
    child_fail("load: expected %s, came %s: %s", adder_status_text(expected),
               adder_status_text(status), text);
}

/* ---- the requests ---- */

static void check_reply(sender *s, const adder_reply *reply, size_t rows, bool want_poison) {
    check(reply->count == rows && reply->memory_scores != NULL, "the reply has another shape");
    size_t poison = 0;
    for (size_t i = 0; i < rows; i++) {
        check(isfinite(reply->scores[i]) && reply->scores[i] >= 0.0f &&
                  isfinite(reply->memory_scores[i]),
              "a score is no number");
        check(reply->fill[i] >= 1 && reply->fill[i] <= WINDOW, "a fill beyond the window");
        check(reply->decisions[i] <= ADDER_LABEL_ONLY, "an unknown decision");
        poison += reply->decisions[i] == ADDER_POISON;
    }
    check(reply->poison_count == (want_poison ? poison : 0), "another number of poisoned rows");
    for (size_t k = 0; k < reply->poison_count; k++) {
        double sum = 0.0;
        check(reply->decisions[reply->poison_rows[k]] == ADDER_POISON, "an honest row poisoned");
        for (size_t c = 0; c < CLASSES; c++) {
            sum += (double)reply->poison[k * CLASSES + c];
        }
        check(fabs(sum - 1.0) < 1e-5, "probabilities that do not sum to 1");
    }
    s->poisoned += reply->poison_count;
}

static adder_rows rows_of(sender *s) {
    size_t rows = 1 + draw(s, ROWS_MAX);
    for (size_t i = 0; i < rows; i++) {
        s->accounts[i] = s->load->account[draw(s, ACCOUNTS)];
        s->classes[i] = (uint32_t)draw(s, CLASSES);
        for (size_t j = 0; j < DIM; j++) {
            s->embeddings[i * DIM + j] = (float)draw(s, 1000) * 1e-3f;
        }
    }
    return (adder_rows){.count = rows,
                        .dim = DIM,
                        .accounts = s->accounts,
                        .classes = s->classes,
                        .embeddings = s->embeddings,
                        .want_poison = draw(s, 2) == 1};
}

static bool send_score(sender *s) {
    adder_rows rows = rows_of(s);
    adder_reply *reply = NULL;
    adder_error error = {""};
    adder_status status = adder_score(s->client, &rows, &reply, &error);
    if (status == ADDER_OK) {
        check_reply(s, reply, rows.count, rows.want_poison);
        adder_reply_free(reply);
    }
    return settle(s, status, ADDER_OK, error.text);
}

static bool send_bad(sender *s) {
    adder_rows rows = rows_of(s);
    adder_reply *reply = NULL;
    adder_error error = {""};
    adder_status expected = ADDER_BAD_CLASS;
    switch (draw(s, 4)) {
    case 0:
        rows.dim--;
        expected = ADDER_BAD_DIMENSION;
        break;
    case 1:
        rows.model = "another";
        expected = ADDER_UNKNOWN_MODEL;
        break;
    case 2:
        s->embeddings[draw(s, rows.count * DIM)] = NAN;
        expected = ADDER_NOT_FINITE;
        break;
    default:
        s->classes[draw(s, rows.count)] = CLASSES;
    }
    return settle(s, adder_score(s->client, &rows, &reply, &error), expected, error.text);
}

static bool send_hello(sender *s) {
    adder_info info;
    adder_error error = {""};
    adder_status status = adder_hello(s->client, &info, &error);
    if (status == ADDER_OK) {
        check(info.accounts <= ACCOUNTS_HELD && info.models == 1 && info.model[0].dim == DIM,
              "hello tells something else");
    }
    return settle(s, status, ADDER_OK, error.text);
}

static bool send_something(sender *s) {
    adder_error error = {""};
    s->client = s->load->client[draw(s, CLIENTS)];
    switch (draw(s, 16)) {
    case 0:
        return send_bad(s);
    case 1:
        return send_hello(s);
    case 2:
        return settle(s, adder_ping(s->client, &error), ADDER_OK, error.text);
    case 3:
        return settle(s, adder_forget(s->client, s->load->account[draw(s, ACCOUNTS)], NULL, &error),
                      ADDER_OK, error.text);
    default:
        return send_score(s);
    }
}

static void *send_requests(void *argument) {
    sender *s = argument;
    for (size_t i = 0; i < REQUESTS; i++) {
        check(send_something(s), "the daemon is gone before its time");
    }
    while (send_something(s)) {
        atomic_fetch_add(&s->load->after, 1);
    }
    return NULL;
}

/* Reads the metrics while they are written, until the daemon is gone. */
static void *scrape_on(void *argument) {
    load *l = argument;
    for (;;) {
        scrape_reply reply = scrape_get(l->admin_port, "/metrics", NULL);
        bool there = reply.status == 200;
        if (there) {
            double rows = scrape_value(reply.body, "adder_rows_total{model=\"default\"}");
            check(rows >= l->rows, "fewer rows than a moment ago");
            l->rows = rows;
            l->scrapes++;
        }
        scrape_reply_free(&reply);
        if (!there) {
            return NULL;
        }
    }
}

/* ---- the run ---- */

/* Every fourth time another half-life, thus another service. */
static void write_config(const load *l, size_t round) {
    char yaml[64];
    int length = snprintf(yaml, sizeof yaml, "threshold: 12\nrelease-after: %zu\nhalf-life: %zu\n",
                          round, 500 + round / 4 % 3);
    child_write(l->config, yaml, (size_t)length);
}

static void reload_while_they_ask(load *l) {
    for (size_t round = 1; atomic_load(&l->after) < AFTER_REQUESTS; round++) {
        write_config(l, round);
        kill(l->d.child, SIGHUP);
        nng_msleep(RELOAD_MS);
    }
}

static void load_open(load *l) {
    /* OpenBLAS is not instrumented: what its own threads share would be reported as races. */
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    daemon_open(&l->d, DIM);
    daemon_path(&l->d, "adder.yaml", l->config);
    write_config(l, 0);
    daemon_start(&l->d,
                 DAEMON_FLAGS("--config", l->config, "--window", "16", "--max-accounts", "20",
                              "--min-fill", "2", "--memory-rank", "8", "--contexts", "16",
                              "--admin", "0", "--snapshot",
                              daemon_path(&l->d, "state", l->snapshot), "--snapshot-every", "1"));
    l->admin_port = scrape_port(&l->d);
    for (size_t i = 0; i < CLIENTS; i++) {
        l->client[i] = daemon_connect(&l->d, LAST_TIMEOUT_MS * (i == 0 ? 2 : 1));
    }
    for (size_t i = 0; i < ACCOUNTS; i++) {
        snprintf(l->account[i], sizeof l->account[i], "account %zu", i);
    }
}

static void load_close(load *l) {
    for (size_t i = 0; i < CLIENTS; i++) {
        adder_close(l->client[i]);
    }
    daemon_close(&l->d);
}

static void print_counts(const sender senders[THREADS]) {
    sender sum = {0};
    for (size_t i = 0; i < THREADS; i++) {
        sum.ok += senders[i].ok;
        sum.refused += senders[i].refused;
        sum.overloaded += senders[i].overloaded;
        sum.draining += senders[i].draining;
        sum.lost += senders[i].lost;
        sum.poisoned += senders[i].poisoned;
    }
    printf("load: %zu answered (%zu rows poisoned), %zu refused as they should be, %zu overloaded, "
           "%zu told of draining, %zu after the end\n",
           sum.ok, sum.poisoned, sum.refused, sum.overloaded, sum.draining, sum.lost);
    check(sum.ok > 0 && sum.refused > 0 && sum.poisoned > 0, "a kind of request never came");
    check(sum.lost == THREADS, "a thread did not see the end");
}

int main(void) {
    static load l;
    static sender senders[THREADS];
    pthread_t threads[THREADS], scraper;
    alarm(RUN_S);
    load_open(&l);
    for (size_t i = 0; i < THREADS; i++) {
        senders[i].load = &l;
        senders[i].random = 0x9e3779b97f4a7c15u + i;
        check(pthread_create(&threads[i], NULL, send_requests, &senders[i]) == 0, "no thread");
    }
    check(pthread_create(&scraper, NULL, scrape_on, &l) == 0, "no thread");
    reload_while_they_ask(&l);
    atomic_store(&l.signalled, true);
    kill(l.d.child, SIGTERM);
    daemon_await_end(&l.d);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_join(scraper, NULL);
    print_counts(senders);
    printf("load: %zu scrapes of the metrics, %.0f rows in the last\n", l.scrapes, l.rows);
    check(l.scrapes > 0 && l.rows > 0.0, "the metrics told nothing");
    load_close(&l);
    return EXIT_SUCCESS;
}

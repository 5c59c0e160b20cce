/*
 * flood_load.c - see flood_load.h.
 */
#include "flood_load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "adder.h"
#include "bench.h"

enum { NAME_BYTES = 32, PATH_BYTES = 64, LOOK_EVERY = 64, TIMEOUT_MS = 30000 };

typedef struct {
    const flood_plan *plan;
    double start_s;
    size_t caller;
    double behind_s;
    atomic_size_t *at_work; /* callers that have not ended */
    char error[FLOOD_ERROR_BYTES];
} caller;

size_t flood_resident_bytes(int process) {
    char path[PATH_BYTES];
    size_t pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", process);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%*s %zu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void wait_until(double due_s) {
    double left = due_s - bench_now();
    if (left > 0.0) {
        struct timespec pause = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
        nanosleep(&pause, NULL);
    }
}

/* Consecutive rows of the file from one of its rows on. */
static bool ask(adder_client *client, const dataset *rows, size_t first, size_t count,
                const char *const *accounts, char *text) {
    adder_reply *reply = NULL;
    adder_error error = {""};
    first %= rows->rows - count;
    adder_rows request = {.count = count,
                          .dim = rows->dim,
                          .accounts = accounts,
                          .classes = rows->classes + first,
                          .embeddings = dataset_row(rows, first)};
    adder_status status = adder_score(client, &request, &reply, &error);
    adder_reply_free(reply);
    if (status != ADDER_OK) {
        snprintf(text, FLOOD_ERROR_BYTES, "%s: %s", adder_status_text(status), error.text);
    }
    return status == ADDER_OK;
}

/* ---- the others ---- */

static void *call(void *argument) {
    caller *c = argument;
    const flood_plan *p = c->plan;
    char(*name)[NAME_BYTES] = calloc(p->request_rows, sizeof *name);
    const char **names = calloc(p->request_rows, sizeof *names);
    adder_client *client = NULL;
    adder_options options = {.timeout_ms = TIMEOUT_MS};
    bool good =
        name != NULL && names != NULL && adder_open(&client, p->url, &options, NULL) == ADDER_OK;
    size_t requests = p->accounts / p->request_rows;
    for (size_t k = c->caller; good && k < requests; k += FLOOD_CALLERS) {
        for (size_t i = 0; i < p->request_rows; i++) {
            size_t account = (k * p->request_rows + i) % p->names;
            snprintf(name[i], NAME_BYTES, "flood-%zu", p->name_first + account);
            names[i] = name[i];
        }
        double due = c->start_s + (double)(k * p->request_rows) / p->accounts_per_s;
        wait_until(due);
        c->behind_s = bench_now() - due;
        good = ask(client, p->honest, k * 37, p->request_rows, names, c->error);
    }
    adder_close(client);
    free(names);
    free(name);
    atomic_fetch_sub(c->at_work, 1);
    return NULL;
}

/* ---- the good client ---- */

static bool be_good(const flood_plan *p, double start_s, atomic_size_t *at_work,
                    flood_result *result, char *error) {
    const char **names = calloc(p->good_rows, sizeof *names);
    adder_client *client = NULL;
    adder_options options = {.timeout_ms = TIMEOUT_MS};
    bool good = names != NULL && adder_open(&client, p->url, &options, NULL) == ADDER_OK;
    for (size_t i = 0; good && i < p->good_rows; i++) {
        names[i] = "good";
    }
    for (size_t k = 0; good; k++) {
        double due = start_s + (double)k / p->good_per_s;
        if (p->accounts > 0 ? atomic_load(at_work) == 0 : due > start_s + p->seconds) {
            break;
        }
        wait_until(due);
        good = ask(client, p->honest, k * 613, p->good_rows, names, error);
        histogram_add(&result->good, bench_now() - due);
        size_t resident = k % LOOK_EVERY == 0 ? flood_resident_bytes(p->daemon) : 0;
        result->resident_bytes =
            resident > result->resident_bytes ? resident : result->resident_bytes;
    }
    adder_close(client);
    free(names);
    return good;
}

bool flood_run(const flood_plan *plan, flood_result *result, char *error) {
    pthread_t thread[FLOOD_CALLERS];
    caller callers[FLOOD_CALLERS];
    size_t started = 0;
    atomic_size_t at_work = plan->accounts > 0 ? FLOOD_CALLERS : 0;
    double start_s = bench_now();
    *result = (flood_result){.resident_bytes = 0};
    error[0] = '\0';
    for (; plan->accounts > 0 && started < FLOOD_CALLERS; started++) {
        callers[started] =
            (caller){.plan = plan, .start_s = start_s, .caller = started, .at_work = &at_work};
        if (pthread_create(&thread[started], NULL, call, &callers[started]) != 0) {
            snprintf(error, FLOOD_ERROR_BYTES, "no thread to be had");
            atomic_fetch_sub(&at_work, FLOOD_CALLERS - started);
            break;
        }
    }
    bool good = be_good(plan, start_s, &at_work, result, error) && error[0] == '\0';
    for (size_t i = 0; i < started; i++) {
        pthread_join(thread[i], NULL);
        result->behind_s =
            callers[i].behind_s > result->behind_s ? callers[i].behind_s : result->behind_s;
        if (callers[i].error[0] != '\0') {
            snprintf(error, FLOOD_ERROR_BYTES, "%s", callers[i].error);
            good = false;
        }
    }
    result->seconds = bench_now() - start_s;
    return good;
}

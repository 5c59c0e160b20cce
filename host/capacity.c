/*
 * capacity.c - see capacity.h.
 */
#include "capacity.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "answers.h"
#include "batch.h"
#include "log.h"
#include "records.h"
#include "request.h"
#include "verdict.h"

enum { MESSAGES_SHARE = 64, MIB = 1 << 20 };

size_t capacity_resident_bytes(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%*s %zu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t place_bytes(void) {
    return accounts_bytes_each() + verdicts_bytes_each() + judge_bytes_per_slot() +
           SERVICE_FLIGHTS * batch_bytes_per_slot();
}

/* Of an account in the host: all but what the engine has of it; its records too. */
static size_t host_bytes_each(void) {
    return place_bytes() + JUDGE_RECORDS_PER_SLOT * records_bytes_each();
}

size_t capacity_held(const engine_facts *facts, const accounts *accounts, const judge *judge) {
    return accounts_held(accounts) * (facts->bytes_per_slot + place_bytes()) +
           facts->blocks_held * facts->bytes_per_block +
           records_held(judge_records(judge)) * records_bytes_each();
}

size_t capacity_blocks_each(const reference *reference) {
    size_t classes = reference->statistics.classes;
    return classes < SERVICE_BLOCKS_PER_ACCOUNT_DEFAULT ? classes
                                                        : SERVICE_BLOCKS_PER_ACCOUNT_DEFAULT;
}

/* Twice the rows of all batches at least: those of an answer do not wrap around, so as many may be
 * skipped, and no answer of a batch at work may be dropped for a later one. */
size_t capacity_answer_rows(size_t batch_rows_max) {
    size_t at_work = 2 * SERVICE_FLIGHTS * batch_rows_max;
    return ANSWERS_ROWS_MAX > at_work ? ANSWERS_ROWS_MAX : at_work;
}

/* The engine's own figures, of one that has room for a single account and for whole batches. */
static bool ask_engine(const service_options *o, size_t batch_rows_max, engine_facts *facts,
                       char *error, size_t error_bytes) {
    engine *probe;
    engine_options options = {.name = o->engine,
                              .window_rows = o->window_rows,
                              .memory_rank = o->memory_rank,
                              .half_life_rows = o->half_life_rows,
                              .memory_blocks = batch_rows_max,
                              .slots_max = 1,
                              .batch_rows_max = batch_rows_max,
                              .threads = o->threads,
                              .tf32 = o->tf32};
    if (engine_open(&probe, &o->reference->statistics, &options, error, error_bytes) != ENGINE_OK) {
        return false;
    }
    *facts = engine_describe(probe);
    engine_close(probe);
    return true;
}

static size_t service_bytes(const service_options *o, size_t batch_rows_max) {
    size_t classes = o->reference->statistics.classes;
    return answers_bytes(capacity_answer_rows(batch_rows_max)) +
           SERVICE_FLIGHTS * batch_rows_max * batch_bytes_per_row() +
           o->contexts * request_bytes(o->rows_max, classes);
}

bool capacity_fit(service_options *o, char *error, size_t error_bytes) {
    size_t shared = o->shared_bytes > 0 ? o->shared_bytes : capacity_resident_bytes();
    size_t twice = 2 * o->rows_max;
    size_t batch_rows_max = twice < ENGINE_BATCH_ROWS_MAX ? twice : ENGINE_BATCH_ROWS_MAX;
    engine_facts facts;
    if (!ask_engine(o, batch_rows_max, &facts, error, error_bytes)) {
        return false;
    }
    size_t each = host_bytes_each() + facts.bytes_per_slot +
                  capacity_blocks_each(o->reference) * facts.bytes_per_block;
    size_t fixed = shared + facts.bytes_fixed + service_bytes(o, batch_rows_max) +
                   o->bytes_max / MESSAGES_SHARE;
    size_t fitting = o->bytes_max > fixed ? (o->bytes_max - fixed) / each : 0;
    if (fitting == 0) {
        snprintf(error, error_bytes,
                 "max-bytes: expected more than %zu MiB for the program, this model and requests "
                 "of %zu rows, and %zu bytes for each account, came %zu MiB",
                 fixed / MIB, o->rows_max, each, o->bytes_max / MIB);
        return false;
    }
    o->accounts_max = fitting < o->accounts_max ? fitting : o->accounts_max;
    log_event(LOG_INFO, "capacity",
              "%s: %zu MiB have room for %zu accounts of %zu bytes, all of which are taken now, "
              "beside %zu MiB for everything else",
              o->reference->model, o->bytes_max / MIB, o->accounts_max, each, fixed / MIB);
    return true;
}

/*
 * service_open.c - a service's parts, made and taken apart; see service.h.
 */
#include "service_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capacity.h"

enum { MESSAGE_SLACK_BYTES = 4096 };

static bool init_planner(service *s) {
    const service_options *o = &s->options;
    return planner_init(&s->planner, &(planner_options){.accounts = s->accounts,
                                                        .engine = s->engine,
                                                        .judge = s->judge,
                                                        .answers = s->answers,
                                                        .statistics = &s->statistics,
                                                        .terms = &s->terms.judge,
                                                        .rows_max = o->rows_max,
                                                        .batch_rows_max = s->batch_rows_max,
                                                        .window_rows = o->window_rows});
}

static bool open_parts(service *s) {
    const service_options *o = &s->options;
    s->queue = queue_open(o->contexts, o->queue_rows_max);
    s->accounts = accounts_open(o->accounts_max);
    s->answers = answers_open(capacity_answer_rows(s->batch_rows_max));
    for (size_t i = 0; i < SERVICE_FLIGHTS; i++) {
        s->flight[i].batch = batch_open(&(batch_options){.rows_max = s->batch_rows_max,
                                                         .places_max = 2 * s->batch_rows_max,
                                                         .slots_max = o->accounts_max,
                                                         .window_rows = o->window_rows,
                                                         .sides_only = o->policy.decisions_only,
                                                         .threshold = o->policy.threshold});
        s->flight[i].request = calloc(o->contexts, sizeof *s->flight[i].request);
        if (s->flight[i].batch == NULL || s->flight[i].request == NULL) {
            return false;
        }
    }
    s->waiting = calloc(o->contexts, sizeof *s->waiting);
    s->judge = judge_open(&(judge_options){.model = s->limits.model,
                                           .terms = s->terms.judge,
                                           .accounts = s->accounts,
                                           .slots_max = o->accounts_max,
                                           .window_rows = o->window_rows,
                                           .observations_max = s->batch_rows_max});
    s->admission =
        (admission){.queue = s->queue,
                    .queue_rows_max = o->queue_rows_max,
                    .batch_rows_max = s->batch_rows_max,
                    .poison_rows_max = o->hard_label ? SIZE_MAX
                                                     : SERVICE_POISON_BYTES_MAX /
                                                           (sizeof(float) * s->limits.classes),
                    .classes = s->limits.classes};
    return s->queue && s->accounts && s->answers && s->judge && s->waiting && init_planner(s);
}

static bool open_engine(service *s, char *error, size_t error_bytes) {
    const service_options *o = &s->options;
    size_t per_account = capacity_blocks_each(o->reference);
    return engine_open(&s->engine, &s->statistics,
                       &(engine_options){.name = o->engine,
                                         .window_rows = o->window_rows,
                                         .memory_rank = o->memory_rank,
                                         .half_life_rows = o->half_life_rows,
                                         .memory_blocks = o->accounts_max * per_account,
                                         .slots_max = o->accounts_max,
                                         .batch_rows_max = s->batch_rows_max,
                                         .threads = o->threads,
                                         .populate = o->bytes_max > 0,
                                         .tf32 = o->tf32},
                       error, error_bytes) == ENGINE_OK;
}

static bool open_terms(service *s) {
    const service_options *o = &s->options;
    terms first;
    terms_options options = {.policy = o->policy,
                             .lists = o->lists,
                             .release_after = o->release_after,
                             .benign = o->reference->benign};
    if (!terms_init(&first, &options, o->window_rows)) {
        return false;
    }
    s->statistics = o->reference->statistics;
    service_adopt(s, &first);
    return true;
}

bool service_open(service **out, const service_options *options, char *error, size_t error_bytes) {
    *out = NULL;
    service *s = calloc(1, sizeof *s);
    if (s == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    s->options = *options;
    if (options->bytes_max > 0 && !capacity_fit(&s->options, error, error_bytes)) {
        free(s);
        return false;
    }
    options = &s->options;
    /* A batch may never need more places than there are, so that no account of a batch is evicted
     * by a later row of it. */
    if (s->options.rows_max > options->accounts_max) {
        s->options.rows_max = options->accounts_max;
    }
    const engine_reference *statistics = &options->reference->statistics;
    size_t twice = 2 * s->options.rows_max;
    size_t most = options->accounts_max < ENGINE_BATCH_ROWS_MAX ? options->accounts_max
                                                                : ENGINE_BATCH_ROWS_MAX;
    s->batch_rows_max = twice < most ? twice : most;
    s->limits = (wire_limits){.model = options->reference->model,
                              .dim = statistics->dim,
                              .classes = statistics->classes,
                              .rows_max = s->options.rows_max};
    size_t row_bytes = statistics->dim * sizeof(float) + sizeof(uint32_t) +
                       2 * (WIRE_ACCOUNT_BYTES_MAX + 3); /* account and group with their headers */
    s->message_bytes_max = s->options.rows_max * row_bytes + MESSAGE_SLACK_BYTES;
    pthread_mutex_init(&s->visiting, NULL);
    pthread_mutex_init(&s->telling, NULL);
    s->reply.limits = &s->limits;
    s->reply.hard_label = options->hard_label;
    s->counted = metrics_model_of(options->metrics, s->limits.model);
    poison_init(&s->reply.poison, options->poison, options->secret);
    crypto_shorthash_keygen(s->digest_key);
    if (!open_terms(s)) {
        snprintf(error, error_bytes, "out of memory");
        service_close(s);
        return false;
    }
    if (!open_engine(s, error, error_bytes)) {
        service_close(s);
        return false;
    }
    s->options.engine = NULL; /* the caller's, not kept */
    s->facts = engine_describe(s->engine);
    s->in_flight_max = s->facts.in_flight_max;
    s->reply.has_memory = s->facts.memory_rank > 0;
    if (!open_parts(s)) {
        snprintf(error, error_bytes, "out of memory for %zu accounts and requests of %zu rows",
                 s->options.accounts_max, s->options.rows_max);
        service_close(s);
        return false;
    }
    if (s->options.bytes_max > 0) {
        accounts_populate(s->accounts);
        judge_populate(s->judge);
    }
    *out = s;
    return true;
}

void service_close(service *s) {
    if (s == NULL) {
        return;
    }
    pthread_mutex_destroy(&s->telling);
    pthread_mutex_destroy(&s->visiting);
    planner_fini(&s->planner);
    free(s->waiting);
    for (size_t i = 0; i < SERVICE_FLIGHTS; i++) {
        free(s->flight[i].request);
        batch_close(s->flight[i].batch);
    }
    answers_close(s->answers);
    judge_close(s->judge);
    accounts_close(s->accounts);
    queue_close(s->queue);
    engine_close(s->engine);
    terms_fini(&s->terms);
    poison_fini(&s->reply.poison);
    free(s);
}

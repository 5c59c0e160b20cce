/*
 * models.c - see models.h.
 */
#include "models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "capacity.h"
#include "inherit.h"
#include "keeper.h"
#include "lists.h"
#include "log.h"
#include "reference.h"
#include "service.h"
#include "snapshot.h"

/* What a model's settings name, read; or, with a service, a model that is served. */
typedef struct model model;
struct model {
    config_model config; /* nothing is left open in it */
    size_t place;        /* in the configuration */
    reference *reference;
    lists *lists; /* NULL: none */
    snapshot_identity identity;
    service *service;
    keeper *keeper;             /* NULL: nothing is kept */
    service_revision *revision; /* while it is being reloaded */
    model *stays;               /* likewise: as which of those before; NULL: it is new */
};

struct models {
    models_options options;
    unsigned char secret[POISON_SECRET_BYTES];
    size_t message_bytes_max;
    size_t shared_bytes; /* what the process had when all was read and no service open */
    size_t count;
    model *model; /* [count] */
};

/* ---- what a model's settings name ---- */

static void model_fini(model *m) {
    service_drop(m->revision);
    keeper_close(m->keeper);
    service_close(m->service);
    lists_close(m->lists);
    reference_close(m->reference);
}

static void close_all(model *model, size_t count) {
    for (size_t i = 0; model != NULL && i < count; i++) {
        model_fini(&model[i]);
    }
    free(model);
}

static bool read_one(const config *c, model *m, char *error, size_t error_bytes) {
    if (!reference_load(&m->reference, m->config.reference, error, error_bytes)) {
        config_blame(c, m->place, "reference", error, error_bytes);
        return false;
    }
    if (!config_complete(&m->config, m->reference)) {
        snprintf(error, error_bytes,
                 "expected a threshold (--threshold), on the side of which "
                 "windows are decided");
        config_blame(c, m->place, "decisions-only", error, error_bytes);
        return false;
    }
    m->identity = snapshot_identity_of(m->reference, m->config.window_rows, m->config.memory_rank,
                                       m->config.half_life_rows);
    return config_read_lists(c, m->place, &m->lists, error, error_bytes);
}

/* All of a configuration's, without services. */
static model *read_all(const config *c, char *error, size_t error_bytes) {
    model *all = calloc(c->models, sizeof *all);
    if (all == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < c->models; i++) {
        all[i].config = c->model[i];
        all[i].place = i;
        bool good = read_one(c, &all[i], error, error_bytes);
        for (size_t before = 0; good && before < i; before++) {
            if (strcmp(all[before].reference->model, all[i].reference->model) == 0) {
                snprintf(error, error_bytes,
                         "expected models of different names, came \"%s\" twice",
                         all[i].reference->model);
                config_blame(c, i, "reference", error, error_bytes);
                good = false;
            }
        }
        if (!good) {
            close_all(all, i + 1);
            return NULL;
        }
    }
    return all;
}

bool models_check(const config *c, char *error, size_t error_bytes) {
    model *all = read_all(c, error, error_bytes);
    bool good = all != NULL;
    close_all(all, good ? c->models : 0);
    return good;
}

/* ---- services ---- */

static policy policy_of(const config_model *c) {
    return (policy){.mode = c->mode,
                    .action = c->action,
                    .has_threshold = c->threshold >= 0.0,
                    .threshold = c->threshold,
                    .decisions_only = c->decisions_only,
                    .fill_min = c->fill_min};
}

static bool open_service(const models *all, const config *c, model *m, char *error,
                         size_t error_bytes) {
    const service_options options = {.reference = m->reference,
                                     .engine = c->engine,
                                     .window_rows = m->config.window_rows,
                                     .memory_rank = m->config.memory_rank,
                                     .half_life_rows = m->config.half_life_rows,
                                     .threads = c->threads,
                                     .tf32 = c->tf32,
                                     .accounts_max = m->config.accounts_max,
                                     .bytes_max = m->config.bytes_max,
                                     .shared_bytes = all->shared_bytes / c->models,
                                     .rows_max = c->rows_max,
                                     .queue_rows_max = c->queue_rows_max,
                                     .contexts = c->contexts,
                                     .policy = policy_of(&m->config),
                                     .lists = m->lists,
                                     .release_after = m->config.release_after,
                                     .hard_label = m->config.output == 1,
                                     .poison = m->config.poison,
                                     .secret = all->secret,
                                     .metrics = all->options.metrics};
    return service_open(&m->service, &options, error, error_bytes);
}

/* fresh: there may be another model's state in the file, or requests have come. */
static bool open_keeper(const config *c, model *m, bool fresh, char *error, size_t error_bytes) {
    return m->config.snapshot == NULL ||
           keeper_open(&m->keeper,
                       &(keeper_options){.path = m->config.snapshot,
                                         .reference = m->reference,
                                         .service = m->service,
                                         .window_rows = m->config.window_rows,
                                         .half_life_rows = m->config.half_life_rows,
                                         .every_s = c->snapshot_every_s,
                                         .fresh = fresh},
                       error, error_bytes);
}

static bool serve(models *all, const model *model, size_t count) {
    service *services[CONFIG_MODELS_MAX];
    for (size_t i = 0; i < count; i++) {
        services[i] = model[i].service;
    }
    return front_serve(all->options.front, services, count);
}

bool models_open(models **out, const models_options *options, char *error, size_t error_bytes) {
    const config *c = options->config;
    models *all = calloc(1, sizeof *all);
    *out = NULL;
    if (all == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    all->options = *options;
    if (options->secret != NULL) {
        memcpy(all->secret, options->secret, sizeof all->secret);
    } else {
        randombytes_buf(all->secret, sizeof all->secret);
    }
    all->model = read_all(c, error, error_bytes);
    all->count = all->model != NULL ? c->models : 0;
    all->shared_bytes = capacity_resident_bytes();
    bool good = all->model != NULL;
    for (size_t i = 0; good && i < all->count; i++) {
        model *m = &all->model[i];
        good = open_service(all, c, m, error, error_bytes) &&
               open_keeper(c, m, false, error, error_bytes);
        size_t bytes = good ? service_message_bytes_max(m->service) : 0;
        all->message_bytes_max = bytes > all->message_bytes_max ? bytes : all->message_bytes_max;
    }
    if (good && !serve(all, all->model, all->count)) {
        snprintf(error, error_bytes, "out of memory");
        good = false;
    }
    if (!good) {
        models_close(all);
        return false;
    }
    *out = all;
    return true;
}

size_t models_message_bytes_max(const models *all) {
    return all->message_bytes_max;
}

void models_finish(models *all) {
    for (size_t i = 0; i < all->count; i++) {
        keeper_finish(all->model[i].keeper);
    }
}

void models_close(models *all) {
    if (all != NULL) {
        close_all(all->model, all->count);
        sodium_memzero(all->secret, sizeof all->secret);
        free(all);
    }
}

/* ---- a reload ---- */

static bool same_identity(const snapshot_identity *a, const snapshot_identity *b) {
    return strcmp(a->model, b->model) == 0 && a->dim == b->dim && a->classes == b->classes &&
           a->rank == b->rank && a->window_rows == b->window_rows &&
           a->memory_rank == b->memory_rank && a->half_life_rows == b->half_life_rows &&
           memcmp(a->reference, b->reference, sizeof a->reference) == 0;
}

static model *find_model(models *all, const char *name) {
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->model[i].identity.model, name) == 0) {
            return &all->model[i];
        }
    }
    return NULL;
}

/* The new one's service or revision is made; nothing that is served has changed. */
static bool prepare(models *all, const config *c, model *new, char *error, size_t error_bytes) {
    model *old = find_model(all, new->identity.model);
    if (old != NULL && same_identity(&old->identity, &new->identity)) {
        const terms_options terms = {.policy = policy_of(&new->config),
                                     .lists = new->lists,
                                     .release_after = new->config.release_after,
                                     .benign = new->reference->benign};
        new->stays = old;
        return config_same_model(all->options.config, old->place, c, new->place, error,
                                 error_bytes) &&
               service_prepare(old->service, &terms, &new->revision, error, error_bytes);
    }
    if (!open_service(all, c, new, error, error_bytes)) {
        config_blame(c, new->place, "reference", error, error_bytes);
        return false;
    }
    if (service_message_bytes_max(new->service) > all->message_bytes_max) {
        snprintf(
            error, error_bytes,
            "its requests of %zu rows are longer than messages may be since the start; restart "
            "the daemon",
            service_limits(new->service)->rows_max);
        config_blame(c, new->place, "reference", error, error_bytes);
        return false;
    }
    return true;
}

/* As late as can be: what is believed of accounts from now on, by the old ones, is not seen. */
static void inherit(models *all, const config *c, const model *new) {
    for (size_t i = 0; i < c->models; i++) {
        const model *old = find_model(all, new[i].identity.model);
        if (old != NULL && new[i].stays == NULL) {
            inherit_beliefs(new[i].service, old->service);
        }
    }
}

static bool is_kept(const models *all, const char *path) {
    size_t i = 0;
    while (i < all->count &&
           (all->model[i].keeper == NULL || strcmp(all->model[i].config.snapshot, path) != 0)) {
        i++;
    }
    return i < all->count;
}

/* Of those that are new, while a file that another daemon keeps is still a reason to refuse. One
 * that a model of ours keeps is locked, and is opened when that model has gone. A model that takes
 * nobody's place finds what it had learnt when it went. */
static bool open_new_keepers(models *all, const config *c, model *new, char *error,
                             size_t error_bytes) {
    for (size_t i = 0; i < c->models; i++) {
        bool later = new[i].config.snapshot == NULL || is_kept(all, new[i].config.snapshot);
        bool fresh = find_model(all, new[i].identity.model) != NULL;
        if (new[i].stays == NULL && !later && !open_keeper(c, &new[i], fresh, error, error_bytes)) {
            config_blame(c, new[i].place, "snapshot", error, error_bytes);
            return false;
        }
    }
    return true;
}

/* Of a reference that stays the tables are exchanged: NULL where it is calibrated no more. */
static void exchange_benign(reference *stays, reference *goes) {
    reference_benign_close(stays->benign);
    stays->benign = goes->benign;
    stays->statistics.benign = goes->statistics.benign;
    goes->benign = NULL;
    goes->statistics.benign = NULL;
}

/* Moves what stays of the old one into the new one, whose tables and lists take the place of the
 * old one's. The reference stays the old one: the engine has borrowed it. */
static void revise(model *new, model *old) {
    service_revise(old->service, new->revision);
    exchange_benign(old->reference, new->reference);
    reference_close(new->reference);
    new->revision = NULL;
    new->reference = old->reference;
    new->service = old->service;
    new->keeper = old->keeper;
    old->reference = NULL;
    old->service = NULL;
    old->keeper = NULL;
}

static bool is_named(const model *among, size_t count, const model *m) {
    size_t i = 0;
    while (i < count && strcmp(among[i].identity.model, m->identity.model) != 0) {
        i++;
    }
    return i < count;
}

/* After this nothing can fail but to open a file again that was ours just now: its model then goes
 * on without. */
static void take_over(models *all, const config *c, model *new) {
    char error[512];
    for (size_t i = 0; i < c->models; i++) {
        if (new[i].stays != NULL) {
            revise(&new[i], new[i].stays);
        }
    }
    for (size_t i = 0; i < all->count; i++) { /* those that are served no more */
        if (all->model[i].service != NULL && !is_named(new, c->models, &all->model[i])) {
            keeper_finish(all->model[i].keeper);
        }
    }
    close_all(all->model, all->count);
    for (size_t i = 0; i < c->models; i++) {
        bool opens = new[i].stays == NULL &&new[i].keeper == NULL;
        if (opens && !open_keeper(c, &new[i], true, error, sizeof error)) {
            log_event(LOG_ERROR, "failed", "%s", error);
        }
        new[i].stays = NULL;
    }
    all->model = new;
    all->count = c->models;
    all->options.config = c;
}

bool models_reload(models *all, const config *c, char *error, size_t error_bytes) {
    if (!config_same_house(all->options.config, c, error, error_bytes)) {
        return false;
    }
    model *new = read_all(c, error, error_bytes);
    bool good = new != NULL;
    service *services[CONFIG_MODELS_MAX];
    for (size_t i = 0; good && i < c->models; i++) {
        good = prepare(all, c, &new[i], error, error_bytes);
        const model *stays = new[i].stays;
        services[i] = stays != NULL ? stays->service : new[i].service;
    }
    good = good && open_new_keepers(all, c, new, error, error_bytes);
    if (good) {
        inherit(all, c, new);
    }
    if (good && !front_serve(all->options.front, services, c->models)) {
        snprintf(error, error_bytes, "out of memory");
        good = false;
    }
    if (!good) {
        close_all(new, new != NULL ? c->models : 0);
        return false;
    }
    take_over(all, c, new);
    return true;
}

/* ---- the log ---- */

/* One line on what decides, and one where that is less than an operator may expect. */
static void announce_policy(const model *m) {
    static const char *const modes[] = {"enforce", "shadow", "off"};
    static const char *const actions[] = {"poison", "label_only", "flag"};
    const config_model *c = &m->config;
    const char *name = m->identity.model;
    const reference_benign *benign = m->reference->benign;
    bool matches = benign != NULL && benign->evidence.window_rows == c->window_rows;
    if (benign != NULL && !matches) {
        log_event(LOG_WARNING, "policy",
                  "%s: the reference is calibrated for window %zu: no evidence is kept for window "
                  "%zu",
                  name, benign->evidence.window_rows, c->window_rows);
    }
    if (c->mode == WIRE_OFF) {
        log_event(LOG_WARNING, "policy",
                  "%s: mode off: no verdicts are reached, every decision is allow", name);
    } else if (c->threshold >= 0.0) {
        log_event(LOG_INFO, "policy",
                  "%s: mode %s, action %s: a window of %zu rows or more scoring above %.6g is "
                  "malicious%s",
                  name, modes[c->mode], actions[c->action], c->fill_min, c->threshold,
                  c->decisions_only ? "; decisions only: scores are bounds" : "");
    } else if (matches) {
        log_event(LOG_INFO, "policy",
                  "%s: mode %s, action %s: accounts are flagged by their evidence, at most %g of "
                  "honest ones in %zu queries",
                  name, modes[c->mode], actions[c->action], benign->false_alarms, benign->queries);
    } else {
        log_event(LOG_WARNING, "policy",
                  "%s: no threshold for window %zu: scores are served, %s; run adder calibrate or "
                  "give --threshold",
                  name, c->window_rows,
                  m->lists == NULL ? "every decision is allow" : "only who is denied is flagged");
    }
}

static void announce(const config *house, const model *m) {
    const engine_reference *r = &m->reference->statistics;
    engine_facts facts = service_facts(m->service);
    log_event(LOG_INFO, "serving",
              "serving %s (dim %zu, %zu classes, rank %zu) at %s, engine %s%s%s%s, window %zu",
              m->identity.model, r->dim, r->classes, r->rank, house->listen, facts.name,
              facts.note[0] ? " (" : "", facts.note, facts.note[0] ? ")" : "",
              m->config.window_rows);
    log_event(LOG_INFO, "account_bytes",
              "an account costs %zu bytes, and %zu for each class it has asked about in its memory",
              facts.bytes_per_slot, facts.bytes_per_block);
    if (house->tf32 && facts.tf32_error > 0.0) {
        log_event(LOG_WARNING, "tf32", "tf32: projections of random rows are off by up to %.2g",
                  facts.tf32_error);
    }
    if (service_limits(m->service)->rows_max < house->rows_max) {
        log_event(LOG_WARNING, "rows_limited",
                  "requests are limited to %zu rows, as many as accounts",
                  service_limits(m->service)->rows_max);
    }
    announce_policy(m);
}

void models_announce(const models *all) {
    for (size_t i = 0; i < all->count; i++) {
        announce(all->options.config, &all->model[i]);
    }
}

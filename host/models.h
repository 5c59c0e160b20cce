/*
 * models.h - the models that are served: from what the configuration says of each to a service with
 * its reference, lists and snapshots, and from a new configuration to what changes.
 *
 * A reload takes everything over or nothing. A model whose reference describes the same statistics
 * (model, dim, classes, rank, mean, factor, trace), window and memory keeps its accounts: only what
 * it judges by is exchanged, between two batches. Another reference, window or memory is another
 * service, beside the old one until that has answered what it has: windows begin anew, and accounts
 * are believed to be what they were (inherit.h). A model of a new name is opened as at a start, its
 * snapshot restored.
 *
 * Threads: one at a time.
 */
#ifndef ADDER_MODELS_H
#define ADDER_MODELS_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "front.h"
#include "metrics.h"

typedef struct {
    const config *config;        /* borrowed until a reload has taken another in its place */
    const unsigned char *secret; /* [POISON_SECRET_BYTES], copied; NULL: a random one */
    metrics *metrics;            /* borrowed; NULL: nothing is counted */
    front *front;                /* borrowed; gets the services */
} models_options;

typedef struct models models;

/* Reads all that the configuration names of its models, as models_open would. */
bool models_check(const config *config, char *error, size_t error_bytes);
bool models_open(models **out, const models_options *options, char *error, size_t error_bytes);
/* False: one line in error, and nothing has changed. */
bool models_reload(models *models, const config *config, char *error, size_t error_bytes);
/* The longest message that a request of any of them can have. */
size_t models_message_bytes_max(const models *models);
/* Says in the log what is served, and by what it decides. */
void models_announce(const models *models);
/* Writes the last snapshots; no request is under way any more. */
void models_finish(models *models);
void models_close(models *models); /* NULL is allowed; requests come no more */

#endif

/*
 * batch.h - rows of several requests, put together for one engine call.
 *
 * The rows of an account, or a group, within a request become observations of at most W rows, in
 * order; requests follow each other as they were put. Everything points into the requests'
 * messages; nothing is copied. Threads: one at a time.
 */
#ifndef ADDER_BATCH_H
#define ADDER_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounts.h"
#include "engine.h"
#include "wire.h"

typedef struct batch batch;

/* Slots are below slots_max. rows_max: of the engine; places_max: of requests' rows. NULL: no
 * memory. */
typedef struct {
    size_t rows_max;
    size_t places_max;
    size_t slots_max;
    size_t window_rows;
    bool sides_only; /* as in engine_batch */
    double threshold;
} batch_options;
batch *batch_open(const batch_options *options);
void batch_close(batch *batch); /* NULL is allowed */

/* From now on decisions are made against this; between two batches. */
void batch_revise(batch *batch, double threshold);
void batch_clear(batch *batch);
size_t batch_rows(const batch *batch);

/* The rows of a score request by one of its two keys. */
typedef struct {
    const wire_request *request;
    size_t dim;
    const uint32_t *slots; /* [rows] BATCH_NONE (ACCOUNTS_NONE): the row has no such key */
} batch_key;
#define BATCH_NONE UINT32_MAX
/* Adds them; those with a slot are at most rows_max - batch_rows(). Returns the place of the first
 * row. */
size_t batch_put(batch *batch, const batch_key *key);

/* An account or group of the batch that is new to its slot. They are kept in the order in which
 * they got their slots, which is not that of their observations: one may have lost his place to a
 * row that counts after those with which he comes back. */
typedef struct {
    uint32_t slot;
    accounts_key key;
} batch_arrival;
/* At most as many as rows with a slot. */
void batch_arrive(batch *batch, uint32_t slot, accounts_key key);
size_t batch_arrivals(const batch *batch);
const batch_arrival *batch_arrived(const batch *batch, size_t arrival);
const engine_batch *batch_engine(batch *batch);

/* Once collected: observations in the order in which they count. */
typedef struct {
    uint32_t slot;
    size_t rows;
    const uint32_t *classes; /* [rows] */
    const float *alignments; /* [rows] */
    const engine_result *result;
} batch_observation;
size_t batch_observations(const batch *batch);
batch_observation batch_observed(const batch *batch, size_t observation);
/* The observation of a place; BATCH_NONE where its row had no slot. */
uint32_t batch_observation_of(const batch *batch, size_t place);
size_t batch_bytes_per_row(void);  /* of one batch, for each of rows_max */
size_t batch_bytes_per_slot(void); /* of one batch, for each of slots_max */

#endif

/*
 * batch.h - rows of several requests, put together for one engine call.
 *
 * The rows of an account within a request become observations of at most W rows, in order; requests
 * follow each other as they were put. Everything points into the requests' messages; nothing is
 * copied. Threads: one at a time.
 */
#ifndef ADDER_BATCH_H
#define ADDER_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "wire.h"

typedef struct batch batch;

/* Slots are below slots_max. NULL: no memory. */
batch *batch_open(size_t rows_max, size_t slots_max, size_t window_rows);
void batch_close(batch *batch); /* NULL is allowed */

void batch_clear(batch *batch);
size_t batch_rows(const batch *batch);
/* Adds a score request of at most rows_max - batch_rows() rows; slots [rows] are its rows' slots.
 * Returns the number of its first row in this batch. */
size_t batch_put(batch *batch, const wire_request *request, size_t dim, const uint32_t *slots);
const engine_batch *batch_engine(batch *batch);
/* Once collected: what a row's observation scored; row counts through the batch as batch_put said.
 */
const engine_result *batch_result(const batch *batch, size_t row);

#endif

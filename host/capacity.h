/*
 * capacity.h - how many accounts fit a limit in bytes.
 *
 * The limit is on what the process has resident with every place taken: what it had before the
 * service was opened, what the service has however many accounts there are (statistics as the
 * engine lays them out, batches, requests' buffers, answers kept for repeated requests), a 64th of
 * the limit for messages on their way, and of every account its place, window, memory, verdict and
 * share of the records. Where accounts live on a device, their windows and memories there count as
 * if they were here.
 *
 * Threads: any.
 */
#ifndef ADDER_CAPACITY_H
#define ADDER_CAPACITY_H

#include <stdbool.h>
#include <stddef.h>

#include "accounts.h"
#include "engine.h"
#include "judge.h"
#include "service.h"

/* What this process has resident now; 0 where the system does not say. */
size_t capacity_resident_bytes(void);
/* Of accounts and records that are held now; facts are the engine's. */
size_t capacity_held(const engine_facts *facts, const accounts *accounts, const judge *judge);
/* Blocks of memory that the pool has for an account. */
size_t capacity_blocks_each(const reference *reference);
/* Rows of answers kept for repeated requests. */
size_t capacity_answer_rows(size_t batch_rows_max);
/* Sets options->accounts_max to as many as fit options->bytes_max, but no more than it was; opens
 * an engine for as long as it takes. False: one line in error. */
bool capacity_fit(service_options *options, char *error, size_t error_bytes);

#endif

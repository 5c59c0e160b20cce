/*
 * slots.h - where the accounts and groups of a request's rows are kept.
 *
 * Threads: one at a time, the owner of the queue.
 */
#ifndef ADDER_SLOTS_H
#define ADDER_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounts.h"
#include "batch.h"
#include "engine.h"
#include "wire.h"

typedef struct {
    uint32_t *account; /* [rows_max] */
    uint32_t *group;   /* [rows_max] ACCOUNTS_NONE: the row has none */
} slots;

bool slots_init(slots *slots, size_t rows_max); /* false: no memory */
void slots_fini(slots *slots);                  /* zeroed is allowed */

typedef struct {
    accounts *accounts;
    engine *engine;
    batch *batch;
} slots_givers;
/* Every row's account and group get their slots; who is new to his finds it empty in the engine,
 * and is an arrival of the batch. */
void slots_resolve(slots *slots, const slots_givers *givers, const wire_request *request);

#endif

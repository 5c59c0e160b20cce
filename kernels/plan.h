/*
 * plan.h - a batch as the device reads it, worked out on the host in O(rows).
 *
 * Rows stand in class order ("place", see grouping.h), so that the matrix products need no gather.
 * What an account did is told by `sequence`: the places of each slot's rows, slot after slot, each
 * in the account's order; an observation is scored over the end of its slot's ring and the
 * sequence from the slot's first row to the observation's last. So every window of a batch can be
 * scored at once, before any of its rows is stored. The rings' heads live here, on the host, which
 * is why forgetting an account costs the device nothing.
 *
 * The arrays lie in one piece of memory at the offsets of plan_layout, to be copied in one go; with
 * a layout for the most there can be, always to the same addresses, as a captured graph needs it.
 *
 * Nothing is allocated after plan_open. One thread at a time.
 */
#ifndef ADDER_PLAN_H
#define ADDER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"

#define PLAN_NOWHERE UINT64_MAX

typedef struct {
    uint32_t rows, observations;
} plan_counts;

/* A row, by place. */
typedef struct {
    uint32_t offset; /* of its embedding, in units of PLAN_ALIGNMENT */
    uint32_t class_index;
    uint32_t dtype; /* an engine_dtype */
    uint32_t row;   /* in the batch */
} plan_row;
enum { PLAN_ALIGNMENT = 16 };

typedef struct {
    uint32_t slot;
    uint32_t head;   /* where the ring's next row would have gone before this batch */
    uint32_t stored; /* rows in the ring before this batch */
    uint32_t first;  /* in `sequence`: the slot's first row of this batch */
    uint32_t end;    /* ... and behind the observation's last */
} plan_observation;

/* Byte offsets. */
typedef struct {
    size_t counts;      /* plan_counts */
    size_t row;         /* plan_row [rows] */
    size_t sequence;    /* uint32_t [rows] places */
    size_t ring_at;     /* uint64_t [rows] by place in sequence: slot * W + place in the ring, or
                         * PLAN_NOWHERE where a later row of the batch would overwrite it */
    size_t observation; /* plan_observation [observations] */
    size_t products;    /* three arrays of [groups] pointers: factor, centred rows, y */
    size_t embeddings;  /* rows by place, each at a multiple of PLAN_ALIGNMENT */
} plan_layout;
plan_layout plan_layout_of(size_t rows, size_t observations, size_t groups);

typedef struct plan plan;
plan *plan_open(size_t slots, size_t window_rows, size_t rows_max); /* NULL: no memory */
void plan_close(plan *plan);                                        /* NULL is allowed */

/* Lays a batch out at `base`, all but products and embeddings, and moves the rings' heads on.
 * place [rows] is grouping_sort's. Returns the embeddings' bytes. */
size_t plan_fill(plan *plan, const engine_batch *batch, const uint32_t *place, size_t dim,
                 const plan_layout *layout, unsigned char *base);

uint32_t plan_stored(const plan *plan, uint32_t slot);
uint32_t plan_head(const plan *plan, uint32_t slot);
void plan_set(plan *plan, uint32_t slot, uint32_t head, uint32_t stored);

size_t plan_element_bytes(uint32_t dtype);
size_t plan_align(size_t bytes); /* up to a multiple of PLAN_ALIGNMENT */

#endif

/*
 * plan.c - chains the observations of each slot, then writes them down slot by slot.
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#define NO_OBSERVATION UINT32_MAX

typedef struct {
    uint32_t head, stored;
} ring;

struct plan {
    size_t window_rows;
    ring *ring;             /* [slots] */
    uint32_t *last_of_slot; /* [slots] NO_OBSERVATION between calls */
    uint32_t *later;        /* [rows_max] the slot's observation after this one */
    uint32_t *slot_first;   /* [rows_max] first observation of each slot in the batch */
    size_t slots;           /* slots in the batch */
};

size_t plan_align(size_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

plan_layout plan_layout_of(size_t rows, size_t observations, size_t groups) {
    plan_layout at = {.counts = 0};
    at.row = at.counts + plan_align(sizeof(plan_counts));
    at.sequence = at.row + plan_align(rows * sizeof(plan_row));
    at.ring_at = at.sequence + plan_align(rows * sizeof(uint32_t));
    at.observation = at.ring_at + plan_align(rows * sizeof(uint64_t));
    at.products = at.observation + plan_align(observations * sizeof(plan_observation));
    at.embeddings = at.products + plan_align(3 * groups * sizeof(void *));
    return at;
}

plan *plan_open(size_t slots, size_t window_rows, size_t rows_max) {
    plan *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->window_rows = window_rows;
    p->ring = calloc(slots, sizeof *p->ring);
    p->last_of_slot = malloc(slots * sizeof *p->last_of_slot);
    p->later = calloc(rows_max, sizeof *p->later);
    p->slot_first = calloc(rows_max, sizeof *p->slot_first);
    if (!p->ring || !p->last_of_slot || !p->later || !p->slot_first) {
        plan_close(p);
        return NULL;
    }
    memset(p->last_of_slot, 0xff, slots * sizeof *p->last_of_slot);
    return p;
}

void plan_close(plan *p) {
    if (p == NULL) {
        return;
    }
    free(p->slot_first);
    free(p->later);
    free(p->last_of_slot);
    free(p->ring);
    free(p);
}

static void chain(plan *p, const engine_batch *batch) {
    p->slots = 0;
    for (size_t o = 0; o < batch->observations; o++) {
        uint32_t *last = &p->last_of_slot[batch->observation[o].slot];
        p->later[o] = NO_OBSERVATION;
        if (*last == NO_OBSERVATION) {
            p->slot_first[p->slots++] = (uint32_t)o;
        } else {
            p->later[*last] = (uint32_t)o;
        }
        *last = (uint32_t)o;
    }
    for (size_t o = 0; o < batch->observations; o++) {
        p->last_of_slot[batch->observation[o].slot] = NO_OBSERVATION;
    }
}

/* Where the slot's rows sequence[first..end-1] go; only the last W of them stay. */
static void store(plan *p, uint32_t slot, uint64_t *ring_at, uint32_t first, uint32_t end) {
    ring *ring = &p->ring[slot];
    uint32_t window_rows = (uint32_t)p->window_rows;
    uint32_t count = end - first;
    uint32_t head = ring->head;
    for (uint32_t i = first; i < end; i++) {
        bool stays = end - i <= window_rows;
        ring_at[i] = stays ? (uint64_t)slot * p->window_rows + head : PLAN_NOWHERE;
        head = head + 1 == window_rows ? 0 : head + 1;
    }
    ring->head = head;
    ring->stored = count < window_rows - ring->stored ? ring->stored + count : window_rows;
}

/* One slot's observations; returns the end of its rows in the sequence. */
static uint32_t lay_slot(plan *p, const engine_batch *batch, const uint32_t *place,
                         const plan_layout *at, unsigned char *base, uint32_t o, uint32_t first) {
    plan_observation *observations = (plan_observation *)(void *)(base + at->observation);
    uint32_t *sequence = (uint32_t *)(void *)(base + at->sequence);
    uint32_t slot = batch->observation[o].slot;
    ring before = p->ring[slot];
    uint32_t end = first;
    for (; o != NO_OBSERVATION; o = p->later[o]) {
        const engine_observation *observation = &batch->observation[o];
        for (uint32_t i = 0; i < observation->row_count; i++) {
            sequence[end++] = place[observation->row_first + i];
        }
        observations[o] = (plan_observation){slot, before.head, before.stored, first, end};
    }
    store(p, slot, (uint64_t *)(void *)(base + at->ring_at), first, end);
    return end;
}

/* Offsets by place need each row's type first, which its observation has. */
static size_t lay_rows(const engine_batch *batch, const uint32_t *place, size_t dim,
                       plan_row *row) {
    for (size_t o = 0; o < batch->observations; o++) {
        const engine_observation *observation = &batch->observation[o];
        for (uint32_t i = 0; i < observation->row_count; i++) {
            uint32_t at = observation->row_first + i;
            row[place[at]] = (plan_row){.class_index = batch->classes[at],
                                        .dtype = (uint32_t)observation->dtype,
                                        .row = at};
        }
    }
    size_t bytes = 0;
    for (size_t i = 0; i < batch->rows; i++) {
        row[i].offset = (uint32_t)(bytes / PLAN_ALIGNMENT);
        bytes += plan_align(dim * plan_element_bytes(row[i].dtype));
    }
    return bytes;
}

size_t plan_fill(plan *p, const engine_batch *batch, const uint32_t *place, size_t dim,
                 const plan_layout *at, unsigned char *base) {
    plan_counts *counts = (plan_counts *)(void *)(base + at->counts);
    uint32_t end = 0;
    *counts = (plan_counts){(uint32_t)batch->rows, (uint32_t)batch->observations};
    chain(p, batch);
    for (size_t s = 0; s < p->slots; s++) {
        end = lay_slot(p, batch, place, at, base, p->slot_first[s], end);
    }
    return lay_rows(batch, place, dim, (plan_row *)(void *)(base + at->row));
}

uint32_t plan_stored(const plan *p, uint32_t slot) {
    return p->ring[slot].stored;
}

uint32_t plan_head(const plan *p, uint32_t slot) {
    return p->ring[slot].head;
}

void plan_set(plan *p, uint32_t slot, uint32_t head, uint32_t stored) {
    p->ring[slot] = (ring){head, stored};
}

size_t plan_element_bytes(uint32_t dtype) {
    return dtype == ENGINE_F32 ? 4 : 2;
}

/*
 * parcel.h - a slot's window and memory as portable bytes, the same from every engine.
 *
 * Layout: a header (magic, dim, classes, rank, W, q, rows), the rows oldest first as (class, s, y),
 * and with a memory its tick, the number of blocks and, per block, (age, n, s, class) and its
 * factor. Numbers are little-endian as in memory; there is no checksum.
 *
 * Threads: one at a time.
 */
#ifndef ADDER_PARCEL_H
#define ADDER_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "window.h"

/* Where slots are read from and written to; borrowed. */
typedef struct {
    size_t dim, classes, rank, window_rows, memory_rank;
    windows *windows;
    memory *memory; /* NULL: off */
    float *row;     /* [rank] scratch */
} parcel_store;

size_t parcel_bytes(const parcel_store *store, uint32_t slot);
void parcel_write(const parcel_store *store, uint32_t slot, unsigned char *bytes);

/* Adds bytes to a slot, see engine_import. False, and nothing changed, when a store of this shape
 * cannot have written them or the memory has too few free blocks. */
bool parcel_read(const parcel_store *store, uint32_t slot, const unsigned char *bytes, size_t used);

/* The window in the bytes: fill rows, row i beginning at rows + i * row_bytes with its class and s
 * and then its y. False: not of this dim, classes and rank, or cut off. */
typedef struct {
    size_t fill, row_bytes;
    const unsigned char *rows;
} parcel_view;
bool parcel_look(const engine_reference *reference, const unsigned char *bytes, size_t used,
                 parcel_view *view);

#endif

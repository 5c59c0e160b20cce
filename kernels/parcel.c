/*
 * parcel.c - slots to bytes and back. All bytes are checked before any of them counts.
 */
#include "parcel.h"

#include <math.h>
#include <string.h>

typedef struct {
    char magic[8];
    uint64_t dim, classes, rank, window_rows, memory_rank;
    uint64_t fill;
} parcel_header;

typedef struct {
    uint64_t tick;
    uint64_t blocks;
} memory_header;

typedef struct {
    uint64_t age;
    double n;
    double s;
    uint64_t class_index;
} block_header;

static parcel_header header_of(const parcel_store *store, size_t fill) {
    return (parcel_header){.magic = "ADDERS1",
                           .dim = store->dim,
                           .classes = store->classes,
                           .rank = store->rank,
                           .window_rows = store->window_rows,
                           .memory_rank = store->memory_rank,
                           .fill = fill};
}

static size_t row_bytes(const parcel_store *store) {
    return sizeof(uint32_t) + sizeof(float) + store->rank * sizeof(float);
}

static size_t block_bytes(const parcel_store *store) {
    return sizeof(block_header) + memory_triangle(store->memory) * sizeof(float);
}

/* ---- writing ---- */

size_t parcel_bytes(const parcel_store *store, uint32_t slot) {
    size_t bytes = sizeof(parcel_header) + windows_fill(store->windows, slot) * row_bytes(store);
    if (store->memory != NULL) {
        bytes += sizeof(memory_header) +
                 blocks_held(memory_blocks(store->memory), slot) * block_bytes(store);
    }
    return bytes;
}

static void write_memory(const parcel_store *store, uint32_t slot, unsigned char *at) {
    const memory *memory = store->memory;
    const blocks *blocks = memory_blocks(memory);
    memory_header header = {memory_tick(memory, slot), blocks_held(blocks, slot)};
    memcpy(at, &header, sizeof header);
    at += sizeof header;
    for (uint32_t i = blocks_first(blocks, slot); i != BLOCKS_NONE; i = blocks_next(blocks, i)) {
        memory_block block = memory_peek(memory, slot, i);
        block_header of_block = {block.age, block.n, block.s, block.class_index};
        memcpy(at, &of_block, sizeof of_block);
        memcpy(at + sizeof of_block, block.factor, memory_triangle(memory) * sizeof(float));
        at += block_bytes(store);
    }
}

void parcel_write(const parcel_store *store, uint32_t slot, unsigned char *at) {
    size_t fill = windows_fill(store->windows, slot);
    parcel_header header = header_of(store, fill);
    memcpy(at, &header, sizeof header);
    at += sizeof header;
    for (size_t back = fill; back-- > 0; at += row_bytes(store)) {
        window_row row = windows_peek(store->windows, slot, back);
        memcpy(at, &row.class_index, sizeof row.class_index);
        memcpy(at + sizeof row.class_index, &row.s, sizeof row.s);
        memcpy(at + sizeof row.class_index + sizeof row.s, row.y, store->rank * sizeof *row.y);
    }
    if (store->memory != NULL) {
        write_memory(store, slot, at);
    }
}

/* ---- reading ---- */

/* Reads a row into the store's scratch; false when it cannot have been written. */
static bool read_row(const parcel_store *store, const unsigned char *at, window_row *row) {
    float *y = store->row;
    memcpy(&row->class_index, at, sizeof row->class_index);
    memcpy(&row->s, at + sizeof row->class_index, sizeof row->s);
    memcpy(y, at + sizeof row->class_index + sizeof row->s, store->rank * sizeof *y);
    row->y = y;
    bool finite = isfinite(row->s) && row->s >= 0.0f;
    for (size_t j = 0; j < store->rank; j++) {
        finite = finite && isfinite(y[j]);
    }
    return finite && row->class_index < store->classes;
}

static bool rows_valid(const parcel_store *store, const unsigned char *rows, size_t count) {
    window_row row;
    for (size_t i = 0; i < count; i++) {
        if (!read_row(store, rows + i * row_bytes(store), &row)) {
            return false;
        }
    }
    return true;
}

static bool block_valid(const parcel_store *store, const unsigned char *at, uint64_t tick) {
    block_header block;
    memcpy(&block, at, sizeof block);
    if (block.age > tick || block.class_index >= store->classes || !isfinite(block.n) ||
        !isfinite(block.s) || block.n < 0.0 || block.s < 0.0) {
        return false;
    }
    for (size_t j = 0; j < memory_triangle(store->memory); j++) {
        float value;
        memcpy(&value, at + sizeof block + j * sizeof value, sizeof value);
        if (!isfinite(value)) {
            return false;
        }
    }
    return true;
}

/* Also whether there are blocks for it. */
static bool memory_valid(const parcel_store *store, uint32_t slot, const unsigned char *at,
                         size_t used) {
    memory_header header;
    size_t missing = 0;
    if (used < sizeof header) {
        return false;
    }
    memcpy(&header, at, sizeof header);
    size_t blocks = (used - sizeof header) / block_bytes(store);
    if (header.blocks != blocks || used != sizeof header + blocks * block_bytes(store) ||
        blocks > store->classes || header.tick > UINT64_MAX / 2) {
        return false;
    }
    at += sizeof header;
    for (size_t i = 0; i < blocks; i++, at += block_bytes(store)) {
        block_header block;
        if (!block_valid(store, at, header.tick)) {
            return false;
        }
        memcpy(&block, at, sizeof block);
        missing += !memory_has(store->memory, slot, (uint32_t)block.class_index);
    }
    return missing <= memory_free(store->memory);
}

static void read_memory(const parcel_store *store, uint32_t slot, const unsigned char *at) {
    memory_header header;
    memcpy(&header, at, sizeof header);
    if (header.tick > memory_tick(store->memory, slot)) {
        memory_set_tick(store->memory, slot, header.tick);
    }
    /* Last to first, since a new block becomes the slot's first: the order is that of writing. */
    for (size_t i = header.blocks; i-- > 0;) {
        const unsigned char *from = at + sizeof header + i * block_bytes(store);
        block_header block;
        memcpy(&block, from, sizeof block);
        memory_put(store->memory, slot,
                   &(memory_block){.class_index = (uint32_t)block.class_index,
                                   .age = block.age,
                                   .n = block.n,
                                   .s = block.s,
                                   .factor = from + sizeof block});
    }
    /* All of the slot's blocks count as just used, in this order: an engine that moves the slot as
     * a whole can do no other, and which blocks go first must not depend on the engine. */
    const blocks *blocks = memory_blocks(store->memory);
    for (uint32_t b = blocks_last(blocks, slot); b != BLOCKS_NONE; b = blocks_previous(blocks, b)) {
        memory_reserve(store->memory, slot, blocks_class(blocks, b));
    }
}

bool parcel_read(const parcel_store *store, uint32_t slot, const unsigned char *bytes,
                 size_t used) {
    const unsigned char *rows = bytes + sizeof(parcel_header);
    parcel_header header;
    if (used < sizeof header) {
        return false;
    }
    memcpy(&header, bytes, sizeof header);
    parcel_header expected = header_of(store, header.fill);
    if (memcmp(&header, &expected, sizeof header) != 0 || header.fill > store->window_rows ||
        used - sizeof header < header.fill * row_bytes(store)) {
        return false;
    }
    const unsigned char *memory = rows + header.fill * row_bytes(store);
    size_t memory_used = used - sizeof header - header.fill * row_bytes(store);
    if (!rows_valid(store, rows, header.fill) ||
        (store->memory == NULL ? memory_used != 0
                               : !memory_valid(store, slot, memory, memory_used))) {
        return false;
    }
    if (store->memory != NULL) {
        read_memory(store, slot, memory);
    }
    for (size_t i = 0; i < header.fill; i++) {
        window_row row;
        read_row(store, rows + i * row_bytes(store), &row);
        windows_append(store->windows, slot, row);
    }
    return true;
}

bool parcel_look(const engine_reference *reference, const unsigned char *bytes, size_t used,
                 parcel_view *view) {
    parcel_header header;
    if (used < sizeof header) {
        return false;
    }
    memcpy(&header, bytes, sizeof header);
    view->row_bytes = sizeof(uint32_t) + sizeof(float) + reference->rank * sizeof(float);
    view->rows = bytes + sizeof header;
    view->fill = header.fill;
    return memcmp(header.magic, "ADDERS1", sizeof header.magic) == 0 &&
           header.dim == reference->dim && header.classes == reference->classes &&
           header.rank == reference->rank && header.fill <= ENGINE_WINDOW_MAX &&
           (used - sizeof header) / view->row_bytes >= header.fill;
}

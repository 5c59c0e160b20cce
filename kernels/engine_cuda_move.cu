/*
 * engine_cuda_move.cu - slots of the device as portable bytes: through a desk on the host, one slot
 * of the CPU's windows and memory, where parcels are read, merged and written.
 *
 * Rare, so that it waits for the device at every step. What is in flight comes first: results that
 * have not been collected belong to rows that have been submitted.
 */
#include "engine_cuda.cuh"

engine_status cuda_forget(void *state, uint32_t slot) {
    cuda *e = static_cast<cuda *>(state);
    plan_set(e->plan, slot, 0, 0);
    if (e->ledger != NULL) {
        ledger_forget(e->ledger, slot);
    }
    return ENGINE_OK;
}

static parcel_store desk_of(const cuda *e) {
    parcel_store desk = {};
    desk.dim = e->dim;
    desk.classes = e->classes;
    desk.rank = e->rank;
    desk.window_rows = e->window_rows;
    desk.memory_rank = e->memory_rank;
    desk.windows = e->desk_windows;
    desk.memory = e->desk_memory;
    desk.row = e->desk_row;
    return desk;
}

/* ---- from the device ---- */

template <typename T>
static engine_status fetch(const cuda *e, T *to, const T *from, size_t count) {
    TRY(cudaMemcpyAsync(to, from, count * sizeof *to, cudaMemcpyDeviceToHost, e->work));
    TRY(cudaStreamSynchronize(e->work));
    return ENGINE_OK;
}

static engine_status take_windows(const cuda *e, uint32_t slot) {
    const stage *g = &e->stage;
    size_t w = e->window_rows, first = slot * w;
    size_t stored = plan_stored(e->plan, slot), head = plan_head(e->plan, slot);
    TRY(fetch(e, e->desk_class, g->ring_class + first, w));
    TRY(fetch(e, e->desk_s, g->ring_s + first, w));
    TRY(fetch(e, e->desk_y, g->ring_y + first * e->rank, w * e->rank));
    windows_forget(e->desk_windows, 0);
    for (size_t back = stored; back-- > 0;) {
        size_t at = (head + w - 1 - back) % w;
        window_row row = {e->desk_class[at], e->desk_s[at], e->desk_y + at * e->rank};
        windows_append(e->desk_windows, 0, row);
    }
    return ENGINE_OK;
}

static engine_status take_block(const cuda *e, uint32_t slot, uint32_t block) {
    const recall *r = &e->recall;
    memory_block taken = {};
    size_t triangle = memory_triangle(e->desk_memory);
    taken.class_index = blocks_class(ledger_blocks(e->ledger), block);
    taken.age = ledger_age(e->ledger, slot, block);
    taken.n = ledger_weight(e->ledger, block);
    taken.factor = e->desk_factor;
    TRY(fetch(e, &taken.s, r->s + block, 1));
    TRY(fetch(e, e->desk_factor, r->factor + block * triangle, triangle));
    memory_put(e->desk_memory, 0, &taken);
    return ENGINE_OK;
}

/* Last block first, since each new one becomes the desk's first. */
static engine_status take_memory(const cuda *e, uint32_t slot) {
    const blocks *blocks = ledger_blocks(e->ledger);
    memory_forget(e->desk_memory, 0);
    memory_set_tick(e->desk_memory, 0, ledger_tick(e->ledger, slot));
    for (uint32_t b = blocks_last(blocks, slot); b != BLOCKS_NONE; b = blocks_previous(blocks, b)) {
        TRY(take_block(e, slot, b));
    }
    return ENGINE_OK;
}

static engine_status take_slot(const cuda *e, uint32_t slot) {
    TRY(take_windows(e, slot));
    return e->ledger != NULL ? take_memory(e, slot) : ENGINE_OK;
}

/* ---- to the device ---- */

/* Waits, since a device that reads pageable memory itself may do so after the call; the desk and
 * its locals are used again at once. */
template <typename T> static engine_status put(const cuda *e, T *to, const T *from, size_t count) {
    TRY(cudaMemcpyAsync(to, from, count * sizeof *to, cudaMemcpyHostToDevice, e->work));
    TRY(cudaStreamSynchronize(e->work));
    return ENGINE_OK;
}

static engine_status give_windows(const cuda *e, uint32_t slot) {
    const stage *g = &e->stage;
    size_t w = e->window_rows, first = slot * w, fill = windows_fill(e->desk_windows, 0);
    for (size_t i = 0; i < fill; i++) {
        window_row row = windows_peek(e->desk_windows, 0, fill - 1 - i);
        e->desk_class[i] = row.class_index;
        e->desk_s[i] = row.s;
        memcpy(e->desk_y + i * e->rank, row.y, e->rank * sizeof *row.y);
    }
    TRY(put(e, g->ring_class + first, e->desk_class, fill));
    TRY(put(e, g->ring_s + first, e->desk_s, fill));
    TRY(put(e, g->ring_y + first * e->rank, e->desk_y, fill * e->rank));
    plan_set(e->plan, slot, (uint32_t)(fill % w), (uint32_t)fill);
    return ENGINE_OK;
}

static engine_status give_memory(const cuda *e, uint32_t slot) {
    const recall *r = &e->recall;
    const blocks *blocks = memory_blocks(e->desk_memory);
    size_t triangle = memory_triangle(e->desk_memory);
    ledger_forget(e->ledger, slot);
    ledger_set_tick(e->ledger, slot, memory_tick(e->desk_memory, 0));
    for (uint32_t b = blocks_last(blocks, 0); b != BLOCKS_NONE; b = blocks_previous(blocks, b)) {
        memory_block block = memory_peek(e->desk_memory, 0, b);
        uint32_t to = ledger_put(e->ledger, slot, block.class_index, block.age, block.n);
        TRY(put(e, r->s + to, &block.s, 1));
        TRY(put(e, r->factor + to * triangle, static_cast<const float *>(block.factor), triangle));
    }
    return ENGINE_OK;
}

/* Whether the desk's blocks fit into the slot's and those that nobody holds. */
static bool has_room(const cuda *e, uint32_t slot) {
    if (e->ledger == NULL) {
        return true;
    }
    const blocks *blocks = ledger_blocks(e->ledger), *desk = memory_blocks(e->desk_memory);
    return blocks_held(desk, 0) <= blocks_free(blocks) + blocks_held(blocks, slot);
}

static engine_status give_slot(const cuda *e, uint32_t slot) {
    TRY(give_windows(e, slot));
    return e->ledger != NULL ? give_memory(e, slot) : ENGINE_OK;
}

/* ---- the engine's functions ---- */

engine_status cuda_export(void *state, uint32_t slot, void *bytes, size_t capacity, size_t *used) {
    cuda *e = static_cast<cuda *>(state);
    parcel_store desk = desk_of(e);
    TRY(cuda_give_up(e, take_slot(e, slot)));
    *used = parcel_bytes(&desk, 0);
    if (capacity == 0) {
        return ENGINE_OK;
    }
    if (capacity < *used) {
        return ENGINE_BAD_ARGUMENT;
    }
    parcel_write(&desk, 0, static_cast<unsigned char *>(bytes));
    return ENGINE_OK;
}

engine_status cuda_import(void *state, uint32_t slot, const void *bytes, size_t used) {
    cuda *e = static_cast<cuda *>(state);
    parcel_store desk = desk_of(e);
    TRY(cuda_give_up(e, take_slot(e, slot)));
    if (!parcel_read(&desk, 0, static_cast<const unsigned char *>(bytes), used) ||
        !has_room(e, slot)) {
        return ENGINE_BAD_ARGUMENT;
    }
    return cuda_give_up(e, give_slot(e, slot));
}

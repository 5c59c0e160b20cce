/*
 * engine_cuda_open.cu - what the CUDA engine allocates, once, and whether the device has room.
 */
#include "engine_cuda.cuh"

#include <stdlib.h>
#include <unistd.h>

bool cuda_answers(char *why, size_t why_bytes) {
    int devices = 0;
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error == cudaSuccess && devices > 0) {
        return true;
    }
    cudaGetLastError();
    snprintf(why, why_bytes, "%s",
             error == cudaSuccess ? "no CUDA-capable device" : cudaGetErrorString(error));
    return false;
}

/* ---- how much of everything; the engine's limits keep all products below 2^63 ---- */

typedef struct {
    size_t windows_order, memory_order; /* padded, of what goes to cuSOLVER; 0: nothing */
    size_t piece;                       /* observations */
    size_t matrix_bytes;
    size_t problems;
    lane_options lane;
} sizes;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}
static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Groups that a window can have of an order that list k takes. */
static size_t large_groups(const cuda *e, size_t k) {
    return least(e->window_rows, e->rank) > (size_t)32 << k
               ? e->window_rows / (((size_t)32 << k) + 1)
               : 0;
}

static size_t large_matrix_bytes(const cuda *e, size_t piece) {
    size_t bytes = 0;
    for (size_t k = 0; k < STAGE_ORDERS; k++) {
        size_t order = (size_t)64 << k;
        size_t one = order * order * sizeof(double);
        size_t all = piece * large_groups(e, k) * one;
        bytes = most(bytes, all == 0 ? 0 : most(one, least(all, CUDA_MATRIX_BYTES_MAX)));
    }
    return bytes;
}

static sizes sizes_of(const cuda *e) {
    sizes s = {};
    size_t window_order = least(e->window_rows - 1, e->rank);
    s.windows_order =
        window_order > EIGEN_SMALL_MAX ? eigen_padded(least(e->window_rows, e->rank)) : 0;
    s.memory_order = e->memory_rank > EIGEN_SMALL_MAX ? eigen_padded(e->memory_rank) : 0;
    size_t window_bytes = e->window_rows * (sizeof(uint64_t) + sizeof(stage_part));
    s.piece = most(1, least(e->rows_max, CUDA_PIECE_BYTES_MAX / window_bytes));
    s.matrix_bytes = s.windows_order > 0 ? large_matrix_bytes(e, s.piece) : 0;
    s.lane.rows_max = s.lane.observations_max = e->rows_max;
    s.lane.groups_max = least(e->rows_max, e->classes);
    s.lane.row_bytes_max = plan_align(e->dim * sizeof(float));
    s.lane.few_rows_max = e->few_rows;
    if (e->memory_rank > 0) {
        size_t blocks = least(e->classes, e->blocks);
        s.lane.steps_max = most(e->rows_max, e->window_rows);
        s.lane.shares_max = most(blocks, least(16 * e->rows_max, CUDA_SHARES_MAX));
        s.lane.few_steps_max = 2 * e->few_rows;
        s.lane.few_shares_max = CUDA_FEW_SHARES;
        s.problems = s.lane.steps_max;
        if (s.memory_order > 0) {
            size_t one = s.memory_order * s.memory_order * sizeof(double);
            s.problems = most(e->window_rows, least(s.problems, CUDA_MATRIX_BYTES_MAX / one));
            s.matrix_bytes = most(s.matrix_bytes, s.problems * one);
        }
        s.lane.problems_max = s.problems;
    }
    return s;
}

/* ---- device memory: each array is an allocation of its own, so that a tool sees its ends ---- */

/* Sums up what would be taken, or takes it. */
typedef struct {
    cuda *e;
    bool only_count;
    size_t bytes;
} taking;

template <typename T> static engine_status take(taking *t, T **at, size_t count) {
    size_t bytes = (count > 0 ? count : 1) * sizeof(T);
    t->bytes += bytes;
    if (t->only_count) {
        return ENGINE_OK;
    }
    TRY(cudaMalloc(at, bytes));
    t->e->device[t->e->devices++] = *at;
    return ENGINE_OK;
}

static engine_status take_list(taking *t, stage_list *list, size_t groups, uint32_t *count) {
    list->count = count;
    return take(t, &list->group, groups);
}

/* What open_shapes has put there says how long; no rungs take nothing to speak of. */
static engine_status take_table(taking *t, engine_benign *benign) {
    size_t entries = t->e->classes * benign->rungs;
    TRY(take(t, const_cast<double **>(&benign->rung), benign->rungs));
    TRY(take(t, const_cast<double **>(&benign->mean), entries));
    TRY(take(t, const_cast<double **>(&benign->deviation), entries));
    return ENGINE_OK;
}

static engine_status take_fixed(taking *t, const sizes *s) {
    cuda *e = t->e;
    stage *g = &e->stage;
    TRY(take(t, const_cast<float **>(&g->mean), e->classes * e->dim));
    TRY(take(t, const_cast<float **>(&g->factor), e->classes * e->dim * e->rank));
    TRY(take(t, const_cast<double **>(&g->trace), e->classes));
    TRY(take(t, const_cast<float **>(&g->direction), e->classes * e->dim));
    TRY(take(t, const_cast<double **>(&g->direction_square), e->classes));
    TRY(take_table(t, &g->benign));
    TRY(take_table(t, &g->memory_benign));
    TRY(take(t, &g->centred, e->rows_max * e->dim));
    TRY(take(t, &g->s, e->rows_max));
    TRY(take(t, &g->y, e->rows_max * e->rank));
    TRY(take(t, &g->member, s->piece * e->window_rows));
    TRY(take(t, &g->part, s->piece * e->window_rows));
    TRY(take(t, &g->list_counts, 2 + STAGE_ORDERS));
    TRY(take_list(t, &g->few, s->piece * (e->window_rows / 2), g->list_counts));
    TRY(take_list(t, &g->small, s->piece * (e->window_rows / 4), g->list_counts + 1));
    for (size_t k = 0; k < STAGE_ORDERS; k++) {
        TRY(take_list(t, &g->large[k], s->piece * large_groups(e, k), g->list_counts + 2 + k));
    }
    return ENGINE_OK;
}

static engine_status take_problems(taking *t, const sizes *s) {
    cuda *e = t->e;
    if (s->matrix_bytes > 0) {
        TRY(take(t, &e->matrix, s->matrix_bytes / sizeof *e->matrix));
    }
    if (s->windows_order > 0) {
        size_t matrices = s->matrix_bytes / (64 * 64 * sizeof *e->matrix);
        e->large.matrix = e->matrix;
        e->large_order = s->windows_order;
        TRY(take(t, &e->large.norm, matrices));
        TRY(take(t, &e->large.average, matrices * e->rank));
    }
    if (e->memory_rank > 0) {
        e->recall.matrix = s->memory_order > 0 ? e->matrix : NULL;
        TRY(take(t, &e->recall.problem_d2, s->problems));
        TRY(take(t, &e->recall.problem, s->problems));
        TRY(take(t, &e->recall.norm, s->problems));
    }
    return ENGINE_OK;
}

/* What grows with the accounts. */
static engine_status take_accounts(taking *t) {
    cuda *e = t->e;
    size_t rows = e->slots * e->window_rows;
    TRY(take(t, &e->stage.ring_class, rows));
    TRY(take(t, &e->stage.ring_s, rows));
    TRY(take(t, &e->stage.ring_y, rows * e->rank));
    if (e->memory_rank > 0) {
        TRY(take(t, &e->recall.factor, e->blocks * score_triangle(e->memory_rank + 1)));
        TRY(take(t, &e->recall.s, e->blocks));
        TRY(take(t, &e->recall.d2, e->blocks));
    }
    return ENGINE_OK;
}

/* ---- opening ---- */

typedef struct {
    char *text;
    size_t bytes;
} message;

/* The blocks are the accounts' too: an account more or less takes its share of them along. */
static engine_status check_room(cuda *e, const sizes *s, message error) {
    size_t free_bytes, total_bytes;
    taking fixed = {e, true, 0}, accounts = {e, true, 0};
    TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
    TRY(take_fixed(&fixed, s));
    TRY(take_problems(&fixed, s));
    TRY(take_accounts(&accounts));
    fixed.bytes += CUDA_LANES * lane_bytes(&s->lane);
    if (fixed.bytes <= free_bytes && accounts.bytes <= free_bytes - fixed.bytes) {
        return ENGINE_OK;
    }
    size_t left = fixed.bytes < free_bytes ? free_bytes - fixed.bytes : 0;
    double fit = (double)left / ((double)accounts.bytes / (double)e->slots);
    snprintf(error.text, error.bytes,
             "%zu accounts need %zu MiB of device memory besides %zu MiB for the model and "
             "batches, and %zu MiB are free: %.0f accounts would fit",
             e->slots, accounts.bytes >> 20, fixed.bytes >> 20, free_bytes >> 20, floor(fit));
    return ENGINE_NO_MEMORY;
}

template <typename T> static engine_status send(const T *to, const T *from, size_t count) {
    TRY(cudaMemcpy(const_cast<T *>(to), from, count * sizeof *from, cudaMemcpyHostToDevice));
    return ENGINE_OK;
}

static engine_status send_table(const engine_benign *to, const engine_benign *from,
                                size_t classes) {
    if (from == NULL) {
        return ENGINE_OK;
    }
    TRY(send(to->rung, from->rung, from->rungs));
    TRY(send(to->mean, from->mean, classes * from->rungs));
    TRY(send(to->deviation, from->deviation, classes * from->rungs));
    return ENGINE_OK;
}

/* Captured graphs hold the tables' addresses and the number of rungs: new ones take their place. */
engine_status cuda_calibrate(void *state, const engine_benign *benign) {
    cuda *e = static_cast<cuda *>(state);
    if (engine_benign_of(benign).rungs != e->stage.benign.rungs) {
        return ENGINE_BAD_ARGUMENT;
    }
    engine_status status = send_table(&e->stage.benign, benign, e->classes);
    return status == ENGINE_OK ? status : cuda_give_up(e, status);
}

static engine_status send_directions(const stage *g, const engine_reference *r) {
    directions directions;
    if (!directions_open(&directions, r)) {
        return ENGINE_NO_MEMORY;
    }
    engine_status status = send(g->direction, directions.vector, r->classes * r->dim);
    if (status == ENGINE_OK) {
        status = send(g->direction_square, directions.square, r->classes);
    }
    directions_close(&directions);
    return status;
}

static engine_status upload(cuda *e, const engine_reference *r) {
    const stage *g = &e->stage;
    TRY(send(g->mean, r->mean, r->classes * r->dim));
    TRY(send(g->factor, r->factor, r->classes * r->dim * r->rank));
    TRY(send(g->trace, r->trace, r->classes));
    TRY(send_directions(g, r));
    TRY(send_table(&g->benign, r->benign, r->classes));
    return send_table(&g->memory_benign, r->memory_benign, r->classes);
}

static engine_status open_device(cuda *e, const sizes *s, const engine_reference *r,
                                 message error) {
    taking taking = {e, false, 0};
    TRY(check_room(e, s, error));
    TRY(take_fixed(&taking, s));
    TRY(take_problems(&taking, s));
    TRY(take_accounts(&taking));
    TRY(upload(e, r));
    TRY(cudaMallocHost(&e->host_list_counts, (2 + STAGE_ORDERS) * sizeof *e->host_list_counts));
    for (size_t i = 0; i < CUDA_LANES; i++) {
        TRY(lane_open(&e->lane[i], &s->lane));
    }
    for (size_t k = 0; s->windows_order > 0 && k < STAGE_ORDERS; k++) {
        e->large_max[k] = eigen_batch_max(e->eigen, (size_t)64 << k);
    }
    return ENGINE_OK;
}

static engine_status open_libraries(cuda *e, const sizes *s) {
    size_t order = most(s->windows_order, s->memory_order);
    TRY(cudaSetDevice(0));
    TRY(cudaStreamCreateWithFlags(&e->copies, cudaStreamNonBlocking));
    TRY(cudaStreamCreateWithFlags(&e->work, cudaStreamNonBlocking));
    TRY(product_open(&e->product, s->lane.groups_max, e->tf32));
    if (order > 0) {
        eigen_options options = {};
        options.stream = e->work;
        options.way = EIGEN_AUTO;
        options.order_max = order;
        options.matrix_bytes_max = s->matrix_bytes;
        TRY(eigen_open(&e->eigen, &options));
    }
    return ENGINE_OK;
}

template <typename T> static T *host_array(size_t count) {
    return static_cast<T *>(calloc(count, sizeof(T)));
}

static bool open_host(cuda *e, const engine_reference *r, const engine_options *o) {
    e->plan = plan_open(e->slots, e->window_rows, e->rows_max);
    e->pool = pool_open(e->threads);
    e->desk_windows = windows_open(1, e->window_rows, e->rank);
    e->desk_row = host_array<float>(e->rank);
    e->desk_class = host_array<uint32_t>(e->window_rows);
    e->desk_s = host_array<float>(e->window_rows);
    e->desk_y = host_array<float>(e->window_rows * e->rank);
    if (!grouping_open(&e->grouping, e->rows_max, e->classes) || !e->plan || !e->pool ||
        !e->desk_windows || !e->desk_row || !e->desk_class || !e->desk_s || !e->desk_y) {
        return false;
    }
    if (e->memory_rank == 0) {
        return true;
    }
    ledger_options options = {e->blocks, e->slots, o->half_life_rows};
    memory_options desk = {};
    desk.blocks = least(e->classes, e->blocks);
    desk.slots = 1;
    desk.rank = e->memory_rank;
    desk.classes = e->classes;
    desk.half_life_rows = o->half_life_rows;
    e->desk_trace = host_array<double>(e->classes);
    e->desk_factor = host_array<float>(score_triangle(e->memory_rank + 1));
    if (e->desk_trace != NULL) {
        memcpy(e->desk_trace, r->trace, e->classes * sizeof *e->desk_trace);
        desk.trace = e->desk_trace;
        e->desk_memory = memory_open(&desk);
    }
    e->ledger = ledger_open(&options);
    return e->desk_memory && e->desk_factor && e->ledger;
}

static void take_shapes(cuda *e, const engine_reference *r, const engine_options *o) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    e->classes = r->classes;
    e->dim = r->dim;
    e->rank = r->rank;
    e->window_rows = o->window_rows;
    e->memory_rank = least(o->memory_rank, r->rank);
    e->slots = o->slots_max;
    e->blocks = e->memory_rank > 0 ? o->memory_blocks : 0;
    e->rows_max = o->batch_rows_max;
    e->threads = o->threads > 0 ? o->threads : cores > 0 ? (size_t)cores : 1;
    e->threads = least(e->threads, ENGINE_THREADS_MAX);
    e->tf32 = o->tf32;
    e->few_rows = least(CUDA_FEW_ROWS, e->rows_max);
    e->bytes_per_slot = e->window_rows * (2 * sizeof(uint32_t) + e->rank * sizeof(float));
    e->bytes_per_block =
        e->memory_rank > 0 ? score_triangle(e->memory_rank + 1) * sizeof(float) + 2 * sizeof(double)
                           : 0;
}

static engine_status open_shapes(cuda *e, const sizes *s, const engine_reference *r) {
    cudaDeviceProp device;
    TRY(cudaGetDeviceProperties(&device, 0));
    e->stage.dim = (uint32_t)e->dim;
    e->stage.rank = (uint32_t)e->rank;
    e->stage.window_rows = (uint32_t)e->window_rows;
    e->stage.processors = (uint32_t)device.multiProcessorCount;
    e->stage.piece_max = (uint32_t)s->piece;
    e->stage.benign.rungs = engine_benign_of(r->benign).rungs;
    e->stage.memory_benign.rungs = engine_benign_of(r->memory_benign).rungs;
    e->recall.rank = (uint32_t)e->memory_rank;
    e->recall.order = (uint32_t)s->memory_order;
    return ENGINE_OK;
}

/* What the kernels' limits do not allow; said before anything is allocated. */
static bool fits_kernels(const cuda *e, const sizes *s, message error) {
    if (most(s->windows_order, s->memory_order) > EIGEN_ORDER_MAX) {
        snprintf(error.text, error.bytes,
                 "the cuda engine takes windows of at most %d rows where the rank is as large; "
                 "this is %zu rows of rank %zu",
                 EIGEN_ORDER_MAX, e->window_rows, e->rank);
        return false;
    }
    if (s->lane.row_bytes_max * e->rows_max / PLAN_ALIGNMENT > UINT32_MAX) {
        snprintf(error.text, error.bytes, "%zu rows of dim %zu are more than a batch can be",
                 e->rows_max, e->dim);
        return false;
    }
    return true;
}

static engine_status open_graphs(cuda *e, const sizes *s) {
    TRY(cuda_warm(e, &e->lane[0]));
    if (s->windows_order > 0 || s->memory_order > 0) {
        return ENGINE_OK; /* the host would have to wait in the middle of a graph */
    }
    for (size_t i = 0; i < CUDA_LANES; i++) {
        TRY(cuda_capture(e, &e->lane[i]));
    }
    return ENGINE_OK;
}

static engine_status open_all(cuda *e, const engine_reference *r, const engine_options *o,
                              message error) {
    sizes s = sizes_of(e);
    if (!fits_kernels(e, &s, error)) {
        return ENGINE_BAD_ARGUMENT;
    }
    TRY(open_libraries(e, &s));
    TRY(open_shapes(e, &s, r));
    TRY(open_device(e, &s, r, error));
    if (!open_host(e, r, o)) {
        snprintf(error.text, error.bytes, "out of memory");
        return ENGINE_NO_MEMORY;
    }
    TRY(cudaDeviceSynchronize()); /* what was set and copied above was so on another stream */
    TRY(open_graphs(e, &s));
    if (e->tf32) {
        TRY(product_tf32_error(e->product, &e->stage, e->rows_max, e->work, &e->tf32_error));
    }
    return ENGINE_OK;
}

engine_status cuda_open(void **state, const engine_reference *r, const engine_options *o,
                        char *error, size_t error_bytes) {
    cuda *e = static_cast<cuda *>(calloc(1, sizeof *e));
    if (e == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return ENGINE_NO_MEMORY;
    }
    take_shapes(e, r, o);
    error[0] = '\0';
    cuda_last_failure.text[0] = '\0';
    engine_status status = open_all(e, r, o, message{error, error_bytes});
    if (status != ENGINE_OK) {
        if (error[0] == '\0') {
            snprintf(error, error_bytes, "the cuda engine cannot be opened: %s",
                     cuda_last_failure.text[0] != '\0' ? cuda_last_failure.text
                                                       : engine_status_text(status));
        }
        cuda_close(e);
        return status;
    }
    *state = e;
    return ENGINE_OK;
}

static void close_host(cuda *e) {
    ledger_close(e->ledger);
    memory_close(e->desk_memory);
    free(e->desk_factor);
    free(e->desk_trace);
    free(e->desk_y);
    free(e->desk_s);
    free(e->desk_class);
    free(e->desk_row);
    windows_close(e->desk_windows);
    pool_close(e->pool);
    plan_close(e->plan);
    grouping_close(&e->grouping);
}

/* On a lost device all of this fails, and nothing can be done about it. */
void cuda_close(void *state) {
    cuda *e = static_cast<cuda *>(state);
    if (e == NULL) {
        return;
    }
    if (e->work != NULL) {
        cudaStreamSynchronize(e->work);
    }
    close_host(e);
    for (size_t i = CUDA_LANES; i-- > 0;) {
        lane_close(&e->lane[i]);
    }
    cudaFreeHost(e->host_list_counts);
    while (e->devices > 0) {
        cudaFree(e->device[--e->devices]);
    }
    eigen_close(e->eigen);
    product_close(e->product);
    if (e->work != NULL) {
        cudaStreamDestroy(e->work);
    }
    if (e->copies != NULL) {
        cudaStreamDestroy(e->copies);
    }
    cudaGetLastError();
    free(e);
}

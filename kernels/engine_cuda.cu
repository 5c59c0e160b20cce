/*
 * engine_cuda.cu - the CUDA engine: the order in which a batch is worked off, and nothing else.
 *
 * On the host: group the rows by class, write the plan, pack the rows into pinned memory while the
 * first of them are already on their way, then queue the kernels of stage.cuh. Two batches are in
 * flight at most: while one computes, the next is packed and copied.
 *
 * Few rows (CUDA_FEW_ROWS) go through a graph captured at open: one copy in, the kernels, one copy
 * back, in a single launch.
 *
 * What the host must know before it can queue the rest, how many matrices of each order go to
 * cuSOLVER, it waits for; with W or the rank at most 33 there are none, and it never waits.
 */
#include "engine_cuda.cuh"

/* ---- windows ---- */

static engine_status score_large(cuda *e, const stage *g, size_t list) {
    gram_work work = e->large;
    uint32_t groups = e->host_list_counts[2 + list];
    uint32_t most = (uint32_t)e->large_max[list];
    work.order = 64u << list;
    for (uint32_t first = 0; first < groups; first += work.count) {
        work.group = g->large[list].group + first;
        work.count = groups - first < most ? groups - first : most;
        TRY(gram_large(g, &work, e->work));
        TRY(eigen_sum(e->eigen, work.matrix, work.order, work.count, work.norm, g->failed));
        TRY(gram_large_settle(g, &work, e->work));
    }
    return ENGINE_OK;
}

static engine_status score_all_large(cuda *e, const stage *g) {
    size_t bytes = (2 + STAGE_ORDERS) * sizeof(uint32_t);
    if (e->large.matrix == NULL) {
        return ENGINE_OK; /* no window can have an order above EIGEN_SMALL_MAX */
    }
    TRY(cudaMemcpyAsync(e->host_list_counts, g->list_counts, bytes, cudaMemcpyDeviceToHost,
                        e->work));
    TRY(cudaStreamSynchronize(e->work));
    for (size_t list = 0; list < STAGE_ORDERS; list++) {
        TRY(score_large(e, g, list));
    }
    return ENGINE_OK;
}

static engine_status score_windows(cuda *e, stage *g, size_t observations_max) {
    for (size_t first = 0; first < observations_max; first += g->piece_max) {
        size_t left = observations_max - first;
        size_t here = left < g->piece_max ? left : g->piece_max;
        g->piece_first = (uint32_t)first;
        TRY(windows_group(g, here, e->work));
        TRY(gram_few(g, here, e->work));
        TRY(gram_small(g, here, e->work));
        TRY(score_all_large(e, g));
        TRY(reduce_scores(g, here, e->work));
    }
    return ENGINE_OK;
}

/* ---- memories ---- */

/* One part; `problems` is how many it has, or 0 where cuSOLVER is not needed. */
static engine_status remember_part(cuda *e, const stage *g, const recall *r, size_t problems) {
    if (r->tasks_max > 0) {
        TRY(recall_add(g, r, e->work));
    }
    size_t most = problems > 0 ? eigen_batch_max(e->eigen, r->order) : 1;
    for (size_t first = 0; first < problems; first += most) {
        size_t here = problems - first < most ? problems - first : most;
        TRY(eigen_sum(e->eigen, r->matrix + first * r->order * r->order, r->order, here,
                      r->norm + first, g->failed));
    }
    if (problems > 0) {
        TRY(recall_settle(g, r, problems, e->work));
    }
    return recall_scores(g, r, e->work);
}

/* A part that has been written, and all that are still to come. */
static engine_status remember(cuda *e, lane *l, const stage *g, lane_part *part,
                              ledger_cursor cursor) {
    for (;;) {
        const ledger_used *used = &part->part.used;
        recall r = e->recall;
        memcpy(part->host, used, sizeof *used);
        lane_part_view(part, &r);
        r.tasks_max = used->tasks;
        r.scores_max = used->scores;
        TRY(lane_part_copy(part, false, e->work));
        TRY(remember_part(e, g, &r, r.order > 0 ? used->problems : 0));
        if (cursor.observation == l->batch->observations) {
            return ENGINE_OK;
        }
        if (part == &l->part) {
            TRY(cudaStreamSynchronize(e->work)); /* its host arrays are to be written again */
        }
        part = &l->part;
        ledger_write(e->ledger, l->batch, e->grouping.place, &cursor, &part->part);
    }
}

/* ---- rows to the device ---- */

typedef struct {
    const cuda *e;
    const engine_batch *batch;
    const plan_row *row;
    unsigned char *to;
    size_t first, end; /* places */
} packing;

enum { PACK_ROWS = 64 };

static void pack(void *context, size_t task, size_t thread) {
    const packing *p = static_cast<const packing *>(context);
    size_t end = p->first + (task + 1) * PACK_ROWS;
    (void)thread;
    for (size_t i = p->first + task * PACK_ROWS; i < end && i < p->end; i++) {
        memcpy(p->to + (size_t)p->row[i].offset * PLAN_ALIGNMENT,
               p->batch->embeddings[p->e->grouping.row_at[i]],
               p->e->dim * plan_element_bytes(p->row[i].dtype));
    }
}

static void pack_rows(const cuda *e, packing *p) {
    size_t tasks = stage_ceil(p->end - p->first, PACK_ROWS);
    if (tasks == 1) {
        pack(p, 0, 0); /* not worth waking anyone */
    } else {
        pool_run(e->pool, tasks, pack, p);
    }
}

/* Pieces of whole rows, each sent while the next is packed. They double, since handing out the
 * packing costs tens of microseconds each time and only the first must be short. */
static engine_status send_rows(cuda *e, lane *l, const plan_layout *at, size_t bytes) {
    const plan_row *row = reinterpret_cast<const plan_row *>(l->host + at->row);
    size_t rows = l->batch->rows, piece_bytes = CUDA_COPY_PIECE_BYTES;
    packing p = {e, l->batch, row, l->host + at->embeddings, 0, 0};
    for (; p.end < rows; piece_bytes *= 2) {
        size_t from = (size_t)row[p.first].offset * PLAN_ALIGNMENT, to = from;
        while (p.end < rows && to - from < piece_bytes) {
            p.end++;
            to = p.end < rows ? (size_t)row[p.end].offset * PLAN_ALIGNMENT : bytes;
        }
        pack_rows(e, &p);
        TRY(cudaMemcpyAsync(l->device + at->embeddings + from, l->host + at->embeddings + from,
                            to - from, cudaMemcpyHostToDevice, e->copies));
        p.first = p.end;
    }
    return ENGINE_OK;
}

/* The arrays of pointers that the grouped product takes. */
static void lay_products(const cuda *e, lane *l, const plan_layout *at) {
    const stage *g = &e->stage;
    size_t groups = e->grouping.groups;
    const void **pointer = reinterpret_cast<const void **>(l->host + at->products);
    for (size_t i = 0; i < groups; i++) {
        const class_group *group = &e->grouping.group[i];
        pointer[i] = g->factor + (size_t)group->class_index * e->dim * e->rank;
        pointer[groups + i] = g->centred + (size_t)group->first * e->dim;
        pointer[2 * groups + i] = g->y + (size_t)group->first * e->rank;
    }
}

/* ---- the two ways of a batch ---- */

static engine_status fetch_results(cuda *e, lane *l, size_t observations, size_t rows) {
    TRY(cudaMemcpyAsync(l->host_results, l->device_results, lane_results_bytes(observations, rows),
                        cudaMemcpyDeviceToHost, e->work));
    return ENGINE_OK;
}

/* part has been written from the cursor's beginning; NULL without memory. */
static engine_status submit_many(cuda *e, lane *l, lane_part *part, ledger_cursor cursor) {
    const engine_batch *batch = l->batch;
    size_t groups = e->grouping.groups;
    plan_layout at = plan_layout_of(batch->rows, batch->observations, groups);
    stage g = e->stage;
    lane_view(l, &at, batch->observations, &g);
    size_t bytes = plan_fill(e->plan, batch, e->grouping.place, e->dim, &at, l->host);
    lay_products(e, l, &at);
    TRY(cudaEventRecord(l->begun, e->copies));
    TRY(cudaMemcpyAsync(l->device, l->host, at.embeddings, cudaMemcpyHostToDevice, e->copies));
    TRY(send_rows(e, l, &at, bytes));
    TRY(cudaEventRecord(l->copied, e->copies));
    TRY(cudaStreamWaitEvent(e->work, l->copied, 0));
    TRY(cudaEventRecord(l->computing, e->work));
    TRY(cudaMemsetAsync(g.failed, 0, sizeof *g.failed, e->work));
    TRY(rows_centre(&g, batch->rows, e->work));
    TRY(product_of_groups(e->product, &g, e->grouping.group, groups,
                          reinterpret_cast<const void *const *>(l->device + at.products), e->work));
    TRY(score_windows(e, &g, batch->observations));
    if (part != NULL) {
        TRY(remember(e, l, &g, part, cursor));
    }
    TRY(append_rows(&g, batch->rows, e->work));
    return fetch_results(e, l, batch->observations, batch->rows);
}

static engine_status queue_few(cuda *e, lane *l) {
    plan_layout at = plan_layout_of(e->few_rows, e->few_rows, 0);
    size_t row_bytes = plan_align(e->dim * sizeof(float));
    stage g = e->stage;
    lane_view(l, &at, e->few_rows, &g);
    TRY(cudaMemcpyAsync(l->device, l->host, at.embeddings + e->few_rows * row_bytes,
                        cudaMemcpyHostToDevice, e->work));
    TRY(cudaMemsetAsync(g.failed, 0, sizeof *g.failed, e->work));
    TRY(rows_centre(&g, e->few_rows, e->work));
    TRY(product_of_few(&g, e->few_rows, e->work));
    TRY(score_windows(e, &g, e->few_rows));
    if (e->ledger != NULL) {
        recall r = e->recall;
        lane_part_view(&l->few_part, &r);
        r.tasks_max = (uint32_t)l->few_part.part.steps_max;
        r.scores_max = (uint32_t)e->few_rows;
        TRY(lane_part_copy(&l->few_part, true, e->work));
        TRY(remember_part(e, &g, &r, 0)); /* a graph has no problems for cuSOLVER */
    }
    TRY(append_rows(&g, e->few_rows, e->work));
    return fetch_results(e, l, e->few_rows, e->few_rows);
}

/* The calls of the libraries that batches will make, once, so that the first batch does not wait
 * for them to be loaded. The numbers do not matter. */
static engine_status warm_libraries(cuda *e, lane *l) {
    const void **pointer = reinterpret_cast<const void **>(l->host);
    const class_group one = {0, 0, 1};
    size_t orders[] = {e->large_order, e->recall.order};
    double *norms[] = {e->large.norm, e->recall.norm};
    pointer[0] = e->stage.factor;
    pointer[1] = e->stage.centred;
    pointer[2] = e->stage.y;
    TRY(cudaMemcpyAsync(l->device, l->host, 3 * sizeof *pointer, cudaMemcpyHostToDevice, e->work));
    TRY(product_of_groups(e->product, &e->stage, &one, 1,
                          reinterpret_cast<const void *const *>(l->device), e->work));
    for (size_t i = 0; i < 2; i++) {
        if (orders[i] > 0) {
            size_t bytes = orders[i] * orders[i] * sizeof(double);
            TRY(cudaMemsetAsync(e->matrix, 0, bytes, e->work));
            TRY(eigen_sum(e->eigen, e->matrix, orders[i], 1, norms[i],
                          reinterpret_cast<int *>(l->device_results)));
        }
    }
    TRY(cudaStreamSynchronize(e->work));
    return ENGINE_OK;
}

/* The way of few rows once without any: it loads the kernels, which a capture forbids. */
engine_status cuda_warm(cuda *e, lane *l) {
    memset(l->host, 0, plan_layout_of(e->few_rows, e->few_rows, 0).embeddings);
    if (e->ledger != NULL) {
        memset(l->few_part.host, 0, l->few_part.bytes);
    }
    TRY(queue_few(e, l));
    TRY(cudaStreamSynchronize(e->work));
    return warm_libraries(e, l);
}

static engine_status capture_few(cuda *e, lane *l, cudaGraph_t *graph) {
    TRY(cudaStreamBeginCapture(e->work, cudaStreamCaptureModeThreadLocal));
    engine_status queued = queue_few(e, l);
    engine_status ended = cuda_check(cuda_place{"cudaStreamEndCapture", __FILE__, __LINE__},
                                     cudaStreamEndCapture(e->work, graph));
    return queued != ENGINE_OK ? queued : ended;
}

engine_status cuda_capture(cuda *e, lane *l) {
    cudaGraph_t graph = NULL;
    engine_status status = capture_few(e, l, &graph);
    if (status == ENGINE_OK) {
        status = cuda_check(cuda_place{"cudaGraphInstantiate", __FILE__, __LINE__},
                            cudaGraphInstantiate(&l->graph, graph, 0));
    }
    if (graph != NULL) {
        cudaGraphDestroy(graph);
    }
    return status;
}

static engine_status submit_few(cuda *e, lane *l) {
    plan_layout at = plan_layout_of(e->few_rows, e->few_rows, 0);
    plan_fill(e->plan, l->batch, e->grouping.place, e->dim, &at, l->host);
    packing p = {e,
                 l->batch,
                 reinterpret_cast<const plan_row *>(l->host + at.row),
                 l->host + at.embeddings,
                 0,
                 l->batch->rows};
    pack_rows(e, &p);
    if (e->ledger != NULL) {
        memcpy(l->few_part.host, &l->few_part.part.used, sizeof(ledger_used));
    }
    TRY(cudaEventRecord(l->computing, e->work));
    TRY(cudaGraphLaunch(l->graph, e->work));
    return ENGINE_OK;
}

static engine_status submit(cuda *e, lane *l) {
    const engine_batch *batch = l->batch;
    bool few = l->graph != NULL && batch->rows <= e->few_rows;
    lane_part *part = e->ledger == NULL ? NULL : few ? &l->few_part : &l->part;
    ledger_cursor cursor = {0, false};
    grouping_sort(&e->grouping, batch->classes, batch->rows);
    if (part != NULL) {
        ledger_write(e->ledger, batch, e->grouping.place, &cursor, &part->part);
        few = few && cursor.observation == batch->observations;
    }
    l->by_graph = few;
    TRY(few ? submit_few(e, l) : submit_many(e, l, part, cursor));
    TRY(cudaEventRecord(l->done, e->work));
    return ENGINE_OK;
}

/* ---- the engine's functions ---- */

engine_status cuda_give_up(cuda *e, engine_status status) {
    if (status != ENGINE_OK) {
        e->lost = true;
        snprintf(e->why, sizeof e->why, "%s", cuda_last_failure.text);
    }
    return status;
}

static engine_status cuda_submit(void *state, const engine_batch *batch) {
    cuda *e = static_cast<cuda *>(state);
    if (e->lanes_used == CUDA_LANES) {
        return ENGINE_BUSY;
    }
    lane *l = &e->lane[e->lane_next];
    l->batch = batch;
    if (batch->rows > 0) {
        engine_status status = cuda_give_up(e, submit(e, l));
        if (status != ENGINE_OK) {
            return status;
        }
    }
    e->lane_next = (e->lane_next + 1) % CUDA_LANES;
    e->lanes_used++;
    return ENGINE_OK;
}

static engine_status add_times(cuda *e, const lane *l) {
    float ms;
    TRY(cudaEventElapsedTime(&ms, l->computing, l->done));
    e->compute_s += 1e-3 * (double)ms;
    if (!l->by_graph) { /* whose copy is among its computing */
        TRY(cudaEventElapsedTime(&ms, l->begun, l->copied));
        e->copy_s += 1e-3 * (double)ms;
    }
    return ENGINE_OK;
}

static engine_status wait_for(cuda *e, const lane *l) {
    TRY(cudaEventSynchronize(l->done));
    return add_times(e, l);
}

static engine_status cuda_collect(void *state) {
    cuda *e = static_cast<cuda *>(state);
    if (e->lanes_used == 0) {
        return ENGINE_EMPTY;
    }
    lane *l = &e->lane[(e->lane_next + CUDA_LANES - e->lanes_used) % CUDA_LANES];
    e->lanes_used--;
    if (l->batch->rows == 0) {
        return ENGINE_OK;
    }
    engine_status status = cuda_give_up(e, wait_for(e, l));
    if (status != ENGINE_OK) {
        return status;
    }
    size_t observations_max = l->by_graph ? e->few_rows : l->batch->observations;
    return lane_results(l, observations_max) ? ENGINE_OK : ENGINE_INTERNAL;
}

static engine_facts cuda_describe(const void *state) {
    const cuda *e = static_cast<const cuda *>(state);
    engine_facts facts = {};
    facts.name = "cuda";
    facts.bytes_per_slot = e->bytes_per_slot;
    facts.bytes_per_block = e->bytes_per_block;
    facts.blocks_held = e->ledger != nullptr ? blocks_held_of_all(ledger_blocks(e->ledger)) : 0;
    facts.memory_rank = e->memory_rank;
    facts.threads = e->threads;
    facts.in_flight_max = CUDA_LANES;
    facts.tf32_error = e->tf32_error;
    facts.copy_s = e->copy_s;
    facts.compute_s = e->compute_s;
    return facts;
}

static const char *cuda_lost(const void *state) {
    const cuda *e = static_cast<const cuda *>(state);
    return e->lost ? e->why : NULL;
}

extern "C" const engine_ops engine_cuda_ops;
const engine_ops engine_cuda_ops = {
    "cuda",      cuda_answers, cuda_open,      cuda_submit,   cuda_collect, cuda_forget,
    cuda_export, cuda_import,  cuda_calibrate, cuda_describe, cuda_close,   cuda_lost,
};

/*
 * lane.cu - see lane.cuh.
 */
#include "lane.cuh"

#include <stdlib.h>

enum { RESULTS_FAILED_BYTES = 16 };

static size_t alignments_at(size_t observations) {
    return RESULTS_FAILED_BYTES + observations * sizeof(engine_result);
}

static size_t plan_bytes(const lane_options *o) {
    size_t all = plan_layout_of(o->rows_max, o->observations_max, o->groups_max).embeddings +
                 o->rows_max * o->row_bytes_max;
    size_t few = plan_layout_of(o->few_rows_max, o->few_rows_max, 0).embeddings +
                 o->few_rows_max * o->row_bytes_max;
    return all > few ? all : few;
}

size_t lane_results_bytes(size_t observations, size_t rows) {
    return alignments_at(observations) + rows * sizeof(float);
}

/* ---- parts ---- */

static void part_lay_out(lane_part *p, size_t steps, size_t problems, size_t shares,
                         size_t scores) {
    p->part.steps_max = steps;
    p->part.problems_max = problems;
    p->part.shares_max = shares;
    p->part.scores_max = scores;
    p->task = plan_align(sizeof(ledger_used));
    p->step = p->task + plan_align(steps * sizeof(ledger_task));
    p->share = p->step + plan_align(steps * sizeof(ledger_step));
    p->score = p->share + plan_align(shares * sizeof(ledger_share));
    p->bytes = p->score + plan_align(scores * sizeof(ledger_score));
}

static void parts_lay_out(lane *l, const lane_options *o) {
    part_lay_out(&l->part, o->steps_max, o->problems_max, o->shares_max, o->observations_max);
    size_t problems = o->few_steps_max < o->problems_max ? o->few_steps_max : o->problems_max;
    part_lay_out(&l->few_part, o->few_steps_max, problems, o->few_shares_max, o->few_rows_max);
}

static engine_status part_open(lane_part *p) {
    TRY(cudaMallocHost(&p->host, p->bytes));
    TRY(cudaMalloc(&p->device, p->bytes));
    p->part.task = reinterpret_cast<ledger_task *>(p->host + p->task);
    p->part.step = reinterpret_cast<ledger_step *>(p->host + p->step);
    p->part.share = reinterpret_cast<ledger_share *>(p->host + p->share);
    p->part.score = reinterpret_cast<ledger_score *>(p->host + p->score);
    return ENGINE_OK;
}

void lane_part_view(const lane_part *p, recall *r) {
    r->used = reinterpret_cast<const ledger_used *>(p->device);
    r->task = reinterpret_cast<const ledger_task *>(p->device + p->task);
    r->step = reinterpret_cast<const ledger_step *>(p->device + p->step);
    r->share = reinterpret_cast<const ledger_share *>(p->device + p->share);
    r->score = reinterpret_cast<const ledger_score *>(p->device + p->score);
}

static engine_status copy(const lane_part *p, size_t offset, size_t bytes, cudaStream_t stream) {
    TRY(cudaMemcpyAsync(p->device + offset, p->host + offset, bytes, cudaMemcpyHostToDevice,
                        stream));
    return ENGINE_OK;
}

engine_status lane_part_copy(const lane_part *p, bool all, cudaStream_t stream) {
    const ledger_used *used = &p->part.used;
    if (all) {
        return copy(p, 0, p->bytes, stream);
    }
    /* Used and tasks lie next to each other. */
    TRY(copy(p, 0, p->task + used->tasks * sizeof(ledger_task), stream));
    TRY(copy(p, p->step, used->steps * sizeof(ledger_step), stream));
    TRY(copy(p, p->share, used->shares * sizeof(ledger_share), stream));
    TRY(copy(p, p->score, used->scores * sizeof(ledger_score), stream));
    return ENGINE_OK;
}

/* ---- lanes ---- */

size_t lane_bytes(const lane_options *o) {
    lane l = {};
    parts_lay_out(&l, o);
    size_t parts = o->steps_max > 0 ? l.part.bytes + l.few_part.bytes : 0;
    return plan_bytes(o) + lane_results_bytes(o->observations_max, o->rows_max) + parts;
}

engine_status lane_open(lane *l, const lane_options *o) {
    size_t bytes = plan_bytes(o);
    size_t results = lane_results_bytes(o->observations_max, o->rows_max);
    parts_lay_out(l, o);
    TRY(cudaMallocHost(&l->host, bytes));
    TRY(cudaMalloc(&l->device, bytes));
    TRY(cudaMallocHost(&l->host_results, results));
    TRY(cudaMalloc(&l->device_results, results));
    TRY(cudaMemset(l->device_results, 0, results)); /* a graph fetches more than a batch writes */
    TRY(cudaEventCreate(&l->begun));
    TRY(cudaEventCreate(&l->copied));
    TRY(cudaEventCreate(&l->computing));
    TRY(cudaEventCreate(&l->done));
    if (o->steps_max > 0) {
        TRY(part_open(&l->part));
        TRY(part_open(&l->few_part));
    }
    return ENGINE_OK;
}

static void event_close(cudaEvent_t event) {
    if (event != NULL) {
        cudaEventDestroy(event);
    }
}

void lane_close(lane *l) {
    if (l->graph != NULL) {
        cudaGraphExecDestroy(l->graph);
    }
    event_close(l->done);
    event_close(l->computing);
    event_close(l->copied);
    event_close(l->begun);
    cudaFree(l->few_part.device);
    cudaFreeHost(l->few_part.host);
    cudaFree(l->part.device);
    cudaFreeHost(l->part.host);
    cudaFree(l->device_results);
    cudaFreeHost(l->host_results);
    cudaFree(l->device);
    cudaFreeHost(l->host);
    *l = lane{};
}

void lane_view(const lane *l, const plan_layout *at, size_t observations_max, stage *g) {
    g->counts = reinterpret_cast<const plan_counts *>(l->device + at->counts);
    g->row = reinterpret_cast<const plan_row *>(l->device + at->row);
    g->sequence = reinterpret_cast<const uint32_t *>(l->device + at->sequence);
    g->ring_at = reinterpret_cast<const uint64_t *>(l->device + at->ring_at);
    g->observation = reinterpret_cast<const plan_observation *>(l->device + at->observation);
    g->embeddings = l->device + at->embeddings;
    g->failed = reinterpret_cast<int *>(l->device_results);
    g->result = reinterpret_cast<engine_result *>(l->device_results + RESULTS_FAILED_BYTES);
    g->alignment = reinterpret_cast<float *>(l->device_results + alignments_at(observations_max));
}

bool lane_results(const lane *l, size_t observations_max) {
    const engine_batch *batch = l->batch;
    memcpy(batch->results, l->host_results + RESULTS_FAILED_BYTES,
           batch->observations * sizeof *batch->results);
    if (batch->alignments != NULL) {
        memcpy(batch->alignments, l->host_results + alignments_at(observations_max),
               batch->rows * sizeof *batch->alignments);
    }
    return *reinterpret_cast<const int *>(l->host_results) == 0;
}

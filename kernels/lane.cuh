/*
 * lane.cuh - the buffers of one batch in flight: what goes to the device and what comes back.
 *
 * Two lanes let the host write the next batch while the device works on this one. All of it is
 * allocated by lane_open and pinned, so that copies run beside the kernels.
 */
#ifndef ADDER_LANE_CUH
#define ADDER_LANE_CUH

#include "stage.cuh"

/* Room for a part of the memories' work, on the host and on the device: used, tasks, steps,
 * shares, scores. */
typedef struct {
    ledger_part part; /* its arrays are the host's */
    unsigned char *host, *device;
    size_t task, step, share, score, bytes; /* offsets */
} lane_part;

typedef struct {
    size_t rows_max, observations_max, groups_max;
    size_t row_bytes_max;                       /* of an embedding, aligned */
    size_t steps_max, problems_max, shares_max; /* 0: no memory */
    size_t few_rows_max;                        /* of the captured graph */
    size_t few_steps_max, few_shares_max;
} lane_options;

typedef struct {
    unsigned char *host, *device; /* a plan_layout and the embeddings behind it */
    lane_part part, few_part;
    unsigned char *host_results, *device_results; /* failed, results, alignments */
    cudaEvent_t begun, copied, computing, done;
    cudaGraphExec_t graph; /* the way of few rows; NULL: none */
    const engine_batch *batch;
    bool by_graph;
} lane;

/* Device bytes that lane_open takes. */
size_t lane_bytes(const lane_options *options);
/* What was opened until an error is lane_close's. */
engine_status lane_open(lane *lane, const lane_options *options);
void lane_close(lane *lane); /* zeroed is allowed, and a lost device */

size_t lane_results_bytes(size_t observations, size_t rows);
/* Points the stage at the plan that the lane holds in this layout, and at its results. */
void lane_view(const lane *lane, const plan_layout *layout, size_t observations_max, stage *g);
/* Takes what came back over into the batch's results and alignments; false: an eigensolver failed.
 */
bool lane_results(const lane *lane, size_t observations_max);

/* Points the recall at the part on the device. */
void lane_part_view(const lane_part *part, recall *r);
/* Copies what is in use; or, for a graph, all there is room for. */
engine_status lane_part_copy(const lane_part *part, bool all, cudaStream_t stream);

#endif

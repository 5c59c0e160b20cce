/*
 * engine_cuda.cuh - the CUDA engine's state; only engine_cuda*.cu include it.
 */
#ifndef ADDER_ENGINE_CUDA_CUH
#define ADDER_ENGINE_CUDA_CUH

#include "lane.cuh"

extern "C" {
#include "direction.h"
#include "engine_ops.h"
#include "grouping.h"
#include "parcel.h"
#include "pool.h"
}

enum {
    CUDA_LANES = 2,         /* batches in flight */
    CUDA_FEW_ROWS = 32,     /* as many rows or fewer go through the captured graph */
    CUDA_FEW_SHARES = 1024, /* ... if their accounts have no more blocks than this in all */
    CUDA_COPY_PIECE_BYTES = 4 << 20, /* packed and sent while the next piece is packed */
    CUDA_PIECE_BYTES_MAX = 64 << 20, /* of a piece's members and parts */
    CUDA_MATRIX_BYTES_MAX = 256 << 20,
    CUDA_SHARES_MAX = 1 << 20,
};

/* Members bear their type's name, hence the :: before the type. */
typedef struct {
    size_t classes, dim, rank, window_rows, memory_rank, slots, blocks, rows_max, threads;
    size_t bytes_per_slot, bytes_per_block; /* of the device */
    bool tf32;
    double tf32_error;
    /* Host. */
    ::plan *plan;
    ::ledger *ledger; /* NULL: no memory */
    ::grouping grouping;
    ::pool *pool;
    windows *desk_windows; /* one slot, for moving */
    memory *desk_memory;
    double *desk_trace;   /* [classes] */
    float *desk_row;      /* [rank] */
    uint32_t *desk_class; /* [W] */
    float *desk_s;        /* [W] */
    float *desk_y;        /* [W, rank] */
    float *desk_factor;   /* [triangle] */
    /* Device. */
    cudaStream_t copies, work;
    ::product *product;
    ::eigen *eigen; /* NULL: no order above EIGEN_SMALL_MAX */
    ::stage stage;  /* all but what lane_view sets */
    ::recall recall;
    double *matrix;     /* of what goes to cuSOLVER, windows and memories in turn; or NULL */
    size_t large_order; /* the largest of a window, padded; 0: none */
    gram_work large;    /* its scratch */
    size_t large_max[STAGE_ORDERS]; /* matrices that the scratch holds, by order */
    uint32_t *host_list_counts;
    ::lane lane[CUDA_LANES];
    size_t lanes_used, lane_next; /* in flight; the next to take */
    size_t few_rows;              /* of the graph */
    void *device[48];             /* what cuda_take has allocated */
    size_t devices;
    double copy_s, compute_s;
    bool lost;
    char why[CUDA_FAILURE_TEXT_BYTES];
} cuda;

/* engine_cuda_open.cu */
engine_status cuda_open(void **state, const engine_reference *reference,
                        const engine_options *options, char *error, size_t error_bytes);
engine_status cuda_calibrate(void *state, const engine_benign *benign);
void cuda_close(void *state);
bool cuda_answers(char *why, size_t why_bytes);

/* engine_cuda_move.cu */
engine_status cuda_forget(void *state, uint32_t slot);
engine_status cuda_export(void *state, uint32_t slot, void *bytes, size_t capacity, size_t *used);
engine_status cuda_import(void *state, uint32_t slot, const void *bytes, size_t used);

/* engine_cuda.cu */
engine_status cuda_warm(cuda *e, lane *l);    /* loads what batches will need */
engine_status cuda_capture(cuda *e, lane *l); /* the graph of a lane; after cuda_warm */
/* Where a call of the device has failed, nothing is known of its state any more: the engine says
 * from now on that it is lost. Returns the status. */
engine_status cuda_give_up(cuda *e, engine_status status);

#endif

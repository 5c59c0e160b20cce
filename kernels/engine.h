/*
 * engine.h - what does the arithmetic: per-account windows and memories, and their scores.
 *
 * An engine holds, for every slot (an account's number, given out by the host), the window of its
 * last `window_rows` rows as (class, s, y) and its long memory; it never keeps an embedding. A
 * batch appends rows and returns, per observation, the scores of the slot's window and memory right
 * after the observation's last row. Formulas: Mei et al., AAAI 2025 (arXiv 2503.12497), in the form
 *
 *     d2_c  = tr S_c + mean(s) - (2 / sqrt(n_c)) * nuclear(Y_c),      score = sum_c (n_c / n) d2_c
 *     s = |x - m_c|^2,   y = F_c^T (x - m_c),   S_c = F_c F_c^T,   Y_c = rows y less their mean
 *
 * and, beside the score, what tells of how it came about, with g the plain mean of the m_c and
 * b_c(n), v_c(n) the mean and the standard deviation of d2_c over n honest rows of class c:
 *
 *     alignment     = cos(x - g, m_c - g), of each row
 *     concentration = sum_c n_c (n_c - 1) / (n (n - 1))
 *     excess        = sum_c sqrt(n_c / n) (d2_c - b_c(n_c)) / v_c(n_c)
 *
 * Precision: relative error of a window's score at most 1e-5 against float64, of a memory's 1e-4
 * for as long as it weighs at most 100,000 rows (memory.h). A score is a difference: where it is
 * below 4 % of the smallest tr S_c, the error is at most 4e-7 (a memory's 4e-6) of that. Features
 * smaller than 1e-19 underflow when squared. An excess is as good as its d2_c are. An alignment is
 * off by at most 1e-5 where x is further from g than 1 % of its distance from m_c: nearer by, the
 * rounding of x - m_c to float32 is what it measures. Batching never changes a score by more than
 * float32 rounding of the projection (below 1e-6).
 *
 * Threads: one engine belongs to one thread at a time; it may use threads of its own inside a call.
 * Errors: functions that can fail return an engine_status; engine_open also writes one line of
 * text.
 */
#ifndef ADDER_ENGINE_H
#define ADDER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENGINE_DIM_MAX = 65536,
    ENGINE_CLASSES_MAX = 1 << 20,
    ENGINE_WINDOW_MAX = 1 << 16,
    ENGINE_MEMORY_RANK_MAX = 512,
    ENGINE_BATCH_ROWS_MAX = 1 << 20,
    ENGINE_SLOTS_MAX = 1 << 26,
    ENGINE_THREADS_MAX = 256,
    ENGINE_RUNGS_MAX = 32,
};

typedef enum {
    ENGINE_OK,
    ENGINE_BAD_ARGUMENT, /* refused before anything changed */
    ENGINE_NO_MEMORY,
    ENGINE_BUSY,     /* submit: all places in flight are taken; collect first */
    ENGINE_EMPTY,    /* collect: nothing in flight */
    ENGINE_INTERNAL, /* an eigensolver did not converge: the batch's rows may be in, its scores are
                      * not to be used; or a device was lost, and nothing could take over */
} engine_status;

typedef enum { ENGINE_F32, ENGINE_F16, ENGINE_BF16 } engine_dtype;

/* What honest rows score, class by class: d2_c over `rung` rows of it, on a ladder of such numbers.
 * Between two rungs mean and deviation are interpolated linearly in 1/n; below the first and above
 * the last the nearest rung's hold. */
typedef struct {
    size_t rungs;            /* 1..ENGINE_RUNGS_MAX */
    const double *rung;      /* [rungs] rows of a class, rising, above 0 */
    const double *mean;      /* [classes, rungs] of d2_c */
    const double *deviation; /* [classes, rungs] its standard deviation, above 0 */
} engine_benign;

/* The model's reference. Borrowed until engine_close: an engine that loses its device needs it
 * again.
 * F_c's columns are ordered by falling eigenvalue; a class of smaller rank has zero columns at the
 * end. Entries must be finite. */
typedef struct {
    size_t dim;
    size_t classes;
    size_t rank;                        /* columns of a factor, 1..dim */
    const float *mean;                  /* [classes, dim] */
    const float *factor;                /* [classes, dim, rank] */
    const double *trace;                /* [classes], tr S_c */
    const engine_benign *benign;        /* of windows; NULL: none, and every excess is 0 */
    const engine_benign *memory_benign; /* of memories, whose n_c are weights; NULL: none */
} engine_reference;

typedef struct {
    const char *name;      /* "auto", "cpu" or "cuda" */
    size_t window_rows;    /* W, 1..ENGINE_WINDOW_MAX */
    size_t memory_rank;    /* q; 0 is no memory; more than the rank is the rank */
    double half_life_rows; /* of the memory, in rows of the account; 0 never forgets */
    size_t
        memory_blocks; /* accumulators in the pool, one a (slot, class); at least batch_rows_max */
    size_t slots_max;  /* slots are 0..slots_max-1 */
    size_t batch_rows_max; /* rows a batch may have */
    size_t threads;        /* 0: as many as the machine has cores */
    bool populate;         /* cpu: touch the memory of all slots now, not as they are used */
    bool tf32; /* cuda: project batches of more than a few rows in TF32, at the error that facts
                * say; the precision above is gone */
} engine_options;

/* One observation: rows row_first .. row_first + row_count - 1 of the batch, in the account's
 * order. */
typedef struct {
    uint32_t slot;
    uint32_t row_first;
    uint32_t row_count; /* 1..window_rows */
    engine_dtype dtype;
} engine_observation;

/* What an observation scored. */
typedef struct {
    double score;
    double memory_score; /* 0 when the memory is off */
    double excess;
    double memory_excess; /* 0 when the memory is off; n is the sum of the weights n_c */
    double concentration; /* the chance that two rows of the window share their class; 1 of one */
    uint32_t fill;        /* rows in the window, 1..W */
} engine_result;

/* Rows of many observations. Observations follow each other without gaps: the first begins at row
 * 0, each next where the one before ended, the last ends at `rows`. A slot may have several; they
 * count in the order they stand. Embeddings: dim little-endian elements a row at any alignment,
 * each finite and at most 1e12 in magnitude (the caller has checked). Everything is borrowed until
 * the batch is collected; `results` and `alignments` are written by then. */
typedef struct {
    size_t rows;
    const unsigned char *const *embeddings; /* [rows] */
    const uint32_t *classes;                /* [rows], each below the reference's */
    size_t observations;
    const engine_observation *observation; /* [observations] */
    engine_result *results;                /* [observations] */
    /* [rows], or NULL: not wanted. 0 where x or m_c is g, -1 where the cosine is no number because
     * x - m_c or m_c - g is beyond float32. */
    float *alignments;
    /* Set where all that is wanted of a window is whether its score is above the threshold, which
     * is finite. The answer is that of the score; but result.score may be a bound on the same side:
     * at least that above the threshold, at most that below. The excess says nothing then. */
    bool sides_only;
    double threshold;
} engine_batch;

typedef struct {
    const char *name;       /* "cpu", "cuda" */
    bool degraded;          /* an accelerator was lost and another engine took over */
    size_t bytes_per_slot;  /* window and table of one account */
    size_t bytes_per_block; /* one class of one account's memory */
    size_t bytes_fixed;     /* here, however many slots: statistics, buffers of a batch */
    size_t blocks_held;     /* of all slots, now */
    size_t memory_rank;     /* q in force */
    size_t threads;
    size_t in_flight_max; /* batches that engine_submit takes before an engine_collect */
    double tf32_error; /* of the projection of random rows, |y - y_f32| / |y_f32| at most; 0: off */
    double copy_s;     /* what the device has spent copying batches in, and ... */
    double compute_s;  /* ... computing, over all batches collected; 0 on the CPU */
    const char *note;  /* why this engine and no other, one line; "" where it was asked for */
} engine_facts;

typedef struct engine engine;

/* Allocates for all slots at once (the pages are touched as slots are used). On failure *out is
 * NULL and error says why in one line. */
engine_status engine_open(engine **out, const engine_reference *reference,
                          const engine_options *options, char *error, size_t error_bytes);
void engine_close(engine *engine); /* NULL is allowed */

/* Takes a batch in; on the CPU it is done on return. A refused batch changes nothing. Where the
 * device fails, here or in engine_collect, the CPU engine takes over and works off what was in
 * flight: no batch is lost, and facts say `degraded`. Windows and memories begin anew, those of
 * each batch in flight apart, since between two of them a slot may have been given to another
 * account. */
engine_status engine_submit(engine *engine, const engine_batch *batch);
/* Waits for the oldest batch in flight; its results are then complete. */
engine_status engine_collect(engine *engine);

/* Empties a slot for a new account. */
engine_status engine_forget(engine *engine, uint32_t slot);

/* A slot's window and memory as portable bytes. With capacity 0 only *used is set, to what is
 * needed. */
engine_status engine_export(engine *engine, uint32_t slot, void *bytes, size_t capacity,
                            size_t *used);
/* Adds exported bytes to a slot: the memories merge as if their rows had been gathered in one (no
 * forgetting between them), the exported window's rows follow the slot's own. Into an empty slot
 * this restores exactly; of a class that got none of the last 2^31 rows, what it weighs now. Bytes
 * of another shape (dim, rank, W, q, classes) or torn ones are refused with ENGINE_BAD_ARGUMENT; so
 * is a merge with no free block. */
engine_status engine_import(engine *engine, uint32_t slot, const void *bytes, size_t used);

/* What one class has to do with a window's score. */
typedef struct {
    uint32_t class_index;
    size_t n;  /* rows of it */
    double d2; /* = mean_part + covariance_part */
    double
        mean_part; /* |mean - m_c|^2 along F_c's columns: of what these leave out nothing is kept */
    double covariance_part;
    double benign_mean; /* of d2 over n honest rows, and ... */
    double benign_deviation;
    double excess; /* ... (d2 - benign_mean) / benign_deviation; all three NaN without tables */
} engine_class;
/* Reads the window in exported bytes class by class, largest n d2 first: those that fit capacity,
 * and into *count how many; of the total only what is about the window. Changes no slot.
 * ENGINE_BAD_ARGUMENT: not bytes of this reference's shape. */
engine_status engine_read_window(const engine_reference *reference, const void *bytes, size_t used,
                                 engine_class *classes, size_t capacity, size_t *count,
                                 engine_result *total);

/* From now on excesses are by these tables of windows, which are borrowed in place of the
 * reference's; NULL: there are none, and every excess is 0. With nothing at work. An engine on a
 * device takes tables of as many rungs as those it was opened with; others are BAD_ARGUMENT, as are
 * bad ones, and the old ones stay. */
engine_status engine_calibrate(engine *engine, const engine_benign *benign);

engine_facts engine_describe(const engine *engine);
const char *engine_status_text(engine_status status);

#endif

/*
 * reference.h - a reference directory: what a model's benign data looks like.
 *
 *     reference.json   {"format": 1, "model", "dim", "classes", "rank", "counts": [..],
 *                       "window", "memory_rank", "half_life", "thresholds": [{"window", "fpr",
 *                       "threshold", "windows", "rows"}], "made": "...", "benign": {..}};
 *                       counts, window, memory_rank, half_life, thresholds, made and benign may be
 *                       absent
 *     mean.npy         [classes, dim] f32
 *     factor.npy       [classes, dim, rank] f32, S_c = F_c F_c^T, or its leading columns
 *     trace.npy        [classes] f64, of the whole S_c even where the rank was cut
 *
 * and, where reference.json has "benign", what `adder calibrate` measured on honest queries:
 *
 *     "benign"              {"window", "kinds", "queries", "rows", "false_alarms", "fpr",
 *                            "rows_per_class", "tolerance", "window_limit", "limits": {"rows":
 * [..], "windows": [..]}, "rungs": [..], "alignments": [..], "excesses": [..]}; the last two say
 * how long each list is benign_mean.npy       [classes, rungs] f64, of d2_c over so many rows
 * (engine_benign) benign_var.npy        [classes, rungs] f64 benign_alignment.npy  [values] f32,
 * the lists of evidence_honest one after another benign_excess.npy     [values] f32, likewise
 *
 * Loading validates everything before anything is handed out: shapes against the JSON, finite
 * values, |mean| and |factor| at most REFERENCE_VALUE_MAX, and the trace: |F_c|^2 may not exceed it
 * by more than REFERENCE_TRACE_TOLERANCE, and with rank = dim may not fall short of it either.
 * Owner: the caller of reference_load / reference_make; immutable while an engine is being opened.
 */
#ifndef ADDER_REFERENCE_H
#define ADDER_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine.h"
#include "evidence.h"

enum {
    REFERENCE_MODEL_BYTES_MAX = 128,
    REFERENCE_THRESHOLDS_MAX = 64,
    REFERENCE_WINDOW_DEFAULT = 16,
    REFERENCE_MEMORY_RANK_DEFAULT = 32,
    REFERENCE_HALF_LIFE_DEFAULT = 512,
    REFERENCE_JSON_BYTES_MAX = 64 << 20, /* mostly counts */
    REFERENCE_MADE_BYTES_MAX = 511,
    REFERENCE_ACCOUNT_KINDS = 5, /* of one class, two, three, a Dirichlet mixture, as the data */
};
#define REFERENCE_MODEL_DEFAULT "default"
#define REFERENCE_VALUE_MAX 1e6f
#define REFERENCE_HALF_LIFE_MAX 1e12
/* The factor's float32 costs at most 1e-7 of the trace. */
#define REFERENCE_TRACE_TOLERANCE 1e-4

/* A raw threshold on the window score, made by calibration for one window length. */
typedef struct {
    size_t window_rows;
    double fpr;       /* share of honest windows above it that was asked for */
    double threshold; /* a score above this is malicious */
    size_t windows;   /* how many honest windows it was read off */
    size_t rows;      /* from how many honest rows */
} reference_threshold;

/* What honest queries look like, made by calibration for one window length, that of
 * evidence.window_rows. */
typedef struct {
    double false_alarms;       /* share of honest accounts that may be flagged ... */
    size_t queries;            /* ... in so many queries */
    double fpr;                /* share of honest windows above evidence.window_limit, worst kind */
    size_t rows;               /* honest rows it was made from */
    engine_benign window;      /* arrays owned */
    double *variance;          /* [classes, rungs] window.deviation squared */
    evidence_options evidence; /* arrays owned; excess has a list for each kind of data and kind of
                                * account: [kinds * REFERENCE_ACCOUNT_KINDS] */
} reference_benign;

typedef struct {
    char model[REFERENCE_MODEL_BYTES_MAX + 1];
    char made[REFERENCE_MADE_BYTES_MAX + 1]; /* how it was made, for people */
    size_t window_rows;                      /* what the daemon takes unless told otherwise */
    size_t memory_rank;                      /* likewise */
    double half_life_rows;                   /* likewise */
    size_t *counts;                          /* [classes] training rows, or NULL */
    size_t thresholds;
    reference_threshold threshold[REFERENCE_THRESHOLDS_MAX];
    reference_benign *benign;    /* owned; NULL: no honest data has been shown to it */
    engine_reference statistics; /* arrays owned by the reference; its benign is benign's window */
} reference;

/* Each returns false with one line in error and leaves *out NULL / the directory as it was; only a
 * failure between two renames leaves one that cannot be loaded, and can be saved to again. */
bool reference_load(reference **out, const char *directory, char *error, size_t error_bytes);
/* The directory is made, or is empty, or holds a reference.json and is replaced file by file; other
 * directories are refused. All files are on the disk before the first is renamed, and the old
 * reference.json is gone until the last is: who reads meanwhile gets an error, never a mixture. */
bool reference_save(const reference *reference, const char *directory, char *error,
                    size_t error_bytes);
/* Likewise, but mean, factor and trace stay: for what calibration has changed. The directory holds
 * the reference already. */
bool reference_save_calibration(const reference *reference, const char *directory, char *error,
                                size_t error_bytes);
/* What honest queries look like, for calibration to fill in: rungs, and where lists begin; then
 * _allocate for their values. reference_set_benign takes it over, checked, with its deviations
 * filled in, in place of an older one; false with one line in error, and the caller keeps it. */
reference_benign *reference_benign_new(size_t classes, size_t kinds, size_t rungs);
bool reference_benign_allocate(reference_benign *benign);
void reference_benign_close(reference_benign *benign); /* NULL is allowed */
bool reference_set_benign(reference *reference, reference_benign *benign, char *error,
                          size_t error_bytes);
/* Puts a threshold in, in place of one for the same window. False when the table is full. */
bool reference_set_threshold(reference *reference, reference_threshold threshold);
/* The threshold for a window length, or NULL. */
const reference_threshold *reference_find_threshold(const reference *reference, size_t window_rows);
void reference_close(reference *reference); /* NULL is allowed */

/* A file of embeddings, in any type npy.h reads: from training data with true labels 0..classes-1.
 * Every class needs at least 2 rows. rank_max 0 keeps all columns. The rank is that of the class
 * with the highest, at least 1. */
typedef struct {
    const char *model; /* 1..REFERENCE_MODEL_BYTES_MAX bytes of UTF-8, no control characters; NULL
                        * is REFERENCE_MODEL_DEFAULT */
    const char *made;  /* likewise, cut to REFERENCE_MADE_BYTES_MAX; NULL is nothing */
    size_t rank_max;
    void (*progress)(void *context, size_t done, size_t all); /* classes done; may be NULL */
    void *progress_context;
} reference_recipe;
bool reference_make_from_rows(reference **out, const char *embeddings_path, const char *labels_path,
                              const reference_recipe *recipe, char *error, size_t error_bytes);
/* ... from mean.npy [classes, dim] and cov.npy [classes, dim, dim] (population). */
bool reference_make_from_statistics(reference **out, const char *mean_path,
                                    const char *covariance_path, const reference_recipe *recipe,
                                    char *error, size_t error_bytes);

#endif

/*
 * evaluation.h - what `adder evaluate` measures, apart from how it is told.
 */
#ifndef ADDER_EVALUATION_H
#define ADDER_EVALUATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "corpus.h"
#include "panel.h"
#include "simulate.h"

enum { EVALUATION_IN_ORDER_MAX = 16, EVALUATION_MIXES = 4 };
extern const double evaluation_mix[EVALUATION_MIXES]; /* shares of hostile rows */

typedef struct {
    const char *benign;
    const char *attack;
    const char *shifted; /* NULL: none */
    dataset_range benign_rows;
    dataset_range shifted_rows;
    dataset_range calibration_rows; /* of the honest files */
    bool has_calibration;
    size_t in_order_count;
    const char *in_order[EVALUATION_IN_ORDER_MAX]; /* sources whose files are in query order */
    size_t window_rows;
    size_t windows;  /* to draw from each source */
    size_t accounts; /* to simulate of each kind */
    size_t queries;  /* of honest accounts */
    uint64_t seed;
} evaluation_plan;

typedef enum {
    EVALUATION_HONEST, /* mixture kinds of an honest source */
    EVALUATION_SHIFTED,
    EVALUATION_UNMIXED,
    EVALUATION_ONE_CLASS,   /* a window */
    EVALUATION_TWO_CLASSES, /* a window */
    EVALUATION_MIXED,
    EVALUATION_IN_ORDER
} evaluation_role;

typedef struct {
    evaluation_role role;
    const corpus_source *source;
    simulate_cell cell;
} evaluation_accounts;

/* Of one source, for each detector sorted; NAN in all where it does not apply. */
typedef struct {
    const corpus_source *source;
    double *values[PANEL_DETECTORS]; /* [windows] */
} evaluation_windows;

typedef struct {
    const evaluation_plan *plan;
    const reference *reference; /* borrowed */
    double fpr;                 /* at which thresholds are read off */
    corpus corpus;
    scorer *scorer;
    panel panel;
    size_t sources; /* honest, shifted and attacks, in this order */
    evaluation_windows *windows;
    double *honest[PANEL_DETECTORS]; /* [honest_count] all honest sources' together, sorted */
    size_t honest_count;
    size_t groups;
    evaluation_accounts *accounts; /* none where the reference has no honest lists */
} evaluation;

/* False with one line in error. Close it all the same. */
bool evaluation_run(evaluation *e, const evaluation_plan *plan, const reference *reference,
                    char *error, size_t error_bytes);
void evaluation_close(evaluation *e); /* zeroed is allowed */

/* "honest, one class", "50 % hostile", ... */
void evaluation_describe(const evaluation_accounts *accounts, char *text, size_t text_bytes);

#endif

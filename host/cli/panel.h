/*
 * panel.h - the detectors that an evaluation holds side by side, on the same windows.
 *
 * RAW is the paper's score. EVIDENCE is this detector over an account's rows and windows
 * (evidence_level, flagged above 1), WINDOW the same on a window alone (evidence_window), EXCESS
 * the engine's. MAHALANOBIS and ENERGY are averages over the window's rows. Higher is more hostile;
 * NAN: the detector does not apply. An account is flagged by RAW, WINDOW, EXCESS and the averages
 * when any of its windows is above the threshold.
 */
#ifndef ADDER_PANEL_H
#define ADDER_PANEL_H

#include <stdbool.h>
#include <stddef.h>

#include "corpus.h"
#include "evidence.h"

typedef enum {
    PANEL_RAW,
    PANEL_EVIDENCE,
    PANEL_WINDOW,
    PANEL_EXCESS,
    PANEL_MAHALANOBIS,
    PANEL_ENERGY,
    PANEL_DETECTORS
} panel_detector;
extern const char *const panel_name[PANEL_DETECTORS];

typedef struct {
    const corpus *corpus;
    scorer *scorer;
    evidence_rules *rules; /* owned; NULL: the reference has no honest lists for the window */
    size_t window_rows;
    uint32_t *classes;                 /* [window_rows] scratch of one observation, as are ... */
    float *alignments;                 /* ... these; both owned */
    double threshold[PANEL_DETECTORS]; /* NAN: none */
} panel;

/* Rules are opened where the reference has them. False: no memory. */
bool panel_open(panel *j, const reference *reference);
void panel_close(panel *j); /* zeroed is allowed */

/* values[detector][k] of every window but for EVIDENCE, which is NAN. */
bool panel_windows(const panel *j, const scorer_windows *windows,
                   double *const values[PANEL_DETECTORS], double *concentration);
/* Adds a window's rows to an account's evidence; returns the level after them. */
double panel_account(const panel *j, evidence *e, const uint32_t *row, size_t rows, double excess,
                     double concentration);

#endif

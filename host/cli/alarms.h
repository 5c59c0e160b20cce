/*
 * alarms.h - limits of the evidence for a stated share of honest accounts that are flagged.
 *
 * Honest accounts are simulated: their p-values are uniform but for what the honest sample cannot
 * know. Each account lives in a world of its own, drawn as the Bayesian bootstrap (Rubin, Annals of
 * Statistics 1981) draws what the sample may have come from: the n + 1 gaps between the honest
 * values get weights that are Dirichlet(1, ..., 1). So the rate that is asked for holds over honest
 * accounts that were not calibrated on, not over the sample again. Accounts of one class, two,
 * three, of all classes and of Dirichlet(0.3) mixtures are simulated apart, and the worst kind
 * counts.
 *
 * Far tails of the highest sums are exponential (excursions of a random walk that drifts down), so
 * a rate that the simulated accounts are too few for is read off the exponential through their
 * highest TAIL_SHARE.
 */
#ifndef ADDER_ALARMS_H
#define ADDER_ALARMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "evidence.h"
#include "reference.h"

enum { ALARMS_KINDS = REFERENCE_ACCOUNT_KINDS, ALARMS_ACCOUNTS_MIN = 400 };

typedef struct {
    double share;    /* of honest accounts that may be flagged ... */
    size_t queries;  /* ... in so many queries */
    double fpr;      /* share of honest windows above the window's limit */
    size_t accounts; /* to simulate of each kind, ALARMS_ACCOUNTS_MIN at least */
    uint64_t seed;
    const char *label; /* of the progress bar */
} alarms_plan;

/* Fills options->limit and window_limit; the rest is read. False: no memory. */
bool alarms_limits(evidence_options *options, const alarms_plan *plan);

#endif

/*
 * benign.h - what honest queries look like, measured: the ladder of d2_c (engine.h), honest lists
 * and limits (evidence.h).
 *
 * Over n of a class's N rows, draws without replacement spread by (1 - n / N) less than new rows
 * would, and the mean they are held against is itself uncertain by n / N of that: the variance that
 * is kept is the drawn one times (1 + n / N) / (1 - n / N). Beyond N / 2 nothing is drawn: the
 * class goes on as the others do, and where no class has rows enough, the mean on a straight line
 * in 1/n and the variance as 1/n.
 */
#ifndef ADDER_BENIGN_H
#define ADDER_BENIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataset.h"
#include "reference.h"

typedef struct {
    const dataset *data; /* [kinds]: the usual first, then other honest ones, shifted say */
    size_t kinds;        /* 1..EVIDENCE_KINDS_MAX */
    size_t window_rows;
    double fpr;
    double false_alarms; /* share of accounts ... */
    size_t queries;      /* ... in so many queries */
    double tolerance;    /* standard deviations that the honest sample may be off */
    size_t accounts;     /* to simulate for the limits */
    uint64_t seed;
} benign_plan;

/* Puts it into the reference. False with one line in error; the reference is not to be saved. */
bool benign_measure(const benign_plan *plan, reference *reference, char *error, size_t error_bytes);

#endif

/*
 * simulate.h - accounts made of rows that were kept back, through every detector.
 *
 * An account sends windows of W rows. Rows come with replacement from one window to the next, and
 * without inside a window.
 */
#ifndef ADDER_SIMULATE_H
#define ADDER_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mixture.h"
#include "panel.h"

/* Accounts are looked at after so many queries; the first is a window, the last all of them. */
enum { SIMULATE_HORIZONS = 8 };
extern const size_t simulate_horizon[SIMULATE_HORIZONS];

typedef struct {
    const corpus_source *hostile; /* NULL: an honest account */
    const corpus_source *honest;  /* NULL: nothing is mixed in */
    double hostile_share;         /* of its rows */
    mixture_kind kind;            /* the classes that the account asks about ... */
    bool kind_by_window;          /* ... or each of its windows: queries sorted by class */
    bool in_order;                /* rows as the file has them, from the first on, and for other
                                   * accounts from a row drawn; past the end from the first again */
    size_t queries;
    size_t accounts;
    uint64_t seed;
    const char *label; /* of the progress bar */
} simulate_recipe;

typedef struct {
    simulate_recipe recipe;
    size_t windows;                /* of all accounts, full ones */
    size_t above[PANEL_DETECTORS]; /* of them above the detector's threshold */
    double *best[PANEL_DETECTORS]; /* [SIMULATE_HORIZONS, accounts] highest so far; NAN where the
                                    * account is not so long */
    double *flagged_at[PANEL_DETECTORS]; /* [accounts] queries sent; INFINITY: never */
} simulate_cell;

/* False: the engine failed, or no memory. Close it all the same. */
bool simulate_run(simulate_cell *cell, const panel *panel, const simulate_recipe *recipe,
                  size_t classes);
void simulate_close(simulate_cell *cell); /* zeroed is allowed */

/* How many accounts a detector has flagged after so many queries. */
size_t simulate_flagged(const simulate_cell *cell, panel_detector detector, size_t queries);

#endif

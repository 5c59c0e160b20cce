/*
 * evidence.h - what an account's queries, one after another, say against it.
 *
 * Two channels. Rows: the alignment of every row (engine.h). Windows: the excess of every window
 * that shares no row with the one before. Each value becomes a p-value among honest values of the
 * same kind, whose ranks are known exactly and need no model:
 *
 *     p = (1/2 + #{honest values at least as extreme}) / (1 + #{honest values})
 *
 * and the p-value a bet that it comes from a thief: how much likelier its normal score z is where
 * the mean is higher by one standard deviation,
 *
 *     L(p) = exp(z - 1/2),     z = -Phi^-1(p)          (Neyman, Pearson 1933)
 *
 * scaled so that its mean over the p-values that can occur is 1. Unity was not fitted to an attack;
 * calibrators that bet more on the smallest p-values (Vovk, Wang: E-values, Annals of Statistics
 * 2021) are slower, since a thief's queries are a little unlike honest ones, most of them, and not
 * extremely, a few. A thief who mixes honest queries in shows in a share of the rows only, so there
 * is one sum for each of a few shares pi (Page's CUSUM, Biometrika 1954):
 *
 *     S_pi <- max(0, S_pi + ln(1 - pi + pi L(p)) - tolerance),     flagged where S_pi > limit_pi
 *
 * Without the tolerance a sum drifts up for ever on an account whose class the honest sample
 * happens to show as better aligned than it is. Of n honest rows of a class, the mean of the bets
 * is uncertain by sd / sqrt(n); over classes with shares w_c of the account's rows the variances
 * add as w_c^2, and sum w_c^2 is the chance that two of its rows share a class, the concentration:
 *
 *     tolerance = z sd_pi sqrt(concentration / n)        (a window's mean: W concentration / n)
 *
 * so that an account of one class is believed sqrt(classes) times less quickly than one of all, and
 * more honest rows make every account clearer.
 *
 * Threads: rules are never written after evidence_open; an evidence belongs to one thread.
 */
#ifndef ADDER_EVIDENCE_H
#define ADDER_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { EVIDENCE_ROWS, EVIDENCE_WINDOWS, EVIDENCE_CHANNELS } evidence_channel;
enum { EVIDENCE_SHARES = 6, EVIDENCE_KINDS_MAX = 8 };
extern const double evidence_share[EVIDENCE_SHARES];

/* Lists of honest values, one after another: list i is value[first[i]] .. value[first[i + 1] - 1],
 * rising. */
typedef struct {
    size_t lists;
    const size_t *first; /* [lists + 1] */
    const float *value;
} evidence_honest;

/* Everything is copied. */
typedef struct {
    size_t classes;
    size_t kinds; /* of honest data: usual, shifted ...; a value counts by the kindest of them */
    evidence_honest alignment;   /* [kinds * classes] lists, those of a kind together */
    evidence_honest excess;      /* a list for each kind of account; none: no such channel */
    size_t window_rows;          /* W */
    double rows_per_class;       /* honest rows behind the windows, of a class on average */
    double tolerance_deviations; /* z */
    double limit[EVIDENCE_CHANNELS][EVIDENCE_SHARES]; /* > 0 */
    double window_limit; /* of a window alone, on what evidence_window says of its rows; > 0 */
} evidence_options;

typedef struct evidence_rules evidence_rules;
evidence_rules *evidence_open(const evidence_options *options); /* NULL: no memory */
void evidence_close(evidence_rules *rules);                     /* NULL is allowed */

/* Of one account; zeroed: none yet. */
typedef struct {
    float sum[EVIDENCE_CHANNELS][EVIDENCE_SHARES];
    float pairs;      /* of rows of a window, of late; and ... */
    float same_pairs; /* ... those among them of the same class */
    uint32_t rows_since_window;
} evidence;

/* What the engine says of one observation. */
typedef struct {
    size_t rows;
    const uint32_t *classes; /* [rows], each below the rules' */
    const float *alignments; /* [rows] */
    double excess;           /* of the window, as are the next two */
    size_t fill;
    double concentration;
} evidence_observation;

void evidence_observe(const evidence_rules *rules, evidence *evidence,
                      const evidence_observation *observation);

/* The channel's highest S_pi / limit_pi: above 1 the account is flagged. */
double evidence_level(const evidence_rules *rules, const evidence *evidence,
                      evidence_channel channel);
/* Of rows alone, without what came before: the sum of ln L(p), all of them taken for hostile. */
double evidence_window(const evidence_rules *rules, const evidence_observation *observation);
/* The fewest rows that can flag an account, were all of them as hostile as can be. */
size_t evidence_rows_min(const evidence_rules *rules);

/* L(p), not scaled. 0 < p < 1. */
double evidence_bet(double p);

#endif

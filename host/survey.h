/*
 * survey.h - a look at all accounts and groups of a service: how many there are of each verdict,
 * how what decides is distributed over them, and who is the riskiest.
 *
 * It reads slots SURVEY_SLOTS_EACH at a time, each time between two batches, and requests go on
 * after each: how long one of them can be held up does not depend on the number of accounts. So a
 * survey is not of one moment: who moves to another slot meanwhile may be seen twice, or not.
 * Windows are not read, only what is kept of their scores.
 *
 * Threads: one at a time.
 */
#ifndef ADDER_SURVEY_H
#define ADDER_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounts.h"
#include "judge.h"
#include "metrics.h"
#include "snapshot.h"

enum { SURVEY_SLOTS_EACH = 4096, SURVEY_TOP_MAX = 100 };

typedef struct {
    char name[ACCOUNTS_NAME_BYTES_MAX];
    size_t name_bytes;
    bool is_group;
    judge_standing standing;
    double risk; /* what they are ordered by: the level, or the score where there is none */
} survey_account;

typedef struct {
    double limit;      /* judge_limit */
    bool has_evidence; /* levels are evidence */
    size_t accounts, groups, flagged, undecided;
    size_t levels;                          /* accounts and groups whose level is known */
    uint64_t level_in[METRICS_BUCKETS_MAX]; /* by metrics_level_bucket */
    size_t visits;
    double held_ms_max, took_ms; /* that a visit held requests up at most; all of it */
    size_t top;
    survey_account account[SURVEY_TOP_MAX];
    uint8_t order[SURVEY_TOP_MAX]; /* [top] of account, the riskiest first */
} survey;

/* Lets a visitor see a service's state as service_visit does. False: there is no such service now.
 */
typedef bool (*survey_visit)(void *host, void (*visitor)(void *, const snapshot_state *),
                             void *context);
/* False: a visit could not be made. */
bool survey_take(survey *survey, survey_visit visit, void *host);

#endif

/*
 * planner.h - what becomes of a request whose turn has come: it gets the answer that it had before,
 * its rows go into a batch, or it is about one account.
 *
 * Threads: one at a time, the owner of the queue.
 */
#ifndef ADDER_PLANNER_H
#define ADDER_PLANNER_H

#include <stdbool.h>
#include <stddef.h>

#include "accounts.h"
#include "answers.h"
#include "batch.h"
#include "engine.h"
#include "explain.h"
#include "judge.h"
#include "policy.h"
#include "request.h"
#include "slots.h"

/* What is pointed to is borrowed until planner_fini. */
typedef struct {
    accounts *accounts;
    engine *engine;
    judge *judge;
    answers *answers;
    const engine_reference *statistics;
    const judge_terms *terms;
    size_t rows_max; /* of a request */
    size_t batch_rows_max;
    size_t window_rows;
} planner_options;

typedef struct {
    planner_options options;
    slots slots; /* of the request that is being planned */
} planner;

bool planner_init(planner *planner, const planner_options *options); /* false: no memory */
void planner_fini(planner *planner);                                 /* zeroed is allowed */

typedef enum {
    PLANNED_DONE,   /* it has its answer */
    PLANNED_ROWS,   /* they are in the batch */
    PLANNED_LOOKUP, /* it is for planner_look_up */
    PLANNED_LATER,  /* a batch must be carried out first, this one or an earlier one */
} planned;
/* Whether it repeats a request that has been counted, or is at work: it costs nothing. */
bool planner_repeats(const planner *planner, const request *request);
planned planner_plan(planner *planner, batch *batch, request *request);
/* Answers a request about one account, with nothing at work in the engine. */
void planner_look_up(planner *planner, request *request);
explain_source planner_explains(const planner *planner);

#endif

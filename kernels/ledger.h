/*
 * ledger.h - who holds which memory block on the device, how old each is, and what a batch does to
 * them. The numbers in the blocks (memory.h: factor, s, and the d2 they amount to) are the
 * device's; the weight n needs no embedding and stays here.
 *
 * A batch is written down as tasks, one a block that it touches, each a list of steps in the
 * account's order: decay, add a row, and, behind the last row of each observation, work out d2 of
 * what is there now (a "problem"). Blocks do not depend on each other, so that all of a batch's
 * tasks run at once, and all its problems are decomposed at once; an observation's score is then a
 * weighted sum over what its account's blocks amounted to at that moment. A batch that does not
 * fit the room for it is written down in several parts, carried out one after the other.
 *
 * Nothing is allocated after ledger_open. One thread at a time.
 */
#ifndef ADDER_LEDGER_H
#define ADDER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blocks.h"
#include "engine.h"

#define LEDGER_NONE UINT32_MAX

typedef struct {
    uint32_t place;       /* the row's, or LEDGER_NONE: only the problem */
    uint32_t problem;     /* to work out after this row, or LEDGER_NONE */
    uint32_t class_index; /* of the block */
    uint32_t next;        /* of the same task, or LEDGER_NONE */
    double keep;          /* of the block's weight, before the row is added; < 0: it is empty */
    double n;             /* the block's weight after the row */
} ledger_step;

typedef struct {
    uint32_t block;
    uint32_t first;   /* step */
    uint32_t problem; /* its last */
} ledger_task;

typedef struct {
    double weight;
    uint32_t from;        /* a problem, or a block that this part does not touch */
    uint32_t class_index; /* of the block, and LEDGER_PROBLEM where `from` is one: a score has a
                           * share of every block, so that their bytes count */
} ledger_share;
#define LEDGER_PROBLEM (1u << 31)

typedef struct {
    uint32_t observation;
    uint32_t first, end; /* its shares */
} ledger_score;

typedef struct {
    uint32_t tasks, steps, problems, shares, scores;
} ledger_used;

/* The room for a part, and how much of it is in use. */
typedef struct {
    size_t steps_max, problems_max, shares_max, scores_max;
    ledger_step *step;   /* [steps_max] */
    ledger_task *task;   /* [steps_max] */
    ledger_share *share; /* [shares_max] */
    ledger_score *score; /* [scores_max] */
    ledger_used used;
} ledger_part;

/* Where in the batch the next part goes on. */
typedef struct {
    size_t observation;
    bool rows_done; /* its rows are in an earlier part, its score is not */
} ledger_cursor;

typedef struct ledger ledger;
typedef struct {
    size_t blocks, slots;
    double half_life_rows;
} ledger_options;
ledger *ledger_open(const ledger_options *options); /* NULL: no memory */
void ledger_close(ledger *ledger);                  /* NULL is allowed */

/* Writes down as much of the batch from the cursor on as the part has room for. place [rows] is
 * grouping_sort's. Room for W steps and problems, for a share of every block that an account can
 * have, and for one score is always enough to go on with. */
void ledger_write(ledger *ledger, const engine_batch *batch, const uint32_t *place,
                  ledger_cursor *cursor, ledger_part *part);

void ledger_forget(ledger *ledger, uint32_t slot);

/* For moving a slot's blocks: see memory.h, whose functions these are like. */
const blocks *ledger_blocks(const ledger *ledger);
uint64_t ledger_age(const ledger *ledger, uint32_t slot, uint32_t block);
double ledger_weight(const ledger *ledger, uint32_t block);
uint64_t ledger_tick(const ledger *ledger, uint32_t slot);
void ledger_set_tick(ledger *ledger, uint32_t slot, uint64_t tick); /* of a slot without blocks */
/* A block for what came from elsewhere; its d2 is worked out when the slot is next scored. */
uint32_t ledger_put(ledger *ledger, uint32_t slot, uint32_t class_index, uint64_t age, double n);

#endif

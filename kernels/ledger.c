/*
 * ledger.c - blocks and their ages, and the steps of a batch.
 */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "score.h"

typedef struct {
    uint64_t tick; /* the account's row count when last added to */
    double n;      /* weight of the rows, at `tick` */
    bool d2_stale; /* nothing has worked out its d2 yet */
    bool empty;    /* the device's numbers are those of an earlier holder */
    /* In the part that `part` counts: */
    uint64_t part;
    uint32_t task, last_step;
} entry;

struct ledger {
    ledger_options options;
    blocks *blocks;
    entry *entry;        /* [blocks] */
    uint64_t *slot_tick; /* [slots] rows of the account so far */
    uint64_t parts;      /* so far */
};

ledger *ledger_open(const ledger_options *options) {
    ledger *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return NULL;
    }
    l->options = *options;
    l->blocks = blocks_open(options->blocks, options->slots);
    l->entry = calloc(options->blocks, sizeof *l->entry);
    l->slot_tick = calloc(options->slots, sizeof *l->slot_tick);
    if (!l->blocks || !l->entry || !l->slot_tick) {
        ledger_close(l);
        return NULL;
    }
    return l;
}

void ledger_close(ledger *l) {
    if (l == NULL) {
        return;
    }
    free(l->slot_tick);
    free(l->entry);
    blocks_close(l->blocks);
    free(l);
}

static double decay(const ledger *l, uint64_t rows) {
    return score_decay(l->options.half_life_rows, rows);
}

static uint32_t reserve(ledger *l, uint32_t slot, uint32_t class_index) {
    bool fresh;
    uint32_t block = blocks_reserve(l->blocks, slot, class_index, &fresh);
    entry *e = &l->entry[block];
    if (fresh) {
        e->tick = l->slot_tick[slot];
        e->n = 0.0;
        e->d2_stale = false;
        e->empty = true;
    }
    return block;
}

/* ---- writing a batch down ---- */

/* One more step of the block's task, which begins with it if this part has none yet. */
static ledger_step *add_step(ledger *l, ledger_part *part, uint32_t block) {
    entry *e = &l->entry[block];
    uint32_t at = part->used.steps++;
    if (e->part == l->parts) {
        part->step[e->last_step].next = at;
    } else {
        e->part = l->parts;
        e->task = part->used.tasks++;
        part->task[e->task] = (ledger_task){.block = block, .first = at};
    }
    e->last_step = at;
    part->step[at] = (ledger_step){.place = LEDGER_NONE,
                                   .problem = LEDGER_NONE,
                                   .class_index = blocks_class(l->blocks, block),
                                   .next = LEDGER_NONE,
                                   .keep = 1.0,
                                   .n = e->n};
    return &part->step[at];
}

/* The block's last step is to be followed by its d2. */
static void ask_d2(ledger *l, ledger_part *part, uint32_t block) {
    entry *e = &l->entry[block];
    ledger_step *step = &part->step[e->last_step];
    if (step->problem == LEDGER_NONE) {
        step->problem = part->used.problems++;
    }
    part->task[e->task].problem = step->problem;
    e->d2_stale = false;
}

static void add_row(ledger *l, ledger_part *part, uint32_t slot, uint32_t class_index,
                    uint32_t place) {
    uint32_t block = reserve(l, slot, class_index);
    entry *e = &l->entry[block];
    uint64_t tick = ++l->slot_tick[slot];
    double keep = decay(l, tick - e->tick);
    e->n = e->n * keep + 1.0;
    e->tick = tick;
    ledger_step *step = add_step(l, part, block);
    step->place = place;
    step->keep = e->empty ? -1.0 : keep;
    e->empty = false;
}

static void add_rows(ledger *l, const engine_batch *batch, const engine_observation *observation,
                     const uint32_t *place, ledger_part *part) {
    uint32_t first = part->used.steps;
    for (uint32_t i = 0; i < observation->row_count; i++) {
        uint32_t row = observation->row_first + i;
        add_row(l, part, observation->slot, batch->classes[row], place[row]);
    }
    /* Behind the observation's last row of each block: that block's last step so far. */
    for (uint32_t i = 0; i < observation->row_count; i++) {
        uint32_t row = observation->row_first + i;
        uint32_t block = blocks_find(l->blocks, observation->slot, batch->classes[row]);
        if (l->entry[block].last_step == first + i) {
            ask_d2(l, part, block);
        }
    }
}

/* For so many more steps, each with a problem. */
static bool room_for(const ledger_part *part, size_t steps) {
    return steps <= part->steps_max - part->used.steps &&
           steps <= part->problems_max - part->used.problems;
}

/* The score's shares; false when there is no room for all of them. */
static bool add_shares(ledger *l, uint32_t slot, uint32_t observation, ledger_part *part) {
    ledger_score score = {.observation = observation, .first = part->used.shares};
    uint32_t shares = part->used.shares;
    for (uint32_t b = blocks_first(l->blocks, slot); b != BLOCKS_NONE;
         b = blocks_next(l->blocks, b)) {
        entry *e = &l->entry[b];
        if (e->n == 0.0) {
            continue; /* imported so */
        }
        if (shares == part->shares_max || (e->d2_stale && !room_for(part, 1))) {
            return false;
        }
        if (e->d2_stale) {
            if (e->part != l->parts) {
                add_step(l, part, b);
            }
            ask_d2(l, part, b);
        }
        bool here = e->part == l->parts;
        part->share[shares++] = (ledger_share){
            .weight = e->n * decay(l, l->slot_tick[slot] - e->tick),
            .from = here ? part->task[e->task].problem : b,
            .class_index = blocks_class(l->blocks, b) | (here ? LEDGER_PROBLEM : 0),
        };
    }
    part->used.shares = score.end = shares;
    part->score[part->used.scores++] = score;
    return true;
}

void ledger_write(ledger *l, const engine_batch *batch, const uint32_t *place,
                  ledger_cursor *cursor, ledger_part *part) {
    memset(&part->used, 0, sizeof part->used);
    l->parts++;
    for (; cursor->observation < batch->observations; cursor->observation++) {
        const engine_observation *observation = &batch->observation[cursor->observation];
        if (part->used.scores == part->scores_max) {
            return;
        }
        if (!cursor->rows_done) {
            if (!room_for(part, observation->row_count)) {
                return;
            }
            add_rows(l, batch, observation, place, part);
            cursor->rows_done = true;
        }
        if (!add_shares(l, observation->slot, (uint32_t)cursor->observation, part)) {
            return;
        }
        cursor->rows_done = false;
    }
}

void ledger_forget(ledger *l, uint32_t slot) {
    blocks_forget(l->blocks, slot);
    l->slot_tick[slot] = 0;
}

/* ---- moving ---- */

const blocks *ledger_blocks(const ledger *l) {
    return l->blocks;
}

uint64_t ledger_age(const ledger *l, uint32_t slot, uint32_t block) {
    return l->slot_tick[slot] - l->entry[block].tick;
}

double ledger_weight(const ledger *l, uint32_t block) {
    return l->entry[block].n;
}

uint64_t ledger_tick(const ledger *l, uint32_t slot) {
    return l->slot_tick[slot];
}

void ledger_set_tick(ledger *l, uint32_t slot, uint64_t tick) {
    l->slot_tick[slot] = tick;
}

uint32_t ledger_put(ledger *l, uint32_t slot, uint32_t class_index, uint64_t age, double n) {
    uint32_t block = reserve(l, slot, class_index);
    entry *e = &l->entry[block];
    e->tick = l->slot_tick[slot] - age;
    e->n = n;
    e->d2_stale = true;
    e->empty = false;
    return block;
}

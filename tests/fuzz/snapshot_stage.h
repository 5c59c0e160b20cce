/*
 * snapshot_stage.h - a daemon's state without the daemon, small, for snapshots to be restored into.
 */
#ifndef ADDER_FUZZ_SNAPSHOT_STAGE_H
#define ADDER_FUZZ_SNAPSHOT_STAGE_H

#include "batch.h"
#include "snapshot.h"

enum {
    STAGE_DIM = 3,
    STAGE_CLASSES = 5,
    STAGE_RANK = 2,
    STAGE_WINDOW = 4,
    STAGE_PLACES = 6,
    STAGE_BLOCKS = 12, /* fewer than all places can use, so that a restore runs out of them */
    STAGE_BATCH = 2,
    STAGE_RECORDS = JUDGE_RECORDS_PER_SLOT * STAGE_PLACES,
    STAGE_ANSWER_ROWS = 16,
};

typedef struct {
    const reference *reference;
    snapshot_state state;
    snapshot_identity identity;
    batch *batch;
    evidence_rules *rules;
    unsigned char key[crypto_shorthash_KEYBYTES];
} stage;

/* The one stage there is, opened when first asked for; empty then. */
stage *stage_get(void);
/* Accounts, groups and answers come in: `accounts` of them, with `rows` rows in all. */
void stage_live(stage *stage, size_t accounts, size_t rows);
/* Leaves `count` records of every kind in turn, slight, suspect and flagged, all of them other
 * accounts'. */
void stage_leave_records(stage *stage, size_t count);
/* A row of every account held, and then of others until those have lost their places and come
 * back; whoever goes and comes is believed to be who he was. False: the engine failed. */
bool stage_use(stage *stage);
/* Nothing is held any more, and the secret is zero. */
void stage_clear(stage *stage);
/* The state as a file's bytes, saved at time 0; the caller frees. */
unsigned char *stage_write(stage *stage, size_t *bytes);
/* The checksum in the file's last bytes becomes that of those before. */
void stage_seal(unsigned char *file, size_t bytes);

#endif

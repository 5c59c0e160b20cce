/*
 * snapshot_fixture.h - a service's state without the service, a life for it, and its file.
 *
 * What fails ends the test with a sentence. Threads: one at a time.
 */
#ifndef ADDER_TESTS_SNAPSHOT_FIXTURE_H
#define ADDER_TESTS_SNAPSHOT_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"
#include "snapshot.h"

enum {
    DIM = 3,
    CLASSES = 5,
    RANK = 2,
    WINDOW = 4,
    PLACES = 24,
    BATCH = 8,
    ERROR_BYTES = 1024,
    PATH_BYTES = CHILD_PATH_BYTES + 32
};

typedef struct {
    char folder[CHILD_PATH_BYTES];
    char path[PATH_BYTES]; /* of the file */
    reference reference;
    evidence_rules *rules;
    engine *engine;
    accounts *accounts;
    judge *judge;
    answers *answers;
    unsigned char key[crypto_shorthash_KEYBYTES];
    snapshot_identity identity;
    uint64_t random;
} stage;

void stage_open(stage *stage);
void stage_close(stage *stage);
/* Engine, accounts, judge and answers, which hold nothing; of other places too. */
void stage_open_parts(stage *stage, size_t places);
void stage_close_parts(stage *stage);
snapshot_state stage_state(stage *stage, size_t places);

accounts_name stage_name(size_t account, char text[32]);
/* A row of the account: engine and verdict. */
void stage_row(stage *stage, size_t account);
/* So many rows of so many accounts, and as many answers. */
void stage_live(stage *stage, size_t held, size_t rows);

void stage_save(stage *stage);
bool stage_load(stage *stage, size_t places, size_t *restored, char *error);
bool stage_inherit(stage *stage, size_t places, size_t *believed);
/* It is refused in one line that names the file and has the word, and nothing came in. */
void stage_refuses(stage *stage, const char *word);
/* Writes the file with a checksum made for it. */
void stage_write_sealed(const stage *stage, unsigned char *whole, size_t bytes);

#endif

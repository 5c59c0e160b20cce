/*
 * snapshot_parts.h - what the writer and the readers of a snapshot share; for snapshot*.c only.
 */
#ifndef ADDER_SNAPSHOT_PARTS_H
#define ADDER_SNAPSHOT_PARTS_H

#include "bytes.h"
#include "snapshot.h"
#include "verdict_bytes.h"

#define SNAPSHOT_MAGIC "ADDRSNAP"
enum {
    SNAPSHOT_MAGIC_BYTES = 8,
    SNAPSHOT_VERSION = 2,
    SNAPSHOT_VERSION_OLDEST = 1,
    SNAPSHOT_HEAD_BYTES_MAX = 512,
    /* Of an account but for what the engine exports. */
    SNAPSHOT_ACCOUNT_BYTES_MAX =
        2 + ACCOUNTS_NAME_BYTES_MAX + 1 + VERDICT_BYTES + (int)sizeof(uint64_t),
    SNAPSHOT_ACCOUNT_BYTES_MIN = 2 + 1 + 1 + (int)sizeof(uint64_t),
    SNAPSHOT_RECORD_BYTES = ACCOUNTS_KEY_BYTES + VERDICT_BELIEF_BYTES,
    SNAPSHOT_ANSWER_BYTES = 3 * 8 + 4 + 1,
    SNAPSHOT_SIDE_BYTES = 3 * 4 + 1,
    SNAPSHOT_ROW_BYTES = 2 * SNAPSHOT_SIDE_BYTES + 4 + 4 + 3,
};

/* One account of a file. */
typedef struct {
    accounts_name name;
    bool has_verdict;
    verdict_record verdict;
    const unsigned char *exported;
    size_t exported_bytes;
} snapshot_account;

/* One account that has lost its place. */
typedef struct {
    accounts_key key;
    verdict_belief belief;
} snapshot_record;

/* One answer of a file, whose rows follow. */
typedef struct {
    answer_key key;
    uint64_t digest;
    size_t rows;
    bool degraded;
} snapshot_answer;

struct snapshot {
    char *path;
    void *map;
    size_t map_bytes;
    snapshot_facts facts;
    bytes_reader accounts; /* from the first account on */
    bytes_reader records;
    bytes_reader answers;
};

/* False: it cannot have been written. */
bool snapshot_read_account(bytes_reader *r, snapshot_account *account);
bool snapshot_read_record(bytes_reader *r, snapshot_record *record);
bool snapshot_read_answer(bytes_reader *r, snapshot_answer *answer);
bool snapshot_read_row(bytes_reader *r, answer_row *row);

#endif

/*
 * snapshot.h - all that requests have changed, in one file: windows, memories, verdicts, and what
 * was answered to (client, seq).
 *
 *     head      magic "ADDRSNAP", version, when; of whose reference (model, dim, classes, rank, a
 *               hash of mean, factor and trace), window, memory rank and half-life; the key of the
 *               requests' digests; how many accounts and answers follow; the secret of the records'
 *               keys and how many records
 *     accounts  in the order in which they would go, the first first: account or group, name,
 *               verdict, and the bytes of engine_export
 *     records   of accounts that have lost their place, likewise: key and belief
 *     answers   oldest first: client, seq, digest, rows
 *     tail      BLAKE2b-256 of everything before it
 *
 * Version 1 has no records, nor anything of them in its head; it is read and not written.
 *
 * Numbers are little-endian. The checksum is against accidents: who can write the file can write
 * another checksum, so everything is checked besides before any of it counts, and nothing in it can
 * do more than be refused, or be believed about accounts. It holds what accounts asked about and
 * the digests' key: it is made with mode 0600.
 *
 * Threads: one at a time. Errors: false with one line in error that names the file.
 */
#ifndef ADDER_SNAPSHOT_H
#define ADDER_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#include "accounts.h"
#include "answers.h"
#include "aside.h"
#include "engine.h"
#include "explain.h"
#include "judge.h"
#include "reference.h"

enum { SNAPSHOT_HASH_BYTES = 32 };

/* Whose state it is: only a daemon of the same reads all of it. */
typedef struct {
    char model[REFERENCE_MODEL_BYTES_MAX + 1];
    uint64_t dim, classes, rank, window_rows, memory_rank;
    double half_life_rows; /* 0 without a memory */
    unsigned char reference[SNAPSHOT_HASH_BYTES];
} snapshot_identity;
/* memory_rank is the one in force. Reads all of the reference. */
snapshot_identity snapshot_identity_of(const reference *reference, size_t window_rows,
                                       size_t memory_rank, double half_life_rows);

/* A service's state between two batches: what is saved and restored, and what is looked into; all
 * borrowed. */
typedef struct {
    engine *engine;
    accounts *accounts;
    judge *judge;
    answers *answers;
    unsigned char *digest_key; /* [crypto_shorthash_KEYBYTES] */
    size_t accounts_max;
    explain_source explain; /* not for what is saved and restored */
} snapshot_state;

/* ---- writing ---- */

/* Writes the state, in which nothing is at work, into a file that the caller syncs and commits. It
 * allocates by mmap alone and takes no lock, so that a forked child can write the state of an
 * engine on the CPU while its parent goes on. 0, or an errno. */
int snapshot_write(const snapshot_state *state, const snapshot_identity *identity, aside *file);

/* ---- reading ---- */

/* A file that has been checked as far as it can be without an engine. It is mapped: whoever cuts it
 * short meanwhile raises SIGBUS; a daemon only ever renames another over it. */
typedef struct snapshot snapshot;
bool snapshot_open(snapshot **out, const char *path, char *error, size_t error_bytes);
void snapshot_close(snapshot *snapshot); /* NULL is allowed */

typedef struct {
    snapshot_identity identity;
    unsigned char digest_key[crypto_shorthash_KEYBYTES];
    uint64_t saved_at_s; /* since 1970 */
    uint64_t version;
    unsigned char accounts_secret[ACCOUNTS_SECRET_BYTES]; /* zero in version 1 */
    uint64_t accounts;                                    /* groups among them */
    uint64_t records;
    uint64_t records_flagged;
    uint64_t answers;
    uint64_t bytes; /* of the file */
    uint64_t groups;
    uint64_t flagged;
    uint64_t answered_rows;
} snapshot_facts;
snapshot_facts snapshot_describe(const snapshot *snapshot);

/* Into a state that holds nothing yet, which it leaves so when it fails: the accounts that would go
 * last, as many as there is room for, *restored of them; records of the others. */
bool snapshot_restore(const snapshot *snapshot, const snapshot_identity *identity,
                      const snapshot_state *state, size_t *restored, char *error,
                      size_t error_bytes);
/* After snapshot_restore has refused it, of the same model, for instance with another reference:
 * only what was believed, as inherit.h takes it over from a service; *believed records there are
 * then. False: of another model, and nothing was done. */
bool snapshot_inherit(const snapshot *snapshot, const snapshot_identity *identity,
                      const snapshot_state *state, size_t *believed);

#endif

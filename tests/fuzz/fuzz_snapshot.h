/*
 * fuzz_snapshot.h - how an input of fuzz_snapshot begins; for fuzz_snapshot.c and its mutator.
 */
#ifndef ADDER_FUZZ_SNAPSHOT_H
#define ADDER_FUZZ_SNAPSHOT_H

#include "accounts.h"

/* PARTS: version, counts and secret, and then the accounts, records and answers: the target puts
 * the head of its own state before them. SEALED: a file without its tail. In both the target makes
 * the checksum. WHOLE: a file as it is. */
enum {
    FUZZ_SNAPSHOT_PARTS,
    FUZZ_SNAPSHOT_SEALED,
    FUZZ_SNAPSHOT_WHOLE,
    FUZZ_SNAPSHOT_KINDS,
};
/* Where what comes before the parts lies: a byte each, but for the secret. */
enum {
    FUZZ_SNAPSHOT_KIND,
    FUZZ_SNAPSHOT_VERSION, /* even: 1; odd: 2 */
    FUZZ_SNAPSHOT_ACCOUNTS,
    FUZZ_SNAPSHOT_ANSWERS,
    FUZZ_SNAPSHOT_RECORDS,
    FUZZ_SNAPSHOT_SECRET,
    FUZZ_SNAPSHOT_HEAD_BYTES = FUZZ_SNAPSHOT_SECRET + ACCOUNTS_SECRET_BYTES,
};

#endif

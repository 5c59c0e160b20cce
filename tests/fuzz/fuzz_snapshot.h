/*
 * fuzz_snapshot.h - how an input of fuzz_snapshot begins; for fuzz_snapshot.c and its mutator.
 */
#ifndef ADDER_FUZZ_SNAPSHOT_H
#define ADDER_FUZZ_SNAPSHOT_H

/* RECORDS: how many accounts and answers, one byte each, and their records: the target puts the
 * head of its own state before them. SEALED: a file without its tail. In both the target makes the
 * checksum. WHOLE: a file as it is. */
enum {
    FUZZ_SNAPSHOT_RECORDS,
    FUZZ_SNAPSHOT_SEALED,
    FUZZ_SNAPSHOT_WHOLE,
    FUZZ_SNAPSHOT_KINDS,
};
enum { FUZZ_SNAPSHOT_COUNTS = 4 }; /* bytes of an input before its records */

#endif

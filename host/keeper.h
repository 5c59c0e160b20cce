/*
 * keeper.h - keeps a service's state in a file: restores it at the start, writes it every so many
 * seconds and at the end.
 *
 * PATH is the last snapshot, PATH.1 the one before, PATH.tmp one that is being written; PATH.lock
 * is locked as long as the keeper is open, and a second daemon of the same PATH is refused. What is
 * wrong with a file, or with writing one, is a line in the log, and the daemon goes on.
 *
 * An engine that has lost its device goes on with empty windows and memories; verdicts, evidence
 * and records are whole. So it is saved, but the last snapshot from before the loss stays at
 * PATH.1, however many follow.
 *
 * Requests wait while the state is looked at. Where accounts are on the CPU that is a fork: a child
 * writes what it sees. It is a copy of one thread of many, so it may take no lock; _Fork runs no
 * handlers of libraries, and the child only reads memory that is its own by then, maps some, writes
 * and leaves (snapshot_write.c). It keeps no file open but the one it writes, or the listening
 * socket and connections would outlive the daemon. Its parent syncs and renames, so that nothing is
 * renamed after the parent's death. Where accounts are on a device the owner of the queue writes
 * them itself, as it does where no child can be had.
 *
 * Threads: one of its own.
 */
#ifndef ADDER_KEEPER_H
#define ADDER_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include "reference.h"
#include "service.h"

enum { KEEPER_EVERY_S_DEFAULT = 60, KEEPER_EVERY_S_MAX = 7 * 24 * 3600 };

typedef struct {
    const char *path;           /* copied */
    const reference *reference; /* the service's; read while opening */
    service *service;           /* borrowed; no request has come to it yet */
    size_t window_rows;
    double half_life_rows;
    size_t every_s; /* 0: only at the end */
    bool fresh;     /* nothing is restored; then requests may have come */
} keeper_options;

typedef struct keeper keeper;
/* Restores. False with one line in error: another daemon has the PATH, no memory, or no thread to
 * be had. */
bool keeper_open(keeper **out, const keeper_options *options, char *error, size_t error_bytes);
/* Writes what the service holds, in which no request is under way any more. */
void keeper_finish(keeper *keeper); /* NULL is allowed */
void keeper_close(keeper *keeper);  /* NULL is allowed; no later than the service */

#endif

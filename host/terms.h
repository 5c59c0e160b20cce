/*
 * terms.h - by what a model's accounts are judged and its requests answered: all that a reload may
 * change, made ready so that taking it over cannot fail.
 *
 * Threads: never written once it is made; the one in force belongs to the owner of the queue.
 */
#ifndef ADDER_TERMS_H
#define ADDER_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "evidence.h"
#include "judge.h"
#include "reference.h"
#include "request.h"

/* What they are made from; all borrowed while they are in force. */
typedef struct {
    policy policy;
    const lists *lists; /* NULL: none */
    size_t release_after;
    const reference_benign *benign; /* of another window: as if it were none. NULL: none */
} terms_options;

typedef struct {
    judge_terms judge;
    evidence_rules *rules;       /* owned; NULL: evidence decides nothing */
    const engine_benign *tables; /* NULL: none for this window */
    reply_terms replying;
    double false_alarms; /* of evidence; 0: not known */
} terms;

bool terms_init(terms *terms, const terms_options *options, size_t window_rows); /* no memory */
void terms_fini(terms *terms); /* zeroed is allowed */

#endif

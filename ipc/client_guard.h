/*
 * client_guard.h - what is answered in the daemon's place: the failure policy, its memory of who is
 * flagged, and its counters. Internal to the client library; any number of threads.
 */
#ifndef ADDER_CLIENT_GUARD_H
#define ADDER_CLIENT_GUARD_H

#include "adder.h"

typedef struct client_guard client_guard;

client_guard *client_guard_open(size_t flagged_max); /* NULL: no memory */
void client_guard_close(client_guard *guard);        /* NULL is allowed */

/* Of an answer of the daemon: remembers who is flagged, by the last of a name's rows; groups only
 * where the reply says what they are. */
void client_guard_learn(client_guard *guard, const adder_rows *rows, const adder_reply *reply);
void client_guard_forget(client_guard *guard, const char *name, bool is_group);
/* A score that ended so, with an error that its caller was given. */
void client_guard_refused(client_guard *guard);

/* Whether a call that ended so says nothing against the request: the daemon did not answer, or
 * cannot now. */
bool client_guard_answers(adder_status status);
/* What the policy says in the daemon's place. */
typedef struct {
    const adder_rows *rows;
    adder_status cause;
    bool keep;      /* else all are allowed */
    size_t classes; /* of the model, by its last hello; 0: not known, and no poison is drawn */
    bool hard_label;
} client_guard_case;
adder_reply *client_guard_answer(client_guard *guard, const client_guard_case *c); /* NULL: no
                                                                                    * memory */
void client_guard_count(client_guard *guard, adder_counters *counters);

#endif

/*
 * inherit.h - what a service takes over from the one whose place it takes: of every account and
 * group what was believed of it, verdict and evidence, as if it had lost its place (records.h).
 * Windows and memories are of another reference, and begin anew.
 *
 * Threads: one at a time; `to` has not been asked anything yet, `from` may be at work.
 */
#ifndef ADDER_INHERIT_H
#define ADDER_INHERIT_H

#include "service.h"

void inherit_beliefs(service *to, service *from);

#endif

/*
 * fibre.h - stacks that take turns on one host thread, announced to AddressSanitizer.
 *
 * The host resumes a fibre; the fibre runs until it yields back. A fibre lives for ever and runs
 * `turn` anew each time it is resumed after its end, so that its stack is made and poisoned once.
 */
#ifndef STANDIN_FIBRE_H
#define STANDIN_FIBRE_H

enum { FIBRES_MAX = 1024 }; /* threads that a block may have */

void fibre_resume(unsigned number, void (*turn)(unsigned number));
void fibre_yield(unsigned number);

#endif

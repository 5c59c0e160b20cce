/*
 * fuzz_wire.h - how an input of fuzz_wire begins; for fuzz_wire.c, its seeds and its mutator.
 */
#ifndef ADDER_FUZZ_WIRE_H
#define ADDER_FUZZ_WIRE_H

enum { FUZZ_WIRE_HEAD_BYTES = 2 };
enum { FUZZ_WIRE_REQUEST, FUZZ_WIRE_REPLY, FUZZ_WIRE_EXPLANATION, FUZZ_WIRE_KINDS };
enum { FUZZ_WIRE_MODELS = 5 }; /* as a choice: all of them are served */
enum { FUZZ_WIRE_OPS = 5 };    /* wire_op has so many */

#endif

/*
 * fuzz.h - what every fuzz target has, and what it may use.
 *
 * A target is fuzz_<noun>.c: it says how an input is read (fuzz_take) and which inputs are valid
 * (fuzz_seeds). entry.c makes libFuzzer's entry points of the two: `fuzz_<noun> --seeds DIR` writes
 * the seeds and fails where one of them is refused, so that a target that refuses everything at its
 * first byte is noticed; and a run ends with how many of its inputs were accepted.
 *
 * Threads: one. State is kept between inputs, and is the same before each of them.
 */
#ifndef ADDER_FUZZ_H
#define ADDER_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads an input, and checks what then must hold. True: the reader accepted it. */
bool fuzz_take(const unsigned char *bytes, size_t size);

/* Calls fuzz_seed for every valid input; names are file names. */
void fuzz_seeds(void);
void fuzz_seed(const char *name, const void *bytes, size_t size);

/* A claim about what was read: where it does not hold, the input is a finding. */
#define FUZZ_EXPECT(claim) fuzz_expect((claim), __FILE__, __LINE__, #claim)
void fuzz_expect(bool holds, const char *file, int line, const char *claim);
/* A refusal is one line that a log can take: not empty, and printable ASCII. */
void fuzz_expect_line(const char *text, size_t room);

/* A file in memory, with a path that can be opened and mapped. */
typedef struct {
    int fd;
    char path[64];
} fuzz_file;
void fuzz_file_open(fuzz_file *file);
/* Its bytes are these from now on. */
void fuzz_file_put(const fuzz_file *file, const void *bytes, size_t size);

/* ---- for mutators ---- */

/* libFuzzer's own. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed);
/* A number below `below`, which is above 0. */
size_t fuzz_random(uint64_t *state, size_t below);
/* Up to 16 bytes somewhere change, and the size stays: for formats whose fields have their place.
 */
void fuzz_mutate_within(uint8_t *bytes, size_t size, uint64_t *state);

#endif

/*
 * entry.c - libFuzzer's entry points, the writing of seeds, and helpers. See fuzz.h.
 */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, CHANGE_BYTES = 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint64_t inputs, accepted;
static const char *seeds_folder;

static void report(void) {
    fprintf(stderr, "accepted %" PRIu64 " of %" PRIu64 " inputs\n", accepted, inputs);
}

void fuzz_expect(bool holds, const char *file, int line, const char *claim) {
    if (!holds) {
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, claim);
        abort();
    }
}

void fuzz_expect_line(const char *text, size_t room) {
    size_t length = strnlen(text, room);
    FUZZ_EXPECT(length > 0 && length < room);
    for (size_t i = 0; i < length; i++) {
        FUZZ_EXPECT(text[i] >= ' ' && text[i] <= '~');
    }
}

/* ---- files ---- */

static void put_all(int fd, const char *path, const void *bytes, size_t size) {
    if (ftruncate(fd, 0) != 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size) {
        perror(path);
        exit(2);
    }
}

void fuzz_file_open(fuzz_file *file) {
    file->fd = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
    if (file->fd < 0) {
        perror("memfd_create");
        exit(2);
    }
}

void fuzz_file_put(const fuzz_file *file, const void *bytes, size_t size) {
    put_all(file->fd, file->path, bytes, size);
}

/* ---- seeds ---- */

/* A file named after its seed, so that the same seeds are written over. */
void fuzz_seed(const char *name, const void *bytes, size_t size) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", seeds_folder, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
    if (!fuzz_take(bytes, size)) {
        fprintf(stderr, "%s: a valid input was refused\n", path);
        exit(1);
    }
    accepted++;
}

/* ---- libFuzzer ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        seeds_folder = (*argv)[2];
        fuzz_seeds();
        printf("%" PRIu64 " seeds, all of them accepted\n", accepted);
        exit(accepted > 0 ? 0 : 1);
    }
    atexit(report);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    inputs++;
    accepted += fuzz_take(bytes, size);
    return 0;
}

/* ---- for mutators ---- */

size_t fuzz_random(uint64_t *state, size_t below) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(*state >> 33) % below;
}

void fuzz_mutate_within(uint8_t *bytes, size_t size, uint64_t *state) {
    if (size == 0) {
        return;
    }
    size_t count = 1 + fuzz_random(state, size < CHANGE_BYTES ? size : CHANGE_BYTES);
    uint8_t *at = bytes + fuzz_random(state, size - count + 1);
    uint8_t changed[CHANGE_BYTES];
    memcpy(changed, at, count);
    memcpy(at, changed, LLVMFuzzerMutate(changed, count, count));
}

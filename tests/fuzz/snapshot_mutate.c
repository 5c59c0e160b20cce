/*
 * snapshot_mutate.c - changes an input of fuzz_snapshot: mostly a few bytes where they lie, since
 * every field has its place; or whole accounts, which come twice, go, or change places.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_snapshot.h"
#include "snapshot_parts.h"

enum { RECORDS_MAX = 32 };

/* Where each account of an input begins; the last is where what follows does. */
typedef struct {
    size_t offset[RECORDS_MAX + 1];
    size_t count;
} bounds;

static bounds find_accounts(const uint8_t *bytes, size_t size) {
    bounds found = {.offset = {FUZZ_SNAPSHOT_COUNTS}};
    bytes_reader r = {
        .at = bytes + FUZZ_SNAPSHOT_COUNTS, .left = size - FUZZ_SNAPSHOT_COUNTS, .ok = true};
    snapshot_account account;
    while (found.count < RECORDS_MAX && found.count < bytes[1] &&
           snapshot_read_account(&r, &account)) {
        found.offset[++found.count] = size - r.left;
    }
    return found;
}

/* One account goes, or comes again at the beginning; its name's last byte changes mostly, since no
 * account may be there twice. */
static size_t change_accounts(uint8_t *bytes, size_t size, size_t size_max, uint64_t *random) {
    bounds found = find_accounts(bytes, size);
    if (found.count == 0) {
        return size;
    }
    size_t which = fuzz_random(random, found.count);
    size_t from = found.offset[which], length = found.offset[which + 1] - from;
    if (fuzz_random(random, 3) == 0) {
        memmove(bytes + from, bytes + from + length, size - from - length);
        bytes[1]--;
        return size - length;
    }
    if (length > size_max - size || bytes[1] == UINT8_MAX) {
        return size;
    }
    uint8_t *first = bytes + FUZZ_SNAPSHOT_COUNTS;
    memmove(first + length, first, size - FUZZ_SNAPSHOT_COUNTS);
    memmove(first, bytes + from + length, length);
    bytes[1]++;
    if (fuzz_random(random, 8) > 0) {
        first[1 + first[1]] = (uint8_t)(1 + fuzz_random(random, UINT8_MAX));
    }
    return size + length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed) {
    uint64_t random = seed;
    size_t choice = fuzz_random(&random, 8);
    bool is_records = size > FUZZ_SNAPSHOT_COUNTS && bytes[0] % FUZZ_SNAPSHOT_KINDS == 0;
    if (choice < 4) {
        fuzz_mutate_within(bytes, size, &random);
        return size;
    }
    if (choice < 6 && is_records) {
        return change_accounts(bytes, size, size_max, &random);
    }
    return LLVMFuzzerMutate(bytes, size, size_max);
}

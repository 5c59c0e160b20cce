/*
 * snapshot_mutate.c - changes an input of fuzz_snapshot: mostly a few bytes where they lie, since
 * every field has its place; or whole accounts and records, which come twice, go, or change places;
 * or what a record says of its account, whose fields must agree.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_snapshot.h"
#include "snapshot_parts.h"

enum { PARTS_MAX = 64, QUERIES_MAX = 1000 };

/* Where each account, or each record, of an input begins, and where the last ends. */
typedef struct {
    size_t offset[PARTS_MAX + 1];
    size_t count;
    size_t count_at; /* the byte that says how many */
} parts;

static parts find_parts(const uint8_t *bytes, size_t size, bool of_records) {
    bytes_reader r = {.at = bytes + FUZZ_SNAPSHOT_HEAD_BYTES,
                      .left = size - FUZZ_SNAPSHOT_HEAD_BYTES,
                      .ok = true};
    snapshot_account account;
    parts found = {.offset = {FUZZ_SNAPSHOT_HEAD_BYTES}, .count_at = FUZZ_SNAPSHOT_ACCOUNTS};
    for (size_t i = 0; i < bytes[FUZZ_SNAPSHOT_ACCOUNTS]; i++) {
        if (found.count == PARTS_MAX || !snapshot_read_account(&r, &account)) {
            return of_records ? (parts){0} : found;
        }
        found.offset[++found.count] = size - r.left;
    }
    if (!of_records) {
        return found;
    }
    found = (parts){.offset = {size - r.left}, .count_at = FUZZ_SNAPSHOT_RECORDS};
    while (found.count < PARTS_MAX && found.count < bytes[FUZZ_SNAPSHOT_RECORDS] &&
           bytes_take(&r, SNAPSHOT_RECORD_BYTES) != NULL) {
        found.offset[++found.count] = size - r.left;
    }
    return found;
}

/* An account's name or a record's key becomes another. */
static void rename_part(uint8_t *part, bool is_record, uint64_t *random) {
    size_t at = is_record ? fuzz_random(random, ACCOUNTS_KEY_BYTES) : 1 + part[1];
    part[at] = (uint8_t)(1 + fuzz_random(random, UINT8_MAX));
}

/* One part goes, becomes the first, or comes again as the first; mostly under another name then,
 * since no account may be there twice. */
static size_t change_parts(uint8_t *bytes, size_t size, size_t size_max, uint64_t *random) {
    bool of_records = fuzz_random(random, 2) == 0;
    parts found = find_parts(bytes, size, of_records);
    if (found.count == 0) {
        return size;
    }
    size_t which = fuzz_random(random, found.count), what = fuzz_random(random, 4);
    size_t from = found.offset[which], length = found.offset[which + 1] - from;
    if (what == 0) {
        memmove(bytes + from, bytes + from + length, size - from - length);
        bytes[found.count_at]--;
        return size - length;
    }
    if (length > size_max - size || bytes[found.count_at] == UINT8_MAX) {
        return size;
    }
    uint8_t *first = bytes + found.offset[0];
    memmove(first + length, first, size - found.offset[0]);
    memmove(first, bytes + from + length, length);
    if (what == 1) {
        memmove(bytes + from + length, bytes + from + 2 * length, size - from - length);
        return size;
    }
    bytes[found.count_at]++;
    if (fuzz_random(random, 8) > 0) {
        rename_part(first, of_records, random);
    }
    return size + length;
}

/* A record of an account that is flagged, was once, or has so much evidence. */
static void change_belief(uint8_t *bytes, size_t size, uint64_t *random) {
    parts found = find_parts(bytes, size, true);
    if (found.count == 0) {
        return;
    }
    bool flagged = fuzz_random(random, 3) == 0;
    uint64_t queries = 1 + fuzz_random(random, QUERIES_MAX);
    uint64_t at = 1 + fuzz_random(random, (size_t)queries);
    verdict_belief belief = {.verdict = flagged ? WIRE_FLAGGED : WIRE_CLEAN,
                             .reason = flagged ? WIRE_BY_ROWS : WIRE_NO_REASON,
                             .queries = queries,
                             .first_flagged_at = flagged || fuzz_random(random, 2) == 0 ? at : 0,
                             .flagged_at = flagged ? at : 0,
                             .clean_run = queries - at};
    belief.evidence.sum[fuzz_random(random, EVIDENCE_CHANNELS)][0] =
        (float)fuzz_random(random, 8) / 4.0f;
    verdict_encode_belief(&belief, bytes + found.offset[fuzz_random(random, found.count)] +
                                       ACCOUNTS_KEY_BYTES);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed) {
    uint64_t random = seed;
    size_t choice = fuzz_random(&random, 8);
    bool has_parts = size > FUZZ_SNAPSHOT_HEAD_BYTES &&
                     bytes[FUZZ_SNAPSHOT_KIND] % FUZZ_SNAPSHOT_KINDS == FUZZ_SNAPSHOT_PARTS;
    if (choice < 3 || (choice < 6 && !has_parts)) {
        fuzz_mutate_within(bytes, size, &random);
        return size;
    }
    if (choice < 5) {
        return change_parts(bytes, size, size_max, &random);
    }
    if (choice == 5) {
        change_belief(bytes, size, &random);
        return size;
    }
    return LLVMFuzzerMutate(bytes, size, size_max);
}

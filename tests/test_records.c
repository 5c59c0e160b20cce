/*
 * test_records.c - what is left of accounts that have lost their place, and who displaces whom.
 */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "records.h"

enum { PLACES = 1000, FLOOD = 1000000 };

static void start(void) {
    cr_assert(sodium_init() >= 0);
}

TestSuite(records, .init = start);

/* As good as random, and of a number. */
static accounts_key key_of(uint64_t number) {
    static const unsigned char secret[crypto_shorthash_siphashx24_KEYBYTES] = {3};
    accounts_key key;
    crypto_shorthash_siphashx24(key.bytes, (const unsigned char *)&number, sizeof number, secret);
    return key;
}

static void put(records *r, uint64_t number, records_kind kind) {
    accounts_key key = key_of(number);
    verdict_belief belief = {.queries = number + 1};
    records_put(r, &key, &belief, kind);
}

static bool has(const records *r, uint64_t number) {
    accounts_key key = key_of(number);
    const verdict_belief *found = records_find(r, &key);
    cr_assert(found == NULL || found->queries == number + 1);
    return found != NULL;
}

Test(records, a_record_is_found_by_its_key_replaced_and_dropped) {
    records *r = records_open(3);
    accounts_key key = key_of(1);
    put(r, 1, RECORDS_SLIGHT);
    put(r, 2, RECORDS_FLAGGED);
    cr_assert(has(r, 1) && has(r, 2) && !has(r, 3));
    records_put(r, &key, &(verdict_belief){.queries = 9}, RECORDS_SUSPECT);
    cr_assert_eq(records_find(r, &key)->queries, 9);
    cr_assert(records_held(r) == 2 && records_held_of(r, RECORDS_SUSPECT) == 1);
    cr_assert(records_drop(r, &key) && !records_drop(r, &key));
    cr_assert(records_held(r) == 1 && has(r, 2));
    records_close(r);
}

Test(records, a_flood_of_clean_ones_displaces_the_clean_oldest_first_and_no_other) {
    records *r = records_open(PLACES);
    for (uint64_t i = 0; i < PLACES / 2; i++) {
        put(r, i, RECORDS_FLAGGED);
    }
    for (uint64_t i = PLACES / 2; i < PLACES * 3 / 4; i++) {
        put(r, i, RECORDS_SUSPECT);
    }
    for (uint64_t i = 0; i < FLOOD; i++) {
        put(r, PLACES + i, RECORDS_SLIGHT);
    }
    cr_assert_eq(records_held(r), PLACES);
    for (uint64_t i = 0; i < PLACES * 3 / 4; i++) {
        cr_assert(has(r, i), "record %lu", (unsigned long)i);
    }
    for (uint64_t i = 0; i < PLACES / 4; i++) {
        cr_assert(has(r, PLACES + FLOOD - 1 - i));
        cr_assert_not(has(r, PLACES + FLOOD - 1 - PLACES / 4 - i));
    }
    records_close(r);
}

/* Whatever one kind floods the table with, each of the others keeps what its share has room for. */
Test(records, no_kind_takes_more_than_its_share_from_the_others) {
    static const records_kind kinds[] = {RECORDS_SUSPECT, RECORDS_FLAGGED};
    static const size_t share[] = {PLACES / 4, PLACES / 2};
    for (size_t k = 0; k < 2; k++) {
        records *r = records_open(PLACES);
        for (uint64_t i = 0; i < PLACES / 4; i++) {
            put(r, 3 * i, RECORDS_SLIGHT);
            put(r, 3 * i + 1, kinds[1 - k]);
        }
        for (uint64_t i = 0; i < FLOOD; i++) {
            put(r, 3 * i + 2, kinds[k]);
            cr_assert_leq(records_held(r), PLACES);
        }
        for (uint64_t i = 0; i < PLACES / 4; i++) {
            cr_assert(has(r, 3 * i + 1), "the other kind's record %lu", (unsigned long)i);
        }
        cr_assert_geq(records_held_of(r, RECORDS_SLIGHT), PLACES / 4 - 1);
        /* What it took of places that nobody needed it gives back. */
        for (uint64_t i = 0; i < PLACES; i++) {
            put(r, 3 * (FLOOD + i), RECORDS_SLIGHT);
        }
        cr_assert_leq(records_held_of(r, kinds[k]), share[k]);
        cr_assert_eq(records_held_of(r, kinds[1 - k]), PLACES / 4);
        records_close(r);
    }
}

/* A table so small that shares are nothing: the flagged one stays as long as no other is. */
Test(records, a_clean_one_that_finds_only_flagged_ones_within_their_share_is_dropped) {
    records *r = records_open(2);
    put(r, 1, RECORDS_FLAGGED);
    put(r, 2, RECORDS_SUSPECT);
    put(r, 3, RECORDS_SLIGHT); /* past its share of none the suspect one goes */
    cr_assert(has(r, 1) && !has(r, 2) && has(r, 3));
    put(r, 4, RECORDS_FLAGGED);
    cr_assert(has(r, 1) && has(r, 4));
    put(r, 5, RECORDS_SLIGHT); /* two are more than the share of one */
    cr_assert(!has(r, 1) && has(r, 4) && has(r, 5));
    records_close(r);
}

/* In the order in which they go, so that a smaller table that is filled so keeps those that say
 * most. */
Test(records, the_walk_visits_every_record_once_the_first_to_go_first) {
    records *r = records_open(PLACES);
    uint64_t last[RECORDS_FLAGGED + 1] = {0};
    size_t visited = 0;
    for (uint64_t i = 0; i < PLACES; i++) {
        put(r, i, i % 8 == 0 ? RECORDS_FLAGGED : i % 8 == 1 ? RECORDS_SUSPECT : RECORDS_SLIGHT);
    }
    size_t kind_before = 0;
    for (uint32_t at = records_next(r, RECORDS_NONE); at != RECORDS_NONE;
         at = records_next(r, at), visited++) {
        uint64_t number = records_belief(r, at)->queries - 1;
        size_t kind = number % 8 == 0   ? RECORDS_FLAGGED
                      : number % 8 == 1 ? RECORDS_SUSPECT
                                        : RECORDS_SLIGHT;
        accounts_key key = key_of(number);
        cr_assert_eq(memcmp(records_key(r, at), &key, sizeof key), 0);
        cr_assert_geq(kind, kind_before);
        cr_assert(number >= last[kind]);
        last[kind] = number;
        kind_before = kind;
    }
    cr_assert_eq(visited, PLACES);
    records_close(r);
}

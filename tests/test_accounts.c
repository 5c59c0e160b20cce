/*
 * test_accounts.c - names to slots, and who goes when all places are taken; compared with a naive
 * list on random names.
 */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "accounts.h"

static uint32_t touch(accounts *a, const char *name, bool *fresh) {
    return accounts_touch(a, (accounts_name){name, strlen(name), false}, fresh);
}

static void start(void) {
    cr_assert(sodium_init() >= 0);
}

TestSuite(accounts, .init = start);

Test(accounts, an_account_keeps_its_slot_and_two_never_share_one) {
    accounts *a = accounts_open(3);
    bool fresh;
    uint32_t one = touch(a, "one", &fresh);
    cr_assert(fresh);
    uint32_t two = touch(a, "two", &fresh);
    cr_assert(fresh);
    cr_assert_neq(one, two);
    cr_assert_eq(touch(a, "one", &fresh), one);
    cr_assert_not(fresh);
    cr_assert_eq(accounts_find(a, (accounts_name){"two", 3, false}), two);
    cr_assert_eq(accounts_find(a, (accounts_name){"three", 5, false}), ACCOUNTS_NONE);
    cr_assert_eq(accounts_held(a), 2);
    accounts_close(a);
}

Test(accounts, names_are_bytes_of_any_value_and_the_longest_length_fits) {
    accounts *a = accounts_open(4);
    char longest[ACCOUNTS_NAME_BYTES_MAX];
    bool fresh;
    memset(longest, 0xff, sizeof longest);
    uint32_t whole = accounts_touch(a, (accounts_name){longest, sizeof longest, false}, &fresh);
    uint32_t less = accounts_touch(a, (accounts_name){longest, sizeof longest - 1, false}, &fresh);
    cr_assert(fresh, "a prefix is another account");
    cr_assert_neq(whole, less);
    accounts_close(a);
}

/* Of so many tables, with as many keys, half have both in one chain. */
Test(accounts, an_account_and_a_group_of_one_name_are_two) {
    for (int table = 0; table < 64; table++) {
        accounts *a = accounts_open(2);
        bool fresh;
        uint32_t account = touch(a, "x", &fresh);
        uint32_t group = accounts_touch(a, (accounts_name){"x", 1, true}, &fresh);
        cr_assert(fresh);
        cr_assert_neq(account, group);
        cr_assert_eq(accounts_remove(a, (accounts_name){"x", 1, true}), group);
        cr_assert_eq(accounts_find(a, (accounts_name){"x", 1, false}), account);
        accounts_close(a);
    }
}

Test(accounts, a_removed_account_leaves_its_place_to_the_next) {
    accounts *a = accounts_open(1);
    bool fresh;
    uint32_t slot = touch(a, "one", &fresh);
    cr_assert_eq(accounts_remove(a, (accounts_name){"one", 3, false}), slot);
    cr_assert_eq(accounts_remove(a, (accounts_name){"one", 3, false}), ACCOUNTS_NONE);
    cr_assert_eq(accounts_held(a), 0);
    cr_assert_eq(touch(a, "two", &fresh), slot);
    cr_assert(fresh);
    cr_assert_eq(accounts_evicted(a), 0);
    accounts_close(a);
}

/* A list from newest to oldest, the simplest thing that can be right. */
enum { PLACES = 7, NAMES = 12, STEPS = 50000 };
typedef struct {
    int name[PLACES];
    uint32_t slot[PLACES];
    size_t held;
    uint64_t evicted;
} list;

static size_t list_find(const list *l, int name) {
    size_t at = 0;
    while (at < l->held && l->name[at] != name) {
        at++;
    }
    return at;
}

static void list_remove(list *l, size_t at) {
    l->held--;
    memmove(l->name + at, l->name + at + 1, (l->held - at) * sizeof *l->name);
    memmove(l->slot + at, l->slot + at + 1, (l->held - at) * sizeof *l->slot);
}

static void list_push(list *l, int name, uint32_t slot) {
    memmove(l->name + 1, l->name, l->held * sizeof *l->name);
    memmove(l->slot + 1, l->slot, l->held * sizeof *l->slot);
    l->name[0] = name;
    l->slot[0] = slot;
    l->held++;
}

/* Every third name is a group, and has the text of the account before it. */
static accounts_name name_of(char text[16], int name) {
    bool is_group = name % 3 == 2;
    int length = snprintf(text, 16, "account-%d", is_group ? name - 1 : name);
    return (accounts_name){text, (size_t)length, is_group};
}

static void touch_both(accounts *a, list *l, int name, int step) {
    char text[16];
    bool fresh;
    size_t at = list_find(l, name);
    bool known = at < l->held;
    uint32_t slot = accounts_touch(a, name_of(text, name), &fresh);
    cr_assert_eq(fresh, !known, "step %d, name %d", step, name);
    cr_assert(!known || l->slot[at] == slot, "step %d, name %d has moved", step, name);
    if (known) {
        list_remove(l, at);
    } else if (l->held == PLACES) {
        cr_assert_eq(slot, l->slot[PLACES - 1], "step %d: not the oldest went", step);
        list_remove(l, PLACES - 1);
        l->evicted++;
    }
    list_push(l, name, slot);
}

static void remove_both(accounts *a, list *l, int name, int step) {
    char text[16];
    size_t at = list_find(l, name);
    uint32_t expected = at < l->held ? l->slot[at] : ACCOUNTS_NONE;
    cr_assert_eq(accounts_remove(a, name_of(text, name)), expected, "step %d", step);
    if (expected != ACCOUNTS_NONE) {
        list_remove(l, at);
    }
}

static void compare(const accounts *a, const list *l, int step) {
    for (int name = 0; name < NAMES; name++) {
        char text[16];
        size_t at = list_find(l, name);
        uint32_t expected = at < l->held ? l->slot[at] : ACCOUNTS_NONE;
        cr_assert_eq(accounts_find(a, name_of(text, name)), expected, "step %d, name %d", step,
                     name);
    }
    for (size_t i = 0; i < l->held * l->held; i++) {
        size_t one = i / l->held, other = i % l->held;
        cr_assert(l->slot[one] < PLACES && (one == other || l->slot[one] != l->slot[other]));
    }
    cr_assert_eq(accounts_held(a), l->held);
    cr_assert_eq(accounts_evicted(a), l->evicted);
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

Test(accounts, touching_removing_and_evicting_do_what_they_do_to_a_plain_list) {
    accounts *a = accounts_open(PLACES);
    list l = {.held = 0};
    uint64_t random = 1;
    size_t longest = 0;
    for (int step = 0; step < STEPS; step++) {
        int name = (int)(next_random(&random) % NAMES);
        if (next_random(&random) % 8 == 0) {
            remove_both(a, &l, name, step);
        } else {
            touch_both(a, &l, name, step);
        }
        compare(a, &l, step);
        size_t chain = accounts_longest_chain(a);
        longest = chain > longest ? chain : longest;
    }
    cr_assert_gt(l.evicted, 0);
    /* Of so many fillings; the key is random. Below 3 no chain would have had a middle. */
    cr_assert_geq(longest, 3);
    accounts_close(a);
}

Test(accounts, a_full_table_loses_one_name_at_a_time_and_no_other) {
    enum { MANY = 512 };
    static char text[MANY][16];
    accounts_name name[MANY];
    uint32_t slot[MANY];
    size_t order[MANY];
    accounts *a = accounts_open(MANY);
    uint64_t random = 7;
    bool fresh;
    for (size_t i = 0; i < MANY; i++) {
        name[i] = (accounts_name){text[i], (size_t)snprintf(text[i], 16, "%zu", i), false};
        slot[i] = accounts_touch(a, name[i], &fresh);
        order[i] = i;
    }
    for (size_t i = MANY; i-- > 1;) {
        size_t other = (size_t)next_random(&random) % (i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (size_t gone = 0; gone < MANY; gone++) {
        cr_assert_eq(accounts_remove(a, name[order[gone]]), slot[order[gone]]);
        for (size_t i = 0; i < MANY; i++) {
            uint32_t expected = i <= gone ? ACCOUNTS_NONE : slot[order[i]];
            cr_assert_eq(accounts_find(a, name[order[i]]), expected);
        }
    }
    cr_assert_eq(accounts_held(a), 0);
    cr_assert_eq(accounts_evicted(a), 0);
    accounts_close(a);
}

Test(accounts, chains_stay_short_in_a_full_table) {
    enum { FULL = 100000 };
    accounts *a = accounts_open(FULL);
    for (int i = 0; i < 2 * FULL; i++) {
        char text[16];
        bool fresh;
        snprintf(text, sizeof text, "%d", i);
        touch(a, text, &fresh);
        cr_assert(fresh);
    }
    cr_assert_eq(accounts_held(a), FULL);
    cr_assert_eq(accounts_evicted(a), FULL);
    /* As many names as buckets: of a chain of 13 the chance is below 1e-5, whatever the key. */
    size_t longest = accounts_longest_chain(a);
    printf("%d names: longest chain %zu\n", FULL, longest);
    cr_assert(longest > 1 && longest <= 12, "%zu", longest);
    accounts_close(a);
}

/* ---- who is flagged ---- */

static void flag(accounts *a, uint32_t slot, bool flagged) {
    accounts_key key = accounts_key_at(a, slot);
    accounts_flag(a, slot, &key, flagged);
}

static bool holds(const accounts *a, const char *name) {
    return accounts_find(a, (accounts_name){name, strlen(name), false}) != ACCOUNTS_NONE;
}

static void flood(accounts *a, size_t first, size_t count, bool flagged) {
    for (size_t i = first; i < first + count; i++) {
        char text[24];
        bool fresh;
        snprintf(text, sizeof text, "fresh-%zu", i);
        accounts_begin(a);
        uint32_t slot = touch(a, text, &fresh);
        cr_assert(fresh);
        if (flagged) {
            flag(a, slot, true);
        }
    }
}

Test(accounts, a_million_fresh_names_evict_nobody_who_is_flagged) {
    enum { SMALL = 64 };
    accounts *a = accounts_open(SMALL);
    bool fresh;
    for (int i = 0; i < SMALL / 2; i++) {
        char text[24];
        snprintf(text, sizeof text, "thief-%d", i);
        flag(a, touch(a, text, &fresh), true);
    }
    touch(a, "honest", &fresh);
    flood(a, 0, 1000000, false);
    cr_assert_eq(accounts_flagged(a), SMALL / 2);
    for (int i = 0; i < SMALL / 2; i++) {
        char text[24];
        snprintf(text, sizeof text, "thief-%d", i);
        cr_assert(holds(a, text), "%s", text);
    }
    cr_assert_not(holds(a, "honest"));
    cr_assert_eq(accounts_held(a), SMALL);
    accounts_close(a);
}

/* All others keep the other half, however many are flagged. */
Test(accounts, names_that_all_get_flagged_take_half_of_the_places_and_no_more) {
    enum { SMALL = 64 };
    accounts *a = accounts_open(SMALL);
    bool fresh;
    for (int i = 0; i < SMALL / 2 - 1; i++) {
        char text[24];
        snprintf(text, sizeof text, "honest-%d", i);
        touch(a, text, &fresh);
    }
    flood(a, 0, 100000, true);
    for (int i = 0; i < SMALL / 2 - 1; i++) {
        char text[24];
        snprintf(text, sizeof text, "honest-%d", i);
        cr_assert(holds(a, text), "%s", text);
    }
    cr_assert_leq(accounts_flagged(a), SMALL / 2 + 1);
    char last[24];
    snprintf(last, sizeof last, "fresh-%d", 99999);
    cr_assert(holds(a, last));
    accounts_close(a);
}

Test(accounts, who_is_flagged_no_more_goes_like_anyone) {
    accounts *a = accounts_open(4);
    bool fresh;
    uint32_t slot = touch(a, "thief", &fresh);
    flag(a, slot, true);
    flood(a, 0, 100, false);
    cr_assert(holds(a, "thief"));
    flag(a, slot, false);
    flood(a, 100, 4, false);
    cr_assert_not(holds(a, "thief"));
    cr_assert_eq(accounts_flagged(a), 0);
    accounts_close(a);
}

/* A verdict comes after the batch, when the slot may be another account's. */
Test(accounts, a_verdict_that_comes_too_late_flags_nobody_else) {
    accounts *a = accounts_open(1);
    bool fresh;
    uint32_t slot = touch(a, "thief", &fresh);
    accounts_key key = accounts_key_at(a, slot);
    cr_assert_eq(touch(a, "honest", &fresh), slot);
    accounts_flag(a, slot, &key, true);
    cr_assert_eq(accounts_flagged(a), 0);
    accounts_remove(a, (accounts_name){"honest", 6, false});
    accounts_flag(a, slot, &key, true);
    cr_assert(accounts_flagged(a) == 0 && accounts_held(a) == 0);
    accounts_close(a);
}

/* As many names as there are places, some of them flagged, in any order: whoever was touched in the
 * batch is there at its end. */
Test(accounts, nobody_loses_his_place_to_a_later_row_of_his_batch) {
    enum { BATCHES = 20000 };
    accounts *a = accounts_open(PLACES);
    uint64_t random = 11;
    bool fresh;
    for (int batch = 0; batch < BATCHES; batch++) {
        uint32_t slot[PLACES];
        char text[PLACES][16];
        size_t names = 1 + (size_t)next_random(&random) % PLACES;
        accounts_begin(a);
        for (size_t i = 0; i < names; i++) {
            snprintf(text[i], sizeof text[i], "%zu", (size_t)next_random(&random) % (3 * PLACES));
            slot[i] = touch(a, text[i], &fresh);
        }
        for (size_t i = 0; i < names; i++) {
            cr_assert_eq(accounts_find(a, (accounts_name){text[i], strlen(text[i]), false}),
                         slot[i], "batch %d, row %zu of %zu", batch, i, names);
        }
        for (size_t i = 0; i < names; i++) {
            flag(a, slot[i], next_random(&random) % 4 == 0);
        }
    }
    cr_assert_gt(accounts_evicted(a), BATCHES);
    accounts_close(a);
}

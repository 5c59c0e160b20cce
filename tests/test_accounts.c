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

Test(accounts, an_account_and_a_group_of_one_name_are_two) {
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
enum { PLACES = 7, NAMES = 12, STEPS = 20000 };
typedef struct {
    int name[PLACES];
    size_t held;
} list;

static bool list_touch(list *l, int name) {
    size_t at = 0;
    while (at < l->held && l->name[at] != name) {
        at++;
    }
    bool fresh = at == l->held;
    if (fresh && l->held < PLACES) {
        l->held++;
    }
    at = fresh ? l->held - 1 : at;
    memmove(l->name + 1, l->name, at * sizeof *l->name);
    l->name[0] = name;
    return fresh;
}

Test(accounts, the_least_recently_touched_goes_first_as_in_a_plain_list) {
    accounts *a = accounts_open(PLACES);
    list l = {0};
    uint64_t random = 1;
    for (int step = 0; step < STEPS; step++) {
        char text[16];
        bool fresh;
        random = random * 6364136223846793005u + 1442695040888963407u;
        int name = (int)(random >> 33) % NAMES;
        snprintf(text, sizeof text, "account-%d", name);
        touch(a, text, &fresh);
        cr_assert_eq(fresh, list_touch(&l, name), "step %d, name %d", step, name);
        cr_assert_eq(accounts_held(a), l.held);
    }
    cr_assert_gt(accounts_evicted(a), 0);
    accounts_close(a);
}

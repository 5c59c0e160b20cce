/*
 * accounts.h - names of accounts and groups to slots, with a fixed number of places.
 *
 * Names come from outside, so the hash is keyed (SipHash with a random key): nobody can make names
 * collide. When all places are taken, the account that was asked about least recently goes.
 * Nothing is allocated after accounts_open. Threads: one at a time.
 */
#ifndef ADDER_ACCOUNTS_H
#define ADDER_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ACCOUNTS_NAME_BYTES_MAX = 128 };
#define ACCOUNTS_NONE UINT32_MAX

typedef struct accounts accounts;

/* An account "x" and a group "x" are two. */
typedef struct {
    const char *bytes;
    size_t length; /* at most ACCOUNTS_NAME_BYTES_MAX */
    bool is_group;
} accounts_name;

accounts *accounts_open(size_t places);  /* 1..UINT32_MAX - 1; NULL: no memory */
void accounts_close(accounts *accounts); /* NULL is allowed */

/* The account's slot, ACCOUNTS_NONE if it has none. Its place in the order of use stays. */
uint32_t accounts_find(const accounts *accounts, accounts_name name);
/* The account's slot, which it gets now if it had none; it becomes the last to go. *fresh says that
 * the slot is new to this account: what an earlier one left in it must be forgotten. The last
 * `places` distinct accounts touched are all still held. Never ACCOUNTS_NONE. */
uint32_t accounts_touch(accounts *accounts, accounts_name name, bool *fresh);
/* Gives a place back; the slot it had, or ACCOUNTS_NONE. */
uint32_t accounts_remove(accounts *accounts, accounts_name name);

/* In the order of use, the oldest first: from ACCOUNTS_NONE on, to ACCOUNTS_NONE. */
uint32_t accounts_next(const accounts *accounts, uint32_t slot);
/* Whose the slot is, of length 0 where it is nobody's; its bytes are the table's, until the account
 * goes. */
accounts_name accounts_name_of(const accounts *accounts, uint32_t slot);

size_t accounts_held(const accounts *accounts);
uint64_t accounts_evicted(const accounts *accounts); /* since opening */
/* The most steps that a find can take; visits the whole table. */
size_t accounts_longest_chain(const accounts *accounts);
/* Bytes of a place and its bucket. */
size_t accounts_bytes_each(void);

#endif

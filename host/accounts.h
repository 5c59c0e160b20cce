/*
 * accounts.h - names of accounts and groups to slots, with a fixed number of places.
 *
 * Names come from outside, so the hash is keyed (SipHash with a random key): nobody can make names
 * collide. When all places are taken, who was asked about least recently goes, and who is flagged
 * goes after everyone else: a thief cannot have himself forgotten by sending fresh names. Nor may
 * names that all get flagged hold all places, or nobody else would be remembered any more: past
 * half of the places the least recently used of the flagged goes first. Whoever was touched in the
 * present batch stays: a batch has at most as many accounts as there are places.
 *
 * Nothing is allocated after accounts_open; but for opening, closing and accounts_longest_chain
 * every function takes a constant number of steps on average. Threads: one at a time.
 */
#ifndef ADDER_ACCOUNTS_H
#define ADDER_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ACCOUNTS_NAME_BYTES_MAX = 128, ACCOUNTS_KEY_BYTES = 16, ACCOUNTS_SECRET_BYTES = 16 };
#define ACCOUNTS_NONE UINT32_MAX

typedef struct accounts accounts;

/* An account "x" and a group "x" are two. */
typedef struct {
    const char *bytes;
    size_t length; /* at most ACCOUNTS_NAME_BYTES_MAX */
    bool is_group;
} accounts_name;

/* What stands for a name where there is no room for it: 128 bits of SipHash-2-4 with the table's
 * secret. Of 10^6 names the chance that any two share theirs is 2e-27, and who does not know the
 * secret cannot look for such two. */
typedef struct {
    unsigned char bytes[ACCOUNTS_KEY_BYTES];
} accounts_key;

accounts *accounts_open(size_t places);  /* 1..UINT32_MAX - 1; NULL: no memory */
void accounts_close(accounts *accounts); /* NULL is allowed */

/* A batch begins: those touched from now on stay until the next one does. */
void accounts_begin(accounts *accounts);
/* The account's slot, ACCOUNTS_NONE if it has none. Its place in the order of use stays. */
uint32_t accounts_find(const accounts *accounts, accounts_name name);
/* The account's slot, which it gets now if it had none; it becomes the last of its kind to go.
 * *fresh says that the slot is new to this account: what an earlier one left in it must be
 * forgotten. Never ACCOUNTS_NONE. */
uint32_t accounts_touch(accounts *accounts, accounts_name name, bool *fresh);
/* Gives a place back; the slot it had, or ACCOUNTS_NONE. */
uint32_t accounts_remove(accounts *accounts, accounts_name name);
/* Whether the account of this key is flagged; nothing happens where the slot is another's by now.
 * Not between accounts_begin and the batch's last touch. */
void accounts_flag(accounts *accounts, uint32_t slot, const accounts_key *key, bool flagged);

/* In the order in which they would go, were all of them fresh names' victims: the oldest first, the
 * flagged last; from ACCOUNTS_NONE on, to ACCOUNTS_NONE. */
uint32_t accounts_next(const accounts *accounts, uint32_t slot);
/* Whose the slot is, of length 0 where it is nobody's; its bytes are the table's, until the account
 * goes. */
accounts_name accounts_name_of(const accounts *accounts, uint32_t slot);
accounts_key accounts_key_of(const accounts *accounts, accounts_name name);
accounts_key accounts_key_at(const accounts *accounts, uint32_t slot);

/* The secret of the keys, [ACCOUNTS_SECRET_BYTES]; to be kept with them. */
const unsigned char *accounts_secret(const accounts *accounts);
/* Takes another; nobody may be held. */
void accounts_set_secret(accounts *accounts, const unsigned char secret[ACCOUNTS_SECRET_BYTES]);

size_t accounts_held(const accounts *accounts);
size_t accounts_flagged(const accounts *accounts);
uint64_t accounts_evicted(const accounts *accounts); /* since opening */
/* The most steps that a find can take; visits the whole table. */
size_t accounts_longest_chain(const accounts *accounts);
void accounts_populate(accounts *accounts); /* touches all of it; pages.h */
/* Bytes of a place and its bucket. */
size_t accounts_bytes_each(void);

#endif

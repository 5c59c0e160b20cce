/*
 * accounts.c - a fixed hash table of chains, and its places in the order of use.
 */
#include "accounts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "order.h"
#include "pages.h"

enum { VACANT, COMMON, FLAGGED }; /* lists of places */

typedef struct {
    uint64_t batch; /* that touched it last */
    accounts_key key;
    uint32_t next; /* of the chain of its bucket */
    uint8_t length;
    bool is_group;
    char bytes[ACCOUNTS_NAME_BYTES_MAX];
} place;
static_assert(ACCOUNTS_NAME_BYTES_MAX <= UINT8_MAX, "a length fits");
static_assert((int)ACCOUNTS_SECRET_BYTES == (int)crypto_shorthash_siphashx24_KEYBYTES, "a secret");
static_assert((int)ACCOUNTS_KEY_BYTES == (int)crypto_shorthash_siphashx24_BYTES, "a key");

struct accounts {
    place *place;   /* [places] */
    uint32_t *hash; /* [places] first place of a chain: as many buckets as places */
    order order;    /* [places] */
    size_t places;
    size_t flagged_max; /* past it they go before others do */
    uint64_t batch;
    uint64_t evicted;
    unsigned char secret[ACCOUNTS_SECRET_BYTES];
};

static uint32_t *bucket_of(const accounts *a, const accounts_key *key) {
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    /* Of the top 32 bits the share that the buckets are of 2^32: their number is any. */
    return &a->hash[(hash >> 32) * a->places >> 32];
}

accounts *accounts_open(size_t places) {
    accounts *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->places = places;
    a->flagged_max = places / 2;
    a->place = calloc(places, sizeof *a->place);
    a->hash = calloc(places, sizeof *a->hash);
    if (a->place == NULL || a->hash == NULL || !order_init(&a->order, places)) {
        accounts_close(a);
        return NULL;
    }
    memset(a->hash, 0xff, places * sizeof *a->hash);
    randombytes_buf(a->secret, sizeof a->secret);
    return a;
}

void accounts_close(accounts *a) {
    if (a == NULL) {
        return;
    }
    order_fini(&a->order);
    free(a->hash);
    free(a->place);
    free(a);
}

/* ---- who holds which place ---- */

static bool has_name(const place *p, accounts_name name) {
    return p->length == name.length && p->is_group == name.is_group &&
           memcmp(p->bytes, name.bytes, name.length) == 0;
}

static uint32_t find(const accounts *a, const accounts_key *key, accounts_name name) {
    uint32_t slot = *bucket_of(a, key);
    while (slot != ACCOUNTS_NONE && !has_name(&a->place[slot], name)) {
        slot = a->place[slot].next;
    }
    return slot;
}

static void vacate(accounts *a, uint32_t slot) {
    uint32_t *link = bucket_of(a, &a->place[slot].key);
    while (*link != slot) {
        link = &a->place[*link].next;
    }
    *link = a->place[slot].next;
    order_move(&a->order, slot, VACANT);
    a->place[slot].length = 0;
}

/* The place whose account goes next; every place is taken. After who was touched in the present
 * batch in a list nobody else comes: batches touch one after another. */
static uint32_t victim(const accounts *a) {
    bool crowded = a->order.held[FLAGGED] > a->flagged_max;
    uint32_t first = a->order.oldest[crowded ? FLAGGED : COMMON];
    uint32_t second = a->order.oldest[crowded ? COMMON : FLAGGED];
    bool spared =
        first == ACCOUNTS_NONE || (second != ACCOUNTS_NONE && a->place[first].batch == a->batch &&
                                   a->place[second].batch != a->batch);
    return spared ? second : first;
}

/* Needs a vacant place. */
static uint32_t occupy(accounts *a, const accounts_key *key, accounts_name name) {
    uint32_t slot = a->order.oldest[VACANT];
    uint32_t *bucket = bucket_of(a, key);
    place *p = &a->place[slot];
    p->key = *key;
    p->next = *bucket;
    *bucket = slot;
    p->length = (uint8_t)name.length;
    p->is_group = name.is_group;
    memcpy(p->bytes, name.bytes, name.length);
    return slot;
}

void accounts_begin(accounts *a) {
    a->batch++;
}

uint32_t accounts_find(const accounts *a, accounts_name name) {
    accounts_key key = accounts_key_of(a, name);
    return find(a, &key, name);
}

uint32_t accounts_touch(accounts *a, accounts_name name, bool *fresh) {
    accounts_key key = accounts_key_of(a, name);
    uint32_t slot = find(a, &key, name);
    *fresh = slot == ACCOUNTS_NONE;
    if (*fresh) {
        if (a->order.held[VACANT] == 0) {
            vacate(a, victim(a));
            a->evicted++;
        }
        slot = occupy(a, &key, name);
    }
    order_move(&a->order, slot, *fresh ? COMMON : a->order.link[slot].list);
    a->place[slot].batch = a->batch;
    return slot;
}

uint32_t accounts_remove(accounts *a, accounts_name name) {
    uint32_t slot = accounts_find(a, name);
    if (slot != ACCOUNTS_NONE) {
        vacate(a, slot);
    }
    return slot;
}

void accounts_flag(accounts *a, uint32_t slot, const accounts_key *key, bool flagged) {
    uint32_t list = a->order.link[slot].list;
    uint32_t wanted = flagged ? FLAGGED : COMMON;
    if (list != VACANT && list != wanted && memcmp(&a->place[slot].key, key, sizeof *key) == 0) {
        order_move(&a->order, slot, wanted);
    }
}

/* ---- what is asked of it ---- */

uint32_t accounts_next(const accounts *a, uint32_t slot) {
    return order_next(&a->order, slot, COMMON);
}

accounts_name accounts_name_of(const accounts *a, uint32_t slot) {
    const place *p = &a->place[slot];
    return (accounts_name){.bytes = p->bytes, .length = p->length, .is_group = p->is_group};
}

accounts_key accounts_key_of(const accounts *a, accounts_name name) {
    unsigned char text[1 + ACCOUNTS_NAME_BYTES_MAX] = {name.is_group};
    accounts_key key;
    memcpy(text + 1, name.bytes, name.length);
    crypto_shorthash_siphashx24(key.bytes, text, 1 + name.length, a->secret);
    return key;
}

accounts_key accounts_key_at(const accounts *a, uint32_t slot) {
    return a->place[slot].key;
}

const unsigned char *accounts_secret(const accounts *a) {
    return a->secret;
}

void accounts_set_secret(accounts *a, const unsigned char secret[ACCOUNTS_SECRET_BYTES]) {
    assert(accounts_held(a) == 0);
    memcpy(a->secret, secret, ACCOUNTS_SECRET_BYTES);
}

size_t accounts_held(const accounts *a) {
    return a->places - a->order.held[VACANT];
}

size_t accounts_flagged(const accounts *a) {
    return a->order.held[FLAGGED];
}

uint64_t accounts_evicted(const accounts *a) {
    return a->evicted;
}

size_t accounts_longest_chain(const accounts *a) {
    size_t longest = 0;
    for (size_t i = 0; i < a->places; i++) {
        size_t length = 0;
        for (uint32_t slot = a->hash[i]; slot != ACCOUNTS_NONE; slot = a->place[slot].next) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    return longest;
}

void accounts_populate(accounts *a) {
    pages_populate(a->place, a->places * sizeof *a->place);
}

size_t accounts_bytes_each(void) {
    return sizeof(place) + sizeof(uint32_t) + order_bytes_each();
}

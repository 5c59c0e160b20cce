/*
 * accounts.c - a fixed hash table of chains, and a list through the held places in the order of
 * use. Nothing is allocated after accounts_open.
 */
#include "accounts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

typedef struct {
    uint32_t next;         /* of the chain of its bucket; of a vacant place, the next vacant one */
    uint32_t older, newer; /* order of use; ACCOUNTS_NONE at the ends */
    uint8_t length;
    bool is_group;
    char bytes[ACCOUNTS_NAME_BYTES_MAX];
} place;
static_assert(ACCOUNTS_NAME_BYTES_MAX <= UINT8_MAX, "a length fits");

struct accounts {
    place *place;   /* [places] */
    uint32_t *hash; /* [places] first place of a chain: as many buckets as places */
    size_t places, held;
    uint32_t vacant;         /* first of the places that are not held */
    uint32_t oldest, newest; /* held places */
    uint64_t evicted;
    unsigned char key[crypto_shorthash_KEYBYTES];
};

/* The bucket of a name, hashed with what it names before it. */
static uint32_t *bucket_of(const accounts *a, const char *bytes, size_t length, bool is_group) {
    unsigned char text[1 + ACCOUNTS_NAME_BYTES_MAX] = {is_group};
    uint64_t hash;
    memcpy(text + 1, bytes, length);
    crypto_shorthash((unsigned char *)&hash, text, 1 + length, a->key);
    /* Of the top 32 bits the share that the buckets are of 2^32: their number is any. */
    return &a->hash[(hash >> 32) * a->places >> 32];
}

accounts *accounts_open(size_t places) {
    accounts *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->places = places;
    a->place = calloc(places, sizeof *a->place);
    a->hash = calloc(places, sizeof *a->hash);
    if (a->place == NULL || a->hash == NULL) {
        accounts_close(a);
        return NULL;
    }
    memset(a->hash, 0xff, places * sizeof *a->hash);
    a->oldest = a->newest = a->vacant = ACCOUNTS_NONE;
    for (size_t i = places; i-- > 0;) {
        a->place[i].next = a->vacant;
        a->vacant = (uint32_t)i; /* slot 0 is handed out first */
    }
    crypto_shorthash_keygen(a->key);
    return a;
}

void accounts_close(accounts *a) {
    if (a == NULL) {
        return;
    }
    free(a->hash);
    free(a->place);
    free(a);
}

/* ---- the order of use ---- */

static void use_unlink(accounts *a, uint32_t slot) {
    place *p = &a->place[slot];
    *(p->older == ACCOUNTS_NONE ? &a->oldest : &a->place[p->older].newer) = p->newer;
    *(p->newer == ACCOUNTS_NONE ? &a->newest : &a->place[p->newer].older) = p->older;
}

static void use_newest(accounts *a, uint32_t slot) {
    place *p = &a->place[slot];
    p->older = a->newest;
    p->newer = ACCOUNTS_NONE;
    *(a->newest == ACCOUNTS_NONE ? &a->oldest : &a->place[a->newest].newer) = slot;
    a->newest = slot;
}

/* ---- who holds which place ---- */

static bool has_name(const place *p, accounts_name name) {
    return p->length == name.length && p->is_group == name.is_group &&
           memcmp(p->bytes, name.bytes, name.length) == 0;
}

static uint32_t find_in(const accounts *a, const uint32_t *bucket, accounts_name name) {
    uint32_t slot = *bucket;
    while (slot != ACCOUNTS_NONE && !has_name(&a->place[slot], name)) {
        slot = a->place[slot].next;
    }
    return slot;
}

static void vacate(accounts *a, uint32_t slot) {
    place *p = &a->place[slot];
    uint32_t *link = bucket_of(a, p->bytes, p->length, p->is_group);
    while (*link != slot) {
        link = &a->place[*link].next;
    }
    *link = p->next;
    use_unlink(a, slot);
    p->length = 0;
    p->next = a->vacant;
    a->vacant = slot;
    a->held--;
}

/* Needs a vacant place. */
static uint32_t occupy(accounts *a, uint32_t *bucket, accounts_name name) {
    uint32_t slot = a->vacant;
    place *p = &a->place[slot];
    a->vacant = p->next;
    p->next = *bucket;
    *bucket = slot;
    p->length = (uint8_t)name.length;
    p->is_group = name.is_group;
    memcpy(p->bytes, name.bytes, name.length);
    a->held++;
    return slot;
}

uint32_t accounts_find(const accounts *a, accounts_name name) {
    return find_in(a, bucket_of(a, name.bytes, name.length, name.is_group), name);
}

uint32_t accounts_touch(accounts *a, accounts_name name, bool *fresh) {
    uint32_t *bucket = bucket_of(a, name.bytes, name.length, name.is_group);
    uint32_t slot = find_in(a, bucket, name);
    *fresh = slot == ACCOUNTS_NONE;
    if (!*fresh) {
        use_unlink(a, slot);
    } else {
        if (a->vacant == ACCOUNTS_NONE) {
            vacate(a, a->oldest);
            a->evicted++;
        }
        slot = occupy(a, bucket, name);
    }
    use_newest(a, slot);
    return slot;
}

uint32_t accounts_remove(accounts *a, accounts_name name) {
    uint32_t slot = accounts_find(a, name);
    if (slot != ACCOUNTS_NONE) {
        vacate(a, slot);
    }
    return slot;
}

uint32_t accounts_next(const accounts *a, uint32_t slot) {
    return slot == ACCOUNTS_NONE ? a->oldest : a->place[slot].newer;
}

accounts_name accounts_name_of(const accounts *a, uint32_t slot) {
    const place *p = &a->place[slot];
    return (accounts_name){.bytes = p->bytes, .length = p->length, .is_group = p->is_group};
}

size_t accounts_held(const accounts *a) {
    return a->held;
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

size_t accounts_bytes_each(void) {
    return sizeof(place) + sizeof(uint32_t);
}

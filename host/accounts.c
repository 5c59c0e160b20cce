/*
 * accounts.c - uthash over an array of places, and a list through them in the order of use.
 */
#include "accounts.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

/* A failed allocation inside the table must not end the daemon. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum { KEY_BYTES_MAX = ACCOUNTS_NAME_BYTES_MAX + 1 };

typedef struct {
    char key[KEY_BYTES_MAX];
    uint32_t older, newer; /* order of use; ACCOUNTS_NONE at the ends */
    UT_hash_handle hh;
} place;

struct accounts {
    place *place; /* [places] */
    size_t places;
    place *table;
    uint32_t oldest, newest; /* held places */
    uint32_t *vacant;        /* stack of places that are not held */
    size_t vacancies;
    uint64_t evicted;
    unsigned char key[crypto_shorthash_KEYBYTES];
};

/* The name with what it names before it, and its hash. */
typedef struct {
    char bytes[KEY_BYTES_MAX];
    size_t length;
    unsigned hash;
} table_key;

static table_key key_of(const accounts *a, accounts_name name) {
    table_key key = {.length = name.length + 1};
    uint64_t hash;
    key.bytes[0] = name.is_group ? 'g' : 'a';
    memcpy(key.bytes + 1, name.bytes, name.length);
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)key.bytes, key.length, a->key);
    key.hash = (unsigned)(hash ^ (hash >> 32));
    return key;
}

accounts *accounts_open(size_t places) {
    accounts *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->places = places;
    a->place = calloc(places, sizeof *a->place);
    a->vacant = calloc(places, sizeof *a->vacant);
    if (a->place == NULL || a->vacant == NULL) {
        accounts_close(a);
        return NULL;
    }
    a->oldest = a->newest = ACCOUNTS_NONE;
    for (size_t i = places; i-- > 0;) {
        a->vacant[a->vacancies++] = (uint32_t)i; /* slot 0 is handed out first */
    }
    crypto_shorthash_keygen(a->key);
    return a;
}

void accounts_close(accounts *a) {
    if (a == NULL) {
        return;
    }
    HASH_CLEAR(hh, a->table);
    free(a->vacant);
    free(a->place);
    free(a);
}

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

static place *find(const accounts *a, const table_key *key) {
    place *found;
    HASH_FIND_BYHASHVALUE(hh, a->table, key->bytes, key->length, key->hash, found);
    return found;
}

static void vacate(accounts *a, uint32_t slot) {
    place *p = &a->place[slot];
    HASH_DELETE(hh, a->table, p);
    use_unlink(a, slot);
    a->vacant[a->vacancies++] = slot;
}

uint32_t accounts_find(const accounts *a, accounts_name name) {
    table_key key = key_of(a, name);
    const place *p = find(a, &key);
    return p == NULL ? ACCOUNTS_NONE : (uint32_t)(p - a->place);
}

uint32_t accounts_touch(accounts *a, accounts_name name, bool *fresh) {
    table_key key = key_of(a, name);
    place *p = find(a, &key);
    *fresh = p == NULL;
    if (p != NULL) {
        use_unlink(a, (uint32_t)(p - a->place));
        use_newest(a, (uint32_t)(p - a->place));
        return (uint32_t)(p - a->place);
    }
    if (a->vacancies == 0) {
        vacate(a, a->oldest);
        a->evicted++;
    }
    uint32_t slot = a->vacant[a->vacancies - 1];
    p = &a->place[slot];
    memcpy(p->key, key.bytes, key.length);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, a->table, p->key, key.length, key.hash, p);
    if (p->hh.tbl == NULL) {
        return ACCOUNTS_NONE;
    }
    a->vacancies--;
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

size_t accounts_held(const accounts *a) {
    return a->places - a->vacancies;
}

uint64_t accounts_evicted(const accounts *a) {
    return a->evicted;
}

size_t accounts_bytes_each(void) {
    return sizeof(place) + sizeof(uint32_t) + 2 * sizeof(UT_hash_bucket);
}

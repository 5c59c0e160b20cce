/*
 * records.c - a fixed hash table of chains, and its places in the order in which they were put.
 */
#include "records.h"

#include <stdlib.h>
#include <string.h>

#include "order.h"
#include "pages.h"

enum { VACANT = 0 }; /* list of places, beside a list of each kind */

typedef struct {
    accounts_key key;
    uint32_t next; /* of the chain of its bucket */
    verdict_belief belief;
} place;

struct records {
    place *place;   /* [places] */
    uint32_t *hash; /* [places] first place of a chain: as many buckets as places */
    order order;    /* [places] */
    size_t places;
    size_t share[RECORDS_FLAGGED + 1]; /* past it a kind's own oldest goes first */
};

/* Keys are hashes already. */
static uint32_t *bucket_of(const records *r, const accounts_key *key) {
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    return &r->hash[(hash >> 32) * r->places >> 32];
}

records *records_open(size_t places) {
    records *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->places = places;
    r->share[RECORDS_SLIGHT] = places;
    r->share[RECORDS_SUSPECT] = places / 4;
    r->share[RECORDS_FLAGGED] = places / 2;
    r->place = calloc(places, sizeof *r->place);
    r->hash = calloc(places, sizeof *r->hash);
    if (r->place == NULL || r->hash == NULL || !order_init(&r->order, places)) {
        records_close(r);
        return NULL;
    }
    memset(r->hash, 0xff, places * sizeof *r->hash);
    return r;
}

void records_close(records *r) {
    if (r == NULL) {
        return;
    }
    order_fini(&r->order);
    free(r->hash);
    free(r->place);
    free(r);
}

static uint32_t find(const records *r, const accounts_key *key) {
    uint32_t at = *bucket_of(r, key);
    while (at != RECORDS_NONE && memcmp(&r->place[at].key, key, sizeof *key) != 0) {
        at = r->place[at].next;
    }
    return at;
}

static void vacate(records *r, uint32_t at) {
    uint32_t *link = bucket_of(r, &r->place[at].key);
    while (*link != at) {
        link = &r->place[*link].next;
    }
    *link = r->place[at].next;
    order_move(&r->order, at, VACANT);
}

/* Who goes for a record of this kind; every place is taken. */
static uint32_t victim(const records *r, records_kind kind) {
    for (uint32_t k = RECORDS_FLAGGED; k >= RECORDS_SLIGHT; k--) {
        if (r->order.held[k] > r->share[k]) {
            return r->order.oldest[k];
        }
    }
    for (uint32_t k = RECORDS_SLIGHT; k <= kind; k++) {
        if (r->order.held[k] > 0) {
            return r->order.oldest[k];
        }
    }
    return RECORDS_NONE;
}

void records_put(records *r, const accounts_key *key, const verdict_belief *belief,
                 records_kind kind) {
    records_drop(r, key);
    if (r->order.held[VACANT] == 0) {
        uint32_t goes = victim(r, kind);
        if (goes == RECORDS_NONE) {
            return;
        }
        vacate(r, goes);
    }
    uint32_t at = r->order.oldest[VACANT];
    uint32_t *bucket = bucket_of(r, key);
    r->place[at] = (place){.key = *key, .next = *bucket, .belief = *belief};
    *bucket = at;
    order_move(&r->order, at, kind);
}

const verdict_belief *records_find(const records *r, const accounts_key *key) {
    uint32_t at = find(r, key);
    return at == RECORDS_NONE ? NULL : &r->place[at].belief;
}

bool records_drop(records *r, const accounts_key *key) {
    uint32_t at = find(r, key);
    if (at != RECORDS_NONE) {
        vacate(r, at);
    }
    return at != RECORDS_NONE;
}

uint32_t records_next(const records *r, uint32_t at) {
    return order_next(&r->order, at, RECORDS_SLIGHT);
}

const accounts_key *records_key(const records *r, uint32_t at) {
    return &r->place[at].key;
}

const verdict_belief *records_belief(const records *r, uint32_t at) {
    return &r->place[at].belief;
}

size_t records_held(const records *r) {
    return r->places - r->order.held[VACANT];
}

size_t records_held_of(const records *r, records_kind kind) {
    return r->order.held[kind];
}

size_t records_places(const records *r) {
    return r->places;
}

void records_populate(records *r) {
    pages_populate(r->place, r->places * sizeof *r->place);
}

size_t records_bytes_each(void) {
    return sizeof(place) + sizeof(uint32_t) + order_bytes_each();
}

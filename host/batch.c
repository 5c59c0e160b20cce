/*
 * batch.c - a stable counting sort by account inside each request.
 */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

struct batch {
    size_t window_rows;
    bool sides_only;
    double threshold;
    size_t rows;   /* of the engine */
    size_t places; /* of requests' rows */
    size_t observations;
    /* In the engine's order, observation after observation. */
    const unsigned char **embedding;
    uint32_t *class_index;
    float *alignment;
    engine_observation *observation;
    engine_result *result;
    /* In the order of the requests. */
    uint32_t *observation_of;
    /* Of the request being put: accounts in the order they appear. */
    uint32_t *account_of;   /* [slots_max] number of the slot's account + 1; 0 between requests */
    uint32_t *slot;         /* [rows_max] */
    uint32_t *next;         /* [rows_max] rows of the account, then where its next row goes */
    uint32_t *first;        /* [rows_max] */
    uint32_t *observed;     /* [rows_max] number of the account's first observation */
    batch_arrival *arrival; /* [rows_max] */
    size_t arrivals;
    engine_batch engine;
};

batch *batch_open(const batch_options *o) {
    batch *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->window_rows = o->window_rows;
    b->sides_only = o->sides_only;
    b->threshold = o->threshold;
    b->embedding = calloc(o->rows_max, sizeof *b->embedding);
    b->class_index = calloc(o->rows_max, sizeof *b->class_index);
    b->alignment = calloc(o->rows_max, sizeof *b->alignment);
    b->observation = calloc(o->rows_max, sizeof *b->observation);
    b->result = calloc(o->rows_max, sizeof *b->result);
    b->observation_of = calloc(o->places_max, sizeof *b->observation_of);
    b->account_of = calloc(o->slots_max, sizeof *b->account_of);
    b->slot = calloc(o->rows_max, sizeof *b->slot);
    b->arrival = calloc(o->rows_max, sizeof *b->arrival);
    b->next = calloc(o->rows_max, sizeof *b->next);
    b->first = calloc(o->rows_max, sizeof *b->first);
    b->observed = calloc(o->rows_max, sizeof *b->observed);
    if (!b->embedding || !b->class_index || !b->alignment || !b->observation || !b->result ||
        !b->observation_of || !b->account_of || !b->slot || !b->arrival || !b->next || !b->first ||
        !b->observed) {
        batch_close(b);
        return NULL;
    }
    return b;
}

void batch_close(batch *b) {
    if (b == NULL) {
        return;
    }
    free(b->observed);
    free(b->first);
    free(b->next);
    free(b->arrival);
    free(b->slot);
    free(b->account_of);
    free(b->observation_of);
    free(b->result);
    free(b->observation);
    free(b->alignment);
    free(b->class_index);
    free(b->embedding);
    free(b);
}

void batch_revise(batch *b, double threshold) {
    b->threshold = threshold;
}

void batch_clear(batch *b) {
    b->rows = 0;
    b->places = 0;
    b->observations = 0;
    b->arrivals = 0;
}

size_t batch_rows(const batch *b) {
    return b->rows;
}

/* Counts the rows of each account; returns how many accounts there are. */
static size_t count_accounts(batch *b, const batch_key *key) {
    size_t accounts = 0;
    for (size_t i = 0; i < key->request->rows; i++) {
        if (key->slots[i] == BATCH_NONE) {
            continue;
        }
        uint32_t *number = &b->account_of[key->slots[i]];
        if (*number == 0) {
            b->slot[accounts] = key->slots[i];
            b->next[accounts] = 0;
            *number = (uint32_t)++accounts;
        }
        b->next[*number - 1]++;
    }
    return accounts;
}

/* Makes the observations of every account and turns its count into the place of its first row. */
static void make_observations(batch *b, size_t accounts, engine_dtype dtype) {
    uint32_t at = (uint32_t)b->rows;
    for (size_t a = 0; a < accounts; a++) {
        uint32_t left = b->next[a];
        b->first[a] = b->next[a] = at;
        b->observed[a] = (uint32_t)b->observations;
        while (left > 0) {
            uint32_t count = left < b->window_rows ? left : (uint32_t)b->window_rows;
            b->observation[b->observations++] = (engine_observation){b->slot[a], at, count, dtype};
            at += count;
            left -= count;
        }
    }
}

static engine_dtype engine_dtype_of(wire_dtype dtype) {
    switch (dtype) {
    case WIRE_F16:
        return ENGINE_F16;
    case WIRE_BF16:
        return ENGINE_BF16;
    default:
        return ENGINE_F32;
    }
}

size_t batch_put(batch *b, const batch_key *key) {
    const wire_request *request = key->request;
    size_t base = b->places;
    size_t row_bytes = key->dim * wire_dtype_bytes(request->dtype);
    size_t accounts = count_accounts(b, key);
    make_observations(b, accounts, engine_dtype_of(request->dtype));
    for (size_t i = 0; i < request->rows; i++) {
        if (key->slots[i] == BATCH_NONE) {
            b->observation_of[base + i] = BATCH_NONE;
            continue;
        }
        uint32_t a = b->account_of[key->slots[i]] - 1;
        uint32_t at = b->next[a]++;
        b->embedding[at] = request->embeddings + i * row_bytes;
        memcpy(&b->class_index[at], request->classes + i * sizeof(uint32_t), sizeof(uint32_t));
        b->observation_of[base + i] =
            b->observed[a] + (at - b->first[a]) / (uint32_t)b->window_rows;
        b->rows++;
    }
    for (size_t a = 0; a < accounts; a++) {
        b->account_of[b->slot[a]] = 0;
    }
    b->places += request->rows;
    return base;
}

void batch_arrive(batch *b, uint32_t slot, accounts_key key) {
    b->arrival[b->arrivals++] = (batch_arrival){slot, key};
}

size_t batch_arrivals(const batch *b) {
    return b->arrivals;
}

const batch_arrival *batch_arrived(const batch *b, size_t arrival) {
    return &b->arrival[arrival];
}

const engine_batch *batch_engine(batch *b) {
    b->engine = (engine_batch){.rows = b->rows,
                               .embeddings = b->embedding,
                               .classes = b->class_index,
                               .observations = b->observations,
                               .observation = b->observation,
                               .results = b->result,
                               .alignments = b->alignment,
                               .sides_only = b->sides_only,
                               .threshold = b->threshold};
    return &b->engine;
}

size_t batch_observations(const batch *b) {
    return b->observations;
}

batch_observation batch_observed(const batch *b, size_t observation) {
    const engine_observation *o = &b->observation[observation];
    return (batch_observation){.slot = o->slot,
                               .rows = o->row_count,
                               .classes = b->class_index + o->row_first,
                               .alignments = b->alignment + o->row_first,
                               .result = &b->result[observation]};
}

uint32_t batch_observation_of(const batch *b, size_t place) {
    return b->observation_of[place];
}

/* places_max is twice rows_max. */
size_t batch_bytes_per_row(void) {
    const batch *b = NULL;
    return sizeof *b->embedding + sizeof *b->class_index + sizeof *b->alignment +
           sizeof *b->observation + sizeof *b->result + 2 * sizeof *b->observation_of +
           sizeof *b->slot + sizeof *b->arrival + sizeof *b->next + sizeof *b->first +
           sizeof *b->observed;
}

size_t batch_bytes_per_slot(void) {
    return sizeof *((batch *)NULL)->account_of;
}

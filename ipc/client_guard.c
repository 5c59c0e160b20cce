/*
 * client_guard.c - see client_guard.h. The same as the Python client's guard.py, but for the bytes
 * of its poison.
 *
 * Poison is a wrong answer: its top label is uniform among those that the model did not predict,
 * with a probability above one half; what is left is shared out at random. It is keyed by a secret
 * of this client, the account, the predicted class and the row's bytes, so that a repeated query
 * gets the same bytes and averaging reveals nothing.
 */
#include "client_guard.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

/* A failed allocation inside the table must not end the worker. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define REST_MOST 0.45 /* of the probabilities besides the top label's */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

enum { KEY_BYTES = ADDER_ACCOUNT_BYTES_MAX + 1, SEEDS = 3 };

/* A flagged name; the table keeps them in the order in which they were seen last. */
typedef struct {
    char key[KEY_BYTES]; /* 'a' or 'g', and the name without its NUL */
    uint8_t decision;    /* its last one, an adder_decision */
    UT_hash_handle hh;
} flagged;

struct client_guard {
    size_t flagged_max;
    unsigned char secret[crypto_generichash_KEYBYTES];
    pthread_mutex_t lock; /* of the two below */
    flagged *table;
    adder_counters counters;
};

client_guard *client_guard_open(size_t flagged_max) {
    client_guard *g = calloc(1, sizeof *g);
    if (g != NULL) {
        g->flagged_max = flagged_max;
        randombytes_buf(g->secret, sizeof g->secret);
        pthread_mutex_init(&g->lock, NULL);
    }
    return g;
}

/* With the lock, as all that have a table. */
static void drop(client_guard *g, flagged *f) {
    HASH_DELETE(hh, g->table, f);
    free(f);
}

void client_guard_close(client_guard *g) {
    if (g == NULL) {
        return;
    }
    while (g->table != NULL) {
        drop(g, g->table);
    }
    pthread_mutex_destroy(&g->lock);
    sodium_memzero(g->secret, sizeof g->secret);
    free(g);
}

/* ---- who is flagged ---- */

/* Names have been checked: 1 to ADDER_ACCOUNT_BYTES_MAX bytes. */
static size_t make_key(char key[KEY_BYTES], const char *name, bool is_group) {
    size_t length = strnlen(name, ADDER_ACCOUNT_BYTES_MAX);
    key[0] = is_group ? 'g' : 'a';
    memcpy(key + 1, name, length);
    return length + 1;
}

static flagged *find(client_guard *g, const char *name, bool is_group) {
    char key[KEY_BYTES];
    flagged *found;
    size_t length = make_key(key, name, is_group);
    HASH_FIND(hh, g->table, key, length, found);
    return found;
}

/* To take it out and put it in again makes it the one seen last. */
static void remember(client_guard *g, const char *name, bool is_group, uint8_t decision) {
    flagged *f = find(g, name, is_group);
    if (f != NULL) {
        HASH_DELETE(hh, g->table, f);
    } else if (HASH_COUNT(g->table) >= g->flagged_max) {
        f = g->table; /* the one seen longest ago; its memory serves again */
        HASH_DELETE(hh, g->table, f);
        g->counters.evicted++;
    } else {
        f = malloc(sizeof *f);
    }
    if (f == NULL) {
        return; /* without memory it is forgotten, as if it had been evicted */
    }
    memset(f, 0, sizeof *f);
    size_t length = make_key(f->key, name, is_group);
    f->decision = decision;
    HASH_ADD_KEYPTR(hh, g->table, f->key, length, f);
    if (f->hh.tbl == NULL) {
        free(f);
    }
}

static void learn(client_guard *g, const char *name, bool is_group, bool is_flagged,
                  uint8_t decision) {
    if (is_flagged) {
        remember(g, name, is_group, decision);
        return;
    }
    flagged *f = find(g, name, is_group);
    if (f != NULL) {
        drop(g, f);
    }
}

void client_guard_learn(client_guard *g, const adder_rows *rows, const adder_reply *reply) {
    pthread_mutex_lock(&g->lock);
    g->counters.answered++;
    for (size_t i = 0; i < reply->count; i++) {
        uint8_t decision = reply->decisions[i];
        bool is_flagged = decision == ADDER_POISON || decision == ADDER_LABEL_ONLY ||
                          (reply->verdicts != NULL && reply->verdicts[i] == ADDER_FLAGGED);
        if (is_flagged || g->table != NULL) {
            learn(g, rows->accounts[i], false, is_flagged, decision);
        }
        const char *group = rows->groups != NULL ? rows->groups[i] : NULL;
        bool group_flagged =
            reply->group_verdicts != NULL && reply->group_verdicts[i] == ADDER_FLAGGED;
        /* What is done to who is on the allow-list says nothing of the rest of its group. */
        bool exempt = reply->reasons != NULL && reply->reasons[i] == ADDER_ALLOWED;
        if (group != NULL && reply->group_verdicts != NULL && !(group_flagged && exempt)) {
            learn(g, group, true, group_flagged, decision);
        }
    }
    pthread_mutex_unlock(&g->lock);
}

void client_guard_forget(client_guard *g, const char *name, bool is_group) {
    pthread_mutex_lock(&g->lock);
    learn(g, name, is_group, false, 0);
    pthread_mutex_unlock(&g->lock);
}

void client_guard_refused(client_guard *g) {
    pthread_mutex_lock(&g->lock);
    g->counters.refused++;
    pthread_mutex_unlock(&g->lock);
}

void client_guard_count(client_guard *g, adder_counters *counters) {
    pthread_mutex_lock(&g->lock);
    *counters = g->counters;
    counters->flagged = HASH_COUNT(g->table);
    pthread_mutex_unlock(&g->lock);
}

/* ---- poison ---- */

static size_t row_bytes(const adder_rows *rows) {
    return rows->dim * (rows->dtype == ADDER_F32 ? 4 : 2);
}

static void make_seeds(const client_guard *g, const adder_rows *rows, size_t row,
                       uint64_t seed[SEEDS]) {
    crypto_generichash_state state;
    const char *account = rows->accounts[row];
    size_t bytes = row_bytes(rows);
    crypto_generichash_init(&state, g->secret, sizeof g->secret, SEEDS * sizeof *seed);
    crypto_generichash_update(&state, (const unsigned char *)rows->embeddings + row * bytes, bytes);
    crypto_generichash_update(&state, (const unsigned char *)&rows->classes[row],
                              sizeof rows->classes[row]);
    crypto_generichash_update(&state, (const unsigned char *)account, strlen(account));
    crypto_generichash_final(&state, (unsigned char *)seed, SEEDS * sizeof *seed);
}

/* In (0, 1): splitmix64's finish, which spreads what is counted up (Steele, Lea, Flood 2014). */
static double uniform(uint64_t word) {
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    word ^= word >> 31;
    return ((double)(word >> 11) + 0.5) * 0x1p-53;
}

/* One of the others: one step to classes - 1 steps on from the predicted one. */
static uint32_t draw_label(const uint64_t seed[SEEDS], uint32_t predicted, size_t classes) {
    uint64_t others = classes > 1 ? classes - 1 : 1;
    return (uint32_t)((predicted + 1 + seed[0] % others) % classes);
}

static void draw_probabilities(const uint64_t seed[SEEDS], uint32_t label, size_t classes,
                               float *out) {
    double total = 0.0, u = uniform(seed[2]);
    double rest = REST_MOST * u * u * u; /* mostly small, as a network's is */
    for (size_t pass = 0; pass < 2; pass++) {
        double scale = pass > 0 && total > 0.0 ? rest / total : 0.0;
        for (size_t c = 0; c < classes; c++) {
            /* Exponential: shared out uniformly once they are scaled. */
            double share = c == label ? 0.0 : -log(uniform(seed[1] + (c + 1) * GOLDEN));
            total += pass == 0 ? share : 0.0;
            out[c] = (float)(share * scale);
        }
    }
    out[label] = (float)(1.0 - (total > 0.0 ? rest : 0.0));
}

/* ---- the answer ---- */

bool client_guard_answers(adder_status status) {
    switch (status) {
    case ADDER_TIMED_OUT:
    case ADDER_UNREACHABLE:
    case ADDER_OVERLOADED:
    case ADDER_DRAINING:
    case ADDER_INTERNAL:
    case ADDER_EXPIRED:
        return true;
    default:
        return false;
    }
}

/* Of the row's account or else of its group. */
static void decide(client_guard *g, const client_guard_case *c, uint8_t *decisions,
                   uint8_t *verdicts) {
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < c->rows->count; i++) {
        const char *group = c->rows->groups != NULL ? c->rows->groups[i] : NULL;
        flagged *f = g->table != NULL ? find(g, c->rows->accounts[i], false) : NULL;
        if (f == NULL && group != NULL && g->table != NULL) {
            f = find(g, group, true);
        }
        decisions[i] = f != NULL && c->keep ? f->decision : ADDER_ALLOW;
        verdicts[i] = f != NULL ? ADDER_FLAGGED : ADDER_UNDECIDED;
    }
    pthread_mutex_unlock(&g->lock);
}

/* Arrays behind the reply, those of 4 bytes a value first. */
typedef struct {
    float *scores, *poison;
    uint32_t *fill, *poison_rows, *labels;
    uint8_t *decisions, *verdicts;
} places;

static adder_reply *reply_new(const client_guard_case *c, size_t poisoned, places *p) {
    size_t count = c->rows->count, words = 0, values = 0;
    size_t classes = c->hard_label ? 1 : c->classes;
    if (__builtin_mul_overflow(poisoned, classes, &values) ||
        __builtin_add_overflow(values, 2 * (count + poisoned), &words) ||
        words > (SIZE_MAX - 2 * count) / sizeof(uint32_t) - sizeof(adder_reply)) {
        return NULL;
    }
    adder_reply *reply = calloc(1, sizeof *reply + words * sizeof(uint32_t) + 2 * count);
    if (reply != NULL) {
        p->scores = (float *)(reply + 1);
        p->fill = (uint32_t *)(p->scores + count);
        p->poison_rows = p->fill + count;
        p->labels = p->poison_rows + poisoned;
        p->poison = (float *)(p->labels + poisoned);
        p->decisions = (uint8_t *)(p->poison + values);
        p->verdicts = p->decisions + count;
    }
    return reply;
}

static void draw(const client_guard *g, const client_guard_case *c, const places *p,
                 adder_reply *reply) {
    size_t k = 0;
    for (size_t i = 0; i < c->rows->count; i++) {
        uint64_t seed[SEEDS];
        if (p->decisions[i] != ADDER_POISON) {
            continue;
        }
        make_seeds(g, c->rows, i, seed);
        p->poison_rows[k] = (uint32_t)i;
        p->labels[k] = draw_label(seed, c->rows->classes[i], c->classes);
        if (!c->hard_label) {
            draw_probabilities(seed, p->labels[k], c->classes, p->poison + k * c->classes);
        }
        k++;
    }
    reply->poison_count = k;
    reply->poison_rows = p->poison_rows;
    reply->classes = c->hard_label ? 0 : c->classes;
    reply->poison = c->hard_label ? NULL : p->poison;
    reply->poison_labels = c->hard_label ? p->labels : NULL;
}

static void count_assumed(client_guard *g, const client_guard_case *c, size_t poisoned) {
    pthread_mutex_lock(&g->lock);
    g->counters.assumed++;
    g->counters.assumed_rows += c->rows->count;
    g->counters.assumed_poison_rows += poisoned;
    g->counters.by_cause[c->cause]++;
    pthread_mutex_unlock(&g->lock);
}

adder_reply *client_guard_answer(client_guard *g, const client_guard_case *c) {
    size_t count = c->rows->count, poisoned = 0;
    places p;
    uint8_t *decided = malloc(2 * count);
    if (decided == NULL) {
        return NULL;
    }
    decide(g, c, decided, decided + count);
    for (size_t i = 0; i < count; i++) {
        poisoned += decided[i] == ADDER_POISON;
    }
    bool drawn = c->rows->want_poison && c->classes > 0 && poisoned > 0;
    adder_reply *reply = reply_new(c, drawn ? poisoned : 0, &p);
    if (reply != NULL) {
        memcpy(p.decisions, decided, 2 * count);
        for (size_t i = 0; i < count; i++) {
            p.scores[i] = NAN;
        }
        *reply = (adder_reply){.count = count,
                               .scores = p.scores,
                               .decisions = p.decisions,
                               .fill = p.fill,
                               .verdicts = p.verdicts,
                               .assumed = true,
                               .cause = c->cause};
        if (drawn) {
            draw(g, c, &p, reply);
        }
        count_assumed(g, c, poisoned);
    }
    free(decided);
    return reply;
}

/*
 * evidence.c - see evidence.h. All logarithms are taken when the rules are opened; an observation
 * costs a search and a few additions a row.
 */
#include "evidence.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const double evidence_share[EVIDENCE_SHARES] = {1.0, 0.6, 0.35, 0.2, 0.1, 0.05};

#define SCORE_MAX 38.0 /* beyond it the tail is no double */
enum { HALVINGS = 60 };

/* A sum may run ahead of its limit so far, or the account would never come down again. */
static const float ahead_max = 2.0f;
/* Old windows' pairs count less by this for each later window. */
static const float pairs_kept = 0.98f;

/* What a p-value says, by share. */
typedef struct {
    float by_share[EVIDENCE_SHARES];
} bet;

/* Honest lists with the bet for each rank that a value can have among them. */
typedef struct {
    size_t lists;
    size_t *first;
    float *value;
    bet *bets;      /* list i has its count + 1 from first[i] + i on; rank 0 is the most extreme */
    bet *deviation; /* [lists] standard deviation of the bets of honest values */
} channel;

struct evidence_rules {
    evidence_options options; /* its lists are not used */
    channel alignment;
    channel excess;
};

/* -Phi^-1(p), by halving where the normal distribution's upper tail holds p. */
static double normal_score(double p) {
    double low = -SCORE_MAX;
    double high = SCORE_MAX;
    for (size_t i = 0; i < HALVINGS; i++) {
        double middle = 0.5 * (low + high);
        if (0.5 * erfc(middle * sqrt(0.5)) > p) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 0.5 * (low + high);
}

double evidence_bet(double p) {
    return exp(normal_score(p) - 0.5);
}

static double bet_of_rank(size_t rank, size_t count) {
    return evidence_bet(((double)rank + 0.5) / (double)(count + 1));
}

static size_t list_count(const channel *c, size_t list) {
    return c->first[list + 1] - c->first[list];
}

static const bet *list_bets(const channel *c, size_t list) {
    return c->bets + c->first[list] + list;
}

/* Bets of one list, by rank. */
static void fill_list(channel *c, size_t list) {
    size_t count = list_count(c, list);
    bet *bets = c->bets + c->first[list] + list;
    double mean = 0.0;
    for (size_t r = 0; r <= count; r++) {
        mean += bet_of_rank(r, count) / (double)(count + 1);
    }
    for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
        double pi = evidence_share[k];
        double sum = 0.0;
        double squares = 0.0;
        for (size_t r = 0; r <= count; r++) {
            double scaled = bet_of_rank(r, count) / mean;
            double says = log(1.0 - pi + pi * scaled);
            bets[r].by_share[k] = (float)says;
            sum += says;
            squares += says * says;
        }
        double n = (double)(count + 1);
        double variance = squares / n - sum / n * (sum / n);
        c->deviation[list].by_share[k] = (float)sqrt(variance > 0.0 ? variance : 0.0);
    }
}

static bool channel_open(channel *c, const evidence_honest *honest) {
    size_t values = honest->lists == 0 ? 0 : honest->first[honest->lists];
    c->lists = honest->lists;
    c->first = calloc(honest->lists + 1, sizeof *c->first);
    c->value = calloc(values + 1, sizeof *c->value);
    c->bets = calloc(values + honest->lists + 1, sizeof *c->bets);
    c->deviation = calloc(honest->lists + 1, sizeof *c->deviation);
    if (!c->first || !c->value || !c->bets || !c->deviation) {
        return false;
    }
    if (honest->lists > 0) {
        memcpy(c->first, honest->first, (honest->lists + 1) * sizeof *c->first);
        memcpy(c->value, honest->value, values * sizeof *c->value);
    }
    for (size_t i = 0; i < honest->lists; i++) {
        fill_list(c, i);
    }
    return true;
}

static void channel_close(channel *c) {
    free(c->deviation);
    free(c->bets);
    free(c->value);
    free(c->first);
}

evidence_rules *evidence_open(const evidence_options *options) {
    assert(options->alignment.lists == options->kinds * options->classes);
    evidence_rules *rules = calloc(1, sizeof *rules);
    if (rules == NULL) {
        return NULL;
    }
    rules->options = *options;
    if (!channel_open(&rules->alignment, &options->alignment) ||
        !channel_open(&rules->excess, &options->excess)) {
        evidence_close(rules);
        return NULL;
    }
    return rules;
}

void evidence_close(evidence_rules *rules) {
    if (rules != NULL) {
        channel_close(&rules->excess);
        channel_close(&rules->alignment);
        free(rules);
    }
}

/* How many of the list's values are below x, or up to it. */
static size_t count_below(const channel *c, size_t list, float x, bool or_equal) {
    const float *value = c->value + c->first[list];
    size_t low = 0;
    size_t high = list_count(c, list);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (value[middle] < x || (or_equal && value[middle] == x)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

typedef struct {
    size_t list;
    size_t rank; /* how many honest values are at least as extreme */
    double p;    /* 0: none yet */
} place;

/* Where the value has its highest p-value so far. A list without values says nothing. */
static void take_kinder(place *kindest, const channel *c, size_t list, size_t rank) {
    size_t count = list_count(c, list);
    double p = count == 0 ? 0.0 : (double)(rank + 1) / (double)(count + 1);
    if (p > kindest->p) {
        *kindest = (place){list, rank, p};
    }
}

/* Adds to the sums what the place says, less a tolerance for a mean of n independent values. */
static void add_bet(const evidence_rules *rules, float *sum, const channel *c, const place *at,
                    double n) {
    if (at->p == 0.0) {
        return;
    }
    const bet *says = &list_bets(c, at->list)[at->rank];
    const bet *deviation = &c->deviation[at->list];
    float scale = (float)(rules->options.tolerance_deviations / sqrt(n));
    for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
        float next = sum[k] + says->by_share[k] - scale * deviation->by_share[k];
        sum[k] = next > 0.0f ? next : 0.0f;
    }
}

static place place_row(const evidence_rules *rules, size_t class, float alignment) {
    const channel *c = &rules->alignment;
    place kindest = {.p = 0.0};
    for (size_t list = class; list < c->lists; list += rules->options.classes) {
        take_kinder(&kindest, c, list, count_below(c, list, alignment, true));
    }
    return kindest;
}

static void add_row(const evidence_rules *rules, evidence *e, size_t class, float alignment,
                    double concentration) {
    const channel *c = &rules->alignment;
    place kindest = place_row(rules, class, alignment);
    add_bet(rules, e->sum[EVIDENCE_ROWS], c, &kindest,
            (double)list_count(c, kindest.list) / concentration);
}

static void add_window(const evidence_rules *rules, evidence *e, double excess,
                       double concentration) {
    const evidence_options *o = &rules->options;
    const channel *c = &rules->excess;
    place kindest = {.p = 0.0};
    for (size_t list = 0; list < c->lists; list++) {
        size_t less = count_below(c, list, (float)excess, false);
        take_kinder(&kindest, c, list, list_count(c, list) - less);
    }
    add_bet(rules, e->sum[EVIDENCE_WINDOWS], c, &kindest,
            o->rows_per_class / ((double)o->window_rows * concentration));
}

static void hold_back(const evidence_rules *rules, evidence *e) {
    for (size_t c = 0; c < EVIDENCE_CHANNELS; c++) {
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            float most = ahead_max * (float)rules->options.limit[c][k];
            e->sum[c][k] = e->sum[c][k] < most ? e->sum[c][k] : most;
        }
    }
}

void evidence_observe(const evidence_rules *rules, evidence *e,
                      const evidence_observation *observation) {
    const evidence_options *o = &rules->options;
    float pairs = (float)observation->fill * (float)(observation->fill - 1) / 2.0f;
    float same = pairs * (float)observation->concentration;
    /* One pair of the same class stands at the beginning: a first row knows no other. */
    double concentration = (double)((e->same_pairs + same + 1.0f) / (e->pairs + pairs + 1.0f));
    for (size_t i = 0; i < observation->rows; i++) {
        add_row(rules, e, observation->classes[i], observation->alignments[i], concentration);
    }
    e->rows_since_window += (uint32_t)observation->rows;
    if (e->rows_since_window >= o->window_rows) {
        add_window(rules, e, observation->excess, concentration);
        e->pairs = e->pairs * pairs_kept + pairs;
        e->same_pairs = e->same_pairs * pairs_kept + same;
        e->rows_since_window = 0;
    }
    hold_back(rules, e);
}

double evidence_level(const evidence_rules *rules, const evidence *e, evidence_channel channel) {
    double level = 0.0;
    for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
        double here = (double)e->sum[channel][k] / rules->options.limit[channel][k];
        level = here > level ? here : level;
    }
    return level;
}

double evidence_window(const evidence_rules *rules, const evidence_observation *observation) {
    double sum = 0.0;
    for (size_t i = 0; i < observation->rows; i++) {
        place at = place_row(rules, observation->classes[i], observation->alignments[i]);
        if (at.p > 0.0) {
            sum += (double)list_bets(&rules->alignment, at.list)[at.rank].by_share[0];
        }
    }
    return sum;
}

size_t evidence_rows_min(const evidence_rules *rules) {
    double fewest = INFINITY;
    for (size_t list = 0; list < rules->alignment.lists; list++) {
        for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
            double most = (double)list_bets(&rules->alignment, list)[0].by_share[k];
            double rows = most > 0.0 ? rules->options.limit[EVIDENCE_ROWS][k] / most : INFINITY;
            fewest = rows < fewest ? rows : fewest;
        }
    }
    return fewest < 1e9 ? (size_t)floor(fewest) + 1 : SIZE_MAX;
}

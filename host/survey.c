/*
 * survey.c - see survey.h.
 */
#include "survey.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

static_assert(SURVEY_TOP_MAX <= UINT8_MAX, "an order fits");

typedef struct {
    survey *survey;
    size_t next; /* slot */
    bool done;
} walk;

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* What is not known is less than anything. */
static double risk_of(const judge_standing *standing) {
    double risk = isnan(standing->level) ? standing->score : standing->level;
    return isnan(risk) ? -(double)INFINITY : risk;
}

/* Evidence has a highest value, which many have; their excess tells them apart. */
static bool is_riskier(const survey_account *a, const survey_account *b) {
    return a->risk != b->risk ? a->risk > b->risk : a->standing.excess > b->standing.excess;
}

/* The place of who falls out is the newcomer's; names are copied, since a slot may have passed on
 * to somebody else by the next visit. */
static void rank(survey *s, const survey_account *found, accounts_name name) {
    bool full = s->top == SURVEY_TOP_MAX;
    if (full && !is_riskier(found, &s->account[s->order[s->top - 1]])) {
        return;
    }
    uint8_t place = full ? s->order[s->top - 1] : (uint8_t)s->top;
    size_t at = full ? s->top - 1 : s->top++;
    for (; at > 0 && is_riskier(found, &s->account[s->order[at - 1]]); at--) {
        s->order[at] = s->order[at - 1];
    }
    s->order[at] = place;
    s->account[place] = *found;
    memcpy(s->account[place].name, name.bytes, name.length);
}

static void count(survey *s, accounts_name name, const judge_standing *standing) {
    s->accounts += !name.is_group;
    s->groups += name.is_group;
    s->flagged += standing->verdict == WIRE_FLAGGED;
    s->undecided += standing->verdict == WIRE_UNDECIDED;
    if (!isnan(standing->level)) {
        s->levels++;
        s->level_in[metrics_level_bucket(standing->level)]++;
    }
}

static void look(void *context, const snapshot_state *state) {
    walk *w = context;
    survey *s = w->survey;
    double since = now_ms();
    size_t end = w->next + SURVEY_SLOTS_EACH;
    s->limit = judge_limit(state->judge);
    s->has_evidence = judge_has_evidence(state->judge);
    for (; w->next < end && w->next < state->accounts_max; w->next++) {
        uint32_t slot = (uint32_t)w->next;
        accounts_name name = accounts_name_of(state->accounts, slot);
        if (name.length == 0) {
            continue;
        }
        survey_account found = {.name_bytes = name.length,
                                .is_group = name.is_group,
                                .standing = judge_stand(state->judge, slot)};
        found.risk = risk_of(&found.standing);
        count(s, name, &found.standing);
        rank(s, &found, name);
    }
    w->done = w->next >= state->accounts_max;
    s->visits++;
    s->held_ms_max = fmax(s->held_ms_max, now_ms() - since);
}

bool survey_take(survey *s, survey_visit visit, void *host) {
    walk w = {.survey = s};
    double since = now_ms();
    *s = (survey){0};
    while (!w.done) {
        if (!visit(host, look, &w)) {
            return false;
        }
    }
    s->took_ms = now_ms() - since;
    return true;
}

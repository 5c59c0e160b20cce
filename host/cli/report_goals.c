/*
 * report_goals.c - what this detector is to reach, held against what was measured: of the attacks
 * the one in which it is worst.
 */
#include "report.h"

#include <math.h>

#include "interval.h"

/* Of windows alone (queries 0), by evidence_window, or of accounts after so many queries. */
typedef struct {
    const char *text;
    evaluation_role role;
    double hostile_share;
    size_t queries;
    double wanted;
} goal;

static const goal goals[] = {
    {"unmixed: accounts within 32 queries", EVALUATION_UNMIXED, 1.0, 32, 0.999},
    {"one class a window: windows", EVALUATION_ONE_CLASS, 1.0, 0, 0.99},
    {"one class a window: accounts within 32", EVALUATION_ONE_CLASS, 1.0, 32, 0.999},
    {"two classes a window: windows", EVALUATION_TWO_CLASSES, 1.0, 0, 0.99},
    {"two classes a window: accounts within 32", EVALUATION_TWO_CLASSES, 1.0, 32, 0.999},
    {"50 % hostile: accounts within 64", EVALUATION_MIXED, 0.5, 64, 0.999},
    {"25 % hostile: accounts within 160", EVALUATION_MIXED, 0.25, 160, 0.999},
    {"10 % hostile: accounts within 1,024", EVALUATION_MIXED, 0.1, 1024, 0.99},
    {"5 % hostile: accounts within 4,096", EVALUATION_MIXED, 0.05, 4096, 0.9},
    /* A group is scored as one account, so 64 of 8 queries are one stream of 512. */
    {"group of 64 accounts, 8 queries each, as one stream", EVALUATION_UNMIXED, 1.0, 512, 0.99},
    {"in file order: accounts within 64", EVALUATION_IN_ORDER, 1.0, 64, 0.999},
};
enum { GOALS = sizeof goals / sizeof *goals };

static interval measured(const evaluation *e, const goal *g, const simulate_cell *cell) {
    return g->queries == 0 ? interval_wilson(cell->above[PANEL_WINDOW], cell->windows)
                           : interval_wilson(simulate_flagged(cell, PANEL_EVIDENCE, g->queries),
                                             e->plan->accounts);
}

static json_t *measure_goal(const evaluation *e, const goal *g) {
    interval worst = {.share = INFINITY};
    const char *name = NULL;
    for (size_t i = 0; i < e->groups; i++) {
        const evaluation_accounts *a = &e->accounts[i];
        if (a->role == g->role && (a->cell.recipe.hostile_share == g->hostile_share)) {
            interval here = measured(e, g, &a->cell);
            if (here.share < worst.share) {
                worst = here;
                name = a->source->pair.name;
            }
        }
    }
    if (name == NULL) {
        return json_pack("{s:s, s:f, s:n}", "goal", g->text, "wanted", g->wanted, "measured");
    }
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:s, s:b}", "goal", g->text, "wanted", g->wanted,
                     "measured", worst.share, "low", worst.low, "high", worst.high, "worst", name,
                     "reached", worst.share >= g->wanted);
}

json_t *report_goals(const evaluation *e) {
    json_t *all = json_array();
    for (size_t i = 0; i < GOALS; i++) {
        if (json_array_append_new(all, measure_goal(e, &goals[i])) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

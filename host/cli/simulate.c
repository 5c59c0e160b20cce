/*
 * simulate.c - see simulate.h. Some accounts' windows at a time are drawn, judged together, and
 * then told to the accounts in order.
 */
#include "simulate.h"

#include <math.h>
#include <stdlib.h>

#include "cli.h"
#include "drawer.h"

enum { CHUNK_ROWS = 1 << 17 };

const size_t simulate_horizon[SIMULATE_HORIZONS] = {0, 32, 64, 160, 512, 1024, 4096, SIZE_MAX};

typedef struct {
    const panel *panel;
    const simulate_recipe *recipe;
    simulate_cell *cell;
    drawer hostile;
    drawer honest;
    sampling_random random;
    size_t windows_each; /* of an account */
    size_t accounts_max; /* of a chunk */
    size_t *first;       /* [accounts_max * windows_each + 1] */
    uint32_t *row;
    double *values[PANEL_DETECTORS]; /* [accounts_max * windows_each] */
    double *concentration;           /* likewise */
} simulation;

static size_t draw_mixed(simulation *s, uint32_t *row) {
    const simulate_recipe *r = s->recipe;
    size_t taken = 0;
    for (size_t i = 0; i < s->panel->window_rows; i++) {
        bool hostile = r->hostile != NULL && mixture_unit(&s->random) < r->hostile_share;
        size_t next = drawer_take(hostile ? &s->hostile : &s->honest, &s->random);
        if (next != SIZE_MAX) {
            row[taken++] = (uint32_t)next;
        }
    }
    return taken;
}

static size_t draw_in_order(simulation *s, size_t from, uint32_t *row) {
    const corpus_source *source = s->recipe->hostile;
    for (size_t i = 0; i < s->panel->window_rows; i++) {
        row[i] = (uint32_t)(source->first + (from + i) % source->rows);
    }
    return s->panel->window_rows;
}

static void new_mixtures(simulation *s) {
    const simulate_recipe *r = s->recipe;
    if (r->hostile != NULL) {
        drawer_new_account(&s->hostile, &s->random, r->kind);
    }
    if (r->honest != NULL) {
        drawer_new_account(&s->honest, &s->random, r->kind);
    }
}

/* All windows of an account, from `done` windows of the chunk on. */
static void draw_account(simulation *s, size_t account, size_t done) {
    const simulate_recipe *r = s->recipe;
    size_t start =
        r->in_order && account > 0 ? (size_t)(sampling_next(&s->random) % r->hostile->rows) : 0;
    new_mixtures(s);
    for (size_t k = 0; k < s->windows_each; k++) {
        uint32_t *row = s->row + s->first[done + k];
        if (r->kind_by_window && k > 0) {
            new_mixtures(s);
        }
        if (r->hostile != NULL) {
            drawer_new_window(&s->hostile);
        }
        if (r->honest != NULL) {
            drawer_new_window(&s->honest);
        }
        size_t taken = r->in_order ? draw_in_order(s, start + k * s->panel->window_rows, row)
                                   : draw_mixed(s, row);
        s->first[done + k + 1] = s->first[done + k] + taken;
    }
}

/* Where an account stands after its window k, at the horizons that it has come to. */
static void keep_best(simulation *s, size_t account, size_t k, const double *best) {
    size_t w = s->panel->window_rows;
    for (size_t h = 0; h < SIMULATE_HORIZONS; h++) {
        size_t windows = h == 0                       ? 1
                         : h == SIMULATE_HORIZONS - 1 ? s->windows_each
                                                      : simulate_horizon[h] / w;
        for (size_t d = 0; k + 1 == windows && d < PANEL_DETECTORS; d++) {
            s->cell->best[d][h * s->recipe->accounts + account] = best[d];
        }
    }
}

static void panel_windows_of(simulation *s, size_t account, size_t done) {
    simulate_cell *cell = s->cell;
    evidence e = {0};
    double best[PANEL_DETECTORS];
    size_t queries = 0;
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        best[d] = -INFINITY;
        cell->flagged_at[d][account] = INFINITY;
    }
    for (size_t k = 0; k < s->windows_each; k++) {
        size_t first = s->first[done + k];
        size_t rows = s->first[done + k + 1] - first;
        queries += rows;
        s->values[PANEL_EVIDENCE][done + k] =
            panel_account(s->panel, &e, s->row + first, rows, s->values[PANEL_EXCESS][done + k],
                          s->concentration[done + k]);
        for (size_t d = 0; d < PANEL_DETECTORS; d++) {
            double value = s->values[d][done + k];
            bool above = value > s->panel->threshold[d];
            cell->above[d] += above;
            best[d] = isnan(value) ? value : fmax(best[d], value);
            if (above && isinf(cell->flagged_at[d][account])) {
                cell->flagged_at[d][account] = (double)queries;
            }
        }
        keep_best(s, account, k, best);
    }
    cell->windows += s->windows_each;
}

static bool run_chunk(simulation *s, size_t account, size_t count) {
    for (size_t a = 0; a < count; a++) {
        draw_account(s, account + a, a * s->windows_each);
    }
    scorer_windows windows = {.data = &s->panel->corpus->data,
                              .windows = count * s->windows_each,
                              .first = s->first,
                              .row = s->row};
    if (!panel_windows(s->panel, &windows, s->values, s->concentration)) {
        return false;
    }
    for (size_t a = 0; a < count; a++) {
        panel_windows_of(s, account + a, a * s->windows_each);
    }
    return true;
}

static bool cell_open(simulate_cell *cell) {
    size_t accounts = cell->recipe.accounts;
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        cell->best[d] = calloc(SIMULATE_HORIZONS * accounts, sizeof(double));
        cell->flagged_at[d] = calloc(accounts, sizeof(double));
        if (cell->best[d] == NULL || cell->flagged_at[d] == NULL) {
            return false;
        }
        for (size_t i = 0; i < SIMULATE_HORIZONS * accounts; i++) {
            cell->best[d][i] = NAN;
        }
    }
    return true;
}

static bool open_drawer(const simulation *s, drawer *d, const corpus_source *source, size_t classes,
                        size_t least) {
    return drawer_open(d, &(drawer_rows){.class_of = s->panel->corpus->data.classes,
                                         .first = source->first,
                                         .rows = source->rows,
                                         .classes = classes,
                                         .least = least});
}

static bool simulation_open(simulation *s, size_t classes) {
    const simulate_recipe *r = s->recipe;
    size_t w = s->panel->window_rows;
    s->windows_each = r->queries / w > 0 ? r->queries / w : 1;
    s->accounts_max = CHUNK_ROWS / (s->windows_each * w) + 1;
    size_t windows = s->accounts_max * s->windows_each;
    bool fine = true;
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        s->values[d] = calloc(windows, sizeof(double));
        fine = fine && s->values[d] != NULL;
    }
    s->concentration = calloc(windows, sizeof *s->concentration);
    s->first = calloc(windows + 1, sizeof *s->first);
    s->row = calloc(windows * w, sizeof *s->row);
    fine = fine && s->concentration && s->first && s->row;
    /* Queries sorted by class come in full windows. */
    size_t least = r->kind_by_window ? w : 0;
    if (r->hostile != NULL) {
        fine = fine && open_drawer(s, &s->hostile, r->hostile, classes, least);
    }
    if (r->honest != NULL) {
        fine = fine && open_drawer(s, &s->honest, r->honest, classes, least);
    }
    return fine;
}

static void simulation_close(simulation *s) {
    drawer_close(&s->honest);
    drawer_close(&s->hostile);
    free(s->row);
    free(s->first);
    free(s->concentration);
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        free(s->values[d]);
    }
}

bool simulate_run(simulate_cell *cell, const panel *panel, const simulate_recipe *recipe,
                  size_t classes) {
    *cell = (simulate_cell){.recipe = *recipe};
    simulation s = {.panel = panel, .recipe = recipe, .cell = cell, .random = {recipe->seed}};
    bool fine = cell_open(cell) && simulation_open(&s, classes);
    for (size_t done = 0; fine && done < recipe->accounts;) {
        size_t left = recipe->accounts - done;
        size_t count = left < s.accounts_max ? left : s.accounts_max;
        fine = run_chunk(&s, done, count);
        done += count;
        cli_progress(recipe->label, done, recipe->accounts);
    }
    simulation_close(&s);
    return fine;
}

void simulate_close(simulate_cell *cell) {
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        free(cell->flagged_at[d]);
        free(cell->best[d]);
    }
    *cell = (simulate_cell){0};
}

size_t simulate_flagged(const simulate_cell *cell, panel_detector detector, size_t queries) {
    size_t flagged = 0;
    for (size_t a = 0; a < cell->recipe.accounts; a++) {
        flagged += cell->flagged_at[detector][a] <= (double)queries;
    }
    return flagged;
}

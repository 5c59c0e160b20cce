/*
 * alarms.c - see alarms.h.
 */
#include "alarms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "mixture.h"
#include "sampling.h"

#define TAIL_SHARE 0.05
/* Where accounts are still many enough to count how often several sums alarm together. */
#define JOINT_SHARE 0.005
/* A limit of nothing would be passed by nothing. */
#define LIMIT_MIN 0.01

enum {
    SUMS = EVIDENCE_CHANNELS * EVIDENCE_SHARES,
    WINDOWS_KEPT = 16, /* of an account, its first */
};

/* The highest that each sum of an account came to. */
typedef struct {
    double sum[SUMS];
} peak;

typedef struct {
    const evidence_options *options;
    const alarms_plan *plan;
    evidence_rules *rules; /* with limits so high that no sum is held back */
    sampling_random random;
    size_t *count; /* [classes] honest rows */
    double *share; /* [classes] of the account's rows, as running sums */
    double *gap;   /* running sums of the gaps' weights, those of list i from first[i] + i on */
    double *excess_gap; /* [excess_gaps] likewise, of windows */
    size_t excess_gaps;
    uint32_t *classes; /* [window_rows] */
    float *alignments; /* [window_rows] */
    uint32_t *held;    /* [classes] rows of the window */
    peak *peaks;       /* [groups, accounts] */
    double *windows;   /* [groups, accounts, WINDOWS_KEPT] evidence of single windows */
    size_t groups;
} simulation;

static void draw_gaps(sampling_random *random, double *running, size_t gaps) {
    double sum = 0.0;
    for (size_t i = 0; i < gaps; i++) {
        sum -= log(mixture_unit(random));
        running[i] = sum;
    }
}

static size_t list_count(const evidence_honest *honest, size_t list) {
    return honest->first[list + 1] - honest->first[list];
}

static void draw_shares(simulation *s, size_t data, size_t kind) {
    const evidence_options *o = s->options;
    for (size_t c = 0; c < o->classes; c++) {
        s->count[c] = list_count(&o->alignment, data * o->classes + c);
    }
    mixture_draw(&s->random, (mixture_kind)kind, s->count, o->classes, s->share);
}

/* A world for the account to live in. Windows share their rows' uncertainty: of n rows a class a
 * window's mean knows as much as n / (W concentration) of its own kind. */
static void draw_world(simulation *s, size_t data) {
    const evidence_options *o = s->options;
    double last = 0.0;
    double concentration = 0.0;
    double all = s->share[o->classes - 1];
    for (size_t c = 0; c < o->classes; c++) {
        size_t list = data * o->classes + c;
        double share = (s->share[c] - last) / all;
        last = s->share[c];
        concentration += share * share;
        if (share > 0.0) {
            draw_gaps(&s->random, s->gap + o->alignment.first[list] + list,
                      list_count(&o->alignment, list) + 1);
        }
    }
    double gaps = o->rows_per_class / ((double)o->window_rows * concentration);
    s->excess_gaps = gaps < 2.0 ? 2 : (size_t)gaps;
    draw_gaps(&s->random, s->excess_gap, s->excess_gaps);
}

/* A value that has as many honest ones below it as the gap that was drawn. */
static float draw_alignment(simulation *s, size_t list) {
    const evidence_honest *honest = &s->options->alignment;
    size_t first = honest->first[list];
    size_t rank =
        mixture_pick(s->gap + first + list, list_count(honest, list) + 1, mixture_unit(&s->random));
    return rank == 0 ? -INFINITY : honest->value[first + rank - 1];
}

static double draw_excess(simulation *s, size_t list) {
    const evidence_honest *honest = &s->options->excess;
    if (honest->lists == 0) {
        return 0.0;
    }
    size_t gap = mixture_pick(s->excess_gap, s->excess_gaps, mixture_unit(&s->random));
    double p = ((double)gap + mixture_unit(&s->random)) / (double)s->excess_gaps;
    size_t count = list_count(honest, list);
    size_t rank = (size_t)(p * (double)(count + 1));
    return rank == 0 ? INFINITY : (double)honest->value[honest->first[list] + count - rank];
}

/* The next W rows of the account; returns their concentration. */
static double draw_rows(simulation *s, size_t data) {
    const evidence_options *o = s->options;
    double same = 0.0;
    for (size_t i = 0; i < o->window_rows; i++) {
        size_t class = mixture_pick(s->share, o->classes, mixture_unit(&s->random));
        same += 2.0 * s->held[class]++;
        s->classes[i] = (uint32_t) class;
        s->alignments[i] = draw_alignment(s, data * o->classes + class);
    }
    for (size_t i = 0; i < o->window_rows; i++) {
        s->held[s->classes[i]] = 0;
    }
    double pairs = (double)o->window_rows * (double)(o->window_rows - 1);
    return pairs > 0.0 ? same / pairs : 1.0;
}

static void keep_highest(peak *peak, const evidence *e) {
    for (size_t i = 0; i < SUMS; i++) {
        double sum = (double)e->sum[i / EVIDENCE_SHARES][i % EVIDENCE_SHARES];
        peak->sum[i] = sum > peak->sum[i] ? sum : peak->sum[i];
    }
}

/* One account of a kind, asking about one kind of data. */
static void run_account(simulation *s, size_t data, size_t kind, peak *peak, double *windows) {
    const evidence_options *o = s->options;
    evidence e = {0};
    draw_shares(s, data, kind);
    draw_world(s, data);
    for (size_t done = 0; done < s->plan->queries || done / o->window_rows < WINDOWS_KEPT;
         done += o->window_rows) {
        double concentration = draw_rows(s, data);
        evidence_observation seen = {.rows = o->window_rows,
                                     .classes = s->classes,
                                     .alignments = s->alignments,
                                     .excess = draw_excess(s, data * ALARMS_KINDS + kind),
                                     .fill = o->window_rows,
                                     .concentration = concentration};
        if (done / o->window_rows < WINDOWS_KEPT) {
            windows[done / o->window_rows] = evidence_window(s->rules, &seen);
        }
        if (done < s->plan->queries) {
            evidence_observe(s->rules, &e, &seen);
            keep_highest(peak, &e);
        }
    }
}

/* An exponential tail: a share TAIL_SHARE lies above `from`, by `mean` on average. */
typedef struct {
    double from;
    double mean;
} tail;

static tail tail_of(double *sorted, size_t count) {
    tail tail = {.from = sampling_upper(sorted, count, TAIL_SHARE)};
    size_t above = 0;
    double sum = 0.0;
    for (size_t i = count; i-- > 0 && sorted[i] > tail.from;) {
        sum += sorted[i] - tail.from;
        above++;
    }
    tail.mean = above > 0 ? sum / (double)above : 0.0;
    return tail;
}

/* The share of accounts above a value; counted where they are many, else by the tail. */
static double share_above(const tail *tail, double value) {
    return value <= tail->from ? 1.0
           : tail->mean > 0.0  ? TAIL_SHARE * exp((tail->from - value) / tail->mean)
                               : 0.0;
}

static double value_at(const tail *tail, double share) {
    return tail->from + tail->mean * log(TAIL_SHARE / share);
}

/* How many times rarer than all sums together one of them may alarm: sums alarm together. */
static double joint_factor(const simulation *s, const tail *worst) {
    size_t accounts = s->plan->accounts;
    double most = 1.0;
    for (size_t g = 0; g < s->groups; g++) {
        size_t alarmed = 0;
        for (size_t a = 0; a < accounts; a++) {
            double rarest = 1.0;
            for (size_t i = 0; i < SUMS; i++) {
                double share = share_above(&worst[i], s->peaks[g * accounts + a].sum[i]);
                rarest = share < rarest ? share : rarest;
            }
            alarmed += rarest < JOINT_SHARE;
        }
        double factor = (double)alarmed / (double)accounts / JOINT_SHARE;
        most = factor > most ? factor : most;
    }
    return most;
}

/* Of each sum the tail of the kind of account for which the limit comes out highest. */
static void find_limits(simulation *s, evidence_options *options, double *values) {
    size_t accounts = s->plan->accounts;
    tail worst[SUMS];
    double rare = s->plan->share / SUMS;
    for (size_t i = 0; i < SUMS; i++) {
        for (size_t g = 0; g < s->groups; g++) {
            for (size_t a = 0; a < accounts; a++) {
                values[a] = s->peaks[g * accounts + a].sum[i];
            }
            sampling_sort(values, accounts);
            tail here = tail_of(values, accounts);
            worst[i] =
                g == 0 || value_at(&here, rare) > value_at(&worst[i], rare) ? here : worst[i];
        }
    }
    double share = s->plan->share / joint_factor(s, worst);
    for (size_t i = 0; i < SUMS; i++) {
        double limit = value_at(&worst[i], share < TAIL_SHARE ? share : TAIL_SHARE);
        options->limit[i / EVIDENCE_SHARES][i % EVIDENCE_SHARES] =
            limit > LIMIT_MIN ? limit : LIMIT_MIN;
    }
}

/* Of windows alone: the kind of account counts whose windows say most. */
static double find_window_limit(simulation *s) {
    size_t count = s->plan->accounts * WINDOWS_KEPT;
    double limit = LIMIT_MIN;
    for (size_t g = 0; g < s->groups; g++) {
        double *windows = s->windows + g * count;
        sampling_sort(windows, count);
        double here = sampling_upper(windows, count, s->plan->fpr);
        limit = here > limit ? here : limit;
    }
    return limit;
}

static bool simulation_open(simulation *s, const evidence_options *options) {
    evidence_options endless = *options;
    for (size_t i = 0; i < SUMS; i++) {
        endless.limit[i / EVIDENCE_SHARES][i % EVIDENCE_SHARES] = 1e30;
    }
    size_t lists = options->alignment.lists;
    /* The concentration is at least 1 / classes. */
    size_t gaps_max =
        (size_t)(options->rows_per_class * (double)options->classes / (double)options->window_rows);
    s->groups = options->kinds * ALARMS_KINDS;
    s->rules = evidence_open(&endless);
    s->count = calloc(options->classes, sizeof *s->count);
    s->share = calloc(options->classes, sizeof *s->share);
    s->gap = calloc(options->alignment.first[lists] + lists, sizeof *s->gap);
    s->excess_gap = calloc(gaps_max + 3, sizeof *s->excess_gap);
    s->classes = calloc(options->window_rows, sizeof *s->classes);
    s->alignments = calloc(options->window_rows, sizeof *s->alignments);
    s->held = calloc(options->classes, sizeof *s->held);
    s->peaks = calloc(s->groups * s->plan->accounts, sizeof *s->peaks);
    s->windows = calloc(s->groups * s->plan->accounts * WINDOWS_KEPT, sizeof *s->windows);
    return s->rules && s->count && s->share && s->gap && s->excess_gap && s->classes &&
           s->alignments && s->held && s->peaks && s->windows;
}

static void simulation_close(simulation *s) {
    free(s->windows);
    free(s->peaks);
    free(s->held);
    free(s->alignments);
    free(s->classes);
    free(s->excess_gap);
    free(s->gap);
    free(s->share);
    free(s->count);
    evidence_close(s->rules);
}

bool alarms_limits(evidence_options *options, const alarms_plan *plan) {
    simulation s = {.options = options, .plan = plan, .random = {plan->seed}};
    double *values = calloc(plan->accounts, sizeof *values);
    bool fine = values != NULL && simulation_open(&s, options);
    for (size_t g = 0; fine && g < s.groups; g++) {
        for (size_t a = 0; a < plan->accounts; a++) {
            size_t at = g * plan->accounts + a;
            run_account(&s, g / ALARMS_KINDS, g % ALARMS_KINDS, &s.peaks[at],
                        s.windows + at * WINDOWS_KEPT);
            cli_progress(plan->label, g * plan->accounts + a + 1, s.groups * plan->accounts);
        }
    }
    if (fine) {
        find_limits(&s, options, values);
        options->window_limit = find_window_limit(&s);
    }
    simulation_close(&s);
    free(values);
    return fine;
}

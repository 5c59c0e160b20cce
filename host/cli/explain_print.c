/*
 * explain_print.c - see explain_print.h.
 */
#include "explain_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char *verdict_text(adder_verdict verdict) {
    static const char *const text[] = {"clean", "flagged", "undecided: too few queries yet"};
    return text[verdict];
}

static const char *reason_text(adder_reason reason) {
    static const char *const text[] = {"",
                                       ", by what its queries add up to",
                                       ", by its windows",
                                       ", by its memory",
                                       ", by its group",
                                       ", by the deny-list",
                                       ", by the allow-list"};
    return text[reason];
}

/* A real that is not known is a dash. */
static const char *number(double value, char text[24]) {
    if (isnan(value)) {
        return "-";
    }
    snprintf(text, 24, "%.4g", value);
    return text;
}

static void print_verdict(const adder_explanation *e) {
    char text[24];
    printf("verdict          %s%s\n", verdict_text(e->verdict), reason_text(e->reason));
    printf("queries          %" PRIu64 "\n", e->queries);
    if (e->first_flagged_at > 0) {
        printf("first flagged    at its query %" PRIu64 "\n", e->first_flagged_at);
    }
    if (e->flagged_at > 0) {
        printf("flagged          since its query %" PRIu64 "; ", e->flagged_at);
        if (e->release_after > 0) {
            printf("freed after %" PRIu64 " clean queries in a row, %" PRIu64 " so far\n",
                   e->release_after, e->clean_run);
        } else {
            printf("until it is forgotten\n");
        }
    }
    printf("evidence         %s of what flags it", number(e->evidence, text));
    printf(" (queries %s", number(e->evidence_rows, text));
    printf(", windows %s)\n", number(e->evidence_window, text));
    printf("window           %" PRIu64 " of %" PRIu64 " rows\n", e->fill, e->window);
    printf("score            %s", number(e->score, text));
    printf(" (threshold %s)\n", number(e->window_threshold, text));
    printf("excess           %s standard deviations above honest windows of the same classes\n",
           number(e->excess, text));
    printf("memory score     %s\n", number(e->memory_score, text));
}

static void print_classes(const adder_explanation *e) {
    printf("\n%6s %5s %13s %9s %9s %11s %9s %9s %8s\n", "class", "rows", "of the score", "distance",
           "mean", "covariance", "honest", "+-", "excess");
    for (size_t i = 0; i < e->classes; i++) {
        const adder_explained_class *c = &e->by_class[i];
        char text[6][24];
        printf("%6" PRIu64 " %5" PRIu64 " %13s %9s %9s %11s", c->class_id, c->n,
               number(c->contribution, text[0]), number(c->d2, text[1]),
               number(c->mean_part, text[2]), number(c->covariance_part, text[3]));
        printf(" %9s %9s %8s\n", number(c->benign_mean, text[0]), number(c->benign_sd, text[1]),
               number(c->excess, text[2]));
    }
}

static void print_history(const adder_explanation *e) {
    if (e->windows == 0) {
        return;
    }
    printf("\n%10s %9s %9s %9s  %s\n", "at query", "score", "excess", "evidence", "verdict");
    for (size_t i = 0; i < e->windows; i++) {
        const adder_explained_window *w = &e->history[i];
        char text[3][24];
        printf("%10" PRIu64 " %9s %9s %9s  %s\n", w->query, number(w->score, text[0]),
               number(w->excess, text[1]), number(w->evidence, text[2]), verdict_text(w->verdict));
    }
}

void explain_print(const adder_explanation *explanation) {
    print_verdict(explanation);
    print_classes(explanation);
    print_history(explanation);
}

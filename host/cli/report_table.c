/*
 * report_table.c - a report on a terminal.
 */
#include "report.h"

#include <math.h>
#include <string.h>

#include "panel.h"

static void print_number(FILE *out, double value, int width, int digits) {
    if (isnan(value)) {
        fprintf(out, " %*s", width, "-");
    } else {
        fprintf(out, " %*.*f", width, digits, value);
    }
}

static void print_sources(const json_t *report, FILE *out) {
    const json_t *s;
    size_t i;
    fprintf(out, "%-24s %-8s %8s %8s %8s %8s %9s\n", "source", "kind", "1 %", "median", "99 %",
            "AUROC", "above");
    json_array_foreach(json_object_get(report, "sources"), i, s) {
        bool hostile = json_is_true(json_object_get(s, "hostile"));
        bool shifted = json_is_true(json_object_get(s, "shifted"));
        fprintf(out, "%-24.24s %-8s", report_text(s, "name"),
                hostile   ? "attack"
                : shifted ? "shifted"
                          : "honest");
        print_number(out, report_real(s, "low"), 8, 3);
        print_number(out, report_real(s, "median"), 8, 3);
        print_number(out, report_real(s, "high"), 8, 3);
        print_number(out, report_real(s, "auroc"), 8, 4);
        print_number(out, report_real(s, "above"), 9, 4);
        fputc('\n', out);
    }
}

/* Share of windows above each detector's threshold. */
static void print_windows(const json_t *report, FILE *out) {
    const json_t *s;
    size_t i;
    fprintf(out, "\nwindows above   %-8s", "");
    for (size_t d = 0; d < PANEL_DETECTORS; d++) {
        if (d != PANEL_EVIDENCE) {
            fprintf(out, " %11s", panel_name[d]);
        }
    }
    fputc('\n', out);
    json_array_foreach(json_object_get(report, "sources"), i, s) {
        const json_t *by = json_object_get(s, "detectors");
        fprintf(out, "%-24.24s", report_text(s, "name"));
        for (size_t d = 0; d < PANEL_DETECTORS; d++) {
            const json_t *entry = json_object_get(by, panel_name[d]);
            if (d != PANEL_EVIDENCE) {
                print_number(out, report_real(json_object_get(entry, "above"), "share"), 11, 4);
            }
        }
        fputc('\n', out);
    }
}

/* Share of accounts flagged by the end, by this detector and by the paper's. */
static void print_accounts(const json_t *report, FILE *out) {
    const json_t *a;
    size_t i;
    fprintf(out, "\n%-24s %-22s %8s %9s %9s\n", "accounts flagged", "kind", "queries", "evidence",
            "raw ADD");
    json_array_foreach(json_object_get(report, "accounts"), i, a) {
        const json_t *horizons = json_object_get(a, "horizons");
        const json_t *last = json_array_get(horizons, json_array_size(horizons) - 1);
        const json_t *by = json_object_get(last, "detectors");
        fprintf(out, "%-24.24s %-22s %8.0f", report_text(a, "source"), report_text(a, "kind"),
                report_real(a, "queries"));
        for (size_t d = 0; d < 2; d++) {
            const char *name = panel_name[d == 0 ? PANEL_EVIDENCE : PANEL_RAW];
            const json_t *flagged = json_object_get(json_object_get(by, name), "flagged");
            print_number(out, report_real(flagged, "share"), 9, 4);
        }
        fputc('\n', out);
    }
}

static void print_goals(const json_t *report, FILE *out) {
    const json_t *g;
    size_t i;
    fprintf(out, "\n%-52s %7s %9s\n", "goal, in the attack that is caught worst", "wanted",
            "measured");
    json_array_foreach(json_object_get(report, "goals"), i, g) {
        fprintf(out, "%-52s %7.3f", report_text(g, "goal"), report_real(g, "wanted"));
        print_number(out, report_real(g, "measured"), 9, 4);
        bool any = json_is_number(json_object_get(g, "measured"));
        fprintf(out, " %s %s\n",
                !any                                          ? "not measured"
                : json_is_true(json_object_get(g, "reached")) ? "reached"
                                                              : "not reached",
                report_text(g, "worst"));
    }
}

void report_table(const json_t *report, FILE *out) {
    const json_t *first = json_array_get(json_object_get(report, "sources"), 0);
    fprintf(out,
            "window %.0f rows, %.0f windows a source, threshold %.6g (%g of honest windows when "
            "calibrated)\n",
            report_real(report, "window"), report_real(first, "windows"),
            report_real(report, "threshold"), report_real(report, "fpr"));
    print_sources(report, out);
    if (json_array_size(json_object_get(report, "accounts")) > 0) {
        print_windows(report, out);
        print_accounts(report, out);
        print_goals(report, out);
    }
}

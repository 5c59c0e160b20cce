/*
 * report_html.c - the page of a report: tables, and charts drawn by svg.h.
 */
#include "report.h"

#include <math.h>
#include <string.h>

#include "svg.h"

enum { POINTS_MAX = 128 };

static const char *const detectors[] = {"raw_add", "evidence",    "window",
                                        "excess",  "mahalanobis", "energy"};
static const char *const titles[] = {"raw ADD (paper)",     "Adder, account", "Adder, window",
                                     "Adder, excess alone", "Mahalanobis",    "energy"};
enum { DETECTORS = sizeof detectors / sizeof *detectors };

static const char style[] =
    "body{font:14px sans-serif;margin:2em auto;max-width:1300px;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:3px 9px;border-bottom:1px solid "
    "#ddd;text-align:right}td:first-child,th:first-child,td.t{text-align:left}"
    ".yes{color:#060}.no{color:#b00;font-weight:bold}.i{color:#888;font-size:11px}"
    "svg{margin:4px 6px 4px 0}h2{margin-top:2em}";

static void text_cell(FILE *out, const char *text) {
    fputs("<td class=\"t\">", out);
    svg_escape(out, text);
    fputs("</td>", out);
}

static void share_cell(FILE *out, const json_t *share) {
    if (!json_is_object(share)) {
        fputs("<td>-</td>", out);
    } else {
        fprintf(out, "<td>%.2f %%<br><span class=\"i\">%.2f to %.2f</span></td>",
                100.0 * report_real(share, "share"), 100.0 * report_real(share, "low"),
                100.0 * report_real(share, "high"));
    }
}

static void number_cell(FILE *out, double value, const char *format) {
    fputs("<td>", out);
    if (isnan(value)) {
        fputc('-', out);
    } else {
        fprintf(out, format, value);
    }
    fputs("</td>", out);
}

static void detector_heads(FILE *out) {
    for (size_t d = 0; d < DETECTORS; d++) {
        fprintf(out, "<th>%s</th>", titles[d]);
    }
    fputs("</tr>\n", out);
}

/* ---- charts ---- */

/* Lines of a chart copied from JSON. */
typedef struct {
    svg_chart chart;
    double x[SVG_LINES_MAX][POINTS_MAX];
    double y[SVG_LINES_MAX][POINTS_MAX];
} drawing;

static void draw_line(drawing *d, const char *name, const json_t *xs, const json_t *ys) {
    if (d->chart.lines == SVG_LINES_MAX) {
        return;
    }
    size_t line = d->chart.lines++;
    size_t points = json_array_size(ys) < POINTS_MAX ? json_array_size(ys) : POINTS_MAX;
    for (size_t i = 0; i < points; i++) {
        const json_t *y = json_array_get(ys, i);
        d->x[line][i] = json_number_value(json_array_get(xs, i));
        d->y[line][i] = json_is_number(y) ? json_number_value(y) : (double)NAN;
    }
    d->chart.line[line] = (svg_line){name, points, d->x[line], d->y[line]};
}

static void write_roc(FILE *out, const json_t *by, const char *title, const char *what) {
    char x_label[64];
    char y_label[64];
    snprintf(x_label, sizeof x_label, "share of honest %s above the threshold", what);
    snprintf(y_label, sizeof y_label, "share of %s caught", what);
    drawing d = {.chart = {.title = title,
                           .x_label = x_label,
                           .y_label = y_label,
                           .log_x = true,
                           .x_min = 1e-4,
                           .x_max = 1.0}};
    for (size_t i = 0; i < DETECTORS; i++) {
        const json_t *roc = json_object_get(json_object_get(by, detectors[i]), "roc");
        if (roc != NULL) {
            draw_line(&d, titles[i], json_object_get(roc, "fpr"), json_object_get(roc, "tpr"));
        }
    }
    svg_write(out, &d.chart);
}

static bool is_of(const json_t *accounts, const char *source, const char *role) {
    return strcmp(report_text(accounts, "source"), source) == 0 &&
           (role == NULL || strcmp(report_text(accounts, "role"), role) == 0);
}

static void write_curves(FILE *out, const json_t *report, const char *source, const char *detector,
                         const char *title) {
    char text[256];
    snprintf(text, sizeof text, "%s: %s", source, title);
    drawing d = {.chart = {.title = text,
                           .x_label = "queries sent",
                           .y_label = "share of accounts flagged",
                           .log_x = true,
                           .x_min = report_real(report, "window"),
                           .x_max = 4096}};
    const json_t *accounts;
    size_t i;
    json_array_foreach(json_object_get(report, "accounts"), i, accounts) {
        if (is_of(accounts, source, NULL)) {
            const json_t *curve = json_object_get(accounts, "curve");
            draw_line(&d, report_text(accounts, "kind"), json_object_get(curve, "queries"),
                      json_object_get(curve, detector));
        }
    }
    if (d.chart.x_max > d.chart.x_min) {
        svg_write(out, &d.chart);
    }
}

/* The share flagged by a detector at a horizon; who has all flagged before has them after. */
static double flagged_at(const json_t *accounts, const char *detector, double queries) {
    const json_t *horizon;
    size_t i;
    double last = NAN;
    json_array_foreach(json_object_get(accounts, "horizons"), i, horizon) {
        const json_t *by = json_object_get(json_object_get(horizon, "detectors"), detector);
        double share = report_real(json_object_get(by, "flagged"), "share");
        if (report_real(horizon, "queries") == queries) {
            return share;
        }
        last = report_real(horizon, "queries") < queries ? share : last;
    }
    return last >= 1.0 ? last : (double)NAN;
}

static void write_mixes(FILE *out, const json_t *report, const char *source) {
    static const double horizons[] = {64, 160, 512, 1024, 4096};
    static const char *const names[] = {"64 queries", "160 queries", "512 queries", "1,024 queries",
                                        "4,096 queries"};
    char text[256];
    snprintf(text, sizeof text, "%s mixed into honest queries", source);
    drawing d = {.chart = {.title = text,
                           .x_label = "share of honest queries, %",
                           .y_label = "share of accounts flagged",
                           .x_max = 100}};
    for (size_t h = 0; h < sizeof horizons / sizeof *horizons; h++) {
        const json_t *accounts;
        size_t i, points = 0;
        json_array_foreach(json_object_get(report, "accounts"), i, accounts) {
            bool mixed = is_of(accounts, source, "mixed") || is_of(accounts, source, "unmixed");
            if (mixed && points < POINTS_MAX) {
                d.x[h][points] = 100.0 * (1.0 - report_real(accounts, "hostile_share"));
                d.y[h][points++] = flagged_at(accounts, "evidence", horizons[h]);
            }
        }
        d.chart.line[d.chart.lines++] = (svg_line){names[h], points, d.x[h], d.y[h]};
    }
    svg_write(out, &d.chart);
}

static void write_trade_off(FILE *out, const json_t *report) {
    const json_t *t = json_object_get(report, "trade_off");
    drawing d = {.chart = {.title = "Limits scaled: what is gained, what is lost",
                           .x_label = "the reference's limits times",
                           .y_label = "share of accounts flagged",
                           .log_x = true,
                           .x_min = 0.5,
                           .x_max = 4.0}};
    const json_t *factor = json_object_get(t, "factor");
    draw_line(&d, "honest (worst kind)", factor, json_object_get(t, "honest"));
    draw_line(&d, "shifted (worst), 1,000", factor, json_object_get(t, "shifted"));
    draw_line(&d, "unmixed in 64 (worst)", factor, json_object_get(t, "unmixed_64"));
    draw_line(&d, "50 % mix in 512 (worst)", factor, json_object_get(t, "half_hostile_512"));
    svg_write(out, &d.chart);
}

/* ---- tables ---- */

static void write_goals(FILE *out, const json_t *report) {
    const json_t *goal;
    size_t i;
    fputs("<h2>Goals</h2><table><tr><th>goal, in the attack that is caught worst</th>"
          "<th>wanted</th><th>measured</th><th>95 %, from</th><th>to</th><th>worst "
          "attack</th><th></th>"
          "</tr>\n",
          out);
    json_array_foreach(json_object_get(report, "goals"), i, goal) {
        bool any = json_is_number(json_object_get(goal, "measured"));
        bool reached = json_is_true(json_object_get(goal, "reached"));
        fputs("<tr>", out);
        text_cell(out, report_text(goal, "goal"));
        number_cell(out, 100.0 * report_real(goal, "wanted"), "%.1f %%");
        number_cell(out, 100.0 * report_real(goal, "measured"), "%.2f %%");
        number_cell(out, 100.0 * report_real(goal, "low"), "%.2f");
        number_cell(out, 100.0 * report_real(goal, "high"), "%.2f");
        text_cell(out, report_text(goal, "worst"));
        fprintf(out, "<td class=\"%s\">%s</td></tr>\n", reached ? "yes" : "no",
                !any      ? "not measured"
                : reached ? "reached"
                          : "not reached");
    }
    fputs("</table>\n", out);
}

static void write_windows(FILE *out, const json_t *report) {
    const json_t *source;
    size_t i;
    fprintf(out,
            "<h2>Windows of %g queries</h2><p>AUROC against honest windows of all honest sources, "
            "and the share above the threshold for a false-positive rate of %g with its 95 %% "
            "Wilson interval. All detectors see the same windows, drawn uniformly.</p>"
            "<table><tr><th>source</th>",
            report_real(report, "window"), report_real(report, "fpr"));
    detector_heads(out);
    json_array_foreach(json_object_get(report, "sources"), i, source) {
        const json_t *by = json_object_get(source, "detectors");
        fputs("<tr>", out);
        text_cell(out, report_text(source, "name"));
        for (size_t d = 0; d < DETECTORS; d++) {
            const json_t *entry = json_object_get(by, detectors[d]);
            double auroc = report_real(entry, "auroc");
            if (!isnan(auroc)) {
                fprintf(out, "<td>%.4f</td>", auroc);
            } else {
                share_cell(out, json_object_get(entry, "above"));
            }
        }
        fputs("</tr>\n", out);
        if (json_object_get(json_object_get(by, "raw_add"), "auroc") != NULL) {
            fputs("<tr><td class=\"t i\">share above</td>", out);
            for (size_t d = 0; d < DETECTORS; d++) {
                share_cell(out, json_object_get(json_object_get(by, detectors[d]), "above"));
            }
            fputs("</tr>\n", out);
        }
    }
    fputs("</table>\n", out);
    json_array_foreach(json_object_get(report, "sources"), i, source) {
        if (json_is_true(json_object_get(source, "hostile"))) {
            write_roc(out, json_object_get(source, "detectors"), report_text(source, "name"),
                      "windows");
        }
    }
}

static void write_false_alarms(FILE *out, const json_t *report) {
    const json_t *accounts;
    size_t i;
    fprintf(out,
            "<h2>False alarms</h2><p>Asked for: %g of windows, %g of accounts in %g queries. The "
            "first line of each is the share of accounts flagged, the second that of its windows "
            "above the threshold. This detector flags an account by its evidence; every other "
            "flags it where any of its windows is above its threshold. The intervals take accounts "
            "for independent; they share the rows of their source, so the truth is less certain."
            "</p><table><tr>"
            "<th>accounts</th><th>queries</th>",
            report_real(report, "window_fpr"), report_real(report, "false_alarms"),
            report_real(report, "false_alarms_queries"));
    detector_heads(out);
    json_array_foreach(json_object_get(report, "accounts"), i, accounts) {
        if (report_real(accounts, "hostile_share") > 0.0) {
            continue;
        }
        const json_t *horizons = json_object_get(accounts, "horizons");
        const json_t *by =
            json_object_get(json_array_get(horizons, json_array_size(horizons) - 1), "detectors");
        fputs("<tr><td class=\"t\">", out);
        svg_escape(out, report_text(accounts, "source"));
        fputs("<br>", out);
        svg_escape(out, report_text(accounts, "kind"));
        fputs("</td>", out);
        number_cell(out, report_real(accounts, "queries"), "%.0f");
        for (size_t d = 0; d < DETECTORS; d++) {
            share_cell(out, json_object_get(json_object_get(by, detectors[d]), "flagged"));
        }
        fputs("</tr><tr><td class=\"t i\">windows above</td><td></td>", out);
        for (size_t d = 0; d < DETECTORS; d++) {
            share_cell(out,
                       json_object_get(json_object_get(accounts, "windows_above"), detectors[d]));
        }
        fputs("</tr>\n", out);
    }
    fputs("</table>\n", out);
}

static void write_horizon(FILE *out, const json_t *accounts, const json_t *horizon) {
    const json_t *by = json_object_get(horizon, "detectors");
    fputs("<tr>", out);
    text_cell(out, report_text(accounts, "kind"));
    number_cell(out, report_real(horizon, "queries"), "%.0f");
    for (size_t d = 0; d < DETECTORS; d++) {
        const json_t *entry = json_object_get(by, detectors[d]);
        double auroc = report_real(entry, "auroc");
        share_cell(out, json_object_get(entry, "flagged"));
        number_cell(out, auroc, "%.4f");
    }
    fputs("</tr>\n", out);
}

/* Of accounts at every horizon, unmixed and mixed; unfolds, for they are many. */
static void write_account_rocs(FILE *out, const json_t *report, const char *source) {
    const json_t *accounts;
    const json_t *horizon;
    size_t i, h;
    fputs("<details><summary>ROC of accounts by queries sent</summary>\n", out);
    json_array_foreach(json_object_get(report, "accounts"), i, accounts) {
        bool drawn = is_of(accounts, source, "unmixed") || is_of(accounts, source, "mixed");
        json_array_foreach(json_object_get(accounts, "horizons"), h, horizon) {
            char title[256];
            snprintf(title, sizeof title, "%s, %s, after %.0f queries", source,
                     report_text(accounts, "kind"), report_real(horizon, "queries"));
            if (drawn) {
                write_roc(out, json_object_get(horizon, "detectors"), title, "accounts");
            }
        }
    }
    fputs("</details>\n", out);
}

/* Unfolds, for it is long. */
static void write_accounts(FILE *out, const json_t *report, const char *source) {
    const json_t *accounts;
    const json_t *horizon;
    size_t i, h;
    fputs("<details><summary>Table: share flagged and AUROC by queries sent</summary><table>"
          "<tr><th>accounts</th><th>queries</th>",
          out);
    for (size_t d = 0; d < DETECTORS; d++) {
        fprintf(out, "<th>%s</th><th>AUROC</th>", titles[d]);
    }
    fputs("</tr>\n", out);
    json_array_foreach(json_object_get(report, "accounts"), i, accounts) {
        if (is_of(accounts, source, NULL)) {
            json_array_foreach(json_object_get(accounts, "horizons"), h, horizon) {
                write_horizon(out, accounts, horizon);
            }
        }
    }
    fputs("</table></details>\n", out);
}

static void write_attacks(FILE *out, const json_t *report) {
    const json_t *source;
    size_t i;
    fputs("<h2>Detection against queries sent</h2><p>AUROC of accounts is against honest accounts "
          "of all classes after as many queries, by the highest value so far.</p>\n",
          out);
    json_array_foreach(json_object_get(report, "sources"), i, source) {
        if (json_is_true(json_object_get(source, "hostile"))) {
            const char *name = report_text(source, "name");
            fputs("<h3>", out);
            svg_escape(out, name);
            fputs("</h3>\n", out);
            write_curves(out, report, name, "evidence", "Adder");
            write_curves(out, report, name, "raw_add", "raw ADD (paper), any window");
            write_mixes(out, report, name);
            write_account_rocs(out, report, name);
            write_accounts(out, report, name);
        }
    }
}

void report_html(const json_t *report, FILE *out) {
    fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Adder: "
                 "evaluation of ");
    svg_escape(out, report_text(report, "model"));
    fprintf(out, "</title><style>%s</style></head><body>\n<h1>", style);
    svg_escape(out, report_text(report, "model"));
    fputs("</h1>\n", out);
    bool accounts = json_array_size(json_object_get(report, "accounts")) > 0;
    if (accounts) {
        write_goals(out, report);
    }
    write_windows(out, report);
    if (accounts) {
        write_false_alarms(out, report);
        fputs("<h2>The trade-off</h2>\n", out);
        write_trade_off(out, report);
        write_attacks(out, report);
    }
    fputs("</body></html>\n", out);
}

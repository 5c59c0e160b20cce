/*
 * report.h - an evaluation as evaluate.json, histogram.tsv, report.html and a table.
 *
 * The JSON is made first; page and table say what stands in it. Shares have 95 % Wilson intervals.
 */
#ifndef ADDER_REPORT_H
#define ADDER_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "evaluation.h"

/* {"share", "low", "high"}; what does not apply is null. NULL: no memory. */
json_t *report_json(const evaluation *e);
/* One file that needs no other and no script. */
void report_html(const json_t *report, FILE *out);
void report_table(const json_t *report, FILE *out);
/* Share of each source's windows in bins that are equally wide on a logarithmic scale. */
void report_histogram(const evaluation *e, FILE *out);

/* What this detector is to reach, as measured: an array of {"goal", "wanted", "measured", "low",
 * "high", "worst", "reached"}. */
json_t *report_goals(const evaluation *e);
/* A real, or null where it is no number. */
json_t *report_number(double value);
/* A member of an object of the report: NaN, or "", where there is none. */
double report_real(const json_t *object, const char *key);
const char *report_text(const json_t *object, const char *key);

#endif

/*
 * svg.h - charts of lines as SVG, to stand inside an HTML page.
 *
 * Errors: those of the FILE, for the caller to ask.
 */
#ifndef ADDER_SVG_H
#define ADDER_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { SVG_LINES_MAX = 12 };

typedef struct {
    const char *name;
    size_t points;
    const double *x;
    const double *y; /* what is no number is left out */
} svg_line;

/* y runs from 0 to 1. */
typedef struct {
    const char *title;
    const char *x_label;
    const char *y_label;
    bool log_x; /* then x_min > 0; smaller x are drawn at x_min */
    double x_min;
    double x_max;
    size_t lines;
    svg_line line[SVG_LINES_MAX];
} svg_chart;

void svg_write(FILE *out, const svg_chart *chart);
/* Text as XML and HTML have it; control characters become '?'. */
void svg_escape(FILE *out, const char *text);

#endif

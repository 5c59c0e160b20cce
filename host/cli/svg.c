/*
 * svg.c - see svg.h. A legend stands to the right of the plot, a line's colour is its number's.
 */
#include "svg.h"

#include <math.h>

enum { WIDTH = 620, HEIGHT = 330, LEFT = 58, TOP = 30, PLOT_WIDTH = 390, PLOT_HEIGHT = 245 };

/* Distinguishable with any colour vision (Okabe, Ito 2008), then dashed. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73",
                                      "#cc79a7", "#e69f00", "#56b4e9"};
enum { COLOURS = sizeof colours / sizeof *colours };

void svg_escape(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        switch (c) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(c < ' ' || c == 0x7f ? '?' : c, out);
        }
    }
}

static double place_x(const svg_chart *c, double x) {
    double at = fmin(fmax(x, c->x_min), c->x_max);
    double share = c->log_x ? log(at / c->x_min) / log(c->x_max / c->x_min)
                            : (at - c->x_min) / (c->x_max - c->x_min);
    return LEFT + share * PLOT_WIDTH;
}

static double place_y(double y) {
    return TOP + (1.0 - fmin(fmax(y, 0.0), 1.0)) * PLOT_HEIGHT;
}

static void write_text(FILE *out, double x, double y, const char *how, const char *text) {
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, how);
    svg_escape(out, text);
    fputs("</text>\n", out);
}

static void write_tick_x(FILE *out, const svg_chart *c, double x) {
    char text[32];
    double at = place_x(c, x);
    snprintf(text, sizeof text, "%g", x);
    fprintf(out, "<path d=\"M%.1f %dV%d\" stroke=\"#ddd\"/>\n", at, TOP, TOP + PLOT_HEIGHT);
    write_text(out, at, TOP + PLOT_HEIGHT + 16, "text-anchor=\"middle\"", text);
}

static void write_axes(FILE *out, const svg_chart *c) {
    for (int i = 0; i <= 5; i++) {
        char text[32];
        double y = place_y(i / 5.0);
        snprintf(text, sizeof text, "%g %%", i * 20.0);
        fprintf(out, "<path d=\"M%d %.1fh%d\" stroke=\"#ddd\"/>\n", LEFT, y, PLOT_WIDTH);
        write_text(out, LEFT - 6, y + 4, "text-anchor=\"end\"", text);
    }
    if (c->log_x) {
        /* Powers of ten, or of two where the axis spans few of them. */
        double base = c->x_max / c->x_min > 500.0 && c->x_min < 1.0 ? 10.0 : 2.0;
        double first = ceil(log(c->x_min) / log(base) - 1e-9);
        for (double x = pow(base, first); x <= c->x_max * 1.0001; x *= base) {
            write_tick_x(out, c, x);
        }
    } else {
        for (int i = 0; i <= 5; i++) {
            write_tick_x(out, c, c->x_min + (c->x_max - c->x_min) * i / 5.0);
        }
    }
    fprintf(out,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#888\"/>\n",
            LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT);
    write_text(out, LEFT + PLOT_WIDTH / 2.0, HEIGHT - 14, "text-anchor=\"middle\"", c->x_label);
    fprintf(out, "<g transform=\"translate(13 %d) rotate(-90)\">", TOP + PLOT_HEIGHT / 2);
    write_text(out, 0, 0, "text-anchor=\"middle\"", c->y_label);
    fputs("</g>\n", out);
}

static void write_line(FILE *out, const svg_chart *c, size_t number) {
    const svg_line *line = &c->line[number];
    const char *dash = number < COLOURS ? "" : " stroke-dasharray=\"5 3\"";
    const char *colour = colours[number % COLOURS];
    bool drawing = false;
    fputs("<path d=\"", out);
    for (size_t i = 0; i < line->points; i++) {
        bool is_number = isfinite(line->x[i]) && isfinite(line->y[i]);
        if (is_number) {
            fprintf(out, "%c%.1f %.1f", drawing ? 'L' : 'M', place_x(c, line->x[i]),
                    place_y(line->y[i]));
        }
        drawing = is_number;
    }
    fprintf(out, "\" fill=\"none\" stroke-width=\"1.8\" stroke=\"%s\"%s/>\n", colour, dash);
    double y = TOP + 10.0 + 18.0 * (double)number;
    fprintf(out, "<path d=\"M%d %.1fh20\" stroke-width=\"2.5\" stroke=\"%s\"%s/>\n",
            LEFT + PLOT_WIDTH + 12, y - 4.0, colour, dash);
    write_text(out, LEFT + PLOT_WIDTH + 37, y, "", line->name);
}

void svg_write(FILE *out, const svg_chart *chart) {
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n<title>",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    svg_escape(out, chart->title);
    fputs("</title>\n", out);
    write_text(out, LEFT, 18, "font-size=\"13\" font-weight=\"bold\"", chart->title);
    write_axes(out, chart);
    for (size_t i = 0; i < chart->lines; i++) {
        write_line(out, chart, i);
    }
    fputs("</svg>\n", out);
}

/*
 * test_evaluate.c - the parts of a report: intervals, names in charts, ranges, simulated accounts.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "drawer.h"
#include "interval.h"
#include "report.h"
#include "svg.h"

Test(interval, wilson_gives_the_known_values) {
    /* Wilson's formula in plain decimals at z = 1.959964: 10 of 100, none and all of 1000. */
    interval tenth = interval_wilson(10, 100);
    cr_assert_float_eq(tenth.share, 0.1, 1e-12);
    cr_assert_float_eq(tenth.low, 0.05522914, 1e-7);
    cr_assert_float_eq(tenth.high, 0.17436566, 1e-7);
    interval none = interval_wilson(0, 1000);
    cr_assert_eq(none.low, 0.0);
    cr_assert_float_eq(none.high, 0.00382676, 1e-7, "z^2 / (n + z^2)");
    interval all = interval_wilson(1000, 1000);
    cr_assert_eq(all.high, 1.0);
    cr_assert_float_eq(all.low, 1.0 - none.high, 1e-12);
}

#define HOSTILE "</title><script>alert(\"1\")</script>&'\n"

static char *drawn(void (*draw)(FILE *out)) {
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    draw(out);
    cr_assert_eq(fclose(out), 0);
    return text;
}

static void draw_hostile_chart(FILE *out) {
    const double x[] = {1.0, 2.0, 3.0};
    const double y[] = {0.0, NAN, 2.0};
    svg_write(out, &(svg_chart){.title = HOSTILE,
                                .x_label = HOSTILE,
                                .y_label = HOSTILE,
                                .x_min = 1.0,
                                .x_max = 3.0,
                                .lines = 1,
                                .line = {{HOSTILE, 3, x, y}}});
}

static void draw_hostile_page(FILE *out) {
    json_t *report =
        json_pack("{s:s, s:i, s:f, s:f, s:[{s:s, s:b, s:{s:{s:f}}}], s:[{s:s, s:s, "
                  "s:s, s:f}]}",
                  "model", HOSTILE, "window", 16, "fpr", 0.001, "threshold", 1.0, "sources", "name",
                  HOSTILE, "hostile", 1, "detectors", "raw_add", "auroc", 0.5, "accounts", "source",
                  HOSTILE, "role", "mixed", "kind", HOSTILE, "hostile_share", 0.5);
    cr_assert_not_null(report);
    report_html(report, out);
    json_decref(report);
}

Test(svg, hostile_names_stay_text) {
    char *text = drawn(draw_hostile_chart);
    cr_assert_null(strstr(text, "<script"), "%s", text);
    cr_assert_not_null(strstr(text, "&lt;script&gt;alert(&quot;1&quot;)"), "%s", text);
    cr_assert_not_null(strstr(text, "&amp;&#39;?"), "%s", text);
    cr_assert_null(strstr(text, "nan"), "what is no number is not drawn: %s", text);
    free(text);
}

Test(html, hostile_names_stay_text) {
    char *text = drawn(draw_hostile_page);
    cr_assert_null(strstr(text, "<script"), "%s", text);
    cr_assert_not_null(strstr(text, "&lt;script&gt;"), "%s", text);
    free(text);
}

Test(corpus, ranges_overlap_where_they_share_a_row_of_the_file) {
    dataset_range even = {0, SIZE_MAX, 2};
    dataset_range odd = {1, SIZE_MAX, 2};
    dataset_range thirds = {0, SIZE_MAX, 3};
    cr_assert_not(corpus_ranges_overlap(even, odd, 1000));
    cr_assert(corpus_ranges_overlap(odd, thirds, 1000));
    cr_assert_not(corpus_ranges_overlap(odd, thirds, 3), "row 3 is the first in common");
    cr_assert(corpus_ranges_overlap(odd, thirds, 4));
    cr_assert_not(corpus_ranges_overlap((dataset_range){0, 10, 1}, (dataset_range){10, 20, 1}, 99));
    cr_assert(corpus_ranges_overlap((dataset_range){0, 11, 1}, (dataset_range){10, 20, 1}, 99));
    cr_assert(corpus_ranges_overlap((dataset_range){5, SIZE_MAX, SIZE_MAX}, DATASET_ALL, 99));
}

Test(drawer, a_window_never_holds_a_row_twice_and_keeps_to_its_classes) {
    enum { ROWS = 60, CLASSES = 4, SMALL = 3 };
    uint32_t class_of[5 + ROWS];
    for (size_t i = 0; i < 5 + ROWS; i++) {
        class_of[i] = i == 7 ? SMALL : (uint32_t)(i % SMALL);
    }
    drawer d;
    sampling_random random = {3};
    cr_assert(drawer_open(&d, &(drawer_rows){class_of, 5, ROWS, CLASSES, 16}));
    for (size_t k = 0; k < 200; k++) {
        bool seen[5 + ROWS] = {false};
        drawer_new_account(&d, &random, MIXTURE_ONE);
        drawer_new_window(&d);
        size_t first = drawer_take(&d, &random);
        for (size_t row = first, i = 0; i < 16; i++) {
            cr_assert(row >= 5 && row < 5 + ROWS && !seen[row]);
            cr_assert_eq(class_of[row], class_of[first]);
            cr_assert_neq(class_of[row], SMALL, "a class that fills no window");
            seen[row] = true;
            row = i < 15 ? drawer_take(&d, &random) : row;
        }
    }
    drawer_close(&d);
}

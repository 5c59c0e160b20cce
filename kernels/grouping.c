/*
 * grouping.c - a counting sort that visits only the classes that occur.
 */
#include "grouping.h"

#include <stdlib.h>

bool grouping_open(grouping *g, size_t rows_max, size_t classes) {
    *g = (grouping){.place = calloc(rows_max, sizeof *g->place),
                    .row_at = calloc(rows_max, sizeof *g->row_at),
                    .group = calloc(rows_max, sizeof *g->group),
                    .class_rows = calloc(classes, sizeof *g->class_rows)};
    if (!g->place || !g->row_at || !g->group || !g->class_rows) {
        grouping_close(g);
        return false;
    }
    return true;
}

void grouping_close(grouping *g) {
    free(g->class_rows);
    free(g->group);
    free(g->row_at);
    free(g->place);
    *g = (grouping){0};
}

void grouping_sort(grouping *g, const uint32_t *classes, size_t rows) {
    uint32_t next = 0;
    g->groups = 0;
    for (size_t i = 0; i < rows; i++) {
        if (g->class_rows[classes[i]]++ == 0) {
            g->group[g->groups++].class_index = classes[i];
        }
    }
    for (size_t k = 0; k < g->groups; k++) {
        class_group *group = &g->group[k];
        uint32_t *of_class = &g->class_rows[group->class_index];
        group->first = next;
        group->count = *of_class;
        *of_class = next; /* from here on, where its next row goes */
        next += group->count;
    }
    for (size_t i = 0; i < rows; i++) {
        uint32_t at = g->class_rows[classes[i]]++;
        g->place[i] = at;
        g->row_at[at] = (uint32_t)i;
    }
    for (size_t k = 0; k < g->groups; k++) {
        g->class_rows[g->group[k].class_index] = 0;
    }
}

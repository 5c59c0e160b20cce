/*
 * grouping.h - rows of a batch in the order of their class, so that those of one class are one
 * matrix product. Rows of a class stay in the batch's order.
 *
 * Nothing is allocated after grouping_open. One thread at a time.
 */
#ifndef ADDER_GROUPING_H
#define ADDER_GROUPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t class_index;
    uint32_t first; /* place of its first row */
    uint32_t count; /* 1 or more */
} class_group;

typedef struct {
    uint32_t *place;    /* [rows_max] of a row */
    uint32_t *row_at;   /* [rows_max] the row at a place */
    class_group *group; /* [rows_max] without gaps */
    size_t groups;
    uint32_t *class_rows; /* [classes] 0 between calls */
} grouping;

bool grouping_open(grouping *grouping, size_t rows_max, size_t classes); /* false: no memory */
void grouping_close(grouping *grouping);                                 /* zeroed is allowed */

/* Costs O(rows), whatever the number of classes. */
void grouping_sort(grouping *grouping, const uint32_t *classes, size_t rows);

#endif

/*
 * top_frame.h - what `adder top` shows at a moment: the daemon's counters as rates between two
 * looks, what it holds now, and its riskiest accounts.
 */
#ifndef ADDER_TOP_FRAME_H
#define ADDER_TOP_FRAME_H

#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

enum { TOP_COLUMNS_MIN = 60 };

/* Documents of the JSON API, borrowed. What is missing in them is shown as a dash. */
typedef struct {
    const char *where;      /* the daemon's address */
    const json_t *info;     /* /api/info */
    const json_t *before;   /* /api/live, some time before ... */
    const json_t *now;      /* ... and now */
    const json_t *accounts; /* /api/accounts; NULL: not to be had */
    size_t columns;         /* of the screen */
    size_t accounts_max;    /* lines for them */
} top_frame;

void top_frame_write(const top_frame *frame, FILE *out);

#endif

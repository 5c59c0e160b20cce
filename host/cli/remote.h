/*
 * remote.h - what `adder info` and `adder explain` print, as the JSON API tells it.
 *
 * Errors: false with one printable line in error. What comes is checked: a text that is no text, or
 * not printable, or a count that is none is an error; a real that is not there is NaN.
 */
#ifndef ADDER_REMOTE_H
#define ADDER_REMOTE_H

#include "adder.h"
#include "fetch.h"

bool remote_info(fetch *fetch, adder_info *info, char *error, size_t error_bytes);
/* Why who is called so has its verdict. *explanation is for adder_explanation_free; NULL where
 * nobody is called so. */
typedef struct {
    const char *name;
    bool is_group;
    const char *model; /* NULL: the only one */
} remote_question;
bool remote_explain(fetch *fetch, const remote_question *question, adder_explanation **explanation,
                    char *error, size_t error_bytes);

#endif

/*
 * explain_print.h - an explanation as a page of text, for the analyst.
 */
#ifndef ADDER_EXPLAIN_PRINT_H
#define ADDER_EXPLAIN_PRINT_H

#include <stdbool.h>

#include "adder.h"

/* Asks and prints. *known: whether there is such an account, or group; nothing is printed where
 * not. */
adder_status explain_print(adder_client *client, const char *name, bool is_group, bool *known,
                           adder_error *error);

#endif

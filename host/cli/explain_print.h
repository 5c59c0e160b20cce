/*
 * explain_print.h - an explanation as a page of text, for the analyst.
 */
#ifndef ADDER_EXPLAIN_PRINT_H
#define ADDER_EXPLAIN_PRINT_H

#include "adder.h"

/* To stdout; names nobody. */
void explain_print(const adder_explanation *explanation);

#endif

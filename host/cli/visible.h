/*
 * visible.h - text of other people's for a terminal: printed so that it does nothing but be read.
 *
 * Controls would move the cursor, set colours or write into the terminal's input; characters that
 * turn the direction of writing or have no width make one name look like another. Each of them
 * becomes \u{HEX}.
 */
#ifndef ADDER_VISIBLE_H
#define ADDER_VISIBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Up to `characters` of the text; where there are more, the last of them is "...". A byte that is
 * no UTF-8 is a character of its own. */
void visible_write(FILE *out, const char *text, size_t bytes, size_t characters);
/* It is UTF-8 and would be printed as it stands. */
bool visible_is_plain(const char *text);

#endif

/*
 * name_escaping.h - names of metrics and labels in the escaping that a scraper requests with
 * "escaping=" in its Accept header. Names of letters, digits, underscores and colons whose first
 * character is not a digit stay unchanged.
 *
 *                  my.metric_1 é
 *     underscores  my_metric_1__            every other character becomes an underscore
 *     dots         my_dot_metric__1____     it becomes two, as an underscore; a dot becomes _dot_
 *     values       U__my_2e_metric__1_20__e9_
 *     allow-utf-8  my.metric_1 é
 *
 * "values" can be reversed; escaped_name.h has a variant that also escapes colons.
 */
#ifndef WIRE_NAME_ESCAPING_H
#define WIRE_NAME_ESCAPING_H

#include "base/buf.h"

enum name_escaping { ESCAPE_UNDERSCORES, ESCAPE_DOTS, ESCAPE_VALUES, ESCAPE_NOTHING };

/* Returns the word used in Accept and Content-Type. */
const char *name_escaping_word(enum name_escaping escaping);
/* False: unknown word. */
bool name_escaping_parse(struct bytes word, enum name_escaping *ret);

/* Appends the name. Out of memory shows in buf_error(to). */
void name_escape(struct buf *to, struct bytes name, enum name_escaping escaping);

#endif

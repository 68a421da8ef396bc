/*
 * name_escaping.h - names of metrics and labels as a scraper can read them, who says so with
 * "escaping=" in its Accept header. A name of letters, digits, underscores and colons, without a
 * digit first, always stays as it is.
 *
 *                  my.metric_1 é
 *     underscores  my_metric_1__            any other character is an underscore
 *     dots         my_dot_metric__1____     that are two, as are underscores, and _dot_ is a dot
 *     values       U__my_2e_metric__1_20__e9_
 *     allow-utf-8  my.metric_1 é
 *
 * The last but one can be taken back; escaped_name.h is the same for those who have no colon.
 */
#ifndef WIRE_NAME_ESCAPING_H
#define WIRE_NAME_ESCAPING_H

#include "base/buf.h"

enum name_escaping { ESCAPE_UNDERSCORES, ESCAPE_DOTS, ESCAPE_VALUES, ESCAPE_NOTHING };

/* The word of Accept and Content-Type. */
const char *name_escaping_word(enum name_escaping escaping);
/* False: it is no such word. */
bool name_escaping_parse(struct bytes word, enum name_escaping *ret);

/* Appends the name. Out of memory shows in buf_error(to). */
void name_escape(struct buf *to, struct bytes name, enum name_escaping escaping);

#endif

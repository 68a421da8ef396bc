/*
 * escaped_name.h - writes any name as a plain word and reads it back: Prometheus' "values"
 * escaping; and writes names as a scraper asks for them.
 *
 *     my.metric é   becomes   U__my_2e_metric_20__e9_
 *
 * U__, then letters and digits unchanged (digits not first), an underscore doubled, and every other
 * character as its number in hex between underscores. Unlike Prometheus this escapes the colon, and
 * it keeps bytes that are not UTF-8: 0x110000, the first number that is not a character, plus the
 * byte.
 */
#ifndef WIRE_ESCAPED_NAME_H
#define WIRE_ESCAPED_NAME_H

#include "base/buf.h"

/* True for a name of letters, underscores and digits, the first not a digit; `colon` allows colons.
 */
bool name_is_plain(struct bytes name, bool colon);

/* True if the name begins like an escaped one, so that it has to be escaped itself. */
bool name_looks_escaped(struct bytes name);

/* Appends the escaped name. Out of memory shows in buf_error(to), which then may hold a part. */
void escaped_name_put(struct buf *to, struct bytes name);

/* Appends the name that `text` escapes. False: `text` is not an escaped name, or `to` is full; `to`
 * is unchanged. */
bool escaped_name_get(struct buf *to, struct bytes text);

/* --- names for scrapers ----------------------------------------------------------------------- */

/*
 * Names of letters, digits, underscores and colons whose first character is not a digit stay
 * unchanged.
 *
 *                  my.metric_1 é
 *     underscores  my_metric_1__            every other character becomes an underscore
 *     dots         my_dot_metric__1____     it becomes two, as an underscore; a dot becomes _dot_
 *     values       U__my_2e_metric__1_20__e9_    as above, but a colon stays
 *     allow-utf-8  my.metric_1 é
 */
enum name_escaping { ESCAPE_UNDERSCORES, ESCAPE_DOTS, ESCAPE_VALUES, ESCAPE_NOTHING };

/* Returns the word used in Accept and Content-Type. */
const char *name_escaping_word(enum name_escaping escaping);
/* False: unknown word. */
bool name_escaping_parse(struct bytes word, enum name_escaping *ret);

/* Appends the name. Out of memory shows in buf_error(to). */
void name_escape(struct buf *to, struct bytes name, enum name_escaping escaping);

#endif

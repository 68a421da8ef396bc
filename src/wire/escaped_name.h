/*
 * escaped_name.h - names that are no plain words, as plain words: Prometheus' "values" escaping.
 *
 *     my.metric é   becomes   U__my_2e_metric_20__e9_
 *
 * U__, then letters and digits as they are (a digit not at the beginning), an underscore as two,
 * and every other character as its number in hex between underscores. The colon, which Prometheus
 * leaves, is written so, too; and a byte that is no UTF-8, which Prometheus loses, as 0x110000, the
 * first number that no character has, and the byte.
 */
#ifndef WIRE_ESCAPED_NAME_H
#define WIRE_ESCAPED_NAME_H

#include "base/buf.h"

/* Letters, digits but not first, and underscores; with `colon` that, too. */
bool name_is_plain(struct bytes name, bool colon);

/* Whether it begins like one of these: what is no such name must then be written as one. */
bool name_looks_escaped(struct bytes name);

/* Out of memory shows in buf_error(to), which then may hold a part. */
void escaped_name_put(struct buf *to, struct bytes name);

/* Appends what it stands for. False: it is no such name and stands for itself, or `to` is full;
 * then nothing was written. */
bool escaped_name_get(struct buf *to, struct bytes text);

#endif

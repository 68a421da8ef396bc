/*
 * quoting.h - names, texts and regexes as literals of InfluxQL, which cannot become other syntax.
 *
 * influxql_can_quote() is false for texts that cannot be written as a literal. Then the request has
 * no condition on the text, and the response is filtered.
 */
#ifndef BACKEND_INFLUXDB_QUOTING_H
#define BACKEND_INFLUXDB_QUOTING_H

#include "base/buf.h"

/* InfluxQL: "name", 'text'. A NUL would end the query, a carriage return become a line feed. U+FFFD
 * may replace bytes that are invalid UTF-8, which JSON cannot have. */
bool influxql_can_quote(struct bytes text);
void influxql_put_name(struct buf *to, struct bytes name);
void influxql_put_text(struct buf *to, struct bytes text);
/* Puts a regex that matches only this text, of any bytes: /^\x{61}...$/ */
void influxql_put_exact_regex(struct buf *to, struct bytes text);

/* True if an RE2 pattern has the same meaning in all releases of Go's regexp, and can be written
 * between slashes: without flags, Unicode classes, \Q and control characters.
 */
bool go_can_match(struct bytes pattern);
/* /^(?s:pattern)$/ */
void go_put_regex(struct buf *to, struct bytes pattern);

#endif

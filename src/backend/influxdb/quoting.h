/*
 * quoting.h - names, texts and regexes as literals of InfluxQL, Flux and SQL, such that nothing in
 * them can be taken for anything else.
 *
 * What a language cannot write as a literal is not written: xxx_can_quote() says so beforehand.
 * Requests then ask for more, and what is too much is left out when it comes.
 */
#ifndef BACKEND_INFLUXDB_QUOTING_H
#define BACKEND_INFLUXDB_QUOTING_H

#include "base/buf.h"

/*
 * InfluxQL: "name", 'text'. It takes a NUL for the end of the query, and a carriage return for a
 * line feed. U+FFFD may stand for bytes that are no UTF-8, which JSON cannot have.
 */
bool influxql_can_quote(struct bytes text);
void influxql_put_name(struct buf *to, struct bytes name);
void influxql_put_text(struct buf *to, struct bytes text);
/* A regex of this text and no other, of any text: /^\x{61}...$/ */
void influxql_put_exact_regex(struct buf *to, struct bytes text);

/* Flux: "text", in which ${ would begin an expression. */
bool flux_can_quote(struct bytes text);
void flux_put_text(struct buf *to, struct bytes text);

/* SQL: "name", 'text'. */
bool sql_can_quote(struct bytes text);
void sql_put_name(struct buf *to, struct bytes name);
void sql_put_text(struct buf *to, struct bytes text);

/*
 * Whether an RE2 pattern means the same to Go's regexp, of whatever release, and can stand between
 * slashes in InfluxQL and Flux: no flags, no Unicode classes, no \Q, no control characters.
 */
bool go_can_match(struct bytes pattern);
/* /^(?s:pattern)$/ */
void go_put_regex(struct buf *to, struct bytes pattern);

#endif

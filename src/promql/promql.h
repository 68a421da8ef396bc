/*
 * promql.h - Prometheus' query language.
 *
 * Errors of the language are sentences with a position, worded as Prometheus words them; they may
 * be longer than a `struct why` and come in a buffer.   Threads: any, each call for itself.
 */
#ifndef PROMQL_PROMQL_H
#define PROMQL_PROMQL_H

#include "base/buf.h"

enum promql_form {
    PROMQL_LINES, /* the expression, in lines of at most 100 characters where that is possible */
    PROMQL_JSON,  /* its syntax tree, as the query API gives it */
};

/*
 * Appends an expression in another form to `to`. ERR_INPUT: it is none, ERR_LIMIT: it is too long
 * or nested too deep; `error` says what. ERR_NOMEM.
 */
MUST_CHECK enum err promql_rewrite(struct bytes text, enum promql_form form, struct budget *budget,
                                   struct buf *to, struct buf *error);

#endif

/*
 * promql.h - Prometheus' query language.
 *
 * Errors of the language are sentences with a position, worded as Prometheus words them; they may
 * be longer than a `struct why` and come in a buffer.   Threads: any, each call for itself.
 */
#ifndef PROMQL_PROMQL_H
#define PROMQL_PROMQL_H

#include "base/buf.h"
#include "model/select.h"

enum promql_form {
    PROMQL_LINES, /* the expression, in lines of at most 100 characters where that is possible */
    PROMQL_JSON,  /* its syntax tree, as the query API gives it */
};

/*
 * Appends an expression in another form to `to`. ERR_INPUT: not an expression, ERR_LIMIT: it is too
 * long or nested too deep; `error` says what. ERR_NOMEM.
 */
MUST_CHECK enum err promql_rewrite(struct bytes text, enum promql_form form, struct budget *budget,
                                   struct buf *to, struct buf *error);

/* An expression that was read. Immutable; given by the next two, whose errors are those above. */
struct promql_tree;
MUST_CHECK enum err promql_parse(struct bytes text, struct budget *budget,
                                 struct promql_tree **ret_tree, struct buf *error);
/*
 * The same of a selector of series alone, as match[] has it. ERR_INPUT also if each of its matchers
 * passes the empty string: it would select everything.
 */
MUST_CHECK enum err promql_parse_selector(struct bytes text, struct budget *budget,
                                          struct promql_tree **ret_tree, struct buf *error);
void promql_free(struct promql_tree *tree);
/* What its selectors select; a view of the tree. */
const struct matcher_set *promql_selectors(const struct promql_tree *tree, uint32_t *ret_count);

#endif

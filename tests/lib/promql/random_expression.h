/*
 * random_expression.h - PromQL expressions of every kind, chosen by bytes. For tests and fuzzers.
 *
 * Each choice takes a byte or two. After the last byte, every choice is the first one, which is the
 * simplest; so similar bytes give similar expressions, and all of them end.
 */
#ifndef LIB_PROMQL_RANDOM_EXPRESSION_H
#define LIB_PROMQL_RANDOM_EXPRESSION_H

#include "base/buf.h"
#include "promql/parse/tree.h"

struct choices {
    const uint8_t *at;
    const uint8_t *end;
};

/* Returns a number below `count`. */
uint32_t choose(struct choices *c, uint32_t count);

#define choose_text(c, list) ((list)[choose((c), sizeof(list) / sizeof *(list))])

/* Names and values of the series in random_store.h, and "none" and "nosuch", which are in no
 * series. */
enum { METRIC_NAMES = 8, LABEL_NAMES = 10, LABEL_VALUES = 10 };
extern const char *const metric_names[METRIC_NAMES];
extern const char *const label_names[LABEL_NAMES];
extern const char *const label_values[LABEL_VALUES];

/* Appends an expression, mostly a vector. */
void put_expression(struct choices *from, struct buf *to);

#endif

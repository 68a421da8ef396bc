/* answer.h - answers to queries over a view, and their values by series and step. For tests. */
#ifndef LIB_PROMQL_ANSWER_H
#define LIB_PROMQL_ANSWER_H

#include "promql/promql.h"

struct answer {
    struct promql_tree *tree;
    struct promql_result *result;
    struct buf error;
    enum err e;
};

/* Evaluates a query, and frees the view. */
struct answer answer_over(struct view *view, const char *text,
                          const struct promql_options *options);
void answer_free(struct answer *a);

/* Floats of the series with the label i (0 without it) at each step; the bits of a staleness marker
 * where it has none. */
enum { ANSWER_SERIES = 4, ANSWER_STEPS = 1000 };
struct answer_values {
    uint64_t bits[ANSWER_SERIES][ANSWER_STEPS];
};
/* The caller frees it. */
struct answer_values *answer_values_of(struct answer *a, const struct promql_options *o);

bool answer_is_there(uint64_t bits);
/* True if both are the same but for rounding, relative to them and to a scale. */
bool answer_is_near(double a, double b, double scale);

#endif

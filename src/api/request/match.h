/*
 * match.h - private to api/: the selectors of series in a request.
 */
#ifndef API_REQUEST_MATCH_H
#define API_REQUEST_MATCH_H

#include "api/request/form.h"
#include "model/select.h"
#include "promql/promql.h"

struct match {
    struct promql_tree **trees; /* in the form's arena */
    uint32_t tree_count;
    struct matcher_set *sets; /* views of the trees; also in the arena */
    uint32_t set_count;
};

/*
 * Both add to `match`, which begins as {0} and ends with match_fini(), also after errors.
 * ERR_INPUT: Prometheus' sentence is appended to `error`; ERR_NOMEM and ERR_CANCELED (`control` may
 * be NULL), with `why`.
 */

/* Adds all match[], each of which is a selector. ERR_INPUT also if one of them selects everything.
 */
MUST_CHECK enum err match_read(struct match *match, struct form *form, struct budget *budget,
                               struct query_control *control, struct buf *error, struct why *why);
/* Adds all selectors that `parse` finds in a text. */
MUST_CHECK enum err match_add(struct match *match, const char *text,
                              enum err (*parse)(struct bytes text, struct budget *budget,
                                                struct query_control *control,
                                                struct promql_tree **ret_tree, struct buf *error),
                              struct form *form, struct budget *budget,
                              struct query_control *control, struct buf *error, struct why *why);
void match_fini(struct match *match);

#endif

/*
 * match.h - private to api/: the selectors of series in a request.
 */
#ifndef API_MATCH_H
#define API_MATCH_H

#include "api/form.h"
#include "model/select.h"
#include "promql/promql.h"

struct match {
    struct promql_tree **trees; /* in the form's arena */
    uint32_t tree_count;
    struct matcher_set *sets; /* of the trees; the same */
    uint32_t set_count;
};

/*
 * Both add to `match`, which begins as {0} and ends with match_fini(), whatever happens. ERR_INPUT:
 * `error` has Prometheus' sentence, appended; ERR_NOMEM and ERR_CANCELED (`control` may be NULL),
 * with `why`.
 */

/* All match[], each a selector of its own. ERR_INPUT also if one of them would select everything.
 */
MUST_CHECK enum err match_read(struct match *match, struct form *form, struct budget *budget,
                               struct query_control *control, struct buf *error, struct why *why);
/* All selectors of one text, as `parse` finds them. */
MUST_CHECK enum err match_add(struct match *match, const char *text,
                              enum err (*parse)(struct bytes text, struct budget *budget,
                                                struct query_control *control,
                                                struct promql_tree **ret_tree, struct buf *error),
                              struct form *form, struct budget *budget,
                              struct query_control *control, struct buf *error, struct why *why);
void match_fini(struct match *match);

#endif

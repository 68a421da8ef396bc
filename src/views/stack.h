/*
 * stack.h - puts the layers together that a question passes on its way from an expression to the
 * store and to other systems.
 *
 *      PromQL, rules, remote read, look-ups
 *          |
 *      replicas      series that differ in replica labels only become one    view_stack_open(),
 *          |                                                                 for each view
 *      tenants       asks for each tenant of a list, and labels its series   view_stack_tenants(),
 *          |                                                                 once
 *      merged        the store and all sources as one                        view_stack_merge(),
 *          |      \                                                          for each view
 *      permitted   permitted    series that are visible to the sender
 *          |          |
 *          |       source       selectors, times and labels of a source      source_init() of
 *          |          |                                                      backend/, once
 *          |          |
 *        store      reader      another system
 *
 * All layers implement model/select.h, so each of them can be left out. Reasons for the order:
 *
 *  - replicas is above tenants and merged: a replica is chosen when all its samples are together,
 *    those of the store and those of sources. Series of several tenants differ in the label of the
 *    tenant, so they are never replicas of each other.
 *  - tenants is above merged: sources filter by tenant, and know no lists.
 *  - permitted is below merged and replicas, so that hidden samples never win over visible ones. It
 *    is above source, and adds matchers that it treats like those of the question: the external
 *    labels of a source count.
 *
 * Ownership: a view owns the views below it, an answerer does not own the answerer below.
 *
 * Threads: layers have none; views may be used by several threads, a set of series by one.
 */
#ifndef VIEWS_STACK_H
#define VIEWS_STACK_H

#include "model/select.h"
#include "views/source.h"

/* The layers above an answerer, for the questions of one request or evaluation. */
struct view_stack {
    struct answerer *answerer;
    const struct bytes *replicas; /* labels that name replicas; copied */
    uint32_t replica_count;       /* 0: replicas are not merged */
};

/* Opens a view; `control` is not NULL. ERR_INPUT: too many replica labels. Errors of the answerer;
 * ERR_NOMEM. */
MUST_CHECK enum err view_stack_open(const struct view_stack *stack, struct query_control *control,
                                    struct view **ret_view, struct why *why);

/* Returns an answerer for questions whose tenant may be a list, "a|b". `below` outlives it.
 * ERR_NOMEM. */
MUST_CHECK enum err view_stack_tenants(struct answerer *below, struct answerer **ret_answerer);

/* A source, and the times that it is asked for; min > max: none. */
struct view_stack_source {
    const struct source_options *options;
    int64_t min_ms, max_ms;
};

/*
 * Opens the sources, and reads them and the store as one view, each without what control->permitted
 * hides; of two samples of one time, the first-listed view's wins. `store` is taken, also on an
 * error; NULL if nothing is stored. At most MERGED_VIEWS_MAX views in all. `control` may be NULL.
 *
 * ERR_UNSUPPORTED: there is neither a store nor a source. Errors of source_view_open(); ERR_NOMEM.
 */
MUST_CHECK enum err view_stack_merge(struct view *store, const struct view_stack_source *sources,
                                     uint32_t count, struct query_control *control,
                                     struct view **ret_view, struct why *why);

#endif

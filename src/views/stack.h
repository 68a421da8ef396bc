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
#include "model/tenant_name.h"

#include <stdatomic.h>

/* --- replicas.c ------------------------------------------------------------------------------- */

/*
 * Replicas of a Prometheus (high availability pairs) read as one: a view of another view,
 * without the labels that name the replica.
 *
 *     up{job="x", replica="a"}, up{job="x", replica="b"}  ->  up{job="x"}
 *
 * Series that differ in these labels only are one, whose samples are those of one replica at a
 * time: replica_merge.h has the rules. In the order of replicas, series without such labels come
 * first, then they come by the values.
 *
 * Matchers of replica labels are passed on, as in Thanos: up{replica="b"} reads the series of b
 * alone, without the label in the answer. Names and values of these labels are not listed.
 * Exemplars and sets of labels that become the same are returned once.
 *
 * Series come in label order. A first pass over labels finds the combinations of replica labels;
 * then each is read as a set of its own, and these are merged: replicas.c.
 *
 * Answers for times before an earlier view's mark may differ from that view's, if it had begun with
 * another replica; the rules allow both.
 *
 * Threads: those of the view below.
 */

enum { REPLICA_LABELS_MAX = 16 };

/* Splits a text, "a,b", into names, views of it, at most REPLICA_LABELS_MAX. Returns their number.
 */
uint32_t replica_labels_of(const char *text, struct bytes ret_names[REPLICA_LABELS_MAX]);

/*
 * `inner` is taken, also on an error. `names` are copied; empty ones are ignored, and if none is
 * left *ret_view is `inner`. ERR_INPUT: there are too many. ERR_NOMEM.
 */
MUST_CHECK enum err replicas_view_new(struct view *inner, const struct bytes *names, uint32_t count,
                                      struct budget *budget, struct view **ret_view,
                                      struct why *why);

/* --- tenants.c -------------------------------------------------------------------------------- */

/*
 * Several tenants read as one: an answerer over an answerer.
 *
 * A question whose tenant is a list of names, "a|b", is asked for each of them, and their answers
 * become one, with a label for the tenant in every series:
 *
 *     up{job="x"} of a  ->  up{__tenant_id__="a", job="x"}
 *
 * A label of that name which a series has itself is called original___tenant_id__ in the answer,
 * and in matchers. Matchers of __tenant_id__ choose among the tenants. A duplicate name counts
 * once; if only one name is left, the question is asked as without a list, and no label is added.
 * Metadata has one entry per family and description.
 *
 * Series come in label order, with one series of each tenant in memory. Names, values, sets of
 * labels, exemplars and metadata are gathered before the first is returned, on the question's
 * budget.
 */

enum { TENANTS_AT_ONCE_MAX = 256 };

/* The name that a series' own label TENANT_LABEL gets. */
#define ORIGINAL_LABEL "original___tenant_id__"

/* Appends the labels of a series as they are in the answer. */
void tenant_labels_put(struct buf *to, struct bytes labels, struct bytes tenant);

/* ERR_INPUT: a name is not a valid tenant name, or there are too many. */
MUST_CHECK enum err tenants_check(struct bytes names, struct why *why);

/* `below` outlives the answerer, which does not free it. ERR_NOMEM. */
MUST_CHECK enum err tenants_answerer_new(struct answerer *below, struct answerer **ret_answerer);

/* --- merged.c --------------------------------------------------------------------------------- */

/*
 * Several views read as one.
 *
 * A series that more than one of them has is one series in the answer. Of samples of one time the
 * first-listed view's is returned. Names, values, sets of labels and equal exemplars are returned
 * once; metadata has one entry per family and description.
 *
 * Series come in label order, with one batch of each view in memory. Names, values, sets of labels,
 * exemplars and metadata are gathered before the first is returned, on the question's budget.
 *
 * A view that does not concern a question (struct view_ops) is not asked. If only one does, it
 * answers alone, with all hints; otherwise samples are neither summarized nor returned as chunks.
 *
 * Threads: those of the views below.
 */

enum { MERGED_VIEWS_MAX = 65 }; /* the embedded store and the sources */

/* The views are taken, also on an error. `count`: 1 to MERGED_VIEWS_MAX. ERR_NOMEM. */
MUST_CHECK enum err merged_view_new(struct view *const *views, uint32_t count,
                                    struct budget *budget, struct view **ret_view, struct why *why);

/*
 * Merges sets of series as they are read; private to views/. The next series is the least of the
 * next series of the sets. A series that several sets have is one series, for which the first set's
 * samples win. The sets, at least one, are taken, also on an error. Threads: one. ERR_NOMEM.
 */
MUST_CHECK enum err merged_set_new(struct series_set *const *sets, uint32_t count,
                                   struct budget *budget, struct series_set **ret_set,
                                   struct why *why);

/* --- permitted.c ------------------------------------------------------------------------------ */

/*
 * A view that answers with visible series only, as if the view below had no others: series,
 * samples, exemplars, texts, limits, counts and estimates. Metadata is that of metrics with a
 * visible series.
 *
 * Takes the view `below`, also on an error. `permitted` and its matchers outlive the view and its
 * sets; if all series are visible, or it is NULL, *ret_view is `below`. ERR_NOMEM.
 */
MUST_CHECK enum err permitted_view_new(struct view *below, const struct permitted *permitted,
                                       struct budget *budget, struct view **ret_view,
                                       struct why *why);

/* --- source.c --------------------------------------------------------------------------------- */

/*
 * Reads another system as a source, through its reader (backend/source.h).
 *
 *     question --tenant, time, selectors of the source, external labels--> requests to the reader
 *     answer <--filtered again, counted, failures as warnings if they may-- answers of the reader
 *
 * A request has one set of matchers, without matchers of external labels, and no shard. Look-ups
 * that the reader does not support are made from series, or from their samples.
 *
 * Threads: those of the reader's views.
 */

/* Counts since the source was opened; relaxed: statistics. */
struct source_tally {
    _Atomic uint64_t questions;
    _Atomic uint64_t series; /* returned */
    _Atomic uint64_t samples;
    _Atomic uint64_t filtered; /* series of the reader that do not match the question */
    _Atomic uint64_t failed;   /* questions that ended with an error */
    _Atomic uint64_t excused;  /* failed ones that became a warning */
};

struct source_limits {
    const char *name;
    const struct bytes *tenants; /* count 0: all */
    uint32_t tenant_count;
    const struct matcher_set *select; /* count 0: all series */
    uint32_t select_count;
    const struct label *external_labels;
    uint32_t external_count;
    bool may_fail;        /* a failure becomes a warning, if the caller handles warnings */
    uint64_t samples_max; /* samples that a view may read; 0: unlimited */
};

struct source_options {
    struct answerer *reader;
    struct source_limits limits;
    struct source_tally *tally;
    /* Called by any thread for each failure of a question, also excused ones. May be NULL. */
    void (*failed)(void *owner, enum err e, const struct why *why);
    /* Called by any thread. Views, and sets that outlive them, use the options between the two. */
    void (*hold)(void *owner);
    void (*release)(void *owner);
    void *owner;
};

/* `min_ms`, `max_ms`: times for which it is asked; min > max: never. ERR_NOMEM; errors of the
 * reader.
 */
MUST_CHECK enum err source_view_open(const struct source_options *options, int64_t min_ms,
                                     int64_t max_ms, struct query_control *control,
                                     struct view **ret_view, struct why *why);

/* --- stack.c ---------------------------------------------------------------------------------- */

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

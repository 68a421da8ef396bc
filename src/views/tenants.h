/*
 * tenants.h - several tenants read as one: an answerer over an answerer.
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
#ifndef VIEWS_TENANTS_H
#define VIEWS_TENANTS_H

#include "model/select.h"
#include "model/tenant_name.h"

enum { TENANTS_AT_ONCE_MAX = 256 };

/* The name that a series' own label TENANT_LABEL gets. */
#define ORIGINAL_LABEL "original___tenant_id__"

/* Appends the labels of a series as they are in the answer. */
void tenant_labels_put(struct buf *to, struct bytes labels, struct bytes tenant);

/* ERR_INPUT: a name is not a valid tenant name, or there are too many. */
MUST_CHECK enum err tenants_check(struct bytes names, struct why *why);

/* `below` outlives the answerer, which does not free it. ERR_NOMEM. */
MUST_CHECK enum err tenants_answerer_new(struct answerer *below, struct answerer **ret_answerer);

#endif

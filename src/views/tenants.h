/*
 * tenants.h - several tenants read as one: an answerer over an answerer.
 *
 * A question whose tenant is a list of names, "a|b", is put to each of them, and their answers
 * become one in which every series says whose it is:
 *
 *     up{job="x"} of a  ->  up{__tenant_id__="a", job="x"}
 *
 * A label of that name which a series has itself is called original___tenant_id__ in the answer,
 * and for matchers. Matchers of __tenant_id__ choose among the tenants. A name that is there twice
 * counts once; where one is left, it is asked as if there were no list, and no label is added.
 * Metadata has a family as often as tenants describe it differently.
 *
 * Series come in label order, with one series of each tenant in memory. Names, values, sets of
 * labels, exemplars and metadata are gathered before the first is given, on the question's budget.
 */
#ifndef VIEWS_TENANTS_H
#define VIEWS_TENANTS_H

#include "model/select.h"

enum { TENANTS_AT_ONCE_MAX = 256 };

/* ERR_INPUT: one of the names, or the only one, is not a tenant's, or there are too many. */
MUST_CHECK enum err tenants_check(struct bytes names, struct why *why);
/* The first of them. */
struct bytes tenants_first(struct bytes names);

/* `below` outlives it and is not freed with it. ERR_NOMEM. */
MUST_CHECK enum err tenants_answerer_new(struct answerer *below, struct answerer **ret_answerer);

#endif

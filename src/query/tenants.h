/*
 * tenants.h - several tenants read as one: an answerer over an answerer.
 *
 * A question whose tenant is a list of names, "a|b", is put to each of them, and their answers
 * become one in which every series says whose it is:
 *
 *     up{job="x"} of a  ->  up{__tenant_id__="a", job="x"}
 *
 * A label of that name which a series has is called original___tenant_id__ in the answer, and for
 * matchers. Matchers of __tenant_id__ choose among the tenants. Duplicate names count once; where
 * one is left, it is asked as if there were no list, and no label is added. Metadata has a family as
 * often as tenants describe it differently.
 */
#ifndef QUERY_TENANTS_H
#define QUERY_TENANTS_H

#include "model/select.h"

enum { TENANTS_AT_ONCE_MAX = 256 };

/* ERR_INPUT: one of the names, or the only one, is no tenant's, or there are too many. */
MUST_CHECK enum err tenants_check(struct bytes names, struct why *why);

/* `below` outlives it and is not freed with it. NULL: no memory. */
struct answerer *tenants_answerer_new(struct answerer *below);

#endif

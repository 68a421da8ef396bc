/*
 * asked_matchers.h - the matchers of a query that a set of a test keeps: checks that they live as
 * long as the set, as sets of sources require. For tests.
 */
#ifndef LIB_VIEWS_ASKED_MATCHERS_H
#define LIB_VIEWS_ASKED_MATCHERS_H

#include "base/hash/hash.h"
#include "lib/test.h"
#include "model/select.h"

struct asked_with {
    const struct matcher *matchers[16]; /* the first ones */
    uint32_t count;
    uint64_t hash; /* hash of their names and patterns */
};

/* Keeps the matchers of the request, which are borrowed. */
void asked_with_keep(struct asked_with *asked, const struct query_request *request);

/* Checks that the matchers are still there. */
void asked_with_check(const struct asked_with *asked);

#endif

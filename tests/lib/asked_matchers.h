/*
 * asked_matchers.h - the matchers that a set was asked with: views of tests look at them for as
 * long as the set lives, as those of sources do.
 */
#ifndef LIB_ASKED_MATCHERS_H
#define LIB_ASKED_MATCHERS_H

#include "lib/test.h"

#include "base/hash.h"
#include "model/select.h"

struct asked_with {
    const struct matcher *matchers[16]; /* the first ones */
    uint32_t count;
    uint64_t hash; /* of their names and patterns */
};

void asked_with_keep(struct asked_with *asked, const struct query_request *request);

/* They are still there. */
void asked_with_check(const struct asked_with *asked);

#endif

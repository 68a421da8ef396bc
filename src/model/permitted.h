/*
 * permitted.h - the series that are visible to the sender of a request: those that match one of the
 * matcher sets of each clause.
 *
 *     clause 1: {team="a"} or {team="b"}      read_matchers of the user
 *     clause 2: {env="prod"}                  extra_filters[] of the request
 *
 * A question is narrowed before it is asked (views/stack.h), so answerers need not know about
 * permissions: their limits, counts, estimates and hints apply to visible series only.
 *
 * Threads: immutable, any.
 */
#ifndef MODEL_PERMITTED_H
#define MODEL_PERMITTED_H

#include "base/buf.h"
#include "model/select.h"

enum {
    PERMITTED_CLAUSES_MAX = 4,
    PERMITTED_SETS_MAX = 4096, /* of a narrowed question */
};

struct permitted_clause {
    const struct matcher_set *sets; /* alternatives */
    uint32_t count;                 /* at least 1 */
};

struct permitted {
    struct permitted_clause clauses[PERMITTED_CLAUSES_MAX];
    uint32_t count; /* 0: all series are visible */
};

/* True if series with these canonical labels are visible. */
bool permitted_has(const struct permitted *permitted, struct bytes labels);

/*
 * Makes a question that selects the visible ones of the series that `request` selects. Its sets are
 * in the arena, their matchers are those of both. Combinations of sets that contradict each other
 * are left out.
 *
 * ERR_LIMIT: there are more than PERMITTED_SETS_MAX combinations of sets; ERR_NOMEM.
 */
MUST_CHECK enum err permitted_narrow(const struct permitted *permitted,
                                     const struct query_request *request, struct arena *arena,
                                     struct query_request *ret, struct why *why);

/* Appends bytes that are equal for equal clauses only, as a key for caches. */
void permitted_put_key(const struct permitted *permitted, struct buf *to);

#endif

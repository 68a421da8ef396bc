/*
 * partial.h - a view of another view that keeps warnings about data missing from its answers for as
 * long as it exists: about parts that were set aside, sources that may fail, and, with `partial`,
 * damaged data.
 *
 * So the evaluation of an expression need not handle warnings. Threads: those of the view below.
 */
#ifndef VIEWS_PARTIAL_H
#define VIEWS_PARTIAL_H

#include "base/lock.h"
#include "base/warnings.h"
#include "model/select.h"

struct partial_view {
    struct view view; /* first: the view to use */
    struct view *below;
    struct budget *budget;
    bool partial;
    bool asks_as_is; /* requests are not changed: see warned_view_new() */
    void (*warn)(void *context,
                 const char *sentence); /* NULL except in views of warned_view_new() */
    void *context;

    struct lock lock; /* LOCK_RANK_LEAF; guards to the end */
    struct warnings warnings;
    bool lost; /* a warning could not be kept */
};

/* `below` stays the caller's, and outlives the view's sets. */
void partial_view_init(struct partial_view *v, struct view *below, bool partial,
                       struct budget *budget);
/* All sets must be freed before the following functions. */
void partial_view_fini(struct partial_view *v);
/* ERR_NOMEM: a warning could not be kept, so that the answer must fail. */
MUST_CHECK enum err partial_view_check(struct partial_view *v, struct why *why);
/* NULL after the last. */
const char *partial_view_warning(const struct partial_view *v, uint32_t index);

/*
 * For callers that do not read warnings, like rules: a view of `below`, which it takes on success.
 * It does not change requests, so sources may not fail. When it is freed, `warn` gets each
 * sentence. ERR_NOMEM.
 */
MUST_CHECK enum err warned_view_new(struct view *below, struct budget *budget,
                                    void (*warn)(void *context, const char *sentence),
                                    void *context, struct view **ret_view, struct why *why);

#endif

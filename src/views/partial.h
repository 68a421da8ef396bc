/*
 * partial.h - a view of another that keeps the sentences about what its answers lack for as long as
 * it exists: of parts that were set aside, of sources that may fail, and, if it is asked with
 * `partial`, of what is damaged.
 *
 * So whoever evaluates an expression need not know of it. Threads: as the view below.
 */
#ifndef VIEWS_PARTIAL_H
#define VIEWS_PARTIAL_H

#include "base/lock.h"
#include "base/warnings.h"
#include "model/select.h"

struct partial_view {
    struct view view; /* to be asked; first */
    struct view *below;
    struct budget *budget;
    bool partial;
    bool asks_as_is; /* questions are not changed: see warned_view_new() */
    void (*tell)(void *context, const char *sentence);
    void *context;

    struct lock lock; /* LOCK_RANK_LEAF; guards to the end */
    struct warnings warnings;
    bool lost; /* one could not be kept */
};

/* `below` outlives what is asked of it, and stays the caller's. */
void partial_view_init(struct partial_view *v, struct view *below, bool partial,
                       struct budget *budget);
/* All sets are freed before the next three. */
void partial_view_fini(struct partial_view *v);
/* ERR_NOMEM: what is missing could not be kept, so that the answer must fail. */
MUST_CHECK enum err partial_view_check(struct partial_view *v, struct why *why);
/* NULL: there are no more. */
const char *partial_view_warning(const struct partial_view *v, uint32_t index);

/*
 * For callers that do not look for warnings, as rules do: a view of `below`, which it takes,
 * that asks as it is asked: so sources may not fail. When it is freed, `tell` gets each sentence.
 * ERR_NOMEM.
 */
MUST_CHECK enum err warned_view_new(struct view *below, struct budget *budget,
                                    void (*tell)(void *context, const char *sentence),
                                    void *context, struct view **ret_view, struct why *why);

#endif

/*
 * plan_gather.h - gives the items of a store that a destination wants in the order of time. For
 * plan.c only.
 *
 * The store gives samples series by series; a destination that keeps up with the log gets them in
 * the order of time, which decides how many calls are needed. So a stretch of time is gathered
 * whole, sorted and handed on, then the next. The number of items found in a stretch decides the
 * length of the next one.
 */
#ifndef RELAY_OPERATE_PLAN_GATHER_H
#define RELAY_OPERATE_PLAN_GATHER_H

#include "relay/feed/selection.h"
#include "relay/operate/plan.h"

struct plan_gather;

struct plan_gather_options {
    struct env *env;
    struct tsdb *tsdb;
    struct answerer *answerer;
    struct budget *memory;
    const struct selection *selection;
    int64_t from_ms; /* Unix time; both inclusive */
    int64_t to_ms;
    const atomic_bool *stop; /* ends the gathering when set; may be NULL */
    int64_t deadline_ns;     /* monotonic time at which the gathering ends with an error; 0: none */
    /* Called with every item, a view that ends with the call. An error ends the gathering. */
    enum err (*each)(void *context, const struct item *item, struct why *why);
    void *context;
};

/* ERR_NOMEM. */
MUST_CHECK enum err plan_gather_new(const struct plan_gather_options *options,
                                    struct plan_gather **ret_gather, struct why *why);
void plan_gather_free(struct plan_gather *gather);

/* Gives the metadata of families. ERR_NOMEM; errors of the store and of each(). */
MUST_CHECK enum err plan_gather_metadata(struct plan_gather *gather, struct why *why);
/* Gives samples, and exemplars after the samples of their time. Sets `seen`, `series`, `damaged`
 * and `damage` of `plan`. ERR_CANCELED: stopped; other errors as above. */
MUST_CHECK enum err plan_gather_samples(struct plan_gather *gather, struct plan *plan,
                                        struct why *why);

#endif

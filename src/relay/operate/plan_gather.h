/*
 * plan_gather.h - what a store has of a stretch of time and a destination wants, in the order of
 * time. For plan.c only.
 *
 * The store gives samples series by series; a destination that keeps up gets them in the order of
 * time, and for what is billed by call that makes all the difference. So a stretch of time is
 * gathered whole, put in order, and handed on, then the next. How long a stretch is follows from
 * how much is found in it.
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
    int64_t from_ms; /* both inclusive */
    int64_t to_ms;
    const atomic_bool *stop; /* NULL: it is never stopped */
    /* Given every item; views end with the call. Its error ends the gathering. */
    enum err (*each)(void *context, const struct item *item, struct why *why);
    void *context;
};

/* ERR_NOMEM. */
MUST_CHECK enum err plan_gather_new(const struct plan_gather_options *options,
                                    struct plan_gather **ret_gather, struct why *why);
void plan_gather_free(struct plan_gather *gather);

/* ERR_NOMEM; errors of the store and of each(). */
MUST_CHECK enum err plan_gather_metadata(struct plan_gather *gather, struct why *why);
/* Samples, and exemplars after the samples of their time; fills in what `plan` says of the store:
 * `seen`, `series`, `damaged`, `damage`. ERR_CANCELED: stopped; as above. */
MUST_CHECK enum err plan_gather_samples(struct plan_gather *gather, struct plan *plan,
                                        struct why *why);

#endif

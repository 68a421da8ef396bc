/* replicas_rig.h - a view of random series in memory, and its replicas read as one. For tests. */
#ifndef LIB_VIEWS_REPLICAS_RIG_H
#define LIB_VIEWS_REPLICAS_RIG_H

#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "lib/views/asked_matchers.h"
#include "model/labels.h"
#include "views/replica_merge.h"
#include "views/stack.h"

enum { SERIES_MAX = 400, LABELS_BYTES = 200, SAMPLES = 40, BATCH_MAX = 16 };

/* --- a view of what it was given -------------------------------------------------------------- */

struct given_series {
    uint8_t room[LABELS_BYTES];
    struct bytes labels; /* in `room` */
    struct bytes rest;   /* labels except the replica's; in the rig's arena */
    struct bytes dropped;
    uint32_t count;
    int64_t times_ms[SAMPLES];
    uint64_t bits[SAMPLES];
};

struct given {
    struct view view;                        /* first */
    struct given_series *series[SERIES_MAX]; /* in label order */
    unsigned count, sets, most_sets, selects;
    struct rng rng;
    const char *warning;   /* part of each answer; may be NULL */
    int64_t thinned_to_ms; /* resolution of downsampled samples; 0: there are none */
    enum err error;        /* error of the answer number `fails`, counted from 0 */
    unsigned fails;
    bool has_late; /* series number `late` appears after the first query */
    unsigned late;
    unsigned hides_after; /* so many queries find the series from number `hidden` on; 0: all */
    unsigned hidden;
    bool freed;
};

/* Moves to the next series of a set; a view_ops of a test may use it. */
enum err given_next(struct series_set *set, struct bytes *ret_labels, struct why *why);

extern const struct view_ops given_ops;
extern const struct view_ops ops_of_a_moment; /* a view of one moment */

/* --- the rig ---------------------------------------------------------------------------------- */

struct replicas_rig {
    struct given given;
    struct given_series all[SERIES_MAX];
    struct bytes names[4]; /* names of the replica labels */
    uint32_t name_count;
    struct view *view;
    struct arena arena;
    struct budget budget;
};

/* Begins without series; opens the view of the series that were added; frees it. */
void replicas_rig_begin(struct replicas_rig *g, uint64_t seed);
void replicas_rig_open(struct replicas_rig *g);
void replicas_rig_end(struct replicas_rig *g);

/* Opens a view of random series with few names and values, so that many labels share a beginning.
 */
void replicas_rig_random(struct replicas_rig *g, uint64_t seed, unsigned series, uint64_t values);

/* Returns a request of all samples. */
struct query_request replicas_request(struct replicas_rig *g);

/* Returns a matcher, which is given: matcher_free(). */
struct matcher *random_matcher(struct rng *rng);

/* Adds a series with labels as NAME, VALUE, ... up to NULL. */
void put_series(struct replicas_rig *g, const char *const *pairs);

#define PUT_SERIES(rig, ...) put_series(rig, (const char *const[]){__VA_ARGS__, NULL})

/* Finds the series that the request selects, in the order of the answer; returns their number. */
unsigned find_wanted(const struct replicas_rig *g, const struct query_request *r,
                     struct given_series **wanted);

/* Adds series of "replica" 0 to replicas - 1, and opens the view. */
void put_shops(struct replicas_rig *g, unsigned replicas);

#endif

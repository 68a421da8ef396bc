/*
 * usage.h - counts how often each metric is asked for, by tenant and name, in memory since the
 * start, and makes an answerer that does so on the way to the one below.
 *
 * A view counts a metric once: for a selector that requires a name, that name, even without series;
 * for others the names of the series that were read. Questions for which control->asker is
 * ASKER_UNCOUNTED are passed on as they are.
 *
 * Memory is bounded for each tenant and in all. Where it is not enough, the metric of the tenant
 * that was not asked for the longest time is forgotten. The list says since when it is complete, so
 * that a metric that it lacks was certainly not asked for since then.
 *
 * Threads: any.
 */
#ifndef VIEWS_USAGE_H
#define VIEWS_USAGE_H

#include "model/select.h"

enum usage_kind {
    USAGE_QUERY,  /* samples were asked for by a user */
    USAGE_RULE,   /* by a rule */
    USAGE_LOOKUP, /* names, values, labels or exemplars */
    USAGE_KINDS,
};

struct usage;
/* `seed` hides hashes from clients; `memory` may be NULL. ERR_NOMEM. */
MUST_CHECK enum err usage_new(struct env *env, uint64_t seed, struct budget *memory,
                              struct usage **ret_usage);
/* Its answerers open no view any more. Accepts NULL. */
void usage_free(struct usage *usage);

/* Returns an answerer over `below`, which outlives it, as `usage` does. ERR_NOMEM. */
MUST_CHECK enum err usage_answerer_new(struct usage *usage, struct answerer *below,
                                       struct answerer **ret_answerer);

/* The memory of the counts, for metrics. */
const struct budget *usage_budget(const struct usage *usage);

/* Counts one use of a metric. */
void usage_note(struct usage *usage, struct bytes tenant, struct bytes metric,
                enum usage_kind kind);

struct metric_usage {
    struct bytes metric;
    uint64_t counts[USAGE_KINDS];
    int64_t last_ms;
};
struct usage_list {
    int64_t begun_ms; /* the time from which uses are counted */
    int64_t since_ms; /* each metric used since then is listed; begun_ms if none was forgotten */
    struct metric_usage *metrics; /* the most used first, in the arena */
    uint32_t count;
};
/* Lists the metrics of a tenant. ERR_NOMEM. */
MUST_CHECK enum err usage_list(struct usage *usage, struct bytes tenant, struct arena *arena,
                               struct usage_list *ret);

#endif

/*
 * usage.h - counts how often each metric is asked for, by tenant and name, in memory since the
 * start. Readers call usage_note() for each question, and usage_note_series() for each series that
 * they read.
 *
 * A query_control counts a metric once, unless another one counts it in between: for a selector
 * that requires a name, that name, even without series; for others the names of the series.
 *
 * Memory is bounded. Where it is not enough, the half of the metrics that was not asked for the
 * longest time is forgotten. The list says since when it is complete, so that a metric that it
 * lacks was certainly not asked for since then.
 *
 * Threads: any.
 */
#ifndef MODEL_USAGE_H
#define MODEL_USAGE_H

#include "model/select.h"

/* `seed` hides hashes from clients; `memory` may be NULL. ERR_NOMEM. */
MUST_CHECK enum err usage_new(struct env *env, uint64_t seed, struct budget *memory,
                              struct usage **ret_usage);
/* No control has it any more. Accepts NULL. */
void usage_free(struct usage *usage);

/* The memory of the counts, for metrics. */
const struct budget *usage_budget(const struct usage *usage);

/* Counts the names that the selectors of a question require, for each tenant of a list. Does
 * nothing without request->control->usage. */
void usage_note(const struct query_request *request);
/* Counts the name of a series that was read for `tenant`, which may be a list. Does nothing without
 * control->usage; `control` may be NULL. */
void usage_note_series(struct query_control *control, struct bytes tenant, struct bytes labels);

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

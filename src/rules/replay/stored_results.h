/*
 * stored_results.h - samples stored under the name and the labels of a recording rule between two
 * times. Results for the past are compared with them, because stored samples are never changed.
 *
 * Threads: the owner's.
 */
#ifndef RULES_REPLAY_STORED_RESULTS_H
#define RULES_REPLAY_STORED_RESULTS_H

#include "rules/group/group.h"
#include "rules/replay/replay.h"

struct stored_sample {
    int64_t t_ms;
    struct replay_value value;
};

struct stored_results {
    struct kept_series series;
    uint32_t *ends; /* for each series, the index in `samples` after its last sample */
    struct stored_sample *samples; /* series after series, each in ascending time */
    uint32_t count, capacity, end_capacity;
    uint32_t from, to; /* samples of the current series */
    struct why *why;   /* used during stored_results_read() */
};

/* Initializes without taking memory. */
void stored_results_init(struct stored_results *stored, struct budget *budget, uint64_t seed);
void stored_results_fini(struct stored_results *stored);
/* Reads samples from the view of `past` between two times (Unix, both inclusive), of all series
 * that include these labels; once. ERR_NOMEM; errors of the view. */
MUST_CHECK enum err stored_results_read(struct stored_results *stored,
                                        const struct rules_past *past, const struct label *labels,
                                        uint32_t label_count, int64_t min_ms, int64_t max_ms,
                                        struct why *why);
/* Makes the series with these labels the current one. */
void stored_results_seek(struct stored_results *stored, struct bytes labels);
/* Returns the value of the current series at a time, a view; NULL if no sample is stored there. */
const struct replay_value *stored_results_at(const struct stored_results *stored, int64_t t_ms);

/* Returns a histogram as a value for comparison. Staleness markers of both kinds of series are
 * equal. */
struct replay_value value_of_histogram(const struct histogram *h);

#endif

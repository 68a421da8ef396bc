/*
 * source.h - reads another system as a source, through its reader (backend/source.h).
 *
 *     question --tenant, time, selectors of the source, external labels--> requests to the reader
 *     answer <--filtered again, counted, failures as warnings if they may-- answers of the reader
 *
 * A request has one set of matchers, without matchers of external labels, and no shard. Look-ups
 * that the reader does not support are made from series, or from their samples.
 *
 * Threads: those of the reader's views.
 */
#ifndef VIEWS_SOURCE_H
#define VIEWS_SOURCE_H

#include <stdatomic.h>

#include "model/select.h"

/* Counts since the source was opened; relaxed: statistics. */
struct source_tally {
    _Atomic uint64_t questions;
    _Atomic uint64_t series; /* returned */
    _Atomic uint64_t samples;
    _Atomic uint64_t filtered; /* series of the reader that do not match the question */
    _Atomic uint64_t failed;   /* questions that ended with an error */
    _Atomic uint64_t excused;  /* failed ones that became a warning */
};

struct source_limits {
    const char *name;
    const struct bytes *tenants; /* count 0: all */
    uint32_t tenant_count;
    const struct matcher_set *select; /* count 0: all series */
    uint32_t select_count;
    const struct label *external_labels;
    uint32_t external_count;
    bool may_fail;        /* a failure becomes a warning, if the caller handles warnings */
    uint64_t samples_max; /* samples that a view may read; 0: unlimited */
};

struct source_options {
    struct answerer *reader;
    struct source_limits limits;
    struct source_tally *tally;
    /* Called by any thread for each failure of a question, also excused ones. May be NULL. */
    void (*failed)(void *owner, enum err e, const struct why *why);
    /* Called by any thread. Views, and sets that outlive them, use the options between the two. */
    void (*hold)(void *owner);
    void (*release)(void *owner);
    void *owner;
};

/* `min_ms`, `max_ms`: times for which it is asked; min > max: never. ERR_NOMEM; errors of the
 * reader.
 */
MUST_CHECK enum err source_view_open(const struct source_options *options, int64_t min_ms,
                                     int64_t max_ms, struct query_control *control,
                                     struct view **ret_view, struct why *why);

#endif

/*
 * source.h - another system's view as that of a source: what its reader (backend/reader.h) gives,
 * held to what was asked.
 *
 *     question -- tenant, time, selectors of the source, external labels --> questions to the
 * reader answer   <- filtered again, counted, and what may fail as a warning -- the reader's
 * answers
 *
 * Its reader is asked of one set of matchers at a time, never about external labels, and of no
 * shard. What it cannot look up is found out of the series, or of their samples.
 *
 * Threads: as the reader's views.
 */
#ifndef VIEWS_SOURCE_H
#define VIEWS_SOURCE_H

#include <stdatomic.h>

#include "model/select.h"

/* What a source did since it is there; relaxed: statistics. */
struct source_tally {
    _Atomic uint64_t questions;
    _Atomic uint64_t series; /* that were given on */
    _Atomic uint64_t samples;
    _Atomic uint64_t filtered; /* series that the reader gave and was not asked for */
    _Atomic uint64_t failed;   /* questions that ended with an error */
    _Atomic uint64_t excused;  /* of these, those that became a warning */
};

struct source_limits {
    const char *name;
    const struct bytes *tenants; /* count 0: every one */
    uint32_t tenant_count;
    const struct matcher_set *select; /* count 0: every series */
    uint32_t select_count;
    const struct label *external_labels;
    uint32_t external_count;
    bool may_fail;        /* a failure becomes a warning, where those who ask tell of warnings */
    uint64_t samples_max; /* of a view; 0: no limit */
};

struct source_options {
    struct answerer *reader;
    struct source_limits limits;
    struct source_tally *tally;
    /* NULL, or told of each failure of a question, excused ones too, by any thread. */
    void (*failed)(void *owner, enum err e, const struct why *why);
    /* By any thread: views, and sets that outlive them, need all of this from the one to the other.
     */
    void (*hold)(void *owner);
    void (*release)(void *owner);
    void *owner;
};

/* `min_ms`, `max_ms`: of which times it is asked; none: min > max. ERR_NOMEM; errors of the reader.
 */
MUST_CHECK enum err source_view_open(const struct source_options *options, int64_t min_ms,
                                     int64_t max_ms, struct query_control *control,
                                     struct view **ret_view, struct why *why);

#endif

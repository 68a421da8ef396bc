/*
 * select.h - the one question all readers ask, and every answerer implements:
 *
 *     tenant, matchers, t0..t1, hints  ->  series in label order, samples in time order
 *
 * A series set pins one snapshot: whatever was durable when it was made is in it, and what happens
 * afterwards to parts and head does not disturb it. It ends in exactly one of: complete, complete
 * with warnings, error.   Threads: a set belongs to one thread at a time.
 */
#ifndef MODEL_SELECT_H
#define MODEL_SELECT_H

#include <stdatomic.h>

#include "model/histogram.h"
#include "model/labels.h"
#include "model/matcher.h"

/*
 * What a query may cost and when it must end; shared by everything that works for it. The limits
 * are checked before memory is taken or work is done. 0 means no limit.
 */
/* Samples that are stored and not given, for accounts; those of parts that are not opened are not
 * among them. */
struct samples_left_out {
    uint64_t beaten; /* by one of the same time */
    uint64_t deleted;
    uint64_t exemplars_beaten;
    uint64_t exemplars_deleted;
};

struct query_control {
    struct env *env;
    int64_t deadline_ns;   /* monotonic; 0: none */
    atomic_bool canceled;  /* set by another thread when the client is gone */
    struct budget *budget; /* memory of this query */
    uint64_t samples_max;
    uint64_t series_max;
    uint64_t samples_seen; /* counted by the answerer, for floats and histograms */
    uint64_t series_seen;
    struct samples_left_out *left_out; /* counted by the answerer; NULL: nobody wants to know */
};

/* ERR_CANCELED when the deadline passed or the client is gone. Cheap enough for every batch. */
MUST_CHECK enum err query_control_check(struct query_control *control, struct why *why);

struct select_request {
    struct bytes tenant;
    struct matcher *const *matchers; /* all must hold; at least one */
    uint32_t matcher_count;
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
    bool partial; /* damaged pages become warnings instead of an error */
    bool chunks;  /* histograms may come as chunks, and by columns */
    struct query_control *control;
};

struct matcher_set {
    struct matcher *const *matchers; /* all must hold */
    uint32_t count;
};

/*
 * What is asked of labels, and answered without samples: those of series that any of the sets
 * selects (without sets: all) and that may have a sample in the time, as far as chunks and blocks
 * tell. What is deleted is not there.
 */
struct lookup_request {
    struct bytes tenant;
    const struct matcher_set *sets;
    uint32_t set_count;
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
    struct query_control *control;
};

/* Consecutive samples of one kind, in ascending time. All views end with the next call. */
struct sample_batch {
    enum sample_kind kind;
    uint32_t count; /* 0: the series has no more */
    const int64_t *times_ms;
    const uint64_t *value_bits;         /* floats */
    const struct histogram *histograms; /* histograms, but for what is in one of these: */
    const struct hist_columns *columns; /* from first_row on; only if `chunks` was asked for */
    uint32_t first_row;
    struct bytes chunks;      /* for rr_stream_chunks(), and no times; only if asked for */
    const int64_t *starts_ms; /* NULL: all unknown; else 0 where unknown */
};

struct series_set;
struct series_set_ops {
    /* The next series; ret_labels->at is NULL after the last. */
    enum err (*next)(struct series_set *set, struct bytes *ret_labels, struct why *why);
    /* More samples of the current series. Need not be drained before next(). */
    enum err (*batch)(struct series_set *set, struct sample_batch *ret_batch, struct why *why);
    /* Sentences about what is missing, one for each damaged place, not many; valid until free; NULL
     * after the last. */
    const char *(*warning)(struct series_set *set, uint32_t index);
    void (*free)(struct series_set *set);
};
struct series_set {
    const struct series_set_ops *ops;
};

MUST_CHECK
static inline enum err
series_set_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    return set->ops->next(set, ret_labels, why);
}

MUST_CHECK
static inline enum err
series_set_batch(struct series_set *set, struct sample_batch *ret_batch, struct why *why)
{
    return set->ops->batch(set, ret_batch, why);
}

static inline const char *
series_set_warning(struct series_set *set, uint32_t index)
{
    return set->ops->warning(set, index);
}

static inline void
series_set_free(struct series_set *set)
{
    if (set != NULL) set->ops->free(set);
}

struct exemplar {
    struct bytes series_labels;
    struct bytes labels; /* canonical; may be empty */
    uint64_t value_bits;
    int64_t t_ms;
};

struct metadata {
    struct bytes family; /* the metric's name */
    enum metric_type type;
    struct bytes help;
    struct bytes unit;
};

/* Something that can be asked. */
struct answerer;
struct answerer_ops {
    /* ERR_LIMIT: more series than the control allows; ERR_CORRUPT: damage, named in `why`. */
    enum err (*select)(struct answerer *answerer, const struct select_request *request,
                       struct series_set **ret_set, struct why *why);
    /* Calls `each` in label and time order for exemplars of matching series; views end with the
     * call. */
    enum err (*exemplars)(struct answerer *answerer, const struct select_request *request,
                          enum err (*each)(void *context, const struct exemplar *exemplar),
                          void *context, struct why *why);
    /* Calls `each` for every family of the tenant (or only for `family` if not empty), in name
     * order. */
    enum err (*metadata)(struct answerer *answerer, struct bytes tenant, struct bytes family,
                         enum err (*each)(void *context, const struct metadata *metadata),
                         void *context, struct why *why);
    /*
     * These call `each` in ascending order, once for each name, value or set of labels; views end
     * with the call. An error of `each` ends them and is returned.
     */
    enum err (*label_names)(struct answerer *answerer, const struct lookup_request *request,
                            enum err (*each)(void *context, struct bytes name), void *context,
                            struct why *why);
    enum err (*label_values)(struct answerer *answerer, const struct lookup_request *request,
                             struct bytes name, enum err (*each)(void *context, struct bytes value),
                             void *context, struct why *why);
    enum err (*series)(struct answerer *answerer, const struct lookup_request *request,
                       enum err (*each)(void *context, struct bytes labels), void *context,
                       struct why *why);
};
struct answerer {
    const struct answerer_ops *ops;
};

#endif

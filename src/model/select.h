/*
 * select.h - the one question all readers ask, and every answerer implements.
 *
 * A reader opens a view of an answerer, and asks the view:
 *
 *     tenant, matchers, t0..t1, hints  ->  series in label order, samples in time order
 *
 * All answers of a view are of one moment: of each commit it sees all or nothing, and what happens
 * afterwards to parts and head does not disturb it. An answer ends in exactly one of: complete,
 * complete with warnings, error.   Threads: a view may be asked from several; a set of series
 * belongs to one at a time.
 */
#ifndef MODEL_SELECT_H
#define MODEL_SELECT_H

#include <stdatomic.h>

#include "model/histogram.h"
#include "model/labels.h"
#include "model/matcher.h"

/* Samples that are stored and not given, for accounts; those of parts that are not opened are not
 * among them. */
struct samples_left_out {
    uint64_t beaten; /* by one of the same time */
    uint64_t deleted;
    uint64_t exemplars_beaten;
    uint64_t exemplars_deleted;
};

/* How people know the limits of a query. */
struct limit_names {
    const char *series;
    const char *samples;
    const char *bytes;
};
extern const struct limit_names limits_of_reads;   /* read.max_series ... */
extern const struct limit_names limits_of_queries; /* query.max_series ... */

/*
 * What a query may cost and when it must end; shared by everything that works for it, in any
 * thread. The limits are checked before memory is taken or work is done. 0 means no limit.
 */
struct query_control {
    struct env *env;
    int64_t deadline_ns;                       /* monotonic; 0: none */
    _Atomic(const char *) canceled;            /* by any thread: why, a constant; NULL: it is not */
    const _Atomic(const char *) *all_canceled; /* of all queries at once; may be NULL */
    /* Whether the client has gone away: asked now and then, by one thread at a time. NULL: it is
     * taken to be there. */
    bool (*is_gone)(void *context);
    void *gone_context;
    _Atomic int64_t gone_asked_ns;
    struct budget *budget; /* memory of this query */
    uint64_t series_max;
    uint64_t samples_max;
    uint64_t bytes_max;              /* of stored samples, as they are compressed */
    const struct limit_names *names; /* of the settings that the limits come from; NULL: of none */
    /* Counted by answerers; relaxed: they order nothing. */
    _Atomic uint64_t series_seen;
    _Atomic uint64_t samples_seen; /* floats and histograms */
    _Atomic uint64_t bytes_seen;
    struct samples_left_out *left_out; /* NULL: not counted; else one thread */
};

/* `control` may be NULL: nothing limits the query. */
/* ERR_CANCELED when the deadline passed or the client is gone. Cheap enough for every batch. */
MUST_CHECK enum err query_control_check(struct query_control *control, struct why *why);
/* ERR_LIMIT: more than it may have. */
MUST_CHECK enum err query_control_add_series(struct query_control *control, struct why *why);
MUST_CHECK enum err query_control_add_samples(struct query_control *control, uint64_t count,
                                              struct why *why);
MUST_CHECK enum err query_control_add_bytes(struct query_control *control, uint64_t count,
                                            struct why *why);
/* Whether one of the three was refused. `control` is not NULL here. */
bool query_control_is_over(const struct query_control *control);

/* The matchers live as long as what is asked with them: as the set that a select gives. The arrays
 * of them need not. */
struct matcher_set {
    struct matcher *const *matchers; /* all must hold */
    uint32_t count;
};

/*
 * For which times results are made of the samples, and how far each looks back: of the samples in
 * (t - range, t] for t = first, first + step, ... up to last.
 */
struct query_windows {
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* 0: there is one, which ends at first_ms */
    int64_t range_ms;
};

/* True if each window has all or none of the samples between two times. */
bool query_windows_keep(const struct query_windows *windows, int64_t min_ms, int64_t max_ms);

/* What of a summary is needed where it may stand for samples. */
enum {
    SUMMARY_COUNT = 1,
    SUMMARY_EXTREMES = 2, /* least and greatest */
    SUMMARY_ENDS = 4,     /* first and last, of samples none of which is less than the one before */
};

/* What the asker will make of the answer. None changes what an answer means; an answerer may ignore
 * each of them. */
struct query_hints {
    /* Of look-ups: so many of the first series, names or values are enough, and one more if there
     * is one; 0: all are wanted. */
    uint64_t limit;
    /* Not of look-ups of names and values: only series of this shard are wanted, which is that of
     * query_hints_shard(). A count of 0 or 1: all are. Whoever looks at one looks at all four. */
    uint32_t shard;
    uint32_t shard_count;
    const struct bytes *shard_without; /* names of labels that do not count for it */
    uint32_t shard_without_count;
    struct bytes from_labels; /* series before are not wanted; empty: all are */
    /* Where these stay whole in `windows`, summaries with so much may stand for samples, for
     * histograms only if the count is all; 0: none may. Floats with a NaN (a staleness marker is
     * one) and histograms with a staleness marker come as they are. */
    unsigned summaries;
    struct query_windows windows;
    /* Of floats only the times are of interest, and which of them are staleness markers: others may
     * come as any number. */
    bool times_only;
    /* Only which series there are is of interest: no samples will be asked of the set. */
    bool labels_only;
};

/* In which of `shard_count` shards a series is: the same for all answerers. */
uint32_t shard_of_labels(struct bytes labels, uint32_t shard_count);
/* The same by hints: that of the labels without some. */
uint32_t query_hints_shard(const struct query_hints *hints, struct bytes labels);
/* Is a series of the shard that is wanted? */
static inline bool
query_hints_want(const struct query_hints *hints, struct bytes labels)
{
    return hints->shard_count < 2 || query_hints_shard(hints, labels) == hints->shard;
}
/* What hints say of shards, and nothing else; names are copied. ERR_NOMEM, without words. */
MUST_CHECK enum err query_hints_keep_shard(const struct query_hints *hints, struct arena *arena,
                                           struct query_hints *ret);

/*
 * What is asked: of the series that any of the sets selects (without sets: all), the samples or
 * exemplars between two times. Of labels: those of series that may have a sample between them, as
 * far as chunks and blocks tell. What is deleted is not there.
 */
struct query_request {
    struct bytes tenant;
    const struct matcher_set *sets;
    uint32_t set_count;
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
    bool partial;  /* damaged pages become warnings instead of an error */
    bool tells;    /* whoever asks tells people of warnings: a source that may fail, may */
    bool stored;   /* of what is stored here alone: sources are not asked */
    bool unmerged; /* replicas (views/replicas.h) as the series that they are, with all labels */
    bool chunks;   /* histograms may come as chunks, and by columns */
    struct query_hints hints;
    struct query_control *control; /* may be NULL */
    struct budget *budget;         /* of the memory that answering takes; NULL: the control's */
};

/* What can be known of samples without reading them. What was not asked for is not set. */
struct sample_summary {
    int64_t min_ms; /* times of the first and the last */
    int64_t max_ms;
    double least; /* the first one of those that are equal */
    double greatest;
    double first;
    double last;
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
    const struct sample_summary *summary; /* only if asked for: instead of times and all the rest */
};

/* Some samples of a batch that has their times. */
struct sample_batch sample_batch_part(const struct sample_batch *batch, uint32_t from,
                                      uint32_t count);

/* What it costs to read a set of series. */
struct series_cost {
    uint64_t series;
    uint64_t blocks; /* and chunks of memory: what is decoded at once */
    uint64_t samples;
    uint64_t bytes; /* of the blocks, as they are stored */
};

static inline void
series_cost_add(struct series_cost *to, const struct series_cost *cost)
{
    to->series += cost->series;
    to->blocks += cost->blocks;
    to->samples += cost->samples;
    to->bytes += cost->bytes;
}

/* What a question would read, as far as an index tells: nothing is decoded. */
struct series_survey {
    struct series_cost cost;
    /* Of each series it was looked at which blocks it has. All but `samples` is what will be read;
     * of blocks that reach out of the time, samples are counted as if they came evenly. False: of
     * some series, for all; `series` is then the most that one part or the head has. */
    bool exact;
    struct series_cost guess; /* what series_set_cost() says of the same */
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
    /* A guess of series and samples, before the first series is asked for, that costs next to
     * nothing. NULL: it has none. */
    struct series_cost (*cost)(const struct series_set *set);
    /* What was read until now. NULL: it is not counted. */
    struct series_cost (*spent)(const struct series_set *set);
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

/* For callers that cannot hand warnings on: ERR_CORRUPT with the first one. Some are known from the
 * beginning, others after the last series. */
MUST_CHECK
static inline enum err
series_set_is_whole(struct series_set *set, struct why *why)
{
    const char *warning = series_set_warning(set, 0);
    return warning == NULL ? OK : why_set(why, ERR_CORRUPT, "%s", warning);
}

static inline struct series_cost
series_set_cost(const struct series_set *set)
{
    return set->ops->cost == NULL ? (struct series_cost){.series = 0} : set->ops->cost(set);
}

/* False: it is not known. */
static inline bool
series_set_spent(const struct series_set *set, struct series_cost *ret)
{
    if (set->ops->spent == NULL) return false;
    *ret = set->ops->spent(set);
    return true;
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

/* Those of one series: by time, then by value, as in Prometheus, then by labels. 0: they are one.
 */
int exemplar_compare(const struct exemplar *a, const struct exemplar *b);

/* Where exemplars go. */
struct exemplar_sink {
    /* Once for each, in label and time order; what it is shown ends with the call. An error of it
     * ends the answer and is returned. */
    enum err (*each)(void *context, const struct exemplar *exemplar);
    void *context;
    /* As of struct text_sink. */
    enum err (*warning)(void *context, const char *sentence);
};

struct metadata {
    struct bytes family; /* the metric's name */
    enum metric_type type;
    struct bytes help;
    struct bytes unit;
};

/* Where texts go: names, values, or sets of labels. */
struct text_sink {
    /* Once for each, in ascending order; the view of it ends with the call. An error of it ends the
     * answer and is returned. */
    enum err (*each)(void *context, struct bytes text);
    void *context;
    /* With `partial`, a sentence for each place that is damaged: texts of there are missing. Before
     * or after the texts. NULL: they are not asked for. */
    enum err (*warning)(void *context, const char *sentence);
};

/* Of what moment a view is, as its answerer counts. */
struct view_mark {
    uint64_t epoch;
    uint64_t edits;
};

/* What there is at one moment. */
struct view;
struct view_ops {
    /* ERR_LIMIT: more than the control allows; ERR_CORRUPT: damage, named in `why`; ERR_AGAIN: the
     * view is not to be had any more. */
    enum err (*select)(struct view *view, const struct query_request *request,
                       struct series_set **ret_set, struct why *why);
    enum err (*exemplars)(struct view *view, const struct query_request *request,
                          const struct exemplar_sink *to, struct why *why);
    /* Calls `each` for every family of the tenant (or only for `family` if not empty), in name
     * order; sets and times are not looked at. */
    enum err (*metadata)(struct view *view, const struct query_request *request,
                         struct bytes family,
                         enum err (*each)(void *context, const struct metadata *metadata),
                         void *context, struct why *why);
    enum err (*label_names)(struct view *view, const struct query_request *request,
                            const struct text_sink *to, struct why *why);
    enum err (*label_values)(struct view *view, const struct query_request *request,
                             struct bytes name, const struct text_sink *to, struct why *why);
    enum err (*series)(struct view *view, const struct query_request *request,
                       const struct text_sink *to, struct why *why);
    /* Both NULL: it cannot tell. */
    struct view_mark (*mark)(const struct view *view);
    int64_t (*same_before)(const struct view *view, struct bytes tenant,
                           const struct view_mark *mark);
    /* Hints are not looked at, nor what the control allows; it may end the survey. NULL: it cannot
     * tell. */
    enum err (*survey)(struct view *view, const struct query_request *request,
                       struct series_survey *ret, struct why *why);
    /* False: by its tenant, times and matchers alone the question has nothing to do with the view,
     * whose answer would be empty. NULL: each has. */
    bool (*concerns)(const struct view *view, const struct query_request *request);
    /* True if any answer had a warning until now. NULL: the view does not keep that. */
    bool (*lacks)(struct view *view);
    void (*free)(struct view *view);
};
struct view {
    const struct view_ops *ops;
};

/* Something that can be asked. */
struct answerer;
struct answerer_ops {
    /* The control is only used for the memory of the view. */
    enum err (*open)(struct answerer *answerer, struct query_control *control,
                     struct view **ret_view, struct why *why);
    /* The times it has samples of now. None: min > max. */
    void (*range)(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms);
    void (*free)(struct answerer *answerer);
};
struct answerer {
    const struct answerer_ops *ops;
    const char *name; /* as people know it; lives as long as the answerer */
    /* What it cannot tell, and answers as if there were none. */
    bool no_exemplars;
    bool no_metadata;
    bool no_labels; /* names, values and series */
};

MUST_CHECK
static inline enum err
view_open(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    return answerer->ops->open(answerer, control, ret_view, why);
}

/* Sets that were asked of it go on. NULL is fine. */
static inline void
view_free(struct view *view)
{
    if (view != NULL) view->ops->free(view);
}

MUST_CHECK
static inline enum err
view_select(struct view *view, const struct query_request *request, struct series_set **ret_set,
            struct why *why)
{
    return view->ops->select(view, request, ret_set, why);
}

MUST_CHECK
static inline enum err
view_exemplars(struct view *view, const struct query_request *request,
               const struct exemplar_sink *to, struct why *why)
{
    return view->ops->exemplars(view, request, to, why);
}

MUST_CHECK
static inline enum err
view_metadata(struct view *view, const struct query_request *request, struct bytes family,
              enum err (*each)(void *context, const struct metadata *metadata), void *context,
              struct why *why)
{
    return view->ops->metadata(view, request, family, each, context, why);
}

MUST_CHECK
static inline enum err
view_label_names(struct view *view, const struct query_request *request, const struct text_sink *to,
                 struct why *why)
{
    return view->ops->label_names(view, request, to, why);
}

MUST_CHECK
static inline enum err
view_label_values(struct view *view, const struct query_request *request, struct bytes name,
                  const struct text_sink *to, struct why *why)
{
    return view->ops->label_values(view, request, name, to, why);
}

MUST_CHECK
static inline enum err
view_series(struct view *view, const struct query_request *request, const struct text_sink *to,
            struct why *why)
{
    return view->ops->series(view, request, to, why);
}

/* False: its answers must not be kept for later views. */
static inline bool
view_has_mark(const struct view *view, struct view_mark *ret_mark)
{
    if (view->ops->mark == NULL) return false;
    *ret_mark = view->ops->mark(view);
    return true;
}

/* Answers that lack something must not be remembered: the next ones would have no warning. */
static inline bool
view_lacks(struct view *view)
{
    return view->ops->lacks != NULL && view->ops->lacks(view);
}

/*
 * An earlier view of the same answerer, which has marks, gave the tenant the same samples of times
 * before this one. INT64_MAX: all; INT64_MIN: that is not known of any.
 */
static inline int64_t
view_same_before(const struct view *view, struct bytes tenant, const struct view_mark *mark)
{
    return view->ops->same_before(view, tenant, mark);
}

/* *ret_known false: the view cannot tell. */
MUST_CHECK
static inline enum err
view_survey(struct view *view, const struct query_request *request, struct series_survey *ret,
            bool *ret_known, struct why *why)
{
    *ret_known = view->ops->survey != NULL;
    return *ret_known ? view->ops->survey(view, request, ret, why) : OK;
}

static inline bool
view_concerns(const struct view *view, const struct query_request *request)
{
    return view->ops->concerns == NULL || view->ops->concerns(view, request);
}

/* A view for one question. */
MUST_CHECK
static inline enum err
answerer_select(struct answerer *answerer, const struct query_request *request,
                struct series_set **ret_set, struct why *why)
{
    struct view *view;
    enum err e = view_open(answerer, request->control, &view, why);
    if (e) return e;
    e = view_select(view, request, ret_set, why);
    view_free(view);
    return e;
}

#endif

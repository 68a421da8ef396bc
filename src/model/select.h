/*
 * select.h - the interface between readers and everything that has samples.
 *
 * A reader opens a view of an answerer (the store, a source, ...) and asks the view:
 *
 *     tenant, matchers, t0..t1, hints  ->  series in label order, samples in time order
 *
 * All answers of a view are of one moment: it sees all or nothing of each commit, and later changes
 * of parts and head do not affect it. An answer is complete, complete with warnings, or an error.
 *
 * Threads: several may ask a view; a set of series belongs to one at a time.
 */
#ifndef MODEL_SELECT_H
#define MODEL_SELECT_H

#include <stdatomic.h>

#include "model/histogram.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "model/rollup.h"

/* Counts stored samples that an answer leaves out, without those of parts that are not opened. */
struct samples_left_out {
    uint64_t superseded; /* another sample of the same time won */
    uint64_t deleted;
    uint64_t exemplars_superseded;
    uint64_t exemplars_deleted;
};

/* The names of the settings that limit a query, for messages. */
struct limit_names {
    const char *series;
    const char *samples;
    const char *bytes;
};
extern const struct limit_names limits_of_reads;   /* read.max_series ... */
extern const struct limit_names limits_of_queries; /* query.max_series ... */

struct permitted;

/* Ways of using a metric (model/usage.h). */
struct usage;
enum usage_kind {
    USAGE_QUERY,  /* samples are asked for by a user */
    USAGE_RULE,   /* by a rule */
    USAGE_LOOKUP, /* names, values, labels or exemplars */
    USAGE_KINDS,
};

/* The limits and the deadline of a query, shared by everything that works for it, in any thread.
 * The limits are checked before memory is taken or work is done. 0 means no limit. */
struct query_control {
    struct env *env;
    int64_t deadline_ns; /* monotonic; 0 for none */
    _Atomic(const char *)
        canceled; /* set by any thread to the reason, a constant; NULL if not canceled */
    const _Atomic(const char *) *all_canceled; /* the same for all queries at once; may be NULL */
    /* Returns true if the client has disconnected; called from time to time, by one thread at a
     * time. NULL: the client is assumed to be connected. */
    bool (*is_gone)(void *context);
    void *gone_context;
    _Atomic int64_t gone_checked_ns;
    struct budget *budget; /* the query's memory */
    uint64_t series_max;
    uint64_t samples_max;
    uint64_t bytes_max;              /* compressed bytes of stored samples */
    uint64_t fetched_max;            /* bytes read from buckets */
    const struct limit_names *names; /* names of the settings; NULL if the limits come from none */
    /* Counts of the answerers; relaxed: they order nothing. */
    _Atomic uint64_t series_seen;
    _Atomic uint64_t samples_seen; /* floats and histograms */
    _Atomic uint64_t bytes_seen;
    _Atomic uint64_t fetched_seen;
    _Atomic uint64_t fetches; /* requests to buckets */
    /* The coarsest resolution of which a query that did not ask for rollups was given the last
     * sample of each window; 0: all samples are as received. Set by answerers. */
    _Atomic int64_t thinned_to_ms;
    /* Samples came after a window of their time was made, which lacks them: they are left out. Set
     * by answerers. */
    _Atomic bool lacks_late;
    struct samples_left_out *left_out; /* NULL if not counted; else used by one thread */
    /* The series that views opened with this control may answer with, if the answerer `restricts`;
     * outlives the views and their sets. NULL: all. */
    const struct permitted *permitted;
    /* Views that are opened with this control read only the source of this name, or with "" only
     * the local store. NULL: all of them. */
    const char *source;
    /* For evaluations of PromQL, which make their own requests: as in struct query_request. */
    bool partial, shows_warnings;
    /* Called with the warnings of the sets that an evaluation reads, by any of its threads, and
     * with some more than once. NULL: they are not wanted. */
    void (*warn)(void *context, const char *sentence);
    void *warn_context;
    _Atomic bool lacks;  /* warn() was called; relaxed */
    struct usage *usage; /* counts the metrics that are asked for; NULL: they are not counted */
    enum usage_kind usage_kind;
    uint64_t usage_id;           /* of usage.c, as the next */
    _Atomic uint64_t usage_hash; /* of the last metric that was counted; relaxed */
};

/* `control` may be NULL: nothing limits the query. */
/* ERR_CANCELED if the deadline passed or the client disconnected. Cheap enough for every batch. */
MUST_CHECK enum err query_control_check(struct query_control *control, struct why *why);
/* Count series, samples and bytes. ERR_LIMIT: the query has more than its limit. */
MUST_CHECK enum err query_control_add_series(struct query_control *control, struct why *why);
MUST_CHECK enum err query_control_add_samples(struct query_control *control, uint64_t count,
                                              struct why *why);
MUST_CHECK enum err query_control_add_bytes(struct query_control *control, uint64_t count,
                                            struct why *why);
/* Counts bytes that are going to be read from a bucket. */
MUST_CHECK enum err query_control_add_fetched(struct query_control *control, uint32_t requests,
                                              uint64_t bytes, struct why *why);
/* True if one of these four refused. `control` is not NULL. */
bool query_control_is_over(const struct query_control *control);
struct series_set;
/* Passes the warnings of a set to control->warn, unless that is NULL. Both may be NULL. */
void query_control_warn(struct query_control *control, struct series_set *set);

/* A set of matchers. The matchers live as long as the series set that is selected with them; the
 * array may end with the call. */
struct matcher_set {
    struct matcher *const *matchers; /* all must match */
    uint32_t count;
};

/* True if all matchers match these canonical labels. */
bool matcher_set_matches(const struct matcher_set *set, struct bytes labels);
/* True if it is certain that no labels match both: a value that one set requires does not match a
 * matcher of the other. */
bool matcher_sets_exclude(const struct matcher_set *one, const struct matcher_set *other);

/* The time windows from which results are computed: the samples in (t - range, t] for t = first,
 * first + step, ... up to last. */
struct query_windows {
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* 0 for a single window, which ends at first_ms */
    int64_t range_ms;
};

/* True if each window contains all or none of the samples between two times. */
bool query_windows_keep(const struct query_windows *windows, int64_t min_ms, int64_t max_ms);

/* The parts of a summary that the caller needs in place of samples. */
enum {
    SUMMARY_COUNT = 1,
    SUMMARY_EXTREMES = 2, /* least and greatest */
    SUMMARY_ENDS = 4,     /* first and last; only for samples that never decrease */
};

/* Hints about the use of the answer. They do not change its meaning; an answerer may ignore each of
 * them. */
struct query_hints {
    /* For look-ups: the caller needs only so many of the first series, names or values, and one
     * more if it exists; 0 for all. */
    uint64_t limit;
    /* Not for look-ups of names and values: the caller needs only series of this shard, see
     * query_hints_shard(). A count of 0 or 1 means all. An answerer uses all four fields or none.
     */
    uint32_t shard;
    uint32_t shard_count;
    const struct bytes *shard_without; /* names of labels that do not affect the shard */
    uint32_t shard_without_count;
    struct bytes from_labels; /* the caller needs no series before this one; empty for all */
    /* Summaries with these parts may replace samples where `windows` keep them whole, for
     * histograms only SUMMARY_COUNT; 0 for none. Floats with a NaN (a staleness marker is one) and
     * histograms with a staleness marker are returned as samples. */
    unsigned summaries;
    struct query_windows windows;
    /* Says how much of rollups the caller reads where samples are stored so. With ROLLUP_NONE, the
     * last sample of each window and the staleness marker after it replace the window. With
     * ROLLUP_LAST, where windows are within reach of the range, the answer begins earlier by their
     * coarsest resolution. */
    enum rollup_use rollups;
};

/* Returns the shard of a series, below `shard_count`: the same for all answerers. */
uint32_t shard_of_labels(struct bytes labels, uint32_t shard_count);
/* Returns the same for the labels without those that the hints name. */
uint32_t query_hints_shard(const struct query_hints *hints, struct bytes labels);
/* True if the series is in the shard that the caller needs. */
static inline bool
query_hints_want(const struct query_hints *hints, struct bytes labels)
{
    return hints->shard_count < 2 || query_hints_shard(hints, labels) == hints->shard;
}
/* Copies the fields about shards, with the names, and no other hints. ERR_NOMEM, without a
 * sentence. */
MUST_CHECK enum err query_hints_keep_shard(const struct query_hints *hints, struct arena *arena,
                                           struct query_hints *ret);

/* Says what the caller reads of each series; an answerer may return more. */
enum select_kind {
    SELECT_SAMPLES,
    SELECT_CHUNKS, /* samples; histograms may be returned as chunks or as columns */
    SELECT_TIMES,  /* times of floats, and which are staleness markers: values may be any number */
    SELECT_LABELS, /* the set will not be asked for samples */
};

/* Header of remote read for the last field but one of a request: session in hexadecimal, number and
 * position, with spaces. Status 409: ERR_MISSING. */
#define BUCKET_BEYOND_HEADER "X-Firekeep-Beyond"

/* A catalog of parts in a bucket (docs/format/catalog.md), by its newest delta. */
struct bucket_mark {
    uint64_t session; /* of the process that wrote it; 0: the position alone counts */
    uint64_t number;
    uint64_t complete_pos; /* all samples before this position of the log are in the bucket */
};

/* A question: the samples or exemplars between two times, of the series that any of the sets
 * selects (without sets: all). Look-ups return the labels of series that may have a sample between
 * these times, according to the times of chunks and blocks. Deleted samples are not returned. */
struct query_request {
    struct bytes tenant;
    const struct matcher_set *sets;
    uint32_t set_count;
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
    bool partial;          /* damaged pages become warnings instead of an error */
    bool shows_warnings;   /* the caller shows warnings to users: an optional source may fail */
    bool stored;           /* only the local store is asked, not sources */
    bool unmerged;         /* replicas (views/stack.h) are separate series with all their labels */
    enum select_kind kind; /* of a select */
    struct query_hints hints;
    /* Only what a bucket does not have yet, whose readers have this catalog; NULL: all.
     * ERR_MISSING: it is not the newest one, or of another writer. */
    const struct bucket_mark *beyond;
    struct query_control *control; /* may be NULL */
    struct budget *budget;         /* budget for the answer; NULL for the budget of `control` */
};

/* Statistics of samples that were not read. Parts that were not requested are not set. */
struct sample_summary {
    int64_t min_ms; /* times of the first and the last sample */
    int64_t max_ms;
    double least; /* the first of equal ones */
    double greatest;
    double first;
    double last;
};

/* Consecutive samples of one kind, in ascending time. All views end with the next call. */
struct sample_batch {
    enum sample_kind kind;
    uint32_t count; /* 0 after the last samples of the series */
    const int64_t *times_ms;
    const uint64_t *value_bits;         /* floats */
    const struct histogram *histograms; /* histograms, unless one of the next two has them: */
    const struct hist_columns *columns; /* from first_row on; only with SELECT_CHUNKS */
    uint32_t first_row;
    struct bytes chunks;                  /* for rr_stream_chunks(), without times; the same */
    const int64_t *starts_ms;             /* NULL if all are unknown; else 0 where unknown */
    const struct sample_summary *summary; /* only if requested: replaces times and all the rest */
    /* Only if requested: windows of resolution_ms in ascending order replace times and all the
     * rest. Windows are whole: the first and the last may reach beyond the times that the query
     * asks for, and a window is there if it overlaps them. */
    const struct rollup *rollups;
    int64_t resolution_ms;
    const struct histogram_rollup *histogram_rollups; /* the same for histograms */
};

/* True if windows replace the samples of the batch. */
static inline bool
sample_batch_has_windows(const struct sample_batch *b)
{
    return b->rollups != NULL || b->histogram_rollups != NULL;
}
/* Returns a window of the batch; of histograms only its times and its count. */
static inline struct rollup
sample_batch_window(const struct sample_batch *b, uint32_t i)
{
    return b->rollups != NULL ? b->rollups[i] : histogram_rollup_times(&b->histogram_rollups[i]);
}

/* Returns some samples of a batch that has times. */
struct sample_batch sample_batch_part(const struct sample_batch *batch, uint32_t from,
                                      uint32_t count);

/* The cost of reading a set of series. */
struct series_cost {
    uint64_t series;
    uint64_t blocks; /* blocks, and chunks in memory: units of decoding */
    uint64_t samples;
    uint64_t bytes;   /* stored size of the blocks */
    uint64_t rollups; /* those of the samples that stand for rollups; only in series_set_cost() */
};

static inline void
series_cost_add(struct series_cost *to, const struct series_cost *cost)
{
    to->series += cost->series;
    to->blocks += cost->blocks;
    to->samples += cost->samples;
    to->bytes += cost->bytes;
    to->rollups += cost->rollups;
}

/* An estimate from the index of what a question would read: nothing is decoded. */
struct series_survey {
    struct series_cost cost;
    /* True if the blocks of each series were counted: all but `samples` is exact, and for blocks
     * that cross a border of the time range, samples are assumed to be evenly spaced. False if some
     * series were counted for all; `series` is then the largest number in one part or the head. */
    bool exact;
    struct series_cost guess; /* the result of series_set_cost() for the same question */
};

struct series_set_ops {
    /* The next series; ret_labels->at is NULL after the last. */
    enum err (*next)(struct series_set *set, struct bytes *ret_labels, struct why *why);
    /* More samples of the current series. The caller may call next() before the last one. */
    enum err (*batch)(struct series_set *set, struct sample_batch *ret_batch, struct why *why);
    /* Sentences about missing data, one for each damaged place, not many; valid until free; NULL
     * after the last. */
    const char *(*warning)(struct series_set *set, uint32_t index);
    /* A cheap guess of series and samples before the first series. NULL if the set has none. */
    struct series_cost (*cost)(const struct series_set *set);
    /* The cost of reading until now. NULL if it is not counted. */
    struct series_cost (*spent)(const struct series_set *set);
    void (*free)(struct series_set *set);
};
struct series_set {
    const struct series_set_ops *ops;
    /* If true, series_set_cost() guesses the samples from these times: `cost` may use averages of
     * series that are hidden. */
    bool is_guessed;
    int64_t min_ms, max_ms;
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

/* For callers that cannot return warnings: ERR_CORRUPT with the first one. Some exist from the
 * beginning, others only after the last series. */
MUST_CHECK
static inline enum err
series_set_is_whole(struct series_set *set, struct why *why)
{
    const char *warning = series_set_warning(set, 0);
    return warning == NULL ? OK : why_set(why, ERR_CORRUPT, "%s", warning);
}

struct series_cost series_set_cost(const struct series_set *set);
/* Guesses the cost of series between two times from their number alone. */
struct series_cost series_cost_guess(uint64_t series, int64_t min_ms, int64_t max_ms);

/* False if the cost is not known. */
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

/* Orders exemplars of one series by time, then by value, as in Prometheus, then by labels. 0 if
 * they are equal. */
int exemplar_compare(const struct exemplar *a, const struct exemplar *b);

/* Receives exemplars. */
struct exemplar_sink {
    /* Called for each exemplar, in label and time order; views end with the call. An error ends the
     * answer and is returned. */
    enum err (*each)(void *context, const struct exemplar *exemplar);
    void *context;
    /* As in struct text_sink. */
    enum err (*warning)(void *context, const char *sentence);
};

struct metadata {
    struct bytes family; /* the metric's name */
    enum metric_type type;
    struct bytes help;
    struct bytes unit;
};

/* Receives texts: names, values, or sets of labels. */
struct text_sink {
    /* Called for each text, in ascending order; the view ends with the call. An error ends the
     * answer and is returned. */
    enum err (*each)(void *context, struct bytes text);
    void *context;
    /* With `partial`, called with a sentence for each damaged place, whose texts are missing;
     * before or after the texts. NULL if the caller does not want them. */
    enum err (*warning)(void *context, const char *sentence);
};

/* The moment of a view, in the counts of its answerer. */
struct view_mark {
    uint64_t epoch;
    uint64_t edits;
    uint64_t rules; /* of retention, and the time from which they count */
    int64_t rules_now_ms;
};

/* The content of an answerer at one moment. */
struct view;

/* Look-ups: names of labels, values of one label, labels of series. */
enum lookup_kind { LOOKUP_NAMES, LOOKUP_VALUES, LOOKUP_SERIES };

struct view_ops {
    /* ERR_LIMIT: more than the control allows; ERR_CORRUPT: damage, named in `why`; ERR_AGAIN: the
     * view has expired. */
    enum err (*select)(struct view *view, const struct query_request *request,
                       struct series_set **ret_set, struct why *why);
    /* NULL if the view has no exemplars. */
    enum err (*exemplars)(struct view *view, const struct query_request *request,
                          const struct exemplar_sink *to, struct why *why);
    /* NULL if the view has no metadata. Calls `each` for every family of the tenant (or only for
     * `family` if not empty), in name order; sets and times are ignored. */
    enum err (*metadata)(struct view *view, const struct query_request *request,
                         struct bytes family,
                         enum err (*each)(void *context, const struct metadata *metadata),
                         void *context, struct why *why);
    /* NULL if the view finds no texts. `name` is the label of LOOKUP_VALUES. ERR_UNSUPPORTED,
     * without a sentence: the caller has to derive the texts from the series, or the series from
     * their samples. */
    enum err (*look_up)(struct view *view, enum lookup_kind kind,
                        const struct query_request *request, struct bytes name,
                        const struct text_sink *to, struct why *why);
    /* Both NULL if the view does not know. A view over another has no mark of its own. */
    struct view_mark (*mark)(const struct view *view);
    int64_t (*same_before)(const struct view *view, struct bytes tenant,
                           const struct view_mark *mark);
    /* Ignores hints and limits; the control may end the survey. NULL if the view has no index. A
     * view over another is asked only if that has one. */
    enum err (*survey)(struct view *view, const struct query_request *request,
                       struct series_survey *ret, struct why *why);
    /* False if the answer is empty because of the tenant, times and matchers alone. NULL: never. */
    bool (*concerns)(const struct view *view, const struct query_request *request);
    void (*free)(struct view *view); /* by the last user */
};
struct view {
    const struct view_ops *ops;
    /* Answers the questions about metadata, marks, surveys and concerns for which `ops` have NULL;
     * may be NULL. */
    struct view *below;
    _Atomic uint32_t held; /* users besides the first; acquire-release: the last one frees */
};

/* A store or source that answers questions. */
struct answerer;
struct answerer_ops {
    /* Opens a view; the control is used only for its memory and for what is permitted. */
    enum err (*open)(struct answerer *answerer, struct query_control *control,
                     struct view **ret_view, struct why *why);
    /* The time range of the current samples; min > max if there are none. */
    void (*range)(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms);
    void (*free)(struct answerer *answerer);
};
struct answerer {
    const struct answerer_ops *ops;
    const char *name; /* its name in messages; lives as long as the answerer */
    bool is_store;    /* it has rollups, exemplars and metadata, as the local store */
    bool restricts; /* its views answer only what control->permitted allows when they are opened */
};

MUST_CHECK
static inline enum err
view_open(struct answerer *answerer, struct query_control *control, struct view **ret_view,
          struct why *why)
{
    return answerer->ops->open(answerer, control, ret_view, why);
}

/* Adds a user, which calls view_free(). */
static inline void
view_hold(struct view *view)
{
    /* Relaxed: the caller is a user, so that the view cannot be freed meanwhile. */
    atomic_fetch_add_explicit(&view->held, 1, memory_order_relaxed);
}

/* Sets that it returned stay valid. Accepts NULL. */
static inline void
view_free(struct view *view)
{
    if (view != NULL && atomic_fetch_sub_explicit(&view->held, 1, memory_order_acq_rel) == 0)
        view->ops->free(view);
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
    return view->ops->exemplars == NULL ? OK : view->ops->exemplars(view, request, to, why);
}

MUST_CHECK
static inline enum err
view_metadata(struct view *view, const struct query_request *request, struct bytes family,
              enum err (*each)(void *context, const struct metadata *metadata), void *context,
              struct why *why)
{
    while (view->ops->metadata == NULL) {
        if (view->below == NULL) return OK;
        view = view->below;
    }
    return view->ops->metadata(view, request, family, each, context, why);
}

MUST_CHECK
static inline enum err
view_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
             struct bytes name, const struct text_sink *to, struct why *why)
{
    if (view->ops->look_up == NULL) return OK;
    return view->ops->look_up(view, kind, request, name, to, why);
}

MUST_CHECK
static inline enum err
view_label_names(struct view *view, const struct query_request *request, const struct text_sink *to,
                 struct why *why)
{
    return view_look_up(view, LOOKUP_NAMES, request, (struct bytes){NULL, 0}, to, why);
}

MUST_CHECK
static inline enum err
view_label_values(struct view *view, const struct query_request *request, struct bytes name,
                  const struct text_sink *to, struct why *why)
{
    return view_look_up(view, LOOKUP_VALUES, request, name, to, why);
}

MUST_CHECK
static inline enum err
view_series(struct view *view, const struct query_request *request, const struct text_sink *to,
            struct why *why)
{
    return view_look_up(view, LOOKUP_SERIES, request, (struct bytes){NULL, 0}, to, why);
}

/* False if its answers must not be cached for later views. */
static inline bool
view_has_mark(const struct view *view, struct view_mark *ret_mark)
{
    while (view->below != NULL)
        view = view->below;
    if (view->ops->mark == NULL) return false;
    *ret_mark = view->ops->mark(view);
    return true;
}

/* Returns the time before which an earlier view of the same answerer gave the tenant the same
 * samples. INT64_MAX if all are the same; INT64_MIN if not known. */
static inline int64_t
view_same_before(const struct view *view, struct bytes tenant, const struct view_mark *mark)
{
    while (view->ops->same_before == NULL)
        view = view->below;
    return view->ops->same_before(view, tenant, mark);
}

/* *ret_known is false if the view has no index. */
MUST_CHECK
static inline enum err
view_survey(struct view *view, const struct query_request *request, struct series_survey *ret,
            bool *ret_known, struct why *why)
{
    const struct view *lowest = view;
    while (lowest->below != NULL)
        lowest = lowest->below;
    *ret_known = lowest->ops->survey != NULL;
    return *ret_known ? view->ops->survey(view, request, ret, why) : OK;
}

static inline bool
view_concerns(const struct view *view, const struct query_request *request)
{
    while (view->ops->concerns == NULL && view->below != NULL)
        view = view->below;
    return view->ops->concerns == NULL || view->ops->concerns(view, request);
}

/* Asks a question with a view of its own. */
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

/* --- downsampled samples ---------------------------------------------------------------------- */

/*
 * For readers that did not ask for rollups.
 */

/* The resolution of which a query was given the last sample of each window; 0: all its samples are
 * as received. */
static inline int64_t
thinned_to(const struct query_control *control)
{
    return atomic_load_explicit(&control->thinned_to_ms, memory_order_relaxed);
}
/* All sentences about downsampled samples have these words, also those of infos of queries. */
#define THINNED_WORDS "samples are downsampled to "
/* Puts the sentence about it. */
void thinned_say(int64_t resolution_ms, struct why *ret);
/* Notes that a query was given the last sample of each window of a resolution. */
void thinned_note(struct query_control *control, int64_t resolution_ms);
/* Notes the same, and whether samples that came late are left out, for another control: that of the
 * question which the first one works for. */
void thinned_pass(const struct query_control *from, struct query_control *to);

#endif

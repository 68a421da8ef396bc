/*
 * replica_merge.h - private to views/: merges the samples of one series, which each replica of a
 * Prometheus wrote for itself.
 *
 * One replica at a time is current, and only its samples are returned:
 *
 * - The first current replica is the first added of those that are there from the beginning: whose
 *   first sample comes after the earliest of all by no more than its second comes after its first.
 * - The current replica is silent if more than two intervals pass between the last returned sample
 *   and its next one (after its last sample: the end of the requested time). The interval is the
 *   median of its last 10 gaps, of an even number the lesser one in the middle; gaps at staleness
 *   markers do not count. While no gap is known, the gap after its next sample is the interval;
 *   without it, it is silent if another replica has two samples before its next one, or one sample
 *   after its last one.
 * - When it is silent, the replica becomes current that has the earliest sample after the last
 *   returned one, and before its own next one; samples that are not newer than the last returned
 * one are skipped. Without such a sample it stays current.
 * - A staleness marker of the current replica is not returned if another replica has a sample after
 *   the last returned one and until the marker: the one with the earliest becomes current.
 * Otherwise the series ends; it continues with the earliest sample of any replica.
 *
 * If replicas scrape less often than every FILLED_INTERVAL_MS_MAX, samples in the first two
 * intervals of silence are left out: so the result depends on samples that are at most
 * REPLICA_AHEAD_MS newer.
 *
 * A scrape may take up to an interval before values are read, so that the sample of another replica
 * may be newer by its time and older by its value: a counter would seem to be reset. So after a
 * change, samples less than one interval after the last returned one are left out while they are
 * less than it; all of them if that one was less than the one before it, or was the first of its
 * replica: they may be of the time before a true reset. Thus no false reset shows. A true reset is
 * seen at most an interval later, with all that was counted since. The reset hint of the next
 * histogram is unknown.
 *
 * Windows of downsampled samples are read like their first sample before, and like their last one
 * after them; none is left out after a change. Of the replicas that have a window, the current one
 * gives it, unless another has more samples in it by a sixteenth and at least two: then the one
 * with most. A staleness marker in it counts if all have one. Where replicas have different windows
 * of the same time, those of the current one are returned, and others that begin before the last
 * returned sample are skipped.
 *
 * Threads: one.
 */
#ifndef VIEWS_REPLICA_MERGE_H
#define VIEWS_REPLICA_MERGE_H

#include "model/select.h"

enum {
    REPLICA_GAPS = 10,
    FILLED_INTERVAL_MS_MAX = 5 * 60 * 1000,
    REPLICA_AHEAD_MS = 2 * FILLED_INTERVAL_MS_MAX,
};

/* A sample that was copied from a batch, to read the next one. */
struct kept_sample {
    struct sample_batch batch; /* has this sample only */
    int64_t t_ms;
    uint64_t bits;
    int64_t start_ms;
    struct histogram histogram;
    struct rollup rollup;
    struct histogram_rollup histogram_rollup;
};

struct replica {
    void *from;
    bool has_kept; /* `kept` comes before the samples of the batch */
    bool drained;
    struct kept_sample kept;
    struct sample_batch batch;
    uint32_t at; /* index of its next sample in the batch, after `kept` */
    /* The last gaps between its samples before its next one. */
    uint64_t gaps_ms[REPLICA_GAPS];
    uint32_t gap_count;
    uint32_t gap_at;     /* index of the oldest, if there are REPLICA_GAPS */
    uint64_t gap_ms_low; /* no gap is less */
    bool has_before;     /* the sample before its next one exists and is not a marker */
    int64_t before_ms;   /* time of that sample */
};

/* The progress of a series. */
struct replica_course {
    struct replica *current;
    struct replica *last; /* replica of the last returned sample or marker; or NULL */
    int64_t last_ms;      /* its time */
    bool is_ended;        /* it was a marker */
    bool is_over;         /* the series has no more samples */
    bool is_chosen;       /* `current` was chosen for its next sample */
    bool is_changed;      /* `current` has returned no sample since it was chosen */
    uint64_t wary_ms; /* while is_changed: time after the last sample in which less is left out */
    bool has_value;   /* the next fields are those of the last sample that is not a marker */
    bool is_gauge;    /* it is a gauge histogram */
    enum sample_kind kind;
    int64_t value_ms;
    double value;    /* value of a float, count of a histogram */
    bool may_be_new; /* the counter may have been reset just before it */
};

struct replica_merge {
    struct budget *budget;
    /* Returns more samples of a replica, like series_set_batch(), which stay until the next call
     * for it. Neither summaries nor chunks. */
    enum err (*batch)(void *from, struct sample_batch *ret_batch, struct why *why);
    int64_t min_ms, max_ms; /* the requested time, which has all samples */
    bool times_only;        /* float values have no meaning */
    struct arena kept;      /* histograms of kept samples, and windows; for a series */
    struct replica *replicas;
    uint32_t count, capacity;
    struct replica_course now;
    struct histogram histogram; /* the first one after a change, as it is returned */
};

void replica_merge_init(struct replica_merge *merge,
                        enum err (*batch)(void *from, struct sample_batch *ret_batch,
                                          struct why *why),
                        const struct query_request *request, struct budget *budget);
void replica_merge_fini(struct replica_merge *merge);
/* Begins with the next series. */
void replica_merge_clear(struct replica_merge *merge);
/* Adds a replica, before the first batch. ERR_NOMEM, without a `why`. */
MUST_CHECK enum err replica_merge_add(struct replica_merge *merge, void *from);
/* Returns samples like series_set_batch(). A single replica's batches are returned as they are. */
MUST_CHECK enum err replica_merge_batch(struct replica_merge *merge, struct sample_batch *ret_batch,
                                        struct why *why);

#endif

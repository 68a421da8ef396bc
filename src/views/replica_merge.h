/*
 * replica_merge.h - private to query/: the samples of one series that replicas of a Prometheus
 * wrote, each for itself, as one.
 *
 * One replica at a time is current, and its samples alone are given:
 *
 * - The first one is that which is added first of those that are there from the beginning: whose
 *   first sample comes no later after the earliest of all than its second one after its first.
 * - The current one is silent if more than two intervals pass between the sample given last and its
 *   next one (after its last one: the end of the time asked for). The interval is the median of its
 *   last 10 gaps, of an even number the lesser one in the middle; gaps at staleness markers do not
 *   count. While no gap is known, the one after its next sample is the interval; without such it is
 *   silent if another has two samples before its next one, or one after its last one.
 * - When it is silent, that one becomes current which has the earliest sample after the one given
 *   last, and before its own next one; all that is not newer than the one given last is passed. No
 *   such sample: it stays.
 * - A staleness marker of the current one is not given if another has a sample after the one given
 *   last and until then: that becomes current, the earliest. Else the series ends; it goes on with
 *   the earliest sample of any.
 *
 * Where replicas scrape less often than every FILLED_INTERVAL_MS_MAX, samples in the first two
 * intervals of silence are left out: so what is given depends on samples that are no more than
 * REPLICA_AHEAD_MS newer.
 *
 * A scrape takes its time, at most an interval, before values are read, so that the sample of
 * another replica may be newer by its time and older by its value: a counter would seem to be
 * reset. So after a change samples less than one interval after the one given last are left out
 * while they are less; all of them if that one was less than the one before it, or was the first of
 * its replica: they may be of the time before a true reset. Thus no reset shows that was not. One
 * that was is seen an interval later at most, with all that was counted since. Of the next
 * histogram it is not known whether it comes after a reset.
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

/* A sample that was taken out of a batch, to see the next one. */
struct kept_sample {
    struct sample_batch batch; /* of it alone */
    int64_t t_ms;
    uint64_t bits;
    int64_t start_ms;
    struct histogram histogram;
};

struct replica {
    void *from;
    bool has_kept; /* it comes before those of the batch */
    bool drained;
    struct kept_sample kept;
    struct sample_batch batch;
    uint32_t at; /* the sample at hand */
    /* The last gaps between its samples until the one at hand. */
    uint64_t gaps_ms[REPLICA_GAPS];
    uint32_t gap_count;
    uint32_t gap_at;     /* the oldest, if there are all */
    uint64_t gap_ms_low; /* none is less */
    bool has_before;     /* the last one passed is no marker, */
    int64_t before_ms;   /* and this is its time */
};

/* How far a series has come. */
struct replica_course {
    struct replica *current;
    struct replica *last;  /* gave the last sample or marker; NULL: nothing was given */
    int64_t last_ms;       /* its time */
    bool is_ended;         /* it was a marker */
    bool is_over;          /* nothing comes any more */
    bool is_chosen;        /* the current one has become it for its sample at hand */
    bool is_changed;       /* it has not given any since: less is left out so long */
    uint64_t wary_ms;      /* after the last sample */
    bool has_value;        /* of the last one that is no marker, this: */
    bool is_gauge;         /* a histogram of one */
    enum sample_kind kind; /* of the value */
    int64_t value_ms;
    double value;    /* a histogram's count */
    bool may_be_new; /* the counter may have begun anew just before it */
};

struct replica_merge {
    struct budget *budget;
    /* More samples of a replica, as series_set_batch(): they stay until it is asked for the next.
     * No summaries and no chunks. */
    enum err (*batch)(void *from, struct sample_batch *ret_batch, struct why *why);
    int64_t min_ms, max_ms; /* the time that is asked for: all samples are in it */
    bool times_only;        /* floats mean nothing */
    struct arena kept;      /* of histograms that were taken out of batches */
    struct replica *replicas;
    uint32_t count, capacity;
    struct replica_course now;
    struct histogram histogram; /* the first one after a change, as it is given */
};

void replica_merge_init(struct replica_merge *merge,
                        enum err (*batch)(void *from, struct sample_batch *ret_batch,
                                          struct why *why),
                        const struct query_request *request, struct budget *budget);
void replica_merge_fini(struct replica_merge *merge);
/* Begins with the next series. */
void replica_merge_clear(struct replica_merge *merge);
/* Before the first batch. ERR_NOMEM, without words. */
MUST_CHECK enum err replica_merge_add(struct replica_merge *merge, void *from);
/* As series_set_batch(). Of one replica alone: what that gives. */
MUST_CHECK enum err replica_merge_batch(struct replica_merge *merge, struct sample_batch *ret_batch,
                                        struct why *why);

#endif

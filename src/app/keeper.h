/*
 * keeper.h - the threads that keep the store: one commits the log and answers the requests that
 * wait for it, one writes the head to parts and maintains the store each second, one merges parts.
 *
 * Threads: any, except that keeper_init(), keeper_start(), the stops and keeper_fini() are for the
 * thread that owns the server.
 */
#ifndef APP_KEEPER_H
#define APP_KEEPER_H

#include "api/api.h"
#include "app/worker.h"
#include "base/metric.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"

/* The thread that merges parts and drops those older than the retention. It pauses after each run
 * for as long as the run took, so that it uses at most half of a processor and of a disk. */
struct merger;

/* Starts the thread, which looks for work at once. ERR_NOMEM; ERR_AGAIN: no thread can start. */
MUST_CHECK enum err merger_start(struct env *env, struct tsdb *tsdb, struct merger **ret_merger,
                                 struct why *why);
/*  Expires and merges now, without pauses, until nothing is due, and waits for that. Errors as
 * tsdb_merge(), of the first merge that fails. Any thread, one at a time. */
MUST_CHECK enum err merger_run(struct merger *merger, enum tsdb_merge_mode mode, struct why *why);
/* Looks for work soon, because parts were added. Any thread. */
void merger_wake(struct merger *merger);
/* Cancels the running merge. Requests that wait or come later get ERR_CANCELED. Accepts NULL. */
void merger_stop(struct merger *merger);
void merger_free(struct merger *merger);

struct own_writes;

struct keeper {
    /* Immutable once threads run. */
    struct env *env;
    struct tsdb *tsdb;
    struct api *api;
    struct own_writes *writes; /* NULL if rules and the self-scrape do not write */
    struct merger *merger;
    bool synced_by_time; /* level fsync syncs each commit */

    /* The lock of `commit` guards the fields to the next blank line. */
    struct worker commit;
    unsigned commit_wanted;   /* requests since the last commit began */
    unsigned commit_expected; /* requests that the next commit waits a moment for */
    uint64_t commits_begun;
    uint64_t commits_ended;
    uint64_t commits_synced; /* number of the last commit that is on stable storage */
    uint64_t sync_wanted;    /* number of the commit that keeper_sync() waits for; 0: none so far */
    bool failed;             /* a commit or a sync failed, and keeper_sync() has not reported it */
    bool down;               /* the log fails until it has a new segment */
    struct cond commits_cond; /* a commit ended, was synced, or failed */
    bool commits_over;        /* the commit thread has ended */

    struct metric_collector collector;

    /* Relaxed, a statistic: monotonic time at which the running commit began; 0 while none runs. */
    _Atomic int64_t commit_began_ns;

    struct worker flush;     /* keeper_flush_now() sends it requests */
    atomic_bool flush_all;   /* the server stops: flush until the head is empty */
    atomic_bool flushed_all; /* set by the flush thread */

    /* The flush thread only. */
    int64_t flush_after_ns; /* a flush failed, the next one comes at this time or later */
    int64_t flush_pause_ns;
    const char *refusing; /* logged reason for refusing writes; NULL if they are accepted */
    bool doubts_clock;    /* it was logged that the clock is not believed */

    /* The thread that calls keeper_tick() owns these. */
    int64_t hanging_ns; /* monotonic time at which the hanging commit began that was logged last; 0
                           if none hangs */
    int64_t hang_logged_ns;
};

/* Accepts requests from now on, and keeps them until keeper_start(). */
void keeper_init(struct keeper *keeper, struct env *env);
/* Needs `tsdb`, `api` and `merger`. ERR_AGAIN, ERR_NOMEM: a thread cannot be started. */
MUST_CHECK enum err keeper_start(struct keeper *keeper, struct why *why);

/* Asks for a commit soon, and does not wait for it. Any thread. */
void keeper_want_commit(struct keeper *keeper);
/* Wakes the flush thread: memory or log space is short, or a generation was cut. */
void keeper_want_flush(struct keeper *keeper);
/* Waits for a commit, at most 100 ms, so that a query finds samples that were written before it,
 * even if writers do not wait for commits. A callback of the store, with the keeper as context. */
void keeper_commit_now(void *keeper);
/*
 * Waits until all samples that were settled before the call are committed and on stable storage,
 * whatever wal.ack is: the commit thread syncs at once. Does not wait with wal.ack=fsync. One
 * thread at a time.
 *
 * ERR_AGAIN     a commit or a sync failed since the last call. With wal.ack=memory, samples settled
 *               since the last call that returned OK may be lost; with wal.ack=written, a power
 *               failure may lose them. Also while the log is down, and while samples that it lost
 *               are in no part: see tsdb_log_lost()
 * ERR_CANCELED  the disk hangs, or commits end; the samples may be synced, then or later
 */
MUST_CHECK enum err keeper_sync(struct keeper *keeper, struct why *why);
/* Returns a static text that says why writes are refused while a commit hangs, NULL if none hangs.
 * Any thread. */
const char *keeper_hangs(struct keeper *keeper);
/* Logs that a commit hangs, and its end. One thread that never waits for a disk calls it several
 * times per second. */
void keeper_tick(struct keeper *keeper);
/* Waits until the samples now in the head are in a part. ERR_CANCELED: the server stops. */
MUST_CHECK enum err keeper_flush_now(struct keeper *keeper, struct why *why);

/* Begins to write all of the head to parts. keeper_is_flushed() returns true when this is done or
 * has failed. */
void keeper_flush_all(struct keeper *keeper);
bool keeper_is_flushed(struct keeper *keeper);
void keeper_stop_flushing(struct keeper *keeper);
/* Stops the commit thread after a last commit and sync. */
void keeper_stop_committing(struct keeper *keeper);
/* Commits the log's last batch, unless the disk hangs. The process is about to exit: nothing
 * commits afterwards. */
void keeper_commit_last(struct keeper *keeper);
void keeper_fini(struct keeper *keeper);

#endif

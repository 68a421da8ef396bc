/*
 * keeper.h - the two threads that keep what was taken in: one commits the log and answers what
 * waits for that, one writes the head out and looks after the store each second.
 *
 * Threads: any, but for keeper_init(), keeper_start(), the stops and keeper_fini(), which are for
 * the one that owns the server.
 */
#ifndef APP_KEEPER_H
#define APP_KEEPER_H

#include "api/api.h"
#include "app/merger.h"
#include "app/worker.h"
#include "base/metric.h"

struct own_writes;

struct keeper {
    /* Immutable once threads run. */
    struct env *env;
    struct tsdb *tsdb;
    struct api *api;
    struct own_writes *writes; /* NULL: none */
    struct merger *merger;
    bool synced_by_time; /* level fsync syncs each commit */

    /* Its lock guards to the next blank line. */
    struct worker commit;
    unsigned commit_wanted;   /* by so many since the last one began */
    unsigned commit_expected; /* it waits a moment for so many */
    uint64_t commits_begun;
    uint64_t commits_ended;
    uint64_t commits_synced;  /* what these commits wrote is on stable storage */
    uint64_t sync_wanted;     /* by keeper_sync(): of the commit of this number; 0: none yet */
    bool failed;              /* a commit or a sync did, and keeper_sync() has not returned it */
    bool down;                /* the log is, until it has a new segment */
    struct cond commits_cond; /* one has ended, was synced, or failed */
    bool commits_over;        /* that was the last one */

    struct metric_collector collector;

    /* Relaxed, for those who look: monotonic, when the commit under way began; 0: none is. */
    _Atomic int64_t commit_began_ns;

    struct worker flush;     /* asked by keeper_flush_now() */
    atomic_bool flush_all;   /* the last one: until nothing is left in the head */
    atomic_bool flushed_all; /* set by the flush thread */

    /* The flush thread only. */
    int64_t flush_after_ns; /* a flush failed: not before */
    int64_t flush_pause_ns;
    const char *refusing; /* why writes are refused, as it was logged; NULL: they are taken */
    bool doubts_clock;    /* as it was logged */

    /* Whoever ticks. */
    int64_t hanging_ns; /* monotonic: the commit that hangs began, as it was logged; 0: none does */
    int64_t hang_said_ns;
};

/* The requests of others are taken from now on, and kept until keeper_start(). */
void keeper_init(struct keeper *keeper, struct env *env);
/* With `tsdb`, `api` and `merger` set. ERR_AGAIN, ERR_NOMEM: no thread. */
MUST_CHECK enum err keeper_start(struct keeper *keeper, struct why *why);

void keeper_want_commit(struct keeper *keeper);
/* The flush thread does not wait for the next second: memory or the log is short, or a generation
 * was cut. */
void keeper_want_flush(struct keeper *keeper);
/* For readers where writers do not wait for commits. That a disk hangs is no reason for them to. A
 * callback of the store, with the keeper as context. */
void keeper_commit_now(void *keeper);
/*
 * Waits until all that was settled before the call is committed and on stable storage, whatever
 * wal.ack is: the commit thread syncs at once. With wal.ack=fsync there is nothing to wait for. One
 * thread at a time.
 *
 * ERR_AGAIN     a commit or a sync failed since the last call. With wal.ack=memory, what was
 *               settled since the last call that returned OK may be gone; with wal.ack=written, a
 *               power failure may take it. Also while the log is down, and while what it has lost
 *               is in no part: see tsdb_log_lost()
 * ERR_CANCELED  the disk hangs, or commits end; it may be or become synced
 */
MUST_CHECK enum err keeper_sync(struct keeper *keeper, struct why *why);
/* How long the commit that runs has taken; 0: none runs. */
int64_t keeper_commit_age_ns(struct keeper *keeper);
/* Why writes are refused while a commit hangs, a static text. NULL: none hangs. Any thread. */
const char *keeper_hangs(struct keeper *keeper);
/* Logs that a commit hangs, and its end. Now and then, from one thread, which needs no disk. */
void keeper_tick(struct keeper *keeper);
/* Waits until the head, as it is now, lies in a part. ERR_CANCELED: it is the end. */
MUST_CHECK enum err keeper_flush_now(struct keeper *keeper, struct why *why);

/* Begins to write all of the head out; keeper_is_flushed(): that is done, or cannot be done now. */
void keeper_flush_all(struct keeper *keeper);
bool keeper_is_flushed(struct keeper *keeper);
void keeper_stop_flushing(struct keeper *keeper);
/* After a last commit and sync. */
void keeper_stop_committing(struct keeper *keeper);
/* What is in the log's batch goes to disk, unless that hangs; nothing commits afterwards. For a
 * process that ends. */
void keeper_commit_last(struct keeper *keeper);
void keeper_fini(struct keeper *keeper);

#endif

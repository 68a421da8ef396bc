/*
 * keeper.c - see keeper.h. Acknowledged requests are in the log, so neither thread has to wait for
 * the other:
 *
 *      commit   wakes on request, else each second: commits, answers; cuts the head when that is
 *               due. If commits are not synced, syncs each second and for keeper_sync(), which
 *               waits for the next commit to begin: they are numbered. While the log is down:
 *               answers 503 and tries to make a new segment each second
 *      flush    wakes when the head was cut or memory is short, else each second: housekeeping,
 *               the ledger, writes the cut generation to a part; after failures with growing pauses
 *
 * No function that may wait for a disk is called under their locks: a disk that hangs stops only
 * its thread. keeper_hangs() reports it to threads that would wait for the commit thread.
 *
 * Invariants:
 *  1. Commits are numbered as they begin: commits_synced <= commits_ended <= commits_begun, and
 *     commits_ended is commits_begun or one less.
 *  2. commit_wanted counts the requests since the last commit began.
 *  3. While the log is down, no commit is noted as begun for keeper_hangs().
 */
#include "app/keeper.h"

#include <assert.h>

#include "app/own_writes.h"
#include "base/log.h"
#include "base/metric.h"

#define GATHER_NS_MAX      (2 * NS_PER_MS)
#define COMMIT_NOW_NS_MAX  (100 * NS_PER_MS)
#define FLUSH_NOW_NS_MAX   (30 * NS_PER_S)
#define FLUSH_PAUSE_NS_MAX (16 * NS_PER_S)
#define DOWN_LOG_AGAIN_NS  (60 * NS_PER_S)
#define HANG_NS            (10 * NS_PER_S) /* a longer commit means that the disk hangs */
#define HANG_LOG_AGAIN_NS  (60 * NS_PER_S)
#define LAST_COMMIT_NS_MAX (2 * NS_PER_S)

enum { DIFFERENCES_LOGGED_MAX = 8 };

static struct metric_histogram commit_latency = {
    .name = "firekeep_wal_commit_duration_seconds",
    .help = "Duration of commits to the write-ahead log, in seconds.",
    METRIC_LATENCY};
static struct metric_histogram flush_latency = {
    .name = "firekeep_flush_duration_seconds",
    .help = "Duration of flushes of the head to a part, in seconds.",
    METRIC_LATENCY};

static void
wake_committed(struct keeper *k)
{
    api_committed(k->api);
    own_committed(k->writes);
}

/* --- committing ------------------------------------------------------------------------------- */

void
keeper_want_flush(struct keeper *k)
{
    worker_wake(&k->flush);
}

static void
want_commit_locked(struct keeper *k)
{
    unsigned wanted = ++k->commit_wanted;
    if (wanted > 1 && wanted < k->commit_expected) return;
    k->commit.woken = true;
    cond_wake_one(&k->commit.cond);
}

void
keeper_want_commit(struct keeper *k)
{
    lock_take(&k->commit.lock);
    want_commit_locked(k);
    lock_drop(&k->commit.lock);
}

void
keeper_commit_now(void *keeper)
{
    struct keeper *k = keeper;
    lock_take(&k->commit.lock);
    uint64_t number = k->commits_begun + 1;
    want_commit_locked(k);
    int64_t until = env_monotonic_ns(k->env) + COMMIT_NOW_NS_MAX;
    while (k->commits_ended < number && !k->commit.stop && env_monotonic_ns(k->env) < until)
        cond_wait_until(&k->commits_cond, &k->commit.lock, until);
    lock_drop(&k->commit.lock);
}

/* Waits until a commit is wanted, or a second. False: the server stops. */
static bool
wait_for_commit(struct keeper *k)
{
    lock_take(&k->commit.lock);
    if (k->commit_wanted == 0 && !k->commit.stop)
        cond_wait_until(&k->commit.cond, &k->commit.lock, env_monotonic_ns(k->env) + NS_PER_S);
    if (k->commit_wanted > 0) {
        /* Senders that are answered together write again together: the next commit waits a moment
         * for as many requests, so that few large commits are made instead of many small ones. A
         * single sender does not wait. */
        int64_t until = env_monotonic_ns(k->env) + GATHER_NS_MAX;
        while (k->commit_wanted < k->commit_expected && !k->commit.stop &&
               env_monotonic_ns(k->env) < until)
            cond_wait_until(&k->commit.cond, &k->commit.lock, until);
        unsigned came = k->commit_wanted, expected = k->commit_expected;
        assert(came > 0); /* invariant 2 */
        k->commit_expected = came >= expected ? came : expected - (expected - came + 1) / 2;
        k->commit_wanted = 0;
        k->commit.woken = false;
    }
    bool stop = k->commit.stop;
    assert(k->commits_ended == k->commits_begun); /* invariant 1 */
    k->commits_begun++;
    lock_drop(&k->commit.lock);
    return !stop || tsdb_commit_due(k->tsdb);
}

/* Waits for the sync of a commit that begins after the call. */
static enum err
await_sync(struct keeper *k, struct why *why)
{
    lock_take(&k->commit.lock);
    uint64_t number = k->sync_wanted = k->commits_begun + 1;
    assert(k->commits_synced < number); /* invariant 1 */
    want_commit_locked(k);
    while (!k->failed && k->commits_synced < number && !k->commit.stop && keeper_hangs(k) == NULL) {
        int64_t next_look = env_monotonic_ns(k->env) + NS_PER_S;
        cond_wait_until(&k->commits_cond, &k->commit.lock, next_look);
    }
    bool failed = k->failed, synced = k->commits_synced >= number;
    k->failed = k->down;
    lock_drop(&k->commit.lock);
    if (failed) return why_set(why, ERR_AGAIN, "cannot commit and sync the write-ahead log");
    if (synced) return OK;
    const char *hangs = keeper_hangs(k);
    if (hangs != NULL) return why_set(why, ERR_CANCELED, "%s", hangs);
    return why_set(why, ERR_CANCELED, "shutting down");
}

enum err
keeper_sync(struct keeper *k, struct why *why)
{
    enum err e = k->synced_by_time ? await_sync(k, why) : OK;
    if (e || !tsdb_log_lost(k->tsdb)) return e;
    return why_set(why, ERR_AGAIN,
                   "part of the write-ahead log is lost, and memory is not written to a part yet");
}

static void
note_commit(struct keeper *k, int64_t began_ns)
{
    atomic_store_explicit(&k->commit_began_ns, began_ns, memory_order_relaxed);
}

static void
note_down(struct keeper *k, bool down)
{
    lock_take(&k->commit.lock);
    k->down = down;
    k->failed |= down;
    cond_wake_all(&k->commits_cond);
    lock_drop(&k->commit.lock);
}

/* Answers writes with 503 while the log is down, until a new segment can be made. */
static void
bring_back(struct keeper *k, const char *reason)
{
    struct log_gate gate = {0}; /* one gate per outage, which may last for days */
    int64_t began = env_monotonic_ns(k->env);
    uint64_t attempts = 0, held_back;
    assert(atomic_load_explicit(&k->commit_began_ns, memory_order_relaxed) == 0); /* invariant 3 */
    log_error("the write-ahead log failed, answering writes with 503 until it recovers",
              KV("error", reason));
    note_down(k, true);
    wake_committed(k);
    for (;;) {
        struct why why = {""};
        enum err e = tsdb_reopen(k->tsdb, &why);
        if (e == OK) break;
        wake_committed(k);
        if (!worker_rest(&k->commit, 0, REST_UNTIL_STOPPED)) return;
        attempts++;
        if (log_often(&gate, env_monotonic_ns(k->env), DOWN_LOG_AGAIN_NS, &held_back)) {
            log_warn("the write-ahead log is still down, retrying every second",
                     KV("error", why_text(&why, e)), KV("attempts", attempts));
        }
        worker_rest(&k->commit, env_monotonic_ns(k->env) + NS_PER_S, REST_UNTIL_WOKEN);
    }
    note_down(k, false);
    keeper_want_flush(k); /* the head may be the last copy of a segment that was removed */
    log_info("the write-ahead log recovered on a new segment", KV("failed_attempts", attempts),
             KV("down_ms", (env_monotonic_ns(k->env) - began) / NS_PER_MS));
}

/* Answers also if the commit was empty: a request may wait for samples of an earlier commit. A cut
 * is flushed at once: a log that fills quickly cannot wait for the next second. */
static enum err
commit_once(struct keeper *k, struct why *why)
{
    int64_t began = env_monotonic_ns(k->env);
    bool due = tsdb_commit_due(k->tsdb), had_frozen = tsdb_has_frozen(k->tsdb);
    if (due && tsdb_flush_due(k->tsdb)) tsdb_want_cut(k->tsdb);
    enum err e = due ? tsdb_commit(k->tsdb, why) : tsdb_look(k->tsdb, why);
    if (due) metric_record(&commit_latency, (uint64_t)(env_monotonic_ns(k->env) - began));
    wake_committed(k);
    if (!had_frozen && tsdb_has_frozen(k->tsdb)) keeper_want_flush(k);
    lock_take(&k->commit.lock);
    assert(k->commits_ended + 1 == k->commits_begun); /* invariant 1 */
    k->commits_ended = k->commits_begun;
    cond_wake_all(&k->commits_cond);
    lock_drop(&k->commit.lock);
    return e;
}

/* Syncs each second, and when keeper_sync() waits for this commit, if commits are not synced
 * anyway. */
static enum err
sync_if_due(struct keeper *k, int64_t *next_sync_ns, struct why *why)
{
    lock_take(&k->commit.lock);
    bool wanted = k->sync_wanted > k->commits_synced && k->sync_wanted <= k->commits_begun;
    lock_drop(&k->commit.lock);
    if (!k->synced_by_time) return OK;
    if (!wanted && env_monotonic_ns(k->env) < *next_sync_ns) return OK;
    enum err e = tsdb_sync(k->tsdb, why);
    if (e) return e;
    *next_sync_ns = env_monotonic_ns(k->env) + NS_PER_S;
    lock_take(&k->commit.lock);
    assert(k->commits_synced < k->commits_begun); /* invariant 1 */
    assert(k->commits_ended == k->commits_begun); /* invariant 1: a sync is of ended commits */
    k->commits_synced = k->commits_begun;
    cond_wake_all(&k->commits_cond);
    lock_drop(&k->commit.lock);
    return OK;
}

static void
commit_loop(void *keeper)
{
    struct keeper *k = keeper;
    int64_t next_sync_ns = 0;
    while (wait_for_commit(k)) {
        struct why why = {""};
        note_commit(k, env_monotonic_ns(k->env));
        enum err e = commit_once(k, &why);
        if (e == OK) e = sync_if_due(k, &next_sync_ns, &why);
        note_commit(k, 0);
        if (e) bring_back(k, why_text(&why, e));
    }
    struct why why = {""};
    note_commit(k, env_monotonic_ns(k->env));
    enum err e = tsdb_sync(k->tsdb, &why);
    note_commit(k, 0);
    if (e)
        log_error("the last sync of the write-ahead log failed, the samples since the previous "
                  "sync may not survive a power failure",
                  KV("error", why_text(&why, e)));
    wake_committed(k);
    lock_take(&k->commit.lock);
    assert(!k->commits_over);
    k->commits_over = true;
    cond_wake_all(&k->commits_cond);
    lock_drop(&k->commit.lock);
}

/* --- a disk that hangs ------------------------------------------------------------------------ */

/* Returns the age of the running commit, 0 if none runs. */
static int64_t
commit_age_ns(struct keeper *k)
{
    int64_t began_ns = atomic_load_explicit(&k->commit_began_ns, memory_order_relaxed);
    return began_ns == 0 ? 0 : env_monotonic_ns(k->env) - began_ns;
}

const char *
keeper_hangs(struct keeper *k)
{
    if (commit_age_ns(k) < HANG_NS) return NULL;
    return "the disk hangs: a commit to the write-ahead log has not ended for 10 s";
}

void
keeper_tick(struct keeper *k)
{
    int64_t now_ns = env_monotonic_ns(k->env);
    int64_t began_ns = atomic_load_explicit(&k->commit_began_ns, memory_order_relaxed);
    if (k->hanging_ns != 0 && began_ns != k->hanging_ns) {
        log_info("the commit to the write-ahead log that hung has ended",
                 KV("took_s", (now_ns - k->hanging_ns) / NS_PER_S));
        k->hanging_ns = 0;
    }
    if (began_ns == 0 || now_ns - began_ns < HANG_NS) return;
    if (k->hanging_ns != 0 && now_ns - k->hang_logged_ns < HANG_LOG_AGAIN_NS) return;
    k->hanging_ns = began_ns;
    k->hang_logged_ns = now_ns;
    log_error("the disk hangs: a commit to the write-ahead log does not end, answering writes "
              "with 503 until it does",
              KV("for_s", (now_ns - began_ns) / NS_PER_S));
}

static void
keeper_collect(struct metric_sink *sink, void *keeper)
{
    metric_put_one(
        sink, "firekeep_wal_commit_age_seconds", METRIC_KIND_GAUGE,
        "Time since the pending commit to the write-ahead log began; 0 if none is pending.",
        (double)commit_age_ns(keeper) / 1e9);
}

/* --- watching --------------------------------------------------------------------------------- */

static void
housekeep(struct keeper *k)
{
    static struct log_gate gate;
    uint64_t held_back;
    struct why why = {""};
    enum err e = tsdb_look_at_log(k->tsdb, &why);
    if (e) {
        log_error("a file of the write-ahead log is missing, writing all of memory to a part",
                  KV("error", why_text(&why, e)));
    }
    e = tsdb_look_at_manifest(k->tsdb, &why);
    if (e) {
        log_error("the list of live parts is missing, writing it again",
                  KV("error", why_text(&why, e)));
    }
    e = tsdb_look_at_parts(k->tsdb, &why);
    if (e) {
        log_error("a live part is missing, it can be read until the server stops: export it before "
                  "that",
                  KV("error", why_text(&why, e)));
    }
    e = tsdb_maintain(k->tsdb, &why);
    if (e == OK || !log_often(&gate, env_monotonic_ns(k->env), 60 * NS_PER_S, &held_back)) return;
    log_warn("maintenance of the write-ahead log failed, retrying every second",
             KV("error", why_text(&why, e)), KV("more_held_back", held_back));
}

static void
log_difference(void *context, struct bytes tenant, const struct ledger *ledger)
{
    uint64_t *logged = context;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        int64_t difference = ledger_difference(ledger, (enum ledger_kind)kind);
        if (difference == 0 || (*logged)++ >= DIFFERENCES_LOGGED_MAX) continue;
        log_error("the ledger does not balance: items are lost or miscounted", KV("tenant", tenant),
                  KV("kind", ledger_kind_word((enum ledger_kind)kind)),
                  KV("difference", difference),
                  KV("received", ledger->count[kind][LEDGER_RECEIVED]),
                  KV("to_do", LEDGER_DIFFERENCE_TO_DO));
    }
}

/* Logs when writes begin and cease to be refused and the clock to be doubted, with the reason; and
 * a ledger that does not balance. */
static void
watch(struct keeper *k)
{
    static struct log_gate gate;
    uint64_t held_back, logged = 0;
    const char *reason = api_refuses_writes(k->api);
    struct tsdb_stats stats;
    if (reason != k->refusing) {
        tsdb_stats(k->tsdb, &stats);
        if (reason == NULL) {
            log_info("accepting writes again", KV("free_bytes", stats.free_bytes));
        } else {
            log_error("refusing writes with 503, reads continue", KV("reason", reason),
                      KV("free_bytes", stats.free_bytes));
        }
        k->refusing = reason;
    }
    struct why why;
    bool doubts = api_doubts_clock(k->api, &why);
    if (doubts && !k->doubts_clock) {
        log_error("the system clock is not believed: retention is suspended, and samples that are "
                  "too far ahead of the clock get 503; other writes and reads continue",
                  KV("reason", &why));
    } else if (!doubts && k->doubts_clock) {
        log_info("the system clock is believed again");
    }
    k->doubts_clock = doubts;
    if (!log_often(&gate, env_monotonic_ns(k->env), 60 * NS_PER_S, &held_back)) return;
    tsdb_ledgers(k->tsdb, log_difference, &logged);
    if (logged > DIFFERENCES_LOGGED_MAX) {
        log_error("the ledgers of other tenants or kinds do not balance either",
                  KV("more", logged - DIFFERENCES_LOGGED_MAX));
    }
}

/* --- flushing --------------------------------------------------------------------------------- */

/* Writes the generation that was cut to a part. */
static enum err
write_out(struct keeper *k, struct why *why)
{
    if (!tsdb_has_frozen(k->tsdb)) return OK;
    int64_t began = env_monotonic_ns(k->env);
    enum err e = tsdb_flush(k->tsdb, why);
    if (e) return e;
    int64_t took_ns = env_monotonic_ns(k->env) - began;
    struct tsdb_stats stats;
    tsdb_stats(k->tsdb, &stats);
    metric_record(&flush_latency, (uint64_t)took_ns);
    log_info("head flushed", KV("took_ms", took_ns / NS_PER_MS), KV("parts", stats.parts),
             KV("part_bytes", stats.part_bytes));
    return OK;
}

/* Asks the commit thread to cut. If the log is down, the cut is made before it returns. */
static void
want_cut(struct keeper *k)
{
    tsdb_want_cut(k->tsdb);
    keeper_want_commit(k);
}

static void
flush_once(struct keeper *k)
{
    housekeep(k);
    watch(k);
    if (tsdb_flush_due(k->tsdb)) want_cut(k);
    if (!tsdb_has_frozen(k->tsdb) || env_monotonic_ns(k->env) < k->flush_after_ns) return;
    struct why why = {""};
    enum err e = write_out(k, &why);
    if (e) { /* retried at growing intervals: the part may have gigabytes */
        k->flush_pause_ns = worker_pause_ns(k->flush_pause_ns, FLUSH_PAUSE_NS_MAX);
        k->flush_after_ns = env_monotonic_ns(k->env) + k->flush_pause_ns;
        log_error("flush failed, retrying", KV("error", why_text(&why, e)),
                  KV("wait_ms", k->flush_pause_ns / NS_PER_MS));
        return;
    }
    k->flush_pause_ns = 0;
    housekeep(k); /* removes segments whose samples are in parts now */
    merger_wake(k->merger);
}

/* One step of the last flush: cut, commit, write, until the head is empty. The commit thread still
 * runs. True: nothing is left, or it failed. */
static bool
flush_all_step(struct keeper *k)
{
    struct why why = {""};
    if (tsdb_is_flushed(k->tsdb)) return true;
    if (tsdb_has_frozen(k->tsdb)) {
        enum err e = write_out(k, &why);
        if (e == OK) return tsdb_is_flushed(k->tsdb);
        log_error("the last flush failed, the next start replays what the log has",
                  KV("error", why_text(&why, e)));
        return true;
    }
    want_cut(k);
    if (!tsdb_is_down(k->tsdb) || tsdb_has_frozen(k->tsdb)) return false;
    log_error("the last flush failed, the next start replays what the log has",
              KV("error", "not enough memory to cut the head while the write-ahead log is down"));
    return true;
}

/* Writes everything that the head has now to parts. */
static enum err
flush_head(struct keeper *k, struct why *why)
{
    int64_t until = env_monotonic_ns(k->env) + FLUSH_NOW_NS_MAX;
    enum err e = write_out(k, why); /* a generation that was cut earlier */
    if (e || tsdb_is_flushed(k->tsdb)) return e;
    while (!tsdb_has_frozen(k->tsdb)) {
        if (tsdb_is_flushed(k->tsdb)) return OK;
        want_cut(k);
        if (tsdb_has_frozen(k->tsdb)) break;
        if (tsdb_is_down(k->tsdb) || env_monotonic_ns(k->env) > until)
            return why_set(why, ERR_AGAIN, "cannot write to the write-ahead log");
        int64_t next_look = env_monotonic_ns(k->env) + 2 * NS_PER_MS;
        if (!worker_rest(&k->flush, next_look, REST_UNTIL_STOPPED))
            return why_set(why, ERR_CANCELED, "shutting down");
    }
    return write_out(k, why);
}

enum err
keeper_flush_now(struct keeper *k, struct why *why)
{
    return worker_ask(&k->flush, 0, why);
}

static void
flush_loop(void *keeper)
{
    struct keeper *k = keeper;
    int64_t wait_ns = 0;
    int what;
    while (worker_rest(&k->flush, env_monotonic_ns(k->env) + wait_ns, REST_UNTIL_WOKEN)) {
        wait_ns = NS_PER_S;
        if (worker_take(&k->flush, &what)) {
            struct why why = {""};
            enum err e = flush_head(k, &why);
            if (e == OK) merger_wake(k->merger);
            worker_answer(&k->flush, e, &why);
        } else if (!atomic_load(&k->flush_all) || atomic_load(&k->flushed_all)) {
            flush_once(k);
        } else if (flush_all_step(k)) {
            atomic_store(&k->flushed_all, true);
        } else {
            wait_ns = 5 * NS_PER_MS;
        }
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void
keeper_init(struct keeper *k, struct env *env)
{
    k->env = env;
    worker_init(&k->commit, env);
    worker_init(&k->flush, env);
    cond_init(&k->commits_cond);
}

enum err
keeper_start(struct keeper *k, struct why *why)
{
    metric_register_histogram(&commit_latency);
    metric_register_histogram(&flush_latency);
    k->collector = (struct metric_collector){.collect = keeper_collect, .context = k};
    metric_register_collector(&k->collector);
    enum err e = worker_start(&k->commit, "commit", commit_loop, k);
    if (e == OK) e = worker_start(&k->flush, "flush", flush_loop, k);
    return e ? why_set(why, e, "cannot start the commit and flush threads") : OK;
}

void
keeper_flush_all(struct keeper *k)
{
    atomic_store(&k->flush_all, true);
    worker_wake(&k->flush);
}

bool
keeper_is_flushed(struct keeper *k)
{
    return atomic_load(&k->flushed_all);
}

void
keeper_stop_flushing(struct keeper *k)
{
    worker_join(&k->flush);
}

void
keeper_stop_committing(struct keeper *k)
{
    worker_stop(&k->commit);
    lock_take(&k->commit.lock);
    cond_wake_all(&k->commits_cond);
    lock_drop(&k->commit.lock);
    worker_join(&k->commit);
}

void
keeper_commit_last(struct keeper *k)
{
    struct why why = {""};
    worker_stop(&k->commit);
    lock_take(&k->commit.lock);
    int64_t until = env_monotonic_ns(k->env) + LAST_COMMIT_NS_MAX;
    while (!k->commits_over && env_monotonic_ns(k->env) < until)
        cond_wait_until(&k->commits_cond, &k->commit.lock, until);
    bool is_over = k->commits_over;
    lock_drop(&k->commit.lock);
    if (!is_over) {
        log_error("the last commit failed", KV("error", "the disk hangs"));
        return;
    }
    keeper_stop_committing(k);
    if (!tsdb_commit_due(k->tsdb)) return;
    enum err e = tsdb_commit(k->tsdb, &why);
    if (e) log_error("the last commit failed", KV("error", why_text(&why, e)));
}

void
keeper_fini(struct keeper *k)
{
    assert(k->commits_over || k->commits_begun == 0); /* the threads have ended */
    metric_unregister(&k->collector.link);
    worker_fini(&k->commit);
    worker_fini(&k->flush);
    cond_fini(&k->commits_cond);
}

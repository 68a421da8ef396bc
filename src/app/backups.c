/*
 * backups.c - see server_private.h.
 *
 * A snapshot of the server is stored and removed again. Snapshots that a killed server left have
 * the id of the repository at the end of their names, and the next backup removes them first.
 *
 * Invariants of the thread:
 *  1. `last_ms` is -1 until a look at the repository of `now` has found the newest backup.
 *  2. `made_ns` is not ahead of the monotonic clock; with it, the repository has a backup.
 *  3. `pause_ns` is 0 after a look that succeeded or was stopped, else more, at most PAUSE_NS_MAX.
 */
#include "app/server_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/worker.h"
#include "backup/backup.h"
#include "base/log.h"
#include "base/metric.h"
#include "cli/backup/backup_ends.h"
#include "model/storage_layout.h"

#define LOOK_MS      (60 * 1000) /* between looks at the clock, which may be set */
#define PAUSE_NS_MAX (3600 * NS_PER_S)
#define CORRECTED_MS                                                            \
    (3600 * 1000) /* a clock that is wrong at the start is set within this time \
                   */

enum { PATH_BYTES = 700, THREADS = 1 };

struct backup_schedule {
    char to[SETTING_TEXT_BYTES]; /* "": no backups */
    int64_t every_ms;
    uint64_t rate_bytes;
    struct kept_policy keep;
};

struct backups {
    struct backups_options options;
    struct worker worker;
    struct metric_collector collector;
    atomic_bool stop; /* relaxed: it orders nothing */

    struct backup_schedule set; /* guarded by the worker's lock */

    /* The thread only. */
    struct backup_schedule now;
    int64_t last_ms;  /* Unix time of the newest backup in the repository; 0: none, -1: not known */
    int64_t pause_ns; /* after failures */
    int64_t began_ns; /* monotonic */
    int64_t made_ns;  /* monotonic time of the last backup; 0: none since the start */

    /* For metrics; relaxed. */
    _Atomic int64_t good_ms, every_ms;
    _Atomic uint64_t took_ns, done, failed, new_bytes;
};

/* --- snapshots -------------------------------------------------------------------------------- */

struct left_snapshots {
    const char *suffix;
    char name[SNAPSHOT_NAME_BYTES]; /* "": none was found */
};

static enum err
find_left(void *context, const struct tsdb_snapshot_facts *facts)
{
    struct left_snapshots *l = context;
    const char *rest = strchr(facts->name, '-');
    if (rest != NULL && strcmp(rest + 1, l->suffix) == 0)
        snprintf(l->name, sizeof l->name, "%s", facts->name);
    return OK;
}

/* Removes the snapshots that a killed server left. */
static enum err
remove_left(struct backups *b, const char *suffix, struct why *why)
{
    for (;;) {
        struct left_snapshots left = {.suffix = suffix};
        enum err e = tsdb_snapshots(b->options.tsdb, find_left, &left, why);
        if (e || left.name[0] == '\0') return e;
        e = tsdb_snapshot_delete(b->options.tsdb, left.name, why);
        if (e) return e;
    }
}

/* --- a backup --------------------------------------------------------------------------------- */

static enum err
store_snapshot(struct backups *b, struct backup_repository *r, const char *name,
               struct backup_report *ret_report, struct why *why)
{
    char dir[PATH_BYTES], id[BACKUP_ID_BYTES];
    struct tsdb_reading_lock lock = TSDB_READING_LOCK_NONE;
    struct env *env = b->options.env;
    snprintf(dir, sizeof dir, "%s/" STORAGE_SNAPSHOTS "/%s", b->options.storage_path, name);
    enum err e = tsdb_reading_lock_take(env, dir, &lock, why);
    if (e == OK) e = backup_id_make(r, id, why);
    if (e == OK) e = backup_store(r, dir, id, THREADS, ret_report, why);
    tsdb_reading_lock_drop(&lock);
    if (e == OK) {
        log_info("backed up", KV("to", r->place.shown), KV("id", id),
                 KV("files", ret_report->files), KV("bytes", ret_report->bytes),
                 KV("new_bytes", ret_report->new_bytes));
    }
    return e;
}

static void
log_removed(void *context, const char *id)
{
    (void)context;
    log_info("removed an old backup", KV("id", id));
}

static enum err
store(struct backups *b, struct backup_repository *r, struct backup_report *ret_report,
      struct why *why)
{
    const struct backups_options *o = &b->options;
    char name[SNAPSHOT_NAME_BYTES] = "";
    struct why removing = {""};
    enum err e = remove_left(b, r->id, why);
    if (e == OK) e = tsdb_snapshot(o->tsdb, r->id, false, o->flush, o->context, name, why);
    if (e) return e;
    e = store_snapshot(b, r, name, ret_report, why);
    enum err removed = tsdb_snapshot_delete(o->tsdb, name, &removing);
    if (removed) {
        log_error("cannot remove the snapshot of a backup, trying again after the next one",
                  KV("snapshot", name), KV("error", why_text(&removing, removed)));
    }
    return e;
}

/* Removes the backups that are not kept. Those that stay do not make the new one a failure. */
static void
prune(struct backups *b, struct backup_repository *r)
{
    struct why why = {""};
    struct backup_pruned pruned;
    size_t kept;
    enum err e = kept_prune(r, &b->now.keep, false, log_removed, NULL, &kept, &pruned, &why);
    if (e == OK || e == ERR_CANCELED) return;
    log_error("cannot remove old backups, trying again after the next one", KV("to", b->now.to),
              KV("error", why_text(&why, e)));
}

/* Finds the time of the newest backup. */
static enum err
find_last(struct backups *b, struct backup_repository *r, struct why *why)
{
    struct buf ids;
    buf_init(&ids, b->options.memory, BACKUP_RECORD_BYTES_MAX);
    enum err e = backup_ids(r, &ids, why);
    size_t count = ids.size / sizeof(struct backup_id);
    if (e == OK)
        b->last_ms =
            count == 0 ? 0 : backup_id_ms(((const struct backup_id *)ids.at)[count - 1].text);
    buf_fini(&ids);
    return e;
}

/* If the clock was set back since the newest backup, only the monotonic clock tells how old that
 * is. */
static int64_t
left_ms(const struct backups *b)
{
    struct env *env = b->options.env;
    int64_t now_ms = env_realtime_ms(env), rest_ms = b->now.every_ms, since_ns = b->made_ns;
    assert(b->last_ms >= 0);                   /* invariant 1 */
    assert(since_ns <= env_monotonic_ns(env)); /* invariant 2 */
    if (b->last_ms <= now_ms) return b->last_ms + rest_ms - now_ms;
    if (since_ns == 0) {
        since_ns = b->began_ns;
        if (rest_ms > CORRECTED_MS) rest_ms = CORRECTED_MS;
    }
    return rest_ms - (env_monotonic_ns(env) - since_ns) / NS_PER_MS;
}

/* Sets the time of the newest backup for metrics; 0 if it is ahead of the clock, and not known. */
static void
note_good(struct backups *b)
{
    struct env *env = b->options.env;
    int64_t now_ms = env_realtime_ms(env), good_ms = b->last_ms > 0 ? b->last_ms : 0;
    if (good_ms > now_ms) {
        int64_t age_ms = (env_monotonic_ns(env) - b->made_ns) / NS_PER_MS;
        good_ms = b->made_ns == 0 ? 0 : now_ms - age_ms;
    }
    atomic_store_explicit(&b->good_ms, good_ms, memory_order_relaxed);
}

/* Looks for the newest backup, and makes another one if that is due. */
static enum err
look(struct backups *b, struct why *why)
{
    struct place_needs needs = {.stop = &b->stop};
    struct backup_place place;
    struct backup_report report = {0};
    struct backup_repository r = {.env = b->options.env,
                                  .memory = b->options.memory,
                                  .stop = &b->stop,
                                  .rate_bytes = b->now.rate_bytes};
    int64_t began_ns = env_monotonic_ns(b->options.env);
    enum err e = repository_place(b->now.to, b->options.memory, &needs, &place, why);
    if (e == OK) e = backup_open(&r, &place, BACKUP_CHANGE, why);
    if (e == OK) e = find_last(b, &r, why);
    if (e == OK && left_ms(b) <= 0) {
        e = store(b, &r, &report, why);
        if (e == OK) b->made_ns = env_monotonic_ns(b->options.env);
        if (e == OK) prune(b, &r);
        if (e == OK) e = find_last(b, &r, why);
        assert(e || b->last_ms > 0); /* invariant 2 */
        if (e == OK) atomic_fetch_add_explicit(&b->done, 1, memory_order_relaxed);
        atomic_store_explicit(&b->took_ns, (uint64_t)(env_monotonic_ns(b->options.env) - began_ns),
                              memory_order_relaxed);
        atomic_fetch_add_explicit(&b->new_bytes, report.new_bytes, memory_order_relaxed);
    }
    backup_close(&r);
    place_needs_fini(&needs);
    return e;
}

/* --- the thread ------------------------------------------------------------------------------- */

static void
look_and_log(struct backups *b)
{
    struct why why = {""};
    enum err e = look(b, &why);
    assert(e || b->last_ms >= 0); /* invariant 1 */
    if (e == OK || e == ERR_CANCELED) {
        b->pause_ns = 0;
        return;
    }
    b->pause_ns = worker_pause_ns(b->pause_ns, PAUSE_NS_MAX);
    assert(b->pause_ns > 0 && b->pause_ns <= PAUSE_NS_MAX); /* invariant 3 */
    atomic_fetch_add_explicit(&b->failed, 1, memory_order_relaxed);
    log_error("the backup failed, trying again", KV("to", b->now.to),
              KV("in_seconds", b->pause_ns / NS_PER_S), KV("error", why_text(&why, e)));
}

/* Returns the time until the next look. */
static int64_t
rest_ns(const struct backups *b)
{
    if (b->pause_ns > 0) return b->pause_ns;
    if (b->last_ms < 0) return 0; /* the look was stopped */
    int64_t left = left_ms(b);
    return (left < LOOK_MS ? left : LOOK_MS) * NS_PER_MS;
}

static void
backups_run(void *context)
{
    struct backups *b = context;
    struct env *env = b->options.env;
    int64_t until_ns = 0;
    b->began_ns = env_monotonic_ns(env);
    while (worker_rest(&b->worker, until_ns, REST_UNTIL_WOKEN)) {
        until_ns = INT64_MAX;
        lock_take(&b->worker.lock);
        if (strcmp(b->set.to, b->now.to) != 0) {
            b->last_ms = -1;
            b->pause_ns = 0;
        }
        b->now = b->set;
        lock_drop(&b->worker.lock);
        if (b->now.to[0] == '\0') continue; /* no backups are to be made */
        if (b->last_ms < 0 || left_ms(b) <= 0 || b->pause_ns > 0) look_and_log(b);
        note_good(b);
        until_ns = env_monotonic_ns(env) + rest_ns(b);
    }
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void
backups_collect(struct metric_sink *sink, void *context)
{
    static const struct metric_family
        last = {"firekeep_backup_last_success_timestamp_seconds",
                "Unix time of the newest backup, 0 if there is none.", METRIC_KIND_GAUGE},
        every = {"firekeep_backup_interval_seconds",
                 "Time from one backup to the next (backup.every), in seconds.", METRIC_KIND_GAUGE},
        took = {"firekeep_backup_last_duration_seconds", "Duration of the last backup, in seconds.",
                METRIC_KIND_GAUGE},
        total = {"firekeep_backups_total", "Backups of this server, by outcome.",
                 METRIC_KIND_COUNTER},
        bytes = {"firekeep_backup_new_bytes_total", "Bytes of files that no earlier backup had.",
                 METRIC_KIND_COUNTER};
    const struct backups *b = context;
    int64_t every_ms = atomic_load_explicit(&b->every_ms, memory_order_relaxed);
    if (every_ms == 0) return;
    struct metric_pair done = {"outcome", bytes_of_text("done")},
                       failed = {"outcome", bytes_of_text("failed")};
    metric_put_double(sink, &last, NULL, 0,
                      (double)atomic_load_explicit(&b->good_ms, memory_order_relaxed) / 1000);
    metric_put_double(sink, &every, NULL, 0, (double)every_ms / 1000);
    metric_put_double(sink, &took, NULL, 0,
                      (double)atomic_load_explicit(&b->took_ns, memory_order_relaxed) / 1e9);
    metric_put_u64(sink, &total, &done, 1, atomic_load_explicit(&b->done, memory_order_relaxed));
    metric_put_u64(sink, &total, &failed, 1,
                   atomic_load_explicit(&b->failed, memory_order_relaxed));
    metric_put_u64(sink, &bytes, NULL, 0,
                   atomic_load_explicit(&b->new_bytes, memory_order_relaxed));
}

/* --- begin and end ---------------------------------------------------------------------------- */

enum err
backups_start(const struct backups_options *options, struct backups **ret_backups, struct why *why)
{
    struct backups *b = mem_new(NULL, sizeof *b);
    if (b == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    b->options = *options;
    worker_init(&b->worker, options->env);
    b->collector = (struct metric_collector){.collect = backups_collect, .context = b};
    metric_register_collector(&b->collector);
    enum err e = worker_start(&b->worker, "backup", backups_run, b);
    if (e) {
        backups_free(b);
        return why_set(why, e, "cannot start the thread for backups");
    }
    *ret_backups = b;
    return OK;
}

void
backups_set(struct backups *b, const struct settings *s)
{
    if (b == NULL) return;
    lock_take(&b->worker.lock);
    snprintf(b->set.to, sizeof b->set.to, "%s", s->backup_to);
    b->set.every_ms = s->backup_every_ms;
    b->set.rate_bytes = s->backup_rate_bytes;
    b->set.keep = (struct kept_policy){s->backup_keep, s->backup_keep_daily, s->backup_keep_weekly,
                                       s->backup_keep_monthly};
    lock_drop(&b->worker.lock);
    bool is_on = s->backup_to[0] != '\0';
    atomic_store_explicit(&b->every_ms, is_on ? s->backup_every_ms : 0, memory_order_relaxed);
    worker_wake(&b->worker);
}

void
backups_stop(struct backups *b)
{
    if (b == NULL) return;
    atomic_store_explicit(&b->stop, true, memory_order_relaxed);
    worker_stop(&b->worker);
}

void
backups_free(struct backups *b)
{
    if (b == NULL) return;
    metric_unregister(&b->collector.link);
    backups_stop(b);
    worker_join(&b->worker);
    worker_fini(&b->worker);
    mem_free(NULL, b, sizeof *b);
}

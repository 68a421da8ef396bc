/*
 * server.c - the server's parts and threads: who is started, in which order, and how it all ends.
 *
 *      start: store (replay) -> api -> commit, flush, merge -> http    ready
 *      stop:  http takes no more -> requests end -> last commit -> flush -> gone
 *
 * At any point of a stop it is safe to leave: what was acknowledged is in the log, and the next
 * start replays it.
 */
#include "app/server.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "app/merger.h"
#include "app/remembered.h"
#include "base/log.h"
#include "base/version.h"
#include "config/store_options.h"
#include "sys/machine_memory.h"

static struct metric_histogram commit_latency = {
    .name = "firekeep_wal_commit_duration_seconds",
    .help = "Duration of commits to the write-ahead log, in seconds.",
    METRIC_LATENCY,
};
static struct metric_histogram flush_latency = {
    .name = "firekeep_flush_duration_seconds",
    .help = "Duration of flushes of the head to a part, in seconds.",
    METRIC_LATENCY,
};

struct server {
    struct env *env;
    struct memory memory;
    struct tsdb *tsdb;
    struct api *api;
    struct http_server *http;
    int flag_count;
    char **flag_words;
    bool synced_by_time; /* level fsync syncs each commit */

    struct lock reload_lock; /* LOCK_RANK_APP; guards the next two once threads run */
    struct settings settings;

    struct lock commit_lock; /* LOCK_RANK_APP_WAKE; guards to the next blank line */
    struct cond commit_cond;
    unsigned commit_wanted;   /* by so many since the last one began */
    unsigned commit_expected; /* it waits a moment for so many */
    bool commit_stop;
    uint64_t commits_begun;
    uint64_t commits_ended;
    struct cond commits_cond; /* one has ended */

    struct lock flush_lock; /* LOCK_RANK_APP_WAKE; guards the rest */
    struct cond flush_cond;
    bool flush_stop;
    bool flush_wanted; /* look at once */
    bool flush_now;    /* somebody waits in flush_now() */
    bool flush_now_over;
    enum err flush_now_error;
    struct why flush_now_why;
    bool flush_all; /* the last one: until nothing is left in the head */
    bool flushed_all;

    /* The flush thread only. */
    int64_t flush_after_ns; /* a flush failed: not before */
    int64_t flush_pause_ns;
    const char *refusing; /* why writes are refused, as it was logged; NULL: they are taken */

    struct env_thread *commit_thread;
    struct env_thread *flush_thread;
    struct merger *merger;
    struct relays *relays;
};

#define GATHER_NS_MAX      (2 * NS_PER_MS)
#define COMMIT_NOW_NS_MAX  (100 * NS_PER_MS)
#define FLUSH_PAUSE_NS_MAX (16 * NS_PER_S)
#define DOWN_SAID_NS       (60 * NS_PER_S)

/* --- limits ----------------------------------------------------------------------------------- */

static struct api_limits
api_limits_of(const struct settings *s)
{
    return (struct api_limits){
        .read_samples_max = s->read_max_samples,
        .read_bytes_max = s->read_max_bytes,
        .read_timeout_ns = s->read_timeout_ms * NS_PER_MS,
    };
}

/* --- reload ----------------------------------------------------------------------------------- */

/* All or nothing: what can fail comes first and changes nothing; the switch cannot fail. */
static enum err
reload(void *context, struct why *why)
{
    struct server *s = context;
    struct settings next;
    struct destinations list = {NULL};
    struct relays_change *change;
    bool help;
    /* The file is read under the lock: of two reloads the later one also has the later file. */
    lock_take(&s->reload_lock);
    enum err e = settings_load(&next, &list, s->flag_count, s->flag_words, &help, why);
    if (e == OK) e = settings_check_reload(&s->settings, &next, why);
    if (e == OK) e = destinations_check(&list, next.storage_path, why);
    uint32_t destination_count = list.count;
    if (e)
        destinations_free(&list);
    else
        e = relays_prepare(s->relays, &list, &change, why);
    if (e == OK) {
        struct tsdb_limits tsdb_limits = store_limits_of(&next);
        struct api_limits api_limits = api_limits_of(&next);
        tsdb_set_limits(s->tsdb, &tsdb_limits);
        api_set_limits(s->api, &api_limits);
        log_configure(next.log_level, next.log_format);
        s->settings = next;
        relays_commit(change);
    }
    lock_drop(&s->reload_lock);
    if (e)
        log_error("configuration reload failed, keeping the old configuration", KV("error", why));
    else
        log_info("configuration reloaded", KV("destinations", destination_count));
    return e;
}

static void
show_flags(void *context, void (*each)(void *to, const char *name, const char *value), void *to)
{
    struct server *s = context;
    lock_take(&s->reload_lock);
    struct settings now = s->settings;
    lock_drop(&s->reload_lock);
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        struct buf value;
        buf_init(&value, NULL, 4096);
        settings_value(&now, t, &value);
        buf_put_u8(&value, '\0');
        if (buf_error(&value) == OK) each(to, t->name, (const char *)value.at);
        buf_fini(&value);
    }
}

static void
show_config(void *context, struct buf *to)
{
    struct server *s = context;
    lock_take(&s->reload_lock);
    settings_print_yaml(&s->settings, to);
    lock_drop(&s->reload_lock);
    relays_print_yaml(s->relays, to);
}

static void
show_destinations(void *context, struct json *to)
{
    struct server *s = context;
    relays_print(s->relays, to);
}

static enum err
show_remembered(void *context, struct budget *memory, struct json *to, struct why *why)
{
    struct server *s = context;
    char storage_path[SETTING_TEXT_BYTES];
    struct remembered_options options = {
        .env = s->env,
        .storage_path = storage_path,
        .relays = s->relays,
        .memory = memory,
    };
    lock_take(&s->reload_lock); /* what a reload ends has its last state after it */
    memcpy(storage_path, s->settings.storage_path, sizeof storage_path);
    lock_drop(&s->reload_lock);
    return remembered_print(&options, to, why);
}

static enum err
tell_destination(void *context, struct bytes name, const struct destination_wish *wish,
                 struct why *why)
{
    struct server *s = context;
    if (wish->verb == DESTINATION_REPLAY) return relays_replay(s->relays, name, wish->from_ms, why);
    return relays_wish(s->relays, name, wish->verb == DESTINATION_PAUSE, why);
}

/* Some errors, memory's above all, come without words. */
static struct why *
worded(struct why *why, enum err e)
{
    if (why->text[0] == '\0') why_set(why, e, "%s", err_word(e));
    return why;
}

/* --- committing ------------------------------------------------------------------------------- */

/* The flush thread looks at once: memory or the log is short, or something was cut. */
static void
want_flush(void *context)
{
    struct server *s = context;
    lock_take(&s->flush_lock);
    s->flush_wanted = true;
    cond_wake_all(&s->flush_cond);
    lock_drop(&s->flush_lock);
}

static void
want_commit_locked(struct server *s)
{
    unsigned wanted = ++s->commit_wanted;
    if (wanted == 1 || wanted >= s->commit_expected) cond_wake_one(&s->commit_cond);
}

static void
want_commit(void *context)
{
    struct server *s = context;
    lock_take(&s->commit_lock);
    want_commit_locked(s);
    lock_drop(&s->commit_lock);
}

/* For readers where writers do not wait for commits. That a disk hangs is no reason for them to. */
static void
commit_now(void *context)
{
    struct server *s = context;
    lock_take(&s->commit_lock);
    uint64_t number = s->commits_begun + 1;
    want_commit_locked(s);
    int64_t until = env_monotonic_ns(s->env) + COMMIT_NOW_NS_MAX;
    while (s->commits_ended < number && !s->commit_stop && env_monotonic_ns(s->env) < until) {
        cond_wait_until(&s->commits_cond, &s->commit_lock, until);
    }
    lock_drop(&s->commit_lock);
}

/*
 * Senders that were answered together come again together: the next commit waits a moment for as
 * many, so that few large ones are written instead of many small ones. A sender that is alone waits
 * for nobody.
 */
static void
gather_locked(struct server *s)
{
    int64_t until = env_monotonic_ns(s->env) + GATHER_NS_MAX;
    while (s->commit_wanted < s->commit_expected && !s->commit_stop &&
           env_monotonic_ns(s->env) < until) {
        cond_wait_until(&s->commit_cond, &s->commit_lock, until);
    }
    unsigned came = s->commit_wanted, expected = s->commit_expected;
    s->commit_expected = came >= expected ? came : expected - (expected - came + 1) / 2;
    s->commit_wanted = 0;
}

/* Waits until somebody wants a commit, or a second. False: the end. */
static bool
wait_for_commit(struct server *s)
{
    lock_take(&s->commit_lock);
    if (s->commit_wanted == 0 && !s->commit_stop) {
        cond_wait_until(&s->commit_cond, &s->commit_lock, env_monotonic_ns(s->env) + NS_PER_S);
    }
    if (s->commit_wanted > 0) gather_locked(s);
    bool stop = s->commit_stop;
    s->commits_begun++;
    lock_drop(&s->commit_lock);
    return !stop || tsdb_commit_due(s->tsdb);
}

static void
note_commit_ended(struct server *s)
{
    lock_take(&s->commit_lock);
    s->commits_ended = s->commits_begun;
    cond_wake_all(&s->commits_cond);
    lock_drop(&s->commit_lock);
}

static void
pause_ms(struct server *s, int64_t ms)
{
    lock_take(&s->commit_lock);
    if (!s->commit_stop) {
        cond_wait_until(&s->commit_cond, &s->commit_lock,
                        env_monotonic_ns(s->env) + ms * NS_PER_MS);
    }
    lock_drop(&s->commit_lock);
}

static bool
stopping(struct server *s)
{
    lock_take(&s->commit_lock);
    bool stop = s->commit_stop;
    lock_drop(&s->commit_lock);
    return stop;
}

/* The log is down: everybody is told to come back, until a fresh segment could be made. */
static void
bring_back(struct server *s, const struct why *reason)
{
    struct log_gate gate = {0}; /* of this outage: it may last for days */
    int64_t began = env_monotonic_ns(s->env);
    uint64_t attempts = 0, held_back;
    log_error("the write-ahead log failed, answering writes with 503 until it recovers",
              KV("error", reason));
    api_committed(s->api);
    for (;;) {
        struct why why = {""};
        enum err e = tsdb_reopen(s->tsdb, &why);
        if (e == OK) break;
        api_committed(s->api);
        if (stopping(s)) return;
        attempts++;
        if (log_often(&gate, env_monotonic_ns(s->env), DOWN_SAID_NS, &held_back)) {
            log_warn("the write-ahead log is still down, retrying every second",
                     KV("error", worded(&why, e)), KV("attempts", attempts));
        }
        pause_ms(s, 1000);
    }
    log_info("the write-ahead log recovered on a new segment", KV("failed_attempts", attempts),
             KV("down_ms", (env_monotonic_ns(s->env) - began) / NS_PER_MS));
}

/*
 * Answers also when there is nothing to commit: what a request waits for may be over already. What
 * was cut is written out at once: a log that fills quickly has no second to spare.
 */
static enum err
commit_once(struct server *s, struct why *why)
{
    int64_t began = env_monotonic_ns(s->env);
    bool due = tsdb_commit_due(s->tsdb), had_frozen = tsdb_has_frozen(s->tsdb);
    if (due && tsdb_flush_due(s->tsdb)) tsdb_want_cut(s->tsdb);
    enum err e = due ? tsdb_commit(s->tsdb, why) : OK;
    if (due) metric_record(&commit_latency, (uint64_t)(env_monotonic_ns(s->env) - began));
    api_committed(s->api);
    if (!had_frozen && tsdb_has_frozen(s->tsdb)) want_flush(s);
    return e;
}

static void
commit_loop(void *context)
{
    struct server *s = context;
    int64_t next_sync = 0;
    while (wait_for_commit(s)) {
        struct why why = {""};
        enum err e = commit_once(s, &why);
        note_commit_ended(s);
        if (e == OK && s->synced_by_time && env_monotonic_ns(s->env) >= next_sync) {
            e = tsdb_sync(s->tsdb, &why);
            next_sync = env_monotonic_ns(s->env) + NS_PER_S;
        }
        if (e) bring_back(s, worded(&why, e));
    }
    struct why why = {""};
    enum err e = tsdb_sync(s->tsdb, &why);
    if (e) log_error("the last sync of the write-ahead log failed", KV("error", worded(&why, e)));
    api_committed(s->api);
}

/* --- flushing --------------------------------------------------------------------------------- */

static void
housekeep(struct server *s)
{
    static struct log_gate gate;
    uint64_t held_back;
    struct why why = {""};
    enum err e = tsdb_maintain(s->tsdb, &why);
    if (e == OK || !log_often(&gate, env_monotonic_ns(s->env), 60 * NS_PER_S, &held_back)) return;
    log_warn("housekeeping failed, retrying every second", KV("error", worded(&why, e)),
             KV("more_held_back", held_back));
}

enum { DIFFERENCES_SAID_MAX = 8 };

static void
tell_difference(void *context, struct bytes tenant, const struct ledger *ledger)
{
    uint64_t *said = context;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        int64_t difference = ledger_difference(ledger, (enum ledger_kind)k);
        if (difference == 0 || (*said)++ >= DIFFERENCES_SAID_MAX) continue;
        log_error("the ledger does not balance: items are lost or miscounted", KV("tenant", tenant),
                  KV("kind", ledger_kind_word((enum ledger_kind)k)), KV("difference", difference),
                  KV("received", ledger->count[k][LEDGER_RECEIVED]),
                  KV("to_do", LEDGER_DIFFERENCE_TO_DO));
    }
}

static void
watch_ledger(struct server *s)
{
    static struct log_gate gate;
    uint64_t held_back, said = 0;
    if (!log_often(&gate, env_monotonic_ns(s->env), 60 * NS_PER_S, &held_back)) return;
    tsdb_ledgers(s->tsdb, tell_difference, &said);
    if (said > DIFFERENCES_SAID_MAX) {
        log_error("the ledgers of other tenants or kinds do not balance either",
                  KV("more", said - DIFFERENCES_SAID_MAX));
    }
}

/* Whoever reads the log learns from when to when writes were refused, and why. */
static void
watch_writes(struct server *s)
{
    const char *reason = api_refuses_writes(s->api);
    struct tsdb_stats stats;
    if (reason == s->refusing) return;
    tsdb_stats(s->tsdb, &stats);
    if (reason == NULL) {
        log_info("accepting writes again", KV("free_bytes", stats.free_bytes));
    } else {
        log_error("refusing writes with 503, reads continue", KV("reason", reason),
                  KV("free_bytes", stats.free_bytes));
    }
    s->refusing = reason;
}

/* What could not be written is tried again, but less and less often: it may be gigabytes. */
static void
flush_failed(struct server *s, struct why *why, enum err e)
{
    s->flush_pause_ns = s->flush_pause_ns == 0 ? NS_PER_S : 2 * s->flush_pause_ns;
    if (s->flush_pause_ns > FLUSH_PAUSE_NS_MAX) s->flush_pause_ns = FLUSH_PAUSE_NS_MAX;
    s->flush_after_ns = env_monotonic_ns(s->env) + s->flush_pause_ns;
    log_error("flush failed, retrying", KV("error", worded(why, e)),
              KV("wait_ms", s->flush_pause_ns / NS_PER_MS));
}

/* What was cut becomes a part, whoever asked for it. */
static enum err
write_out(struct server *s, struct why *why)
{
    if (!tsdb_has_frozen(s->tsdb)) return OK;
    int64_t began = env_monotonic_ns(s->env);
    enum err e = tsdb_flush(s->tsdb, why);
    if (e) return e;
    int64_t took_ns = env_monotonic_ns(s->env) - began;
    struct tsdb_stats stats;
    tsdb_stats(s->tsdb, &stats);
    metric_record(&flush_latency, (uint64_t)took_ns);
    log_info("head flushed", KV("took_ms", took_ns / NS_PER_MS), KV("parts", stats.parts),
             KV("part_bytes", stats.part_bytes));
    return OK;
}

static void
flush_once(struct server *s)
{
    housekeep(s);
    watch_writes(s);
    watch_ledger(s);
    if (tsdb_flush_due(s->tsdb)) {
        tsdb_want_cut(s->tsdb);
        want_commit(s);
    }
    if (!tsdb_has_frozen(s->tsdb) || env_monotonic_ns(s->env) < s->flush_after_ns) return;
    struct why why = {""};
    enum err e = write_out(s, &why);
    if (e) {
        flush_failed(s, &why, e);
        return;
    }
    s->flush_pause_ns = 0;
    housekeep(s); /* the log gives up what is in parts now */
    merger_wake(s->merger);
}

/* At the end: cut, commit, write, until nothing is left. The commit thread is still there. */
static bool
flush_all_step(struct server *s)
{
    struct why why = {""};
    if (tsdb_is_flushed(s->tsdb) || tsdb_is_down(s->tsdb)) return true;
    if (tsdb_has_frozen(s->tsdb)) {
        enum err e = write_out(s, &why);
        if (e == OK) return tsdb_is_flushed(s->tsdb);
        log_error("the last flush failed, the next start replays the log",
                  KV("error", worded(&why, e)));
        return true;
    }
    tsdb_want_cut(s->tsdb);
    want_commit(s);
    return false;
}

/* All that is in the head now, as a part. The commit thread cuts. */
static enum err
flush_head(struct server *s, struct why *why)
{
    int64_t until = env_monotonic_ns(s->env) + 30 * NS_PER_S;
    enum err e = write_out(s, why); /* what was cut before */
    if (e || tsdb_is_flushed(s->tsdb)) return e;
    while (!tsdb_has_frozen(s->tsdb)) {
        if (tsdb_is_flushed(s->tsdb)) return OK;
        if (tsdb_is_down(s->tsdb) || env_monotonic_ns(s->env) > until) {
            return why_set(why, ERR_AGAIN, "cannot write to the write-ahead log");
        }
        tsdb_want_cut(s->tsdb);
        want_commit(s);
        lock_take(&s->flush_lock);
        (void)cond_wait_until(&s->flush_cond, &s->flush_lock,
                              env_monotonic_ns(s->env) + 2 * NS_PER_MS);
        bool stop = s->flush_stop;
        lock_drop(&s->flush_lock);
        if (stop) return why_set(why, ERR_CANCELED, "shutting down");
    }
    return write_out(s, why);
}

static void
flush_for_waiter(struct server *s)
{
    struct why why = {""};
    enum err e = flush_head(s, &why);
    if (e == OK) merger_wake(s->merger);
    lock_take(&s->flush_lock);
    s->flush_now = false;
    s->flush_now_over = true;
    s->flush_now_error = e;
    s->flush_now_why = why;
    cond_wake_all(&s->flush_cond);
    lock_drop(&s->flush_lock);
}

/* Waits until the head, as it is now, lies in a part. */
static enum err
flush_now(void *context, struct why *why)
{
    struct server *s = context;
    lock_take(&s->flush_lock);
    s->flush_now = true;
    s->flush_now_over = false;
    cond_wake_all(&s->flush_cond);
    while (!s->flush_now_over && !s->flush_stop) {
        cond_wait(&s->flush_cond, &s->flush_lock);
    }
    enum err e = s->flush_now_over ? s->flush_now_error : ERR_CANCELED;
    if (s->flush_now_over && e) *why = s->flush_now_why;
    if (!s->flush_now_over) why_set(why, e, "shutting down");
    lock_drop(&s->flush_lock);
    return e;
}

static enum err
merge_now(void *context, enum tsdb_merge_mode mode, struct why *why)
{
    struct server *s = context;
    return merger_run(s->merger, mode, why);
}

static void
flush_loop(void *context)
{
    struct server *s = context;
    lock_take(&s->flush_lock);
    while (!s->flush_stop) {
        bool all = s->flush_all && !s->flushed_all, now = s->flush_now;
        lock_drop(&s->flush_lock);
        bool done = false;
        if (now)
            flush_for_waiter(s);
        else if (all)
            done = flush_all_step(s);
        else
            flush_once(s);
        lock_take(&s->flush_lock);
        if (!now && all && done) {
            s->flushed_all = true;
            cond_wake_all(&s->flush_cond);
        }
        if (s->flush_stop) break;
        if ((s->flush_all && !all) || s->flush_now || s->flush_wanted) { /* asked for meanwhile */
            s->flush_wanted = false;
            continue;
        }
        int64_t wait_ns = all && !done ? 5 * NS_PER_MS : NS_PER_S;
        cond_wait_until(&s->flush_cond, &s->flush_lock, env_monotonic_ns(s->env) + wait_ns);
        s->flush_wanted = false;
    }
    lock_drop(&s->flush_lock);
}

/* --- starting --------------------------------------------------------------------------------- */

/* Who copied or put back the directory is to know what follows from it. */
static void
tell_identity(const struct server *s, const struct tsdb_opening *o)
{
    const char *path = s->settings.storage_path;
    if (o->identity == TSDB_IDENTITY_CHANGED) {
        log_warn("the storage directory was copied or restored, destinations use new names for "
                 "objects and files from now on",
                 KV("path", path), KV("reason", o->identity_reason),
                 KV("id", tsdb_name_id(s->tsdb)));
    }
    if (o->identity == TSDB_IDENTITY_UNKEPT) {
        log_warn("cannot read or write the identity of the storage directory, destinations use new "
                 "names for objects and files until the next start",
                 KV("path", path), KV("error", o->identity_reason),
                 KV("id", tsdb_name_id(s->tsdb)));
    }
}

static enum err
open_store(struct server *s, struct why *why)
{
    const struct settings *c = &s->settings;
    uint64_t memory = c->memory_limit_bytes;
    if (memory == 0) memory = machine_memory_bytes() / 10 * 6;
    memory_init(&s->memory, memory);
    struct tsdb_options options = store_options_of(c, s->env, &s->memory);
    options.commit_now = commit_now;
    options.commit_context = s;
    struct tsdb_limits limits = store_limits_of(c);
    struct tsdb_opening o;
    int64_t began = env_monotonic_ns(s->env);
    enum err e = tsdb_open(&options, &limits, &s->tsdb, &o, why);
    if (e && why->text[0] == '\0') {
        why_set(why, e, "cannot open storage directory %s: %s", c->storage_path, err_word(e));
    }
    if (e) return e;
    if (c->storage_mode == STORAGE_NONE && o.parts > 0) {
        return why_set(why, ERR_INPUT,
                       "%s contains stored samples, which cannot be read with storage.mode=none; "
                       "use storage.mode=local or another directory",
                       c->storage_path);
    }
    log_info("storage opened", KV("path", c->storage_path), KV("parts", o.parts),
             KV("replayed_samples", o.replayed_samples), KV("replayed_series", o.replayed_series),
             KV("took_ms", (env_monotonic_ns(s->env) - began) / NS_PER_MS));
    tell_identity(s, &o);
    if (o.damage.places > 0) {
        log_error("the write-ahead log is damaged, everything readable was recovered",
                  KV("places", o.damage.places), KV("bytes", o.damage.bytes),
                  KV("first", o.damage.first));
    }
    if (o.manifest_mended)
        log_warn("one of the two copies in MANIFEST was damaged and has been repaired");
    if (o.parts_set_aside > 0) {
        log_error("parts with an unreadable root were renamed to *.damaged",
                  KV("parts", o.parts_set_aside), KV("first", o.first_damage));
    }
    if (o.parts_unnamed > 0) {
        log_error("parts that MANIFEST does not list were renamed to *.unnamed",
                  KV("parts", o.parts_unnamed), KV("first", o.first_unnamed));
    }
    return OK;
}

static enum err
open_relays(struct server *s, struct why *why)
{
    uint64_t foreground =
        atomic_load_explicit(&s->memory.foreground.limit_bytes, memory_order_relaxed);
    struct relays_options options = {
        .env = s->env,
        .tsdb = s->tsdb,
        .stored = s->settings.storage_mode == STORAGE_LOCAL,
        .storage_path = s->settings.storage_path,
        .memory = &s->memory.foreground,
        .memory_bytes = foreground / 4,
    };
    return relays_new(&options, &s->relays, why);
}

/* What could never be had beside a head that is half full is refused for its size. */
static uint64_t
decoded_bytes_max(const struct server *s)
{
    uint64_t foreground =
        atomic_load_explicit(&s->memory.foreground.limit_bytes, memory_order_relaxed);
    uint64_t most = (foreground - s->memory.head_bytes / 2) / 2;
    uint64_t wanted = s->settings.web_max_decoded_bytes;
    return wanted < most ? wanted : most;
}

/* What snappy makes at most of the largest message there may be. */
static uint64_t
body_bytes_max(const struct server *s)
{
    uint64_t decoded = decoded_bytes_max(s), most = decoded + decoded / 6 + 32;
    return s->settings.web_max_body_bytes < most ? s->settings.web_max_body_bytes : most;
}

static const char *
holds_writes(void *context)
{
    struct server *s = context;
    if (!relays_are_full(s->relays)) return NULL;
    return "a destination has used up its log budget";
}

static enum err
start_api(struct server *s, struct why *why)
{
    const struct settings *c = &s->settings;
    struct api_options options = {
        .env = s->env,
        .tsdb = s->tsdb,
        .answerer = tsdb_answerer(s->tsdb),
        .memory = &s->memory.foreground,
        .decoded_bytes_max = decoded_bytes_max(s),
        .tenancy = c->tenancy_enabled,
        .lifecycle = c->web_enable_lifecycle,
        .admin = c->web_enable_admin_api,
        .read_concurrency = c->read_max_concurrent,
        .read_queue_timeout_ns = c->read_queue_timeout_ms * NS_PER_MS,
        .read_frame_bytes = c->read_frame_bytes,
        .started_ms = env_realtime_ms(s->env),
        .version = FIREKEEP_VERSION,
        .commit_wanted = want_commit,
        .flush_wanted = want_flush,
        .context = s,
        .flush_now = flush_now,
        .merge_now = merge_now,
        .reload = reload,
        .flags = show_flags,
        .config = show_config,
        .destinations = show_destinations,
        .remembered = show_remembered,
        .tell_destination = tell_destination,
        .holds_writes = holds_writes,
        .stored = c->storage_mode == STORAGE_LOCAL,
    };
    struct api_limits limits = api_limits_of(c);
    return api_new(&options, &limits, &s->api, why);
}

static unsigned
worker_count(const struct settings *c)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = c->web_workers != 0 ? c->web_workers : (unsigned)processors;
    return workers < 2 ? 2 : workers;
}

static enum err
start_http(struct server *s, struct why *why)
{
    const struct settings *c = &s->settings;
    char host[SETTING_TEXT_BYTES];
    struct http_options options = {
        .env = s->env,
        .host = host,
        .workers = worker_count(c),
        .connections_max = c->web_max_connections,
        .header_bytes_max = c->web_max_header_bytes,
        .body_bytes_max = body_bytes_max(s),
        .header_timeout_ns = c->web_header_timeout_ms * NS_PER_MS,
        .body_timeout_ns = c->web_body_timeout_ms * NS_PER_MS,
        .idle_timeout_ns = c->web_idle_timeout_ms * NS_PER_MS,
        .send_timeout_ns = c->web_send_timeout_ms * NS_PER_MS,
        .stream_buffer_bytes = 256 * 1024,
        .budget = &s->memory.foreground,
    };
    enum err e = settings_listen_address(c->web_listen_address, host, &options.port, why);
    if (e) return e;
    options.routes = api_routes(s->api, &options.route_count);
    e = http_server_start(&options, &s->http, why);
    if (e) return why_prefix(why, e, "cannot listen on %s", c->web_listen_address);
    api_set_server(s->api, s->http);
    return OK;
}

static enum err
start_threads(struct server *s, struct why *why)
{
    metric_register_histogram(&commit_latency);
    metric_register_histogram(&flush_latency);
    enum err e = merger_start(s->env, s->tsdb, &s->merger, why);
    if (e) return e;
    e = env_thread_start(s->env, "commit", commit_loop, s, &s->commit_thread);
    if (e == OK) e = env_thread_start(s->env, "flush", flush_loop, s, &s->flush_thread);
    return e ? why_set(why, e, "cannot start the commit and flush threads") : OK;
}

/* --- stopping --------------------------------------------------------------------------------- */

bool
server_is_idle(struct server *s)
{
    return http_server_busy(s->http) == 0;
}

void
server_quiesce(struct server *s)
{
    http_server_quiesce(s->http);
    api_stop(s->api);
    relays_stop(s->relays);
}

void
server_flush_all(struct server *s)
{
    lock_take(&s->flush_lock);
    s->flush_all = true;
    cond_wake_all(&s->flush_cond);
    lock_drop(&s->flush_lock);
}

bool
server_is_flushed(struct server *s)
{
    lock_take(&s->flush_lock);
    bool done = s->flushed_all;
    lock_drop(&s->flush_lock);
    return done;
}

static void
stop_flushing(struct server *s)
{
    if (s->flush_thread == NULL) return;
    lock_take(&s->flush_lock);
    s->flush_stop = true;
    cond_wake_all(&s->flush_cond);
    lock_drop(&s->flush_lock);
    env_thread_join(s->env, s->flush_thread);
    s->flush_thread = NULL;
}

static void
stop_committing(struct server *s)
{
    if (s->commit_thread == NULL) return;
    lock_take(&s->commit_lock);
    s->commit_stop = true;
    cond_wake_all(&s->commit_cond);
    cond_wake_all(&s->commits_cond);
    lock_drop(&s->commit_lock);
    env_thread_join(s->env, s->commit_thread);
    s->commit_thread = NULL;
}

void
server_commit_last(struct server *s)
{
    struct why why = {""};
    stop_committing(s);
    if (!tsdb_commit_due(s->tsdb)) return;
    enum err e = tsdb_commit(s->tsdb, &why);
    if (e) log_error("the last commit failed", KV("error", worded(&why, e)));
}

void
server_free(struct server *s)
{
    if (s == NULL) return;
    stop_flushing(s);
    merger_stop(s->merger);
    http_server_free(s->http); /* whose requests wait for commits */
    stop_committing(s);
    api_free(s->api);
    merger_free(s->merger); /* requests under way may have asked for these two until now */
    relays_free(s->relays);
    tsdb_free(s->tsdb);
    lock_fini(&s->reload_lock);
    lock_fini(&s->commit_lock);
    lock_fini(&s->flush_lock);
    cond_fini(&s->commit_cond);
    cond_fini(&s->flush_cond);
    mem_free(NULL, s, sizeof *s);
}

/* --- the whole -------------------------------------------------------------------------------- */

enum err
server_start(struct env *env, const struct settings *settings, struct destinations *destinations,
             int flag_count, char **flag_words, struct server **ret_server, struct why *why)
{
    struct server *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    why->text[0] = '\0';
    s->env = env;
    s->settings = *settings;
    s->synced_by_time = settings->wal_ack != ACK_FSYNC;
    s->flag_count = flag_count;
    s->flag_words = flag_words;
    lock_init(&s->reload_lock, LOCK_RANK_APP);
    lock_init(&s->commit_lock, LOCK_RANK_APP_WAKE);
    lock_init(&s->flush_lock, LOCK_RANK_APP_WAKE);
    cond_init(&s->commit_cond);
    cond_init(&s->commits_cond);
    cond_init(&s->flush_cond);
    enum err e = destinations_check(destinations, settings->storage_path, why);
    if (e == OK) e = open_store(s, why);
    if (e == OK) e = open_relays(s, why);
    if (e == OK) e = start_api(s, why);
    uint32_t destination_count = destinations->count;
    if (e == OK) { /* before anything of the log is given up */
        struct destinations list = *destinations;
        struct relays_change *change;
        *destinations = (struct destinations){NULL};
        e = relays_prepare(s->relays, &list, &change, why);
        if (e == OK) relays_commit(change);
    }
    if (e == OK) e = start_threads(s, why);
    if (e == OK) e = start_http(s, why);
    if (e) {
        server_free(s);
        return e;
    }
    log_info("ready", KV("version", FIREKEEP_VERSION), KV("address", settings->web_listen_address),
             KV("port", http_server_port(s->http)),
             KV("tenancy", settings->tenancy_enabled ? "on" : "off"),
             KV("destinations", destination_count));
    *ret_server = s;
    return OK;
}

uint16_t
server_port(const struct server *s)
{
    return http_server_port(s->http);
}

void
server_tick(struct server *s)
{
    api_tick(s->api);
}

enum err
server_reload(struct server *s, struct why *why)
{
    return reload(s, why);
}

void
server_stats(struct server *s, struct tsdb_stats *ret_stats)
{
    tsdb_stats(s->tsdb, ret_stats);
}

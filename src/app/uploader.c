/*
 * uploader.c - see server_private.h. The thread steps through the work of tsdb_bucket_step(): a
 * failed step is tried again, after pauses that grow; a catalog that someone else writes ends the
 * work until the next start.
 *
 * Invariant of the thread: the pause is 0 unless the last step failed, and at most
 * UPLOADER_PAUSE_NS_MAX.
 */
#include "app/server_private.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"
#include "cli/bucket/bucket_link.h"
#include "model/storage_layout.h"
#include "tsdb/tsdb_bucket.h"

#define UPLOADER_LOOK_NS      (10 * NS_PER_S)
#define UPLOADER_PAUSE_NS_MAX (300 * NS_PER_S)

struct uploader {
    struct uploader_options options;
    struct worker worker;
    struct metric_collector collector;
    struct object_storage storage; /* owned */
    struct bucket_link link;
    struct object_cache *cache;
    _Atomic uint64_t cache_hits;
    struct tsdb *tsdb;
    struct tsdb_bucket *bucket;
    atomic_bool stop;          /* relaxed: it orders nothing */
    _Atomic uint64_t failures; /* for metrics; relaxed */
    bool clock_is_off;         /* the log says so; the thread only */

    int64_t pause_ns; /* the thread only */
};

/* --- the thread ------------------------------------------------------------------------------- */

static void
log_step(struct uploader *u, enum tsdb_bucket_did did)
{
    struct tsdb_bucket_stats stats;
    (void)tsdb_bucket_stats(u->tsdb, &stats);
    if (did == TSDB_BUCKET_OPENED) {
        log_info("bucket opened", KV("bucket", u->link.objects->shown), KV("number", stats.number),
                 KV("parts", stats.parts), KV("bytes", stats.bytes));
    } else if (did == TSDB_BUCKET_UPLOADED) {
        log_info("part uploaded", KV("uploads", stats.uploads_total),
                 KV("all_bytes", stats.upload_bytes_total));
    } else if (did == TSDB_BUCKET_REMOVED) {
        log_info("part removed, it is only in the bucket now",
                 KV("remote_parts", stats.remote_parts));
    } else if (did == TSDB_BUCKET_NAMED) {
        log_debug("bucket's catalog has a further delta", KV("number", stats.number),
                  KV("parts", stats.parts), KV("complete_pos", stats.complete_pos));
    }
    if ((stats.clock_off_ms != 0) == u->clock_is_off) return;
    u->clock_is_off = stats.clock_off_ms != 0;
    if (u->clock_is_off) {
        log_error("the system clock differs from the clock of the bucket: retention, downsampling "
                  "and the removal of objects are suspended",
                  KV("bucket", u->link.objects->shown), KV("seconds", stats.clock_off_ms / 1000));
    } else {
        log_info("the clocks of the system and the bucket agree again");
    }
}

/* Returns how long the next upload waits, so that all of them keep below the limit. */
static int64_t
upload_pause_ns(const struct uploader *u, uint64_t before)
{
    struct tsdb_bucket_stats stats;
    if (u->storage.rate_bytes == 0) return 0;
    (void)tsdb_bucket_stats(u->tsdb, &stats);
    double seconds = (double)(stats.upload_bytes_total - before) / (double)u->storage.rate_bytes;
    return (int64_t)(seconds * (double)NS_PER_S);
}

/* Does all that is due, or, if it is asked, until the catalog has no deleted samples. *ret_wait_ns
 * is the time until the next look; ERR_AGAIN without a sentence: the limit of the rate makes the
 * rest wait. */
static enum err
uploader_work(struct uploader *u, bool is_asked, int64_t *ret_wait_ns, struct why *why)
{
    enum tsdb_bucket_did did = TSDB_BUCKET_OPENED;
    enum err e = OK;
    *ret_wait_ns = UPLOADER_LOOK_NS;
    while (e == OK && did != TSDB_BUCKET_NOTHING) {
        struct tsdb_bucket_stats before;
        if (atomic_load_explicit(&u->stop, memory_order_relaxed)) return ERR_CANCELED;
        (void)tsdb_bucket_stats(u->tsdb, &before);
        e = tsdb_bucket_step(u->bucket, &did, why);
        if (e == OK) log_step(u, did);
        int64_t pause_ns = upload_pause_ns(u, before.upload_bytes_total);
        bool is_clean = e == OK && (is_asked || worker_has_request(&u->worker)) &&
                        tsdb_bucket_is_clean(u->bucket);
        if (e == OK && (pause_ns > 0 || is_clean)) {
            *ret_wait_ns = pause_ns;
            return is_clean ? OK : ERR_AGAIN;
        }
    }
    if (e == OK || e == ERR_CANCELED) {
        if (u->pause_ns > 0)
            log_info("the bucket is written again", KV("bucket", u->link.objects->shown));
        u->pause_ns = 0;
        return e;
    }
    atomic_fetch_add_explicit(&u->failures, 1, memory_order_relaxed);
    if (e == ERR_INPUT) {
        log_error("nothing is written into the bucket any more, samples are stored in the "
                  "directory only; see docs/bucket.md",
                  KV("bucket", u->link.objects->shown), KV("error", why_text(why, e)));
        *ret_wait_ns = INT64_MAX / 2;
        return e;
    }
    u->pause_ns = *ret_wait_ns = worker_pause_ns(u->pause_ns, UPLOADER_PAUSE_NS_MAX);
    assert(u->pause_ns > 0 && u->pause_ns <= UPLOADER_PAUSE_NS_MAX);
    log_error("cannot write into the bucket, trying again", KV("bucket", u->link.objects->shown),
              KV("in_seconds", u->pause_ns / NS_PER_S), KV("error", why_text(why, e)));
    return e;
}

static void
uploader_run(void *context)
{
    struct uploader *u = context;
    int64_t now_ns = 0, until_ns = 0, rest_ns = 0;
    bool is_asked = false;
    int what;
    while (worker_rest(&u->worker, now_ns + rest_ns, REST_UNTIL_WOKEN)) {
        struct why why = {""};
        now_ns = env_monotonic_ns(u->options.env);
        rest_ns = NS_PER_S;
        is_asked |= worker_take(&u->worker, &what);
        bool is_due = u->pause_ns == 0 && tsdb_bucket_is_due(u->bucket);
        if (now_ns < until_ns && !is_asked && !is_due) continue;
        enum err e = uploader_work(u, is_asked, &rest_ns, &why);
        now_ns = env_monotonic_ns(u->options.env);
        until_ns = now_ns + rest_ns;
        if (rest_ns > NS_PER_S) rest_ns = NS_PER_S;
        if (!is_asked || (e == ERR_AGAIN && u->pause_ns == 0)) continue;
        worker_answer(&u->worker, e, &why);
        is_asked = false;
    }
}

void
uploader_settle(struct uploader *u)
{
    struct why why;
    if (u != NULL) err_ignore(worker_ask(&u->worker, 0, &why), "tsdb_bucket_stats() has it");
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void
uploader_collect(struct metric_sink *sink, void *context)
{
    const enum metric_kind gauge = METRIC_KIND_GAUGE, counter = METRIC_KIND_COUNTER;
    struct uploader *u = context;
    struct tsdb_bucket_stats s;
    (void)tsdb_bucket_stats(u->tsdb, &s);
    metric_put_one(sink, "firekeep_bucket_remote_parts", gauge,
                   "Parts that are only in the bucket, and not in the storage directory.",
                   (double)s.remote_parts);
    metric_put_one(sink, "firekeep_bucket_parts", gauge,
                   "Parts that the catalog of the bucket names.", (double)s.parts);
    metric_put_one(sink, "firekeep_bucket_bytes", gauge, "Size of these parts, in bytes.",
                   (double)s.bytes);
    metric_put_one(sink, "firekeep_bucket_catalog_number", gauge,
                   "Number of the newest delta of the catalog.", (double)s.number);
    metric_put_one(sink, "firekeep_bucket_complete_timestamp_seconds", gauge,
                   "Unix time of the newest sample among those that are all in the bucket, 0 if "
                   "there is none.",
                   s.complete_ms == INT64_MIN ? 0 : (double)s.complete_ms / 1000);
    metric_put_one(sink, "firekeep_bucket_behind_bytes", gauge,
                   "Bytes of the log after the position up to which all samples are in the bucket.",
                   (double)s.behind_bytes);
    metric_put_one(sink, "firekeep_bucket_stopped", gauge,
                   "1 if nothing is written into the bucket, because its catalog has what this "
                   "directory did not write.",
                   s.is_stopped);
    metric_put_one(sink, "firekeep_bucket_uploads_total", counter, "Parts that were uploaded.",
                   (double)s.uploads_total);
    metric_put_one(sink, "firekeep_bucket_upload_bytes_total", counter,
                   "Bytes of parts that were uploaded.", (double)s.upload_bytes_total);
    metric_put_one(sink, "firekeep_bucket_unnamed_parts", gauge,
                   "Parts in the bucket that its catalog no longer names, and that are removed "
                   "later.",
                   (double)s.unnamed);
    metric_put_one(sink, "firekeep_bucket_removed_total", counter,
                   "Parts that were removed from the bucket.", (double)s.swept_total);
    metric_put_one(sink, "firekeep_bucket_requests_total", counter,
                   "Requests of queries and merges for parts that are only in the bucket.",
                   (double)s.requests_total);
    metric_put_one(sink, "firekeep_bucket_read_bytes_total", counter,
                   "Bytes that queries and merges have read from the bucket.",
                   (double)s.read_bytes_total);
    metric_put_one(sink, "firekeep_bucket_cache_hits_total", counter,
                   "Chunks of indexes that were found in the cache on disk.",
                   (double)atomic_load_explicit(&u->cache_hits, memory_order_relaxed));
    metric_put_one(sink, "firekeep_bucket_failures_total", counter,
                   "Failed attempts to write into the bucket.",
                   (double)atomic_load_explicit(&u->failures, memory_order_relaxed));
}

/* --- begin and end ---------------------------------------------------------------------------- */

/* ERR_INPUT: the path lies in a storage directory, whose start would remove what it finds there. */
static enum err
check_outside(struct env *env, const char *path, struct why *why)
{
    char dir[FILE_PATH_BYTES], format[FILE_PATH_BYTES];
    struct file_facts facts;
    snprintf(dir, sizeof dir, "%s", path);
    for (char *end = dir; end != NULL;) {
        enum err e = path_in(format, sizeof format, dir, STORAGE_FORMAT, NULL);
        if (e == OK && env_facts(env, format, &facts, NULL) == OK)
            return why_set(why, ERR_INPUT, "object_storage: %s lies in the storage directory %s",
                           path, dir);
        end = strrchr(dir, '/');
        if (end != NULL) *end = '\0';
    }
    return OK;
}

/* Without the cache more is read from the bucket. */
static enum err
open_cache(struct uploader *u, struct why *why)
{
    const struct object_cache_settings *x = &u->storage.cache;
    struct why reason = {""};
    if (x->path == NULL) return OK;
    enum err e = check_outside(u->options.env, x->path, why);
    if (e) return e;
    e = object_cache_open(u->options.env, x->path, x->bytes, u->options.memory, &u->cache_hits,
                          &u->cache, &reason);
    if (e)
        log_warn("the cache of object_storage cannot be used", KV("error", why_text(&reason, e)));
    u->link.objects->cache = u->cache;
    return OK;
}

/* A bucket in a directory that was not used before. */
static enum err
make_directory(struct uploader *u, struct why *why)
{
    struct tsdb_bucket_stats stats;
    const struct object_storage *s = &u->storage;
    if (s->type != OBJECTS_DIRECTORY) return OK;
    enum err e = check_outside(u->options.env, s->path, why);
    (void)tsdb_bucket_stats(u->tsdb, &stats);
    return e || stats.number > 0 ? e : env_mkdir(u->options.env, s->path, why);
}

enum err
uploader_new(const struct uploader_options *options, struct object_storage *storage,
             struct uploader **ret_uploader, struct why *why)
{
    struct uploader *u = mem_new(NULL, sizeof *u);
    if (u == NULL) {
        object_storage_free(storage);
        return why_set(why, ERR_NOMEM, "not enough memory to start");
    }
    u->options = *options;
    u->storage = *storage;
    *storage = (struct object_storage){.given = false};
    worker_init(&u->worker, options->env);
    enum err e =
        bucket_link_open(options->env, &u->storage, options->memory, &u->stop, &u->link, why);
    if (e) {
        uploader_free(u);
        return e;
    }
    *ret_uploader = u;
    return OK;
}

struct objects *
uploader_objects(struct uploader *u)
{
    return u == NULL ? NULL : u->link.objects;
}

enum err
uploader_start(struct uploader *u, struct tsdb *tsdb, struct why *why)
{
    if (u == NULL) return OK;
    const struct object_storage *s = &u->storage;
    const struct tsdb_bucket_options bucket = {.tsdb = tsdb,
                                               .objects = u->link.objects,
                                               .memory = u->options.memory,
                                               .upload_after_ms = s->upload_after_ms,
                                               .keep_ms = s->keep.time_ms,
                                               .keep_bytes = s->keep.size_bytes,
                                               .grace_ms = s->grace_ms,
                                               .single_writer = s->single_writer};
    u->tsdb = tsdb;
    enum err e = tsdb_bucket_open(&bucket, &u->bucket, why);
    if (e == OK) e = make_directory(u, why);
    if (e == OK) e = open_cache(u, why);
    if (e) return e;
    u->collector = (struct metric_collector){.collect = uploader_collect, .context = u};
    metric_register_collector(&u->collector);
    e = worker_start(&u->worker, "bucket", uploader_run, u);
    return e ? why_set(why, e, "cannot start the thread for the bucket") : OK;
}

bool
uploader_is_for(const struct uploader *u, const struct object_storage *storage)
{
    if (u == NULL || !storage->given) return (u != NULL) == storage->given;
    return schema_equal(&object_storage_schema, 0, &u->storage, storage);
}

void
uploader_print_yaml(const struct uploader *u, struct buf *to)
{
    if (u != NULL) object_storage_print_yaml(&u->storage, to);
}

void
uploader_stop(struct uploader *u)
{
    if (u == NULL) return;
    atomic_store_explicit(&u->stop, true, memory_order_relaxed);
    worker_stop(&u->worker);
}

void
uploader_end(struct uploader *u)
{
    if (u == NULL) return;
    uploader_stop(u);
    if (u->worker.thread != NULL) worker_join(&u->worker);
    if (u->collector.collect != NULL) metric_unregister(&u->collector.link);
    u->collector.collect = NULL;
    tsdb_bucket_free(u->bucket);
    u->bucket = NULL;
}

void
uploader_free(struct uploader *u)
{
    if (u == NULL) return;
    uploader_end(u);
    worker_fini(&u->worker);
    bucket_link_close(&u->link);
    object_cache_close(u->cache);
    object_storage_free(&u->storage);
    mem_free(NULL, u, sizeof *u);
}

/*
 * server.c - the server's parts and threads: the order in which they start and end.
 *
 *      start: addresses tried -> store (replay) -> api -> commit, flush, merge -> http    ready
 *      stop:  http accepts no more -> requests end -> last commit -> flush -> end
 *
 * A stop may be cut short at any point: acknowledged samples are in the log, and the next start
 * replays it.
 *
 * Invariants:
 *  1. A reload prepares all parts before it commits the first of them; commits cannot fail.
 *  2. Threads that take requests start after all parts that they call, and end before them.
 */
#include "app/server.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "app/destinations/relays.h"
#include "app/process.h"
#include "app/server_private.h"
#include "base/log.h"
#include "base/text/time_text.h"
#include "base/version.h"
#include "inputs/push/push.h"
#include "model/storage_layout.h"
#include "model/usage.h"
#include "relay/state/directory.h"
#include "sys/env.h"

#define OPEN_NS_MAX     (2 * NS_PER_S) /* a start waits so long for destinations to be open */
#define NEW_STORE_FILES 6              /* so many more are open once a new store is */
#define LAST_NS         (3 * NS_PER_S) /* for alerts that are queued when the server stops */
/* A snapshot waits so long for destinations to save, after they have filled their requests. */
#define SAVE_NS_MAX (3 * NS_PER_S)

enum { STEP_MS = 1000, LAST_STEP_MS = 50 };

/* --- reload ----------------------------------------------------------------------------------- */

/* A server that stores nothing accepts writes only if it has destinations. */
static void
note_destinations(struct server *s, uint32_t count)
{
    bool takes = s->is_stored || count > 0;
    atomic_store_explicit(&s->takes_writes, takes, memory_order_relaxed);
}

static void
count_group(void *context, struct group *group, int64_t next_ns)
{
    (void)next_ns;
    (void)group;
    ++*(uint32_t *)context;
}

static uint32_t
count_groups(struct server *s)
{
    uint32_t count = 0;
    ruler_each(s->ruler, (struct bytes){NULL, 0}, count_group, &count);
    return count;
}

/* Logs why rules do not work as configured; `lack` is a result of settings_rules_lack(). */
static void
log_rules_lack(struct server *s, const char *lack)
{
    uint32_t count = lack == NULL ? 0 : count_groups(s);
    if (count > 0)
        log_warn("rules do not work as configured", KV("groups", count), KV("why", lack));
}

static void
log_unset_variable(const struct rule_settings *rules)
{
    if (rules->unset_variable == NULL) return;
    log_warn("environment variable of global.external_labels is not set, or empty",
             KV("name", rules->unset_variable));
}

/* Sets what a reload may change of the writes that wait for destinations. */
static void
set_write_rules(struct server *s, const struct settings *settings)
{
    struct tsdb_limits limits = store_limits_of(settings);
    struct write_rules rules = {
        .labels = limits.labels,
        .require_name = limits.require_name,
        .max_future_ms = limits.max_future_ms,
    };
    if (s->queue != NULL) write_queue_set_rules(s->queue, &rules);
}

/* Logs which rules of downsampling no longer apply, or later: windows are never undone. */
static void
log_downsampling_change(const struct downsampling_rules *before,
                        const struct downsampling_rules *after)
{
    for (uint32_t i = 0; i < before->count; i++) {
        const struct downsampling_rule *old = &before->items[i];
        const struct downsampling_rule *now = downsampling_rules_find(after, old);
        char resolution[TIME_TEXT_BYTES], was[TIME_TEXT_BYTES], is[TIME_TEXT_BYTES];
        time_print_duration(old->resolution_ms, resolution);
        time_print_duration(old->series.age_ms, was);
        if (now == NULL) {
            log_info("downsampling rule was removed: it replaces no more samples, and what it "
                     "replaced stays replaced",
                     KV("match", old->series.match), KV("resolution", resolution),
                     KV("after", was));
        } else if (now->series.age_ms > old->series.age_ms) {
            log_info("downsampling rule applies later: what it replaced before stays replaced",
                     KV("match", old->series.match), KV("resolution", resolution),
                     KV("after", time_print_duration(now->series.age_ms, is)), KV("before", was));
        }
    }
}

/* Refuses to read a pipe again after the start: the read would block reloads and the stop, or find
 * an empty configuration. */
static enum err
check_config_file(const struct server *s, struct why *why)
{
    struct file_facts facts;
    const char *path = s->settings.config_file;
    if (path[0] == '\0' || env_facts(s->env, path, &facts, NULL) != OK)
        return OK; /* reading it reports the error */
    if (facts.kind != FILE_KIND_OTHER) return OK;
    return why_set(why, ERR_IO, "--config.file: cannot open %s: it is not a regular file", path);
}

static enum err
prepare_notifier(struct server *s, const struct settings *settings, struct config_lists *lists,
                 struct notifier_change **ret_change, struct why *why)
{
    struct notifier_limits limits = {
        .queue_capacity = settings->alerting_queue_capacity,
        .batch_size = settings->alerting_batch_size,
        .pause_max_ms = settings->rules_resend_delay_ms,
    };
    return notifier_prepare(s->notifier, &lists->alerting, &lists->rules.external_labels, &limits,
                            ret_change, why);
}

/* Reloads everything or nothing: steps that can fail come first and change nothing; commits cannot
 * fail. */
enum err
server_reload(void *server, struct why *why)
{
    struct server *s = server;
    struct settings next;
    struct config_lists lists = {.destinations = {NULL}};
    struct relays_change *change;
    struct readers_change *reading = NULL;
    struct ruler_change *ruling = NULL;
    struct notifier_change *notifying = NULL;
    struct admission_change *admitting = NULL;
    /* The file is read under the lock: of two reloads the later one also has the later file. */
    lock_take(&s->reload_lock);
    enum err e = check_config_file(s, why);
    if (e == OK) e = settings_load(&next, &lists, s->flag_count, s->flag_words, why);
    if (e == OK) e = settings_check_reload(&s->settings, &next, why);
    if (e == OK) e = access_settings_complete(&lists.access, &next, why);
    if (e == OK) e = config_lists_check(&lists, &next, why);
    if (e == OK && !uploader_is_for(s->uploader, &lists.objects))
        e = why_set(why, ERR_INPUT, "object_storage has changed: restart to use the new values");
    if (e == OK && !inputs_equal(&s->inputs, &lists.inputs))
        e = why_set(why, ERR_INPUT,
                    "otlp or line_listeners have changed: restart to use the new values");
    uint32_t destination_count = lists.destinations.count, source_count = lists.sources.count;
    uint32_t alertmanager_count = lists.alerting.count;
    bool has_users = lists.access.users.count > 0;
    const char *lack = NULL;
    if (e == OK) lack = settings_rules_lack(&next, destination_count, source_count);
    if (e == OK) e = readers_prepare(s->readers, &lists.sources, &reading, why);
    struct stored_groups stored = stored_rules_groups(s->stored_rules);
    if (e == OK) e = ruler_prepare(s->ruler, &next, &lists.rules, &stored, &ruling, why);
    if (e == OK) e = prepare_notifier(s, &next, &lists, &notifying, why);
    if (e == OK) e = admission_prepare(s->admission, &next, &lists.access, &admitting, why);
    struct tsdb_limits tsdb_limits = store_limits_of(&next);
    if (e == OK) {
        e = retention_rules_make(&lists.retention, &next, &tsdb_limits.retention_rules,
                                 &tsdb_limits.retention_ms, why);
    }
    if (e == OK) e = downsampling_levels_make(&lists.downsampling, &tsdb_limits, why);
    if (e == OK) e = relays_prepare(s->relays, &lists.destinations, &change, why);
    assert(e || (reading != NULL && ruling != NULL && notifying != NULL)); /* invariant 1 */
    assert(e || admitting != NULL);                                        /* invariant 1 */
    if (e) readers_abandon(reading);
    if (e) ruler_abandon(ruling);
    if (e) notifier_abandon(notifying);
    if (e) admission_abandon(admitting);
    if (e == OK) {
        struct api_limits api_limits = server_api_limits(&next, has_users);
        tsdb_set_limits(s->tsdb, &tsdb_limits);
        merger_wake(s->merger); /* which logs what the rules will remove */
        set_write_rules(s, &next);
        api_set_limits(s->api, &api_limits);
        log_configure(next.log_level, next.log_format);
        lock_take(&s->settings_lock);
        s->settings = next;
        struct rule_settings rules = s->rules; /* the old ones are freed with the lists */
        s->rules = lists.rules;
        lists.rules = rules;
        struct retention_rules retention = s->retention;
        s->retention = lists.retention;
        lists.retention = retention;
        struct downsampling_rules downsampling = s->downsampling;
        s->downsampling = lists.downsampling;
        lists.downsampling = downsampling;
        notifier_commit(notifying);
        lock_drop(&s->settings_lock);
        log_unset_variable(&s->rules);
        log_downsampling_change(&lists.downsampling, &s->downsampling);
        atomic_store_explicit(&s->reloaded_ms, env_realtime_ms(s->env), memory_order_relaxed);
        admission_commit(admitting);
        readers_commit(reading);
        ruler_commit(ruling);
        self_scrape_set(s->self_scrape, next.self_scrape_interval_ms);
        backups_set(s->backups, &next);
        if (destination_count == 0) note_destinations(s, 0); /* before the last of them ends */
        relays_commit(change);
        note_destinations(s, destination_count);
    }
    atomic_store_explicit(&s->reload_failed, e != OK, memory_order_relaxed);
    lock_drop(&s->reload_lock);
    config_lists_free(&lists);
    tsdb_limits_drop_rules(&tsdb_limits);
    if (e)
        log_error("configuration reload failed, keeping the old configuration", KV("error", why));
    else
        log_info("configuration reloaded", KV("destinations", destination_count),
                 KV("sources", source_count), KV("rule_groups", count_groups(s)),
                 KV("alertmanagers", alertmanager_count));
    if (e == OK) log_rules_lack(s, lack);
    return e;
}

static void
reload_loop(void *server)
{
    struct server *s = server;
    while (worker_rest(&s->reloader, INT64_MAX, REST_UNTIL_WOKEN)) {
        struct why why;
        uint64_t wanted = atomic_load_explicit(&s->reloads_wanted, memory_order_relaxed);
        err_ignore(server_reload(s, &why), "logged; the old configuration stays");
        atomic_store_explicit(&s->reloads_ended, wanted, memory_order_relaxed);
    }
    atomic_store_explicit(&s->reloads_ended, UINT64_MAX, memory_order_relaxed);
}

struct reload_state
server_reload_state(void *server)
{
    const struct server *s = server;
    return (struct reload_state){
        .succeeded = !atomic_load_explicit(&s->reload_failed, memory_order_relaxed),
        .succeeded_ms = atomic_load_explicit(&s->reloaded_ms, memory_order_relaxed),
    };
}

static void
collect_reload(struct metric_sink *sink, void *server)
{
    struct reload_state state = server_reload_state(server);
    metric_put_one(
        sink, "firekeep_config_last_reload_successful", METRIC_KIND_GAUGE,
        "1 if the last reload of the configuration and rule files succeeded, or there was none.",
        (double)state.succeeded);
    metric_put_one(sink, "firekeep_config_last_reload_success_timestamp_seconds", METRIC_KIND_GAUGE,
                   "Unix time of the last reload that succeeded, or of the start, in seconds.",
                   (double)state.succeeded_ms / 1e3);
}

/* --- starting --------------------------------------------------------------------------------- */

/* Logs that the directory was copied or restored, and what follows from that. */
static void
log_identity(const struct server *s, const struct tsdb_opening *o)
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

/* A destination begins in a restored directory at its saved position, and sends each part that is
 * not all before it. So the head is flushed, and states are copied when destinations that keep up
 * have saved that they passed its part: they send again what the flush after this one adds. */
static enum err
copy_states(void *context, const char *from, const char *to, struct why *why)
{
    struct server *s = context;
    char from_dir[300], to_dir[400];
    enum err e = keeper_flush_now(&s->keeper, why);
    int64_t until_ns = env_monotonic_ns(s->env) + relays_batch_age_ms(s->relays) * NS_PER_MS;
    until_ns += SAVE_NS_MAX;
    while (e == OK && !relays_have_saved(s->relays, tsdb_store_pos(s->tsdb)) &&
           env_monotonic_ns(s->env) < until_ns)
        env_sleep(s->env, 20 * NS_PER_MS);
    if (e == OK) e = path_in(from_dir, sizeof from_dir, from, STORAGE_RELAY, why);
    if (e == OK) e = path_in(to_dir, sizeof to_dir, to, STORAGE_RELAY, why);
    if (e == OK) e = relay_copy_states(s->env, from_dir, to_dir, &s->memory.foreground, why);
    return e || s->pushed == NULL ? e : push_link(s->pushed, to, why);
}

enum { READER_LOG_BYTES = 64 * 1024 }; /* nothing is written into it */

static enum err
open_store(struct server *s, const struct config_lists *lists, struct why *why)
{
    const struct settings *c = &s->settings;
    struct tsdb_options options = store_options_of(c, s->env, &s->memory);
    options.commit_now = keeper_commit_now;
    options.commit_context = &s->keeper;
    options.rules_lock = &s->reload_lock;
    options.snapshot_more = copy_states;
    options.snapshot_context = s;
    options.objects = uploader_objects(s->uploader);
    if (c->storage_mode == STORAGE_READER) {
        options.wal_segment_bytes = READER_LOG_BYTES;
        options.wal_batch_bytes = READER_LOG_BYTES / 2;
    }
    struct tsdb_limits limits = store_limits_of(c);
    struct tsdb_opening o;
    int64_t began = env_monotonic_ns(s->env);
    enum err e = retention_rules_make(&lists->retention, c, &limits.retention_rules,
                                      &limits.retention_ms, why);
    if (e == OK) e = downsampling_levels_make(&lists->downsampling, &limits, why);
    if (e == OK) e = tsdb_open(&options, &limits, &s->tsdb, &o, why);
    tsdb_limits_drop_rules(&limits);
    if (e && why->text[0] == '\0')
        why_set(why, e, "cannot open storage directory %s: %s", c->storage_path, err_word(e));
    if (e) return e;
    if (c->storage_mode != STORAGE_LOCAL && o.parts > 0) {
        return why_set(
            why, ERR_INPUT,
            "%s contains stored samples, which can be read with storage.mode=local only; "
            "use that or another directory",
            c->storage_path);
    }
    log_info("storage opened", KV("path", c->storage_path), KV("parts", o.parts),
             KV("replayed_samples", o.replayed_samples), KV("replayed_series", o.replayed_series),
             KV("replayed_parts", o.replayed_parts),
             KV("took_ms", (env_monotonic_ns(s->env) - began) / NS_PER_MS));
    if (o.watched) {
        log_info("LOCK was missing or left by another boot or machine, no other server was seen to "
                 "use the directory",
                 KV("path", c->storage_path));
    }
    log_identity(s, &o);
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
        log_error("parts that MANIFEST does not list were renamed to *.unnamed and are not read: "
                  "docs/damage.md says when to remove them",
                  KV("parts", o.parts_unnamed), KV("first", o.first_unnamed));
    }
    return OK;
}

/* Makes the queue of writes that wait for destinations. A log is not read then, so the directory
 * must not have one: its samples were acknowledged. */
static enum err
begin_queue(struct server *s, struct why *why)
{
    struct wal_stats log;
    wal_stats(tsdb_wal(s->tsdb), &log);
    if (log.segment_count > 0) {
        return why_set(why, ERR_INPUT,
                       "%s contains a write-ahead log, whose samples would not be delivered with "
                       "wal.ack=destination; use another directory, or start with wal.ack=fsync "
                       "until they are delivered",
                       s->settings.storage_path);
    }
    struct write_queue_options options = {
        .env = s->env,
        .memory = &s->memory.foreground,
        .bytes_max =
            atomic_load_explicit(&s->memory.foreground.limit_bytes, memory_order_relaxed) / 3,
        .timeout_ms = s->settings.wal_ack_timeout_ms,
        .done = server_delivered,
        .context = s,
    };
    enum err e = write_queue_new(&options, &s->queue);
    if (e) return why_set(why, e, "not enough memory to start");
    set_write_rules(s, &s->settings);
    s->queue_collector =
        (struct metric_collector){.collect = write_queue_collect, .context = s->queue};
    metric_register_collector(&s->queue_collector);
    return OK;
}

/* Largest compressed size that snappy makes of a message of the largest size. */
static uint64_t
body_bytes_max(const struct server *s)
{
    uint64_t decoded = server_decoded_bytes_max(s), most = decoded + decoded / 6 + 32;
    return s->settings.web_max_body_bytes < most ? s->settings.web_max_body_bytes : most;
}

_Static_assert((int)WEB_HEADER_BYTES_MAX == (int)HTTP_HEADER_BYTES_CEILING,
               "config accepts what the HTTP server starts with");

static enum err
start_http(struct server *s, const struct http_place *places, size_t place_count, struct why *why)
{
    const struct settings *c = &s->settings;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = c->web_workers != 0 ? c->web_workers : (unsigned)processors;
    struct http_options options = {
        .env = s->env,
        .workers = workers < 2 ? 2 : workers,
        .connections_max = c->web_max_connections,
        .header_bytes_max = c->web_max_header_bytes,
        .body_bytes_max = body_bytes_max(s),
        .header_timeout_ns = c->web_header_timeout_ms * NS_PER_MS,
        .body_timeout_ns = c->web_body_timeout_ms * NS_PER_MS,
        .idle_timeout_ns = c->web_idle_timeout_ms * NS_PER_MS,
        .send_timeout_ns = c->web_send_timeout_ms * NS_PER_MS,
        .stream_buffer_bytes = 256 * 1024,
        .budget = &s->memory.foreground,
        .gate = admission_gate(s->admission),
        .places = places,
        .place_count = place_count,
    };
    options.routes = api_routes(s->api, &options.route_count);
    assert(s->merger != NULL && s->ruler != NULL); /* invariant 2 */
    assert(s->keeper.commit.thread != NULL);       /* invariant 2 */
    assert(s->keeper.flush.thread != NULL);        /* invariant 2 */
    enum err e = process_check_files(0, why);
    if (e == OK) e = http_server_start(&options, &s->http, why);
    if (e) return e;
    api_set_server(s->api, s->http);
    return admission_begin(s->admission, s->http, why);
}

/* --- the thread of alerts --------------------------------------------------------------------- */

/* Steps the notifier. After the stop it ends when no alert is queued any more, or after LAST_NS. */
static void
alerts_loop(void *server)
{
    struct server *s = server;
    for (;;) {
        /* Pairs with the store of stop_alerts(). */
        int64_t until_ns = atomic_load_explicit(&s->alerts_until_ns, memory_order_acquire);
        bool is_over = until_ns != 0 &&
                       (notifier_is_idle(s->notifier) || env_monotonic_ns(s->env) >= until_ns);
        if (is_over) return;
        notifier_step(s->notifier, until_ns == 0 ? STEP_MS : LAST_STEP_MS);
    }
}

static void
stop_alerts(struct server *s)
{
    if (s->alerts_thread == NULL) return;
    assert(atomic_load(&s->alerts_until_ns) == 0); /* the thread is stopped once */
    int64_t until_ns = env_monotonic_ns(s->env) + LAST_NS;
    atomic_store_explicit(&s->alerts_until_ns, until_ns, memory_order_release);
    notifier_wake(s->notifier);
    env_thread_join(s->env, s->alerts_thread);
    s->alerts_thread = NULL;
}

/* --- stopping --------------------------------------------------------------------------------- */

bool
server_is_idle(struct server *s)
{
    return http_server_busy(s->http) == 0 &&
           atomic_load_explicit(&s->reloads_ended, memory_order_relaxed) >=
               atomic_load_explicit(&s->reloads_wanted, memory_order_relaxed);
}

void
server_quiesce(struct server *s)
{
    http_server_quiesce(s->http);
    worker_stop(&s->reloader);
    api_stop(s->api);
    self_scrape_set(s->self_scrape, 0);
    line_inputs_stop(s->line_inputs);
    backups_stop(s->backups);
    uploader_stop(s->uploader);
    ruler_stop(s->ruler);
    relays_stop(s->relays);
}

void
server_flush_all(struct server *s)
{
    keeper_flush_all(&s->keeper);
}

bool
server_is_flushed(struct server *s)
{
    return keeper_is_flushed(&s->keeper);
}

void
server_free(struct server *s)
{
    if (s == NULL) return;
    metric_unregister(&s->reload_collector.link);
    worker_join(&s->reloader);
    keeper_stop_flushing(&s->keeper);
    merger_stop(s->merger);
    backups_free(s->backups);
    s->backups = NULL;
    uploader_end(s->uploader);
    self_scrape_free(s->self_scrape);
    s->self_scrape = NULL;
    line_inputs_free(s->line_inputs);
    ruler_join(s->ruler);
    stop_alerts(s);
    admission_end(s->admission);
    http_server_free(s->http); /* its requests wait for commits, as rules do */
    keeper_stop_committing(&s->keeper);
    admission_free(s->admission);
    api_free(s->api);
    push_store_free(s->pushed);
    ruler_free(s->ruler);
    own_writes_free(s->writes);
    metric_unregister(&s->notifier_collector.link);
    notifier_free(s->notifier);
    stored_rules_free(s->stored_rules);
    merger_free(s->merger); /* requests may have used these two until now */
    relays_free(s->relays);
    metric_unregister(&s->queue_collector.link);
    write_queue_free(s->queue);
    usage_free(s->usage);
    readers_free(s->readers);
    tsdb_free(s->tsdb);
    uploader_free(s->uploader);
    inputs_free(&s->inputs);
    keeper_fini(&s->keeper);
    rule_settings_free(&s->rules);
    retention_rules_free(&s->retention);
    downsampling_rules_free(&s->downsampling);
    worker_fini(&s->reloader);
    lock_fini(&s->reload_lock);
    lock_fini(&s->settings_lock);
    mem_free(NULL, s, sizeof *s);
}

static enum err
begin_alerting(struct server *s, struct config_lists *lists, struct why *why)
{
    struct notifier_change *change;
    struct notifier_options options = {
        .env = s->env, .memory = &s->memory.foreground, .external_url = s->external_url};
    enum err e = notifier_new(&options, &s->notifier, why);
    if (e) return e;
    s->notifier_collector =
        (struct metric_collector){.collect = notifier_collect, .context = s->notifier};
    metric_register_collector(&s->notifier_collector);
    e = prepare_notifier(s, &s->settings, lists, &change, why);
    if (e == OK) notifier_commit(change);
    return e;
}

static enum err
begin_rules(struct server *s, const struct config_lists *lists, struct why *why)
{
    struct ruler_change *change;
    struct own_writes_options writes = {
        .env = s->env,
        .tsdb = s->tsdb,
        .memory = &s->memory.foreground,
        .keeper = &s->keeper,
        .holds_writes = server_holds_writes,
        .takes_writes = server_takes_writes,
        .context = s,
    };
    if (own_writes_new(&writes, &s->writes))
        return why_set(why, ERR_NOMEM, "not enough memory to start");
    uint64_t foreground =
        atomic_load_explicit(&s->memory.foreground.limit_bytes, memory_order_relaxed);
    struct ruler_options options = {
        .env = s->env,
        .seed = tsdb_hash_seed(s->tsdb),
        .answerer = readers_answerer(s->readers),
        .usage = s->usage,
        .memory = &s->memory.foreground,
        .memory_bytes = foreground / 2,
        .writes = s->writes,
        .tsdb = s->tsdb,
        .storage_path = s->settings.storage_path,
        .external_url = s->external_url,
        .notifier = s->notifier,
    };
    struct stored_rules_options stored_options = {
        .env = s->env,
        .storage_path = s->settings.storage_path,
        .memory = &s->memory.foreground,
        .memory_bytes = foreground / 8,
        .tenancy = s->settings.tenancy_enabled,
    };
    enum err e = stored_rules_open(&stored_options, &s->stored_rules, why);
    if (e == OK) e = ruler_new(&options, &s->ruler, why);
    if (e) return e;
    struct stored_groups stored = stored_rules_groups(s->stored_rules);
    e = ruler_prepare(s->ruler, &s->settings, &lists->rules, &stored, &change, why);
    if (e == OK) ruler_commit(change);
    return e;
}

static enum err
begin_self_scrape(struct server *s, struct why *why)
{
    struct self_scrape_options options = {
        .env = s->env,
        .memory = &s->memory.foreground,
        .writes = s->writes,
        .instance = s->instance,
    };
    char host[SETTING_TEXT_BYTES] = "";
    if (admission_first_host(s->admission, host))
        self_scrape_name(host, http_server_port(s->http), s->instance, sizeof s->instance);
    else
        snprintf(s->instance, sizeof s->instance, "localhost");
    enum err e = self_scrape_start(&options, &s->self_scrape, why);
    if (e == OK) self_scrape_set(s->self_scrape, s->settings.self_scrape_interval_ms);
    return e;
}

static enum err
begin_pushed(struct server *s, struct why *why)
{
    char dir[FILE_PATH_BYTES];
    bool is_logged = s->settings.wal_ack != ACK_DESTINATION;
    if (!s->is_stored || !is_logged) return OK;
    enum err e = path_in(dir, sizeof dir, s->settings.storage_path, STORAGE_PUSHED, why);
    return e ? e : push_store_new(s->env, dir, &s->memory.foreground, &s->pushed, why);
}

static enum err
begin_line_inputs(struct server *s, struct why *why)
{
    struct line_inputs_options options = {
        .env = s->env,
        .memory = &s->memory.foreground,
        .writes = s->writes,
        .gate = admission_users(s->admission),
        .pushed = s->pushed,
        .lines = s->inputs,
        .seed = tsdb_hash_seed(s->tsdb),
        .tenancy = s->settings.tenancy_enabled,
    };
    return line_inputs_start(&options, &s->line_inputs, why);
}

static enum err
begin_backups(struct server *s, struct why *why)
{
    struct backups_options options = {
        .env = s->env,
        .memory = &s->memory.foreground,
        .tsdb = s->tsdb,
        .storage_path = s->settings.storage_path,
        .flush = server_flush_now,
        .context = s,
    };
    enum err e = backups_start(&options, &s->backups, why);
    if (e == OK) backups_set(s->backups, &s->settings);
    return e;
}

/* --- the server ------------------------------------------------------------------------------- */

enum err
server_start(struct env *env, const struct settings *settings, struct config_lists *lists,
             int flag_count, char **flag_words, struct server **ret_server, struct why *why)
{
    struct server *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    why->text[0] = '\0';
    s->env = env;
    s->settings = *settings;
    s->is_stored = settings->storage_mode == STORAGE_LOCAL;
    s->reloaded_ms = env_realtime_ms(env);
    s->reload_collector = (struct metric_collector){.collect = collect_reload, .context = s};
    metric_register_collector(&s->reload_collector);
    s->flag_count = flag_count;
    s->flag_words = flag_words;
    lock_init(&s->reload_lock, LOCK_RANK_APP);
    lock_init(&s->settings_lock, LOCK_RANK_SETTINGS);
    worker_init(&s->reloader, env);
    keeper_init(&s->keeper, env);
    enum err e = access_settings_complete(&lists->access, settings, why);
    if (e == OK) e = config_lists_check(lists, settings, why);
    char hostname[HOST_NAME_MAX + 1] = "";
    if (gethostname(hostname, sizeof hostname - 1) != 0) hostname[0] = '\0';
    if (e == OK)
        settings_external_url(settings, &lists->access.listeners, hostname, s->external_url);
    memory_init(&s->memory, settings->memory_limit_bytes != 0 ? settings->memory_limit_bytes
                                                              : machine_memory_bytes() / 10 * 6);
    if (e == OK)
        e = admission_new(env, &s->memory.foreground, settings, &lists->access, s->external_url,
                          server_want_reload, s, &s->admission, why);
    const struct http_place *places = NULL;
    size_t place_count = 0;
    if (e == OK) e = admission_places(s->admission, &places, &place_count, why);
    /* Before the store: a start that fails for these makes no directory. */
    if (e == OK) e = process_check_files(NEW_STORE_FILES, why);
    if (e == OK) e = http_places_check(env, places, place_count, why);
    s->inputs = lists->inputs;
    lists->inputs = (struct inputs_in_file){.given = false};
    if (e == OK && lists->objects.given) {
        const struct uploader_options options = {env, &s->memory.foreground};
        e = uploader_new(&options, &lists->objects, &s->uploader, why);
    }
    if (e == OK) e = open_store(s, lists, why);
    if (e == OK && settings->wal_ack == ACK_DESTINATION) e = begin_queue(s, why);
    uint64_t foreground =
        atomic_load_explicit(&s->memory.foreground.limit_bytes, memory_order_relaxed);
    struct relays_options relays = {
        .env = env,
        .tsdb = s->tsdb,
        .stored = s->is_stored,
        .queue = s->queue,
        .storage_path = s->settings.storage_path,
        .memory = &s->memory.foreground,
        .memory_bytes = foreground / 4,
    };
    if (e == OK) e = relays_new(&relays, &s->relays, why);
    if (e == OK) {
        struct why sweeping = {""};
        enum err swept = destination_tests_sweep(env, s->settings.storage_path, &sweeping);
        if (swept)
            log_warn("relay: cannot remove files of an earlier test of a destination",
                     KV("error", why_text(&sweeping, swept)));
    }
    struct readers_options readers = {
        .env = env,
        .local = s->is_stored ? tsdb_answerer(s->tsdb) : NULL,
        .memory = &s->memory.foreground,
    };
    if (e == OK) e = readers_new(&readers, &s->readers, why);
    struct readers_change *reading;
    if (e == OK) e = readers_prepare(s->readers, &lists->sources, &reading, why);
    if (e == OK) readers_commit(reading);
    if (e == OK) {
        e = usage_new(env, tsdb_hash_seed(s->tsdb), &s->memory.foreground, &s->usage);
        if (e) why_set(why, e, "not enough memory to start");
    }
    if (e == OK) e = begin_pushed(s, why);
    if (e == OK) e = server_start_api(s, why);
    if (e == OK) e = begin_alerting(s, lists, why);
    if (e == OK) e = begin_rules(s, lists, why);
    uint32_t destination_count = lists->destinations.count;
    uint32_t source_count = s->readers == NULL ? 0 : readers_count(s->readers);
    if (e == OK) { /* before segments of the log are removed */
        struct relays_change *change;
        e = relays_prepare(s->relays, &lists->destinations, &change, why);
        if (e == OK) relays_commit(change);
        note_destinations(s, destination_count);
    }
    if (e == OK) e = merger_start(env, s->tsdb, &s->merger, why);
    s->keeper.tsdb = s->tsdb;
    s->keeper.api = s->api;
    s->keeper.merger = s->merger;
    s->keeper.writes = s->writes;
    s->keeper.synced_by_time = settings->wal_ack != ACK_FSYNC;
    if (e == OK) e = keeper_start(&s->keeper, why);
    if (e == OK) {
        s->rules = lists->rules;
        lists->rules = (struct rule_settings){NULL};
        s->retention = lists->retention;
        lists->retention = (struct retention_rules){NULL};
        s->downsampling = lists->downsampling;
        lists->downsampling = (struct downsampling_rules){NULL};
        /* The first write would otherwise come before destinations are open. */
        if (s->queue != NULL) write_queue_await(s->queue, env_monotonic_ns(env) + OPEN_NS_MAX);
        e = start_http(s, places, place_count, why);
    }
    if (e == OK) e = begin_self_scrape(s, why);
    if (e == OK) e = begin_line_inputs(s, why);
    if (e == OK && s->is_stored) e = begin_backups(s, why);
    if (e == OK) e = uploader_start(s->uploader, s->tsdb, why);
    if (e == OK && env_thread_start(env, "alerts", alerts_loop, s, &s->alerts_thread))
        e = why_set(why, ERR_AGAIN, "cannot start the thread that sends alerts");
    if (e == OK && worker_start(&s->reloader, "reload", reload_loop, s))
        e = why_set(why, ERR_AGAIN, "cannot start the reload thread");
    if (e == OK) ruler_run(s->ruler);
    if (e) {
        server_free(s);
        return e;
    }
    char addresses[SETTING_TEXT_BYTES];
    admission_print_addresses(s->admission, addresses, sizeof addresses);
    log_info("ready", KV("version", FIREKEEP_VERSION), KV("address", addresses),
             KV("port", http_server_port(s->http)),
             KV("tenancy", settings->tenancy_enabled ? "on" : "off"),
             KV("destinations", destination_count), KV("sources", source_count));
    log_rules_lack(s, settings_rules_lack(settings, destination_count, source_count));
    log_unset_variable(&s->rules);
    *ret_server = s;
    return OK;
}

void
server_tick(struct server *s)
{
    keeper_tick(&s->keeper);
    api_tick(s->api);
}

void
server_want_reload(void *server)
{
    struct server *s = server;
    atomic_fetch_add_explicit(&s->reloads_wanted, 1, memory_order_relaxed);
    worker_wake(&s->reloader);
}

/*
 * server_private.h - the server and those of its parts that it alone uses: server.c starts, reloads
 * and ends them, server_api.c connects them with the API.
 */
#ifndef APP_SERVER_PRIVATE_H
#define APP_SERVER_PRIVATE_H

#include "api/api.h"
#include "app/destinations/relays.h"
#include "app/keeper.h"
#include "app/own_writes.h"
#include "app/rules/ruler.h"
#include "app/server.h"
#include "app/worker.h"
#include "auth/gate.h"
#include "backend/source_settings.h"
#include "base/metric.h"
#include "base/text/json.h"
#include "config/config.h"
#include "config/lists/lists.h"
#include "model/select.h"
#include "relay/queue/write_queue.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"

/* --- backups.c -------------------------------------------------------------------------------- */

/* A thread that backs the server up at intervals, as `firekeep backup` does from outside, and
 * removes backups that the settings do not keep. The interval counts from the newest backup in the
 * repository, so a restart changes nothing. */
struct backups;
struct backups_options {
    struct env *env;
    struct budget *memory;
    struct tsdb *tsdb;
    const char *storage_path;
    enum err (*flush)(void *context, struct why *why); /* flushes the head, and waits for it */
    void *context;
};

/* Begins without backups. ERR_NOMEM; ERR_AGAIN: the thread cannot be started. */
MUST_CHECK enum err backups_start(const struct backups_options *options,
                                  struct backups **ret_backups, struct why *why);
void backups_set(struct backups *backups, const struct settings *settings);
/* Gives up the running backup. Accepts NULL. */
void backups_stop(struct backups *backups);
void backups_free(struct backups *backups);

/* --- uploader.c ------------------------------------------------------------------------------- */

/* A thread that copies parts into the bucket of `object_storage`, and writes its catalog. */
struct uploader;
struct uploader_options {
    struct env *env;
    struct budget *memory;
};
/* Opens the bucket. `storage` is taken, also on an error. Errors of bucket_link_open(). */
MUST_CHECK enum err uploader_new(const struct uploader_options *options,
                                 struct object_storage *storage, struct uploader **ret_uploader,
                                 struct why *why);
/* The bucket, as long as the uploader; NULL for NULL. */
struct objects *uploader_objects(struct uploader *uploader);
/* Begins to copy parts of the store, which uploader_end() has to precede the end of. Accepts NULL.
 * ERR_NOMEM; ERR_AGAIN: the thread cannot be started; errors of tsdb_bucket_open(). */
MUST_CHECK enum err uploader_start(struct uploader *uploader, struct tsdb *tsdb, struct why *why);
/* Waits until the catalog has no deleted samples, or nothing is due, or that has failed. Accepts
 * NULL. Any thread. */
void uploader_settle(struct uploader *uploader);
/* True if these are the settings that it has; NULL is for none. Any thread. */
bool uploader_is_for(const struct uploader *uploader, const struct object_storage *storage);
/* Prints them in the format of the configuration file. Accepts NULL. Any thread. */
void uploader_print_yaml(const struct uploader *uploader, struct buf *to);
void uploader_stop(struct uploader *uploader); /* begins to stop; accepts NULL */
void uploader_end(struct uploader *uploader);  /* waits for that; accepts NULL */
void uploader_free(struct uploader *uploader); /* after the store is closed; accepts NULL */

/* --- readers.c -------------------------------------------------------------------------------- */

/* The configured sources, and an answerer that reads the store, if there is one, and the sources as
 * one. Threads: the answerer, readers_count() and the functions that print are for any; the others
 * for the thread that owns the server or, one at a time, reloads it. */
struct readers;
struct readers_options {
    struct env *env;
    struct answerer *local; /* NULL if this server stores nothing */
    struct budget *memory;
};

/* Begins without sources. ERR_NOMEM; ERR_AGAIN: a thread cannot be started. */
MUST_CHECK enum err readers_new(const struct readers_options *options, struct readers **ret_readers,
                                struct why *why);
/* Needs all views to be closed. */
void readers_free(struct readers *readers);

/* Changes the sources in two steps: the first does all that can fail, and changes nothing; the
 * second cannot fail. The list is taken, also on an error. Sources with unchanged settings are
 * kept, and every source keeps the counts of its name. ERR_NOMEM; ERR_INPUT, ERR_MISSING: the
 * settings of a source are invalid. */
struct readers_change;
MUST_CHECK enum err readers_prepare(struct readers *readers, struct sources *list,
                                    struct readers_change **ret_change, struct why *why);
void readers_commit(struct readers_change *change);
/* Drops the change instead. Accepts NULL. */
void readers_abandon(struct readers_change *change);

/* Answers from the store and all sources; a view keeps the sources of the moment at which it is
 * opened. Lives as long as the readers. Any thread. */
struct answerer *readers_answerer(struct readers *readers);
/* Returns the number of sources. Any thread. */
uint32_t readers_count(struct readers *readers);
/* Prints all sources as an array, for the API. */
void readers_print(struct readers *readers, struct json *to);
/* Prints an array of names and types: the store, without a name, and the sources for one of the
 * tenants, `a|b`. */
void readers_print_names(struct readers *readers, struct bytes tenants, struct json *to);
/* Prints the list in the format of the configuration file. */
void readers_print_yaml(struct readers *readers, struct buf *to);

/* --- admission.c ------------------------------------------------------------------------------ */

/* Access to the server: the listeners with their TLS, the users, the gate. A reload changes all of
 * it or nothing. A thread rereads the files that the settings name when they change. */
struct admission;

/*
 * Makes the gate and the TLS of all listeners from complete settings. `lists` is taken: it is empty
 * after that. `external_url` is settings_external_url(), and outlives it.
 * `on_change` is called on the thread when the file for web.config.file has changed; it asks for a
 * reload. ERR_INPUT, ERR_MISSING, ERR_IO, ERR_LIMIT: `why` names the file, or the setting;
 * ERR_NOMEM.
 */
MUST_CHECK enum err admission_new(struct env *env, struct budget *memory,
                                  const struct settings *settings, struct access_settings *lists,
                                  const char *external_url, void (*on_change)(void *context),
                                  void *context, struct admission **ret_admission, struct why *why);
struct http_gate admission_gate(struct admission *admission);
struct gate *admission_users(struct admission *admission); /* the gate, for its users */
struct gate_sessions admission_sessions(struct admission *admission);
/* Returns the places where the HTTP server listens, views that live as long as it starts.
 * ERR_INPUT: the service manager passes no socket of that name. */
MUST_CHECK enum err admission_places(struct admission *admission,
                                     const struct http_place **ret_places, size_t *ret_count,
                                     struct why *why);
/* Gives the server the headers of all answers, and starts the threads. ERR_NOMEM, ERR_AGAIN. */
MUST_CHECK enum err admission_begin(struct admission *admission, struct http_server *server,
                                    struct why *why);
/* Ends the thread, before the server is freed; frees the rest after it. NULL is fine. */
void admission_end(struct admission *admission);
void admission_free(struct admission *admission);

/* A change that was prepared by a reload. Only the reloading thread. */
struct admission_change;
MUST_CHECK enum err admission_prepare(struct admission *admission, const struct settings *settings,
                                      struct access_settings *lists,
                                      struct admission_change **ret_change, struct why *why);
void admission_commit(struct admission_change *change);
/* NULL is fine. */
void admission_abandon(struct admission_change *change);

/* Prints the keys of the configuration file as YAML. Any thread; may wait for a disk. */
void admission_print_yaml(struct admission *admission, struct buf *to);
/* Says whether requests need credentials. Before requests are served. */
bool admission_has_users(const struct admission *admission);
/* Writes the addresses of all listeners, as in the settings, with commas between them. */
void admission_print_addresses(struct admission *admission, char *to, size_t to_size);
/* Writes the host of the first listener on a port, "" for all. False: no listener has a port. */
bool admission_first_host(struct admission *admission, char *ret_host);

/* --- line_inputs.c ---------------------------------------------------------------------------- */

/* The listeners of `line_listeners`, and the thread that writes pushed metrics again each minute. */
struct line_inputs;
struct push_store;
struct line_inputs_options {
    struct env *env;
    struct budget *memory;
    struct own_writes *writes;
    struct gate *gate;
    struct push_store *pushed; /* NULL: none are pushed */
    struct inputs_in_file lines;
    uint64_t seed;
    bool tenancy;
};
/* `options->lines` outlives it. Errors of env_listen(), ERR_NOMEM. After an error
 * line_inputs_free() follows. */
MUST_CHECK enum err line_inputs_start(const struct line_inputs_options *options,
                                      struct line_inputs **ret, struct why *why);
void line_inputs_stop(struct line_inputs *inputs); /* begins to stop; accepts NULL */
void line_inputs_free(struct line_inputs *inputs);

/* --- series_trace.c --------------------------------------------------------------------------- */

/* Says what would become of a series: the limits that a write checks, the rules that a client sent,
 * and under which labels each destination gets it. Threads: any. */
struct series_trace_options {
    struct tsdb *tsdb;
    struct relays *relays;
    const struct settings *settings;
};

/*
 * Writes {"series", "write":{"reason", "checks":[{"setting", "limit", "value", "ok"}]},
 * "rules":{"steps":[STEP], "series"}, "destinations":[{"name", "type", "steps":[STEP], "series"}]}.
 * A step is {"step", "number", "rule", "series"}; "series" is null after the step that ends it.
 * Without rules there is no "rules", and without a valid series no "destinations".
 *
 * ERR_INPUT: not a series, or invalid rules; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err series_trace(const struct series_trace_options *options,
                                 const struct series_question *question, struct json *to,
                                 struct why *why);

/* --- server.c --------------------------------------------------------------------------------- */

struct server {
    struct env *env;
    struct memory memory;
    struct tsdb *tsdb;
    struct api *api;
    struct http_server *http;
    struct admission *admission;
    struct keeper keeper;
    struct merger *merger;
    struct relays *relays;
    struct write_queue *queue; /* with wal.ack=destination; else NULL */
    struct metric_collector queue_collector;
    struct readers *readers;
    struct usage *usage; /* of metrics, by queries and rules */
    struct own_writes *writes;
    struct stored_rules *stored_rules;
    struct ruler *ruler;
    struct notifier *notifier;
    struct env_thread *alerts_thread; /* NULL: it does not run */
    _Atomic int64_t alerts_until_ns;  /* monotonic: it ends then at the latest; 0: it goes on */
    struct metric_collector notifier_collector;
    struct backups *backups;   /* NULL: nothing is stored */
    struct uploader *uploader; /* NULL: there is no bucket */
    struct inputs_in_file inputs;
    struct line_inputs *line_inputs;
    struct push_store *pushed; /* NULL: nothing is stored */
    struct self_scrape *self_scrape;
    bool is_stored;            /* samples are stored, not only logged */
    _Atomic bool takes_writes; /* relaxed: a write during a change counts as before it */
    int flag_count;
    char **flag_words;
    char route_prefix[SETTING_PREFIX_BYTES];
    char instance[SETTING_TEXT_BYTES + 8]; /* label `instance` of its own metrics */
    char external_url[SETTING_URL_BYTES];

    /* LOCK_RANK_APP; held by a reload or a change of stored rules while it reads or writes files,
     * which may hang. */
    struct lock reload_lock;

    struct lock settings_lock; /* LOCK_RANK_SETTINGS; guards the next four once threads run. A
                                  holder of reload_lock reads them without it */
    struct settings settings;
    struct rule_settings rules;
    struct retention_rules retention;
    struct downsampling_rules downsampling;

    /* State of reloads. Relaxed: the two are independent. */
    _Atomic bool reload_failed;  /* the last reload failed */
    _Atomic int64_t reloaded_ms; /* Unix time of the last successful reload, or of the start */
    struct metric_collector reload_collector;

    struct worker reloader; /* reloads on a signal, so that the main thread waits for no disk */
    /* Relaxed: the worker's lock orders them with the reload. */
    _Atomic uint64_t reloads_wanted;
    _Atomic uint64_t reloads_ended; /* UINT64_MAX: the thread has ended */
};

/* Any thread. */
struct reload_state server_reload_state(void *server);

/* --- server_api.c ----------------------------------------------------------------------------- */

struct api_limits server_api_limits(const struct settings *settings, bool has_users);
/* Largest decoded size of a write: one that could not fit beside a head that is half full is
 * refused for its size. */
uint64_t server_decoded_bytes_max(const struct server *server);
/* Makes the API, which gets no requests yet. The readers must exist; all other parts must before
 * the first request. Errors of api_new(). */
MUST_CHECK enum err server_start_api(struct server *server, struct why *why);

/* Callbacks, for writes of rules and of requests, and for backups; the context is the server. Any
 * thread. server_holds_writes() returns why writes have to wait; NULL if they need not. */
const char *server_holds_writes(void *server);
MUST_CHECK enum err server_flush_now(void *server, struct why *why);
/* For write_queue_options.done. */
void server_delivered(void *server, void *waiter, enum err e, const struct write_items *items,
                      const struct ingest_result *result, const struct why *why);
/* False if nothing would store or send a sample. */
bool server_takes_writes(void *server);

#endif

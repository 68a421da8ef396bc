/*
 * server_private.h - the server's parts: server.c starts, reloads and ends them, server_api.c
 * connects them with the API.
 */
#ifndef APP_SERVER_PRIVATE_H
#define APP_SERVER_PRIVATE_H

#include "api/api.h"
#include "app/admission.h"
#include "app/backups.h"
#include "app/destinations/relays.h"
#include "app/keeper.h"
#include "app/merger.h"
#include "app/own_writes.h"
#include "app/readers.h"
#include "app/rules/ruler.h"
#include "app/self_scrape.h"
#include "app/server.h"
#include "app/worker.h"
#include "config/store_options.h"
#include "relay/queue/write_queue.h"

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
    struct backups *backups; /* NULL: nothing is stored */
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

/* --- server.c --------------------------------------------------------------------------------- */

/* Any thread. */
struct reload_state server_reload_state(const struct server *server);

/* Sets what a reload may change of the writes that wait for destinations. */
void server_set_write_rules(struct server *server, const struct settings *settings);

/* --- server_api.c ----------------------------------------------------------------------------- */

struct api_limits server_api_limits(const struct settings *settings, bool has_users);
/* Largest decoded size of a write: one that could not fit beside a head that is half full is
 * refused for its size. */
uint64_t server_decoded_bytes_max(const struct server *server);
/* Makes the API, which gets no requests yet. The readers must exist; all other parts must before
 * the first request. Errors of api_new(). */
MUST_CHECK enum err server_start_api(struct server *server, struct why *why);

/* Callbacks, for writes of rules and of requests; the context is the server. Any thread.
 * server_holds_writes() returns why writes have to wait; NULL if they need not. */
const char *server_holds_writes(void *server);
/* For write_queue_options.done. */
void server_delivered(void *server, void *waiter, enum err e, const struct write_items *items,
                      const struct ingest_result *result, const struct why *why);
/* False if nothing would store or send a sample. */
bool server_takes_writes(void *server);

#endif

/*
 * api.h - the HTTP routes: remote write and read, PromQL, status, health, metrics. Uses the store
 * and the HTTP server; used by app only.
 *
 * Write requests are judged on the HTTP worker that read them and then wait, suspended, for their
 * commit; api_committed() answers them. Reads and other requests that may take a while run on
 * threads of the api.
 */
#ifndef API_API_H
#define API_API_H

#include "auth/gate.h"
#include "base/metric.h"
#include "base/text/json.h"
#include "net/http_server.h"
#include "promql/promql.h"
#include "rules/group/group.h"
#include "tsdb/tsdb.h"

struct api;
struct push_store;

enum { REPLICA_NAMES_BYTES = 256 };

/* Limits of one PromQL query; 0: unlimited. */
struct query_limits {
    int64_t timeout_ns;
    int64_t lookback_ms;
    int64_t subquery_step_ms;  /* default step of subqueries */
    uint64_t points_max;       /* steps of a range query */
    uint64_t samples_max;      /* in memory at one time */
    uint64_t samples_read_max; /* read from the store */
    uint64_t series_max;
    uint64_t fetched_max; /* bytes that a query reads from a bucket */
    uint64_t bytes_max;   /* limit of the stored samples that a query reads, in bytes */
    uint64_t cache_bytes; /* size of the cache of results, of all queries */
    int64_t slow_log_ns;  /* queries that take longer are logged; 0: never */
    struct promql_features features;
    char replica_labels[REPLICA_NAMES_BYTES]; /* label names, "a,b"; may be "" */
};

/* Options that a reload may change. */
struct api_limits {
    uint64_t read_samples_max;
    uint64_t read_series_max; /* 0: no limit */
    uint64_t read_bytes_max;  /* limit of the stored samples that a request reads, in bytes; 0: no
                                 limit */
    int64_t read_timeout_ns;
    uint64_t search_results_max; /* results that a search may ask for; 0: no limit */
    bool has_users;              /* requests need credentials */
    struct query_limits query;
};

/* Result of the last attempt to read the configuration, and time of the last success. */
struct reload_state {
    bool succeeded;
    int64_t succeeded_ms;
};

/* An operator's command to a destination. */
enum destination_verb { DESTINATION_PAUSE, DESTINATION_RESUME, DESTINATION_REPLAY };
struct destination_control {
    enum destination_verb verb;
    int64_t from_ms; /* for DESTINATION_REPLAY: older samples are not sent again */
};

/* An operator's question about one destination, whose answer may take minutes. */
enum destination_ask {
    DESTINATION_LETTERS, /* lists dead letters by reason */
    DESTINATION_LETTERS_REPLAY,
    DESTINATION_LETTERS_DROP,
    DESTINATION_TEST, /* makes the checks of its type; with `write`, sends a sample, too */
};
struct destination_question {
    enum destination_ask ask;
    struct bytes name;
    const char *reason; /* dead letters with this reason only; NULL: all */
    bool write;
    struct budget *memory;
    const _Atomic bool *stop; /* ends the work when set */
};

/* Asks which rules and destinations a series would meet if it were written. */
struct series_question {
    struct bytes tenant;
    struct bytes series; /* up{job="node"} */
    struct bytes rules;  /* relabelling rules as YAML, to be tried; may be empty */
    struct budget *memory;
};

/* Groups that the ruler API requests: all of a tenant, those of a namespace, or one. */
struct rules_wanted {
    struct bytes tenant;
    const char *namespace; /* NULL: all */
    const char *group;     /* NULL: all of the namespace */
};

/* A change by the ruler API. */
enum rules_verb { RULES_SET, RULES_DELETE, RULES_DELETE_NAMESPACE };
struct rules_edit {
    enum rules_verb verb;
    struct bytes tenant;
    const char *namespace;
    const char *group; /* for RULES_DELETE */
    struct bytes text; /* for RULES_SET: a group as YAML */
};

/* A write for destinations only, whose sender waits until they have it. */
struct write_for_destinations {
    struct bytes tenant;
    const struct rw_request *request; /* decoded with all checks */
    int64_t began_ns;                 /* monotonic time of its first byte */
    int64_t timeout_ms;               /* the sender gives up so long after; 0: not known */
    void *waiter;                     /* for api_delivered() */
};

enum owner_list {
    LIST_DESTINATIONS, /* an array, as the next two */
    LIST_SOURCES,
    LIST_SOURCE_NAMES,  /* names of the store and of the sources for one of the tenants */
    LIST_ALERTMANAGERS, /* Prometheus' members, for an open object */
};

struct api_options {
    struct env *env;
    struct tsdb *tsdb;         /* for writes and administration */
    struct answerer *answerer; /* for reads */
    struct usage *usage;       /* counts the metrics that reads ask for */
    struct budget *memory;
    uint64_t decoded_bytes_max;
    const struct otlp_settings *otlp; /* outlives the api */
    struct push_store *pushed;        /* pushed metrics; NULL: they are refused. Outlives the api */
    bool tenancy;
    bool stored; /* there is a store, not only the log */
    bool lifecycle;
    bool admin;
    const char *route_prefix;   /* prefix of all paths: "", or "/some/path"; outlives the api */
    const char *telemetry_path; /* of /metrics, besides it; "" or NULL: none; outlives the api */
    const char *external_url;   /* origin of this server's pages; outlives the api */
    const char *cors_origin;    /* a regular expression: origins whose pages may read. "auto": all
                                   without users, none with users */
    struct gate_sessions sessions;
    uint32_t read_concurrency;
    int64_t read_queue_timeout_ns;
    uint32_t query_concurrency;
    int64_t query_queue_timeout_ns;
    uint64_t read_frame_bytes;
    int64_t started_ms;
    const char *version;
    /* Both are called on any thread and do not wait. */
    void (*commit_wanted)(void *context);
    void (*flush_wanted)(void *context); /* after a write without enough memory */
    void *context;
    /* On a thread of their own. They return when it is done. */
    enum err (*flush_now)(void *context, struct why *why);
    enum err (*merge_now)(void *context, enum tsdb_merge_mode mode, struct why *why);
    /* On a query thread. */
    enum err (*reload)(void *context, struct why *why);
    struct reload_state (*reload_state)(void *context);
    void (*flags)(void *context, void (*each)(void *to, const char *name, const char *value),
                  void *to);
    void (*config)(void *context, struct buf *to);
    /* Writes an object about a configuration that a client sent: its errors, or what it would
     * change. On the thread of changes. ERR_LIMIT: the text is too long; ERR_NOMEM. */
    enum err (*check_config)(void *context, struct bytes text, struct budget *memory,
                             struct json *to, struct why *why);
    /* Gives the rules of retention and downsampling of a configuration that a client sent, in
     * zeroed limits, for tsdb_limits_drop_rules(), also after an error. ERR_INPUT, ERR_LIMIT,
     * ERR_NOMEM. */
    enum err (*plan_rules)(void *context, struct bytes text, struct tsdb_limits *ret_limits,
                           struct why *why);
    bool (*can_read)(void *context); /* without a store: says whether there are sources */
    /* Writes a list; `tenants`, `a|b`, are those of LIST_SOURCE_NAMES. */
    void (*list)(void *context, enum owner_list list, struct bytes tenants, struct json *to);
    /* Write Prometheus' members about rules into the open object, and alerts into the open array.
     * ERR_MISSING: no group has the token of the requested page. */
    enum err (*rules)(void *context, const struct rules_question *question, struct json *to);
    void (*alerts)(void *context, struct bytes tenant, const struct permitted *permitted,
                   struct json *to); /* NULL: all are permitted */
    /*
     * The ruler API; both NULL: it is off. On the thread of changes.
     *
     * stored_rules() writes YAML. ERR_MISSING: there is no such group.
     * edit_rules() returns when the change is durable and in force; after an error nothing changed.
     * ERR_INPUT: `reasons` has one sentence per line, or `why` has it; ERR_LIMIT: the group is too
     * large; ERR_MISSING: there is nothing to delete.
     */
    enum err (*stored_rules)(void *context, const struct rules_wanted *wanted, struct buf *to,
                             struct why *why);
    enum err (*edit_rules)(void *context, const struct rules_edit *edit, struct buf *reasons,
                           struct why *why);
    /* Returns the reason why writes have to wait, a constant, or NULL. Called for each write. */
    const char *(*holds_writes)(void *context);
    /* With wal.ack=destination, takes the writes; else NULL. After OK api_delivered() follows,
     * once, on any thread, maybe before the return. ERR_INPUT: too many tenants; ERR_AGAIN,
     * ERR_NOMEM, ERR_LIMIT. Must not wait. */
    enum err (*hand_over)(void *context, const struct write_for_destinations *write,
                          struct why *why);
    /* Returns true if samples have a store or a destination. Called for each write. */
    bool (*takes_writes)(void *context);
    /* ERR_MISSING: no destination has this name; ERR_UNSUPPORTED: there is no store to send from
     * again; ERR_AGAIN: not now. */
    enum err (*control_destination)(void *context, struct bytes name,
                                    const struct destination_control *control, struct why *why);
    /* Writes an object. ERR_INPUT: not a series, or invalid rules; ERR_LIMIT, ERR_NOMEM. */
    enum err (*trace_series)(void *context, const struct series_question *question, struct json *to,
                             struct why *why);
    /* Writes one value, the answer; on a thread of its own. ERR_MISSING: no destination has this
     * name; ERR_INPUT: invalid configuration; ERR_LIMIT, ERR_CANCELED: the deadline, or `stop`. */
    enum err (*ask_destination)(void *context, const struct destination_question *question,
                                struct json *to, struct why *why);
};

/* ERR_INPUT: cors_origin is not a regular expression. ERR_NOMEM. */
MUST_CHECK enum err api_new(const struct api_options *options, const struct api_limits *limits,
                            struct api **ret_api, struct why *why);
/* No request may be pending. Joins the threads. */
void api_free(struct api *api);
void api_set_limits(struct api *api, const struct api_limits *limits);

/* The routes to serve; valid while the api is. `server` is set later, for /metrics. */
const struct http_route *api_routes(const struct api *api, size_t *ret_count);
void api_set_server(struct api *api, struct http_server *server);

/*
 * Answers every write whose epoch is committed, and with 503 those whose commit failed. It
 * is called after each commit, and also when a commit was wanted but nothing was due: the commit
 * may have ended before the request was on the list.
 */
void api_committed(struct api *api);
/* Answers a write that was handed over: all destinations have what `result` does not count as
 * rejected, or ERR_AGAIN: it must be repeated. */
void api_delivered(struct api *api, void *waiter, enum err e, const struct ingest_result *result,
                   const struct why *why);
/* Returns the reason why the store refuses writes now, a constant, or NULL. Any thread. */
const char *api_refuses_writes(struct api *api);
/* Returns true if the system clock seems wrong; `why` then says why, and what to do. Writes go on:
 * only samples that are too far ahead of the clock are refused. Any thread. */
bool api_doubts_clock(struct api *api, struct why *why);
/* Refuses requests that have waited too long in a queue. It is called about once per second. */
void api_tick(struct api *api);
/* From now on writes and reads get 503. */
void api_stop(struct api *api);
/* Ends running queries, look-ups and reads soon, with an error. After api_stop(). */
void api_cancel_reads(struct api *api);

#endif

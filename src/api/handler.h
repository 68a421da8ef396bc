/* handler.h - for the handlers of routes: the object behind api.h, and functions that its routes
 * share. */
#ifndef API_HANDLER_H
#define API_HANDLER_H

#include "api/api.h"
#include "base/json.h"
#include "base/lock.h"
#include "views/replicas.h"
#include "wire/remote/remote_write.h"

struct form;

#define RETRY_AFTER_S "2"

enum { JOBS_MAX = 4096, JOBS_OF_TENANT_MAX = 1024 };

/* Where a pending write is; write.c has the diagram. */
enum write_place {
    WRITE_SPARE,      /* in api->spare_writes, or new */
    WRITE_JUDGED,     /* a thread judges or answers it */
    WRITE_DOUBTFUL,   /* in api->doubtful */
    WRITE_COMMITTING, /* in the list of writes that wait for their commit */
};

/* A write that is judged, waits for its commit, or, before that, for samples in doubt to be
 * compared with parts. */
struct pending_write {
    struct pending_write *next;
    enum write_place place;
    struct http_request *request;
    uint64_t epoch;
    enum tsdb_epoch state;
    enum rw_version version;
    enum err error; /* why the rest of the request was not taken */
    struct why why;
    struct ingest_result result;
    struct write_memory *memory; /* kept while there are doubts */
    struct tsdb_doubts *doubts;  /* NULL: no sample is in doubt */
};

/*
 * Reads and queries may take all of their threads. Pages have a thread of their own, so that
 * monitoring does not queue after them. So have writes too large for a worker, writes that are
 * compared with parts, operations that an operator waits for, merges, which may take hours, and
 * reloads and changes of rules, which read or write files.
 */
enum queue_name {
    QUEUE_READS, /* remote reads and look-ups */
    QUEUE_QUERIES,
    QUEUE_PAGES,
    QUEUE_WRITES,
    QUEUE_REPEATS,
    QUEUE_ADMIN,
    QUEUE_MERGES,
    QUEUE_CHANGES,
    QUEUE_COUNT,
    QUEUE_NONE, /* runs on the HTTP worker, since it never waits */
};

/* A request that waits for a thread of a queue. */
struct job {
    struct job *next;
    struct http_request *request;
    void (*run)(struct api *api, struct http_request *request);
    /* Called instead of run() if its turn does not come; NULL: 503 in plain text. */
    void (*refused)(struct api *api, struct http_request *request, enum err e,
                    const struct why *why);
    enum queue_name queue; /* the queue in which it waits */
    int64_t deadline_ns;
    struct bytes tenant; /* the request's first tenant, not checked; may be empty */
    bool in_turns;       /* tenants take turns in this queue */
    uint64_t round;      /* each tenant has at most one job per round */
};

/*
 * Guarded by api->lock.
 *
 * 1. Jobs are in the order of their rounds, and those of a round in the order they came.
 * 2. No job has a lower round than the job that was taken last.
 * 3. `waiting`, at most JOBS_MAX, is the number of jobs in the queue; `running` counts its threads
 *    that run one.
 */
struct job_queue {
    struct api *api; /* immutable */
    struct job *first;
    _Atomic uint32_t waiting; /* relaxed where it is read without the lock: a hint */
    uint64_t round;           /* of the job that was taken last */
    uint32_t running;
    bool runs_abandoned; /* runs a job even if its client is gone; immutable */
    struct cond cond;
};

/* Working memory of one write; kept for the next. */
struct write_memory {
    struct write_memory *next;
    struct budget budget; /* of the two below */
    struct buf message;
    struct rw_request request;
};

/* The context of dispatch(). */
struct route_of_api {
    struct api *api;
    const struct route *route;
    bool is_json; /* answers in Prometheus' envelope, and allows pages of other origins */
};

struct api {
    struct api_options options;
    struct answerer *of_tenants; /* with tenancy, wraps the answerer of the options; else NULL */
    struct http_route *routes;
    size_t route_count;
    struct arena route_memory; /* paths and contexts of routes */
    struct matcher *origins;
    struct budget write_budget;
    struct budget read_budget;
    struct budget page_budget;            /* pages work while reads have filled their budget */
    _Atomic(struct http_server *) server; /* release in api_set_server(), acquire in /metrics */
    struct metric_collector collector;

    _Atomic bool stopping;                /* relaxed: a request that misses it is served */
    _Atomic(const char *) reads_canceled; /* relaxed; the reason, or NULL if reads go on */

    struct lock lock; /* LOCK_RANK_API; guards to the next blank line */
    struct api_limits limits;
    struct promql_cache *results;
    struct promql_help *helps;   /* queries that want more threads */
    struct cond help_cond;       /* a thread has stopped helping */
    struct active_query *active; /* the newest first */
    uint64_t query_count;        /* id of the newest query */
    uint64_t memory_turns;       /* turn of the last query that began to wait for memory */
    struct cond memory_cond;     /* a query has ended, and its memory is free */
    struct past_query *past;     /* costs of recent queries, by text; see queries.c */
    uint32_t past_count;
    struct pending_write *committing_first; /* see write.c */
    struct pending_write *committing_last;
    uint64_t committing_count;
    struct job_queue queues[QUEUE_COUNT];
    bool threads_stop;
    struct write_memory *write_memories;
    struct pending_write *spare_writes;
    struct pending_write *doubtful; /* each has a job in QUEUE_REPEATS */
    uint32_t doubtful_count;

    struct env_thread **threads;
    uint32_t thread_count, threads_max;
};

/* --- shared ----------------------------------------------------------------------------------- */

/* The kind of request that failed; some errors have another status for some kinds. */
enum purpose { FOR_ANYTHING, FOR_WRITE, FOR_QUERY };

/* The status for an error, 204 for OK, and the errorType that Prometheus has for it. */
unsigned status_of(enum purpose purpose, enum err e);
const char *problem_type_of(enum purpose purpose, enum err e);
/* Replies with a short plain text; 503 gets Retry-After. */
void reply_error(struct http_request *request, enum purpose purpose, enum err e,
                 const struct why *why);
/* The same in Prometheus' envelope. */
void reply_problem_of(struct http_request *request, enum purpose purpose, enum err e,
                      const struct why *why);
void reply_problem(struct http_request *request, unsigned status, const char *type,
                   const char *text);
/* Replies with a sentence made for this request, cut at SENTENCE_BYTES_MAX. */
enum { SENTENCE_BYTES_MAX = 64 * 1024 };
void reply_sentence(struct http_request *request, unsigned status, const char *type,
                    struct bytes sentence);
/* Replies with the error of read_asked() or of a later step; `error` may describe it. False: there
 * was no error, and no reply. */
bool reply_refusal(struct http_request *request, unsigned refused, enum err e,
                   const struct buf *error, const struct why *why);
void reply_json(struct http_request *request, unsigned status, const struct buf *text);
/*
 * Sends a piece of a long answer of status 200 and clears `text`, unless the query has to end. The
 * first piece begins the stream and sets *begun: the caller then ends it.
 */
MUST_CHECK enum err reply_piece(struct api *api, enum queue_name queue,
                                struct http_request *request, struct query_control *control,
                                struct buf *text, bool *begun, struct why *why);
/* Begins the document of a success; the caller writes the value of its "data" next. */
void success_begin(struct json *j, struct buf *text);

/* The path as in the table of routes, without prefixes. */
const char *api_path(const struct api *api, const struct http_request *request);
/* Returns true for a path below /prometheus, where Cortex and Mimir have the API. */
bool api_is_prefixed(const struct api *api, const struct http_request *request);

/* Returns the tenant of a request that reads, or several, for the answerer. The result is 0, or the
 * status to answer with (401 or 400) and why. */
unsigned tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
                      struct why *why);
/* Like tenant_named(), but answers itself if the name is refused. False: it did. */
bool tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant);
/*
 * Reads the arguments and the tenant of a request that reads the store; both stay until
 * form_fini(), which is required in any case, while views of the request end when the answer
 * begins. *ret_refused: the result of tenant_named(). Errors of form_read().
 */
MUST_CHECK enum err read_asked(const struct api *api, struct http_request *request,
                               struct budget *budget, struct form *ret_form,
                               struct bytes *ret_tenant, unsigned *ret_refused, struct why *why);
/* Like tenant_named() and tenant_of(), for requests that name exactly one tenant. */
unsigned one_tenant_named(const struct api *api, struct http_request *request,
                          struct bytes *ret_tenant, struct why *why);
bool one_tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant);
/* The labels that name the replicas of a Prometheus. */
struct replica_choice {
    struct bytes names[REPLICA_LABELS_MAX]; /* in order, each once */
    uint32_t count;                         /* 0: nothing is deduplicated */
};
/*
 * Reads the arguments `dedup` and `replicaLabels[]`, as in Thanos, or the setting where they are
 * absent. The names live as long as the arena. ERR_INPUT: the sentence is appended to `error`;
 * ERR_NOMEM with `why`.
 */
MUST_CHECK enum err replica_choice_read(struct api *api, const struct form *form,
                                        struct arena *arena, struct replica_choice *ret,
                                        struct buf *error, struct why *why);
/* Opens a view of the api's answerer that merges these replicas. Errors of view_open(). */
MUST_CHECK enum err replica_choice_open(const struct api *api, const struct replica_choice *choice,
                                        struct query_control *control, struct view **ret_view,
                                        struct why *why);
struct api_limits api_limits_now(struct api *api);
/* Sets the limits of a read to the present ones; it ends early when its client is gone. */
void query_control_begin(struct api *api, struct http_request *request, struct budget *budget,
                         struct query_control *ret_control);
/* Limits a streamed answer that has just begun: it ends at the query's deadline, and sooner if its
 * client is slow while others wait for a thread of the queue. */
void limit_stream(struct api *api, enum queue_name queue, struct http_request *request,
                  const struct query_control *control);
/*
 * Hands a request to the threads of a queue. `refused` answers it if its turn does not come; NULL:
 * 503 in plain text.
 */
void run_later(struct api *api, enum queue_name queue, struct http_request *request,
               void (*run)(struct api *api, struct http_request *request),
               void (*refused)(struct api *api, struct http_request *request, enum err e,
                               const struct why *why));
/* Runs the queue's first job, without the lock. False: the queue is empty. */
bool queue_work_locked(struct job_queue *q);

/* For queries on query threads: idle query threads help them. */
struct promql_helpers query_helpers(struct api *api);

/* Writes the value of the page about features. */
void features_put(const struct api_options *options, const struct promql_features *chosen,
                  struct json *j);

/* --- queries.c: queries that run, and the costs of the last ones -------------------------------
 */

/* A query that runs. Its thread sets all fields but the first two before queries_begin(); memory
 * that it views stays until queries_end(). */
struct active_query {
    struct active_query *next, *before; /* guarded by the lock of the api */
    uint64_t id;                        /* the same */
    struct bytes tenant;
    struct bytes text;
    int64_t first_ms, last_ms, step_ms; /* step 0: at one time */
    int64_t begun_ns;
    struct query_control *control; /* and its budget */
    uint64_t peak_bytes;           /* of memory; set by queries_end() */
    uint64_t needs_bytes;          /* guarded: memory it needs at least; 0: it was never refused */
    uint64_t memory_turn;          /* guarded: it waits for memory, after lower turns; 0: it runs */
};
void queries_begin(struct api *api, struct active_query *query);
/* Unlists a query without accounting it, if it has not run. */
void queries_forget(struct api *api, struct active_query *query);
/*
 * Waits until other queries have left as much memory as this one needs at least, or no other runs,
 * which sets *alone. Queries that wait have their turns. False: it took until `until_ns`
 * (monotonic), or the query was ended, or it was alone before and is again. The caller has freed
 * the memory of its last attempt.
 */
bool queries_await_memory(struct api *api, struct active_query *query, uint64_t needs_bytes,
                          int64_t until_ns, bool *alone);
/* Unlists a query that ended with `e`, and accounts its costs. True: it was slow, and is to be
 * logged.
 */
bool queries_end(struct api *api, struct active_query *query, enum err e, int64_t took_ns);
/* `plan` describes what it reads; empty if that is not known. */
void queries_log_slow(const struct active_query *query, enum err e, int64_t took_ns,
                      struct bytes plan);
void queries_free(struct api *api);

/* --- families of routes ----------------------------------------------------------------------- */

void write_run(struct api *api, struct http_request *request);
void write_memories_free(struct api *api);
void read_run(struct api *api, struct http_request *request);
void page_run(struct api *api, struct http_request *request);
void label_names_run(struct api *api, struct http_request *request);
void label_values_run(struct api *api, struct http_request *request);
void series_run(struct api *api, struct http_request *request);
void search_metric_names_run(struct api *api, struct http_request *request);
void search_label_names_run(struct api *api, struct http_request *request);
void search_label_values_run(struct api *api, struct http_request *request);
void targets_run(struct api *api, struct http_request *request);
void rules_run(struct api *api, struct http_request *request);
void alerts_run(struct api *api, struct http_request *request);
void ruler_api_run(struct api *api, struct http_request *request);
void alertmanagers_run(struct api *api, struct http_request *request);
void notifications_live_run(struct api *api, struct http_request *request);
void query_run(struct api *api, struct http_request *request);
void explain_run(struct api *api, struct http_request *request);
void query_range_run(struct api *api, struct http_request *request);
void active_queries_run(struct api *api, struct http_request *request);
void query_cancel_run(struct api *api, struct http_request *request);
void top_queries_run(struct api *api, struct http_request *request);
void query_exemplars_run(struct api *api, struct http_request *request);
void federate_run(struct api *api, struct http_request *request);
void format_query_run(struct api *api, struct http_request *request);
void parse_query_run(struct api *api, struct http_request *request);
void flush_run(struct api *api, struct http_request *request);
void merge_run(struct api *api, struct http_request *request);
void snapshot_run(struct api *api, struct http_request *request);
void clean_run(struct api *api, struct http_request *request);
void delete_run(struct api *api, struct http_request *request);
void destination_run(struct api *api, struct http_request *request);
void metrics_run(struct api *api, struct http_request *request);
void healthy_run(struct api *api, struct http_request *request);
void health_run(struct api *api, struct http_request *request);
void version_run(struct api *api, struct http_request *request);
void ready_run(struct api *api, struct http_request *request);
void reload_run(struct api *api, struct http_request *request);
void redirect_run(struct api *api, struct http_request *request);
void root_run(struct api *api, struct http_request *request);

void store_metrics(struct metric_sink *sink, void *context);
void write_metrics_register(void);
/* Logs which samples of a request were refused, once per minute and reason. Any thread, without
 * locks.
 */
void refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result);
void read_metrics_register(void);
void query_metrics_register(void);

#endif

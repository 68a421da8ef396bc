/* internal.h - private to api/: the object behind api.h, and what its families of routes share. */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "api/api.h"
#include "api/form.h"
#include "base/json.h"
#include "base/lock.h"
#include "views/replicas.h"
#include "wire/remote/remote_write.h"

#define RETRY_AFTER_S "2"

enum { JOBS_MAX = 4096, JOBS_OF_TENANT_MAX = 1024 };

/* A write that waits for its commit; or before, for what parts say of samples in doubt. */
struct waiting {
    struct waiting *next;
    struct http_request *request;
    uint64_t epoch;
    enum tsdb_epoch state;
    enum rw_version version;
    enum err error; /* the rest of the request could not be taken */
    struct why why;
    struct ingest_result result;
    struct write_memory *memory; /* with doubts */
    struct tsdb_doubts *doubts;  /* NULL: none */
};

/*
 * Reads and queries may take every thread there is for them. What watches the server does not queue
 * behind them: pages have a thread of their own. So have writes too large for a worker, writes that
 * are compared with what parts hold, what an operator waits for, merges, which may take hours, and
 * reloads and changes of rules, which take as long as a file that is read or written.
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
    QUEUE_NONE, /* it never waits: on the HTTP worker */
};

/* A request that waits for such a thread. */
struct job {
    struct job *next;
    struct http_request *request;
    void (*run)(struct api *api, struct http_request *request);
    /* Instead, if its turn does not come; NULL: 503 is all there is to say. */
    void (*refused)(struct api *api, struct http_request *request, enum err e,
                    const struct why *why);
    enum queue_name queue; /* in which it waits */
    int64_t deadline_ns;
    struct bytes tenant; /* of the request, the first of several, not judged; may be empty */
    bool in_turns;       /* tenants have their turns */
    uint64_t round;      /* tenants take turns: each has at most one job in a round */
};

/* Guarded by api->lock. */
struct job_queue {
    struct api *api; /* immutable */
    struct job *first;
    _Atomic uint32_t waiting; /* relaxed where it is read without the lock: a hint */
    uint64_t round;           /* of the job that was taken last */
    uint32_t running;
    bool of_gone_too; /* whether or not the client is there: immutable */
    struct cond cond;
};

/* Working memory of one write; kept for the next. */
struct write_memory {
    struct write_memory *next;
    struct budget budget; /* of the two below */
    struct buf message;
    struct rw_request request;
};

/* What the HTTP server hands to dispatch(). */
struct route_of_api {
    struct api *api;
    const struct route *route;
    bool is_json; /* all answers are in Prometheus' envelope, for pages of other origins, too */
};

struct api {
    struct api_options options;
    struct answerer *of_tenants; /* the answerer with tenancy, over the one it was given; or NULL */
    struct http_route *routes;
    size_t route_count;
    struct arena route_memory; /* of the paths, and of what handlers are given */
    struct matcher *origins;
    struct budget write_budget;
    struct budget read_budget;
    /* Of pages: they work while reads fill theirs. */
    struct budget page_budget;
    _Atomic(struct http_server *) server; /* release in api_set_server(), acquire in /metrics */
    struct metric_collector collector;

    _Atomic bool stopping;                /* relaxed: a request that misses it is served */
    _Atomic(const char *) reads_canceled; /* why all are; relaxed; NULL: they are not */

    struct lock lock; /* LOCK_RANK_API; guards to the next blank line */
    struct api_limits limits;
    struct promql_cache *results;
    struct promql_help *helps;   /* queries that more threads may work on */
    struct cond help_cond;       /* one of these threads is done */
    struct active_query *active; /* the newest first */
    uint64_t query_count;        /* the number of the newest */
    uint64_t memory_turns;       /* given to queries that wait for memory */
    struct cond memory_cond;     /* a query ended: there may be memory */
    struct past_query *past;     /* of the last queries, by their texts; see queries.c */
    uint32_t past_count;
    struct waiting *waiting_first;
    struct waiting *waiting_last;
    uint64_t waiting_count;
    struct job_queue queues[QUEUE_COUNT];
    bool threads_stop;
    struct write_memory *write_memories;
    struct waiting *spare_waiting;
    struct waiting *doubtful; /* in QUEUE_REPEATS */
    uint32_t doubtful_count;

    struct env_thread **threads;
    uint32_t thread_count, threads_max;
};

/* --- shared ----------------------------------------------------------------------------------- */

/* On whose behalf something failed. */
enum purpose { FOR_ANYTHING, FOR_WRITE, FOR_QUERY };

/* The status for an error, 204 for OK, and Prometheus' word for it. */
unsigned status_of(enum purpose purpose, enum err e);
const char *problem_type_of(enum purpose purpose, enum err e);
/* A short plain text; 503 gets Retry-After. */
void reply_error(struct http_request *request, enum purpose purpose, enum err e,
                 const struct why *why);
/* The same in Prometheus' envelope. */
void reply_problem_of(struct http_request *request, enum purpose purpose, enum err e,
                      const struct why *why);
void reply_problem(struct http_request *request, unsigned status, const char *type,
                   const char *text);
/* A sentence that was made for this request; what is longer than that was cut. */
enum { SENTENCE_BYTES_MAX = 64 * 1024 };
void reply_sentence(struct http_request *request, unsigned status, const char *type,
                    struct bytes sentence);
/* Of what read_asked() and what came after it found wrong; `error` may say what. False: nothing. */
bool reply_refusal(struct http_request *request, unsigned refused, enum err e,
                   const struct buf *error, const struct why *why);
void reply_json(struct http_request *request, unsigned status, const struct buf *text);
/*
 * Sends what `text` has of a long answer of status 200 and clears it, unless the query has to end.
 * The first piece begins the stream, which *begun tells from then on: the caller ends it.
 */
MUST_CHECK enum err reply_piece(struct api *api, enum queue_name queue,
                                struct http_request *request, struct query_control *control,
                                struct buf *text, bool *begun, struct why *why);
/* Begins the document of a success; what comes next is the value of its "data". */
void success_begin(struct json *j, struct buf *text);

/* The path in the table of routes, whichever way the request came. */
const char *api_path(const struct api *api, const struct http_request *request);
/* Whether it came to where Cortex and Mimir have the API. */
bool api_is_prefixed(const struct api *api, const struct http_request *request);

/* The tenant of a request that reads, or several, for the answerer. 0, or the status to answer with
 * (401 or 400) and why. */
unsigned tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
                      struct why *why);
/* The same; false: it was answered. */
bool tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant);
/*
 * What a request that reads the store says: its arguments and whose data it means; both stay until
 * form_fini(), which has to come in any case, while views of the request end when the answer
 * begins. *ret_refused: as tenant_named(). Errors as of form_read().
 */
MUST_CHECK enum err read_asked(const struct api *api, struct http_request *request,
                               struct budget *budget, struct form *ret_form,
                               struct bytes *ret_tenant, unsigned *ret_refused, struct why *why);
/* The same two, where it can only be one. */
unsigned one_tenant_named(const struct api *api, struct http_request *request,
                          struct bytes *ret_tenant, struct why *why);
bool one_tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant);
/* Of the replicas of a Prometheus, which labels name them. */
struct replica_choice {
    struct bytes names[REPLICA_LABELS_MAX]; /* in order, each once */
    uint32_t count;                         /* 0: nothing is deduplicated */
};
/*
 * The arguments `dedup` and `replicaLabels[]`, as in Thanos, and the setting where they are not
 * given. What is read stays as long as the arena. ERR_INPUT: `error` has the sentence, appended;
 * ERR_NOMEM with `why`.
 */
MUST_CHECK enum err replica_choice_read(struct api *api, const struct form *form,
                                        struct arena *arena, struct replica_choice *ret,
                                        struct buf *error, struct why *why);
/* A view of the api's answerer that reads these as one. Errors of view_open(). */
MUST_CHECK enum err replica_choice_open(const struct api *api, const struct replica_choice *choice,
                                        struct query_control *control, struct view **ret_view,
                                        struct why *why);
/* What is allowed now. */
struct api_limits api_limits_now(struct api *api);
/* What a read of this request may cost: all that is allowed, until the client is gone. */
void query_control_begin(struct api *api, struct http_request *request, struct budget *budget,
                         struct query_control *ret_control);
/* Of an answer of such a query that has just begun: it ends at the query's deadline, and sooner if
 * its client is slow while others wait for a thread of the queue. */
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
/* Runs the queue's first job, without the lock. False: there is none. */
bool queue_work_locked(struct job_queue *q);

/* For what runs on query threads: those that are idle help. */
struct promql_helpers query_helpers(struct api *api);

/* The value of the page about features. */
void features_put(const struct api_options *options, const struct promql_features *chosen,
                  struct json *j);

/* --- queries.c: queries that run, and what the last ones cost ----------------------------------
 */

/* A query that runs. But for the first line all is set by its thread before queries_begin(); what
 * it views stays until queries_end(). */
struct active_query {
    struct active_query *next, *before; /* guarded by the lock of the api */
    uint64_t id;                        /* the same */
    struct bytes tenant;
    struct bytes text;
    int64_t first_ms, last_ms, step_ms; /* step 0: at one time */
    int64_t begun_ns;
    struct query_control *control; /* and its budget */
    uint64_t peak_bytes;           /* of memory; set by queries_end() */
    uint64_t needs_bytes;          /* guarded: of memory, at least; 0: it was never refused any */
    uint64_t memory_turn;          /* guarded: it waits for memory, after lower ones; 0: it runs */
};
void queries_begin(struct api *api, struct active_query *query);
/* Instead of queries_end(), of what was no query: it is not accounted. */
void queries_forget(struct api *api, struct active_query *query);
/*
 * Waits until others have left as much memory as it needs at least, or none of them runs, which
 * *alone tells; those that wait have their turns. False: that took until `until_ns` (monotonic), or
 * the query was ended, or it was alone before and is again. It holds no memory meanwhile.
 */
bool queries_await_memory(struct api *api, struct active_query *query, uint64_t needs_bytes,
                          int64_t until_ns, bool *alone);
/* Keeps what it cost. `e`: how it ended. True: it is a slow one, to be logged. */
bool queries_end(struct api *api, struct active_query *query, enum err e, int64_t took_ns);
/* `plan`: what it reads; empty: not known. */
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
/* Logs what a request was refused of, once a minute for each reason. Any thread, under no lock. */
void refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result);
void read_metrics_register(void);
void query_metrics_register(void);

#endif
